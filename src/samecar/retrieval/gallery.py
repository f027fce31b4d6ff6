"""The gallery: sightings of vehicles, bound to one model, searched by picture."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.errors import SamecarError
from samecar.files import as_text
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.adding import BATCH_SIZE, AddReport, Observer, PictureAdder, previews_of, thumbnail_of
from samecar.retrieval.agreement import NotedRuntime, check_runtime, note_runtime
from samecar.retrieval.answers import CANDIDATES, Answer, Found, answer_calibrated
from samecar.retrieval.binding import check_model, make_facts, open_model
from samecar.retrieval.engine import Engine
from samecar.retrieval.places import create_engine, open_engine
from samecar.retrieval.records import (
    EVERYTHING,
    UNREAD,
    Addition,
    Filter,
    GalleryFacts,
    Sighting,
    pool_embeddings,
)
from samecar.retrieval.retention import Retention, remove_older
from samecar.retrieval.vehicle_count import VehicleCount, count_vehicles

if TYPE_CHECKING:
    from samecar.calibration import Calibration
    from samecar.embedding.embeddings import Embeddings
    from samecar.embedding.encoder import Encoder
    from samecar.retrieval.incoming import Incoming

THUMBNAIL = 160
"""Longer side of thumbnails in pixels: enough to recognise a vehicle, on a phone and in a contact sheet."""

CALIBRATION_FILE = "calibration.json"
"""What similarities of the gallery's model mean, attached to it where that is known."""

WATCH_FILE = "watch-list.json"
"""The vehicles that are looked for in all that is added, attached to it where there are any."""

RECENT_SECONDS = 10
"""For so long a gallery's calibration, its watch list and its counts of pictures and vehicles are used again, which
another process may change: counts hardly change with a few pictures."""

Counts = tuple[dict[str, int], VehicleCount]
"""Pictures by camera, and vehicles."""


