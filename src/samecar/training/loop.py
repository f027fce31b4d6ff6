"""The training loop: one function that reads from top to bottom."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch.amp import autocast

from samecar.data import Batch, FailureLog, IdentityBatches, PictureLoader
from samecar.errors import SamecarError
from samecar.models import Embedder
from samecar.progress import Progress, describe_speed, silent
from samecar.training.learner import Learner
from samecar.training.logs import RunLog
from samecar.training.logs.values import epoch_values
from samecar.training.metrics import best_score
from samecar.training.patience import early_end
from samecar.training.run import Run
from samecar.training.sessions import SessionClock
from samecar.training.sharing import WholeBatch, gather_batch

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
    learner: Learner,
    loader: PictureLoader,
    batches: IdentityBatches,
    failures: FailureLog,
    run: Run,
    *,
    resume: bool = False,
    validation: Validation | None = None,
    progress: Progress = silent,
) -> None:
    """Trains a model, writing metrics and checkpoints to its run folder as it goes.

    An epoch is all or nothing: an interrupted run goes on from the end of its last whole epoch, with the same random
    numbers as if it had never stopped.

    Args:
        learner: trained in place, by the run's recipe.
        loader: gives the batches that `batches` plans.
        batches: plans each epoch.
        failures: counts the pictures that could not be read.
        run: its recipe says how to train.
        resume: continue from the run's last checkpoint.
        validation: scores the model on held-out vehicles; without it the last epoch is kept.
        progress: is told of every batch.

    Raises:
        SamecarError: the loss is no longer finite, too many pictures cannot be read, the GPU's memory is full, or there
            is no checkpoint to resume from.
    """
    settings, processes = run.recipe.training, learner.processes
    done, records = processes.once(lambda: _take_up(learner, run, resume=resume))
    learner.checkpoint.share(processes)
    clock = SessionClock(learner.device, loader.workers, done + 1, speed=learner.speed, processes=processes.count)
    telling = TrainingProgress(progress, settings.epochs, learner.device)
    with _open_log(run, done) if processes.first else nullcontext() as log:
        keeper = Keeper(learner, run, clock, log, validation)
        for epoch in range(done, settings.epochs):
            if early_end(records, settings.patience) is not None:
                processes.once(partial(run.note_early_end, epoch))
                telling.say_end("training ended early")
                break
            batches.set_epoch(epoch)
            telling.begin_epoch(epoch, len(batches))
            record = train_epoch(learner, loader, epoch, failures, telling)
            records.append(processes.once(partial(keeper.keep, record, records, failures)))
            telling.end_epoch(record["loss"])


def _take_up(learner: Learner, run: Run, *, resume: bool) -> tuple[int, list[dict[str, float]]]:
    """Begins or resumes a run in its folder; gives how many epochs are trained, and their records."""
    done = run.load_checkpoint(learner.checkpoint) if resume else 0
    if not resume:
        run.save_checkpoint(learner.checkpoint, done)
    run.keep_metrics(done)
    return done, run.metrics()


@contextmanager
def _open_log(run: Run, done: int) -> Iterator[RunLog]:
    log, whole = run.open_log(done), False
    try:
        yield log
        whole = True
    finally:
        log.finish(whole=whole)


@dataclass(frozen=True)
class Keeper:
    """Scores a model after an epoch, and writes what is kept of it; the first process alone does this."""

    learner: Learner
    run: Run
    clock: SessionClock
    log: RunLog | None
    validation: Validation | None

    def keep(
        self, record: Mapping[str, float], before: Sequence[Mapping[str, float]], failures: FailureLog
    ) -> dict[str, float]:
        """Gives the record of an epoch with its scores, once all is written; `before` are those of earlier epochs."""
        run, kept, epoch = self.run, dict(record), int(record["epoch"])
        settings = run.recipe.training
        run.write_unreadable(failures.sentences())
        if self.validation and (epoch % settings.validate_every == 0 or epoch == settings.epochs):
            scores = self.validation(self.learner.trained)
            kept |= {f"validation_{name}": value for name, value in scores.items()}
            if scores["mAP"] > best_score(before):
                run.save_model(self.learner.trained, "best", epoch=epoch)
        run.append_metrics(kept)
        if self.log is not None:
            self.log.log_values(epoch_values(kept), epoch)
        run.save_checkpoint(self.learner.checkpoint, epoch)
        run.note_session(self.clock.session(epoch))
        return kept


@dataclass
class TrainingProgress:
    """Tells how far training is."""

    report: Progress
    epochs: int
    device: torch.device
    _epoch: int = 0
    _steps: int = 0
    _began: float = 0.0

    def begin_epoch(self, epoch: int, batches: int) -> None:
        """Notes the epoch, counted from 0, and how many batches it has; epochs are told as long as the longest."""
        self._epoch, self._steps, self._began = epoch, max(self._steps, batches), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the epoch began."""
        return time.perf_counter() - self._began

    def say_batch(self, step: int, loss: float, rate: float, pictures: int) -> None:
        """Tells of a batch, counted from 0, after so many pictures of the epoch."""
        note = f"epoch {self._epoch + 1}/{self.epochs}  loss {loss:.3f}  lr {rate:.3g}  "
        note += describe_speed(pictures, self._began, self.device)
        self._say(self._epoch * self._steps + min(step, self._steps - 1), note)

    def end_epoch(self, loss: float) -> None:
        """Tells of an epoch's end."""
        self._say((self._epoch + 1) * self._steps, f"loss {loss:.3f}")

    def say_end(self, note: str) -> None:
        """Tells that nothing is left to do."""
        if self._steps:
            self._say(self.epochs * self._steps, note)

    def _say(self, done: int, note: str) -> None:
        self.report("training", done, self.epochs * self._steps, note)


