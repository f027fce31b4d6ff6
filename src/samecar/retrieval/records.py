"""What a gallery holds, and what is asked of it: plain values that every engine speaks."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from samecar.errors import SamecarError
from samecar.labels import is_placeholder
from samecar.retrieval.times import time_text

LENGTH_TOLERANCE = 1e-3
"""How far from 1 the length of an embedding may be; half precision alone takes it up to 0.0005 away."""

LARGEST_SIZE = 1 << 16
"""Numbers that an embedding can have; those of several fused networks have a few thousand."""


LARGEST_PREVIEW = 1024
"""Longer side in pixels that a gallery keeps of a picture at most: what a screen shows of one of two side by side."""

MOST_PREVIEWS = 8
"""Pictures that a gallery keeps of a pooled track at most, however many its embedding is made of."""


@dataclass(frozen=True)
class Sighting:
    """A picture of a vehicle, or the pooled pictures of one track, and what is known about it.

    Attributes:
        content: SHA-256 of the picture's bytes, in hexadecimal; of a track, of its pictures' digests. A gallery holds
            each content once.
        address: where the picture lies: a path or an URL; "" where it lies nowhere.
        camera_id: "" where it is not known, as in all texts below.
        time: seconds since 1970-01-01 UTC, in the years 1 to 9999; None where it is not known.
        track_id: pictures of one passage by one camera.
        vehicle_id: the vehicle, if somebody knows it; a word that says that nobody does, such as -1, becomes "".
        labels: free texts by name, such as a lane or a note.

    Raises:
        SamecarError: the time is no number, or lies in no such year.
    """

    content: str
    address: str = ""
    camera_id: str = ""
    time: float | None = None
    track_id: str = ""
    vehicle_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.time is not None:
            time_text(self.time)
        if is_placeholder(self.vehicle_id):
            object.__setattr__(self, "vehicle_id", "")

    @property
    def pooled(self) -> bool:
        """Whether it is of a film's vehicle: its track, or the first of its crops, is named by its content."""
        mark = self.content[:CONTENT_MARK]
        return self.track_id.endswith(f"/{mark}") or self.address.endswith(f"-{mark}{FIRST_OF_TRACK}")

    @property
    def known(self) -> dict[str, Any]:
        """What is known beside the content, by the names in `KNOWN`."""
        return {name: getattr(self, name) for name in KNOWN}


KNOWN = tuple(known.name for known in fields(Sighting) if known.name != "content")
"""What can be known of a picture beside its content: the one list that engines, sources and messages go by."""

TEXTS = tuple(
    known.name for known in fields(Sighting) if known.type is str and known.name not in ("content", "address")
)
"""Of these, but for the address, what a source says in a word; a column of a manifest has the same name."""

UNREAD = Sighting("")
"""Nothing is known, and the content will be when the picture has been read."""


@dataclass(frozen=True)
class Entry:
    """A sighting in a gallery, by the number that the gallery gave it; numbers are never used again.

    Attributes:
        id: its number.
        sighting: what is known.
        added: when it was added, in seconds since 1970-01-01 UTC; of entries of before the day on which their gallery
            began to keep this; None while it does not keep it. Entries are compared without it.
    """

    id: int
    sighting: Sighting
    added: float | None = field(default=None, compare=False)

    @property
    def seen(self) -> float | None:
        """From when its age counts: the time of the sighting or, where that is not known, when it was added."""
        return self.added if self.sighting.time is None else self.sighting.time


class Preview(NamedTuple):
    """A larger picture of an entry, or one of several of a pooled track.

    Attributes:
        picture: a JPEG.
        seconds: from the beginning of the film that it was taken from; None where there is no film.
    """

    picture: bytes
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Addition:
    """What is added at a time.

    Attributes:
        sighting: what is known.
        embedding: (size,) float32 of length one.
        thumbnail: a small JPEG, if the gallery keeps them.
        previews: larger ones, the best first, if the gallery keeps them.
        added: when it was added to the gallery that it is copied from; None means now.
    """

    sighting: Sighting
    embedding: NDArray[np.float32]
    thumbnail: bytes | None = None
    previews: tuple[Preview, ...] = ()
    added: float | None = None


