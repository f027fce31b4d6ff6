"""Several processes that do one piece of work together, as `torchrun` starts them; one is the ordinary case.

torch is loaded when there are several, so that importing this module does not wait for it.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from samecar.errors import SamecarError
from samecar.hardware import Machine, share_machine

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")

NUMBERS: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""What torchrun tells a process of itself: its number and how many there are, over all machines and on its own."""

ADDRESS: Final = ("MASTER_ADDR", "MASTER_PORT")
"""Where the processes meet."""

LONGEST_WAIT: Final = timedelta(days=1)
"""For another process, while the first one scores or writes; one that has ended is noticed at once."""

LONGEST_MEETING: Final = timedelta(minutes=15)
"""Until all processes have been started, as torchrun waits."""

SECONDS_TO_END: Final = 5
"""What a process waits that has lost another one: whoever started both ends it meanwhile, and says why."""

FAILED: Final = "samecar/failed"
"""Counts, where the processes meet, those that have failed; the first one says why."""


class SaidElsewhereError(SamecarError):
    """What went wrong is said by another process of this work."""


class LostProcessError(SamecarError):
    """Another process of this work has ended before its end."""


@dataclass(frozen=True)
class Processes:
    """The processes that do one piece of work together, as one of them sees them.

    Attributes:
        rank: number of this one, from 0.
        count: how many there are.
        local_rank: number of this one among those of its machine.
        local_count: how many this machine has.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def machine(self, on: Machine) -> Machine:
        """What of this machine belongs to this process: one GPU of several, and its part of the workers.

        Raises:
            SamecarError: one GPU is named for several processes, or there are fewer GPUs than processes.
        """
        if self.count == 1:
            return on
        name = "cpu" if on.device.type == "cpu" else "cuda"
        if name == "cuda" and ":" in on.name:
            if self.local_count > 1:
                raise SamecarError(
                    f"device is {on.name!r} for {self.local_count} processes on this machine, and each needs a GPU of "
                    "its own; use cuda or auto"
                )
            return on
        names = [name if name == "cpu" else f"cuda:{number}" for number in range(self.local_count)]
        return share_machine(on, names)[self.local_rank]

    def once(self, work: Callable[[], Result]) -> Result:
        """Has the first process do something, for which the others wait; gives all of them the result.

        Work within it that several processes could share is done by this one too.

        Args:
            work: what gives something that can be pickled.

        Raises:
            SamecarError: the work raised it; all processes do then.
        """
        if self.count == 1:
            return work()
        from torch.distributed import broadcast_object_list

        told: list[Any] = [None, None]
        if self.first:
            _joined.append(ALONE)
            try:
                told[0] = work()
            except SamecarError as error:
                told[1] = str(error)
                broadcast_object_list(told)
                raise
            finally:
                _joined.pop()
        broadcast_object_list(told)
        if told[1] is not None:
            raise SamecarError(told[1])
        return cast(Result, told[0])

    def gather_rows(self, own: "torch.Tensor", sizes: Sequence[int]) -> "torch.Tensor":
        """The rows of all processes, in the order of these; no gradient goes through.

        Args:
            own: (rows, …) of this process, on any device.
            sizes: how many rows each process has.

        Returns:
            (all rows, …).
        """
        import torch
        from torch.distributed import all_gather

        if self.count == 1:
            return own
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own.detach()
        gathered = [torch.empty_like(padded) for _ in sizes]
        all_gather(gathered, padded)
        return torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)])

    def gather_objects(self, own: Result) -> list[Result]:
        """What each process has, in the order of these; it must be possible to pickle it."""
        if self.count == 1:
            return [own]
        from torch.distributed import all_gather_object

        gathered: list[Any] = [None] * self.count
        all_gather_object(gathered, own)
        return gathered

    def share(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Gives tensors the numbers that they have in the first process."""
        if self.count == 1:
            return
        from torch.distributed import broadcast

        for tensor in tensors:
            broadcast(tensor.detach(), src=0)

    def average(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Gives tensors the mean of what they are in all processes."""
        if self.count == 1:
            return
        from torch.distributed import all_reduce

        for tensor in tensors:
            all_reduce(tensor.detach())
            tensor.detach().div_(self.count)


ALONE: Final = Processes()
"""One process, which meets no others."""

_joined: list[Processes] = []
"""What this process takes part in, if anything."""

_stores: list[Any] = []
"""What torch keeps for processes to meet by: the common one, and a part of it for each time that they have met."""


def read_environment(environment: Mapping[str, str]) -> Processes | None:
    """What torchrun says in the environment of a process; None where it says nothing.

    Raises:
        SamecarError: some of it is missing, or means nothing.
    """
    given = [name for name in NUMBERS if environment.get(name)]
    if not given:
        return None
    missing = [name for name in (*NUMBERS, *ADDRESS) if not environment.get(name)]
    if missing:
        raise SamecarError(
            f"the environment has {' and '.join(given)} but not {' and '.join(missing)}, so the processes cannot meet; "
            f"start them with torchrun, which sets all of these, or unset {' and '.join(given)} for one process"
        )
    try:
        rank, count, local_rank, local_count = (int(environment[name]) for name in NUMBERS)
        ordered = 0 <= rank < count and 0 <= local_rank < local_count <= count
    except ValueError:
        ordered = False
    if not ordered:
        told = ", ".join(f"{name}={environment[name]}" for name in NUMBERS)
        raise SamecarError(
            f"{told} in the environment are no numbers of processes; start them with torchrun, or unset these"
        )
    return Processes(rank, count, local_rank, local_count)


@contextmanager
def take_part(on: Machine) -> Iterator[Processes]:
    """Meets the other processes of this work for the block; within such a block it is the same ones.

    They meet by gloo on processors and NCCL on GPUs. If several fail, the first one raises its error and the others
    `SaidElsewhereError`.

    Args:
        on: the whole machine.

    Raises:
        SamecarError: the environment is half set, the machine has too few GPUs, or another process has ended.
    """
    if _joined:
        yield _joined[-1]
        return
    processes = read_environment(os.environ) or ALONE
    if processes.count == 1:
        yield processes
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        raise SamecarError("torch.distributed has a process group already; let samecar start it, or end it before")
    device = processes.machine(on).device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    try:
        store = _meeting_place()
        distributed.init_process_group(
            backend, store=store, rank=processes.rank, world_size=processes.count, timeout=LONGEST_WAIT
        )
    except RuntimeError as error:
        place = ":".join(os.environ[name] for name in ADDRESS)
        raise SamecarError(
            f"process {processes.rank} of {processes.count} cannot meet the others at {place} "
            f"({str(error).splitlines()[0]}); start all of them, where this address can be reached"
        ) from error
    _joined.append(processes)
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    if launched:
        Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    try:
        with _end_at_once() if launched else nullcontext(), _say_once(processes, store):
            yield processes
            processes.gather_objects(None)  # none leaves while another one still needs it
    finally:
        _joined.pop()
        distributed.destroy_process_group()


def _meeting_place() -> Any:
    """Where the processes meet this time; nothing is left there of the times before."""
    from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

    if not _stores:
        _stores.append(next(rendezvous("env://", timeout=LONGEST_MEETING))[0])
    _stores.append(PrefixStore(f"samecar-{len(_stores)}", _stores[0]))
    return _stores[-1]


def end_with(parent: int | None) -> None:
    """Ends this process once the launcher that started it has ended, which can no longer see to it."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _end_at_once() -> Iterator[None]:
    """Has SIGINT end this process, which may be waiting for another one that has ended; the launcher says it."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _say_once(processes: Processes, store: Any) -> Iterator[None]:
    """Lets the first process that fails say why."""
    try:
        yield
    except RuntimeError as error:
        if not _tells_of_loss(error):
            raise
        time.sleep(SECONDS_TO_END)
        lost = LostProcessError(
            f"process {processes.rank} of {processes.count} has lost another one, which has ended or cannot be "
            "reached; what that one or its machine says tells why"
        )
        raise _unless_said(lost, store) from error
    except SamecarError as error:
        said = _unless_said(error, store)
        if said is error:
            raise
        raise said from error


def _unless_said(error: SamecarError, store: Any) -> SamecarError:
    """The error if no other process has failed before this one, else that another one says it."""
    try:
        if store.add(FAILED, 1) == 1:
            return error
    except RuntimeError:  # it went with the process that kept it
        return error
    time.sleep(1)  # who ends with the first that ends would not have said it yet
    return SaidElsewhereError(str(error))


def _tells_of_loss(error: RuntimeError) -> bool:
    """Whether torch says that another process does not answer."""
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()