def train_epoch(
    learner: Learner, loader: PictureLoader, epoch: int, failures: FailureLog, telling: TrainingProgress
) -> dict[str, float]:
    """Trains for one epoch, counted from 0; gives its line of metrics."""
    learner.begin_epoch(epoch)
    sums = EpochSums()
    batches = len(loader)
    for step, batch in enumerate(loader):
        whole = gather_batch(batch, learner.processes)
        failures.add(whole.failures)
        if not len(whole.labels):
            continue
        if whole.failures:
            learner.objective.refuse_lacking(whole.labels)
        learner.set_rate(epoch, step / batches)
        with name_full_memory(learner.device):
            values = train_batch(learner, batch, whole)
        sums.add(values, len(whole.labels))
        if step % 10 == 0:
            _refuse_infinite(values["loss"], epoch, step)
            telling.say_batch(step, values["loss"].item(), learner.rate, sums.pictures)
    learner.end_epoch()
    means = sums.means()
    _refuse_infinite(torch.tensor(means["loss"]), epoch, batches - 1)
    return {
        "epoch": epoch + 1,
        **means,
        "learning_rate": learner.rate,
        "unreadable": len(failures),
        "seconds": round(telling.seconds, 3),
    }


def train_batch(learner: Learner, batch: Batch, whole: WholeBatch | None = None) -> dict[str, torch.Tensor]:
    """Learns from one batch; gives its losses and accuracy as tensors on the device.

    Args:
        learner: that learns.
        batch: of this process.
        whole: what is known of the batch of all processes, if that is known already.
    """
    whole = whole or gather_batch(batch, learner.processes)
    device, precision = learner.device, learner.recipe.training.precision
    pictures = batch.pictures.to(device, non_blocking=True)  # (batch, 3, height, width)
    labels, all_cameras = (each.to(device, non_blocking=True) for each in (whole.labels, whole.cameras))  # (batch,)
    cameras, views = (numbers.to(device, non_blocking=True) for numbers in (batch.cameras, batch.views))
    with autocast(device.type, dtype=getattr(torch, precision), enabled=precision != "float32"):
        outputs = learner.outputs(pictures, (cameras, views), whole.sizes)
    losses: dict[str, torch.Tensor] = learner.objective(outputs, labels, all_cameras)
    accuracy = learner.objective.accuracy(outputs, labels)
    loss = losses.pop("total")
    learner.learn(loss)
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