@dataclass(frozen=True)
class Filter:
    """Which entries may be found; every condition that is given must hold.

    Attributes:
        cameras: only of these cameras; empty allows all.
        not_cameras: not of these cameras.
        after: only at this time or later, such as 2024-05-01T12:30 UTC; entries without a time are left out.
        before: only earlier than this time; entries without a time are left out.
        labels: only with these values of labels; of a label with several values, any of them.
        not_ids: none of these entries.
        types: only vehicles of these types, as the label `type` says.
        colours: only vehicles of these colours, as the label `colour` says.
        older: only seen earlier than this time or, where it is not known when they were seen, added earlier.
    """

    cameras: tuple[str, ...] = ()
    not_cameras: tuple[str, ...] = ()
    after: float | None = None
    before: float | None = None
    labels: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    not_ids: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()

    @property
    def label_choices(self) -> list[tuple[str, tuple[str, ...]]]:
        """The names of labels that must have one of some values, with these; a name may stand there twice."""
        stated = [(name, (value,) if isinstance(value, str) else value) for name, value in self.labels.items()]
        return [choice for choice in (*stated, ("type", self.types), ("colour", self.colours)) if choice[1]]

    older: float | None = None

    def allows(self, entry: Entry) -> bool:
        """Whether an entry may be found: the definition that engines' own ways of filtering are held to."""
        sighting = entry.sighting
        if self.after is not None and (sighting.time is None or sighting.time < self.after):
            return False
        if self.before is not None and (sighting.time is None or sighting.time >= self.before):
            return False
        if self.older is not None and (entry.seen is None or entry.seen >= self.older):
            return False
        return (
            (not self.cameras or sighting.camera_id in self.cameras)
            and sighting.camera_id not in self.not_cameras
            and all(sighting.labels.get(name) in values for name, values in self.label_choices)
            and entry.id not in self.not_ids
        )


EVERYTHING = Filter()


class Match(NamedTuple):
    """An entry that was found: its number, and the cosine of the angle between both embeddings, -1 to 1."""

    id: int
    similarity: float


@dataclass(frozen=True)
class Judgement:
    """Somebody's word on whether a query and an entry show the same vehicle.

    Attributes:
        query: content of the query; of a stored one, that of its sighting.
        entry: number of the entry that it was compared with.
        same: the word.
        query_picture: the query as JPEG where it is not in the gallery itself, so that the label can be exported; None
            also where it was not asked for.
    """

    query: str
    entry: int
    same: bool
    query_picture: bytes | None = None


LISTED_VALUES = 50
"""Values of a label up to which they are listed, and names of labels; a label with more is a text, such as a note."""


class LabelValue(NamedTuple):
    """How many entries have a label with a value."""

    value: str
    pictures: int


def group_values(rows: Iterable[tuple[str, str | None, int | None]]) -> dict[str, list[LabelValue]]:
    """Values of labels by name, as engines give them.

    Args:
        rows: name, value and number of entries; a name without a value has more than are listed.
    """
    found: dict[str, list[LabelValue]] = {}
    for name, value, pictures in rows:
        values = found.setdefault(name, [])
        if value is not None and pictures is not None:
            values.append(LabelValue(value, pictures))
    return {name: sorted(found[name], key=lambda one: (-one.pictures, one.value)) for name in sorted(found)}


class CameraSummary(NamedTuple):
    """How much a gallery holds of one camera, and from when to when."""

    camera_id: str
    pictures: int
    first: float | None
    last: float | None


@dataclass(frozen=True)
class Summary:
    """How much a gallery holds.

    Attributes:
        pictures: number of entries.
        vehicles: number of different vehicles that are known by name.
        judgements: number of judgements.
        cameras: one for each camera, in the order of their names.
    """

    pictures: int
    vehicles: int
    judgements: int
    cameras: tuple[CameraSummary, ...]


OUTGROWN = 2
"""Times as many pictures as an approximate index was made of, beyond which it should be made anew."""


class IndexSettings(BaseModel):
    """How embeddings are searched.

    Attributes:
        kind: 'exact' looks at every embedding in half precision; what else there is depends on the engine.
        recall: share of the ten nearest by exact search that this index finds, as measured when it was built; None
            where nothing was measured, which is so for 'exact'.
        measured_on: number of stored embeddings that were the queries of that measurement.
        pictures: number of entries that an approximate index was made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = "exact"
    recall: float | None = None
    measured_on: int = 0
    pictures: int = 0

    def fault(self, pictures: int) -> str | None:
        """Why it should be made anew in a gallery of so many pictures; None if there is no reason."""
        if self.kind == "exact":
            return None
        if self.recall is None:
            return "how many of the nearest it finds was not measured"
        if pictures > OUTGROWN * self.pictures:
            return f"it was made of {self.pictures:,} pictures, and the gallery holds {pictures:,}"
        return None


class GalleryFacts(BaseModel):
    """What a gallery is, fixed when it is made; only the index can be made anew.

    Attributes:
        format: version of the gallery's own form.
        model: digest of the model whose embeddings it holds.
        size: numbers in an embedding.
        thumbnail: longer side of thumbnails in pixels; 0 keeps none.
        preview: longer side of larger pictures in pixels; 0 keeps none.
        created: when, as ISO 8601 in UTC.
        index: how it is searched.
        description: digest of the file that describes the model; "" in galleries of before, which do not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    model: str
    size: int = Field(ge=1, le=LARGEST_SIZE)
    thumbnail: int = Field(ge=0)
    preview: int = Field(default=0, ge=0, le=LARGEST_PREVIEW)
    created: str
    index: IndexSettings = IndexSettings()
    description: str = ""


