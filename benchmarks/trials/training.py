"""A small training that is killed, and what must be left of it."""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from samecar.cli.main import main as run_samecar
from samecar.data.sources.opening import open_source
from samecar.drawn import draw_set
from samecar.training import Run

EPOCHS = 10
CHANGES = {
    "model.height": 48,
    "model.width": 48,
    "batch.size": 8,
    "batch.pictures_per_vehicle": 2,
    "training.epochs": EPOCHS,
}
"""Of the recipe `demo`."""
READERS = 2
"""Threads of a training that read pictures."""

PATIENCE = 600.0
"""Seconds in which a small training ends on a busy machine."""
POLL = 0.02
"""Seconds between two looks at a training."""


def train_to_end(source: str, out: Path, log: Path) -> int:
    """Trains, or goes on with a run, to its end; gives the status."""
    with Training(source, out, log) as training:
        return training.end()


def draw_pictures(folder: Path) -> str:
    """Draws a few vehicles to train on; gives their source. What training needs is loaded, before it is forked."""
    importlib.import_module("samecar.experiment.train")
    draw_set(folder / "drawn", vehicles=12, cameras=2, pictures=2, size=48, workers=1)
    table = folder / "drawn" / "train.csv"
    open_source(f"veri776:{folder / 'drawn'}").of_split("train").write(table)
    return f"csv:{table}"


@dataclass
class Training:
    """`samecar train` in a process of its own, forked from this one, which heads a group of its own.

    At the end of its block nothing of it runs any more.

    Attributes:
        source: what is trained on.
        out: the run folder, which is resumed if a run was begun there.
        log: takes what it prints, instead of what an earlier one has printed.
    """

    source: str
    out: Path
    log: Path

    def __post_init__(self) -> None:
        command = ["samecar", "train", "demo", "--data", self.source, "--out", str(self.out)]
        command += [part for option, value in CHANGES.items() for part in ("--set", f"{option}={value}")]
        command += ["--workers", str(READERS), "--device", "cpu"]
        command += ["--resume"] if (self.out / "run.json").is_file() else []
        self._began_with = finished_epochs(self.out)
        self.log.unlink(missing_ok=True)
        self._process = multiprocessing.get_context("fork").Process(target=_run, args=(command, self.log))
        self._process.start()
        while self.runs and not self.log.exists():  # until then it is still a part of this process
            time.sleep(POLL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait_for(self, epochs: int, further_seconds: float = 0) -> None:
        """Waits until it has finished so many epochs more and some time has passed, or until it has ended."""
        deadline = time.monotonic() + PATIENCE
        while self.runs and finished_epochs(self.out) < self._began_with + epochs and time.monotonic() < deadline:
            time.sleep(POLL)
        self._process.join(further_seconds)

    def end(self) -> int:
        """Waits for its end; gives its status, negative where a signal ended it.

        Raises:
            TimeoutError: it does not end.
        """
        self._process.join(PATIENCE)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError(f"training into {self.out} has not ended within {PATIENCE:.0f} s")
        return self._process.exitcode

    def stop(self) -> None:
        """Stops it and all of its processes, each between two calls of the system, until they are killed."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGSTOP)
        while set(processes_of(self.pid).values()) - {"T"}:
            time.sleep(POLL)

    def kill(self) -> None:
        """Ends it and all of its processes at once; if it has ended, its number may be another's by now."""
        if not self.runs:
            return
        for signal_group in (os.killpg, os.kill):  # it may not head its group yet
            with suppress(ProcessLookupError):
                signal_group(self.pid, signal.SIGKILL)
        self._process.join()
        while processes_of(self.pid):
            time.sleep(POLL)


def _run(command: list[str], log: Path) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.argv = command
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    run_samecar()


def processes_of(group: int) -> dict[int, str]:
    """Processes of a group that have not ended, and the state of each, such as "T" for stopped."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found[int(path.parent.name)] = state
    return found


def finished_epochs(run: Path) -> int:
    """Epochs that a run's folder acknowledges."""
    with suppress(OSError, ValueError):
        sessions = json.loads((run / "run.json").read_text(encoding="utf-8"))["sessions"]
        return int(sessions[-1]["last_epoch"]) if sessions else 0
    return 0


def difference(run: Path, undisturbed: Path) -> str:
    """What a finished run has otherwise than one that nobody disturbed; "" where it is the same."""
    name = "model/model.safetensors"
    if not (run / name).is_file():
        return "it has no model"
    if (run / name).read_bytes() != (undisturbed / name).read_bytes():
        return "its weights differ"
    if _told(run) != _told(undisturbed):
        return "its metrics differ"
    left = [path.name for path in run.rglob(".unfinished-*")]
    return f"{left[0]} is left in it" if left else ""


def _told(run: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in Run.open(run).metrics()]
