"""The encoder: from pictures to embeddings."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.data.manifest import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.filling import embed_in_batches, refuse_empty, with_rows
from samecar.embedding.runtimes.choosing import choose_runtime
from samecar.errors import SamecarError
from samecar.files import LARGEST_MODEL, read_whole
from samecar.models.folders import (
    EXPORTED_FILE,
    MODEL_FILES,
    STATED_FILE,
    find_model,
    holds_model,
    is_exported,
    stated_beside,
)
from samecar.preprocessing import Pixels, Preprocessing
from samecar.progress import Progress, silent

if TYPE_CHECKING:
    import torch

MANY: Final = 256
"""Pictures from which on quickening takes less time than it saves."""


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

    def __init__(self, files: Mapping[str, bytes], device: "torch.device | str" = "auto") -> None:
        self.files = dict(files)
        self.runtime = choose_runtime(files, device)
        self.digest = self.runtime.digest

    @classmethod
    def open(cls, source: str | os.PathLike[str], *, device: "torch.device | str" = "auto") -> Self:
        """Finds a model that was saved or exported.

        Args:
            source: a run, a run's folder, a fused or reduced model, a folder with model.json and model.safetensors,
                that model.safetensors, an .onnx file of `samecar export`, one of others whose preprocessing was stated,
                or a folder with such a file as model.onnx.
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

    def quicken(self) -> None:
        """Has the quickest runtime take over that is installed and agrees with torch in float32; before many pictures.

        On a processor a trained network is converted for onnxruntime, or else frozen by torch, which takes a second or
        two. Embeddings of a picture before and after have a cosine of 0.9999 at least. `runtime.name` says what runs.
        An exported model stays as it is.

        Raises:
            SamecarError: as in `load`.
        """
        self.runtime.quicken()

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
        refuse_empty(manifest)
        matrix = embed_in_batches(
            self.embed_prepared,
            manifest,
            self.preprocessing,
            self.embedding_size,
            batch_size=batch_size,
            threads=workers,
            flip=flip,
            device=self.runtime.device,
            progress=progress,
        )
        return with_rows(matrix, manifest, self.digest, self.runtime.name, flip=flip)


def _find_files(place: Path) -> dict[str, Path]:
    """Where the files of a model lie, by the names that a gallery keeps them under.

    Raises:
        SamecarError: there is no model, or the run has not ended.
    """
    if not holds_model(place) and (place / EXPORTED_FILE).is_file():
        place = place / EXPORTED_FILE
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
