"""Trains a recipe again and again with other options, and keeps what does best on held-out train vehicles."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samecar.config import Recipe, as_recipe, change_recipe, recipe_as_toml, shipped_recipes
from samecar.data import Manifest, as_manifest
from samecar.errors import SamecarError
from samecar.experiment.composite import FEWEST_HELD_OUT
from samecar.experiment.train import pictures_to_train_on, train
from samecar.experiment.tuning.space import read_space, value_of
from samecar.experiment.tuning.study import Claim, Study
from samecar.files import as_path, write_file
from samecar.hardware import Machine, machine
from samecar.options import value_as_toml
from samecar.progress import Progress, show_progress, silent
from samecar.report.figures.style import save_figure
from samecar.report.figures.tuning import TriedRecipe, history_figure, importances_figure, slices_figure
from samecar.training import Run

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

VALIDATION = 0.2
"""Share of the train vehicles that is held out where the recipe holds none out."""

FREE_TRIALS = 4
"""Trials that are trained to their end before others may be ended early."""

FREE_EPOCHS = 4
"""Of a trial this part, one in so many, is trained before it may be ended early: a warm-up tells little."""


@dataclass(frozen=True)
class TuneOptions:
    """How long is searched, and how.

    Attributes:
        trials: trainings that the study shall have in all, over all processes and times that it is begun
        hours: after which this process begins no other trial; default: no limit
        no_pruning: train every trial to its end, also where others were better at the same epoch
        seed: of the choice of values

    Raises:
        SamecarError: a number is out of range.
    """

    trials: int = 20
    hours: float | None = None
    no_pruning: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise SamecarError(f"trials is {self.trials}; give 1 or more")
        if self.hours is not None and self.hours <= 0:
            raise SamecarError(f"hours is {self.hours:g}; give more than 0")
        if not 0 <= self.seed < 2**20:
            raise SamecarError(f"seed is {self.seed}; give 0 or more and less than {2**20:,}")


DEFAULT_OPTIONS = TuneOptions()


@dataclass(frozen=True)
class Tuning:
    """What a study has found so far.

    Attributes:
        folder: of the study.
        trials: all of them, in their order.
        untrained: mAP of the recipe's network before training, 0 to 1; None while nobody has scored it.
        importances: share of each option in what sets the best trials apart; empty while too few have ended.
        vehicles: how many train vehicles are held out, on which all scores are.
    """

    folder: Path
    trials: Sequence[TriedRecipe]
    untrained: float | None
    importances: Mapping[str, float]
    vehicles: int

    def __repr__(self) -> str:
        best = "none complete" if self.best is None else f"best mAP {100 * (self.best.score or 0):.1f}"
        return f"<{type(self).__name__} {self.folder}: {len(self.trials)} trials, {best}>"

    @property
    def best(self) -> TriedRecipe | None:
        """The trial that ended with the best mAP; the first of equals. None while none has ended."""
        return best_of(self.trials)

    @property
    def as_it_stands(self) -> TriedRecipe | None:
        """The trial of the recipe without a change; None while it has not ended."""
        return next((trial for trial in self.trials if trial.as_it_stands and trial.state == "complete"), None)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "folder": str(self.folder),
            "vehicles": self.vehicles,
            "untrained": self.untrained,
            "best": None if self.best is None else self.best.number,
            "importances": dict(self.importances),
            "trials": [asdict(trial) for trial in self.trials],
        }


def best_of(trials: Sequence[TriedRecipe]) -> TriedRecipe | None:
    """The complete trial with the best score; the first of equals."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: trial.score or 0.0, default=None)


