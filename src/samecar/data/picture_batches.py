"""Reading batches of pictures in threads, and those of what embeds pictures as they are; nothing here needs torch.

Decoding and resizing leave the interpreter to others. Between threads nothing is copied, and none needs shared memory,
of which containers have little.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import Manifest
from samecar.data.pictures import read_picture
from samecar.preprocessing import Pixels, Preprocessing

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Batches that are read before they are asked for: one that is ready, and one in the making."""

PixelBatch = NDArray[np.uint8]
"""Pictures in a model's size, (batch, 3, height, width): red, green and blue from 0 to 255."""


def read_batches(
    manifest: Manifest, preprocessing: Preprocessing, batch_size: int, *, threads: int = 0
) -> Generator[PixelBatch, None, None]:
    """Gives all pictures in the manifest's order, the same ones whatever the number of threads.

    No more than `AHEAD` batches wait in memory. Whoever stops before the end closes the iterator.

    Args:
        manifest: which pictures.
        preprocessing: what the model takes.
        batch_size: pictures in a batch; the last one may be smaller.
        threads: that read and decode; 0 does it in this one, when a batch is asked for.

    Yields:
        (batch, 3, height, width) uint8; colours of a pixel lie side by side in memory.

    Raises:
        UnreadablePictureError: a picture cannot be read; of several the first one. Batches before it were given.
    """

    def read(row: int) -> Pixels:
        return preprocessing.pixels(read_picture(manifest.absolute_path(row), preprocessing.decoded_size))

    with closing(read_ahead(rows_in_order(len(manifest), batch_size), read, threads)) as parts:
        for pictures in parts:
            yield put_together(pictures)


def rows_in_order(count: int, batch_size: int) -> list[range]:
    """The rows of each batch, where so many are taken in order; the last batch may be smaller."""
    rows = range(count)
    return [rows[first : first + batch_size] for first in rows[::batch_size]]


def read_ahead(
    batches: Iterable[Sequence[Item]], read: Callable[[Item], Result], threads: int
) -> Generator[list[Result], None, None]:
    """Reads what batches consist of, in order, while what was read before is worked with.

    No more than `AHEAD` batches wait in memory. Whoever stops before the end closes the iterator.

    Args:
        batches: what each is made of; taken as reading goes on.
        read: reads one thing; called from several threads at a time.
        threads: that read; 0 does it in this one, when a batch is asked for.

    Yields:
        What was read for each batch; an error that reading raises is raised at its batch.
    """
    if not threads:
        for batch in batches:
            yield [read(item) for item in batch]
        return
    pool = ThreadPoolExecutor(threads, "pictures")
    reading: deque[list[Future[Result]]] = deque()
    try:
        for batch in batches:
            reading.append([pool.submit(read, item) for item in batch])
            if len(reading) > AHEAD:
                yield [future.result() for future in reading.popleft()]
        while reading:
            yield [future.result() for future in reading.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


def put_together(pictures: Sequence[Pixels]) -> PixelBatch:
    """One array; colours stay side by side, as pictures have them, which is also how networks are quickest."""
    return np.stack([picture.transpose(1, 2, 0) for picture in pictures]).transpose(0, 3, 1, 2)
