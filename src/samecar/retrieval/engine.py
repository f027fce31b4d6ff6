"""What keeps a gallery: the contract that the folder with FAISS and SQLite and the PostgreSQL server both fulfil."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.retrieval.records import (
    EVERYTHING,
    Addition,
    Entry,
    Filter,
    GalleryFacts,
    IndexSettings,
    Judgement,
    LabelValue,
    Match,
    Preview,
    Sighting,
    Summary,
)

FORMAT = 3
"""Of galleries that this version writes; older ones are brought up to it, newer ones refused."""

NO_FILES: Mapping[str, bytes] = MappingProxyType({})
"""Nothing is attached to a new gallery."""


class MissingPartError(SamecarError):
    """A server that a gallery is spread over cannot be reached; the others hold the rest."""


class ContraryJudgementError(SamecarError):
    """Somebody said otherwise of a pair; nothing was changed."""

    def __init__(self, entry: int, said: bool) -> None:
        word = "the same vehicle" if said else "not the same vehicle"
        super().__init__(
            f"somebody judged entry {entry} and this query to be {word}; look at both once more, and say whether your "
            "word is to replace that one"
        )


@dataclass(frozen=True)
class ServerSummary:
    """One of the servers that a gallery is spread over.

    Attributes:
        number: of the server, with which the numbers of entries end that it gave.
        address: without its password.
        pictures: number of entries that lie on it.
        index: how it searches them.
    """

    number: int
    address: str
    pictures: int
    index: IndexSettings


class Engine(Protocol):
    """Keeps sightings, embeddings, thumbnails and previews, and finds the nearest.

    What a method has acknowledged by returning is durable, and every reader that is open sees it in its next call.
    Methods may be called from several threads. Every one raises SamecarError for what a user can mend: a damaged or
    unreachable store, a second writer, a full disk.
    """

    @property
    def facts(self) -> GalleryFacts:
        """What the gallery is."""
        ...

    def attach(self, name: str, content: bytes) -> None:
        """Keeps a file with the gallery, such as the model; one of that name is replaced."""
        ...

    def attached(self, name: str) -> bytes | None:
        """A file that was attached, None if none was."""
        ...

    def add(self, additions: Sequence[Addition]) -> list[int]:
        """Adds all or nothing; gives the number of each. What it holds already stays as it is and keeps its number.

        Raises:
            SamecarError: an embedding has another size, is not finite or not of length one.
        """
        ...

    def remove(self, ids: Sequence[int]) -> int:
        """Removes entries with all that is kept of them; gives how many of them were there.

        Judgements go too, those on an entry as well as those in which its picture was the query.
        """
        ...

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
        ...

    def set_labels(self, name: str, values: Mapping[int, str]) -> None:
        """Gives entries a label, all of them or none; what else is known of them stays.

        Args:
            name: of the label.
            values: by the number of the entry; "" takes the label away. Entries that are not there are passed over.
        """
        ...

    def known(self, contents: Sequence[str]) -> dict[str, int]:
        """Numbers of those contents that it holds."""
        ...

    def entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        """Entries by number; those that are not there are left out."""
        ...

    def listed(self, allowed: Filter = EVERYTHING, *, beyond: int = 0, limit: int = 1000) -> list[Entry]:
        """A page of entries in the order of their numbers, from the first number above `beyond`."""
        ...

    def embeddings(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """(ids, size) as stored, in half precision at worst.

        Raises:
            SamecarError: one is not there.
        """
        ...

    def thumbnail(self, id: int) -> bytes | None:  # noqa: A002
        """A small JPEG; None if there is none."""
        ...

    def previews(self, id: int) -> list[Preview]:  # noqa: A002
        """Larger pictures of an entry, the best first; none if the gallery keeps none of it."""
        ...

    def search(self, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING) -> list[list[Match]]:
        """The most similar allowed entries of each query, most similar first, equal ones in the order of their numbers.

        Filters come before the ranking: `top` are found if as many are allowed.

        Args:
            queries: (queries, size) of length one.
            top: how many for each query, 1 or more.
            allowed: which entries may be found.

        Raises:
            SamecarError: a query has another size, is not finite or not of length one, or `top` is less than 1.
        """
        ...

    def judge(self, judgement: Judgement, *, replaces: bool = True) -> bool | None:
        """Keeps a judgement, in the place of an earlier one on the same pair.

        Args:
            judgement: on a query and an entry.
            replaces: whether an earlier one may be replaced that says otherwise.

        Returns:
            What the earlier one said; None if there was none.

        Raises:
            ContraryJudgementError: an earlier one says otherwise and may not be replaced.
            SamecarError: there is no such entry.
        """
        ...

    def withdraw(self, query: str, entry: int, same: bool | None = None) -> bool:
        """Forgets a judgement; whether there was one.

        Args:
            query: content of the query.
            entry: number of the entry.
            same: what the judgement says that is to be forgotten; None forgets either.

        Raises:
            ContraryJudgementError: it says otherwise.
        """
        ...

    def judgements(self, query: str | None = None, *, pictures: bool = False) -> list[Judgement]:
        """All judgements, or those on one query, oldest first.

        Args:
            query: content of the query; None gives all.
            pictures: whether to read the queries' pictures too, which take much more memory than all the rest.
        """
        ...

    def summary(self) -> Summary:
        """How much it holds."""
        ...

    def label_values(self) -> dict[str, list[LabelValue]]:
        """The values that labels have, most frequent first, equally frequent ones by their names.

        Of a label with more than `LISTED_VALUES` values, none; of more than so many labels, the first by their names.
        """
        ...

    def servers(self) -> list[ServerSummary]:
        """The servers that the gallery is spread over; none if it lies in one place."""
        return []

    def missing(self) -> list[str]:
        """A sentence for each server that could not be asked since the gallery was opened; none if all answered."""
        return []

    def check(self, progress: Progress = silent) -> list[str]:
        """A sentence for each thing that is wrong; none if all is well. Nothing is changed."""
        ...

    def rebuild(self, kind: str, progress: Progress = silent) -> IndexSettings:
        """Makes the index anew from what is stored, of this kind, measures its recall, and gives what it is then.

        Raises:
            SamecarError: the engine has no such kind.
        """
        ...

    def keep_dates(self) -> None:
        """Sees to it that entries are kept with when they were added, which a gallery of before may not do.

        Entries that are there already count as added now.
        """
        ...

    def compact(self, *, full: bool = False, progress: Progress = silent) -> list[str]:
        """Has nothing of what was removed remain in the files that keep the gallery, as far as that is in its hands.

        Args:
            full: the files are written anew too, which takes the room of a second copy meanwhile, and gives room back.
            progress: is told how far it is.

        Returns:
            A sentence for each thing that remains, and until when; none if nothing does.
        """
        ...

    def limit_silence(self, reading: float, writing: float) -> None:
        """Sets after how many seconds without a word from a server it is given up, also what is asked of it now.

        Args:
            reading: for what only reads.
            writing: for what changes the gallery, which may have to wait for others.
        """
        ...

    def close(self) -> None:
        """Lets go of files and connections; may be called twice."""
        ...


def refuse_contrary(entry: int, said: bool | None, expected: bool | None) -> None:
    """Refuses to change a judgement that is not what somebody takes it for.

    Args:
        entry: that was judged.
        said: what it says; None if there is none.
        expected: what it may say beside nothing; None for whatever it says.

    Raises:
        ContraryJudgementError: it says otherwise.
    """
    if said is not None and expected is not None and said is not expected:
        raise ContraryJudgementError(entry, said)


def all_entries(engine: Engine, allowed: Filter = EVERYTHING, page: int = 1000) -> Iterator[Entry]:
    """Every allowed entry, in the order of their numbers."""
    beyond = 0
    while entries := engine.listed(allowed, beyond=beyond, limit=page):
        yield from entries
        beyond = entries[-1].id
