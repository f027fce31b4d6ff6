"""From rows to runs: rows of equal recipes are one run, whatever table they stand in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from samecar.config import Recipe
from samecar.errors import SamecarError
from samecar.reproduce.rows import derive, report_tables, row_ids
from samecar.reproduce.scaling import Scale


@dataclass(frozen=True)
class Choices:
    """What a reproduction is asked to be.

    Attributes:
        seeds: each run is done once with each.
        as_run: with the settings of the published runs where they differ from the printed ones.
        scale: smaller sizes for a dry run.
        changes: further changes to every row, as `--set` takes them.

    Raises:
        SamecarError: there is no seed, or one twice, or the changes name one.
    """

    seeds: tuple[int, ...] = (1,)
    as_run: bool = False
    scale: Scale = field(default_factory=Scale)
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SamecarError(f"seeds are {list(self.seeds)}; give one or more, each once")
        if any(change.startswith("training.seed") for change in self.changes):
            raise SamecarError("--set training.seed has no say here: --seeds N runs each row with the seeds 1 to N")

    def recipe(self, row: str) -> Recipe:
        """What a row is trained with, but for title and seed.

        Raises:
            SamecarError: the changes do not go together with the row.
        """
        return _recipe(self, row)


@dataclass(frozen=True)
class PlannedRun:
    """One training run.

    Attributes:
        recipe: its title names the rows that it stands for.
        rows: identifiers of those rows.
        folder: where it lies.
    """

    recipe: Recipe
    rows: tuple[str, ...]
    folder: Path


def rows_by_run(choices: Choices) -> dict[str, tuple[str, ...]]:
    """Identifiers of the rows that are one run, by the digest of their recipe.

    All of the report's rows are there, but for those that the changes of `choices` do not go together with.
    """
    together: dict[str, tuple[str, ...]] = {}
    for row in all_rows():
        try:
            key = choices.recipe(row).digest
        except SamecarError:
            continue
        together[key] = (*together.get(key, ()), row)
    return together


def all_rows() -> list[str]:
    """Identifiers of all of the report's rows."""
    return [row for table in report_tables() for row in row_ids(table)]


def plan_runs(choices: Choices, rows: Sequence[str], out: Path) -> list[PlannedRun]:
    """The distinct runs behind some rows: all rows with the first seed, then with the second.

    Args:
        choices: how the rows are run.
        rows: identifiers.
        out: runs lie in `out/runs`, named by digest and seed, so that tables share them.
    """
    together = rows_by_run(choices)
    recipes = {recipe.digest: recipe for recipe in map(choices.recipe, rows)}
    return [
        PlannedRun(_titled(recipe, " = ".join(together[key]), seed), together[key], run_folder(out, recipe, seed))
        for seed in choices.seeds
        for key, recipe in recipes.items()
    ]


def run_folder(out: Path, recipe: Recipe, seed: int) -> Path:
    """Where the run of a row's recipe with a seed lies."""
    return out / "runs" / f"{recipe.digest}-seed{seed}"


@cache
def _recipe(choices: Choices, row: str) -> Recipe:
    try:
        return choices.scale.recipe(derive(row, as_run=choices.as_run).load(choices.changes))
    except SamecarError as error:
        raise SamecarError(f"{row}: {error}") from error


def _titled(recipe: Recipe, title: str, seed: int) -> Recipe:
    training = recipe.training.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"title": title, "description": "", "training": training})
