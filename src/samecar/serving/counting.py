"""How much a gallery holds: counting a large one takes seconds, and anybody may ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from samecar.retrieval.records import LabelValue, Summary

SUMMARY_SECONDS = 2.0
"""How long a summary is answered with: nobody sees the delay."""

LABEL_SECONDS = 60.0
"""How long the values of labels are answered with; they hardly change with a few pictures."""


class Counted(NamedTuple):
    """A summary that was counted.

    Attributes:
        done: when, by the clock of `time.monotonic`.
        changes: how many changes of this service it knows of at least.
        summary: the gallery's.
    """

    done: float
    changes: int
    summary: Summary


class Counting:
    """Counts what a gallery holds, at most once at a time.

    Args:
        summary: counts the gallery.
        label_values: counts the values of its labels.
    """

    def __init__(
        self,
        summary: Callable[[], Awaitable[Summary]],
        label_values: Callable[[], Awaitable[dict[str, list[LabelValue]]]],
    ) -> None:
        self._summary, self._label_values = summary, label_values
        self._changes = 0
        self._counted: Counted | None = None
        self._under_way: tuple[int, asyncio.Task[Counted]] | None = None  # the changes before it, and the count
        self._labels: tuple[float, dict[str, list[LabelValue]]] | None = None  # when counted, and what
        self._labels_lock = asyncio.Lock()

    def note_change(self) -> None:
        """The gallery holds something else from now on."""
        self._changes += 1

    async def summary(self) -> Summary:
        """How much the gallery holds, now or a moment ago, with all that this service has changed.

        All who wait for a count get its outcome.
        """
        changes = self._changes
        while True:
            counted = self._counted
            if counted and counted.changes >= changes and time.monotonic() - counted.done <= SUMMARY_SECONDS:
                return counted.summary
            if self._under_way is None:
                self._under_way = self._changes, asyncio.create_task(self._count(self._changes))
            known, counting = self._under_way
            if known >= changes:
                return (await asyncio.shield(counting)).summary
            await asyncio.wait([counting])

    async def label_values(self) -> dict[str, list[LabelValue]]:
        """The values that labels have, counted a minute ago at most."""
        async with self._labels_lock:
            known = self._labels
            if known is None or time.monotonic() - known[0] > LABEL_SECONDS:
                self._labels = known = time.monotonic(), await self._label_values()
            return known[1]

    async def _count(self, changes: int) -> Counted:
        try:
            self._counted = Counted(time.monotonic(), changes, await self._summary())
        finally:
            self._under_way = None
        return self._counted
