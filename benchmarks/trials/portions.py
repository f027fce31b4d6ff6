"""Many inputs, one after the other, in processes of their own: one that crashes or hangs ends its process, no more."""

import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

from samecar.progress import Progress
from trials.record import Record

PORTION: Final = 1000
"""Inputs of a process."""

BOUND: Final = 5.0
"""Seconds of processor time that an input may take."""

HUNG: Final = 120.0
"""Seconds after which an input is given up; the machine may be busy."""

LOOK: Final = 1.0
"""Seconds between two looks at what is being tried."""

Attempt = Callable[[int], str]
"""Makes the input of a number and tries it; says how it ended, in a word or two. Whatever it raises is a fault."""


@dataclass
class Found:
    """How inputs ended.

    Attributes:
        endings: how many ended in which way.
        slowest: seconds of processor time that an input took at most, and its number.
        megabytes: that a process took at most.
        faults: numbers of inputs, and what happened.
    """

    endings: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    megabytes: float = 0.0
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Adds what was found of other inputs."""
        self.endings += other.endings
        self.slowest = max(self.slowest, other.slowest)
        self.megabytes = max(self.megabytes, other.megabytes)
        self.faults += other.faults


def try_inputs(attempt: Attempt, record: Record, size: int, progress: Progress, describe: Callable[[int], str]) -> None:
    """Tries so many inputs, portion by portion.

    Args:
        attempt: tries one.
        record: is kept after each portion.
        size: inputs in all.
        progress: is told of every portion.
        describe: says of an input that was at fault what it was.
    """
    found = record.found
    while record.done < size:
        portion = range(record.done, min(record.done + PORTION, size))
        outcome = _try_portion(attempt, portion)
        found["endings"] = dict(sorted((Counter(found.get("endings", {})) + outcome.endings).items()))
        found["slowest"] = max([*found.get("slowest", (0.0, -1))], [*outcome.slowest])
        found["megabytes"] = max(found.get("megabytes", 0.0), outcome.megabytes)
        for number, fault in outcome.faults:
            record.add_fault(number=number, input=describe(number), fault=fault)
        record.keep(portion.stop)
        progress(record.trial, portion.stop, size, f"{found['failed']} faults")


def _try_portion(attempt: Attempt, numbers: range) -> Found:
    """Tries some inputs; those beside one that ends its process are tried in others."""
    found, remaining = Found(), [numbers]
    while remaining:
        portion = remaining.pop()
        if not portion:
            continue
        outcome, at, ending = _in_a_process(attempt, portion)
        if outcome is not None:
            found.add(outcome)
            continue
        found.faults.append((at, ending))
        remaining += [range(portion.start, at), range(at + 1, portion.stop)]
    return found


def _in_a_process(attempt: Attempt, numbers: range) -> tuple[Found | None, int, str]:
    """What was found; or None, the number of the input that ended the process, and how."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    at = context.Value("q", numbers.start)
    process = context.Process(target=_try_all, args=(attempt, numbers, at, sending))
    process.start()
    sending.close()
    last, since = at.value, time.monotonic()
    while not receiving.poll(LOOK):
        if at.value != last:
            last, since = at.value, time.monotonic()
        elif time.monotonic() - since > HUNG:
            process.kill()
            process.join()
            return None, last, f"not ended after {HUNG:.0f} s"
    try:
        outcome: Found = receiving.recv()
    except EOFError:
        process.join()
        return None, at.value, f"its process ended with status {process.exitcode}"
    process.join()
    return outcome, at.value, ""


def _try_all(attempt: Attempt, numbers: range, at: Any, sending: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # decoders print what they think of a picture
    found = Found()
    for number in numbers:
        at.value = number
        before = time.process_time()
        try:
            found.endings[attempt(number)] += 1
        except Exception as error:  # whatever it is, a user would have seen a traceback
            found.faults.append((number, f"{type(error).__name__}: {error}"[:300]))
        seconds = round(time.process_time() - before, 3)
        if seconds > BOUND:
            found.faults.append((number, f"it took {seconds:.1f} s of processor time; allowed are {BOUND:.0f}"))
        found.slowest = max(found.slowest, (seconds, number))
    found.megabytes = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3, 1)
    sending.send(found)
