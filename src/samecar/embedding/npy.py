"""Embeddings as a .npy matrix beside a table of its rows, which any tool reads."""

from pathlib import Path

import numpy as np

from samecar.data.manifest import COLUMNS, Manifest
from samecar.data.tables import TABLE_SUFFIXES
from samecar.embedding.npz import check_rows
from samecar.errors import SamecarError
from samecar.files import write_file
from samecar.similarity.products import Matrix


def read_npy(path: Path) -> tuple[Matrix, Manifest]:
    """Reads a matrix and the table beside it.

    Args:
        path: of the .npy file, or of the .csv or .parquet file of the same name.

    Raises:
        SamecarError: one of the two is absent or damaged, or they have different numbers of rows.
    """
    manifest = Manifest.read(_find_table(path) if path.suffix == ".npy" else path)
    matrix_path = path.with_suffix(".npy")
    if not matrix_path.is_file():
        raise SamecarError(f"{path} has no embeddings; put {matrix_path.name} beside it")
    try:
        matrix = np.load(matrix_path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SamecarError(f"{matrix_path} cannot be read as .npy: {error}") from error
    check_rows(path, matrix, {name: manifest.column(name) for name in COLUMNS})
    return matrix, manifest


def write_npy(path: Path, matrix: Matrix, manifest: Manifest) -> None:
    """Writes a matrix, and a .csv table of the same name beside it.

    Args:
        path: of the .npy file.
        matrix: (pictures, size).
        manifest: of the pictures, in the matrix's order.

    Raises:
        SamecarError: another table of that name is there, or the files cannot be written.
    """
    is_new = not refuse_other_table(path, manifest)
    with write_file(path) as temporary:
        with temporary.open("wb") as file:
            np.save(file, matrix)
        if is_new:
            manifest.write(path.with_suffix(".csv"))


def refuse_other_table(path: Path, manifest: Manifest) -> bool:
    """Checks, before there is work to lose, that the table beside a .npy file does not replace another one.

    Returns:
        Whether the table of these pictures is there already.

    Raises:
        SamecarError: a file of its name holds anything else.
    """
    table = path.with_suffix(".csv")
    if not table.exists():
        return False
    try:
        same = _described(Manifest.read(table)) == _described(manifest)
    except SamecarError:
        same = False
    if not same:
        raise SamecarError(f"{table} is there already and is not the table of these embeddings; give another name")
    return True


def _find_table(path: Path) -> Path:
    tables = [path.with_suffix(suffix) for suffix in TABLE_SUFFIXES]
    table = next((table for table in tables if table.is_file()), None)
    if table is None:
        raise SamecarError(f"{path} has no labels; put {' or '.join(table.name for table in tables)} beside it")
    return table


def _described(manifest: Manifest) -> list[tuple[str, ...]]:
    """The rows of a manifest with absolute paths."""
    others = manifest.rows([name for name in COLUMNS if name != "path"])
    return [(path, *rest) for path, rest in zip(manifest.absolute_paths(), others, strict=True)]
