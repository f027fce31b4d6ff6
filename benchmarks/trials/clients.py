"""Clients ask a service for minutes while its memory is watched."""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import clients as asking
import numpy as np
import service

from samecar.progress import Progress
from trials.record import Record

CLIENTS = 32
BACKBONE = "mobilenetv3_small_100"
ENTRIES = 2000
SIZES = {(300, 240): 60, (1600, 1200): 4}
"""Widths and heights of the pictures that are sent, and how many are of each."""

TURN = 30.0
"""Seconds after which memory is read and the clients begin anew, each with a new connection."""


def run(record: Record, size: int, progress: Progress) -> None:
    """Asks for so many seconds; begins with another service, and so from nothing, where it was ended before."""
    if record.done >= size:
        return
    record.found.update(clients=CLIENTS, backbone=BACKBONE, entries=ENTRIES, turns=[], memory=[], failed=0, faults=[])
    pictures = [file for size_, count in SIZES.items() for file in asking.draw_pictures(size_, seed=1)[:count]]
    with tempfile.TemporaryDirectory(prefix="samecar-clients-") as folder:
        gallery = Path(folder) / "gallery"
        model = asking.random_model(BACKBONE, pictures, seed=1)
        service.fill(gallery, model, pictures, argparse.Namespace(entries=ENTRIES, seed=1))
        # The clients' process is begun first, so that it is none of the service's.
        with multiprocessing.get_context("spawn").Pool(1) as pool, asking.running_service(gallery) as (port, pid):
            began, seconds = time.monotonic(), 0.0
            record.found["memory"].append([0, megabytes(pid)])
            while seconds < size and not record.found["failed"]:
                progress("clients", int(seconds), size, f"{record.found['memory'][-1][1]:,.0f} MB")
                try:
                    answers = pool.apply(asking.ask_each, (port, pictures, CLIENTS, min(TURN, size)))
                    record.found["turns"].append(_summary([latency for _, latency in answers]))
                except (OSError, EOFError) as error:
                    record.add_fault(second=round(seconds), fault=f"{type(error).__name__}: {error}"[:300])
                seconds = time.monotonic() - began
                record.found["memory"].append([round(seconds), megabytes(pid)])
                record.keep(size if seconds >= size else 0)
    progress("clients", size, size)


def _summary(latencies: list[float]) -> dict[str, int]:
    """Milliseconds until answers of a turn came."""
    shares = {f"p{share}": round(1000 * float(np.percentile(latencies, share))) for share in (50, 99)}
    return {"answers": len(latencies), **shares}


def megabytes(pid: int) -> float:
    """Memory of a process and of those that it has begun, what they share counted once; 10⁶ bytes (Linux)."""
    total = 0
    for process in _family(pid):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total * 1.024e-3, 1)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from _family(int(child))
