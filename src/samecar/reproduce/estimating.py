"""What runs will take: reading and training are timed for a moment on this machine, the rest is multiplied."""

import heapq
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.amp import GradScaler

from samecar.config import AugmentationSettings, Recipe
from samecar.data import Batch, Manifest, PictureDataset, hold_out_validation, plan_batches, training_transform
from samecar.data.dataset import collate
from samecar.data.sampling import Draw
from samecar.errors import SamecarError
from samecar.experiment.train import initial_model
from samecar.hardware import Machine, available_cores
from samecar.losses.objective import Objective
from samecar.models import Embedder
from samecar.models.saved import model_tensors
from samecar.preprocessing import Preprocessing
from samecar.reproduce.costs import network_costs
from samecar.reproduce.runs import Data, PlannedRun
from samecar.training import Run, build_optimizer
from samecar.training.loop import name_full_memory, train_batch

READ_PICTURES = 200
"""Pictures that are read to learn how long one takes."""

SECONDS_A_NETWORK = 1.0
"""Of timed training steps, roughly; a smaller batch is timed where the recipe's own takes longer."""

LEAST_BATCH = 4
"""Pictures of the first steps, two of each of two vehicles: enough for every loss and for batch normalisation."""

MOST_STEPS = 3
"""Training steps that are timed at most; the quickest counts, as others were disturbed."""

TRAINING_OPERATIONS = 3
"""Operations of a picture that is trained on, in those of one that is embedded: forward once, backward twice."""

COUNTED_EPOCHS = 3
"""Epochs whose batches are counted; others have about as many."""

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
        workers: processes that read pictures for each run.
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


def seconds_a_picture(
    reading: float, computing: float, *, cores: float, workers: int, threads: float, on_cpu: bool
) -> float:
    """Seconds in which a picture is read and trained on, the one while others have the other.

    Without workers one thing follows the other. With them the slower of the two decides; on a processor, where both
    want the same cores, the cores' whole work may take longer still.

    Args:
        reading: processor seconds to read a picture.
        computing: seconds to train on a picture with `threads` threads, or on a GPU.
        cores: of the processor, for this run.
        workers: processes that read.
        threads: of torch that compute, where the network runs on the processor.
        on_cpu: whether it does.
    """
    if not workers:
        return reading + computing
    slower = max(computing, reading / min(workers, cores))
    return max(slower, (reading + computing * min(threads, cores)) / cores) if on_cpu else slower


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


@dataclass(frozen=True)
class _Network:
    """What is known of a network after some training steps."""

    preprocessing: Preprocessing
    operations: float  # of a picture that is embedded
    seconds: float  # of a picture that is trained on
    timed_batch: int
    model_bytes: int
    optimizer_bytes: int


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
        training = self._once("training pictures", (recipe.training.validation,), lambda: self._training(recipe))
        vehicles = len(np.unique(training.vehicle_id))
        steps = self._once(
            "steps",
            (recipe.batch, recipe.training.seed, recipe.training.validation),
            lambda: _steps_an_epoch(training, recipe),
        )
        network = self._once(
            "network",
            (recipe.model, recipe.batch, recipe.optimizer, recipe.loss, recipe.training.precision),
            lambda: _measure_network(recipe, vehicles, self._machine.device),
        )
        reading = self._once(
            "reading",
            (network.preprocessing, recipe.augmentation),
            lambda: _measure_reading(network.preprocessing, recipe.augmentation, self._data.manifest.of_split("train")),
        )
        epochs = recipe.training.epochs - _epochs_done(run)
        pictures = round(epochs * steps * recipe.batch.size)
        on_cpu = self._machine.device.type == "cpu"
        computing = network.seconds * (self._threads / self._threads_a_run if on_cpu else 1)
        trained = self._seconds(reading, computing)
        embedded = self._seconds(reading, computing / TRAINING_OPERATIONS)
        weights = network.model_bytes + network.optimizer_bytes
        return Estimate(
            run,
            pictures=pictures,
            steps=round(epochs * steps),
            operations=network.operations * (TRAINING_OPERATIONS * pictures + self._test_pictures),
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

    def _training(self, recipe: Recipe) -> Manifest:
        training, settings = self._data.manifest.of_split("train"), recipe.training
        return hold_out_validation(training, settings.validation, settings.seed)[0] if settings.validation else training


def _steps_an_epoch(training: Manifest, recipe: Recipe) -> float:
    batches = plan_batches(training, recipe.batch, recipe.training.seed)
    counts = []
    for epoch in range(min(COUNTED_EPOCHS, recipe.training.epochs)):
        batches.set_epoch(epoch)
        counts.append(len(batches))
    return float(np.mean(counts))


def _epochs_done(run: PlannedRun) -> int:
    with suppress(SamecarError):  # what is wrong with the folder is told when it is its turn
        if (run.folder / "run.json").is_file():
            return min(len(Run.open(run.folder).metrics()), run.recipe.training.epochs)
    return 0


def _measure_network(recipe: Recipe, vehicles: int, device: torch.device) -> _Network:
    """Trains for some steps on noise."""
    model = initial_model(recipe, vehicles).to(device)
    preprocessing = model.preprocessing
    objective, optimizer = Objective(recipe.loss), build_optimizer(model.parameters(), recipe.optimizer)
    scaler = GradScaler(device.type, enabled=recipe.training.precision == "float16")

    def seconds(count: int) -> float:
        pictures = torch.randn(count, 3, preprocessing.height, preprocessing.width)
        rows, zeros = torch.arange(count), torch.zeros(count, dtype=torch.int64)
        batch = Batch(pictures, rows // 2, (), rows, cameras=zeros, views=zeros)
        _await(device)
        began = time.perf_counter()
        with name_full_memory(device):
            train_batch(model, objective, optimizer, scaler, batch, device, recipe.training)
        _await(device)
        return time.perf_counter() - began

    model.train()
    seconds(LEAST_BATCH)  # the first step also prepares the others
    in_time = int(SECONDS_A_NETWORK / seconds(LEAST_BATCH) * LEAST_BATCH)
    count = max(LEAST_BATCH, min(recipe.batch.size, in_time))
    timed: list[float] = []
    while len(timed) < MOST_STEPS and sum(timed) < SECONDS_A_NETWORK:
        timed.append(seconds(count))
    return _Network(
        preprocessing,
        operations=2.0 * network_costs(recipe.model).multiply_adds,
        seconds=min(timed) / count,
        timed_batch=count,
        model_bytes=_count_bytes(model),
        optimizer_bytes=sum(
            value.nbytes
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        ),
    )


def _measure_reading(preprocessing: Preprocessing, augmentation: AugmentationSettings, training: Manifest) -> float:
    """Processor seconds to read a picture and to change it at random, in one thread as in a process that reads."""
    transform = training_transform(preprocessing, augmentation)
    dataset = PictureDataset(training, transform, decoded_size=preprocessing.decoded_size)
    rows = np.random.default_rng(0).permutation(len(training))[:READ_PICTURES].tolist()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.perf_counter()
        collate([dataset[Draw(row, seed)] for seed, row in enumerate(rows)])
        return (time.perf_counter() - began) / len(rows)
    finally:
        torch.set_num_threads(threads)


def _count_bytes(model: Embedder) -> int:
    return sum(tensor.nbytes for tensor in model_tensors(model).values())


def _await(device: torch.device) -> None:
    """Waits until a GPU has done what it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
