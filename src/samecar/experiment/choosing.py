"""Which recipe fits a set of pictures and a machine, why, and how long it will take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from samecar.config import Recipe, load_recipe
from samecar.data import Manifest, as_manifest
from samecar.errors import SamecarError
from samecar.experiment.timing import count_steps, seconds_a_picture, time_network, time_reading
from samecar.experiment.train import pictures_to_train_on, train_pictures
from samecar.hardware import Machine, available_cores, machine
from samecar.models.weights.sources import resolve_weights

FEWEST = 2
"""Vehicles of a batch and pictures of each, at least: fewer give a metric loss nothing to compare."""


@dataclass(frozen=True)
class Candidate:
    """A shipped recipe, and what a set and a machine need for it.

    Attributes:
        name: of the recipe.
        memory: GiB that the GPU needs; 0 is for machines without a GPU too.
        vehicles: to train on, at least.
        pictures: of a vehicle, at least, in the middle of all vehicles.
    """

    name: str
    memory: float = 0
    vehicles: int = 0
    pictures: float = 0


CANDIDATES = (
    Candidate("veri-r50-ibn", memory=15, vehicles=200, pictures=8),
    Candidate("edge", memory=6, vehicles=100, pictures=4),
    Candidate("small-set"),
)
"""The better one first."""


@dataclass(frozen=True)
class Choice:
    """A recipe that was chosen.

    Attributes:
        name: of the shipped recipe.
        changes: to its options, as `load_recipe` takes them.
        recipe: with these changes.
        reasons: why this one, in sentences.
        seconds: that training will take on this machine, from a few steps that were timed.
    """

    name: str
    changes: tuple[str, ...]
    recipe: Recipe
    reasons: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Facts:
    """What decides."""

    vehicles: int
    pictures: float  # of a vehicle, in the middle
    cameras: int
    memory: float  # GiB of the GPU, 0 without one

    def sentences(self) -> list[str]:
        cameras = f"{self.cameras} cameras" if self.cameras else "cameras unknown"
        return [
            f"{self.vehicles:,} vehicles to train on, {self.pictures:g} pictures of a vehicle (median), {cameras}",
            f"a GPU with {self.memory:.0f} GiB" if self.memory else "no GPU",
        ]


def choose_recipe(
    data: Manifest | str, changes: Sequence[str] = (), *, on: Machine | None = None, timed: bool = True
) -> Choice:
    """Chooses a shipped recipe for a source's train pictures.

        >>> choice = samecar.choose_recipe("csv:pictures.csv")
        >>> choice.name, choice.reasons[0]
        ('small-set', '355 vehicles to train on, 2 pictures of a vehicle (median), 2 cameras')

    Nothing of the pictures themselves is looked at, and no test vehicle has a say.

    Args:
        data: a manifest, or a source such as `veri776:PATH`.
        changes: wishes of the user, in the form `group.option=value`; they are kept.
        on: the machine.
        timed: whether to time some steps of training; otherwise `seconds` is NaN.

    Raises:
        SamecarError: there are no train pictures, or no recipe's weights can be had.
    """
    on, manifest = on or machine(), as_manifest(data)
    facts = _look(manifest, on)
    reasons, refused = facts.sentences(), []
    for candidate in CANDIDATES:
        lacking = _lacks(candidate, facts)
        if lacking:
            reasons.append(f"not {candidate.name}: it wants {lacking}")
            continue
        chosen = _fit_batch(candidate.name, tuple(changes), facts)
        recipe = load_recipe(candidate.name, chosen)
        try:
            weights = resolve_weights(recipe.model)
        except SamecarError as error:
            refused.append(str(error))
            reasons.append(f"not {candidate.name}: {error}")
            continue
        reasons.append(f"begins with {weights.name}")
        seconds = _estimate(recipe, manifest, on) if timed else float("nan")
        return Choice(candidate.name, chosen, recipe, tuple(reasons), seconds)
    raise SamecarError(f"no recipe can begin: {'; '.join(refused)}")


def _look(manifest: Manifest, on: Machine) -> _Facts:
    training = train_pictures(manifest)
    pictures = np.unique(training.vehicle_id, return_counts=True)[1]
    cameras = set(training.camera_id.tolist()) - {""}
    memory = torch.cuda.get_device_properties(on.device).total_memory / 2**30 if on.device.type == "cuda" else 0.0
    return _Facts(len(pictures), float(np.median(pictures)), len(cameras), memory)


def _lacks(candidate: Candidate, facts: _Facts) -> str:
    """What a candidate wants that is not there, in words."""
    wanted = (
        (facts.memory < candidate.memory, f"a GPU with {candidate.memory:g} GiB"),
        (facts.vehicles < candidate.vehicles, f"{candidate.vehicles} vehicles"),
        (facts.pictures < candidate.pictures, f"{candidate.pictures:g} pictures of each"),
    )
    return " and ".join(words for lacking, words in wanted if lacking)


def _fit_batch(name: str, changes: tuple[str, ...], facts: _Facts) -> tuple[str, ...]:
    """Adds what lets a recipe's batches be filled by fewer vehicles, or by fewer pictures of each."""
    batch = load_recipe(name, changes).batch
    given = {change.partition("=")[0].strip() for change in changes}
    if given & {"batch.size", "batch.pictures_per_vehicle"}:
        return changes
    pictures = min(batch.pictures_per_vehicle, max(FEWEST, int(facts.pictures)))
    vehicles = min(batch.size // pictures, max(FEWEST, facts.vehicles))
    fitting = {"pictures_per_vehicle": pictures, "size": vehicles * pictures}
    return changes + tuple(f"batch.{name}={value}" for name, value in fitting.items() if value != getattr(batch, name))


def _estimate(recipe: Recipe, manifest: Manifest, on: Machine) -> float:
    training = pictures_to_train_on(recipe, manifest)[0]
    network = time_network(recipe, len(np.unique(training.vehicle_id)), on.device, on.speed)
    a_picture = seconds_a_picture(
        time_reading(network.preprocessing, recipe.augmentation, training),
        network.seconds,
        cores=available_cores(),
        workers=on.workers,
        threads=torch.get_num_threads(),
        on_cpu=on.device.type == "cpu",
    )
    return recipe.training.epochs * count_steps(training, recipe) * recipe.batch.size * a_picture
