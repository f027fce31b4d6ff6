"""The engine that keeps a gallery in a folder: no server, one writer and many readers at a time."""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from samecar.errors import SamecarError
from samecar.files import LARGEST_MODEL, clear_unfinished, read_json, read_whole, write_folder
from samecar.progress import Progress, silent
from samecar.retrieval.engine import FORMAT, NO_FILES
from samecar.retrieval.folder.catalogue import Catalogue
from samecar.retrieval.folder.checking import find_faults
from samecar.retrieval.folder.entries import CatalogueEngine
from samecar.retrieval.folder.following import FollowingIndex
from samecar.retrieval.folder.index import KINDS
from samecar.retrieval.folder.library import require_faiss
from samecar.retrieval.folder.writing import OtherWriterError, WriterLock, replaced_file, translate_errors
from samecar.retrieval.records import (
    EVERYTHING,
    Addition,
    Filter,
    GalleryFacts,
    IndexSettings,
    Match,
    prepare_embeddings,
    prepare_queries,
)

_LOG = logging.getLogger(__name__)

_FACTS = "gallery.json"
CATALOGUE = "catalogue.sqlite"
"""The file of a gallery that is the truth."""

_INDEX = "index.faiss"
_ATTACHED = "model"
_LOCK = "writer.lock"

OWNER_ALONE, OWNER_AND_GROUP = 0o700, 0o770
"""Modes of a gallery's folder: where and when a vehicle was seen is for those alone who are let in."""


