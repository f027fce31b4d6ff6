"""Does what is planned, one run at a time or one on each of several devices, and shares the runs with other processes.

Whoever trains a run holds its folder. A run that is held by somebody else is left for later, and then waited for: it is
found finished, or taken up where its process was ended. So any number of processes may work on one reproduction.
"""

import multiprocessing
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from samecar.errors import SamecarError
from samecar.hardware import Machine
from samecar.progress import Progress
from samecar.reproduce.estimating import Estimate
from samecar.reproduce.runs import Data, PlannedRun, perform, saved_scores
from samecar.training.lock import HeldError, is_held

SHARES = 10_000
"""Parts that the progress of all runs is told in."""

LOOKS = 1.0
"""Seconds between two looks whether a run that somebody else holds is free."""

LAST_WORDS = 20.0
"""Seconds that a process has to notice that nobody listens any more."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: which one.
        scores: what `saved_scores` gives; None if it failed.
        failure: why it failed.
        seconds: that it took.
        seconds_left: for all runs after it, roughly.
        elsewhere: another process did it.
    """

    run: PlannedRun
    scores: dict[str, Any] | None
    failure: str | None
    seconds: float
    seconds_left: float
    elsewhere: bool = False


class Work:
    """The runs that are still to be done, how far they are, and the time that is left.

    Args:
        estimates: of the runs, in the order in which they are done.
        data: to train and score on.
        at_a_time: runs that are trained at a time.
        progress: is told the share of all the work that is done.
    """

    def __init__(self, estimates: Sequence[Estimate], data: Data, at_a_time: int, progress: Progress) -> None:
        self.data = data
        self._waiting = deque(estimate.run for estimate in estimates)
        self._progress = progress
        self._at_a_time = at_a_time
        self._seconds = {estimate.run.folder: estimate.seconds for estimate in estimates}
        self._order = {estimate.run.folder: number for number, estimate in enumerate(estimates, start=1)}
        self._begun: dict[Path, float] = {}  # how far each run was when it was begun here, from 0 to 1
        self._shares: dict[Path, float] = {}  # of what was left then, how much is done
        self._say_nothing: set[Path] = set()  # runs that do not tell how quick this process is
        self._notes: dict[Path, str] = {}  # of the runs that are being done
        self._began = time.perf_counter()

    def __len__(self) -> int:
        """Runs that nobody has begun here."""
        return len(self._waiting)

    def take(self) -> PlannedRun | None:
        """The next run that nobody else holds; None if there is none at present."""
        for run in self._waiting:
            if not is_held(run.folder):
                self._waiting.remove(run)
                return run
        return None

    def put_back(self, run: PlannedRun) -> None:
        """Leaves a run for later, as somebody else was quicker."""
        self._notes.pop(run.folder, None)
        self._waiting.append(run)

    def pause(self) -> None:
        """Waits a moment for runs that others hold."""
        self._tell(f"waiting for runs that other processes do: {len(self._waiting)}")
        time.sleep(LOOKS)

    def note(self, run: PlannedRun, task: str, done: int, total: int, note: str) -> None:
        """Takes down how far a run is."""
        if task == "training" and total:
            begun = self._begun.setdefault(run.folder, done / total)
            self._shares[run.folder] = (done / total - begun) / (1 - begun) if begun < 1 else 1
        self._notes[run.folder] = f"{self._order[run.folder]}/{len(self._order)} {run.rows[0]}  {note or task}"
        notes = list(self._notes.values())
        if len(notes) > 1:
            notes = ["  ".join(text.split("  ")[:2]) for text in notes]  # which run, and how far
        self._tell(" | ".join(notes))

    def end(self, run: PlannedRun, began: float, failure: str | None = None, *, elsewhere: bool = False) -> Outcome:
        """Takes down that a run has ended."""
        self._notes.pop(run.folder, None)
        self._shares[run.folder] = 1
        if elsewhere or failure:
            self._say_nothing.add(run.folder)
        self._tell("")
        scores = saved_scores(run.folder, self.data)
        return Outcome(run, scores, failure, time.perf_counter() - began, self.seconds_left(), elsewhere=elsewhere)

    def seconds_left(self) -> float:
        """By what was estimated for what is left, and by how much longer than estimated it took so far."""
        elapsed = time.perf_counter() - self._began
        done = self._done(without=self._say_nothing)
        left = sum(self._seconds.values()) - self._done()
        return left * elapsed / done if done else left / self._at_a_time

    def _done(self, without: Container[Path] = ()) -> float:
        return sum(self._seconds[folder] * share for folder, share in self._shares.items() if folder not in without)

    def _tell(self, note: str) -> None:
        self._progress("runs", round(SHARES * self._done() / sum(self._seconds.values())), SHARES, note)


