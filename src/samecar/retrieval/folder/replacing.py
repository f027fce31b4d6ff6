"""A gallery in a folder with other embeddings: entries, numbers, labels, thumbnails and judgements are as before."""

import sqlite3
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samecar.files import write_folder
from samecar.retrieval.folder.catalogue import json_ids
from samecar.retrieval.folder.engine import CATALOGUE, FolderEngine, write_files
from samecar.retrieval.folder.writing import translate_errors
from samecar.retrieval.records import GalleryFacts

PAGE = 1000
"""Entries that are changed at a time."""

FindEmbeddings = Callable[[Sequence[str]], Mapping[str, NDArray[np.float32]]]
"""Gives embeddings by content, (size,) of length one; contents that it has none of are left out."""


def write_with_embeddings(
    source: FolderEngine, folder: Path, facts: GalleryFacts, files: Mapping[str, bytes], find: FindEmbeddings
) -> int:
    """Writes a gallery that is another one but for its embeddings; gives how many entries it lacks.

    All of it is written, or nothing.

    Args:
        source: the other gallery, which should not be written to meanwhile.
        folder: must not exist; those who may use the source may use it.
        facts: what the new gallery is.
        files: attached to it, by name.
        find: gives its embeddings; entries that it gives none for are left out, with their judgements.

    Raises:
        SamecarError: it cannot be written.
    """
    source.keep_dates()
    mode = stat.S_IMODE(source.folder.stat().st_mode)
    group = source.folder.group() if mode & stat.S_IRWXG else None
    with translate_errors(folder), write_folder(folder, mode, group) as temporary:
        source.copy_catalogue(temporary / CATALOGUE)
        with closing(sqlite3.connect(temporary / CATALOGUE, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("BEGIN IMMEDIATE")
            missing = _replace(connection, find)
            connection.execute("COMMIT")
        write_files(temporary, facts, files)
    return missing


def _replace(connection: sqlite3.Connection, find: FindEmbeddings) -> int:
    beyond = missing = 0
    while page := connection.execute(
        "SELECT id, content FROM entries WHERE id > ? ORDER BY id LIMIT ?", [beyond, PAGE]
    ).fetchall():
        found = find([content for _, content in page])
        connection.executemany(
            "UPDATE embeddings SET embedding = ? WHERE id = ?",
            [(found[content].astype("<f2").tobytes(), number) for number, content in page if content in found],
        )
        lost = [number for number, content in page if content not in found]
        connection.execute("DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))", [json_ids(lost)])
        missing += len(lost)
        beyond = page[-1][0]
    return missing