class FolderEngine(CatalogueEngine):
    """Keeps a gallery in a folder; made by `create` and `open`.

    A FAISS index is made of the SQLite catalogue, which alone is the truth, when the gallery is first searched.
    """

    def __init__(self, folder: Path) -> None:
        require_faiss()
        self._folder = folder
        self._facts_state = _read_state(folder / _FACTS)
        self._facts = facts = _read_facts(folder)
        self._facts_lock = threading.Lock()
        self._writer = WriterLock(folder / _LOCK)
        super().__init__(Catalogue.open(folder / CATALOGUE, self._writer, facts.size))
        self._index = FollowingIndex(folder / _INDEX, self._catalogue, facts.size)
        self._wrote = False
        self._closed = False

    @classmethod
    def create(
        cls, folder: Path, facts: GalleryFacts, files: Mapping[str, bytes] = NO_FILES, group: str | None = None
    ) -> Self:
        """Makes an empty gallery, all of it or nothing.

        Args:
            folder: must not exist, or be empty.
            facts: what the gallery is.
            files: attached to it from the beginning, by name.
            group: whose members may use it too; None lets its owner alone.

        Raises:
            SamecarError: there is something already, it cannot be written, or there is no such index.
        """
        check_kind(facts.index.kind)
        _check_name(folder)
        require_faiss()
        with translate_errors(folder):
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise SamecarError(f"{folder} exists already; choose a new folder for the gallery")
            clear_unfinished(folder.absolute().parent)
            with write_folder(folder, OWNER_ALONE if group is None else OWNER_AND_GROUP, group) as temporary:
                Catalogue.create(temporary / CATALOGUE)
                write_files(temporary, facts, files)
        return cls(folder)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder is a gallery's."""
        return (folder / _FACTS).is_file()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a gallery; one of an older form is brought to the present one.

        Raises:
            SamecarError: there is none, or it is damaged or newer than this samecar.
        """
        _check_name(folder)
        if not cls.is_in(folder):
            raise SamecarError(f"{folder} is no gallery, it has no {_FACTS}; make one with `samecar gallery create`")
        for written in (folder, folder / _ATTACHED):
            clear_unfinished(written)
        return cls(folder)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    @property
    def facts(self) -> GalleryFacts:
        with self._facts_lock, translate_errors(self._folder):
            state = _read_state(self._folder / _FACTS)
            if state != self._facts_state:
                facts = _read_facts(self._folder)
                if facts.model != self._facts.model:
                    raise SamecarError(
                        f"{self._folder} was switched over to model {facts.model} after it was opened; open it again, "
                        "or start the service again"
                    )
                self._facts, self._facts_state = facts, state
                self._index.forget()
            return self._facts

    def attach(self, name: str, content: bytes) -> None:
        with self._writer.held():
            _attach(self._folder, name, content)

    def attached(self, name: str) -> bytes | None:
        path = _path_of_attached(self._folder, name)
        with translate_errors(self._folder):
            return read_whole(path, LARGEST_MODEL) if path.is_file() else None

    def add(self, additions: Sequence[Addition]) -> list[int]:
        matrix = prepare_embeddings(additions, self.facts.size)
        if not len(matrix):
            return []
        self._wrote = True
        return self._add(additions, matrix)

    def remove(self, ids: Sequence[int]) -> int:
        self._wrote = True
        return super().remove(ids)

    def embeddings(self, ids: Sequence[int]) -> NDArray[np.float32]:
        stored = self._catalogue.read(lambda connection: self._catalogue.stored(connection, ids))
        missing = [number for number in ids if number not in stored]
        if missing:
            raise SamecarError(f"{self._folder} has no entry {missing[0]}; list its entries")
        return np.array([stored[number] for number in ids], np.float32).reshape(len(ids), self._facts.size)

    def search(self, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING) -> list[list[Match]]:
        checked = prepare_queries(queries, self._facts.size, top)
        return self._index.search(self.facts.index.kind, checked, top, allowed)

    def check(self, progress: Progress = silent) -> list[str]:
        faults = find_faults(self._catalogue, self._facts.size, progress)
        return faults or self._index.check(self.facts.index.kind)

    def rebuild(self, kind: str, progress: Progress = silent) -> IndexSettings:
        check_kind(kind)
        with self._writer.held():
            settings = self._index.rebuild(kind, progress)
            _write_facts(self._folder, self.facts.model_copy(update={"index": settings, "format": FORMAT}))
        return self.facts.index

    def compact(self, *, full: bool = False, progress: Progress = silent) -> list[str]:
        progress("compacting", 0, 2)
        with self._writer.held():
            self._index.save(self.facts.index.kind, forget_removed=True)
            progress("compacting", 1, 2)
            gone = self._catalogue.compact(full=full)
        progress("compacting", 2, 2)
        if gone:
            return []
        log = f"{self._folder / CATALOGUE}-wal"
        return [f"{log} holds what was removed until those who read now are done and the gallery is compacted again"]

    def copy_catalogue(self, path: Path) -> None:
        """Writes a copy of entries, embeddings, pictures and judgements, as they are now, into a new file."""
        self._catalogue.copy_to(path)

    def writing_alone(self) -> AbstractContextManager[None]:
        """Lets nobody else write to the gallery while a block lasts.

        Raises:
            SamecarError: another process writes to it.
        """
        return self._writer.held()

    def limit_silence(self, reading: float, writing: float) -> None:
        pass  # a folder is no server

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if (self._wrote or self._index.loaded) and os.access(self._folder, os.W_OK):
            self._save_index()
        self._catalogue.close()

    def _save_index(self) -> None:
        """Writes the index file, which spares the next opening work, if nothing is in the way."""
        try:
            with self._writer.held(patience=0):
                self._index.save(self.facts.index.kind)
        except OtherWriterError:
            _LOG.debug("the index is left to who is writing now")
        except SamecarError as error:
            _LOG.warning("the index was not saved and is brought up to date at the next opening: %s", error)


def write_files(folder: Path, facts: GalleryFacts, files: Mapping[str, bytes]) -> None:
    """Writes all of a new gallery but its catalogue.

    Args:
        folder: of the gallery.
        facts: what it is.
        files: attached to it, by name.
    """
    (folder / _ATTACHED).mkdir()
    with WriterLock(folder / _LOCK).held():  # which makes its file, while there is space
        for name, content in files.items():
            _attach(folder, name, content)
        _write_facts(folder, facts)


def check_kind(kind: str) -> None:
    """Raises SamecarError if a gallery in a folder cannot be searched in that way."""
    if kind not in KINDS:
        raise SamecarError(f"a gallery in a folder has no index {kind!r}; known are {', '.join(KINDS)}")


def _check_name(folder: Path) -> None:
    """Refuses a name that FAISS could not write a file under."""
    with translate_errors(folder):
        str(folder).encode()


def _path_of_attached(folder: Path, name: str) -> Path:
    if not name or Path(name).name != name or name.startswith("."):
        raise SamecarError(f"{name!r} is no name for an attached file; give a plain file name")
    return folder / _ATTACHED / name


def _attach(folder: Path, name: str, content: bytes) -> None:
    with replaced_file(_path_of_attached(folder, name)) as temporary:
        temporary.write_bytes(content)


def _write_facts(folder: Path, facts: GalleryFacts) -> None:
    with replaced_file(folder / _FACTS) as temporary:
        temporary.write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _read_facts(folder: Path) -> GalleryFacts:
    path = folder / _FACTS
    content = read_json(path)
    form = content.get("format") if isinstance(content, dict) else None
    if isinstance(form, int) and form > FORMAT:
        raise SamecarError(
            f"{folder} has form {form}, made by a newer samecar, this one knows forms up to {FORMAT}; install the newer"
        )
    try:
        return GalleryFacts.model_validate(content)
    except ValidationError as error:
        raise SamecarError(f"{path} is damaged; put the gallery back from a backup") from error


def _read_state(path: Path) -> tuple[int, int]:
    """Differs when a file was replaced."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns
