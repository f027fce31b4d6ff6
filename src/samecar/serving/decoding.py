"""Pictures that clients send are decoded in threads: light ones beside each other, heavy ones one after the other."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar, cast

from samecar.hardware import available_cores
from samecar.serving.batching import Batcher, QueueFullError
from samecar.serving.errors import busy
from samecar.serving.uploads import Crop, Upload, Weight, open_upload, read_upload, weigh

Value = TypeVar("Value")

FEWEST_THREADS = 4
"""Threads that decode; one for each core where there are more."""

LARGE_WAITING = 16
"""Large pictures that may wait: they are decoded one by one, so that nobody waits for them but those who send one.

Memory then holds one of them, and until its turn comes its file lies on the disk.
"""

COSTLY_WAITING = 4
"""Pictures behind which a costly one may wait, as each may take seconds."""

SOON = 2.0
"""Seconds within which a picture begins to be decoded; a service that takes longer is not ready for more."""


class Decoder:
    """Decodes what clients send.

    Args:
        pixels: most pixels of a picture.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._threads = ThreadPoolExecutor(max(FEWEST_THREADS, available_cores()), thread_name_prefix="decoding")
        self._heavy = Batcher(_do_each, largest=1, waiting=LARGE_WAITING, name="heavy")

    async def decode(
        self, file: BinaryIO, crop: Crop | None, least: tuple[int, int], use: Callable[[Upload], Value]
    ) -> Value:
        """Decodes a picture and does something with it in the same thread; heavy ones wait for each other.

        Args:
            file: the picture.
            crop: which part is meant; None means all.
            least: height and width below which it is not decoded.
            use: what is done with it.

        Raises:
            ServiceError: it is too large, too much work or no picture, or too many heavy ones are waiting.
        """

        def decode() -> Value:
            return use(open_upload(read_upload(file), crop, least))

        def decode_if_light() -> tuple[Weight, Value | None]:
            weight = weigh(file, self._pixels)
            return weight, decode() if weight is Weight.LIGHT else None

        weight, value = await asyncio.get_running_loop().run_in_executor(self._threads, decode_if_light)
        if weight is Weight.LIGHT:
            return cast("Value", value)
        refuse_costly(weight, self._heavy)
        try:
            return cast("Value", await self._heavy(decode))
        except QueueFullError as error:
            raise busy() from error

    async def refuse_if_busy(self) -> None:
        """Refuses where no thread is soon free.

        Raises:
            ServiceError: all of them are at work.
        """
        try:
            async with asyncio.timeout(SOON):
                await asyncio.get_running_loop().run_in_executor(self._threads, _do_each, ())
        except TimeoutError as error:
            raise busy() from error

    async def close(self) -> None:
        """Finishes what was begun."""
        await self._heavy.close()
        self._threads.shutdown()


def refuse_costly(weight: Weight, lane: Batcher[Any, Any]) -> None:
    """Refuses a costly picture where many would be decoded before it.

    Raises:
        ServiceError: too many are waiting.
    """
    if weight is Weight.COSTLY and len(lane.queue) >= COSTLY_WAITING:
        raise busy()


def _do_each(works: Sequence[Callable[[], Any]]) -> list[Any]:
    return [work() for work in works]
