"""The encoder: from pictures to embeddings."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from samecar.data import Manifest, evaluation_loader, known_numbers
from samecar.data.copies import name_pictures
from samecar.data.transforms import PictureTransform, TensorTransform, normalise_transform, resize_transform
from samecar.data.workers import name_lost_workers
from samecar.embedding.embeddings import FLIPPED, NOT_STATED, Embeddings
from samecar.errors import SamecarError
from samecar.files import LARGEST_MODEL, read_whole
from samecar.hardware import find_device, in_parts
from samecar.models import Embedder
from samecar.models.composite import Network, PlainDescription
from samecar.models.layers.side_information import Side, refuse_side_information
from samecar.models.saved import (
    DESCRIPTION_FILE,
    MODEL_FILES,
    TENSORS_FILE,
    find_model,
    parse_description,
    parse_model,
    tensors_digest,
)
from samecar.preprocessing import Preprocessing
from samecar.progress import Progress, describe_speed, silent


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
    if not len(manifest):
        raise SamecarError(f"there is no picture to embed in {manifest.source}:{manifest.root / manifest.file}")
    loader = evaluation_loader(manifest, model.preprocessing, batch_size=batch_size, workers=workers)
    side = _side_information(model, manifest)
    matrix = np.empty((len(manifest), model.embedding_size), np.float32)
    done, started = 0, time.perf_counter()
    was_training = model.training
    model.eval()
    try:
        for pictures in loader:
            rows = slice(done, done + len(pictures))
            told = None if side is None else (side[0][rows], side[1][rows])
            matrix[rows] = _embed_batch(model, pictures, told, flip=flip).numpy(force=True)
            done = rows.stop
            progress("embedding", done, len(manifest), describe_speed(done, started, _device_of(model)))
    finally:
        model.train(was_training)
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


class HasFolder(Protocol):
    """A run, or whatever else lies in a folder of its own."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...


class _Ready(NamedTuple):
    """A model that was built, and what happens to a picture before: first one by one, then to a batch."""

    embedder: Network  # in evaluation mode
    resize: PictureTransform
    normalise: TensorTransform


class Encoder:
    """From pictures to embeddings of length one; its network is built when it is first needed.

    `open` finds it on disk; a gallery makes it of the files that it keeps. It may be used from several threads.

    Args:
        files: content by name, for each of `samecar.models.saved.MODEL_FILES`.
        device: where it runs: auto, cpu, cuda, cuda:N, or a device of torch; auto is the GPU where there is one.

    Attributes:
        files: what it was made of.
        digest: of its tensors; two encoders with the same digest give the same embeddings.

    Raises:
        SamecarError: a file is missing, the description is damaged, the model reads side information, or the device is
            not there.
    """

    def __init__(self, files: Mapping[str, bytes], device: torch.device | str = "auto") -> None:
        missing = [name for name in MODEL_FILES if name not in files]
        if missing:
            raise SamecarError(f"the model lacks {missing[0]}; it needs {' and '.join(MODEL_FILES)}")
        self.files = dict(files)
        self.digest = tensors_digest(files[TENSORS_FILE])
        self._description = parse_description(files[DESCRIPTION_FILE])
        if isinstance(self._description, PlainDescription):
            refuse_side_information(self._description.settings, "a gallery, a comparison and the service")
        self._device = find_device(device) if isinstance(device, str) else device
        self._lock = Lock()
        self._ready: _Ready | None = None

    @classmethod
    def open(cls, source: str | Path | HasFolder, *, device: torch.device | str = "auto") -> Self:
        """Finds a model that was saved.

        Args:
            source: a run, a run's folder, a fused or reduced model, a folder with model.json and model.safetensors, or
                that model.safetensors.
            device: where it runs: auto, cpu, cuda, cuda:N, or a device of torch; auto is the GPU where there is one.

        Raises:
            SamecarError: there is no model, the run has not ended, or a file cannot be read.
        """
        folder = find_model(Path(source if isinstance(source, str | Path) else source.folder))
        files = {}
        for name in MODEL_FILES:
            try:
                files[name] = read_whole(folder / name, LARGEST_MODEL)
            except OSError as error:
                raise SamecarError(f"{folder / name} cannot be read: {error.strerror}; mend it") from error
        return cls(files, device)

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        return self.load().embedder.preprocessing

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self.load().embedder.embedding_size

    def load(self) -> "_Ready":
        """Builds the network, if that was not done yet.

        Raises:
            SamecarError: the tensors are damaged or of another model.
        """
        with self._lock:
            if self._ready is None:
                self._ready = self._built()
            return self._ready

    def _built(self) -> "_Ready":
        model = parse_model(self._description, self.files[TENSORS_FILE])
        model.eval().to(self._device)
        if self._device.type == "cpu":
            model.to(memory_format=torch.channels_last)  # quicker there, and alike but for rounding
        return _Ready(model, resize_transform(model.preprocessing), normalise_transform(model.preprocessing))

    def prepare(self, picture: Image.Image) -> torch.Tensor:
        """A picture in the model's size, uint8 (3, height, width); for `embed_prepared`, in a thread of one's own.

        What is left to do is quicker for a batch: on small tensors the threads of torch cost more than they bring, and
        take the cores from the model's.
        """
        return self.load().resize(picture)

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Embeds upright RGB pictures in one batch; (pictures, size) float32 of length one.

        A picture's embedding does not depend on what else is in the batch, but for rounding.
        """
        return self.embed_prepared([self.prepare(picture) for picture in pictures])

    def embed_prepared(self, pictures: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Embeds what `prepare` made, in one batch; (pictures, size) float32 of length one."""
        model, _, normalise = self.load()
        device = _device_of(model)

        @torch.inference_mode()
        def embedded(part: Sequence[torch.Tensor]) -> NDArray[np.float32]:
            batch = normalise(torch.stack(list(part)).to(device))  # (pictures, 3, height, width)
            embeddings: NDArray[np.float32] = functional.normalize(_embed_batch(model, batch)).cpu().numpy()
            return embeddings

        if not pictures:
            return np.empty((0, model.embedding_size), np.float32)
        return np.concatenate(in_parts(embedded, pictures)) if device.type == "cpu" else embedded(pictures)
