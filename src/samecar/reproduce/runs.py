"""The distinct runs behind rows, the data that they are done on, and how one is done and found done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samecar.config import Recipe
from samecar.data import Manifest
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import of_test
from samecar.experiment.evaluate import evaluate
from samecar.experiment.train import train
from samecar.files import read_json, write_json
from samecar.hardware import Machine
from samecar.progress import Progress
from samecar.reproduce.choices import Choices as Choices
from samecar.reproduce.rows import report_tables, row_ids
from samecar.training import Run
from samecar.training.lock import hold


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
        PlannedRun(_add_title(recipe, " = ".join(together[key]), seed), together[key], run_folder(out, recipe, seed))
        for seed in choices.seeds
        for key, recipe in recipes.items()
    ]


def run_folder(out: Path, recipe: Recipe, seed: int) -> Path:
    """Where the run of a row's recipe with a seed lies."""
    return out / "runs" / f"{recipe.digest}-seed{seed}"


def _add_title(recipe: Recipe, title: str, seed: int) -> Recipe:
    training = recipe.training.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"title": title, "description": "", "training": training})


@dataclass(frozen=True)
class Data:
    """The pictures of a reproduction, and the digests by which scores are known to be of them."""

    manifest: Manifest
    train_digest: str
    test_digest: str

    @classmethod
    def of(cls, manifest: Manifest) -> "Data":
        """Looks at a manifest.

        Raises:
            SamecarError: it has no train, query or gallery pictures.
        """
        missing = [split for split, count in manifest.split_counts.items() if not count]
        if missing:
            raise SamecarError(f"the data have no {missing[0]} pictures; a reproduction trains and scores")
        return cls(manifest, manifest.of_split("train").digest, of_test(manifest).digest)

    @property
    def train_vehicles(self) -> int:
        """How many vehicles there are to train on."""
        return self.manifest.of_split("train").vehicle_count


def saved_scores(folder: Path, data: Data) -> dict[str, Any] | None:
    """Scores of a finished run on these data; None if there are none, or if `unsound_record` has something to say.

    Raises:
        SamecarError: the folder holds a run on other data.
    """
    path = folder / "scores.json"
    if not path.is_file():
        return None
    scores: dict[str, Any] = read_json(path)
    if (scores["train_digest"], scores["test_digest"]) != (data.train_digest, data.test_digest):
        raise SamecarError(f"{folder} was trained or scored on other pictures than these; choose another --out")
    return None if unsound_record(folder) else scores


def unsound_record(folder: Path) -> str | None:
    """Why the scores of a finished run do not count: its record is not that of one whole training; None if they do."""
    if not (folder / "scores.json").is_file():
        return None
    try:
        Run.open(folder).refuse_incomplete()
    except SamecarError as error:
        return str(error)
    return None


def perform(run: PlannedRun, data: Data, on: Machine, progress: Progress) -> bool:
    """Trains and scores a run, which is held meanwhile, from where it stopped.

    Returns:
        False if there was nothing to do, as another process has just been done with it.

    Raises:
        HeldError: another process holds the run.
        SamecarError: training fails, or the run's record is not that of one training.
    """
    with hold(run.folder):
        if saved_scores(run.folder, data) is not None:
            return False
        if unsound := unsound_record(run.folder):
            raise SamecarError(unsound)
        begun = (run.folder / "run.json").exists()
        trained = train(run.recipe, data.manifest, run.folder, resume=begun, on=on, progress=progress)
        evaluation = evaluate(trained, data.manifest, on=on, progress=progress)
        scores = {
            "train_digest": data.train_digest,
            "test_digest": data.test_digest,
            "seconds": round(sum(record["seconds"] for record in trained.metrics()), 1),
            "evaluation": evaluation.as_dict(),
        }
        write_json(run.folder / "scores.json", scores)
        return True