CONTENT_MARK = 12
"""Digits of a content that tell it from others in the name of a pooled track and of its pictures' files."""

FIRST_OF_TRACK = "-1.png"
"""Ends the name of the best of a pooled track's crops, to which its entry leads; the others have further numbers."""


def picture_content(picture: bytes) -> str:
    """The content of a picture: SHA-256 of its file, in hexadecimal."""
    return hashlib.sha256(picture).hexdigest()


def crop_content(crop: NDArray[np.uint8]) -> str:
    """The content of a crop of a film, which may have no file: SHA-256 of its shape and pixels.

    Args:
        crop: (height, width, 3): red, green, blue.
    """
    return picture_content(str(crop.shape).encode() + crop.tobytes())


def track_content(contents: Sequence[str]) -> str:
    """The content of a pooled track: SHA-256 of its pictures' digests, whose order does not matter."""
    return hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()


def views_content(contents: Sequence[str]) -> str:
    """The content of a query: its picture's, or that of a track where several views of one vehicle are the query."""
    return contents[0] if len(contents) == 1 else track_content(contents)


def prepare_embeddings(additions: Sequence[Addition], size: int) -> NDArray[np.float16]:
    """The embeddings of additions as galleries keep them.

    Args:
        additions: what is added.
        size: numbers in an embedding of the gallery.

    Returns:
        (additions, size) in half precision.

    Raises:
        SamecarError: an embedding has another size, is not finite or not of length one.
    """
    matrix = np.empty((len(additions), size), np.float16)
    for row, addition in enumerate(additions):
        name = addition.sighting.address or addition.sighting.content
        matrix[row] = _check_vectors(np.asarray(addition.embedding)[None], size, f"the embedding of {name}")[0]
    return matrix


def prepare_queries(queries: ArrayLike, size: int, top: int) -> NDArray[np.float32]:
    """Queries as engines search with them.

    Args:
        queries: (queries, size) of length one.
        size: numbers in an embedding of the gallery.
        top: how many results each is to have.

    Returns:
        (queries, size) contiguous.

    Raises:
        SamecarError: they have another size, are not finite or not of length one, or `top` is less than 1.
    """
    if top < 1:
        raise SamecarError(f"{top} results were asked for; ask for 1 or more")
    return _check_vectors(np.asarray(queries), size, "a query")


def pool_embeddings(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of embeddings of one vehicle, brought to length one; (size,).

    Args:
        matrix: (pictures, size) of length one, one picture or more.

    Raises:
        SamecarError: they cancel each other out.
    """
    mean = matrix.mean(axis=0)
    length = np.linalg.norm(mean)
    if length < np.finfo(np.float32).eps:
        raise SamecarError(
            f"the embeddings of {len(matrix)} pictures cancel each other out; give pictures that show the same vehicle"
        )
    pooled: NDArray[np.float32] = (mean / length).astype(np.float32)
    return pooled


def _check_vectors(matrix: NDArray[np.float32], size: int, name: str) -> NDArray[np.float32]:
    if matrix.ndim != 2 or matrix.shape[1] != size:
        numbers = " × ".join(str(length) for length in matrix.shape[1:])
        raise SamecarError(f"{name} has {numbers or 'no'} numbers, the gallery's have {size}; embed with its own model")
    if not np.isfinite(matrix).all():
        raise SamecarError(f"{name} holds numbers that are not finite; look for what went wrong when it was embedded")
    with np.errstate(over="ignore"):  # a number may be so large that its square is not finite
        lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    if (abs(lengths - 1) > LENGTH_TOLERANCE).any():
        wrong = lengths[abs(lengths - 1).argmax()]
        raise SamecarError(f"{name} has length {wrong:.4g}; divide it by its length, as galleries hold length one")
    return np.ascontiguousarray(matrix, np.float32)
