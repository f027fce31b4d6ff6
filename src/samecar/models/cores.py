"""A batch on all cores of a CPU at once, each of which takes a part of it through the whole model."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier, Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST_PART = 2
"""Fewest items that are worth a core of their own; fewer go faster if all cores share each layer."""

_making = Lock()


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
    threads = ThreadPoolExecutor(count, thread_name_prefix="core", initializer=_use_one_thread)
    all_there = Barrier(count)
    list(threads.map(lambda _: all_there.wait(), range(count)))
    torch.set_num_threads(count)  # what threads set for themselves counts for threads that come later, too
    return threads


def _use_one_thread() -> None:
    torch.get_num_threads()  # sets this thread's number to the common one, which later would undo the next line
    torch.set_num_threads(1)
