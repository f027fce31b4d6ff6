"""The engine of a gallery that is spread over servers: each is asked for its own part, and the answers are merged."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.retrieval.engine import ContraryJudgementError, Engine, MissingPartError, ServerSummary
from samecar.retrieval.postgres.connections import Cursor, UnreachableError
from samecar.retrieval.postgres.recall import MEASURED_ON, Sample, measure_recall
from samecar.retrieval.postgres.rows import stack_embeddings
from samecar.retrieval.postgres.tables import HNSW
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
    prepare_embeddings,
    prepare_queries,
)
from samecar.retrieval.spread.checking import check_parts
from samecar.retrieval.spread.coordinator import Coordinator
from samecar.retrieval.spread.layout import Layout
from samecar.retrieval.spread.merging import (
    join_indexes,
    join_label_values,
    join_summaries,
    merge_entries,
    merge_matches,
)
from samecar.retrieval.spread.parts import Part, check_facts

Result = TypeVar("Result")
Work = Callable[[Part], Result]

CALLS: Final = 64
"""To servers at the same time; more wait for one of them."""


class _UnsettledError(Exception):
    """An update would leave an entry on another server than the rule says, and the layout does not say so yet."""


class _LayoutChangedError(Exception):
    """By the layout of now, nobody else may write meanwhile, and the one known before did not say so."""


def _work_locked(
    work: Callable[[Layout], Result], alone: Callable[[Layout], bool], locked: bool, _cursor: Cursor, layout: Layout
) -> Result:
    if alone(layout) and not locked:
        raise _LayoutChangedError
    return work(layout)


class SpreadEngine(Engine):
    """A gallery whose pictures lie on several PostgreSQL servers, each an ordinary gallery.

    Use `open`. Each server that can answer is asked at the same time, and the answers are merged: similarities and ties
    are those of one gallery. What changes an entry is done on the server that has it; adding is done on the server
    that the layout's rule names, and counts once that one has it: a batch whose pictures belong on several servers may
    be kept by some of them only, if another fails. What the methods do is said in `Engine`.

    Args:
        coordinator: knows the servers.
        name: of the gallery, on the coordinator and on each server.
        partial: reading goes on without servers that cannot be reached; `missing` names them.
    """

    def __init__(self, coordinator: Coordinator, name: str, *, partial: bool = False) -> None:
        self._coordinator = coordinator
        self._name = name
        self._partial = partial
        self._missing: dict[int, str] = {}
        self._silence: tuple[float, float] | None = None
        self._closed = False
        self._pool = ThreadPoolExecutor(CALLS, "servers")
        self._parts: dict[tuple[int, str], Part] = {}
        self._size = coordinator.facts.size
        try:
            self._layout = coordinator.layout()
            self._read(lambda part: check_facts(coordinator.facts, part))
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, address: str, name: str, *, partial: bool = False) -> Self:
        """Opens a gallery by its coordinator's address.

        Raises:
            MissingPartError: a server cannot be reached, and that is not allowed.
            SamecarError: there is no such gallery, or its coordinator cannot be reached.
        """
        return cls(Coordinator.open(address, name), name, partial=partial)

    def limit_silence(self, reading: float, writing: float) -> None:
        self._silence = reading, writing
        self._coordinator.limit_silence(reading, writing)
        for part in list(self._parts.values()):
            part.limit_silence(reading, writing)

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for part in list(self._parts.values()):
            part.close()
        self._coordinator.close()

    def missing(self) -> list[str]:
        return [sentence for _, sentence in sorted(self._missing.items())]

    # --- asking the servers ---

    @property
    def layout(self) -> Layout:
        """The servers and the rule, as they were when something was read last."""
        return self._layout

    @property
    def coordinator(self) -> Coordinator:
        """What keeps the layout."""
        return self._coordinator

    def parts(self, layout: Layout, numbers: Iterable[int]) -> list[Part]:
        """The galleries on servers."""
        found = []
        for number in numbers:
            key = number, layout.servers[number]
            part = self._parts.get(key)
            if part is None:
                part = self._parts.setdefault(key, Part(*key, self._name))
                if self._silence is not None:
                    part.limit_silence(*self._silence)
            found.append(part)
        return found

    def ask(self, parts: Sequence[Part], work: Work[Result], *, allow_missing: bool = False) -> dict[int, Result]:
        """What `work` gives on each part, all at the same time, by the numbers of their servers.

        Args:
            parts: to ask.
            work: what to do.
            allow_missing: leaves out servers that cannot be reached, and notes them.

        Raises:
            MissingPartError: a server cannot be reached; what the others were asked is done nevertheless.
            SamecarError: a server fails; the same holds.
        """
        if self._closed:
            raise SamecarError(f"gallery {self._name!r} was closed; open it again")
        asked = [(part, self._pool.submit(work, part)) for part in parts]
        answers: dict[int, Result] = {}
        failed: SamecarError | None = None
        for part, future in asked:
            try:
                answers[part.number] = future.result()
            except UnreachableError as error:
                sentence = f"{part} of gallery {self._name!r} is missing: {error}"
                if allow_missing:
                    self._missing[part.number] = sentence
                else:
                    failed = failed or MissingPartError(sentence)
            except ContraryJudgementError as error:
                failed = failed or error
            except SamecarError as error:
                failed = failed or SamecarError(f"{part}: {error}")
        if failed is not None:
            raise failed
        return answers

    def _read(
        self, work: Work[Result], where: Callable[[Layout], Iterable[int]] = lambda layout: layout.servers
    ) -> list[Result]:
        """What servers answer, in the order of their numbers; asked again where the layout was changed meanwhile.

        A server that entries are being moved away from is asked before the others: what is not there any more lies on
        another one already.
        """
        layout = self._layout
        while True:
            parts = self.parts(layout, sorted(where(layout)))
            first = [part for part in parts if part.number == layout.leaving]
            others = [part for part in parts if part not in first]
            answers = self.ask(first, work, allow_missing=self._partial)
            answers |= self.ask(others, work, allow_missing=self._partial)
            before, layout = layout, self._read_layout()
            if layout.version == before.version:
                return [answers[number] for number in sorted(answers)]

    def _read_layout(self) -> Layout:
        try:
            self._layout = self._coordinator.layout()
        except UnreachableError as error:
            if not self._partial:
                raise
            self._missing[0] = f"whether further servers belong to gallery {self._name!r} is not known: {error}"
        return self._layout

    def _write(self, work: Callable[[Layout], Result], alone: Callable[[Layout], bool] = lambda _: False) -> Result:
        """What `work` does while nobody changes the layout; `alone` tells whether nobody else may write meanwhile."""
        while True:
            locked = alone(self._layout)
            try:
                return self._coordinator.write(partial(_work_locked, work, alone, locked), alone=locked)
            except _LayoutChangedError:
                self._layout = self._coordinator.layout()

    # --- what it is ---

    @property
    def facts(self) -> GalleryFacts:
        """What the gallery is; its index is that of all servers together."""
        indexes = self._read(lambda part: part.engine.facts.index)
        return self._coordinator.facts.model_copy(update={"index": join_indexes(indexes)})

    def attach(self, name: str, content: bytes) -> None:
        def work(layout: Layout) -> None:
            self.ask(self.parts(layout, layout.servers), lambda part: part.engine.attach(name, content))

        self._write(work, lambda _: True)

    def attached(self, name: str) -> bytes | None:
        failed: UnreachableError | None = None
        for part in self.parts(self._layout, self._layout.servers):  # each has the same files
            try:
                return part.engine.attached(name)
            except UnreachableError as error:
                failed = error
        raise failed or SamecarError(f"gallery {self._name!r} lies on no server; spread it anew")

    # --- entries ---

    def add(self, additions: Sequence[Addition]) -> list[int]:
        prepare_embeddings(additions, self._size)  # all of them are right before a server keeps one
        offered = {addition.sighting.content: addition for addition in reversed(additions)}

        def work(layout: Layout) -> dict[str, int]:
            numbers = {} if layout.by == "content" and layout.settled else self._find_known(layout, list(offered))
            homes: dict[int, list[Addition]] = {}
            for content in dict.fromkeys(addition.sighting.content for addition in additions):
                if content not in numbers:
                    homes.setdefault(layout.home(offered[content].sighting), []).append(offered[content])
            given = self.ask(self.parts(layout, homes), lambda part: part.engine.add(homes[part.number]))
            for home, ids in given.items():
                contents = [addition.sighting.content for addition in homes[home]]
                numbers.update(zip(contents, ids, strict=True))
            return numbers

        # Where the rule does not tell the server of a content, two who add it at once must wait for each other.
        numbers = self._write(work, lambda layout: layout.by != "content" or not layout.settled)
        return [numbers[addition.sighting.content] for addition in additions]

    def _find_known(self, layout: Layout, contents: Sequence[str]) -> dict[str, int]:
        found = self.ask(self.parts(layout, layout.servers), lambda part: part.engine.known(contents))
        return {content: number for known in found.values() for content, number in known.items()}

    def remove(self, ids: Sequence[int]) -> int:
        def work(layout: Layout) -> int:
            parts = self.parts(layout, layout.servers)
            removed: dict[int, str] = {}
            for taken in self.ask(parts, lambda part: part.engine.take_away(ids)).values():
                removed |= taken
            self.ask(parts, lambda part: part.engine.forget_queries(list(removed.values())))
            return len(removed)

        return self._write(work)

    def update(self, id: int, change: Callable[[Sighting], Sighting]) -> Sighting | None:  # noqa: A002

        def work(layout: Layout) -> Sighting | None:
            updated: Sighting | None = None
            for part in self._find_parts(layout, id):

                def change_here(before: Sighting, part: Part = part, done: Sighting | None = updated) -> Sighting:
                    after = change(before) if done is None else done
                    if layout.by == "camera" and layout.home(after) != part.number and layout.settled:
                        raise _UnsettledError
                    return after

                updated = part.engine.update(id, change_here)
            return updated

        try:
            return self._write(work)
        except _UnsettledError:
            self._coordinator.change(lambda layout: layout.change(settled=False))
            return self._write(work)

    def set_labels(self, name: str, values: Mapping[int, str]) -> None:
        def work(layout: Layout) -> None:
            self.ask(self.parts(layout, layout.servers), lambda part: part.engine.set_labels(name, values))

        self._write(work)

    def _find_parts(self, layout: Layout, number: int) -> list[Part]:
        """The servers that have an entry: one, or two while it is being moved."""
        parts = self.parts(layout, layout.servers)
        found = self.ask(parts, lambda part: part.engine.entries([number]))
        return [part for part in parts if found[part.number]]

    def known(self, contents: Sequence[str]) -> dict[str, int]:
        found = self._read(lambda part: part.engine.known(contents))
        return {content: number for known in found for content, number in known.items()}

    def entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        found = self._read(lambda part: part.engine.entries(ids))
        return {number: entry for entries in found for number, entry in entries.items()}

    def listed(self, allowed: Filter = EVERYTHING, *, beyond: int = 0, limit: int = 1000) -> list[Entry]:
        pages = self._read(
            lambda part: part.engine.listed(allowed, beyond=beyond, limit=limit),
            lambda layout: layout.can_answer(allowed),
        )
        return merge_entries(pages, limit)

    def embeddings(self, ids: Sequence[int]) -> NDArray[np.float32]:
        found = self._read(lambda part: part.engine.stored_embeddings(ids))
        return stack_embeddings(ids, {number: row for rows in found for number, row in rows.items()}, self._size)

    def thumbnail(self, id: int) -> bytes | None:  # noqa: A002
        found = self._read(lambda part: part.engine.thumbnail(id))
        return next((picture for picture in found if picture is not None), None)

    def previews(self, id: int) -> list[Preview]:  # noqa: A002
        return max(self._read(lambda part: part.engine.previews(id)), key=len, default=[])

    def search(self, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING) -> list[list[Match]]:
        queries = prepare_queries(queries, self._size, top)
        found = self._read(
            lambda part: part.engine.search(queries, top, allowed), lambda layout: layout.can_answer(allowed)
        )
        return [merge_matches([matches[row] for matches in found], top) for row in range(len(queries))]

    # --- judgements ---

    def judge(self, judgement: Judgement, *, replaces: bool = True) -> bool | None:
        def work(layout: Layout) -> bool | None:
            parts = self._find_parts(layout, judgement.entry)
            if not parts:
                raise SamecarError(f"the gallery has no entry {judgement.entry} to judge; list its entries")
            place = self._coordinator.next_place()
            said = self.ask(parts, lambda part: part.engine.judge_after(judgement, place, replaces=replaces))
            return next((word for word in said.values() if word is not None), None)

        return self._write(work)

    def withdraw(self, query: str, entry: int, same: bool | None = None) -> bool:
        def work(layout: Layout) -> bool:
            parts = self.parts(layout, layout.servers)
            return any(self.ask(parts, lambda part: part.engine.withdraw(query, entry, same)).values())

        return self._write(work)

    def judgements(self, query: str | None = None, *, pictures: bool = False) -> list[Judgement]:
        found = self._read(lambda part: part.engine.placed_judgements(query, pictures=pictures))
        placed = {
            (judgement.query, judgement.entry): (place, judgement) for every in found for place, judgement in every
        }
        return [judgement for _, judgement in sorted(placed.values(), key=lambda pair: pair[0])]

    # --- the whole ---

    def summary(self) -> Summary:
        found = self._read(lambda part: (part.engine.summary(), part.engine.vehicles()))
        return join_summaries(found, self._find_twice())

    def label_values(self) -> dict[str, list[LabelValue]]:
        found = self._read(lambda part: part.engine.label_values())
        return join_label_values(found, [entry for entry, _ in self._find_twice()])

    def _find_twice(self) -> list[tuple[Entry, int]]:
        """Entries that lie on two servers, as a move was interrupted, and how many judgements there are of each."""
        moving = self._layout.moving
        if not moving:
            return []
        found = self._read(lambda part: (part.engine.entries(moving), part.engine.judgements()))
        entries = [entry for number in moving for here, _ in found if (entry := here.get(number))]
        twice = {entry.id: entry for place, entry in enumerate(entries) if entry.id in {e.id for e in entries[:place]}}
        judged = {(one.query, one.entry) for _, judgements in found for one in judgements}
        return [(entry, sum(number == entry.id for _, number in judged)) for entry in twice.values()]

    def servers(self) -> list[ServerSummary]:
        def describe(part: Part) -> ServerSummary:
            pictures = part.engine.summary().pictures
            return ServerSummary(part.number, part.server, pictures, part.engine.facts.index)

        return self._read(describe)

    def check(self, progress: Progress = silent) -> list[str]:
        layout = self._read_layout()
        return check_parts(self.parts(layout, sorted(layout.servers)), self.ask, layout, progress)

    def keep_dates(self) -> None:
        def work(layout: Layout) -> None:
            self.ask(self.parts(layout, layout.servers), lambda part: part.engine.keep_dates())

        self._write(work)

    def compact(self, *, full: bool = False, progress: Progress = silent) -> list[str]:
        layout = self._read_layout()
        progress("servers", 0, 1)
        remains = self.ask(self.parts(layout, layout.servers), lambda part: part.engine.compact(full=full))
        progress("servers", 1, 1)
        return list(dict.fromkeys(sentence for number in sorted(remains) for sentence in remains[number]))

    def rebuild(self, kind: str, progress: Progress = silent) -> IndexSettings:
        """Makes the index of each server anew; its recall is measured on the gallery as a whole."""
        parts = self.parts(layout := self._read_layout(), layout.servers)
        finished: list[int] = []

        def replace_here(part: Part) -> IndexSettings:
            settings = part.engine.replace_index(kind)
            finished.append(part.number)
            progress("servers", len(finished), len(parts))
            return settings

        progress("servers", 0, len(parts))
        made = self.ask(parts, replace_here)
        if kind == HNSW:
            made = self._measure_recall(parts, made, progress)
        return join_indexes([made[number] for number in sorted(made)])

    def _measure_recall(
        self, parts: Sequence[Part], made: Mapping[int, IndexSettings], progress: Progress
    ) -> dict[int, IndexSettings]:
        """What each server then keeps of its index: the recall of all together, by its share of the queries."""
        pictures = sum(settings.pictures for settings in made.values())

        def draw_here(part: Part) -> Sample:
            return part.engine.draw_sample(-(-MEASURED_ON * made[part.number].pictures // max(1, pictures)))

        def search(queries: NDArray[np.float32], top: int, *, by_index: bool) -> list[list[Match]]:
            found = self.ask(parts, lambda part: part.engine.search_in_one_way(queries, top, by_index=by_index))
            return [merge_matches([matches[row] for matches in found.values()], top) for row in range(len(queries))]

        samples = self.ask(parts, draw_here)
        together = {number: embedding for sample in samples.values() for number, embedding in sample.items()}
        recall = measure_recall(together, search, progress)

        return self.ask(parts, lambda part: part.engine.note_recall(made[part.number], recall, samples[part.number]))
