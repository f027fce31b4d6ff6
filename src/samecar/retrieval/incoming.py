"""What comes into a gallery, and where from: a folder, a source, standard input, or embeddings made before."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import TABLE_SUFFIXES, Manifest
from samecar.data.pictures import UnreadablePictureError
from samecar.data.sources.opening import open_source
from samecar.errors import SamecarError
from samecar.retrieval.records import Sighting, picture_content
from samecar.retrieval.times import parse_recorded_time

if TYPE_CHECKING:
    from samecar.embedding.embeddings import Embeddings

TEXTS = ("camera_id", "track_id", "vehicle_id")
"""What a sighting says in words; the manifest's columns have the same names."""

LABELS = ("view", "colour", "type")
"""Columns of a manifest that become labels; labels of other names come from lines on standard input or options."""


@dataclass(frozen=True, eq=False)
class Incoming:
    """A picture on its way into a gallery.

    Attributes:
        picture: its bytes, or the file that holds them, which is read when its turn comes.
        address: as in `Sighting`, like all that follow.
        camera_id: see there.
        time: see there.
        track_id: see there.
        vehicle_id: see there.
        labels: see there.
        embedding: (size,) float32 of length one, where the gallery's own model made it already.
    """

    picture: bytes | Path
    address: str = ""
    camera_id: str = ""
    time: float | None = None
    track_id: str = ""
    vehicle_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    embedding: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.address or (str(self.picture) if isinstance(self.picture, Path) else "without a name")

    def read(self) -> bytes:
        """The picture's bytes.

        Raises:
            UnreadablePictureError: the file cannot be read, or is a pipe or a device, which may never end.
        """
        if isinstance(self.picture, bytes):
            return self.picture
        try:
            if self.picture.exists() and not self.picture.is_file():
                raise UnreadablePictureError(self.name, "it is no file")
            return self.picture.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: the name holds a null byte
            raise UnreadablePictureError(self.name, (getattr(error, "strerror", None) or str(error)).lower()) from error

    def sighting(self, content: bytes) -> Sighting:
        """What a gallery will know of it, given its bytes."""
        return Sighting(
            content=picture_content(content),
            address=self.address,
            camera_id=self.camera_id,
            time=self.time,
            track_id=self.track_id,
            vehicle_id=self.vehicle_id,
            labels=self.labels,
        )


class Pictures(NamedTuple):
    """Pictures on their way into a gallery.

    Attributes:
        pictures: one after the other, so that there may be any number.
        total: how many, where it is known beforehand.
        warnings: what their source noticed.
    """

    pictures: Iterator[Incoming]
    total: int | None
    warnings: tuple[str, ...] = ()


def incoming_from(source: str, lines: Iterable[str], defaults: Incoming, model: str) -> Pictures:
    """Reads what `samecar gallery add` is given.

    Args:
        source: a folder, all of whose pictures are taken; a picture; a manifest, .csv or .parquet; `NAME:PATH` as
            everywhere; embeddings that `samecar embed` made, .npz; or `-` for standard input.
        lines: of standard input; see `incoming_of_lines`.
        defaults: camera, time, track, vehicle and labels of pictures that the source does not say them of.
        model: digest of the gallery's model, which embeddings must be of.

    Raises:
        SamecarError: there is no such source, it is not what its name says, or another model made its embeddings.
    """
    if source == "-":
        return Pictures((_completed(picture, defaults) for picture in incoming_of_lines(lines)), None)
    path = Path(source).expanduser()
    if path.suffix == ".npz":
        from samecar.embedding.embeddings import Embeddings

        embeddings = Embeddings.load(path)
        return Pictures((_completed(picture, defaults) for picture in incoming_of(embeddings, model)), len(embeddings))
    if path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES:
        return Pictures(iter([_completed(Incoming(path, address=str(path.absolute())), defaults)]), 1)
    name = "folder:" if path.is_dir() else "csv:" if path.is_file() else ""
    manifest = open_source(name + source)
    pictures = (_completed(picture, defaults) for picture in incoming_of_manifest(manifest))
    return Pictures(pictures, len(manifest), manifest.warnings)


def incoming_of_manifest(manifest: Manifest) -> Iterator[Incoming]:
    """The pictures of a manifest, whatever their split.

    Raises:
        SamecarError: a time cannot be understood.
    """
    for row in range(len(manifest)):
        path = manifest.absolute_path(row).absolute()
        yield _incoming(path, {name: str(manifest.column(name)[row]) for name in ("time", *TEXTS, *LABELS)}, str(path))


def incoming_of(embeddings: "Embeddings", model: str) -> Iterator[Incoming]:
    """The pictures of embeddings, with their embeddings; the pictures must still be where they were.

    Args:
        embeddings: as `samecar embed` makes them.
        model: digest of the gallery's model.

    Raises:
        SamecarError: another model made them.
    """
    refuse_other_model(embeddings.model, model)
    return _with_embeddings(embeddings)