class Gallery:
    """Sightings of vehicles with their embeddings by one model; made by `create`, found again by `open`.

        >>> with Gallery.create("garage", samecar.bound_model("runs/first")) as gallery:
        ...     gallery.add(incoming_of_manifest(samecar.open_source("csv:crops.csv")), progress=True)
        ...     gallery.search([read_picture(Path("query.jpg"))])[0].found[0].similarity
        0.83

    It may be used from several threads, and is a context manager that closes itself.

    Args:
        engine: what keeps it.
        device: where its model runs: auto, cpu, cuda or cuda:N.
        name: its folder, or its name on a server.

    Attributes:
        engine: what keeps it.
        name: as it was given.
        observers: are told, one after the other, of what was just added.
    """

    def __init__(self, engine: Engine, device: str = "auto", name: str = "") -> None:
        self.engine = engine
        self.name = name
        self.observers: list[Observer] = []
        self._device = device
        self._lock = Lock()
        self._model: Encoder | None = None
        self._calibration: tuple[float, bytes | None, Calibration | None] | None = None
        self._counted: tuple[float, Counts] | None = None
        self._noted = False

    @classmethod
    def create(
        cls,
        name: str | Path,
        model: "Encoder",
        *,
        calibration: bytes | None = None,
        engine: str | None = None,
        thumbnail: int = THUMBNAIL,
        preview: int = 0,
        group: str | None = None,
        device: str = "auto",
    ) -> Self:
        """Makes an empty gallery, searched by 'exact'; another index is made of pictures, by `engine.rebuild`.

        Args:
            name: a folder; with `engine` the gallery's name on that server.
            model: whose embeddings it will hold; a copy is kept in it.
            calibration: what its similarities mean, as `samecar calibrate` writes it.
            engine: address of a server, such as postgresql://user@host/database; None for a folder.
            thumbnail: longer side of thumbnails in pixels; 0 keeps none.
            preview: longer side in pixels, up to 1,024, of larger pictures that are kept to compare; 0 keeps none.
            group: whose members may use a folder too; None lets its owner alone.
            device: where the model runs: auto, cpu, cuda or cuda:N.

        Raises:
            SamecarError: there is one already, the calibration is not of this model, or previews would be too large.
        """
        facts = make_facts(model, thumbnail, preview)
        files = make_files(model, calibration)
        name = as_text(name, "gallery", "its folder or name")
        return cls(create_engine(name, engine, facts, files, group), device, name)

    @classmethod
    def open(cls, name: str | Path, *, engine: str | None = None, device: str = "auto", partial: bool = False) -> Self:
        """Opens a gallery.

        Args:
            name: as in `create`.
            engine: as in `create`; of a gallery that is spread over servers the address of its coordinator.
            device: as in `create`.
            partial: of a gallery that is spread over servers, go on without those that cannot be reached, and say so.

        Raises:
            SamecarError: there is none, or it is damaged or cannot be reached.
        """
        name = as_text(name, "gallery", "its folder or name")
        return cls(open_engine(name, engine, partial=partial), device, name)

    def close(self) -> None:
        """Lets go of files and connections; may be called twice."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            facts = self.facts
        except Exception:  # of whichever kind: it is closed, damaged or out of reach
            return f"<Gallery {self.name}, closed or out of reach>"
        index = facts.index.kind
        return (
            f"<Gallery {self.name}: embeddings of {facts.size} numbers by model {facts.model}, searched by {index!r}>"
        )

    @property
    def facts(self) -> GalleryFacts:
        """What it is."""
        return self.engine.facts

    @property
    def model(self) -> "Encoder":
        """The model, read when it is first needed.

        Raises:
            SamecarError: the gallery holds no model, or another one than it says.
        """
        with self._lock:
            if self._model is None:
                self._model = open_model(self.engine, self._device)
            return self._model

    @property
    def runtime(self) -> str:
        """What embedded its first pictures, and the numbers it computed with; "" where nothing noted it."""
        noted = NotedRuntime.read(self.engine)
        return "" if noted is None else noted.runtime

    @property
    def calibration(self) -> "Calibration | None":
        """What similarities mean, as of a few seconds ago at most; None if nobody has said.

        Raises:
            SamecarError: it is damaged, or belongs to another model.
        """
        known = self._calibration
        if known is None or time.monotonic() - known[0] > RECENT_SECONDS:
            content = self.engine.attached(CALIBRATION_FILE)
            if known is not None and content == known[1]:
                calibration = known[2]
            else:
                calibration = None if content is None else _read_calibration(content, self.facts.model)
            self._calibration = known = time.monotonic(), content, calibration
        return known[2]

    def attach_calibration(self, content: bytes) -> None:
        """Keeps a calibration, as `samecar calibrate` writes it, with the gallery.

        Raises:
            SamecarError: it is damaged, or belongs to another model.
        """
        _read_calibration(content, self.facts.model)
        self.engine.attach(CALIBRATION_FILE, content)
        self._calibration = None

    @property
    def missing(self) -> list[str]:
        """A sentence for each server that `partial` let it go on without; none if nothing was missing so far."""
        return self.engine.missing()

    # what it holds

    def add(
        self,
        pictures: "Iterable[Incoming]",
        *,
        total: int | None = None,
        batch_size: int = BATCH_SIZE,
        workers: int | None = None,
        progress: Progress | bool | None = silent,
    ) -> AddReport:
        """Adds pictures; those that it holds already, by content, stay as they are.

        A batch that progress was told of is kept whatever happens afterwards. Pictures that cannot be read are named
        in the report and do not stop the others.

        Args:
            pictures: taken one batch after the other, so that there may be any number.
            total: how many there are, where it is known; for progress alone.
            batch_size: pictures that are embedded together and kept in one transaction.
            workers: threads that read and decode pictures; default: 4, as more gain little beside the model.
            progress: True shows a bar; a function is told of every batch that is kept.

        Raises:
            SamecarError: the engine cannot keep them.
        """
        adder = PictureAdder(self.engine, lambda: self.model, self._observe)
        with show_progress(progress) as report:
            return adder.add(pictures, total=total, batch_size=batch_size, workers=workers, progress=report)

    def add_embedded(
        self,
        embeddings: "Embeddings",
        *,
        defaults: Sighting = UNREAD,
        workers: int | None = None,
        progress: Progress | bool | None = silent,
    ) -> AddReport:
        """Adds pictures with the embeddings that `samecar embed` made of them; the pictures must still be there.

        Args:
            embeddings: by the gallery's own model, of any length.
            defaults: what is known of pictures where their rows do not say it; its content is not looked at.
            workers: threads that read and decode pictures; None as in `add`.
            progress: True shows a bar; a function is told of every batch that is kept.

        Raises:
            SamecarError: another model made the embeddings, or the engine cannot keep them.
        """
        from samecar.retrieval.incoming import complete, incoming_of_embeddings

        pictures = complete(incoming_of_embeddings(embeddings, self.facts.model), defaults)
        return self.add(pictures, total=len(embeddings), workers=workers, progress=progress)

    def add_pooled(
        self, sighting: Sighting, pictures: Sequence[Image.Image], seconds: Sequence[float] | None = None
    ) -> int:
        """Adds the pictures of one passage as one entry: the mean of their embeddings, brought to length one.

        Args:
            sighting: what is known of the passage; see `track_content` for its content.
            pictures: upright, in RGB, one or more, best first: the first becomes the thumbnail, and up to
                `MOST_PREVIEWS` the previews of a gallery that keeps them.
            seconds: of each picture, from the beginning of its film; None where there is no film.

        Returns:
            The entry's number; that of the entry with this content if there was one.

        Raises:
            SamecarError: there is no picture, or the engine cannot keep it.
        """
        if not pictures:
            raise SamecarError(f"track {sighting.track_id!r} has no pictures; a pooled entry needs one at least")
        if not self._noted:
            note_runtime(self.engine, self.model)
            self._noted = True
        parts = [
            self.model.embed(pictures[first : first + BATCH_SIZE]) for first in range(0, len(pictures), BATCH_SIZE)
        ]
        thumbnail = thumbnail_of(pictures[0], self.facts.thumbnail)
        previews = previews_of(pictures, self.facts, seconds)
        addition = Addition(sighting, pool_embeddings(np.concatenate(parts)), thumbnail, previews)
        is_new = not self.engine.known([sighting.content])
        number = self.engine.add([addition])[0]
        if is_new:
            self._observe([(number, addition)])
        return number

    def _observe(self, added: Sequence[tuple[int, Addition]]) -> None:
        for observer in self.observers:
            observer(added)

    def remove(self, allowed: Filter, *, progress: Progress | bool | None = silent) -> int:
        """Removes every entry that a filter allows; gives how many there were."""
        removed = 0
        with show_progress(progress) as report:
            while page := self.engine.listed(allowed):
                removed += self.engine.remove([entry.id for entry in page])
                report("removing", removed, removed)
        return removed

    def retain(
        self, older: float, *, dry_run: bool = False, full: bool = False, progress: Progress | bool | None = silent
    ) -> Retention:
        """Removes every entry that is older, with all that is kept of it; see `remove_older`.

        Args:
            older: seconds since 1970-01-01 UTC; `samecar.retrieval.retention.days_ago` gives it.
            dry_run: only counts what would be removed.
            full: has the gallery's files written anew too.
            progress: True shows a bar; a function is told how many entries were removed.

        Raises:
            SamecarError: the engine cannot remove them; what was removed until then stays so.
        """
        with show_progress(progress) as report:
            return remove_older(self.engine, older, dry_run=dry_run, full=full, progress=report)

    def check(self, progress: Progress | bool | None = silent) -> list[str]:
        """A sentence for each thing that is wrong, also with its model and calibration; nothing is changed."""
        findings: list[str] = []
        with show_progress(progress) as report:
            parts: tuple[Callable[[], object], ...] = (
                lambda: findings.extend(self.engine.check(report)),
                self._check_model,
                lambda: self.calibration,
            )
            for part in parts:
                try:
                    part()
                except SamecarError as error:
                    findings.append(str(error))
        return findings

    def _check_model(self) -> None:
        check_model(self.model, self.facts)
        check_runtime(self.engine, self.model)

    # what is asked of it

    def search(
        self,
        pictures: Sequence[Image.Image],
        top: int = 20,
        allowed: Filter = EVERYTHING,
        prior: float | None = None,
    ) -> list[Answer]:
        """Finds the most similar entries of each picture.

        Args:
            pictures: upright, in RGB.
            top: how many to find for each picture, 1 or more.
            allowed: which entries may be found; `top` are found if as many are allowed.
            prior: probability, before looking, that the gallery has the vehicle, for whoever knows it; default: 0.5,
                and the best must reach a threshold too, for the stated rate of false alarms.

        Raises:
            SamecarError: the prior is no probability, or the gallery has no calibration that could use it.
        """
        return self.search_embeddings(self.model.embed(pictures), top, allowed, prior)

    def search_views(
        self,
        pictures: Sequence[Image.Image],
        top: int = 20,
        allowed: Filter = EVERYTHING,
        prior: float | None = None,
    ) -> Answer:
        """Finds the entries most similar to one vehicle that several pictures show.

        The query is the mean of the pictures' embeddings, brought to length one.

        Args:
            pictures: upright, in RGB, one or more.
            top: how many to find, 1 or more.
            allowed: which entries may be found.
            prior: as in `search`.

        Raises:
            SamecarError: there is no picture, their embeddings cancel each other out, or as in `search`.
        """
        if not pictures:
            raise SamecarError("there is no picture to search with; give one view of the vehicle or more")
        return self.search_embeddings(pool_embeddings(self.model.embed(pictures))[None], top, allowed, prior)[0]

    def search_like(
        self,
        id: int,  # noqa: A002
        top: int = 20,
        allowed: Filter = EVERYTHING,
        prior: float | None = None,
    ) -> Answer:
        """Finds the entries most similar to a stored one, which does not find itself; arguments as in `search`.

        Raises:
            SamecarError: there is no such entry, or as in `search`.
        """
        others = replace(allowed, not_ids=(*allowed.not_ids, id))
        return self.search_embeddings(self.engine.embeddings([id]), top, others, prior)[0]

    def search_embeddings(
        self,
        matrix: NDArray[np.float32],
        top: int = 20,
        allowed: Filter = EVERYTHING,
        prior: float | None = None,
    ) -> list[Answer]:
        """Finds the most similar entries of each embedding.

        Args:
            matrix: (queries, size) of length one, by the gallery's own model.
            top: how many entries for each, 1 or more.
            allowed: which entries may be found.
            prior: as in `search`.

        Raises:
            SamecarError: as in `search`.
        """
        calibration = self.calibration
        self._check_prior(prior, calibration)
        every = self.engine.search(matrix, top if calibration is None else _number_of_candidates(top), allowed)
        entries = self.engine.entries(sorted({match.id for matches in every for match in matches}))
        present = [[match for match in matches if match.id in entries] for matches in every]  # some may be gone since
        if calibration is None:
            return [Answer([Found(entries[match.id], match.similarity, None) for match in row]) for row in present]
        searched, vehicles = self._count_searched(allowed)
        answers = [answer_calibrated(row, entries, calibration, vehicles, searched, prior) for row in present]
        return [replace(answer, found=answer.found[:top]) for answer in answers]

    def _check_prior(self, prior: float | None, calibration: "Calibration | None") -> None:
        if prior is None:
            return
        if calibration is None:
            raise SamecarError(
                f"prior is {prior}, and the gallery is not calibrated, so that it can say no probability; leave it "
                "out, or calibrate the gallery with `samecar gallery calibrate`"
            )
        from samecar.calibration.searching import check_prior

        check_prior(prior)

    def _count_searched(self, allowed: Filter) -> tuple[int, VehicleCount]:
        """Pictures by the cameras that a filter allows, and all vehicles, counted a few seconds ago at most.

        The filter's other conditions may allow fewer; the threshold for more is stricter, and so is the prior, so that
        the rate of false alarms stays below the stated one.
        """
        if self._counted is None or time.monotonic() - self._counted[0] > RECENT_SECONDS:
            summary = self.engine.summary()
            cameras = {camera.camera_id: camera.pictures for camera in summary.cameras}
            self._counted = time.monotonic(), (cameras, count_vehicles(self.engine, summary))
        cameras, vehicles = self._counted[1]
        searched = sum(
            pictures
            for camera, pictures in cameras.items()
            if (not allowed.cameras or camera in allowed.cameras) and camera not in allowed.not_cameras
        )
        return searched, vehicles


def _number_of_candidates(top: int) -> int:
    """How many entries a calibrated search finds; an engine refuses what is less than one."""
    return top if top < 1 else max(top, CANDIDATES)


def make_files(model: "Encoder", calibration: bytes | None) -> dict[str, bytes]:
    """What is attached to a gallery that is made now, by name.

    Args:
        model: whose embeddings it will hold.
        calibration: what its similarities mean, if that is known.

    Raises:
        SamecarError: the calibration is not of this model.
    """
    if calibration is None:
        return dict(model.files)
    _read_calibration(calibration, model.digest)
    return {**model.files, CALIBRATION_FILE: calibration}


def _read_calibration(content: bytes, model: str) -> "Calibration":
    from samecar.calibration import Calibration

    calibration = Calibration.from_json(content, CALIBRATION_FILE)
    calibration.check_model(model)
    return calibration