def tune(
    recipe: Recipe | str | Path,
    data: Manifest | str | Path,
    out: str | Path,
    over: Sequence[str],
    options: TuneOptions = DEFAULT_OPTIONS,
    *,
    changes: Sequence[str] = (),
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
) -> Tuning:
    """Searches for better options of a recipe, on train vehicles that are held out from all trials.

        >>> tuning = samecar.tune("small-set", "veri776:VeRi", "study", ["optimizer.learning_rate=1e-5..1e-3:log"])
        >>> tuning.best.values
        {'optimizer.learning_rate': 0.00041}

    The first trial is the recipe as it stands; others follow what was good before (Optuna's tree-structured Parzen
    estimator). One that at some epoch is below the median of the others ends early. The best mAP is the best of many on
    the same vehicles, so it is optimistic: score a model of the best recipe on vehicles that were never looked at.

    A study goes on where it was: begin it again with the same recipe, source and options. Several processes may work on
    one folder; a trial whose process was killed goes on from its last epoch.

    Args:
        recipe: what to begin with; a recipe, the name of a shipped one, or a TOML file. It holds out what its
            `training.validation` says, or a fifth of the train vehicles.
        data: a manifest, or a source such as `veri776:PATH`; only train pictures are looked at.
        out: folder of the study.
        over: what to search, as `option=LOW..HIGH`, `option=LOW..HIGH:log`, `option=LOW..HIGH:STEP` or
            `option=A,B,C`.
        options: how long, and how.
        changes: of the recipe for all trials, as `group.option=value`.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.

    Returns:
        All trials; the folder has the best recipe as `best.toml`, and figures.

    Raises:
        SamecarError: an option or a range is not allowed, too few vehicles can be held out, the folder is of another
            study, or Optuna is not installed.
    """
    folder, manifest = as_path(out, "out"), as_manifest(data)
    given = change_recipe(as_recipe(recipe), changes)
    base = given if given.training.validation else change_recipe(given, [f"training.validation={VALIDATION}"])
    space = read_space(over, base)
    _, held_out = pictures_to_train_on(base, manifest)
    assert held_out is not None
    vehicles = len(np.unique(held_out.vehicle_id))
    if vehicles < FEWEST_HELD_OUT:
        raise SamecarError(
            f"training.validation {base.training.validation:g} holds out {vehicles} vehicle, and {FEWEST_HELD_OUT} are "
            "needed to compare recipes; raise it"
        )
    description = {
        "recipe": base.digest,
        "over": list(over),
        "data": {"source": manifest.name, "digest": manifest.of_split("train").digest},
        "seed": options.seed,
    }
    study = Study.begin(folder, base, space, description, options.seed)
    work = _Work(study, base, manifest, on or machine(), options)
    best_file = partial(_write_best, study, recipe, given, tuple(changes), vehicles)
    started, worked = time.monotonic(), False
    with show_progress(progress) as report:
        while options.hours is None or time.monotonic() - started < 3600 * options.hours:
            with study.claim(options.trials) as claim:
                if claim is None:
                    break
                work.carry_out(claim, report)
                worked = True
            best_file(manifest)
            _tell(study.trials(), options.trials, report)
    found = Tuning(folder, study.trials(), study.untrained, study.importances(), vehicles)
    if worked or not (folder / "history.png").is_file():
        _draw(found, study.logarithmic)
    return found


