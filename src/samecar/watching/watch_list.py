"""The watch list of a gallery: names of vehicles and embeddings of their pictures, kept with the gallery."""

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from samecar.data.pictures import decode_picture
from samecar.errors import SamecarError
from samecar.retrieval.gallery import WATCH_FILE, Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import picture_content
from samecar.retrieval.times import time_text

MOST_PICTURES = 10_000
"""Of a watch list: what is added is compared with each of them."""


class WatchedPicture(BaseModel):
    """A picture of a vehicle that is looked for; the picture itself is not kept.

    Attributes:
        vehicle: the name that it was given.
        file: what the picture's file is called.
        content: SHA-256 of its bytes, in hexadecimal.
        added: when, as ISO 8601 in UTC.
        embedding: numbers in half precision, in base 64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vehicle: str
    file: str
    content: str
    added: str
    embedding: str

    @property
    def vector(self) -> NDArray[np.float32]:
        """(size,) of length one but for rounding."""
        return np.frombuffer(base64.b64decode(self.embedding), "<f2").astype(np.float32)


class WatchList(BaseModel):
    """Vehicles that are looked for in all that is added to a gallery.

    Attributes:
        format: version of its form.
        model: digest of the model that made the embeddings.
        false_alarm_rate: share of passages of other vehicles that may raise an alarm; None takes that of the gallery's
            calibration.
        pictures: of all vehicles, in the order in which they were added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: str
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    pictures: tuple[WatchedPicture, ...] = ()

    @property
    def vehicles(self) -> dict[str, list[WatchedPicture]]:
        """The pictures of each vehicle, by its name."""
        found: dict[str, list[WatchedPicture]] = {}
        for picture in self.pictures:
            found.setdefault(picture.vehicle, []).append(picture)
        return found

    @property
    def matrix(self) -> NDArray[np.float32]:
        """(pictures, size) embeddings of length one."""
        stacked = np.stack([picture.vector for picture in self.pictures])
        unit: NDArray[np.float32] = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return unit

    def with_pictures(self, pictures: Sequence[WatchedPicture]) -> "WatchList":
        """The list with further pictures; one that a vehicle has already is left out.

        Raises:
            SamecarError: a picture is that of another vehicle already, or there are too many.
        """
        known = {picture.content: picture.vehicle for picture in self.pictures}
        new: list[WatchedPicture] = []
        for picture in pictures:
            owner = known.get(picture.content)
            if owner is None:
                known[picture.content] = picture.vehicle
                new.append(picture)
            elif owner != picture.vehicle:
                raise SamecarError(
                    f"{picture.file} is a picture of {owner!r} in the watch list already; give it one name, or remove "
                    "that one"
                )
        if len(self.pictures) + len(new) > MOST_PICTURES:
            raise SamecarError(
                f"the watch list would have {len(self.pictures) + len(new):,} pictures; at most {MOST_PICTURES:,} are "
                "allowed, so remove vehicles or give fewer pictures of each"
            )
        return self.model_copy(update={"pictures": (*self.pictures, *new)})

    def without(self, vehicle: str) -> "WatchList":
        """The list without a vehicle.

        Raises:
            SamecarError: it has none of this name.
        """
        if vehicle not in self.vehicles:
            names = ", ".join(repr(name) for name in self.vehicles) or "nobody"
            raise SamecarError(f"{vehicle!r} is not in the watch list, which has {names}")
        kept = tuple(picture for picture in self.pictures if picture.vehicle != vehicle)
        return self.model_copy(update={"pictures": kept})

    def with_rate(self, false_alarm_rate: float) -> "WatchList":
        """The list with another rate of false alarms.

        Raises:
            SamecarError: the rate is not between 0 and 1.
        """
        if not 0 < false_alarm_rate < 1:
            raise SamecarError(
                f"the rate of false alarms is {false_alarm_rate}; give a share above 0 and below 1, such as 0.001"
            )
        return self.model_copy(update={"false_alarm_rate": false_alarm_rate})


