"""Whether the catalogue of a gallery is sound."""

import sqlite3

import numpy as np

from samecar.progress import Progress, silent
from samecar.retrieval.folder.catalogue import Catalogue
from samecar.retrieval.records import LENGTH_TOLERANCE

_JPEG = "FFD8FF"  # how every JPEG file begins


def find_faults(catalogue: Catalogue, size: int, progress: Progress = silent) -> list[str]:
    """A sentence for each thing that is wrong.

    Args:
        catalogue: is read from beginning to end.
        size: numbers that an embedding must have.
        progress: is told how many embeddings were looked at.
    """

    def work(connection: sqlite3.Connection) -> list[str]:
        faults = [f"the catalogue is damaged: {row[0]}" for row in connection.execute("PRAGMA integrity_check")]
        if faults != ["the catalogue is damaged: ok"]:
            return faults
        return [
            *_find_missing(connection),
            *_check_embeddings(catalogue, connection, size, progress),
        ]

    return catalogue.read(work)


def _find_missing(connection: sqlite3.Connection) -> list[str]:
    faults = [
        f"{table} {row} belongs to no entry; put the gallery back from a backup"
        for table, row, *_ in connection.execute("PRAGMA foreign_key_check")
    ]
    for (number,) in connection.execute("SELECT id FROM entries WHERE id NOT IN (SELECT id FROM embeddings)"):
        faults.append(f"entry {number} has no embedding; remove it and add its picture again")
    statement = "SELECT id FROM thumbnails WHERE hex(substr(thumbnail, 1, 3)) != ?"
    for (number,) in connection.execute(statement, [_JPEG]):
        faults.append(f"the thumbnail of entry {number} is no JPEG; remove the entry and add its picture again")
    return faults


def _check_embeddings(catalogue: Catalogue, connection: sqlite3.Connection, size: int, progress: Progress) -> list[str]:
    lengths = connection.execute("SELECT id FROM embeddings WHERE length(embedding) != ?", [2 * size]).fetchall()
    if lengths:
        return [
            f"the embedding of entry {number} has not {size} numbers; add its picture again" for (number,) in lengths
        ]
    faults = []
    total = connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
    done = 0
    for ids, matrix in catalogue.added(connection, 0):
        norms = np.linalg.norm(matrix.astype(np.float32), axis=1)
        wrong = ~(abs(norms - 1) < 2 * LENGTH_TOLERANCE)  # also where it is not a number
        faults += [
            f"the embedding of entry {number} has not length one; add its picture again" for number in ids[wrong]
        ]
        done += len(ids)
        progress("check", done, total)
    return faults
