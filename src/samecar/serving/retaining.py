"""A service that keeps nothing longer than it was told."""

import asyncio
import logging
import threading

from samecar.errors import SamecarError
from samecar.retrieval.retention import Retention, days_ago, remove_older
from samecar.retrieval.times import time_text
from samecar.serving.service import Service

logger = logging.getLogger(__name__)

PAUSE = 60 * 60.0
"""Seconds after which it is looked for old entries again."""


class Retainer:
    """Removes entries that are too old, when the gallery is loaded and then every hour, until it is told to end.

    Whatever goes wrong is logged, and tried again an hour later.

    Args:
        service: whose gallery it is.
        days: how long entries are kept.
    """

    def __init__(self, service: Service, days: float) -> None:
        self._service = service
        self._days = days
        self._ended = threading.Event()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, loading: asyncio.Task[None]) -> None:
        """Begins, once the gallery is loaded."""
        self._task = asyncio.create_task(self._go_on(loading))

    async def end(self) -> None:
        """Ends it, when the page of entries is removed that is at work."""
        self._ended.set()
        self._woken.set()
        if self._task is not None:
            await self._task

    async def _go_on(self, loading: asyncio.Task[None]) -> None:
        ended = asyncio.create_task(self._woken.wait())
        await asyncio.wait([loading, ended], return_when=asyncio.FIRST_COMPLETED)
        while self._service.is_ready and not ended.done():
            await self._service.read(self._remove)
            await asyncio.wait([ended], timeout=PAUSE)
        ended.cancel()

    def _remove(self) -> None:
        """Does so once, in a thread, and says how it went."""
        try:
            engine = self._service.gallery.engine
            found = remove_older(engine, days_ago(self._days), go_on=lambda: not self._ended.is_set())
        except SamecarError as error:
            sentence = "what is older than %g days was not removed, which is tried again: %s"
            logger.error(sentence, self._days, error)  # noqa: TRY400 - the sentence says all
        except Exception:
            logger.exception("what is older than %g days was not removed, which is tried again", self._days)
        else:
            self._tell(found)

    def _tell(self, found: Retention) -> None:
        if not found.entries:
            return
        logger.warning(
            "removed %s pictures from before %s, %g days ago, %s of them by when they were added",
            f"{found.entries:,}",
            time_text(found.older),
            self._days,
            f"{found.undated:,}",
        )
        for sentence in found.remains:
            logger.warning("%s", sentence)
