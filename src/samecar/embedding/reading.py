"""Embeddings from anywhere: .npz files, or a .npy matrix beside a table."""

from pathlib import Path

import numpy as np

from samecar.data.manifest import join_paths
from samecar.data.tables import TABLE_SUFFIXES
from samecar.embedding.embeddings import NOT_STATED, PICTURE, Embeddings
from samecar.embedding.npy import read_npy
from samecar.embedding.npz import RUNTIME, Content, read_npz
from samecar.errors import SamecarError
from samecar.labels import LABELS, Labels

NEEDED = ("vehicle_id", "camera_id")
"""Columns without which nothing can be scored."""


def read_split(path: Path, split: str) -> Embeddings:
    """Reads embeddings and their labels from a file that anybody may have written.

    Args:
        path: an .npz file with `embeddings` (pictures, size), `vehicle_id` and `camera_id` (pictures,), and if known
            `path`, `track_id`, `type`, `colour`, `picture` (the same for copies of a picture; by default the path),
            `split` and `model`, as `samecar embed` writes it; or a .csv or .parquet manifest, whose embeddings lie
            beside it in a .npy file of the same name, row by row; or that .npy file.
        split: 'query' or 'gallery'; where the file tells splits, the rows of this one are taken.

    Returns:
        Embeddings in the file's own type of number, with labels.

    Raises:
        SamecarError: the file is absent, damaged or lacks something, labels and embeddings do not fit, or no row is of
            the split.
    """
    known = (*LABELS, PICTURE, "split", "model", "root", RUNTIME)
    content = read_npz(path, NEEDED, known) if path.suffix == ".npz" else _read_table(path)
    columns = content.columns
    if "path" in columns and "root" in content.facts:
        columns = {PICTURE: np.array(join_paths(content.facts["root"], columns["path"]), np.str_), **columns}
    labels = Labels(**{name: columns[name] for name in (*LABELS, PICTURE) if name in columns})
    model, runtime = (content.facts.get(name, NOT_STATED) for name in ("model", RUNTIME))
    embeddings = Embeddings(content.matrix, labels, model, runtime=runtime)
    if "split" not in columns:
        return embeddings
    rows = np.flatnonzero(columns["split"] == split)
    if not len(rows):
        splits = ", ".join(repr(str(other)) for other in np.unique(columns["split"])) or "none"
        raise SamecarError(f"{path} has no row of split {split!r}; its splits are {splits}")
    return embeddings if len(rows) == len(embeddings) else embeddings.select(rows)


def _read_table(path: Path) -> Content:
    if path.suffix not in (".npy", *TABLE_SUFFIXES):
        raise SamecarError(f"embeddings {path} end in {path.suffix or 'nothing'!r}; give .npz, .npy, .csv or .parquet")
    matrix, manifest = read_npy(path)
    columns = {name: manifest.column(name) for name in (*LABELS, "split")}
    return Content(matrix, columns, {"root": str(manifest.root.absolute())})
