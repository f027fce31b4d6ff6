"""The power is cut while a training writes: its disk is copied then, the copy mounted, and the training goes on."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from samecar.progress import Progress
from trials.record import Record
from trials.training import EPOCHS, Training, difference, draw_pictures, finished_epochs, train_to_end

BYTES = 64 << 20
"""Of the disk."""


def run(record: Record, size: int, progress: Progress) -> None:
    """Cuts the power of so many trainings, or says why that cannot be done here."""
    with tempfile.TemporaryDirectory(prefix="samecar-cuts-") as place:
        folder = Path(place)
        try:
            with _mounted(_make_disk(folder / "trial.img"), folder / "trial"):
                pass
        except (OSError, subprocess.CalledProcessError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            record.refuse(f"no disk image can be made or mounted here: {said.strip()}")
            return
        source, seconds = draw_pictures(folder), -time.monotonic()
        train_to_end(source, folder / "undisturbed", folder / "log")
        seconds += time.monotonic()
        record.found["epochs"] = EPOCHS
        for number in range(record.done, size):
            progress("power cuts", number, size, f"{record.found['failed']} faults")
            generator = np.random.default_rng([record.found["seed"], number])
            finished = _cut(source, folder, seconds / EPOCHS, generator)
            with _mounted(folder / "cut.img", folder / "after"):
                kept, fault = finished_epochs(folder / "after" / "run"), _go_on(source, folder)
            if kept < finished:
                record.add_fault(cut=number, finished=finished, kept=kept)
            if fault:
                record.add_fault(cut=number, finished=finished, kept=kept, fault=fault)
            record.keep(number + 1)
        progress("power cuts", size, size, f"{record.found['failed']} faults")


def _cut(source: str, folder: Path, epoch: float, generator: np.random.Generator) -> int:
    """Trains on a disk of its own and copies the disk at a moment; gives the epochs that were finished before it."""
    image = _make_disk(folder / "live.img")
    with _mounted(image, folder / "live"):
        out = folder / "live" / "run"
        with Training(source, out, folder / "log") as training:
            training.wait_for(int(generator.integers(EPOCHS - 1)), float(generator.uniform(0, epoch)))
            finished = finished_epochs(out)
            training.stop()
            _copy_moment(image, folder / "cut.img")
    return finished


def _copy_moment(image: Path, copy: Path) -> None:
    """Copies a disk as it is at one moment: again, if the system has written to it meanwhile."""
    while True:
        shutil.copyfile(image, copy)
        if image.read_bytes() == copy.read_bytes():
            return


def _go_on(source: str, folder: Path) -> str:
    """Resumes what the cut has left, or begins anew where there is no run yet; gives what is wrong with it."""
    out, log = folder / "after" / "run", folder / "log"
    status = train_to_end(source, out, log)
    if status:
        return f"resuming ends with status {status}: {log.read_text(encoding='utf-8')[-500:]}"
    return difference(out, folder / "undisturbed")


def _make_disk(image: Path) -> Path:
    with image.open("wb") as file:
        file.truncate(BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True, text=True)
    return image


@contextmanager
def _mounted(image: Path, place: Path) -> Iterator[None]:
    """Mounts an image; its journal is replayed."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True, capture_output=True, text=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True, capture_output=True, text=True)
