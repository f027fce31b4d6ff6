"""What runs will take: reading and training are timed for a moment on this machine, the rest is multiplied."""

import heapq
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from samecar.errors import SamecarError
from samecar.experiment.timing import count_steps, seconds_a_picture, time_network, time_reading
from samecar.experiment.train import pictures_to_train_on
from samecar.hardware import Machine, available_cores
from samecar.reproduce.costs import network_costs
from samecar.reproduce.runs import Data, PlannedRun
from samecar.training import Run

TRAINING_OPERATIONS = 3
"""Operations of a picture that is trained on, in those of one that is embedded: forward once, backward twice."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Estimate:
    """What a run takes; an epoch that is done already does not count.

    Attributes:
        run: which one.
        pictures: that training reads, each as often as it is drawn.
        steps: of the optimiser.
        operations: floating-point operations of training and scoring; a multiplication and an addition are two.
        reading_seconds: for a processor core to read and change a picture, measured.
        training_seconds: to train the network on a picture that was read, measured.
        timed_batch: pictures in the steps that were timed.
        seconds: of the whole run, estimated. Held-out vehicles, if any, are not scored in it.
        disk_bytes: that the finished run keeps.
        checkpoint_bytes: that it needs besides while it is trained.
    """

    run: PlannedRun
    pictures: int
    steps: int
    operations: float
    reading_seconds: float
    training_seconds: float
    timed_batch: int
    seconds: float
    disk_bytes: int
    checkpoint_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: rows and folder in place of the run."""
        numbers = {name: value for name, value in asdict(self).items() if name != "run"}
        seed = self.run.recipe.training.seed
        return {"rows": list(self.run.rows), "seed": seed, "run": self.run.folder.name, **numbers}


