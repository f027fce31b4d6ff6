"""With what, where and for how long a run was trained, noted in its run.json so that a number can be traced."""

import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import timm
import torch
import torchvision

from samecar.hardware import Speed
from samecar.version import __version__, find_commit

Session = Mapping[str, Any]
"""One time that training was begun or taken up: date (UTC), samecar, commit (None if unknown), python, torch,
torchvision, timm, cuda (None without a GPU), device, threads, workers, processes, first_epoch, last_epoch, seconds,
peak_memory_bytes (of the GPU, or without one of the process; None where it cannot be known) and speed, which says how
the machine was used; earlier versions note none, and used it as `samecar.hardware.REFERENCE` says. Device, threads,
workers and memory are those of the first process; earlier versions did not note how many there are."""


@dataclass
class SessionClock:
    """Says how far a session of training is.

    Attributes:
        device: that the model is trained on.
        workers: threads that read pictures.
        first_epoch: that the session trains, counted from 1.
        speed: how it uses the machine.
        processes: that share a batch.
    """

    device: torch.device
    workers: int
    first_epoch: int
    speed: Speed = field(default_factory=Speed)
    processes: int = 1
    _began: float = field(default_factory=time.perf_counter)
    _date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def session(self, last_epoch: int) -> Session:
        """The session up to the end of an epoch."""
        on_gpu = self.device.type == "cuda"
        return {
            "date": self._date,
            "samecar": __version__,
            "commit": find_commit(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "timm": timm.__version__,
            "cuda": torch.version.cuda if on_gpu else None,
            "device": torch.cuda.get_device_name(self.device) if on_gpu else _processor(),
            "threads": torch.get_num_threads(),
            "workers": self.workers,
            "processes": self.processes,
            "first_epoch": self.first_epoch,
            "last_epoch": last_epoch,
            "seconds": round(time.perf_counter() - self._began, 1),
            "peak_memory_bytes": torch.cuda.max_memory_allocated(self.device) if on_gpu else _peak_memory(),
            "speed": self.speed.as_facts(),
        }


def _processor() -> str:
    return f"cpu, {platform.processor() or platform.machine()}"


def _peak_memory() -> int | None:
    """Most memory that this process has had, in bytes."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
