"""The gallery behind a service: its model is loaded after the start, many ask it at a time, and no write is lost."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.errors import SamecarError
from samecar.hardware import available_cores
from samecar.preprocessing import Pixels
from samecar.retrieval.agreement import check_runtime
from samecar.retrieval.answers import Answer
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import (
    Entry,
    Filter,
    Sighting,
    picture_content,
    pool_embeddings,
    views_content,
)
from samecar.serving.batching import Batcher, QueueFullError
from samecar.serving.counting import Counting
from samecar.serving.decoding import FEWEST_THREADS, LARGE_WAITING, Decoder, refuse_costly
from samecar.serving.errors import ServiceError, busy, invalid, not_found
from samecar.serving.loading import Loading
from samecar.serving.messages import EntryFilter
from samecar.serving.metrics import Metrics
from samecar.serving.originals import Originals
from samecar.serving.settings import ServiceSettings
from samecar.serving.uploads import Crop, View, Weight, read_upload, unreadable, weigh

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

SECONDS_FOR_OTHERS = 30
"""How long a change may wait for other writers before the server says so."""

LAST_SECONDS = 3.0
"""How long the gallery's server may be silent when the service ends."""


class Question(NamedTuple):
    """A search.

    Attributes:
        content: of the query; None where it is not known.
        embedding: (size,) of length one.
        top: how many.
        allowed: which entries may be found.
        prior: probability beforehand that the gallery has the vehicle, if the client states one.
    """

    content: str | None
    embedding: NDArray[np.float32]
    top: int
    allowed: Filter
    prior: float | None = None


class SearchOutcome(NamedTuple):
    """What a search found.

    Attributes:
        answer: the gallery's.
        judged: what was said on the query and entries, by their numbers.
    """

    answer: Answer
    judged: dict[int, bool]


