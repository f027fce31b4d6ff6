"""What can be wrong with a gallery that is spread over servers, beside what can be wrong on each of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import sql

from samecar.errors import first_few
from samecar.progress import Progress, silent
from samecar.retrieval.agreement import RUNTIME_FILE
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.tables import Tables
from samecar.retrieval.spread.layout import Layout
from samecar.retrieval.spread.parts import Numbering, Part

Ask = Callable[[Sequence[Part], Callable[[Part], Any]], dict[int, Any]]
"""Asks several servers at the same time; answers by their numbers."""

PAGE: Final = 5_000
"""Contents that are looked for on the other servers at a time."""

COUNT: Final[LiteralString] = "SELECT count(*) FROM {entries} JOIN {contents} USING (id) WHERE {strangers}"

PAGE_OF_CONTENTS: Final[LiteralString] = "SELECT id, content FROM {contents} WHERE id > %s ORDER BY id LIMIT %s"

SHARED: Final[LiteralString] = "SELECT id, content FROM {contents} WHERE id = ANY(%s) OR content = ANY(%s)"

FILES: Final[LiteralString] = "SELECT name, encode(sha256(content), 'hex') FROM {files} WHERE name <> %s"


class Twice(NamedTuple):
    """A number or a content that two servers have: the number on each of them, and whether the content is the same."""

    first: int
    second: int
    same_content: bool


def check_parts(parts: Sequence[Part], ask: Ask, layout: Layout, progress: Progress) -> list[str]:
    """A sentence for each thing that is wrong on a server, or with what all of them hold.

    Args:
        parts: all servers of the gallery.
        ask: asks several of them at the same time.
        layout: as it is now.
        progress: is told how many servers are checked.
    """
    findings = []
    for done, part in enumerate(parts):
        progress("servers", done, len(parts))
        findings += [f"{part}: {sentence}" for sentence in part.engine.check()]
        if (server := Numbering(part.engine).server) != part.number:
            end = "all digits" if server is None else f"{server:03d}"
            findings.append(
                f"{part}: numbers of its new entries end in {end}, not in {part.number:03d}; bring the right gallery "
                "back from a backup"
            )
    for number, strangers in count_strangers(parts, ask, layout).items():
        if strangers:
            part = next(part for part in parts if part.number == number)
            findings.append(
                f"{part}: {strangers:,} entries belong on other servers; move them with `samecar gallery spread --move`"
            )
    if layout.leaving is not None:
        findings.append("a move was interrupted, or goes on; `samecar gallery spread --move` ends it")
    findings += _compare_files(parts, ask)
    findings += _describe_twice(parts, ask, layout)
    progress("servers", len(parts), len(parts))
    return findings


def count_strangers(parts: Sequence[Part], ask: Ask, layout: Layout) -> dict[int, int]:
    """How many entries of each server belong on another one, by the numbers of the servers."""

    def count(part: Part) -> int:
        text, values = layout.strangers(part.number)

        def work(cursor: Cursor, tables: Tables) -> int:
            row = cursor.execute(tables.statement(COUNT, strangers=sql.SQL(text)), values).fetchone()
            return int(row[0]) if row else 0

        return part.engine.read(work, long=True)

    return ask(parts, count)


def is_settled(parts: Sequence[Part], ask: Ask, layout: Layout) -> bool:
    """Whether every entry lies on the server that it belongs on."""
    return not any(count_strangers(parts, ask, layout).values())


def find_twice(first: Part, others: Sequence[Part], ask: Ask, progress: Progress = silent) -> Iterator[Twice]:
    """What a server has in common with others; each of its contents is looked for there."""
    beyond = looked_at = 0
    while page := _read_rows(first, PAGE_OF_CONTENTS, [beyond, PAGE]):
        numbers = {content: number for number, content in page}
        contents = dict(page)
        values = [list(contents), list(numbers)]
        for rows in ask(others, partial(_read_rows, text=SHARED, values=values)).values():
            for number, content in rows:
                if number in contents:
                    yield Twice(number, number, contents[number] == content)
                if numbers.get(content, number) != number:
                    yield Twice(numbers[content], number, True)
        looked_at += len(page)
        progress("contents", looked_at, looked_at)
        beyond = page[-1][0]


def _read_rows(part: Part, text: LiteralString, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return part.engine.read(lambda cursor, tables: cursor.execute(tables.statement(text), values).fetchall())


def _describe_twice(parts: Sequence[Part], ask: Ask, layout: Layout) -> Iterator[str]:
    numbers, moved, contents = [], [], []
    for place, part in enumerate(parts[:-1]):
        for twice in find_twice(part, parts[place + 1 :], ask):
            if twice.first != twice.second:
                contents.append(f"{twice.first} and {twice.second}")
            elif not twice.same_content:
                numbers.append(str(twice.first))
            elif twice.first not in layout.moving:
                moved.append(str(twice.first))
    for found, sentence in (
        (numbers, "numbers are those of different entries on two servers; bring back the right gallery from a backup"),
        (moved, "entries lie on two servers; `samecar gallery spread --move` leaves each on the right one"),
        (contents, "pictures lie on two servers under different numbers; remove one of each"),
    ):
        if found:
            yield f"{len(found):,} {sentence}: {first_few(found)}"


def _compare_files(parts: Sequence[Part], ask: Ask) -> Iterator[str]:
    files: Mapping[int, list[tuple[str, str]]] = ask(parts, lambda part: _read_rows(part, FILES, [RUNTIME_FILE]))
    for one, other in combinations(parts, 2):
        differing = sorted({name for name, _ in set(files[one.number]) ^ set(files[other.number])})
        if differing:
            yield (
                f"{one} and {other} hold different files: {first_few(differing)}; attach them again by way of the "
                "gallery that is spread"
            )
            return