def do_here(work: Work, on: Machine) -> Iterator[Outcome]:
    """Does runs in this process, one after the other."""
    while work:
        run, began = work.take(), time.perf_counter()
        if run is None:
            work.pause()
            continue
        try:
            did = perform(run, work.data, on, _Teller(work, run))
        except HeldError:
            work.put_back(run)
        except SamecarError as error:
            yield work.end(run, began, str(error))
        else:
            yield work.end(run, began, elsewhere=not did)


@dataclass(frozen=True)
class _Teller:
    work: Work
    run: PlannedRun

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        self.work.note(self.run, task, done, total, note)


@dataclass
class _Child:
    """A process that does one run, and what it has said of its end: ('done', whether it did it) or a failure."""

    run: PlannedRun
    process: SpawnProcess
    connection: Connection
    began: float = field(default_factory=time.perf_counter)
    end: tuple[str, Any] | None = None

    @classmethod
    def start(cls, run: PlannedRun, data: Data, on: Machine, threads: int) -> "_Child":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work_as_child, args=(run, data, on, threads, theirs), name=run.folder.name)
        with _ignore_interruption():
            process.start()
        theirs.close()
        return cls(run, process, ours)

    @property
    def to_wait_for(self) -> tuple[Any, ...]:
        """What is ready when it has something to say or has ended."""
        return self.connection, self.process.sentinel

    def listen(self, work: Work, *, ended: bool) -> None:
        """Takes in what it has to say at present, which is its last word if it has ended."""
        try:
            while self.end is None and self.connection.poll():
                kind, content = self.connection.recv()
                if kind == "progress":
                    work.note(self.run, *content)
                else:
                    self.end = kind, content
        except (EOFError, OSError):
            ended = True  # in the middle of a word, or before the first one
        if ended and self.end is None:
            self.process.join()
            status = self.process.exitcode or 0
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            self.end = "failed", f"its process {how}; the same command goes on with the run"

    def end_or_kill(self, patience: float) -> None:
        """Waits for its end so many seconds, and then kills it; listen to it before, or close its connection."""
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


def do_in_processes(work: Work, machines: Sequence[Machine]) -> Iterator[Outcome]:
    """Does one run at a time on each of some machines, each run in a process of its own.

    A process that is killed is the failure of its run alone. When the iterator is closed, all processes are ended.
    """
    threads = max(1, torch.get_num_threads() // len(machines))
    free, children = deque(machines), dict[int, tuple[_Child, Machine]]()
    try:
        while work or children:
            while free and (run := work.take()) is not None:
                if saved_scores(run.folder, work.data) is not None:
                    yield work.end(run, time.perf_counter(), elsewhere=True)
                    continue
                on = free.popleft()
                child = _Child.start(run, work.data, on, threads)
                children[child.process.sentinel] = child, on
            if not children:
                work.pause()
                continue
            ready = wait(
                [part for child, _ in children.values() for part in (child.connection, child.process.sentinel)], LOOKS
            )
            for sentinel, (child, on) in list(children.items()):
                child.listen(work, ended=sentinel in ready)
                if child.end is not None:
                    child.end_or_kill(LAST_WORDS)
                    del children[sentinel]
                    free.append(on)
                    yield from _end(work, child)
    finally:
        for child, _ in children.values():
            child.connection.close()
        patience = time.monotonic() + LAST_WORDS
        for child, _ in children.values():
            child.end_or_kill(max(0.0, patience - time.monotonic()))


@contextmanager
def _ignore_interruption() -> Iterator[None]:
    """Lets a process that is started know nothing of Control-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(work: Work, child: _Child) -> Iterator[Outcome]:
    assert child.end is not None
    kind, content = child.end
    if kind == "held":
        work.put_back(child.run)
    else:
        failure = content if kind == "failed" else None
        yield work.end(child.run, child.began, failure, elsewhere=kind == "done" and not content)


def _work_as_child(run: PlannedRun, data: Data, on: Machine, threads: int, connection: Connection) -> None:
    """Does a run in a process of its own, and tells the process that started it how far it is.

    When that one listens no more, be it interrupted or killed, this process ends between two batches. Control-C in a
    terminal reaches both and is left to that one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    if on.device.type == "cuda":
        torch.cuda.set_device(on.device)

    def tell(task: str, done: int, total: int, note: str = "") -> None:
        connection.send(("progress", (task, done, total, note)))

    end: tuple[str, Any]
    try:
        end = "done", perform(run, data, on, tell)
    except HeldError:
        end = "held", None
    except SamecarError as error:
        end = "failed", str(error)
    except BrokenPipeError:
        sys.exit(1)
    connection.send(end)