class Service:
    """A gallery that many ask at a time.

    Args:
        gallery: an open one; `close` closes it.
        settings: limits.
        metrics: where batches and times are counted.
        processes: that serve together, of which this is one; None where it is alone.

    Attributes:
        loaded: done once `load` has loaded the gallery's model; holds the error where that failed.
        keeps_thumbnails: whether the gallery does; False until it is loaded.
        offers_previews: whether there may be larger pictures than thumbnails; likewise.
        originals: pictures where they lie, if they may be shown.
        counting: how much the gallery holds.
        decoder: of what clients send.
    """

    def __init__(
        self, gallery: Gallery, settings: ServiceSettings, metrics: Metrics, processes: Loading | None = None
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.processes = processes
        self.loaded: Future[None] = Future()
        if processes is not None:
            self.loaded.add_done_callback(processes.note)
        self.keeps_thumbnails = self.offers_previews = False
        self.originals = None if settings.originals is None else Originals(settings.originals, settings.bytes)
        self._gallery = gallery
        gallery.engine.limit_silence(settings.answer_seconds, settings.answer_seconds + SECONDS_FOR_OTHERS)
        self.decoder = Decoder(settings.pixels)
        self.counting = Counting(
            lambda: self.read(self.gallery.engine.summary), lambda: self.read(self.gallery.engine.label_values)
        )
        self._threads = ThreadPoolExecutor(max(FEWEST_THREADS, available_cores()), thread_name_prefix="reading")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._embedder = Batcher(
            self._embed,
            largest=settings.batch,
            waiting=settings.waiting,
            name="model",
            observe=metrics.batch.observe,
            observe_queue=metrics.queue.set,
            halves=True,
        )
        self._searcher = Batcher(self._search, largest=settings.batch, waiting=settings.waiting, name="search")
        self._adder = Batcher(self._add, largest=settings.batch, waiting=settings.waiting, name="adding")
        self._heavy_adder = Batcher(self._add_heavy, largest=1, waiting=LARGE_WAITING, name="heavy-adding")

    @property
    def gallery(self) -> Gallery:
        """The gallery.

        Raises:
            ServiceError: its model is not loaded yet, or could not be loaded.
        """
        if not self.loaded.done():
            state = "the gallery and its model are still being loaded; try again in a few seconds"
            raise ServiceError(503, "not_ready", state, retry_after=2)
        if self.loaded.exception() is not None:
            state = "the gallery cannot be opened; the service's log says why"
            raise ServiceError(503, "not_ready", state, retry_after=2)
        return self._gallery

    @property
    def is_ready(self) -> bool:
        """Whether the gallery's model is loaded."""
        return self.loaded.done() and self.loaded.exception() is None

    async def load(self) -> None:
        """Loads the model, in a thread; `loaded` holds the error where it cannot be loaded.

        Clients are answered from then on; the quickest runtime takes over when it is found.
        """
        try:
            await self.read(self._search_once)
        except Exception as error:  # whatever it is, clients must not wait for ever
            self.loaded.set_exception(error)
        else:
            self.loaded.set_result(None)
            await self.read(self._gallery.model.quicken)

    def prepare_to_end(self) -> None:
        """Waits no longer for a server that has fallen silent."""
        self._gallery.engine.limit_silence(LAST_SECONDS, LAST_SECONDS)

    async def close(self) -> None:
        """Finishes what was begun and closes the gallery."""
        self.prepare_to_end()
        await self.decoder.close()
        for batcher in (self._heavy_adder, self._embedder, self._searcher, self._adder):
            await batcher.close()
        self._writer.shutdown()
        self._threads.shutdown()
        self._gallery.close()

    async def read(self, work: Callable[Arguments, Value], *args: Arguments.args, **more: Arguments.kwargs) -> Value:
        """Does what only reads, in one of several threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **more))

    async def write(self, work: Callable[Arguments, Value], *args: Arguments.args, **more: Arguments.kwargs) -> Value:
        """Does what changes the gallery, one after the other, and to its end even if nobody waits for it any more.

        Raises:
            ServiceError: the gallery is only read.
        """
        self.refuse_if_read_only()
        running = asyncio.get_running_loop().run_in_executor(self._writer, lambda: work(*args, **more))
        value = await asyncio.shield(running)
        self.counting.note_change()
        return value

    async def entry(self, number: int) -> Entry:
        """An entry.

        Raises:
            ServiceError: there is none of this number.
        """
        entries = await self.read(self.gallery.engine.entries, [number])
        if number not in entries:
            raise not_found(f"entry {number}")
        return entries[number]

    def number_of_results(self, asked: EntryFilter, name: str) -> int:
        """How many results a client asks for; where it names no number, no more than are allowed.

        Args:
            asked: what it asks.
            name: of the field that says how many.

        Raises:
            ServiceError: it is more than are allowed.
        """
        number: int = getattr(asked, name)
        if number <= self.settings.top:
            return number
        if name in asked.model_fields_set:
            raise invalid(f"{name}: {number} are asked for; at most {self.settings.top} are given at a time")
        return self.settings.top

    async def refuse_prior(self, prior: float | None) -> None:
        """Refuses a prior where the gallery has no calibration that could use it.

        Raises:
            ServiceError: so it is.
        """
        if prior is not None and await self.read(lambda: self.gallery.calibration) is None:
            sentence = "prior: the gallery is not calibrated, so that it can say no probability; leave it out"
            raise ServiceError(409, "not_calibrated", sentence)

    def refuse_if_read_only(self) -> None:
        """Refuses to change anything where the service may not.

        Raises:
            ServiceError: it may not.
        """
        if self.settings.read_only:
            raise ServiceError(403, "read_only", "this service only searches; it was started with --read-only")

    async def prepare(self, file: BinaryIO, crop: Crop | None) -> tuple[str, Pixels]:
        """Decodes a picture for the model; gives its content too.

        Raises:
            ServiceError: it is too large, too much work or no picture, or too many heavy ones are waiting.
        """
        model = self.gallery.model
        least = model.preprocessing.decoded_size
        return await self.decoder.decode(
            file, crop, least, lambda upload: (upload.content, model.prepare(upload.picture))
        )

    async def embed_views(self, views: Sequence[View], prior: float | None) -> tuple[str, NDArray[np.float32]]:
        """The content and the embedding, (size,), of views of one vehicle, embedded beside what others ask now.

        They are decoded one after the other, so that a client with many keeps no more threads than one with one.

        Raises:
            ServiceError: one is too large, too much work or no picture, they cancel each other out, too many are
                waiting, or a prior is stated that cannot be used.
        """
        prepared = [await self.prepare(view.file, view.crop) for view in views]
        await self.refuse_prior(prior)
        try:
            embeddings = await asyncio.gather(*(self._embedder(picture) for _, picture in prepared))
        except QueueFullError as error:
            raise busy() from error
        content = views_content([content for content, _ in prepared])
        if len(embeddings) == 1:
            return content, embeddings[0]
        try:
            return content, pool_embeddings(np.stack(embeddings))
        except SamecarError as error:
            raise invalid(f"picture: {error}") from error

    async def search_embedding(self, question: Question) -> SearchOutcome:
        """Searches with an embedding by the gallery's model, together with whoever else searches now.

        Raises:
            ServiceError: too many are waiting.
        """
        try:
            return await self._searcher(question)
        except QueueFullError as error:
            raise busy() from error

    async def search_like(self, entry: Entry, top: int, allowed: Filter, prior: float | None) -> SearchOutcome:
        """Searches from an entry.

        Raises:
            ServiceError: a prior is stated that cannot be used.
        """
        await self.refuse_prior(prior)

        def search() -> SearchOutcome:
            answer = self.gallery.search_like(entry.id, top, allowed, prior)
            return SearchOutcome(answer, self._judgements(entry.sighting.content))

        return await self.read(search)

    async def add(self, file: BinaryIO, known: Sighting) -> tuple[int, bool]:
        """Adds a picture; its entry's number, and whether it is new.

        Args:
            file: the picture.
            known: what is known of it.

        Raises:
            ServiceError: the gallery is only read, the picture is too large, too much work or unreadable, or too many
                are waiting.
        """
        self.refuse_if_read_only()
        weight = await self.read(weigh, file, self.settings.pixels)
        refuse_costly(weight, self._heavy_adder)
        try:
            if weight is Weight.LIGHT:
                number, new = await self._adder(Incoming(await self.read(read_upload, file), known))
            else:
                number, new = await self._heavy_adder((file, known))
        except QueueFullError as error:
            raise busy() from error
        self.counting.note_change()
        if number is None:
            raise unreadable("it is truncated or corrupt")
        return number, new

    def _search_once(self) -> None:
        """Does once what every search does, so that the first client does not wait for it."""
        taken = self._gallery.model.preprocessing
        blank = Image.new("RGB", (taken.width, taken.height))
        self._gallery.search([blank], 1)
        check_runtime(self._gallery.engine, self._gallery.model)
        facts = self._gallery.facts
        self.keeps_thumbnails = facts.thumbnail > 0
        self.offers_previews = facts.preview > 0 or self.originals is not None

    def _embed(self, pictures: list[Pixels]) -> Sequence[NDArray[np.float32]]:
        began = time.perf_counter()
        embeddings = self.gallery.model.embed_prepared(pictures)  # (pictures, size)
        self.metrics.embedding.inc(time.perf_counter() - began)
        return list(embeddings)

    def _search(self, questions: list[Question]) -> Sequence[SearchOutcome]:
        """Searches together where as many of the same entries are asked for."""
        answers: dict[int, Answer] = {}
        groups: list[tuple[tuple[int, Filter, float | None], list[int]]] = []
        for place, question in enumerate(questions):
            asked = question.top, question.allowed, question.prior
            for known, places in groups:
                if known == asked:
                    places.append(place)
                    break
            else:
                groups.append((asked, [place]))
        for asked, places in groups:
            matrix = np.stack([questions[place].embedding for place in places])  # (places, size)
            answers.update(zip(places, self.gallery.search_embeddings(matrix, *asked), strict=True))
        return [
            SearchOutcome(answers[place], self._judgements(question.content))
            for place, question in enumerate(questions)
        ]

    def _judgements(self, content: str | None) -> dict[int, bool]:
        if content is None:
            return {}
        return {judgement.entry: judgement.same for judgement in self.gallery.engine.judgements(content)}

    def _add(self, pictures: list[Incoming]) -> Sequence[tuple[int | None, bool]]:
        """Adds pictures; for each its number, None where it is no picture, and whether it is new."""
        engine = self.gallery.engine
        contents = [picture_content(incoming.read()) for incoming in pictures]
        before = engine.known(contents)
        self.gallery.add(pictures, total=len(pictures))
        after = engine.known(contents)
        first = {content: place for place, content in reversed(list(enumerate(contents)))}
        return [
            (after.get(content), content not in before and content in after and first[content] == place)
            for place, content in enumerate(contents)
        ]

    def _add_heavy(self, pictures: list[tuple[BinaryIO, Sighting]]) -> Sequence[tuple[int | None, bool]]:
        """The same of pictures whose files are read only now."""
        return self._add([Incoming(read_upload(file), known) for file, known in pictures])
