"""The one reader of .npz files of embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.labels import Column
from samecar.similarity.products import Matrix

FACTS = ("model", "root", "source")
"""What is said of all rows at once: who made them, and the pictures' folder and source."""

RUNTIME = "runtime"
"""A fact that files of former versions lack: what ran the model."""


@dataclass(frozen=True)
class Content:
    """What a file holds of what was looked for.

    Attributes:
        matrix: (pictures, size), in the file's own type of number.
        columns: by name, (pictures,) texts.
        facts: by name.
    """

    matrix: Matrix
    columns: dict[str, Column]
    facts: dict[str, str]


def read_npz(path: Path, needed: Sequence[str], known: Sequence[str] = ()) -> Content:
    """Reads embeddings with what is known of their rows.

    Args:
        path: an .npz file with `embeddings` (pictures, size).
        needed: columns and facts that it must hold besides.
        known: those that it may hold.

    Raises:
        SamecarError: the file is absent or damaged, lacks something, or its columns do not fit the embeddings.
    """
    if not path.is_file():
        raise SamecarError(f"{path} is not there; give an .npz file of embeddings")
    needed = ("embeddings", *needed)
    try:
        with np.load(path, allow_pickle=False) as content:
            missing = [name for name in needed if name not in content]
            arrays = {name: content[name] for name in (*needed, *known) if name in content}
    except Exception as error:  # what numpy raises depends on how the file is damaged
        raise SamecarError(f"{path} cannot be read as .npz: {error}") from error
    if missing:
        raise SamecarError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(needed)}")
    matrix = arrays.pop("embeddings")
    facts = {name: str(arrays.pop(name)) for name in (*FACTS, RUNTIME) if name in arrays}
    columns = {name: _as_texts(path, name, array) for name, array in arrays.items()}
    check_rows(path, matrix, columns)
    return Content(matrix, columns, facts)


def check_rows(path: Path, matrix: Matrix, columns: dict[str, Column]) -> None:
    """Checks that embeddings are a matrix and that every column has a value for each.

    Raises:
        SamecarError: they do not; the sentence names the file.
    """
    if matrix.ndim != 2:
        raise SamecarError(f"{path} has embeddings of shape {matrix.shape}; they must be a matrix (pictures, size)")
    for name, column in columns.items():
        if column.shape != (len(matrix),):
            raise SamecarError(f"{path} has {name} of shape {column.shape} for {len(matrix)} embeddings")


def _as_texts(path: Path, name: str, array: NDArray[Any]) -> Column:
    """Ids as texts without blanks around them, but for paths; whole numbers are ids as well, other numbers are not."""
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind not in "Uiu":
        raise SamecarError(f"{path} has {name} of type {array.dtype}; give texts or whole numbers")
    texts = array.astype(np.str_)
    return texts if name == "path" else np.strings.strip(texts)
