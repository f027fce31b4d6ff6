"""The training loop: one function that reads from top to bottom."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.amp import GradScaler, autocast
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from samecar.config import TrainingSettings
from samecar.data import Batch, FailureLog, IdentityBatches
from samecar.errors import SamecarError
from samecar.losses.objective import Objective
from samecar.models import Embedder
from samecar.progress import Progress, describe_speed, silent
from samecar.training.checkpoints import Checkpoint
from samecar.training.optim import build_optimizer, learning_rate
from samecar.training.run import Run
from samecar.training.sessions import SessionClock

Scores = Mapping[str, float]
Validation = Callable[[Embedder], Scores]
"""Scores a model on held-out train vehicles; must give 'mAP', by which the epoch is chosen, and 'rank-1'."""


@dataclass
class EpochSums:
    """Sums over the pictures of an epoch, kept on the device until the epoch's end."""

    totals: torch.Tensor | None = None
    names: tuple[str, ...] = ()
    pictures: int = 0

    def add(self, values: Mapping[str, torch.Tensor], pictures: int) -> None:
        """Adds a batch's means, weighted by its pictures."""
        self.names = tuple(values)
        weighted = torch.stack([value.detach().float() for value in values.values()]) * pictures
        self.totals = weighted if self.totals is None else self.totals + weighted
        self.pictures += pictures

    def means(self) -> dict[str, float]:
        """Means over the epoch's pictures, by name."""
        totals = [] if self.totals is None else self.totals.tolist()
        return {name: total / self.pictures for name, total in zip(self.names, totals, strict=True)}


def fit(
    model: Embedder,
    loader: DataLoader[Any],
    batches: IdentityBatches,
    failures: FailureLog,
    run: Run,
    *,
    device: torch.device,
    resume: bool = False,
    validation: Validation | None = None,
    progress: Progress = silent,
) -> None:
    """Trains a model, writing metrics and checkpoints to its run folder as it goes.

    An epoch is all or nothing: an interrupted run goes on from the end of its last whole epoch, with the same random
    numbers as if it had never stopped.

    Args:
        model: on `device`; trained in place.
        loader: gives the batches that `batches` plans.
        batches: plans each epoch.
        failures: counts the pictures that could not be read.
        run: its recipe says how to train.
        device: where to train.
        resume: continue from the run's last checkpoint.
        validation: scores the model on held-out vehicles; without it the last epoch is kept.
        progress: is told of every batch.

    Raises:
        SamecarError: the loss is no longer finite, too many pictures cannot be read, the GPU's memory is full, or there
            is no checkpoint to resume from.
    """
    recipe, settings = run.recipe, run.recipe.training
    objective = Objective(recipe.loss, model).to(device)
    optimizer = build_optimizer(model.parameters(), recipe.optimizer)
    scaler = GradScaler(device.type, enabled=settings.precision == "float16")
    checkpoint = Checkpoint(model, optimizer, scaler)
    if resume:
        done = run.load_checkpoint(checkpoint)
    else:
        done = 0
        run.save_checkpoint(checkpoint, done)
    run.keep_metrics(done)
    best = max((record.get("validation_mAP", -math.inf) for record in run.metrics()), default=-math.inf)
    clock = SessionClock(device, loader.num_workers, done + 1)
    steps = 0
    with SummaryWriter(str(run.folder), purge_step=done + 1) as writer:
        for epoch in range(done, settings.epochs):
            started = time.perf_counter()
            rate = learning_rate(recipe.schedule, recipe.optimizer.learning_rate, epoch, settings.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batches.set_epoch(epoch)
            model.train()
            sums = EpochSums()
            steps = max(steps, len(batches))
            for step, batch in enumerate(loader):
                failures.add(batch.failures)
                if not len(batch.pictures):
                    continue
                with name_full_memory(device):
                    values = train_batch(model, objective, optimizer, scaler, batch, device, settings)
                sums.add(values, len(batch.pictures))
                if step % 10 == 0:
                    _refuse_infinite(values["loss"], epoch, step)
                    note = (
                        f"epoch {epoch + 1}/{settings.epochs}  loss {values['loss'].item():.3f}  lr {rate:.3g}  "
                        + describe_speed(sums.pictures, started, device)
                    )
                    progress("training", epoch * steps + min(step, steps - 1), settings.epochs * steps, note)
            record: dict[str, float] = {"epoch": epoch + 1, **sums.means(), "learning_rate": rate}
            _refuse_infinite(torch.tensor(record["loss"]), epoch, len(batches) - 1)
            record["unreadable"] = len(failures)
            run.write_unreadable(failures.sentences())
            record["seconds"] = round(time.perf_counter() - started, 3)
            if validation and ((epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs):
                scores = validation(model)
                record |= {f"validation_{name}": value for name, value in scores.items()}
                if scores["mAP"] > best:
                    best = scores["mAP"]
                    run.save_model(model, "best", epoch=epoch + 1)
            run.append_metrics(record)
            for name, value in record.items():
                writer.add_scalar(_tag(name), value, epoch + 1)
            run.save_checkpoint(checkpoint, epoch + 1)
            run.note_session(clock.session(epoch + 1))
            progress("training", (epoch + 1) * steps, settings.epochs * steps, f"loss {record['loss']:.3f}")


def train_batch(
    model: Embedder,
    objective: Objective,
    optimizer: Optimizer,
    scaler: GradScaler,
    batch: Batch,
    device: torch.device,
    settings: TrainingSettings,
) -> dict[str, torch.Tensor]:
    """One optimiser step; gives the batch's losses and accuracy as tensors on the device."""
    pictures = batch.pictures.to(device, non_blocking=True)  # (batch, 3, height, width)
    labels = batch.labels.to(device, non_blocking=True)  # (batch,)
    precision = getattr(torch, settings.precision)
    with autocast(device.type, dtype=precision, enabled=settings.precision != "float32"):
        outputs = model.outputs(pictures)
    losses: dict[str, torch.Tensor] = objective(outputs, labels)
    accuracy = objective.accuracy(outputs, labels)
    loss = losses.pop("total")
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.step(optimizer)
    scaler.update()
    return {"loss": loss, **losses} | ({} if accuracy is None else {"accuracy": accuracy})


@contextmanager
def name_full_memory(device: torch.device) -> Iterator[None]:
    """Says whose memory is full and what to lower, in place of torch's many lines."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SamecarError(
            f"the memory of {device} is full; lower batch.size, or model.height and model.width, or set "
            "training.precision to bfloat16"
        ) from error


def _refuse_infinite(loss: torch.Tensor, epoch: int, step: int) -> None:
    if not math.isfinite(loss.item()):
        raise SamecarError(
            f"the loss is {loss.item()} in epoch {epoch + 1}, batch {step + 1}; lower optimizer.learning_rate, "
            "add schedule.warmup_epochs, or set training.precision to float32"
        )


def _tag(name: str) -> str:
    group, _, rest = name.partition("_")
    return f"validation/{rest}" if group == "validation" else f"train/{name}"
