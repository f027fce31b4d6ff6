"""Pairs of pictures that are alike, found by a gallery's own search, and kept with it: only new ones are sought."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.retrieval.engine import Engine
from samecar.retrieval.records import EVERYTHING, Entry, Filter, Match

LINKS_FILE: Final = "links.npz"
"""What is kept with a gallery."""

FORMAT: Final = 1

FIRST_TOP, WIDER = 32, 4
"""Nearest pictures that are asked for first, and times as many where all of them are alike enough."""

BATCH: Final = 1000
"""Pictures that are searched with at a time."""

MOST_PAIRS: Final = 40_000_000
"""Pairs that are kept: about a gigabyte while they are clustered."""

DIGITS: Final = 6
"""Of a similarity: beyond them engines differ by rounding."""

ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Reach:
    """Which pairs are looked for.

    Attributes:
        similarity: the least.
        seconds: the most between both; pictures without a time are looked for everywhere.
    """

    similarity: float
    seconds: float

    def covers(self, other: "Reach") -> bool:
        """Whether what was found holds all that another reach asks for."""
        return self.similarity <= other.similarity and self.seconds >= other.seconds


@dataclass(frozen=True, eq=False)
class AlikePairs:
    """Pairs of entries by their numbers, and what had been looked at when they were found.

    Attributes:
        model: digest of the model whose embeddings were compared.
        reach: which pairs were looked for.
        ids: (entries,) numbers of those among which all pairs are known, rising.
        times: (entries,) theirs, NaN where there was none.
        first: (pairs,) lower number of each pair.
        second: (pairs,) higher number.
        similarities: (pairs,) cosines.
    """

    model: str
    reach: Reach
    ids: NDArray[np.int64]
    times: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarities: NDArray[np.float64]

    @classmethod
    def nothing(cls, model: str, reach: Reach) -> Self:
        """Before anything was looked at."""
        numbers, values = np.empty(0, np.int64), np.empty(0)
        return cls(model, reach, numbers, values, numbers, numbers, values)

    @classmethod
    def read(cls, engine: Engine) -> Self | None:
        """What is kept with a gallery; None if nothing of its model is.

        Raises:
            SamecarError: it is damaged.
        """
        content = engine.attached(LINKS_FILE)
        if content is None:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                kept = cls._from_arrays({name: arrays[name] for name in arrays.files})
        except Exception as error:  # what numpy raises depends on how the file is damaged
            raise SamecarError(
                f"what the gallery keeps of its links, {LINKS_FILE}, is damaged: {error}; link with --anew"
            ) from error
        return None if kept is None or kept.model != engine.facts.model else kept

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> Self | None:
        if int(arrays["format"]) != FORMAT:  # made by another version; pairs are sought anew
            return None
        reach = Reach(float(arrays["similarity"]), float(arrays["seconds"]))
        columns = [arrays[name] for name in ("ids", "times", "first", "second", "similarities")]
        kinds = (np.int64, np.float64, np.int64, np.int64, np.float32)
        if any(column.ndim != 1 or column.dtype != kind for column, kind in zip(columns, kinds, strict=True)):
            raise ValueError("its columns are of other kinds")
        ids, times, first, second, similarities = columns
        if len(ids) != len(times) or not len(first) == len(second) == len(similarities):
            raise ValueError("its columns are not equally long")
        return cls(str(arrays["model"]), reach, ids, times, first, second, _round(similarities.astype(np.float64)))  # type: ignore[arg-type]

    def write(self, engine: Engine) -> None:
        """Keeps it with a gallery."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            format=FORMAT,
            model=self.model,
            similarity=self.reach.similarity,
            seconds=self.reach.seconds,
            ids=self.ids,
            times=self.times,
            first=self.first,
            second=self.second,
            similarities=self.similarities.astype(np.float32),
        )
        engine.attach(LINKS_FILE, buffer.getvalue())

    def among(self, entries: Sequence[Entry]) -> Self:
        """What still holds of it: pairs of entries that are there, with the times that they had."""
        times = {entry.id: entry.sighting.time for entry in entries}
        known = zip(self.ids.tolist(), self.times.tolist(), strict=True)
        stay = np.array([number in times and _same_time(times[number], time) for number, time in known], bool)
        ids = self.ids[stay]
        both = np.isin(self.first, ids) & np.isin(self.second, ids)
        return type(self)(
            self.model,
            self.reach,
            ids,
            self.times[stay],
            self.first[both],
            self.second[both],
            self.similarities[both],
        )


