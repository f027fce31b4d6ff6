"""Embeddings and the rows that they belong to, saved and loaded; nothing here needs torch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import COLUMNS, Manifest
from samecar.embedding.npy import read_npy, write_npy
from samecar.embedding.npz import FACTS, RUNTIME, read_npz
from samecar.errors import SamecarError
from samecar.files import as_path, write_file
from samecar.labels import LABELS, Column, Labels
from samecar.similarity.products import Matrix

FLIP = "flip (mean with the mirrored picture); looks at one picture at a time"
"""What the protocol card says of embeddings made so."""

FLIPPED = " with flip"
"""Stands behind the digest of the model that made them."""

PICTURE = "picture"
"""The column of a file that tells copies of a picture."""

NOT_STATED = "not stated"
"""Stands for the model, or for what ran it, where nobody says which one made them."""

SUFFIXES = (".npz", ".npy")
"""Names that embeddings are written under."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A matrix, and what is known of the pictures that its rows belong to.

    Attributes:
        matrix: (pictures, size); float32 where samecar made it, or as others gave it.
        rows: of the pictures, in the matrix's order: a manifest, which says where they lie, or labels alone.
        model: digest of the model that made them.
        pictures: (pictures,) names of the pictures, as `name_copies` gives them; None if the paths in a manifest are.
        runtime: what ran the model, and the numbers that it computed with, such as "onnxruntime, int8".

    Raises:
        SamecarError: there are more or fewer rows than embeddings.
    """

    matrix: Matrix
    rows: Manifest | Labels
    model: str = NOT_STATED
    pictures: Column | None = None
    runtime: str = NOT_STATED

    def __post_init__(self) -> None:
        if len(self.matrix) != len(self.rows):
            raise SamecarError(f"{len(self.matrix)} embeddings have {len(self.rows)} labels; give one for each")

    def __len__(self) -> int:
        return len(self.matrix)

    def __repr__(self) -> str:
        shape = " × ".join(f"{side:,}" for side in np.shape(self.matrix))
        return f"{type(self).__name__}({shape}, model {self.model})"

    @property
    def manifest(self) -> Manifest:
        """Which pictures these are.

        Raises:
            SamecarError: they came with labels alone.
        """
        if isinstance(self.rows, Labels):
            raise SamecarError(
                "these embeddings came with labels alone, which do not say where the pictures lie; make them with "
                "`samecar embed`, or give a manifest with them"
            )
        return self.rows

    @cached_property
    def labels(self) -> Labels:
        """Who is seen by which camera in each row."""
        if isinstance(self.rows, Labels):
            return self.rows
        pictures = np.array(self.rows.absolute_paths(), np.str_) if self.pictures is None else self.pictures
        return Labels(**{name: self.rows.column(name) for name in LABELS}, picture=pictures)

    def select(self, chosen: NDArray[Any]) -> "Embeddings":
        """Some of the rows.

        Args:
            chosen: a mask (pictures,) or row numbers, in the order wanted.
        """
        pictures = None if self.pictures is None else self.pictures[chosen]
        return Embeddings(self.matrix[chosen], self.rows.select(chosen), self.model, pictures, self.runtime)

    def of_split(self, split: str) -> "Embeddings":
        """The rows of one split of the manifest."""
        return self.select(np.flatnonzero(self.manifest.split == split))

    def save(self, path: str | Path) -> None:
        """Writes an .npz file, or a .npy file with a .csv table beside it.

        The .npz file has `embeddings`, `model`, `runtime` and the manifest's columns, without pickle; where files are
        copies of each other also a column `picture`, which is the same for copies. The table is the manifest; neither
        which model made the embeddings nor which files are copies is in it.

        Raises:
            SamecarError: the name ends otherwise, there is no manifest, or another table lies beside the .npy file.
        """
        path = as_path(path, "file of embeddings")
        refuse_name(path)
        manifest = self.manifest
        if path.suffix == ".npy":
            write_npy(path, self.matrix, manifest)
            return
        columns: dict[str, Any] = {name: manifest.column(name) for name in COLUMNS}
        if self.pictures is not None and self.pictures.tolist() != manifest.absolute_paths():
            columns[PICTURE] = self.pictures
        with write_file(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                embeddings=self.matrix,
                model=np.array(self.model),
                runtime=np.array(self.runtime),
                root=np.array(str(manifest.root)),
                source=np.array(manifest.source),
                **columns,
            )

    @classmethod
    def load(cls, path: str | Path) -> "Embeddings":
        """Reads what `save` wrote; `samecar.embedding.reading.read_split` is content with less.

        Raises:
            SamecarError: the file is absent, damaged, or lacks a column.
        """
        path = as_path(path, "file of embeddings")
        if path.suffix == ".npy":
            return cls(*read_npy(path))
        content = read_npz(path, (*COLUMNS, *FACTS), (PICTURE, RUNTIME))
        columns: dict[str, Any] = content.columns
        pictures = columns.pop(PICTURE, None)
        try:
            manifest = Manifest(Path(content.facts["root"]), **columns, source=content.facts["source"])
        except SamecarError as error:
            raise SamecarError(f"{path}: {error}") from error
        return cls(content.matrix, manifest, content.facts["model"], pictures, content.facts.get(RUNTIME, NOT_STATED))


def refuse_name(path: Path) -> None:
    """Refuses a name that embeddings are not written under.

    Raises:
        SamecarError: the name does not end with one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise SamecarError(f"{path}: embeddings are written as .npz or .npy; give a name that ends so")