@dataclass(frozen=True)
class _Work:
    """What trials are carried out with."""

    study: Study
    recipe: Recipe
    manifest: Manifest
    on: Machine
    options: TuneOptions

    def carry_out(self, claim: Claim, progress: Progress) -> None:
        """Trains a trial to its end, until it is pruned, or until an error that a user could mend."""
        from optuna import TrialPruned

        started = time.monotonic()
        try:
            score = self._train(claim, progress)
        except TrialPruned:
            self.study.end(claim, _best_epoch(Run.open(claim.folder)), time.monotonic() - started, pruned=True)
        except SamecarError as error:
            self.study.end(claim, None, time.monotonic() - started, error=str(error))
        else:
            self.study.end(claim, score, time.monotonic() - started)

    def _train(self, claim: Claim, progress: Progress) -> float:
        from optuna import TrialPruned

        recipe = change_recipe(self.recipe, claim.changes)
        trial = claim.trial
        self.study.optuna.pruner = self._pruner(recipe)

        def watch(epoch: int, scores: Mapping[str, float]) -> None:
            trial.report(scores["mAP"], epoch)
            if not claim.as_it_stands and trial.should_prune():
                raise TrialPruned

        resume = any((claim.folder / "checkpoints").glob("epoch-*"))
        if resume:
            for record in Run.open(claim.folder).metrics():
                if "validation_mAP" in record:
                    trial.report(record["validation_mAP"], int(record["epoch"]))
        else:
            _empty(claim.folder)
        run = train(recipe, self.manifest, claim.folder, resume=resume, on=self.on, progress=progress, watch=watch)
        if claim.as_it_stands:
            self.study.note_untrained(run.untrained["validation_mAP"])
        score = _best_epoch(run)
        assert score is not None  # the last epoch is always scored
        return score

    def _pruner(self, recipe: Recipe) -> "BasePruner":
        from optuna.pruners import MedianPruner, NopPruner

        if self.options.no_pruning:
            return NopPruner()
        return MedianPruner(FREE_TRIALS, n_warmup_steps=recipe.training.epochs // FREE_EPOCHS)


def _best_epoch(run: Run) -> float | None:
    """The best mAP of a run on its held-out vehicles."""
    return max((record["validation_mAP"] for record in run.metrics() if "validation_mAP" in record), default=None)


def _empty(folder: Path) -> None:
    """Removes what a process has left that was killed before it trained; the lock, which is held, stays."""
    for name in ("run.json", "metrics.jsonl", "unreadable.json"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("events.out.*"):
        path.unlink()


def _tell(trials: Sequence[TriedRecipe], planned: int, progress: Progress) -> None:
    best = best_of(trials)
    note = "" if best is None else f"best mAP {100 * (best.score or 0):.1f} in trial {best.number}"
    progress("trials", sum(trial.state != "running" for trial in trials), max(planned, len(trials)), note)


def _write_best(
    study: Study, named: Recipe | str | Path, given: Recipe, changes: tuple[str, ...], vehicles: int, manifest: Manifest
) -> None:
    """Writes the best recipe so far, as a change of the one that was named."""
    trials = study.trials()
    best = best_of(trials)
    if best is None:
        return
    changed = change_recipe(given, best.changes)
    session = Run.open(study.run_folder(best.number)).sessions[-1]
    measured = (
        f"mAP {100 * (best.score or 0):.1f} on {vehicles} held-out train vehicles of {manifest.name}, the best of "
        f"{sum(trial.score is not None for trial in trials)} trials, so it is optimistic"
    )
    header = {
        "source": f"`samecar tune` from {given.title or 'a recipe of your own'}, trial {best.number}",
        "command": f"samecar train {study.folder / 'best.toml'} --data SOURCE --out RUN",
        "hardware": str(session["device"]),
        "hours": f"{best.seconds / 3600:.2g}, the time of the trial",
        "published": "none",
        "measured": measured,
    }
    lines = [f"# {name}: {' '.join(text.split())}" for name, text in header.items()]
    lines += ["", _body(study.folder, named, changed, (*changes, *best.changes))]
    with write_file(study.folder / "best.toml") as path:
        path.write_text("\n".join(lines), encoding="utf-8")


def _body(folder: Path, named: Recipe | str | Path, changed: Recipe, changes: Sequence[str]) -> str:
    """A recipe of only what differs, or of all options where it was not given by its name or its file."""
    if isinstance(named, Recipe):
        return recipe_as_toml(changed)
    base = str(named) if str(named) in shipped_recipes() else os.path.relpath(named, folder)
    groups: dict[str, list[str]] = {}
    for option in dict.fromkeys(change.partition("=")[0].strip() for change in changes):
        group, _, name = option.rpartition(".")
        groups.setdefault(group, []).append(f"{name} = {value_as_toml(value_of(changed, option))}")
    own = groups.pop("", [])
    if not any(line.startswith("title = ") for line in own):
        own.append(f"title = {value_as_toml(f'{changed.title or named}, tuned')}")
    lines = [f"base = {value_as_toml(base)}", *own]
    for group, options in groups.items():
        lines += ["", f"[{group}]", *options]
    return "\n".join(lines) + "\n"


def _draw(found: Tuning, logarithmic: Sequence[str]) -> None:
    """Writes the figures that there are trials for."""
    scored = [trial for trial in found.trials if trial.score is not None]
    if scored:
        save_figure(history_figure(found.trials, untrained=found.untrained), found.folder / "history")
    if any(trial.values for trial in scored):
        save_figure(slices_figure(found.trials, logarithmic=logarithmic), found.folder / "slices")
    if found.importances:
        save_figure(importances_figure(found.importances), found.folder / "importances")
