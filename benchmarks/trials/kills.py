"""Training is killed again and again; at the end it must be as if nobody had disturbed it."""

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from samecar.progress import Progress
from trials.record import Record
from trials.training import EPOCHS, Training, difference, draw_pictures, processes_of, train_to_end

ORPHANS_END_WITHIN = 60.0
"""Seconds until whatever a training may have started has noticed that it is gone."""


WAYS: dict[str, Callable[[Training], None]] = {
    "SIGKILL to the process": lambda training: os.kill(training.pid, signal.SIGKILL),
    "SIGTERM to the process": lambda training: os.kill(training.pid, signal.SIGTERM),
    "SIGINT to the process group (Control-C)": lambda training: os.killpg(training.pid, signal.SIGINT),
    "SIGKILL to the process group": lambda training: os.killpg(training.pid, signal.SIGKILL),
}
"""How a training is ended; afterwards it is resumed."""

SAY_WHY = {"SIGINT to the process group (Control-C)": 130}
"""Ways that must end in one sentence, and with which status."""


def run(record: Record, size: int, progress: Progress) -> None:
    """Kills trainings until so many kills are done; each run is killed in every way, in an order of its own."""
    ways = record.found.setdefault("ways", dict.fromkeys(WAYS, 0))
    record.found.update(epochs=EPOCHS, runs=record.found.get("runs", 0))
    with tempfile.TemporaryDirectory(prefix="samecar-kills-") as place:
        folder = Path(place)
        source, seconds = draw_pictures(folder), -time.monotonic()
        train_to_end(source, folder / "undisturbed", folder / "log")
        seconds += time.monotonic()
        progress("kills", record.done, size)
        while record.done < size:
            number = record.found["runs"]
            generator = np.random.default_rng([record.found["seed"], number])
            order = [list(WAYS)[place] for place in generator.permutation(len(WAYS))][: size - record.done]
            for fault in _disturb(source, folder, order, seconds / EPOCHS, generator, record.found):
                record.add_fault(run=number, **fault)
            record.found["runs"] = number + 1
            record.keep(sum(ways.values()))
            progress("kills", record.done, size, f"{record.found['failed']} faults")


def _end_of(printed: str) -> str:
    """The end of what a training has printed, without the folders that Python's files lie in."""
    return re.sub(r'(?<=File ")[^"]*/', "", printed)[-500:]


def _disturb(
    source: str, folder: Path, order: list[str], epoch: float, generator: np.random.Generator, found: dict[str, Any]
) -> list[dict[str, Any]]:
    """One run that is killed in these ways, at moments of its own, and then goes on to its end; gives its faults."""
    faults, groups, out, log = [], [], folder / "run", folder / "log"
    with ExitStack() as trainings:
        for way in order:
            training = trainings.enter_context(Training(source, out, log))
            training.wait_for(int(generator.integers(3)), float(generator.uniform(0, epoch)))
            if not training.runs:
                break
            WAYS[way](training)
            status = training.end()
            found["ways"][way] = found["ways"].get(way, 0) + 1
            groups.append(training.pid)
            told = log.read_text(encoding="utf-8", errors="replace")
            if way in SAY_WHY and (status != SAY_WHY[way] or "Traceback" in told):
                faults.append({"way": way, "status": status, "printed": _end_of(told)})
    status = train_to_end(source, out, log)
    different = difference(out, folder / "undisturbed") if status == 0 else f"resuming ends with status {status}"
    if different:
        faults.append({"ways": order, "different": different, "printed": _end_of(log.read_text(encoding="utf-8"))})
    deadline = time.monotonic() + ORPHANS_END_WITHIN
    while (left := [pid for group in groups for pid in processes_of(group)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        faults.append({"ways": order, "left running": len(left)})
    shutil.rmtree(out)
    return faults
