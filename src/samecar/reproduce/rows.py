"""The report's tables and figures as data: for each row its numbers, and what it changes in a recipe or another row."""

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


class BesideRow(Settings):
    """A row of another table that is shown with a table because it says more clearly what that compares.

    Attributes:
        id: identifier, with its table's name.
        name: what to call it here.
    """

    id: str
    name: str


class ReportTable(Settings):
    """A table of the report.

    Attributes:
        title: what it compares.
        heading: of the column of names.
        base: the recipe or `table/row` that its rows begin with.
        baseline: the row that the others are compared with.
        changes: what all rows change before their own changes, but for rows with a base of their own.
        as_run: what all published runs changed besides.
        costs: whether parameters and multiply-adds of its networks are shown.
        notes: what a reader should know.
        rows: in the report's order.
        beside: rows of other tables that are run and shown with it; they do not count as its rows.
    """

    title: str
    heading: str
    base: str
    baseline: str
    changes: tuple[str, ...] = ()
    as_run: tuple[str, ...] = ()
    costs: bool = False
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...]
    beside: tuple[BesideRow, ...] = ()


class ReportFigure(Settings):
    """A figure of the report.

    Attributes:
        title: what it shows.
        rows: identifiers of the rows that it needs, if it shows a network.
        curves: the table whose rows' training loss it shows.
        as_run: whether the report shows its runs with the settings of the published runs.
    """

    title: str
    rows: tuple[str, ...] = ()
    curves: str | None = None
    as_run: bool = False

    @property
    def needed_rows(self) -> list[str]:
        """Identifiers of all rows that it needs."""
        return [*self.rows, *(row_ids(self.curves) if self.curves else [])]


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


@cache
def report_figures() -> dict[str, ReportFigure]:
    """The report's figures by name, `figure1` to `figure5`."""
    text = (resources.files(__package__) / "figures.toml").read_text(encoding="utf-8")
    return {name: ReportFigure.model_validate(content) for name, content in tomllib.loads(text).items()}


def row_ids(table: str) -> list[str]:
    """Identifiers of a table's rows, such as `table5/batch-64`."""
    return [f"{table}/{row.id}" for row in report_tables()[table].rows]


def table_of(row: str) -> str:
    """The name of the table that a row stands in, from the row's identifier."""
    return row.partition("/")[0]


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


def differs_as_run(table: str) -> bool:
    """Whether some published run of a table had other settings than the report prints."""
    return any(derive(row, as_run=True) != derive(row) for row in row_ids(table))


def choose_rows(targets: Sequence[str], rows: Sequence[str] = ()) -> list[str]:
    """Identifiers of the rows that are asked for, in the report's order.

    Args:
        targets: names of tables, or 'all'; what figures need is not among the rows, see `choose_figures`.
        rows: identifiers; without their table's name where one table is given. With rows, the tables' other rows are
            left out.

    Raises:
        SamecarError: nothing is asked for, or something that the report does not have.
    """
    known = [*report_tables(), *report_figures()]
    unknown = [target for target in targets if target not in known and target != "all"]
    if unknown:
        raise SamecarError(f"{unknown[0]!r} is unknown; known are {', '.join(known)} and all")
    if not targets and not rows:
        raise SamecarError(f"say what: {', '.join(known)} or all; `samecar reproduce --list` shows the tables' rows")
    asked = list(report_tables()) if "all" in targets else [table for table in report_tables() if table in targets]
    if not rows:
        return [identifier for table in asked for identifier in row_ids(table)]
    if len(asked) == 1:
        rows = [row if "/" in row else f"{asked[0]}/{row}" for row in rows]
    for row in rows:
        find_row(row)
    return [identifier for table in report_tables() for identifier in row_ids(table) if identifier in rows]


def choose_figures(targets: Sequence[str], rows: Sequence[str] = ()) -> list[str]:
    """Names of the figures whose runs are asked for, in the report's order.

    Args:
        targets: names of tables and figures, or 'all'.
        rows: as `choose_rows` takes them; with rows, nothing but these is run.

    Raises:
        SamecarError: a figure is named together with rows.
    """
    named = [figure for figure in report_figures() if figure in targets]
    if named and rows:
        raise SamecarError(f"--rows chooses rows of tables, but {named[0]} is a figure; leave one of them out")
    return list(report_figures()) if "all" in targets and not rows else named


def rows_beside(rows: Sequence[str]) -> list[str]:
    """Identifiers of the rows of other tables that are run with these, where these hold the whole of a table."""
    whole = [name for name in report_tables() if set(row_ids(name)) <= set(rows)]
    return [row.id for name in whole for row in report_tables()[name].beside]
