"""By which recipe a run that is there may be trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from samecar.config import ModelSettings, Recipe
from samecar.errors import SamecarError
from samecar.models.folders import TENSORS_FILE
from samecar.options import flatten
from samecar.training.patience import early_end
from samecar.training.rates import scheduled_rate

END = ("epochs", "patience")
"""Options of training that only say when it ends; a longer run may have others than it began with."""

SHARES = (0.0, 0.25, 0.5, 0.75)
"""Places in an epoch at which the learning rates of two recipes are compared."""


def recipe_to_resume(folder: Path, noted: Recipe, given: Recipe, records: Sequence[Mapping[str, float]]) -> Recipe:
    """Says by which recipe a run is trained on.

    That is the run's own, or one that differs in nothing but a later end, if all that was trained would have been
    trained in the same way by it.

    Args:
        folder: of the run.
        noted: the run's own recipe.
        given: the recipe that was asked for.
        records: of the epochs that are trained.

    Raises:
        SamecarError: the recipes differ in more, or in what was trained; the sentence names the way that works.
    """
    if noted.digest in (given.digest, _former(given).digest):
        return noted
    if not is_longer(noted, given):
        raise SamecarError(_refusal(folder, noted, given))
    end = {name: getattr(given.training, name) for name in END}
    longer = noted.model_copy(update={"training": noted.training.model_copy(update=end)})
    _refuse_other_rates(folder, noted, longer, len(records))
    _refuse_other_end(folder, longer, records)
    return longer


def is_longer(noted: Recipe, given: Recipe) -> bool:
    """Whether a recipe differs from a run's own in nothing but its end, and ends no earlier."""
    same = noted.digest in (_with_end_of(given, noted).digest, _with_end_of(_former(given), noted).digest)
    return same and given.training.epochs >= noted.training.epochs


def differences(first: Recipe, second: Recipe) -> str:
    """Names the options in which two recipes differ."""
    mine, theirs = (flatten(recipe.model_dump(mode="json")) for recipe in (first, second))
    return ", ".join(
        f"{option} was {value!r} and is now {theirs[option]!r}"
        for option, value in mine.items()
        if "." in option and value != theirs[option]
    )


def beginning_with(folder: Path) -> str:
    """Ends a refusal with the way to another run that begins with a run's model; "" where there is no model yet."""
    if not (folder / "model" / TENSORS_FILE).is_file():
        return ""
    return f", or begin there with what this run has learned: --set model.weights={folder}"


def _with_end_of(recipe: Recipe, other: Recipe) -> Recipe:
    end = {name: getattr(other.training, name) for name in END}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=end)})


def _refusal(folder: Path, noted: Recipe, given: Recipe) -> str:
    shorter = given.training.epochs < noted.training.epochs and is_longer(_with_end_of(noted, given), given)
    if shorter:
        return (
            f"{folder} is a run of training.epochs {noted.training.epochs}, and {given.training.epochs} was given; a "
            f"run can be made longer, not shorter: resume with training.epochs={noted.training.epochs}, or train with "
            f"{given.training.epochs} in another folder"
        )
    return (
        f"{folder} was trained with another recipe: {differences(noted, given)}; "
        f"resume with the same recipe and --set, or choose another folder{beginning_with(folder)}"
    )


def _refuse_other_rates(folder: Path, noted: Recipe, longer: Recipe, done: int) -> None:
    """Refuses a longer training whose learning rates would have been others in the epochs that are trained."""
    for epoch in range(done):
        for share in SHARES:
            rates = [scheduled_rate(recipe, epoch, share) for recipe in (noted, longer)]
            if rates[0] != rates[1]:
                raise SamecarError(_other_rates(folder, noted, longer, epoch, rates))


def _other_rates(folder: Path, noted: Recipe, longer: Recipe, epoch: int, rates: Sequence[float]) -> str:
    epochs = longer.training.epochs
    return (
        f"{folder} cannot be trained longer: with schedule.decay {noted.schedule.decay!r} and training.epochs {epochs} "
        f"the learning rate of epoch {epoch + 1}, which is trained, would have been {rates[1]:.3g} and was "
        f"{rates[0]:.3g}; train with training.epochs={epochs} in another folder{beginning_with(folder)}"
    )


def _refuse_other_end(folder: Path, longer: Recipe, records: Sequence[Mapping[str, float]]) -> None:
    """Refuses a longer training whose patience has ended it already."""
    patience = longer.training.patience
    end = early_end(records, patience)
    if end is not None:
        raise SamecarError(
            f"{folder} cannot be trained longer: with training.patience {patience} training ends after epoch {end}, "
            f"and {len(records)} are trained; give a higher training.patience, or 0 to train to the last epoch"
        )


FORMER_VALUES: dict[tuple[str, object], object] = {
    ("backbone", "legacy_seresnext50_32x4d"): "seresnext50_32x4d",
    ("weights", "torchvision:mobilenet_v3_small.IMAGENET1K_V1"): "imagenet",
    ("weights", "torchvision:resnet18.IMAGENET1K_V1"): "imagenet",
    ("weights", "timm:legacy_seresnext50_32x4d.in1k"): "imagenet",
    ("initialisation", "torch"): "kaiming",
    ("batch_norm_epsilon", 0.001): None,
    ("batch_norm_momentum", 0.01): None,
    ("fusion", "global-chain"): "global",
}
"""Options of the report's recipes, with the value that they had before these had the report's own networks."""


def _former(recipe: Recipe) -> Recipe:
    """One of the report's recipes as it was before; of other recipes nobody asks for it."""
    former = {name: FORMER_VALUES.get((name, value), value) for name, value in recipe.model.model_dump().items()}
    return recipe.model_copy(update={"model": ModelSettings.model_validate(former)})
