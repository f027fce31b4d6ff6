"""A service that keeps nothing longer than it was told."""

import asyncio
import logging
import threading

from samecar.errors import SamecarError
from samecar.retrieval.retention import days_ago, remove_older
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
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._go_on())

    async def end(self) -> None:
        """Ends it, with the page of entries that is being removed."""
        self._ended.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        loaded = asyncio.wrap_future(self._service.loaded)
        await asyncio.wait([loaded])  # which, when it is cancelled itself, leaves that as it is
        if loaded.exception() is not None:
            return  # the service says so
        while True:
            try:
                await self._service.read(self._remove)
            except SamecarError as error:
                sentence = "what is older than %g days was not removed, which is tried again: %s"
                logger.error(sentence, self._days, error)  # noqa: TRY400 - the sentence says all
            except Exception:
                logger.exception("what is older than %g days was not removed, which is tried again", self._days)
            await asyncio.sleep(PAUSE)

    def _remove(self) -> None:
        engine = self._service.gallery.engine
        found = remove_older(engine, days_ago(self._days), go_on=lambda: not self._ended.is_set())
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
