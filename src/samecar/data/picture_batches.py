"""From rows to batches of pixels, read by threads: for what embeds pictures as they are; nothing here needs torch."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import Manifest
from samecar.data.pictures import read_picture
from samecar.preprocessing import Pixels, Preprocessing

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
    reader = _Reader(manifest, preprocessing, batch_size)
    yield from reader.read_in_threads(threads) if threads else map(reader.read, range(len(reader)))


class _Reader:
    """Reads batches by their number."""

    def __init__(self, manifest: Manifest, preprocessing: Preprocessing, batch_size: int) -> None:
        self._manifest = manifest
        self._preprocessing = preprocessing
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._manifest) // self._batch_size)

    def read(self, number: int) -> PixelBatch:
        return _put_together([self._read_row(row) for row in self._rows(number)])

    def read_in_threads(self, threads: int) -> Iterator[PixelBatch]:
        pool = ThreadPoolExecutor(threads, "pictures")
        reading: deque[list[Future[Pixels]]] = deque()
        try:
            for number in range(len(self)):
                reading.append([pool.submit(self._read_row, row) for row in self._rows(number)])
                if len(reading) > AHEAD:
                    yield _put_together([picture.result() for picture in reading.popleft()])
            while reading:
                yield _put_together([picture.result() for picture in reading.popleft()])
        finally:
            pool.shutdown(cancel_futures=True)

    def _rows(self, number: int) -> range:
        first = number * self._batch_size
        return range(first, min(first + self._batch_size, len(self._manifest)))

    def _read_row(self, row: int) -> Pixels:
        picture = read_picture(self._manifest.absolute_path(row), self._preprocessing.decoded_size)
        return self._preprocessing.pixels(picture)


def _put_together(pictures: list[Pixels]) -> PixelBatch:
    """One array; colours stay side by side, as pictures have them, which is also how networks are quickest."""
    return np.stack([picture.transpose(1, 2, 0) for picture in pictures]).transpose(0, 3, 1, 2)