def read_watch_list(gallery: Gallery) -> WatchList:
    """A gallery's watch list, which may be empty.

    Raises:
        SamecarError: it is damaged, or its embeddings are by another model than the gallery's.
    """
    return parse_watch_list(gallery.engine.attached(WATCH_FILE), gallery.facts.model)


def parse_watch_list(content: bytes | None, model: str) -> WatchList:
    """The watch list of an attached file's bytes, for a gallery of a model; arguments and errors as above."""
    if content is None:
        return WatchList(model=model)
    try:
        found = WatchList.model_validate_json(content)
        if found.pictures:
            _ = found.matrix
    except (ValidationError, ValueError) as error:
        raise SamecarError(
            f"the gallery's {WATCH_FILE} is no watch list of this version of samecar; type `samecar watch remove --all "
            "--gallery GALLERY`, and name its vehicles anew with `samecar watch add`"
        ) from error
    if found.model != model:
        raise SamecarError(
            f"the watch list is of model {found.model}, and the gallery of {model}; type `samecar watch remove --all "
            "--gallery GALLERY`, and name its vehicles anew with `samecar watch add`"
        )
    return found


def change_watch_list(gallery: Gallery, change: Callable[[WatchList], WatchList]) -> WatchList:
    """Changes a gallery's watch list; services and cameras that are being watched know it within seconds.

    Args:
        gallery: that keeps it.
        change: makes the new list of the old one.

    Raises:
        SamecarError: the gallery is not calibrated, somebody else changed it at the same time, or as of `change`.
    """
    refuse_uncalibrated(gallery)
    new = change(read_watch_list(gallery))
    gallery.engine.attach(WATCH_FILE, new.model_dump_json(indent=1).encode())
    if read_watch_list(gallery) != new:
        raise SamecarError("somebody else changed the watch list at the same time; look at it, and try again")
    return new


def clear_watch_list(gallery: Gallery) -> None:
    """Removes every vehicle from a gallery's watch list, also from one that cannot be read."""
    gallery.engine.attach(WATCH_FILE, WatchList(model=gallery.facts.model).model_dump_json(indent=1).encode())


def refuse_uncalibrated(gallery: Gallery) -> None:
    """Refuses a gallery that cannot say when a vehicle was seen.

    Raises:
        SamecarError: it is not calibrated.
    """
    if gallery.calibration is None:
        name = gallery.name or "GALLERY"
        raise SamecarError(
            f"gallery {name} is not calibrated, so that nobody can say from which similarity on a vehicle counts as "
            f"seen; type `samecar calibrate RUN --data SOURCE` and then `samecar gallery calibrate {name} --run RUN`"
        )


def watch_pictures(gallery: Gallery, vehicle: str, paths: Sequence[Path]) -> list[WatchedPicture]:
    """Embeds pictures of a vehicle for a watch list.

    Args:
        gallery: whose model embeds them.
        vehicle: its name.
        paths: of the pictures.

    Raises:
        SamecarError: the name is empty, there is no picture, or one cannot be read.
    """
    if not vehicle.strip():
        raise SamecarError("the vehicle's name is empty; give one, such as its number in your files")
    if not paths:
        raise SamecarError(f"there is no picture of {vehicle!r}; give one or more")
    model = gallery.model
    contents = [Incoming(path).read() for path in paths]
    pictures = [
        decode_picture(content, path, model.preprocessing.decoded_size)
        for content, path in zip(contents, paths, strict=True)
    ]
    now = time_text(round(time.time()))
    return [
        WatchedPicture(
            vehicle=vehicle.strip(),
            file=path.name,
            content=picture_content(content),
            added=now,
            embedding=base64.b64encode(row.astype("<f2").tobytes()).decode(),
        )
        for path, content, row in zip(paths, contents, model.embed(pictures), strict=True)
    ]
