"""The encoder: from pictures to embeddings."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from samecar.data import Manifest, evaluation_loader, known_numbers
from samecar.data.copies import name_pictures
from samecar.data.picture_batches import PixelBatch, read_batches
from samecar.data.workers import name_lost_workers
from samecar.embedding.embeddings import FLIPPED, NOT_STATED, Embeddings
from samecar.embedding.runtimes.choosing import choose_runtime
from samecar.errors import SamecarError
from samecar.files import LARGEST_MODEL, read_whole
from samecar.models import Embedder
from samecar.models.composite import Network
from samecar.models.folders import (
    EXPORTED_FILE,
    MODEL_FILES,
    STATED_FILE,
    find_model,
    is_exported,
    stated_beside,
)
from samecar.models.layers.side_information import Side
from samecar.preprocessing import Pixels, Preprocessing
from samecar.progress import Progress, describe_speed, silent

Pictures = TypeVar("Pictures", PixelBatch, torch.Tensor)
"""A batch of pictures, for what normalises them itself or for the network."""


@name_lost_workers()
def embed(
    model: Network,
    manifest: Manifest,
    *,
    model_digest: str = NOT_STATED,
    batch_size: int = 64,
    workers: int = 0,
    flip: bool = False,
    progress: Progress = silent,
) -> Embeddings:
    """Embeds every picture of a manifest, in its order, as the network gives them: not brought to length one.

    The model is used where it is and in evaluation mode, and left in the mode in which it was. With `flip` an embedding
    is the mean of those of the picture and of its mirror image; the pictures themselves are not written to.

    Raises:
        SamecarError: the manifest is empty, or a picture cannot be read.
    """
    _refuse_empty(manifest)
    loader = evaluation_loader(manifest, model.preprocessing, batch_size=batch_size, workers=workers)
    side = _side_information(model, manifest)

    def embedded(pictures: torch.Tensor, rows: slice) -> NDArray[np.float32]:
        told = None if side is None else (side[0][rows], side[1][rows])
        embeddings: NDArray[np.float32] = _embed_batch(model, pictures, told, flip=flip).numpy(force=True)
        return embeddings

    was_training = model.training
    model.eval()
    try:
        matrix = _fill(loader, len(manifest), model.embedding_size, embedded, _device_of(model), progress)
    finally:
        model.train(was_training)
    return _with_rows(matrix, manifest, model_digest, flip=flip)


def _refuse_empty(manifest: Manifest) -> None:
    if not len(manifest):
        raise SamecarError(f"there is no picture to embed in {manifest.source}:{manifest.root / manifest.file}")


def _fill(
    batches: Iterable[Pictures],
    total: int,
    size: int,
    embedded: Callable[[Pictures, slice], NDArray[np.float32]],
    device: torch.device | None,
    progress: Progress,
) -> NDArray[np.float32]:
    """The embeddings of all pictures, which come batch by batch; (pictures, size)."""
    matrix = np.empty((total, size), np.float32)
    done, started = 0, time.perf_counter()
    for pictures in batches:
        rows = slice(done, done + len(pictures))
        matrix[rows] = embedded(pictures, rows)
        done = rows.stop
        progress("embedding", done, total, describe_speed(done, started, device))
    return matrix


def _with_rows(matrix: NDArray[np.float32], manifest: Manifest, model_digest: str, *, flip: bool) -> Embeddings:
    made_by = model_digest + FLIPPED if flip else model_digest
    return Embeddings(matrix, manifest, made_by, name_pictures(manifest))


@torch.inference_mode()
def _embed_batch(
    model: Network, pictures: torch.Tensor, side: Side | None = None, *, flip: bool = False
) -> torch.Tensor:
    """Embeddings of a batch as the network gives them, (batch, size) float32, where the model is.

    Args:
        model: in evaluation mode.
        pictures: (batch, 3, height, width) float32, normalised, wherever they are.
        side: what the model is told of them besides, likewise.
        flip: take the mean with the embeddings of the mirrored pictures.
    """
    device = _device_of(model)
    given = [pictures.to(device, non_blocking=True)]
    told = [] if side is None else [(side[0].to(device), side[1].to(device))]
    embeddings: torch.Tensor = model(*given, *told).float()
    return (embeddings + model(given[0].flip(-1), *told).float()) / 2 if flip else embeddings


def _side_information(model: Network, manifest: Manifest) -> Side | None:
    """Numbers of the cameras and views of all pictures, as the model knows them; None for a model that reads none."""
    if not isinstance(model, Embedder) or model.settings.side_information == "none":
        return None
    known = (np.asarray(names, dtype=np.str_) for names in (model.settings.side_cameras, model.settings.side_views))
    cameras, views = (
        torch.from_numpy(known_numbers(names, numbered))
        for names, numbered in zip((manifest.camera_id, manifest.view), known, strict=True)
    )
    return cameras, views


def _device_of(model: Network) -> torch.device:
    return next(model.parameters()).device


class Encoder:
    """From pictures to embeddings of length one, whatever runs the model; it is loaded when it is first needed.

    `open` finds it on disk; a gallery makes it of the files that it keeps. It may be used from several threads.

    Args:
        files: content by name: for each of `samecar.models.folders.MODEL_FILES`, or of an exported model.
        device: where it runs: auto, cpu, cuda, cuda:N, or a device of torch; auto is the GPU where there is one.

    Attributes:
        files: what it was made of.
        runtime: what runs the model.
        digest: of the model's content; two encoders with the same digest give the same embeddings.

    Raises:
        SamecarError: a file is missing, the description is damaged, the model reads side information, or the device is
            not there.
    """

    def __init__(self, files: Mapping[str, bytes], device: torch.device | str = "auto") -> None:
        self.files = dict(files)
        self.runtime = choose_runtime(files, device)
        self.digest = self.runtime.digest

    @classmethod
    def open(cls, source: str | os.PathLike[str], *, device: torch.device | str = "auto") -> Self:
        """Finds a model that was saved or exported.

        Args:
            source: a run, a run's folder, a fused or reduced model, a folder with model.json and model.safetensors,
                that model.safetensors, an .onnx file of `samecar export`, or one of others whose preprocessing was
                stated.
            device: where it runs: auto, cpu, cuda, cuda:N, or a device of torch; auto is the GPU where there is one.

        Raises:
            SamecarError: there is no model, the run has not ended, or a file cannot be read.
        """
        return cls({name: _read(path) for name, path in _find_files(Path(source)).items()}, device)

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        return self.runtime.preprocessing

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self.runtime.embedding_size

    def load(self) -> None:
        """Loads the model, if that was not done yet.

        Raises:
            SamecarError: it is damaged, of another model, or a library is missing.
        """
        self.runtime.load()

    def prepare(self, picture: Image.Image) -> Pixels:
        """A picture in the model's size; for `embed_prepared`, in a thread of one's own."""
        return self.preprocessing.pixels(picture)

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Embeds upright RGB pictures in one batch; (pictures, size) float32 of length one.

        A picture's embedding does not depend on what else is in the batch, but for rounding.
        """
        return self.embed_prepared([self.prepare(picture) for picture in pictures])

    def embed_prepared(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds what `prepare` made, in one batch; (pictures, size) float32 of length one."""
        if not len(pictures):
            return np.empty((0, self.embedding_size), np.float32)
        return self.runtime.embed(pictures)

    def embed_manifest(
        self,
        manifest: Manifest,
        *,
        batch_size: int = 64,
        workers: int = 0,
        flip: bool = False,
        progress: Progress = silent,
    ) -> Embeddings:
        """Embeds every picture of a manifest, in its order; of length one, but for means with the mirrored picture.

        Args:
            manifest: which pictures.
            batch_size: pictures in a batch.
            workers: threads that read, beside the model; 0 reads in turns with it.
            flip: average each embedding with that of the mirrored picture.
            progress: is told how far the work is.

        Raises:
            SamecarError: the manifest is empty, or a picture cannot be read.
        """
        _refuse_empty(manifest)

        def embedded(pictures: PixelBatch, _rows: slice) -> NDArray[np.float32]:
            embeddings = self.embed_prepared(list(pictures))
            if not flip:
                return embeddings
            mirrored = self.embed_prepared(list(pictures[..., ::-1].copy()))
            mean: NDArray[np.float32] = (embeddings + mirrored) / np.float32(2)
            return mean

        with closing(read_batches(manifest, self.preprocessing, batch_size, threads=workers)) as batches:
            matrix = _fill(batches, len(manifest), self.embedding_size, embedded, self.runtime.device, progress)
        return _with_rows(matrix, manifest, self.digest, flip=flip)


def _find_files(place: Path) -> dict[str, Path]:
    """Where the files of a model lie, by the names that a gallery keeps them under.

    Raises:
        SamecarError: there is no model, or the run has not ended.
    """
    if is_exported(place) and place.is_file():
        stated = stated_beside(place)
        return {EXPORTED_FILE: place, **({STATED_FILE: stated} if stated.is_file() else {})}
    folder = find_model(place)
    return {name: folder / name for name in MODEL_FILES}


def _read(path: Path) -> bytes:
    try:
        return read_whole(path, LARGEST_MODEL)
    except OSError as error:
        raise SamecarError(f"{path} cannot be read: {error.strerror}; mend it") from error