def find_alike(
    engine: Engine, entries: Sequence[Entry], reach: Reach, kept: AlikePairs | None, progress: Progress = silent
) -> tuple[AlikePairs, int]:
    """All pairs of entries within a reach, and how many entries were searched with.

    Args:
        engine: what keeps the gallery.
        entries: all that count.
        reach: which pairs are wanted; those that are found may reach further.
        kept: what was found before; pairs are sought for those entries alone that it does not know.
        progress: is told how many entries were searched with.

    Raises:
        SamecarError: there are too many pairs, or an entry was removed meanwhile.
    """
    before = None if kept is None or not kept.reach.covers(reach) else kept.among(entries)
    if before is None:
        before = AlikePairs.nothing(engine.facts.model, reach)
    old = set(before.ids.tolist())
    new = [entry for entry in entries if entry.id not in old]
    if not new:
        return before, 0
    found = list(_search_all(engine, entries, new, before.reach, len(before.first), progress))
    pairs = _unique_pairs([(before.first, before.second, before.similarities), *found])
    ids = np.array(sorted(entry.id for entry in entries), np.int64)
    times = {entry.id: entry.sighting.time for entry in entries}
    moments = np.array([np.nan if times[number] is None else times[number] for number in ids.tolist()], np.float64)
    return AlikePairs(before.model, before.reach, ids, moments, *pairs), len(new)


Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _search_all(
    engine: Engine, entries: Sequence[Entry], new: Sequence[Entry], reach: Reach, pairs: int, progress: Progress
) -> Iterator[Columns]:
    """Pairs of which one at least is new; lower number, higher number and similarity."""
    counted = {entry.id for entry in entries}
    fresh = {entry.id for entry in new}
    searches = list(_plan_searches(entries, new, reach.seconds))
    total, done = sum(len(batch) for batch, _ in searches), 0
    for batch, allowed in searches:
        first: list[int] = []
        second: list[int] = []
        similarities: list[float] = []
        for entry, matches in zip(batch, _search_within(engine, batch, allowed, reach.similarity), strict=True):
            for match in matches:
                if match.id != entry.id and match.id in counted and (entry.id in fresh or match.id in fresh):
                    first.append(min(entry.id, match.id))
                    second.append(max(entry.id, match.id))
                    similarities.append(match.similarity)
        done += len(batch)
        pairs += len(first)
        if pairs > 2 * MOST_PAIRS:  # each is found twice
            raise SamecarError(
                f"more than {MOST_PAIRS:,} pairs of pictures are alike enough to be one vehicle; give a smaller "
                "--window, or calibrate the gallery on more vehicles that are like those in it"
            )
        yield np.array(first, np.int64), np.array(second, np.int64), _round(np.array(similarities))
        progress("searching", done, total)


def _plan_searches(
    entries: Sequence[Entry], new: Sequence[Entry], seconds: float
) -> Iterator[tuple[list[Entry], Filter]]:
    """Batches of entries to search with, and where: those with a time within reach, others everywhere.

    Where new entries have a time, old ones that have none are searched with again, as they may be like the new.
    """
    timed = sorted((entry for entry in new if entry.sighting.time is not None), key=_moment)
    begin = 0
    while begin < len(timed):
        end = begin + 1
        while end < len(timed) and end - begin < BATCH and _moment(timed[end]) - _moment(timed[begin]) <= seconds:
            end += 1
        first, last = _moment(timed[begin]), _moment(timed[end - 1])
        yield timed[begin:end], Filter(after=first - seconds, before=float(np.nextafter(last + seconds, np.inf)))
        begin = end
    untimed = [entry for entry in (entries if timed else new) if entry.sighting.time is None]
    for place in range(0, len(untimed), BATCH):
        yield untimed[place : place + BATCH], EVERYTHING


def _search_within(engine: Engine, batch: Sequence[Entry], allowed: Filter, least: float) -> list[list[Match]]:
    """For each entry all others with at least this similarity."""
    matrix = engine.embeddings([entry.id for entry in batch])
    found: list[list[Match]] = [[] for _ in batch]
    places, top = list(range(len(batch))), FIRST_TOP
    while places:
        further = []
        for place, matches in zip(places, engine.search(matrix[places], top, allowed), strict=True):
            if len(matches) == top and matches[-1].similarity >= least - ROUNDING:
                further.append(place)
            else:
                found[place] = [match for match in matches if match.similarity >= least - ROUNDING]
        places, top = further, WIDER * top
    return found


def _unique_pairs(parts: Sequence[Columns]) -> Columns:
    """Each pair once, in the order of its numbers."""
    first, second, similarities = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((-similarities, second, first))
    first, second, similarities = first[order], second[order], similarities[order]
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[new], second[new], similarities[new]


def _round(similarities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(similarities, DIGITS)


def _moment(entry: Entry) -> float:
    return float(entry.sighting.time or 0.0)


def _same_time(time: float | None, kept: float) -> bool:
    return np.isnan(kept) if time is None else time == kept
