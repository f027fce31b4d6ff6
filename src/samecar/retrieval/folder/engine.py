"""The engine that keeps a gallery in a folder: no server, one writer and many readers at a time."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from samecar.errors import SamecarError
from samecar.files import read_json, written_folder
from samecar.progress import Progress, silent
from samecar.retrieval.engine import FORMAT, NO_FILES
from samecar.retrieval.folder.catalogue import Catalogue
from samecar.retrieval.folder.checking import catalogue_faults
from samecar.retrieval.folder.following import FollowingIndex
from samecar.retrieval.folder.index import KINDS
from samecar.retrieval.folder.library import faiss_module
from samecar.retrieval.folder.writing import WriterLock, durable_file, sync_folder, told
from samecar.retrieval.records import (
    EVERYTHING,
    Addition,
    Entry,
    Filter,
    GalleryFacts,
    IndexSettings,
    Judgement,
    Match,
    Sighting,
    Summary,
    checked_queries,
    stored_embeddings,
)

_LOG = logging.getLogger(__name__)

_FACTS = "gallery.json"
_CATALOGUE = "catalogue.sqlite"
_INDEX = "index.faiss"
_ATTACHED = "model"
_LOCK = "writer.lock"


class FolderEngine:
    """Keeps a gallery in a folder; made by `create` and `open`.

    A FAISS index is made of the SQLite catalogue, which alone is the truth, when the gallery is first searched.
    """

    def __init__(self, folder: Path) -> None:
        faiss_module()
        self._folder = folder
        self._facts_state = _state(folder / _FACTS)
        self._facts = facts = _read_facts(folder)
        self._facts_lock = threading.Lock()
        self._writer = WriterLock(folder / _LOCK)
        self._catalogue = Catalogue.open(folder / _CATALOGUE, self._writer, facts.size)
        self._index = FollowingIndex(folder / _INDEX, self._catalogue, facts.size)
        self._wrote = False
        self._closed = False

    @classmethod
    def create(cls, folder: Path, facts: GalleryFacts, files: Mapping[str, bytes] = NO_FILES) -> Self:
        """Makes an empty gallery, all of it or nothing.

        Args:
            folder: must not exist, or be empty.
            facts: what the gallery is.
            files: attached to it from the beginning, by name.

        Raises:
            SamecarError: there is something already, it cannot be written, or there is no such index.
        """
        check_kind(facts.index.kind)
        _check_name(folder)
        faiss_module()
        with told(folder):
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise SamecarError(f"{folder} exists already; choose a new folder for the gallery")
            with written_folder(folder) as temporary:
                (temporary / _ATTACHED).mkdir()
                with WriterLock(temporary / _LOCK).held():  # which makes its file, while there is space
                    for name, content in files.items():
                        _attach(temporary, name, content)
                    Catalogue.create(temporary / _CATALOGUE)
                    _write_facts(temporary, facts)
            sync_folder(folder.absolute().parent)
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a gallery; one of an older form is brought to the present one.

        Raises:
            SamecarError: there is none, or it is damaged or newer than this samecar.
        """
        _check_name(folder)
        if not (folder / _FACTS).is_file():
            raise SamecarError(f"{folder} is no gallery, it has no {_FACTS}; make one with `samecar gallery create`")
        return cls(folder)

    @property
    def facts(self) -> GalleryFacts:
        """What the gallery is."""
        with self._facts_lock, told(self._folder):
            state = _state(self._folder / _FACTS)
            if state != self._facts_state:
                self._facts, self._facts_state = _read_facts(self._folder), state
                self._index.forget()
            return self._facts

    def attach(self, name: str, content: bytes) -> None:
        """Keeps a file with the gallery; one of that name is replaced."""
        with self._writer.held():
            _attach(self._folder, name, content)

    def attached(self, name: str) -> bytes | None:
        """A file that was attached, None if none was."""
        path = _attached_path(self._folder, name)
        with told(self._folder):
            return path.read_bytes() if path.is_file() else None

    def add(self, additions: Sequence[Addition]) -> list[int]:
        """Adds all or nothing; gives the number of each. What it holds already stays as it is and keeps its number.

        Raises:
            SamecarError: an embedding has another size, is not finite or not of length one.
        """
        matrix = stored_embeddings(additions, self._facts.size)
        if not len(matrix):
            return []
        self._wrote = True
        return self._catalogue.add(additions, matrix)

    def remove(self, ids: Sequence[int]) -> int:
        """Removes entries with embedding, thumbnail and judgements; gives how many of them were there."""
        self._wrote = True
        return self._catalogue.remove(ids)

    def update(self, id: int, change: Callable[[Sighting], Sighting]) -> Sighting | None:  # noqa: A002
        """Changes what is known about an entry, while nobody else changes it; its content must stay.

        Args:
            id: of the entry.
            change: gives what is to be known of what is; it is told of changes that others have made before.

        Returns:
            What is known now; None if there is no such entry.

        Raises:
            SamecarError: the content differs.
        """
        return self._catalogue.update(id, change)

    def known(self, contents: Sequence[str]) -> dict[str, int]:
        """Numbers of those contents that it holds."""
        return self._catalogue.known(contents)

    def entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        """Entries by number; those that are not there are left out."""
        return self._catalogue.entries(ids)

    def listed(self, allowed: Filter = EVERYTHING, *, beyond: int = 0, limit: int = 1000) -> list[Entry]:
        """A page of entries in the order of their numbers, from the first number above `beyond`."""
        return self._catalogue.listed(allowed, beyond, limit)

    def embeddings(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """(ids, size) as stored, in half precision.

        Raises:
            SamecarError: one is not there.
        """
        stored = self._catalogue.read(lambda connection: self._catalogue.stored(connection, ids))
        missing = [number for number in ids if number not in stored]
        if missing:
            raise SamecarError(f"{self._folder} has no entry {missing[0]}; list its entries")
        return np.array([stored[number] for number in ids], np.float32).reshape(len(ids), self._facts.size)

    def thumbnail(self, id: int) -> bytes | None:  # noqa: A002
        """A small JPEG; None if there is none."""
        return self._catalogue.thumbnail(id)

    def search(self, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING) -> list[list[Match]]:
        """The most similar allowed entries of each query, most similar first, equal ones in the order of their numbers.

        Args:
            queries: (queries, size) of length one.
            top: how many for each query, 1 or more.
            allowed: which entries may be found.

        Raises:
            SamecarError: a query has another size, is not finite or not of length one, or `top` is less than 1.
        """
        checked = checked_queries(queries, self._facts.size, top)
        return self._index.search(self.facts.index.kind, checked, top, allowed)

    def judge(self, judgement: Judgement) -> None:
        """Keeps a judgement; an earlier one on the same pair is replaced.

        Raises:
            SamecarError: there is no such entry.
        """
        self._catalogue.judge(judgement)

    def withdraw(self, query: str, entry: int) -> bool:
        """Forgets a judgement; whether there was one."""
        return self._catalogue.withdraw(query, entry)

    def judgements(self, query: str | None = None, *, pictures: bool = False) -> list[Judgement]:
        """All judgements, or those on one query, oldest first.

        Args:
            query: content of the query; None gives all.
            pictures: whether to read the queries' pictures too, which take much more memory than all the rest.
        """
        return self._catalogue.judgements(query, pictures)

    def summary(self) -> Summary:
        """How much it holds."""
        return self._catalogue.summary()

    def check(self, progress: Progress = silent) -> list[str]:
        """A sentence for each thing that is wrong; none if all is well. Nothing is changed."""
        faults = catalogue_faults(self._catalogue, self._facts.size, progress)
        return faults or self._index.check(self.facts.index.kind)

    def rebuild(self, kind: str, progress: Progress = silent) -> IndexSettings:
        """Makes the index anew from what is stored, of this kind, measures its recall, and gives what it is then.

        Raises:
            SamecarError: there is no such kind.
        """
        check_kind(kind)
        with self._writer.held():
            settings = self._index.rebuild(kind, progress)
            _write_facts(self._folder, self.facts.model_copy(update={"index": settings}))
        return self.facts.index

    def close(self) -> None:
        """Lets go of files and connections; may be called twice."""
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
        except SamecarError as error:
            _LOG.warning("the index was not saved and is brought up to date at the next opening: %s", error)


def check_kind(kind: str) -> None:
    """Raises SamecarError if a gallery in a folder cannot be searched in that way."""
    if kind not in KINDS:
        raise SamecarError(f"a gallery in a folder has no index {kind!r}; known are {', '.join(KINDS)}")


def _check_name(folder: Path) -> None:
    """Refuses a name that FAISS could not write a file under."""
    with told(folder):
        str(folder).encode()


def _attached_path(folder: Path, name: str) -> Path:
    if not name or Path(name).name != name or name.startswith("."):
        raise SamecarError(f"{name!r} is no name for an attached file; give a plain file name")
    return folder / _ATTACHED / name


def _attach(folder: Path, name: str, content: bytes) -> None:
    with durable_file(_attached_path(folder, name)) as temporary:
        temporary.write_bytes(content)


def _write_facts(folder: Path, facts: GalleryFacts) -> None:
    with durable_file(folder / _FACTS) as temporary:
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


def _state(path: Path) -> tuple[int, int]:
    """Differs when a file was replaced."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns
