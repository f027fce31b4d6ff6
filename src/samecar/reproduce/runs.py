"""Runs what is planned: each run once, interrupted ones from where they stopped, with the time that is left."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from samecar.config import ModelSettings, Recipe
from samecar.data import Manifest
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import of_test
from samecar.experiment.evaluate import evaluate
from samecar.experiment.train import initial_model, train
from samecar.files import read_json, write_json
from samecar.hardware import Machine, machine
from samecar.progress import Progress, silent
from samecar.reproduce.choices import Choices as Choices
from samecar.reproduce.rows import report_tables, row_ids
from samecar.training import Run
from samecar.training.lock import hold

READING = 3e8
"""Operations that reading a picture weighs as much as, in the estimate of the time left."""

SHARES = 10_000
"""Parts that the progress of all runs is told in."""


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
        return len(np.unique(self.manifest.of_split("train").vehicle_id))


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: which one.
        scores: what `saved_scores` gives; None if it failed.
        failure: why it failed.
        seconds: that it took.
        seconds_left: for all runs after it, roughly.
    """

    run: PlannedRun
    scores: dict[str, Any] | None
    failure: str | None
    seconds: float
    seconds_left: float


def rehearse(runs: Sequence[PlannedRun], data: Data) -> dict[ModelSettings, float]:
    """Makes sure, before anything starts, that every run can begin: batches fill, weights are there, sizes fit.

    Returns:
        Operations that each model does on a picture, by its settings.

    Raises:
        SamecarError: a run cannot begin; the sentence names its rows.
    """
    vehicles = data.train_vehicles
    operations: dict[ModelSettings, float] = {}
    for run in runs:
        batch = run.recipe.batch
        needed = batch.size // batch.pictures_per_vehicle
        if needed > vehicles:
            raise SamecarError(
                f"{run.recipe.title}: batches of {batch.size} with {batch.pictures_per_vehicle} pictures of each "
                f"vehicle need {needed} train vehicles, but there are {vehicles}; take more with --identities, give "
                "other data, or choose other rows with --rows"
            )
        if run.recipe.model not in operations:
            try:
                operations[run.recipe.model] = _operations(run)
            except SamecarError as error:
                raise SamecarError(f"{run.recipe.title}: {error}") from error
    return operations


def run_all(
    runs: Sequence[PlannedRun], data: Data, *, on: Machine | None = None, progress: Progress = silent
) -> Iterator[Outcome]:
    """Does every run that is not done yet, and says after each how it ended.

    A run that fails, because its loss is no longer finite for example, does not keep the others from being done.

    Args:
        runs: in this order.
        data: to train and score on.
        on: the machine.
        progress: is told the share of all the work that is done.

    Raises:
        SamecarError: some run cannot begin; nothing was started.
    """
    on = on or machine()
    pending = [run for run in runs if saved_scores(run.folder, data) is None]
    operations = rehearse(pending, data)
    work = [run.recipe.training.epochs * (operations[run.recipe.model] + READING) for run in pending]
    began = time.perf_counter()
    for number, run in enumerate(pending):
        started = time.perf_counter()
        done, total = sum(work[:number]), sum(work)
        heading = f"{number + 1}/{len(pending)} {run.rows[0]}"
        failure = None
        try:
            _perform(run, data, on, _Part(progress, heading, done / total, work[number] / total))
        except SamecarError as error:
            failure = str(error)
        now = time.perf_counter()
        done += work[number]
        yield Outcome(
            run,
            saved_scores(run.folder, data),
            failure,
            seconds=now - started,
            seconds_left=(now - began) / done * (total - done),
        )


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


def _perform(run: PlannedRun, data: Data, on: Machine, progress: Progress) -> None:
    with hold(run.folder):
        if saved_scores(run.folder, data) is not None:  # another process has just been done with it
            return
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


def _operations(run: PlannedRun) -> float:
    model = initial_model(run.recipe, 0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, model.preprocessing.height, model.preprocessing.width))
    return float(counter.get_total_flops())


class _Part:
    """Tells the progress of one run as a part of the progress of all."""

    def __init__(self, progress: Progress, heading: str, before: float, share: float) -> None:
        self._progress = progress
        self._heading = heading
        self._before = before
        self._share = share
        self._trained = 0.0

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        if task == "training":
            self._trained = done / total
        part = self._before + self._share * self._trained
        self._progress("runs", round(SHARES * part), SHARES, f"{self._heading}  {note or task}")
