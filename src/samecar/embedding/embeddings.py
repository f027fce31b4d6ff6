"""Embeddings of pictures: made by a model, kept beside the rows that they belong to, saved and loaded."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from samecar.data import COLUMNS, Manifest, evaluation_loader, evaluation_transform
from samecar.errors import SamecarError
from samecar.files import as_path, written_file
from samecar.labels import Labels
from samecar.models import Embedder
from samecar.progress import Progress, describe_speed, silent
from samecar.similarity.products import Matrix

FLIP = "flip (mean with the mirrored picture); looks at one picture at a time"
"""What the protocol card says of embeddings made so."""

FLIPPED = " with flip"
"""Stands behind the digest of the model that made them."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A matrix and the manifest rows that its rows belong to.

    Attributes:
        matrix: (pictures, size) float32.
        manifest: (pictures) rows, in the matrix's order.
        model: digest of the model that made them.
    """

    matrix: NDArray[np.float32]
    manifest: Manifest
    model: str

    def __len__(self) -> int:
        return len(self.matrix)

    def __repr__(self) -> str:
        shape = " × ".join(f"{side:,}" for side in np.shape(self.matrix))
        return f"{type(self).__name__}({shape}, model {self.model})"

    def of_split(self, split: str) -> "Embeddings":
        """The rows of one split."""
        rows = np.flatnonzero(self.manifest.split == split)
        return Embeddings(self.matrix[rows], self.manifest.select(rows), self.model)

    def save(self, path: str | Path) -> None:
        """Writes an .npz file with `embeddings`, `model` and the manifest's columns, without pickle."""
        path = as_path(path, "file of embeddings")
        refuse_name(path)
        columns = {name: getattr(self.manifest, name) for name in COLUMNS}
        with written_file(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                embeddings=self.matrix,
                model=np.array(self.model),
                root=np.array(str(self.manifest.root)),
                source=np.array(self.manifest.source),
                **columns,
            )

    @classmethod
    def load(cls, path: str | Path) -> "Embeddings":
        """Reads what `save` wrote.

        Raises:
            SamecarError: the file is absent, damaged, or lacks a column.
        """
        path = as_path(path, "file of embeddings")
        try:
            with np.load(path, allow_pickle=False) as content:
                manifest = Manifest(
                    root=Path(str(content["root"])),
                    source=str(content["source"]),
                    **{name: content[name] for name in COLUMNS},
                )
                matrix, model = content["embeddings"], str(content["model"])
        except Exception as error:  # what numpy raises depends on how the file is damaged
            raise SamecarError(f"{path} holds no embeddings of `samecar embed`: {error}") from error
        if matrix.ndim != 2 or len(matrix) != len(manifest):
            raise SamecarError(
                f"{path} holds no embeddings of `samecar embed`: they have shape {matrix.shape} for {len(manifest)} "
                "pictures"
            )
        return cls(matrix, manifest, model)


def refuse_name(path: Path) -> None:
    """Refuses a name that embeddings are not written under.

    Raises:
        SamecarError: the name does not end with .npz.
    """
    if path.suffix != ".npz":
        raise SamecarError(f"{path}: embeddings are written as .npz; give a name that ends so")


def embed(
    model: Embedder,
    manifest: Manifest,
    *,
    model_digest: str = "not stated",
    device: torch.device | None = None,
    batch_size: int = 64,
    workers: int = 0,
    flip: bool = False,
    progress: Progress = silent,
) -> Embeddings:
    """Embeds every picture of a manifest, in its order.

    The model is used in evaluation mode and left in the mode in which it was. With `flip` an embedding is the mean of
    those of the picture and of its mirror image; the pictures themselves are not written to.

    Raises:
        SamecarError: the manifest is empty, or a picture cannot be read.
    """
    if not len(manifest):
        raise SamecarError(f"there is no picture to embed in {manifest.source}:{manifest.root}")
    device = device or next(model.parameters()).device
    transform = evaluation_transform(model.height, model.width, model.mean, model.deviation)
    size = model.height, model.width
    loader = evaluation_loader(manifest, transform, batch_size=batch_size, workers=workers, size=size)
    matrix = np.empty((len(manifest), model.embedding_size), np.float32)
    done, started = 0, time.perf_counter()
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for pictures in loader:
                rows = slice(done, done + len(pictures))
                pictures = pictures.to(device, non_blocking=True)
                embedded = model(pictures).float()
                if flip:
                    embedded = (embedded + model(pictures.flip(-1)).float()) / 2
                matrix[rows] = embedded.cpu().numpy()
                done = rows.stop
                progress("embedding", done, len(manifest), describe_speed(done, started, device))
    finally:
        model.train(was_training)
    return Embeddings(matrix, manifest, model_digest + FLIPPED if flip else model_digest)


class Labelled(NamedTuple):
    """Embeddings and who is seen on them."""

    matrix: Matrix  # (pictures, size)
    labels: Labels

    @property
    def rows(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def select(self, rows: NDArray[np.int64]) -> "Labelled":
        """Some of the pictures."""
        return Labelled(self.matrix[rows], self.labels.select(rows))
