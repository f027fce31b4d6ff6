"""Training with its question answered: is the trained network better than the one that it began with?"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samecar.config import Recipe, as_recipe
from samecar.data import Manifest, as_manifest
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation import Evaluation, Provenance
from samecar.evaluation.test_sets import of_test, protocol_of, refuse_unscorable
from samecar.experiment.evaluate import evaluate, score_splits
from samecar.experiment.train import initial_model, pictures_to_train_on, train
from samecar.files import as_path
from samecar.hardware import Machine, machine
from samecar.models.saved import RUN_FILE
from samecar.models.weights.sources import resolve_weights
from samecar.processes import take_part
from samecar.progress import Progress, show_progress, silent
from samecar.training import Run
from samecar.training.lock import hold
from samecar.training.logs import check_log
from samecar.uncertainty import CHANCE, compare

WHAT_TO_TRY = (
    "larger pictures (model.height and model.width), a lower or higher optimizer.learning_rate, more training.epochs"
)
"""In the order in which it is likely to help."""


@dataclass(frozen=True)
class Trial:
    """A run, with the scores of its network before and after training.

    Attributes:
        run: whose `load_model()` gives the model.
        untrained: scores of the network as training found it; None for a run that was taken up again where the weights
            that it began with are gone.
        trained: scores of the model that the run ended with.
    """

    run: Run
    untrained: Evaluation | None
    trained: Evaluation

    @property
    def gain(self) -> float:
        """By how much training has raised mAP, which is from 0 to 1; NaN where it is not known."""
        if self.untrained is None:
            return math.nan
        return self.trained.mean_average_precision - self.untrained.mean_average_precision

    @property
    def p_value(self) -> float:
        """How probable a difference in mAP as large as that is by chance over vehicles alone, two-sided; or NaN."""
        if self.untrained is None:
            return math.nan
        before, after = self.untrained.queries, self.trained.queries
        assert before is not None
        assert after is not None
        vehicles = before.labels.vehicle_id
        return compare(before.metrics["mAP"], after.metrics["mAP"], vehicles).p_value

    def warning(self) -> str | None:
        """What to tell whoever trained, if training has not helped."""
        if self.untrained is None or (self.gain > 0 and self.p_value < CHANCE):
            return None
        before, after = (100 * scores.mean_average_precision for scores in (self.untrained, self.trained))
        found = "training has not helped" if self.gain <= 0 else "training may not have helped; that can be chance"
        return f"{found}: mAP is {before:.1f} before and {after:.1f} after it; try {WHAT_TO_TRY}"


def train_and_evaluate(
    recipe: Recipe | str | Path,
    data: Manifest | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
    log: str | None = None,
) -> Trial:
    """Scores a network on a source's query and gallery pictures, trains it on the train pictures, and scores it again.

        >>> trial = samecar.train_and_evaluate("small-set", "csv:pictures.csv", "runs/first", progress=True)
        >>> f"{100 * trial.gain:+.1f} mAP"
        '+12.3 mAP'

    The report of the run shows both. Pictures that are scored choose nothing.

    Args:
        recipe: what to train and how; a recipe, the name of a shipped one, or a TOML file.
        data: a manifest, or a source such as `veri776:PATH`.
        out: the run folder, absent or empty unless resuming.
        resume: continue the run that is there.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.
        log: where epochs and scores are told besides, as in `train`.

    Raises:
        SamecarError: the source has no query and gallery pictures, or whatever else a user can mend.
    """
    if log is not None:
        check_log(log)
    folder, on, recipe, manifest = as_path(out, "out"), on or machine(), as_recipe(recipe), as_manifest(data)
    with take_part(on) as processes, show_progress(progress if processes.first else silent) as report:
        mine = processes.machine(on)

        def score_before() -> Evaluation | None:
            begun = _begun_with(folder) if resume else _not_begun_with(folder, recipe)
            return None if begun is None else score_untrained(begun, manifest, on=mine, progress=report)

        untrained = processes.once(score_before)
        run = train(recipe, manifest, folder, resume=resume, on=on, progress=report, log=log)
        trained = evaluate(run, manifest, untrained=untrained, on=on, progress=report)
        return Trial(run, untrained, trained)


def _not_begun_with(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe of a run that begins; what training would refuse is refused before the first scoring."""
    with hold(folder):
        Run.refuse_used(folder, recipe)
    return recipe


def _begun_with(folder: Path) -> Recipe | None:
    """The recipe of a run that is taken up again, if the weights that it began with can still be had."""
    if not (folder / RUN_FILE).is_file():
        return None  # training says so
    run = Run.open(folder)
    try:
        weights = resolve_weights(run.model_settings)
    except SamecarError:
        return None
    same = bool(run.weights) and weights.sha256 == run.weights["sha256"]
    return run.recipe.model_copy(update={"model": run.model_settings}) if same else None


def score_untrained(
    recipe: Recipe, manifest: Manifest, *, on: Machine | None = None, progress: Progress = silent
) -> Evaluation:
    """Scores the network that a recipe begins with, on a source's query and gallery pictures.

    Args:
        recipe: whose network, start weights, seed and distance.
        manifest: the pictures.
        on: the machine.
        progress: is told how far the work is.

    Raises:
        SamecarError: there is nothing to score, or the weights are not there.
    """
    on, protocol = on or machine(), protocol_of(manifest)
    refuse_unscorable(manifest, protocol)
    training = pictures_to_train_on(recipe, manifest)[0]
    model = initial_model(recipe, len(np.unique(training.vehicle_id)), training).to(on.device)
    embeddings = embed(model, of_test(manifest), workers=on.workers, progress=progress)
    provenance = Provenance(epoch_choice="before training", seed=recipe.training.seed)
    return score_splits(embeddings, protocol, distance=recipe.model.distance, provenance=provenance)
