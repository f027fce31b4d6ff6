"""What a call costs: seconds, processor time and memory."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")


class Spent(NamedTuple):
    """What a call cost."""

    seconds: float
    processor_seconds: float
    megabytes: float


def measured(call: Callable[[], Result]) -> tuple[Result, Spent]:
    """What a call gives and costs; megabytes (10⁶ bytes) are those by which resident memory rose at most (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets the peak to what is resident now
    before = resident("VmRSS")
    started, worked = time.perf_counter(), time.process_time()
    result = call()
    spent = Spent(time.perf_counter() - started, time.process_time() - worked, resident("VmHWM") - before)
    return result, spent


def resident(field: str = "VmRSS") -> float:
    """Megabytes of this process's resident memory: now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith(f"{field}:"))
