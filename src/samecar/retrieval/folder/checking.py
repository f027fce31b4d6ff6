"""Whether the catalogue of a gallery is sound."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from samecar.progress import Progress, silent
from samecar.retrieval.folder.catalogue import Catalogue
from samecar.retrieval.folder.connecting import LARGEST_VALUE
from samecar.retrieval.folder.schema import UNDATED
from samecar.retrieval.records import LENGTH_TOLERANCE, TEXTS

_JPEG = "x'FFD8FF'"  # how every JPEG file begins

_NO_JPEG = f"typeof(thumbnail) != 'blob' OR length(thumbnail) > {LARGEST_VALUE} OR substr(thumbnail, 1, 3) != {_JPEG}"

_NO_BYTES = f"typeof(query_picture) NOT IN ('blob', 'null') OR length(query_picture) > {LARGEST_VALUE}"

_NO_TEXTS = " OR ".join(f"typeof({name}) != 'text'" for name in ("content", "address", *TEXTS))

_FAULTS = (
    (
        f"SELECT id FROM entries WHERE {_NO_TEXTS}",  # noqa: S608 - names of fields
        "entry {} knows something that is no text; remove it and add its picture again",
    ),
    (
        "SELECT id FROM entries WHERE length(content) != 64 OR content GLOB '*[^0-9a-f]*'",
        "the content of entry {} is no SHA-256; remove it and add its picture again",
    ),
    (
        "SELECT id FROM entries WHERE time IS NOT NULL AND (typeof(time) != 'real' OR time < ? OR time >= ?)",
        "the time of entry {} lies in no year from 1 to 9999; remove it and add its picture again",
    ),
    (
        "SELECT entry FROM labels WHERE typeof(name) != 'text' OR typeof(value) != 'text'",
        "a label of entry {} is no text; remove it and add its picture again",
    ),
    (
        "SELECT id FROM entries WHERE id NOT IN (SELECT id FROM embeddings)",
        "entry {} has no embedding; remove it and add its picture again",
    ),
    (
        f"SELECT id FROM thumbnails WHERE {_NO_JPEG}",  # noqa: S608 - a constant
        "the thumbnail of entry {} is no JPEG; remove the entry and add its picture again",
    ),
    (
        "SELECT entry FROM judgements WHERE typeof(query) != 'text' OR same NOT IN (0, 1)",
        "a judgement on entry {} says neither yes nor no; withdraw it",
    ),
    (
        f"SELECT entry FROM judgements WHERE {_NO_BYTES}",  # noqa: S608 - a constant
        "the picture of a judgement on entry {} is none; withdraw it",
    ),
)
"""Statements that find numbers of entries of which something is wrong, and what is said of each."""

_LATER_FAULTS = (
    (
        f"SELECT entry FROM previews WHERE {_NO_JPEG.replace('thumbnail', 'picture')}",  # noqa: S608 - a constant
        "a preview of entry {} is no JPEG; remove the entry and add its picture again",
    ),
    (
        "SELECT entry FROM previews WHERE typeof(seconds) NOT IN ('real', 'null')",
        "a preview of entry {} has no time in its film; remove the entry and add its picture again",
    ),
    (
        "SELECT id FROM entries WHERE added IS NOT NULL AND (typeof(added) != 'real' OR added < ? OR added >= ?)",
        "when entry {} was added lies in no year from 1 to 9999; remove it and add its picture again",
    ),
)
"""The same of what catalogues of before do not have."""

_TIMES = (datetime.min.replace(tzinfo=UTC).timestamp(), datetime.max.replace(tzinfo=UTC).timestamp())


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
            *_find_missing(connection, _FAULTS if catalogue.version <= UNDATED else _FAULTS + _LATER_FAULTS),
            *_check_embeddings(catalogue, connection, size, progress),
        ]

    return catalogue.read(work)


def _find_missing(connection: sqlite3.Connection, searched: Sequence[tuple[str, str]]) -> list[str]:
    faults = [
        f"{table} {row} belongs to no entry; put the gallery back from a backup"
        for table, row, *_ in connection.execute("PRAGMA foreign_key_check")
    ]
    for statement, sentence in searched:
        values = _TIMES if "?" in statement else ()
        faults += [sentence.format(number) for (number,) in connection.execute(statement, values)]
    return faults


def _check_embeddings(catalogue: Catalogue, connection: sqlite3.Connection, size: int, progress: Progress) -> list[str]:
    statement = "SELECT id FROM embeddings WHERE typeof(embedding) != 'blob' OR length(embedding) != ?"
    lengths = connection.execute(statement, [2 * size]).fetchall()
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