@dataclass(frozen=True)
class Plan:
    """What a reproduction takes.

    Attributes:
        estimates: of each run that is not finished.
        finished: runs that are.
        devices: what runs are trained on; as many are trained at a time.
        cores: of the processor.
        workers: threads that read pictures for each run.
        seconds: of all runs.
        disk_bytes: that all of them need at most.
        disk_free: bytes where they will lie.
    """

    estimates: tuple[Estimate, ...]
    finished: int
    devices: tuple[str, ...]
    cores: int
    workers: int
    seconds: float
    disk_bytes: int
    disk_free: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with sums over all runs."""
        content = {name: value for name, value in vars(self).items() if name != "estimates"}
        sums = {name: sum(getattr(one, name) for one in self.estimates) for name in ("pictures", "steps", "operations")}
        return {"runs": [estimate.as_dict() for estimate in self.estimates], **sums, **content}


def plan_all(runs: Sequence[PlannedRun], finished: int, data: Data, out: Path, machines: Sequence[Machine]) -> Plan:
    """Estimates what runs take on some machines, one run at a time on each.

    Args:
        runs: those that are not finished.
        finished: how many are.
        data: to train and score on.
        out: folder of the reproduction.
        machines: parts of this one, as `share_machine` makes them.

    Raises:
        SamecarError: a run cannot begin; the sentence names its rows.
    """
    estimates = estimate_runs(runs, data, machines)
    kept = sum(estimate.disk_bytes for estimate in estimates)
    at_a_time = sorted((estimate.checkpoint_bytes for estimate in estimates), reverse=True)[: len(machines)]
    there = next(path for path in (out.resolve(), *out.resolve().parents) if path.exists())
    return Plan(
        estimates=tuple(estimates),
        finished=finished,
        devices=tuple(str(machine.device) for machine in machines),
        cores=available_cores(),
        workers=machines[0].workers,
        seconds=seconds_of_all([estimate.seconds for estimate in estimates], len(machines)),
        disk_bytes=kept + sum(at_a_time),
        disk_free=shutil.disk_usage(there).free,
    )


def estimate_runs(runs: Sequence[PlannedRun], data: Data, machines: Sequence[Machine]) -> list[Estimate]:
    """Estimates what each run takes, and so makes sure that it can begin: batches fill, weights are there, sizes fit.

    Raises:
        SamecarError: a run cannot begin; the sentence names its rows.
    """
    _refuse_large_batches(runs, data.train_vehicles)
    measured = _Measured(data, machines)
    estimates = []
    for run in runs:
        try:
            estimates.append(measured.estimate(run))
        except SamecarError as error:
            raise SamecarError(f"{run.recipe.title}: {error}") from error
    if machines[0].device.type == "cuda":
        torch.cuda.empty_cache()  # the memory is for those who train
    return estimates


def seconds_of_all(seconds: Sequence[float], at_a_time: int) -> float:
    """Seconds until the last run ends when each begins as soon as one of `at_a_time` places is free."""
    ends = [0.0] * at_a_time
    for one in seconds:
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


def _refuse_large_batches(runs: Sequence[PlannedRun], vehicles: int) -> None:
    for run in runs:
        batch = run.recipe.batch
        needed = batch.size // batch.pictures_per_vehicle
        if needed > vehicles:
            raise SamecarError(
                f"{run.recipe.title}: batches of {batch.size} with {batch.pictures_per_vehicle} pictures of each "
                f"vehicle need {needed} train vehicles, but there are {vehicles}; take more with --identities, give "
                "other data, or choose other rows with --rows"
            )


class _Measured:
    """Measures each thing once, however many runs share it."""

    def __init__(self, data: Data, machines: Sequence[Machine]) -> None:
        self._data = data
        self._test_pictures = len(data.manifest) - data.manifest.split_counts["train"]
        self._machine = machines[0]
        self._cores = available_cores() / len(machines)
        self._threads = torch.get_num_threads()
        self._threads_a_run = max(1, self._threads // len(machines))
        self._known: dict[str, Any] = {}

    def estimate(self, run: PlannedRun) -> Estimate:
        recipe = run.recipe
        training = self._once(
            "training pictures",
            (recipe.training.validation,),
            lambda: pictures_to_train_on(recipe, self._data.manifest)[0],
        )
        vehicles = len(np.unique(training.vehicle_id))
        steps = self._once(
            "steps",
            (recipe.batch, recipe.training.seed, recipe.training.validation),
            lambda: count_steps(training, recipe),
        )
        network = self._once(
            "network",
            (recipe.model, recipe.batch, recipe.optimizer, recipe.loss, recipe.training.precision, recipe.training.ema),
            lambda: time_network(recipe, vehicles, self._machine.device, self._machine.speed),
        )
        reading = self._once(
            "reading",
            (network.preprocessing, recipe.augmentation),
            lambda: time_reading(network.preprocessing, recipe.augmentation, self._data.manifest.of_split("train")),
        )
        operations = 2.0 * self._once("costs", (recipe.model,), lambda: network_costs(recipe.model)).multiply_adds
        epochs = recipe.training.epochs - _epochs_done(run)
        pictures = round(epochs * steps * recipe.batch.size)
        on_cpu = self._machine.device.type == "cpu"
        computing = network.seconds * (self._threads / self._threads_a_run if on_cpu else 1)
        trained = self._seconds(reading, computing)
        embedded = self._seconds(reading, computing / TRAINING_OPERATIONS)
        weights = network.model_bytes * (2 if recipe.training.ema else 1) + network.optimizer_bytes
        return Estimate(
            run,
            pictures=pictures,
            steps=round(epochs * steps / recipe.training.accumulation),
            operations=operations * (TRAINING_OPERATIONS * pictures + self._test_pictures),
            reading_seconds=reading,
            training_seconds=computing,
            timed_batch=network.timed_batch,
            seconds=pictures * trained + self._test_pictures * embedded,
            disk_bytes=weights + network.model_bytes * (2 if recipe.training.validation else 1),
            checkpoint_bytes=weights,
        )

    def _seconds(self, reading: float, computing: float) -> float:
        return seconds_a_picture(
            reading,
            computing,
            cores=self._cores,
            workers=self._machine.workers,
            threads=self._threads_a_run,
            on_cpu=self._machine.device.type == "cpu",
        )

    def _once(self, name: str, settings: tuple[Any, ...], measure: Callable[[], Value]) -> Value:
        key = repr((name, settings))
        if key not in self._known:
            self._known[key] = measure()
        known: Value = self._known[key]
        return known


def _epochs_done(run: PlannedRun) -> int:
    with suppress(SamecarError):  # what is wrong with the folder is told when it is its turn
        if (run.folder / "run.json").is_file():
            begun, epochs = Run.open(run.folder), run.recipe.training.epochs
            return epochs if begun.ended_early else min(len(begun.metrics()), epochs)
    return 0
