"""Spreading a gallery over servers, and over more of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from samecar.errors import SamecarError
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.postgres.connections import NoGalleryError, UnreachableError
from samecar.retrieval.postgres.engine import PostgresEngine
from samecar.retrieval.records import GalleryFacts, IndexSettings
from samecar.retrieval.spread.checking import find_twice, is_settled
from samecar.retrieval.spread.coordinator import Coordinator
from samecar.retrieval.spread.engine import SpreadEngine
from samecar.retrieval.spread.layout import Layout, Spreading, first_free
from samecar.retrieval.spread.moving import Moved, Mover
from samecar.retrieval.spread.parts import Numbering, Part, check_facts, kept_address, number_entries


def spread_gallery(
    name: str, coordinator: str, spreading: Spreading, *, progress: Progress | bool | None = silent
) -> Layout:
    """Spreads a gallery over servers, or over more of them, or changes the rule; nothing is embedded or moved.

    Args:
        name: of the gallery, on the coordinator and on each server. Where a server has none, an empty one is made that
            is like those of the others.
        coordinator: address of a database that is to know the servers; it may lie on one of them.
        spreading: the servers and the rule.
        progress: True shows a bar; a function is told how many contents were compared with those of other servers.

    Returns:
        How the gallery is spread then.

    Raises:
        SamecarError: an address holds a password, a server cannot be reached, the galleries are of different models, or
            two of them hold the same number or picture.
    """
    for address in spreading.over:
        kept_address(address)  # refuses what is malformed or holds a password
    with show_progress(progress) as report, ExitStack() as stack:
        try:
            opened = Coordinator.open(coordinator, name)
        except NoGalleryError:
            return _begin(name, coordinator, spreading, report, stack)
        stack.callback(opened.close)
        if spreading == Spreading():
            raise SamecarError(f"gallery {name!r} is spread already; name what to change: --over, --by, --camera, ...")

        def change(layout: Layout) -> Layout:
            parts = [_open_part(number, address, name, stack) for number, address in layout.servers.items()]
            joining = _Joining(name, opened.facts, parts, stack, report)
            for address in spreading.over:
                layout = joining.add(layout, address)
            layout = spreading.change(layout)
            return layout.change(settled=is_settled(joining.parts, _ask_in_turn, layout))

        return opened.change(change)


def move_strangers(engine: SpreadEngine, *, progress: Progress | bool | None = silent) -> Moved:
    """Moves what lies on another server than the rule says, a few at a time, while others search and add.

    Args:
        engine: of a gallery that is spread.
        progress: True shows a bar; a function is told how many entries were moved.

    Raises:
        SamecarError: a server fails, or another moves entries too; what was moved stays moved.
    """

    def find_parts(layout: Layout) -> list[Part]:
        return engine.parts(layout, sorted(layout.servers))

    with show_progress(progress) as report:
        return Mover(engine.coordinator, find_parts, engine.ask, report).move()


def _begin(name: str, coordinator: str, spreading: Spreading, report: Progress, stack: ExitStack) -> Layout:
    """Enters a new gallery in a coordinator, when all servers are ready."""
    if not spreading.over:
        raise SamecarError(f"there is no gallery {name!r} that is spread; name its servers with --over")
    facts = _find_facts(name, spreading.over)
    layout = Layout(servers={})
    joining = _Joining(name, facts, [], stack, report)
    for address in spreading.over:
        layout = joining.add(layout, address)
    layout = spreading.change(layout)
    layout = layout.change(settled=is_settled(joining.parts, _ask_in_turn, layout), version=1)
    Coordinator.create(coordinator, name, facts, layout).close()
    return layout


def _find_facts(name: str, addresses: Sequence[str]) -> GalleryFacts:
    """Of the first gallery of that name on one of the servers."""
    missing: NoGalleryError | None = None
    for address in addresses:
        try:
            engine = PostgresEngine.open(address, name)
        except NoGalleryError as error:
            missing = missing or error
            continue
        try:
            return engine.facts.model_copy(update={"index": IndexSettings()})
        finally:
            engine.close()
    raise SamecarError(f"{missing}; make it on one of the servers with `samecar gallery create`, then spread it")


class _Joining:
    """Galleries on servers that become parts of one."""

    def __init__(self, name: str, facts: GalleryFacts, parts: list[Part], stack: ExitStack, report: Progress) -> None:
        self._name = name
        self._facts = facts
        self.parts = parts
        self._stack = stack
        self._report = report
        self._joined: set[int] = set()

    def add(self, layout: Layout, address: str) -> Layout:
        """Lets a server join, or a server that has joined before change its address.

        Raises:
            SamecarError: it has joined already, or its gallery does not fit to the others.
        """
        address = kept_address(address)
        new = self._open_or_make(address)
        numbering = Numbering(new)
        own = numbering.server
        there = next((part for part in self.parts if part.number == own), None)
        if there is not None:
            if own in self._joined:
                raise SamecarError(f"the gallery on {there.server} is named twice; name each server once")
            self._refuse_another(there, address, numbering)
            self.parts[self.parts.index(there)] = _open_part(there.number, address, self._name, self._stack)
            return layout.change(servers={**layout.servers, there.number: address})
        number = first_free(layout.servers) if own is None else own
        part = _open_part(number, address, self._name, self._stack)
        check_facts(self._facts, part)
        self._refuse_twice(part)
        if own is None:
            others = [Numbering(other.engine).last for other in self.parts]
            number_entries(part.engine, number, max([numbering.last, *others]))
        self.parts.append(part)
        self._joined.add(number)
        return layout.change(servers={**layout.servers, number: address})

    def _open_or_make(self, address: str) -> PostgresEngine:
        try:
            engine = PostgresEngine.open(address, self._name)
        except NoGalleryError:
            engine = PostgresEngine.create(address, self._name, self._facts, self._find_files())
        self._stack.callback(engine.close)
        return engine

    def _find_files(self) -> dict[str, bytes]:
        """What is attached to the gallery on another server."""
        for part in self.parts:
            return part.engine.read(
                lambda cursor, tables: dict(cursor.execute(tables.statement("SELECT name, content FROM {files}")))
            )
        raise SamecarError(
            f"the first server that is named holds no gallery {self._name!r}; name one that does first, since others "
            "are made like it"
        )

    def _refuse_another(self, there: Part, address: str, numbering: Numbering) -> None:
        """Only the same gallery, such as one that a replica or a backup brought to another machine, takes its place."""
        if there.address == address:
            raise SamecarError(f"gallery {self._name!r} lies on {there} already; name other servers")
        try:
            same = Numbering(there.engine).gallery == numbering.gallery
        except UnreachableError:
            return
        if not same:
            raise SamecarError(
                f"the gallery that is to join numbers its entries as {there} does; it was spread with other servers "
                "before, so copy it into this one with `samecar gallery copy --resume`"
            )

    def _refuse_twice(self, part: Part) -> None:
        twice = next(find_twice(part, self.parts, _ask_in_turn, self._report), None)
        if twice is None:
            return
        what = "the same picture" if twice.same_content else "different pictures"
        raise SamecarError(
            f"the gallery on {part.server} has an entry {twice.first}, and another server an entry {twice.second}, of "
            f"{what}; copy it into the gallery that is spread with `samecar gallery copy --resume` instead"
        )


def _open_part(number: int, address: str, name: str, stack: ExitStack) -> Part:
    part = Part(number, address, name)
    stack.callback(part.close)
    return part


def _ask_in_turn(parts: Sequence[Part], work: Any) -> dict[int, Any]:
    return {part.number: work(part) for part in parts}
