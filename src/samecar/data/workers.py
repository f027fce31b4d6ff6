"""Processes that read pictures: how their batches come here, and what is said when one of them ends."""

import gc
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, get_worker_info

from samecar.errors import SamecarError

Item = TypeVar("Item")
Batched = TypeVar("Batched", bound=NamedTuple)

FEWER = "take fewer (--workers; 0 takes none)"

WORTH_SHARING = 4096
"""Fewest numbers of an array that are handed over in shared memory, where each array is an open file."""

_LOST = re.compile(r"DataLoader worker \(pid|Pin memory thread exited|Communication with the workers")
"""How torch says that a process is gone, or that nothing comes from it any more."""


class BatchLoader(DataLoader[Any]):
    """torch's loader, whose processes hand over their batches with or without shared memory.

    Args:
        dataset: gives items by number, or by whatever a sampler among the options gives.
        collate: makes a batch of items: a tuple with names.
        workers: processes that read; 0 reads in this one.
        options: further arguments of torch's loader.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        collate: Callable[[Sequence[Any]], Any],
        workers: int,
        **options: Any,
    ) -> None:
        super().__init__(
            dataset,
            num_workers=workers,
            collate_fn=_CollateToSend(collate),
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # so that starting an epoch draws nothing from the global one
            worker_init_fn=_leave_lost_connections_to_others,
            **options,
        )

    def __iter__(self) -> Any:
        """Starts the processes, and gives their batches.

        What is garbage here stays so there: clearing it away, as Python does now and then, may wait for threads of a
        library that only this process has.

        Raises:
            SamecarError: they cannot be started.
        """
        gc.freeze()
        try:
            if self.num_workers:
                torch.multiprocessing.Lock()  # where there is none, torch begins, and takes long to give up
            return super().__iter__()
        except (OSError, ImportError) as error:  # ImportError: this system has no semaphores
            reason = getattr(error, "strerror", None) or error
            raise SamecarError(
                f"{self.num_workers} processes that read pictures cannot be started: {reason}; {FEWER}"
            ) from error
        finally:
            gc.unfreeze()


@contextmanager
def name_lost_workers() -> Iterator[None]:
    """Says in one sentence that a process that reads pictures has ended, wherever in the block torch notices it.

    Raises:
        SamecarError: one has ended.
    """
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise SamecarError(
            f"a process that reads pictures has ended ({str(error).split('. ')[0]}), often because memory is full; "
            f"{FEWER}, or give more memory, in a container also shared memory (docker run --shm-size=1g)"
        ) from error


def _leave_lost_connections_to_others(_worker: int) -> None:
    """Keeps a process that reads from printing that nobody fetches its batch any more: why, the main process says."""
    print_error = sys.excepthook

    def print_other_errors(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, (ConnectionError, EOFError)):
            print_error(kind, error, trace)

    sys.excepthook = print_other_errors


class _CollateToSend(Generic[Item, Batched]):
    """Makes a batch of items; in a process that reads also what is sent of it."""

    def __init__(self, collate: Callable[[Sequence[Item]], Batched]) -> None:
        self._collate = collate

    def __call__(self, items: Sequence[Item]) -> "Batched | _Parcel":
        batch = self._collate(items)
        return batch if get_worker_info() is None else _Parcel.pack(batch)


class _Parcel(NamedTuple):
    """A batch on its way to the main process, where it arrives as the batch.

    It is packed where an error reaches the main process. Packed later, in the thread that sends, an error would only be
    printed, and the main process would wait for the batch for ever.
    """

    content: bytes

    @classmethod
    def pack(cls, batch: Any) -> Self:
        """Packs a batch: large tensors in shared memory while there is room, else as they are."""
        plain = [value.numpy() if torch.is_tensor(value) else value for value in batch]
        try:
            shared = [_share(value) if isinstance(value, np.ndarray) else value for value in plain]
            return cls(bytes(ForkingPickler.dumps((type(batch), shared))))
        except (RuntimeError, OSError):  # shared memory is full, or there is none
            return cls(pickle.dumps((type(batch), plain)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpack, (self.content,)


def _share(array: NDArray[Any]) -> "NDArray[Any] | torch.Tensor":
    if array.size < WORTH_SHARING:
        return array
    tensor: torch.Tensor = torch.from_numpy(array).share_memory_()  # type: ignore[no-untyped-call]
    return tensor


def _unpack(content: bytes) -> Any:
    kind, values = pickle.loads(content)  # noqa: S301 - a process of our own has written it
    return kind(*(torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in values))
