"""Adding pictures: told apart by content, embedded in batches, and kept batch by batch."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from samecar.data.pictures import UnreadablePictureError, decode_picture
from samecar.errors import SamecarError
from samecar.preprocessing import Pixels
from samecar.progress import Progress, silent
from samecar.retrieval.agreement import note_runtime
from samecar.retrieval.engine import Engine
from samecar.retrieval.records import Addition, Sighting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from samecar.embedding.encoder import Encoder
    from samecar.retrieval.incoming import Incoming

Value = TypeVar("Value")

BATCH_SIZE = 32
"""Pictures that are embedded together, and kept in one transaction."""

Observer = Callable[[Sequence[tuple[int, Addition]]], None]
"""Is told of what was just added: numbers that the gallery gave, and what was added; never of what it held already."""

THREADS = 4
"""That read and decode pictures; more gain little beside the model."""

THUMBNAIL_QUALITY = 85
"""Of JPEG: no trace of compression at a look, and some 5 kB at 160 pixels."""


@dataclass
class AddReport:
    """What became of the pictures.

    Attributes:
        added: number of pictures that are new.
        known: number of pictures that the gallery held already, or that came twice.
        unreadable: a sentence for each picture that could not be read.
    """

    added: int = 0
    known: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Pictures in all."""
        return self.added + self.known + len(self.unreadable)


@dataclass(frozen=True)
class _Read:
    incoming: "Incoming"
    content: bytes
    sighting: Sighting


@dataclass(frozen=True)
class _Prepared:
    sighting: Sighting
    thumbnail: bytes | None
    pixels: Pixels | None
    embedding: "NDArray[np.float32] | None"


class PictureAdder:
    """Adds pictures to an engine; memory holds two batches of them at a time.

    Args:
        engine: where they are kept.
        model: gives the gallery's model; asked only when a picture is new.
        observe: is told of each batch that was kept.
    """

    def __init__(self, engine: Engine, model: "Callable[[], Encoder]", observe: Observer) -> None:
        self._engine = engine
        self._model = model
        self._observe = observe
        self._thumbnail = engine.facts.thumbnail
        self._report = AddReport()
        self._in_flight: set[str] = set()
        self._noted = ""

    def add(
        self,
        pictures: "Iterable[Incoming]",
        *,
        total: int | None = None,
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> AddReport:
        """Adds pictures; when it is interrupted, all batches that progress was told of are kept.

        Args:
            pictures: taken one batch after the other.
            total: how many there are, where it is known.
            batch_size: pictures that are embedded together.
            workers: threads that read and decode pictures; None takes `THREADS`.
            progress: is told of every batch that is kept.
        """
        pool = ThreadPoolExecutor(workers or THREADS, "pictures")
        try:
            before: list[Future[_Prepared]] | None = None
            for batch in split_batches(pictures, batch_size):
                begun = self._begin(batch, pool)
                if before is not None:
                    self._finish(before)
                    progress("adding", self._report.done, total or self._report.done)
                before = begun
            if before is not None:
                self._finish(before)
                progress("adding", self._report.done, total or self._report.done)
        finally:
            pool.shutdown(cancel_futures=True)
        return self._report

    def _begin(self, batch: "Sequence[Incoming]", pool: ThreadPoolExecutor) -> "list[Future[_Prepared]]":
        """Reads a batch, and starts decoding what the gallery does not hold."""
        readings = [pool.submit(_read_picture, incoming) for incoming in batch]
        read = [picture for picture in map(self._take_result, readings) if picture is not None]
        known = self._engine.known([picture.sighting.content for picture in read])
        new = [picture for picture in read if picture.sighting.content not in known]
        self._report.known += len(read) - len(new)
        return [pool.submit(self._prepare, picture) for picture in new]

    def _finish(self, batch: "Sequence[Future[_Prepared]]") -> None:
        """Embeds and keeps what is new of a batch."""
        prepared: dict[str, _Prepared] = {}
        for future in batch:
            picture = self._take_result(future)
            if picture is None:
                continue
            if picture.sighting.content in prepared or picture.sighting.content in self._in_flight:
                self._report.known += 1
            else:
                prepared[picture.sighting.content] = picture
        additions = self._make_additions(list(prepared.values()))
        numbers = self._engine.add(additions)
        self._observe(list(zip(numbers, additions, strict=True)))
        self._report.added += len(prepared)
        self._in_flight = set(prepared)  # the next batch was compared with the gallery before these were in it

    def _prepare(self, picture: _Read) -> _Prepared:
        model = self._model()
        size = model.preprocessing.decoded_size
        decoded = decode_picture(picture.content, picture.incoming.name, size)
        shown = decoded
        if self._thumbnail > min(size):  # what the model sees may be smaller than the thumbnail
            shown = decode_picture(picture.content, picture.incoming.name, (self._thumbnail, self._thumbnail))
        embedding = picture.incoming.embedding
        return _Prepared(
            picture.sighting,
            thumbnail_of(shown, self._thumbnail),
            model.prepare(decoded) if embedding is None else None,
            embedding,
        )

    def _make_additions(self, prepared: Sequence[_Prepared]) -> list[Addition]:
        pixels = [picture.pixels for picture in prepared if picture.pixels is not None]
        embedded = iter(self._embed(pixels)) if pixels else iter(())
        return [
            Addition(
                picture.sighting,
                next(embedded) if picture.embedding is None else picture.embedding,
                picture.thumbnail,
            )
            for picture in prepared
        ]

    def _embed(self, pixels: "Sequence[Pixels]") -> "NDArray[np.float32]":
        from samecar.embedding.encoder import MANY

        model = self._model()
        if self._report.added >= MANY:
            model.quicken()
        if model.runtime.name != self._noted:
            note_runtime(self._engine, model)
            self._noted = model.runtime.name
        return model.embed_prepared(pixels)

    def _take_result(self, future: "Future[Value]") -> Value | None:
        """What a thread made of a picture; None, noted in the report, if it cannot be read."""
        try:
            return future.result()
        except UnreadablePictureError as error:
            self._report.unreadable.append(str(error))
            return None


def thumbnail_of(picture: Image.Image, side: int) -> bytes | None:
    """A small JPEG.

    Args:
        picture: in RGB; it is left as it is.
        side: the longer side in pixels, which smaller pictures are not brought up to; 0 makes none.
    """
    return shrunk_jpeg(picture, side, THUMBNAIL_QUALITY) if side else None


def shrunk_jpeg(picture: Image.Image, side: int, quality: int) -> bytes:
    """A JPEG whose longer side has no more pixels than this; the picture, in RGB, is left as it is."""
    small = picture.copy()
    small.thumbnail((side, side))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=quality)
    return content.getvalue()


def _read_picture(incoming: "Incoming") -> _Read:
    content = incoming.read()
    return _Read(incoming, content, incoming.sighting(content))


def refuse_additions(lacking: int, missing: int) -> None:
    """Refuses to go on where pictures were added since it was counted how many are missing.

    Args:
        lacking: pictures that have no embedding now.
        missing: how many had none, and are known to be missing.

    Raises:
        SamecarError: more are lacking.
    """
    if lacking > missing:
        raise SamecarError(
            f"{lacking - missing:,} pictures were added meanwhile; end what adds them, and give the command again"
        )


def split_batches(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """The items, so many at a time; the last may be fewer."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
