"""Embeddings from anywhere: .npz files, or a .npy matrix beside a table."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.data import Manifest
from samecar.data.manifest import TABLE_SUFFIXES
from samecar.embedding.embeddings import Labelled
from samecar.errors import SamecarError
from samecar.labels import LABELS, Labels
from samecar.similarity.products import Matrix

REQUIRED = ("embeddings", "vehicle_id", "camera_id")


def load_labelled(path: Path, split: str) -> Labelled:
    """Reads embeddings and their labels.

    Args:
        path: an .npz file with `embeddings` (pictures, size), `vehicle_id` and `camera_id` (pictures,), and if known
            `path`, `track_id`, `type`, `colour` and `split`, as `samecar embed` writes it; or a .csv or .parquet
            manifest, whose embeddings lie beside it in a .npy file of the same name, row by row; or that .npy file.
        split: 'query' or 'gallery'; where the file tells splits, the rows of this one are taken.

    Raises:
        SamecarError: the file is absent, damaged or lacks something, labels and embeddings do not fit, or no row is of
            the split.
    """
    matrix, columns = _read_npz(path) if path.suffix == ".npz" else _read_table(path)
    if matrix.ndim != 2:
        raise SamecarError(f"{path} has embeddings of shape {matrix.shape}; they must be a matrix (pictures, size)")
    for name, column in columns.items():
        if column.shape != (len(matrix),):
            raise SamecarError(f"{path} has {name} of shape {column.shape} for {len(matrix)} embeddings")
    labels = Labels(**{name: columns[name] for name in LABELS if name in columns})
    if "split" not in columns:
        return Labelled(matrix, labels)
    rows = np.flatnonzero(columns["split"] == split)
    if not len(rows):
        raise SamecarError(f"{path} has no row of split {split!r}; its splits are {_listed(columns['split'])}")
    return Labelled(matrix, labels) if len(rows) == len(matrix) else Labelled(matrix, labels).select(rows)


def _read_npz(path: Path) -> tuple[Matrix, dict[str, NDArray[np.str_]]]:
    if not path.is_file():
        raise SamecarError(f"{path} is not there; give an .npz file of embeddings")
    try:
        with np.load(path, allow_pickle=False) as content:
            missing = [name for name in REQUIRED if name not in content]
            arrays = {name: content[name] for name in (*REQUIRED, *LABELS, "split") if name in content}
    except Exception as error:  # what numpy raises depends on how the file is damaged
        raise SamecarError(f"{path} cannot be read as .npz: {error}") from error
    if missing:
        raise SamecarError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
    return arrays.pop("embeddings"), {name: _texts(path, name, array) for name, array in arrays.items()}


def _read_table(path: Path) -> tuple[Matrix, dict[str, NDArray[np.str_]]]:
    if path.suffix == ".npy":
        tables = [path.with_suffix(suffix) for suffix in TABLE_SUFFIXES]
        table = next((table for table in tables if table.is_file()), None)
        if table is None:
            raise SamecarError(f"{path} has no labels; put {' or '.join(table.name for table in tables)} beside it")
    elif path.suffix in TABLE_SUFFIXES:
        table = path
    else:
        raise SamecarError(f"embeddings {path} end in {path.suffix or 'nothing'!r}; give .npz, .npy, .csv or .parquet")
    manifest = Manifest.read(table)
    matrix_path = path.with_suffix(".npy")
    if not matrix_path.is_file():
        raise SamecarError(f"{table} has no embeddings; put {matrix_path.name} beside it")
    try:
        matrix = np.load(matrix_path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SamecarError(f"{matrix_path} cannot be read as .npy: {error}") from error
    return matrix, {name: manifest.column(name) for name in (*LABELS, "split")}


def _texts(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.str_]:
    """Ids as texts; whole numbers are ids as well, other numbers are not."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if array.dtype.kind not in "Uiu":
        raise SamecarError(f"{path} has {name} of type {array.dtype}; give texts or whole numbers")
    return array.astype(np.str_)


def _listed(splits: NDArray[np.str_]) -> str:
    return ", ".join(repr(str(split)) for split in np.unique(splits)) or "none"
