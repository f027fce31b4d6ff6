"""What training takes on this machine: reading and training steps, timed for a moment."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from samecar.config import AugmentationSettings, Recipe
from samecar.data import Batch, Delivery, Manifest, PictureDataset, plan_batches, training_transform
from samecar.data.sampling import Draw
from samecar.experiment.train import initial_model
from samecar.hardware import Speed
from samecar.models import Embedder
from samecar.models.saved import model_tensors
from samecar.preprocessing import Preprocessing
from samecar.training import Learner
from samecar.training.loop import name_full_memory, train_batch

READ_PICTURES = 200
"""Pictures that are read to learn how long one takes."""

SECONDS_A_NETWORK = 1.0
"""Of timed training steps, roughly; a smaller batch is timed where the recipe's own takes longer."""

LEAST_BATCH = 4
"""Pictures of the first steps, two of each of two vehicles: enough for every loss and for batch normalisation."""

MOST_STEPS = 3
"""Training steps that are timed at most; the quickest counts, as others were disturbed."""

COUNTED_EPOCHS = 3
"""Epochs whose batches are counted; others have about as many."""


@dataclass(frozen=True)
class TimedNetwork:
    """What is known of a network after some training steps.

    Attributes:
        preprocessing: what it takes.
        seconds: of a picture that is trained on.
        timed_batch: pictures in the steps that were timed.
        model_bytes: of its tensors.
        optimizer_bytes: of the optimiser's.
    """

    preprocessing: Preprocessing
    seconds: float
    timed_batch: int
    model_bytes: int
    optimizer_bytes: int


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
        workers: threads that read.
        threads: of torch that compute, where the network runs on the processor.
        on_cpu: whether it does.
    """
    if not workers:
        return reading + computing
    slower = max(computing, reading / min(workers, cores))
    return max(slower, (reading + computing * min(threads, cores)) / cores) if on_cpu else slower


def count_steps(training: Manifest, recipe: Recipe) -> float:
    """Steps of an epoch, on average."""
    batches = plan_batches(training, recipe.batch, recipe.training.seed)
    counts = []
    for epoch in range(min(COUNTED_EPOCHS, recipe.training.epochs)):
        batches.set_epoch(epoch)
        counts.append(len(batches))
    return float(np.mean(counts))


def time_network(recipe: Recipe, vehicles: int, device: torch.device, speed: Speed | None = None) -> TimedNetwork:
    """Trains for some steps on noise.

    Args:
        recipe: the network, its batches and its optimiser.
        vehicles: to train on.
        device: where.
        speed: how training would use the machine; compiling is left out, as it takes longer than all else here.

    Raises:
        SamecarError: the network cannot be built, or the GPU's memory is full.
    """
    model = initial_model(recipe, vehicles)
    learner = Learner(model, recipe, device, replace(speed or Speed(), compile=False))
    preprocessing = model.preprocessing

    def seconds(count: int) -> float:
        pictures = torch.randn(count, 3, preprocessing.height, preprocessing.width)
        if learner.speed.channels_last:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        rows, zeros = torch.arange(count), torch.zeros(count, dtype=torch.int64)
        batch = Batch(pictures, rows // 2, (), rows, cameras=zeros, views=zeros)
        _await(device)
        began = time.perf_counter()
        with name_full_memory(device):
            train_batch(learner, batch)
            learner.step()  # also where the recipe waits for more batches
        _await(device)
        return time.perf_counter() - began

    model.train()
    seconds(LEAST_BATCH)  # the first step also prepares the others
    in_time = int(SECONDS_A_NETWORK / seconds(LEAST_BATCH) * LEAST_BATCH)
    count = max(LEAST_BATCH, min(recipe.batch.size, in_time))
    timed: list[float] = []
    while len(timed) < MOST_STEPS and sum(timed) < SECONDS_A_NETWORK:
        timed.append(seconds(count))
    return TimedNetwork(
        preprocessing,
        seconds=min(timed) / count,
        timed_batch=count,
        model_bytes=_count_bytes(model),
        optimizer_bytes=sum(
            value.nbytes
            for state in learner.optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        ),
    )


def time_reading(preprocessing: Preprocessing, augmentation: AugmentationSettings, training: Manifest) -> float:
    """Processor seconds to read a picture and to change it at random, in one thread."""
    transform = training_transform(preprocessing, augmentation)
    dataset = PictureDataset(training, transform)
    rows = np.random.default_rng(0).permutation(len(training))[:READ_PICTURES].tolist()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.perf_counter()
        Delivery().collate([dataset[Draw(row, seed)] for seed, row in enumerate(rows)], transform)
        return (time.perf_counter() - began) / len(rows)
    finally:
        torch.set_num_threads(threads)


def _count_bytes(model: Embedder) -> int:
    return sum(tensor.nbytes for tensor in model_tensors(model).values())


def _await(device: torch.device) -> None:
    """Waits until a GPU has done what it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