def _with_embeddings(embeddings: "Embeddings") -> Iterator[Incoming]:
    lengths = np.linalg.norm(embeddings.matrix, axis=1, keepdims=True)  # (pictures, 1)
    matrix = (embeddings.matrix / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    for picture, embedding in zip(incoming_of_manifest(embeddings.manifest), matrix, strict=True):
        yield replace(picture, embedding=embedding)


def refuse_other_model(given: str, own: str) -> None:
    """Checks that embeddings come from the gallery's own model.

    Args:
        given: digest of the model that made the embeddings.
        own: digest of the gallery's model.

    Raises:
        SamecarError: they come from another one.
    """
    if given != own:
        raise SamecarError(
            f"the embeddings are of model {given}, the gallery's of {own}; such similarities mean nothing; "
            "embed the pictures with the gallery's own model"
        )


def incoming_of_lines(lines: Iterable[str]) -> Iterator[Incoming]:
    """Pictures named line by line; the first line says in which of three ways.

    - one path a line;
    - JSON: an object a line with `path`, and any of `camera_id`, `time`, `track_id`, `vehicle_id`, and `labels`, itself
      an object;
    - CSV: a header with `path`, and any of the same columns; `view`, `colour`, `type` and every column that is called
      `label:NAME` are labels.

    Raises:
        SamecarError: a line is not what the first one promised, or columns are parted by another sign than a comma.
    """
    remaining = iter(lines)
    first = next((line for line in remaining if line.strip()), "")
    first = first.removeprefix("\ufeff")  # which spreadsheets put before a table
    every = chain([first], remaining)
    if first.lstrip().startswith("{"):
        yield from _of_json(every)
    elif "path" in _columns(first, ","):
        yield from _of_csv(every)
    else:
        for sign in (";", "\t"):
            if "path" in _columns(first, sign):
                raise SamecarError(
                    f"standard input begins with a header whose columns are parted by {sign!r}; part them by commas"
                )
        for line in filter(None, (line.rstrip("\r\n") for line in every)):
            yield _incoming(Path(line), {}, "")


def _columns(line: str, sign: str) -> list[str]:
    try:
        return next(csv.reader([line.strip()], delimiter=sign))
    except csv.Error:  # a path may hold anything
        return []


def _of_json(lines: Iterable[str]) -> Iterator[Incoming]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number} of standard input"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise SamecarError(f"{place} is not JSON: {error}; give one object a line") from error
        if not isinstance(fields, dict) or not isinstance(fields.get("labels", {}), dict):
            raise SamecarError(f"{place} is not a JSON object with labels in an object of its own; mend it")
        labels = fields.pop("labels", {})
        yield _named({**fields, **{f"label:{name}": value for name, value in labels.items()}}, place)


def _of_csv(lines: Iterable[str]) -> Iterator[Incoming]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for fields in reader:
            place = f"line {reader.line_num} of standard input"
            if None in fields or None in fields.values():
                raise SamecarError(f"{place} has not as many values as the header names columns; mend it")
            yield _named(fields, place)
    except csv.Error as error:
        raise SamecarError(f"line {reader.reader.line_num} of standard input is not CSV: {error}") from error


def _named(fields: Mapping[str, Any], place: str) -> Incoming:
    """A picture of a line's fields; every value may be a text, a number or null."""
    known = ("path", "time", "split", *TEXTS, *LABELS)
    unknown = [name for name in fields if name not in known and not name.startswith("label:")]
    if unknown:
        raise SamecarError(f"{place} has an unknown field {unknown[0]!r}; known are {', '.join(known)} and label:NAME")
    texts = {name: "" if value is None else str(value) for name, value in fields.items()}
    path = texts.pop("path", "")
    if not path:
        raise SamecarError(f"{place} names no picture; give its path in the field 'path'")
    texts.pop("split", "")
    return _incoming(Path(path), texts, place)


def _incoming(path: Path, fields: Mapping[str, str], place: str) -> Incoming:
    try:
        time = parse_recorded_time(fields["time"]) if fields.get("time") else None
    except SamecarError as error:
        raise SamecarError(f"{place}: {error}") from error
    labels = {
        name.removeprefix("label:"): value
        for name, value in fields.items()
        if value and (name in LABELS or name.startswith("label:"))
    }
    return Incoming(
        path,
        address=str(path.absolute()),
        camera_id=fields.get("camera_id", ""),
        time=time,
        track_id=fields.get("track_id", ""),
        vehicle_id=fields.get("vehicle_id", ""),
        labels=labels,
    )


def _completed(picture: Incoming, defaults: Incoming) -> Incoming:
    return replace(
        picture,
        camera_id=picture.camera_id or defaults.camera_id,
        time=defaults.time if picture.time is None else picture.time,
        track_id=picture.track_id or defaults.track_id,
        vehicle_id=picture.vehicle_id or defaults.vehicle_id,
        labels={**defaults.labels, **picture.labels},
    )
