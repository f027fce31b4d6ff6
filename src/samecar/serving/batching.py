"""What many clients ask at the same time is done together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PAUSE = 0.002
"""Seconds to wait for company when nothing runs: requests of one moment go together, and nobody notices the wait."""


class QueueFullError(Exception):
    """More are waiting than may wait."""


class Batcher(Generic[Item, Result]):
    """Hands items that wait at the same time to one function, in a thread of its own, one batch after the other.

    While a batch runs the next one gathers; when nothing runs, an item waits no longer than `PAUSE`. Whoever stops
    waiting is left out of a batch that has not begun and changes nothing for the others.

    Args:
        work: does a batch; gives a result for each item, in their order. Its error goes to all of the batch.
        largest: items of a batch.
        waiting: items that may wait.
        name: of the thread.
        observe: is told the size of each batch.
        observe_queue: is told how many items wait, whenever that changes.
        halves: whether a batch takes only half of those that wait or were in the last one, who may soon come again.
            While one half is worked on, the other one gets its answers and prepares what it asks next; else all would
            wait for the work together, and then the work for them.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        *,
        largest: int,
        waiting: int,
        name: str,
        observe: Callable[[int], None] | None = None,
        observe_queue: Callable[[int], None] | None = None,
        halves: bool = False,
    ) -> None:
        self.work = work
        self.largest = largest
        self.waiting = waiting
        self.observe, self.observe_queue = observe, observe_queue
        self.halves = halves
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self.runner: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Waits for an item's result.

        Raises:
            QueueFullError: too many wait already.
        """
        if len(self.queue) >= self.waiting:
            raise QueueFullError
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.queue.append((item, result))
        self._tell_queue()
        if self.runner is None:
            self.runner = asyncio.create_task(self._run())
        return await result

    async def close(self) -> None:
        """Finishes what was begun."""
        if self.runner is not None:
            await self.runner
        self.thread.shutdown()

    async def _run(self) -> None:
        try:
            await asyncio.sleep(PAUSE)
            batch = self._next(0)
            while batch:
                await self._do(batch)
                batch = self._next(len(batch))
        finally:
            self.runner = None

    def _next(self, last: int) -> list[tuple[Item, "asyncio.Future[Result]"]]:
        """What goes together next, after a batch of this many."""
        most = min(self.largest, -(-(len(self.queue) + last) // 2)) if self.halves else self.largest
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self.queue and len(batch) < most:
            item, result = self.queue.popleft()
            if not result.done():  # it is done where its client has gone
                batch.append((item, result))
        self._tell_queue()
        return batch

    def _tell_queue(self) -> None:
        if self.observe_queue is not None:
            self.observe_queue(len(self.queue))

    async def _do(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        items = [item for item, _ in batch]
        if self.observe is not None:
            self.observe(len(items))
        try:
            results = await asyncio.get_running_loop().run_in_executor(self.thread, self.work, items)
        except Exception as error:  # whatever it is, those who wait must hear of it
            for _, result in batch:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in zip(batch, results, strict=True):
            if not result.done():
                result.set_result(value)
