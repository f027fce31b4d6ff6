"""Where work runs: the cores and the device of this machine.

torch is loaded when a device is asked for, so that importing this module does not wait for it.
"""

import ctypes
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, Lock
from typing import TYPE_CHECKING, TypeVar

from samecar.errors import SamecarError, naming_extra

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 8
"""Threads that count by default at most; more of them wait for memory, not for a core."""

LEAST_PART = 2
"""Fewest items that are worth a core of their own; fewer go faster if all cores share each layer."""

_making = Lock()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """A counting thread for each core, up to `MOST_THREADS`."""
    return min(MOST_THREADS, available_cores())


def check_device(name: str) -> str:
    """The name of a device, which need not be there.

    Raises:
        SamecarError: it means nothing.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(name), re.ASCII):
        raise SamecarError(f"device is {name!r}; it can be auto, cpu, cuda or cuda:N, such as cuda:0")
    return name


def name_device(name: str) -> str:
    """The device that a name means, such as 'cuda' for 'auto' where there is a GPU; the processor without torch.

    Raises:
        SamecarError: a GPU is asked for that is not there, or the name means nothing.
    """
    if name == "cpu" or (name == "auto" and find_spec("torch") is None):
        return "cpu"
    return str(find_device(name))


def release_freed_memory() -> None:
    """Gives the system back what was freed; with other C libraries than glibc nothing is done."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def has_gpu_driver() -> bool:
    """Whether NVIDIA's driver is there, as far as that can be told without a library that uses it."""
    return shutil.which("nvidia-smi") is not None


def free_memory() -> int | None:
    """Bytes of memory that can still be had, in a container at most those that it may take; None if nobody says it."""
    found: list[int] = []
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):  # ValueError: the most is "max"
        most, current = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text("ascii")) for name in ("max", "current"))
        found.append(most - current)
    return min(found, default=None)


def has_bfloat16(device: "torch.device") -> bool:
    """Whether a device multiplies matrices of bfloat16 by itself; others make float32 of them, which is slower."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which torch needs to compile a network."""
    named = os.environ.get("CXX")
    return any(shutil.which(name) is not None for name in ([named] if named else ["g++", "clang++", "c++"]))


def find_device(name: str = "auto") -> "torch.device":
    """The device of a name; 'auto' is the GPU where there is one, 'cuda:1' the second of several.

    Raises:
        SamecarError: a GPU is asked for that is not there, or the name means nothing.
    """
    check_device(name)
    with naming_extra("torch's devices need"):
        import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise SamecarError(f"device is {name!r} but torch finds no GPU here; use auto or cpu")
    _, _, number = name.partition(":")
    count = torch.cuda.device_count()
    if number and int(number) >= count:
        there = ", ".join(f"cuda:{index}" for index in range(count))
        raise SamecarError(f"device is {name!r} but the GPUs here are {there}; use one of them, auto or cpu")
    return torch.device(name)


@dataclass(frozen=True)
class Speed:
    """How training uses a machine. What is on by default changes numbers by rounding only.

    Attributes:
        channels_last: keep the colours, and later the channels, of a pixel side by side in memory.
        fused: let the optimiser change all weights in one go, where torch can.
        compile: compile the network, which takes a minute or so at each start and needs a C++ compiler; its first batch
            is compared with the network as it is.
        cache: where to keep the train pictures decoded and resized, for all epochs and for further trainings: 'memory'
            of this process, or a folder; it takes 341 kB a picture at 224 × 224.
    """

    channels_last: bool = True
    fused: bool = True
    compile: bool = False
    cache: str | None = None

    def as_facts(self) -> dict[str, bool]:
        """What a run notes of it."""
        return asdict(self) | {"cache": self.cache is not None}


REFERENCE = Speed(channels_last=False, fused=False)
"""How torch does it where nobody asks for more: what the report's rows are trained with."""


