"""The report's tables as data: for each row its numbers, and what it changes in a recipe or in another row."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from samecar.config import Recipe, Settings, load_recipe
from samecar.errors import SamecarError


class Row(Settings):
    """A row of a table.

    Attributes:
        id: its name within the table.
        name: what the report calls it.
        rank1: the report's rank-1 on VeRi-776, in percent.
        mAP: the report's mAP on VeRi-776, in percent.
        base: the recipe or `table/row` that it begins with; the table's if not given.
        changes: what it changes, as `--set` takes it.
        as_run: what the published run changed besides.
    """

    id: str
    name: str
    rank1: float
    mAP: float  # noqa: N815 - as the field writes it
    base: str | None = None
    changes: tuple[str, ...] = ()
    as_run: tuple[str, ...] = ()


class ReportTable(Settings):
    """A table of the report.

    Attributes:
        title: what it compares.
        heading: of the column of names.
        base: the recipe or `table/row` that its rows begin with.
        baseline: the row that the others are compared with.
        changes: what all rows change before their own changes, but for rows with a base of their own.
        as_run: what all published runs changed besides.
        curves: the figure of the report that shows the training loss of its rows.
        notes: what a reader should know.
        rows: in the report's order.
    """

    title: str
    heading: str
    base: str
    baseline: str
    changes: tuple[str, ...] = ()
    as_run: tuple[str, ...] = ()
    curves: str | None = None
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Derivation:
    """How a row is trained: `samecar train RECIPE --set CHANGE …`."""

    recipe: str
    changes: tuple[str, ...]

    def load(self, changes: Iterable[str] = ()) -> Recipe:
        """The recipe, with further changes after the row's own."""
        return load_recipe(self.recipe, [*self.changes, *changes])


@cache
def report_tables() -> dict[str, ReportTable]:
    """The report's tables by name, `table1` to `table9`."""
    folder = resources.files(__package__) / "tables"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {
        file.name.removesuffix(".toml"): ReportTable.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        for file in files
    }


def row_ids(table: str) -> list[str]:
    """Identifiers of a table's rows, such as `table5/batch-64`."""
    return [f"{table}/{row.id}" for row in report_tables()[table].rows]


def find_row(identifier: str) -> tuple[ReportTable, Row]:
    """A row and its table.

    Raises:
        SamecarError: there is no such row.
    """
    table, _, name = identifier.partition("/")
    if table in report_tables():
        for row in report_tables()[table].rows:
            if row.id == name:
                return report_tables()[table], row
        raise SamecarError(f"{table} has no row {name!r}; it has {', '.join(row_ids(table))}")
    raise SamecarError(f"row {identifier!r} is unknown; `samecar reproduce --list` shows all")


def derive(identifier: str, *, as_run: bool = False) -> Derivation:
    """Says how a row is trained.

    Args:
        identifier: such as `table5/batch-64`.
        as_run: with the settings of the published run where they differ from the printed ones.
    """
    table, row = find_row(identifier)
    base = row.base or table.base
    start = derive(base, as_run=as_run) if "/" in base else Derivation(base, ())
    own = (*(() if row.base else table.changes), *row.changes)
    published = (*table.as_run, *row.as_run) if as_run else ()
    return Derivation(start.recipe, (*start.changes, *own, *published))


def choose_rows(tables: Sequence[str], rows: Sequence[str] = ()) -> list[str]:
    """Identifiers of the rows that are asked for, in the report's order.

    Args:
        tables: names of tables, or 'all'.
        rows: identifiers; without their table's name where one table is given. With rows, the tables' other rows are
            left out.

    Raises:
        SamecarError: nothing is asked for, or something that the report does not have.
    """
    known = report_tables()
    unknown = [table for table in tables if table not in known and table != "all"]
    if unknown:
        raise SamecarError(f"table {unknown[0]!r} is unknown; known are {', '.join(known)} and all")
    asked = list(known) if "all" in tables else [table for table in known if table in tables]
    if not asked and not rows:
        raise SamecarError(f"say which table: {', '.join(known)} or all; `samecar reproduce --list` shows their rows")
    if not rows:
        return [identifier for table in asked for identifier in row_ids(table)]
    if len(asked) == 1:
        rows = [row if "/" in row else f"{asked[0]}/{row}" for row in rows]
    for row in rows:
        find_row(row)
    return [identifier for table in known for identifier in row_ids(table) if identifier in rows]
