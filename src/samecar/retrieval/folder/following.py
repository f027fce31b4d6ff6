"""An index that follows the catalogue: taken from its file or made anew, and brought up to date before each use."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samecar.progress import Progress, silent
from samecar.retrieval.folder.catalogue import Catalogue, Changes, changes, read_content, removed
from samecar.retrieval.folder.index import FITTED_ON, VectorIndex
from samecar.retrieval.folder.schema import mask
from samecar.retrieval.folder.snapshot import DamagedSnapshotError, read_description, read_snapshot, write_snapshot
from samecar.retrieval.records import Filter, IndexSettings, Match
from samecar.similarity.exact import most_similar

_LOG = logging.getLogger(__name__)

NOTHING = Changes(0, 0)
"""How far an index follows the catalogue that holds nothing."""

_FACTOR = 4  # candidates of an approximate index for each one wanted, which are then ranked by their embeddings

_SPARE = 16  # and beyond these, where few are wanted

_SAVED_BEHIND = 0.05  # share of the entries that the index file may miss before it is written again

_ENOUGH = 1000  # entries that tell how embeddings are spread

NEIGHBOURS = 10
"""Nearest entries that are looked for."""

QUERIES = 500
"""Stored embeddings that are the queries at most; the share that is found is then known to about 0.005."""

_ROUNDING = 1e-5  # an entry as near as the last of the nearest is as good


class FollowingIndex:
    """The index of a gallery in a folder; used by several threads, one at a time.

    Args:
        path: the index file.
        catalogue: what it follows.
        size: numbers in an embedding.
    """

    def __init__(self, path: Path, catalogue: Catalogue, size: int) -> None:
        self._path = path
        self._catalogue = catalogue
        self._size = size
        self._lock = threading.Lock()
        self._index: VectorIndex | None = None
        self._holds = NOTHING
        self._damaged = False  # the file

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return self._index is not None

    def forget(self) -> None:
        """Lets go of the index, which is taken from its file again when it is needed."""
        with self._lock:
            self._index = None

    def search(self, kind: str, queries: NDArray[np.float32], top: int, allowed: Filter) -> list[list[Match]]:
        """The most similar allowed entries of each query.

        Args:
            kind: of the index.
            queries: (queries, size) of length one.
            top: how many for each.
            allowed: which entries may be found.
        """

        def work(connection: sqlite3.Connection) -> tuple[VectorIndex, Changes, list[list[Match]]]:
            index, holds = self._bring_up_to_date(connection, kind)
            chosen = mask(connection, allowed, holds.entry, self._catalogue.version)
            return index, holds, self._rank(connection, index, queries, top, chosen)

        with self._lock:
            self._index, self._holds, rankings = self._catalogue.read(work)
            return rankings

    def rebuild(self, kind: str, progress: Progress = silent) -> IndexSettings:
        """Writes the file anew and measures its index; the catalogue must not be written to meanwhile.

        The index in memory stays as it is, so that searches go on; `forget` it then.

        Raises:
            SamecarError: the file cannot be written.
        """

        def work(connection: sqlite3.Connection) -> IndexSettings:
            newest = changes(connection)
            index = self._fit_empty(connection, kind)
            self._follow(connection, index, NOTHING, progress)
            settings = IndexSettings(kind=kind)
            if kind != "exact":
                search = partial(self._rank, connection, index)
                settings = measure_recall(self._catalogue, connection, kind, search, progress)
            write_snapshot(self._path, index, self._size, newest, read_content(connection, newest.entry))
            return settings

        return self._catalogue.read(work)

    def save(self, kind: str, *, forget_removed: bool = False) -> None:
        """Writes the file if it misses much; the catalogue must not be written to meanwhile.

        Args:
            kind: of the index.
            forget_removed: also if it holds any entry that was removed.

        Raises:
            SamecarError: the file cannot be written.
        """

        def work(connection: sqlite3.Connection) -> None:
            newest = changes(connection)
            if self._damaged or self._misses_much(newest) or (forget_removed and self._holds_removed(newest)):
                self._index, self._holds = self._bring_up_to_date(connection, kind)
                write_snapshot(self._path, self._index, self._size, newest, read_content(connection, newest.entry))
                self._damaged = False

        with self._lock:
            self._catalogue.read(work)

    def _misses_much(self, newest: Changes) -> bool:
        """Whether the file should be written again."""
        try:
            saved = read_description(self._path)
        except (FileNotFoundError, DamagedSnapshotError):
            return newest != NOTHING
        missing = newest.entry - saved.entry + newest.removal - saved.removal
        screened = self._index is not None and self._index.screen is not None
        return missing > _SAVED_BEHIND * newest.entry or (screened and not saved.screened)

    def _holds_removed(self, newest: Changes) -> bool:
        """Whether the file may hold what was removed."""
        try:
            return read_description(self._path).removal < newest.removal
        except FileNotFoundError:
            return False
        except DamagedSnapshotError:
            return True

    def check(self, kind: str) -> list[str]:
        """A sentence for each thing that is wrong with the file."""

        def work(connection: sqlite3.Connection) -> list[str]:
            try:
                index, holds = self._read(connection, kind, changes(connection))
            except FileNotFoundError:
                return []
            except DamagedSnapshotError as error:
                return [f"{self._path} is damaged: {error}; another is made when the gallery is searched"]
            self._follow(connection, index, holds)
            return self._compare(connection, index)

        return self._catalogue.read(work)

    def _compare(self, connection: sqlite3.Connection, index: VectorIndex) -> list[str]:
        """A sentence if index and catalogue do not hold the same."""
        ids = np.sort(index.ids)
        compared, same = 0, True
        for numbers, matrix in self._catalogue.added(connection, 0):
            rows = slice(compared, compared + len(numbers))
            same = same and np.array_equal(ids[rows], numbers)
            same = same and (index.kind != "exact" or np.array_equal(index.codes[rows], matrix))
            compared += len(numbers)
        if same and compared == len(ids):
            return []
        return [f"{self._path} does not hold what the catalogue does; make it anew with `samecar gallery index`"]

    def _rank(
        self,
        connection: sqlite3.Connection,
        index: VectorIndex,
        queries: NDArray[np.float32],
        top: int,
        chosen: NDArray[np.bool_] | None = None,
    ) -> list[list[Match]]:
        """Rankings of those entries whose number the mask chooses; None chooses all."""
        if index.kind == "exact":
            return _to_matches(*index.search(queries, top, chosen))
        candidates, _ = index.search(queries, _FACTOR * top + _SPARE, chosen)
        stored = self._catalogue.stored(connection, np.unique(candidates).tolist())
        return [_rerank(query, row, stored, top) for query, row in zip(queries, candidates, strict=True)]

    def _bring_up_to_date(self, connection: sqlite3.Connection, kind: str) -> tuple[VectorIndex, Changes]:
        """The index with everything that the catalogue holds, and how far that is.

        One that had to take something in is kept by the caller, once it is certain that it was read rightly.
        """
        newest = changes(connection)
        index, holds = self._index, self._holds
        if index is None or index.kind != kind:
            index, holds = self._open_saved(connection, kind, newest)
        if holds != newest:
            self._index = None  # until it has taken in all of them
            self._follow(connection, index, holds)
        return index, newest

    def _open_saved(self, connection: sqlite3.Connection, kind: str, newest: Changes) -> tuple[VectorIndex, Changes]:
        """The index of the file, or an empty one that has everything before it."""
        try:
            return self._read(connection, kind, newest)
        except FileNotFoundError:
            if newest != NOTHING:
                _LOG.info("%s is absent; the index is made anew", self._path)
        except DamagedSnapshotError as error:
            self._damaged = True
            _LOG.warning("%s cannot be used: %s; the index is made anew", self._path, error)
        return self._fit_empty(connection, kind), NOTHING

    def _read(self, connection: sqlite3.Connection, kind: str, newest: Changes) -> tuple[VectorIndex, Changes]:
        return read_snapshot(self._path, kind, self._size, newest, partial(read_content, connection))

    def _fit_empty(self, connection: sqlite3.Connection, kind: str) -> VectorIndex:
        """An index without entries, fitted to those that the catalogue holds."""
        entries = connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
        if kind == "exact" or entries < _ENOUGH:
            sample = np.concatenate([np.eye(self._size), -np.eye(self._size)]).astype(np.float16)
        else:
            ids = np.fromiter((number for (number,) in connection.execute("SELECT id FROM embeddings")), np.int64)
            chosen = np.random.default_rng(0).choice(ids, min(entries, FITTED_ON), replace=False)
            sample = np.stack(list(self._catalogue.stored(connection, chosen.tolist()).values()))
        return VectorIndex.fitted(kind, sample, entries)

    def _follow(
        self, connection: sqlite3.Connection, index: VectorIndex, holds: Changes, progress: Progress = silent
    ) -> None:
        """Takes in what an index lacks."""
        index.remove(removed(connection, holds.removal))
        last = changes(connection).entry
        for ids, matrix in self._catalogue.added(connection, holds.entry):
            index.add(ids, matrix)
            progress("index", int(ids[-1]), last)


def _rerank(
    query: NDArray[np.float32], candidates: NDArray[np.int64], stored: Mapping[int, NDArray[np.float16]], top: int
) -> list[Match]:
    """The best candidates of a query, -1 is none, by the inner products of their stored embeddings, as in `exact`."""
    ids = [number for number in candidates.tolist() if number in stored]
    if not ids:
        return []
    matrix = np.array([stored[number] for number in ids], np.float64)
    similarities = np.vecdot(matrix, query.astype(np.float64)).astype(np.float32)
    return _to_matches(np.array([ids]), similarities[None])[0][:top]


def _to_matches(ids: NDArray[np.int64], similarities: NDArray[np.float32]) -> list[list[Match]]:
    """Matches of each query; a similarity that rounding has taken beyond 1 is 1, and then the number decides."""
    pairs = zip(ids.tolist(), np.clip(similarities, -1, 1).tolist(), strict=True)
    return [sorted(map(Match, *row), key=lambda match: (-match.similarity, match.id)) for row in pairs]


def measure_recall(
    catalogue: Catalogue,
    connection: sqlite3.Connection,
    kind: str,
    search: Callable[[NDArray[np.float32], int], list[list[Match]]],
    progress: Progress = silent,
) -> IndexSettings:
    """Searches with stored embeddings and compares what is found, but for themselves, with what exact search finds.

    Args:
        catalogue: what is stored.
        connection: to it.
        kind: of the index that is measured.
        search: searches it, with (queries, size) and how many are wanted for each.
        progress: is told how many embeddings were compared.
    """
    numbers = [number for (number,) in connection.execute("SELECT id FROM embeddings")]
    wanted = min(NEIGHBOURS, len(numbers) - 1)
    if wanted < 1:
        return IndexSettings(kind=kind, pictures=len(numbers))
    chosen = np.random.default_rng(0).choice(numbers, min(QUERIES, len(numbers)), replace=False)
    stored = catalogue.stored(connection, chosen.tolist())
    queries = np.stack(list(stored.values())).astype(np.float32)
    own = np.array(list(stored))
    nearest = np.full((len(queries), wanted), -np.inf, np.float32)  # similarities of the nearest so far
    done = 0
    for ids, matrix in catalogue.added(connection, 0):
        near = most_similar(matrix.copy(), ids, queries, wanted + 1)  # one more, as a query finds itself
        similarities = np.where(near.ids == own[:, None], -np.inf, near.similarities)
        nearest = -np.partition(-np.hstack([nearest, similarities]), wanted - 1, axis=1)[:, :wanted]
        done += len(ids)
        progress("recall", done, len(numbers))
    found = 0
    for number, ranking, least in zip(own, search(queries, wanted + 1), nearest.min(axis=1), strict=True):
        good = [match for match in ranking if match.id != number and match.similarity >= least - _ROUNDING]
        found += len(good[:wanted])
    recall = found / (wanted * len(queries))
    return IndexSettings(kind=kind, recall=recall, measured_on=len(queries), pictures=len(numbers))