@dataclass(frozen=True)
class Machine:
    """Where work runs; it may change a run's speed, and its numbers only by rounding.

    Attributes:
        name: of the device: auto, cpu, cuda or cuda:N.
        workers: threads that read pictures; 0 reads in turns with the work.
        speed: how training uses it; None leaves that to what is trained: the report's rows are as `REFERENCE` says, all
            else as `Speed` does.
    """

    name: str
    workers: int
    speed: Speed | None = None

    @property
    def cache(self) -> str | None:
        """Where it keeps decoded pictures; None where it keeps none."""
        return None if self.speed is None else self.speed.cache

    def used_as(self, speed: Speed) -> "Machine":
        """The machine with this speed, unless it has one."""
        return self if self.speed is not None else replace(self, speed=speed)

    @cached_property
    def device(self) -> "torch.device":
        """The device of torch; 'auto' is the GPU where there is one.

        Raises:
            SamecarError: torch is not installed.
        """
        return find_device(self.name)


def machine(device: str = "auto", workers: int | None = None, speed: Speed | None = None) -> Machine:
    """Chooses the GPU where there is one, and a worker for each core.

    Args:
        device: where the model runs: auto, cpu, cuda or cuda:N.
        workers: threads that read pictures; default: one a core.
        speed: how training uses it; by default as whatever is trained has it.

    Raises:
        SamecarError: a GPU is asked for that is not there, or the name means nothing.
    """
    check_device(device)
    if device.startswith("cuda") and find_spec("torch"):
        find_device(device)
    return Machine(device, available_cores() if workers is None else workers, speed)


def share_machine(whole: Machine, devices: Sequence[str]) -> list[Machine]:
    """Parts a machine among as many runs as devices are named; one may be named several times.

    Args:
        whole: its workers are divided; each part has one at least, unless it has none at all.
        devices: such as 'cuda:0' and 'cuda:1', or 'cpu' twice.

    Raises:
        SamecarError: no device is named, or one that is not there.
    """
    if not devices:
        raise SamecarError("devices are none; give one or more, such as cuda:0,cuda:1")
    workers = max(1, whole.workers // len(devices)) if whole.workers else 0
    return [machine(device, workers, whole.speed) for device in devices]


@contextmanager
def process_pool(count: int, work: str) -> Iterator[ProcessPoolExecutor]:
    """Gives processes for the block; what is still waiting at its end is not begun.

    Args:
        count: of processes.
        work: what one of them does, such as "reads pictures".

    Raises:
        SamecarError: they cannot be started, or one ended before its work was done.
    """
    try:
        pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    except (OSError, ImportError, NotImplementedError) as error:  # the system has no semaphores, or gives no more
        reason = getattr(error, "strerror", None) or error
        raise SamecarError(f"no process that {work} can be started: {reason}; use workers=1") from error
    try:
        yield pool
    except BrokenProcessPool as error:
        raise SamecarError(
            f"a process that {work} ended too early; use workers=1, and in a script call this under "
            '`if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def in_parts(work: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Does a batch in as many parts as torch may use threads, each in a thread whose torch uses one.

    Cores that share a layer wait for each other at its end, the longer the more else they have to do. A batch that is
    too small for parts is done as a whole, with all of torch's threads.

    Args:
        work: does a part, on the CPU; it is called from several threads at a time.
        items: of the batch.

    Returns:
        The result of each part, in the order of the items.
    """
    import torch

    cores = torch.get_num_threads()
    if cores == 1 or len(items) < LEAST_PART * cores:
        return [work(items)]
    bounds = [part * len(items) // cores for part in range(cores + 1)]
    parts = [items[start:stop] for start, stop in pairwise(bounds)]
    with _making:
        threads = _threads(cores)
    return list(threads.map(work, parts))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Threads in each of which torch uses one."""
    import torch

    threads = ThreadPoolExecutor(count, thread_name_prefix="core", initializer=_use_one_thread)
    all_there = Barrier(count)
    list(threads.map(lambda _: all_there.wait(), range(count)))
    torch.set_num_threads(count)  # what threads set for themselves counts for threads that come later, too
    return threads


def _use_one_thread() -> None:
    import torch

    torch.get_num_threads()  # sets this thread's number to the common one, which later would undo the next line
    torch.set_num_threads(1)
