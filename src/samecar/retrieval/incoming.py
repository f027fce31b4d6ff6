"""What comes into a gallery, and where from: a folder, a source, standard input, or embeddings made before."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import COLUMNS, Manifest
from samecar.data.pictures import UnreadablePictureError
from samecar.data.placeholders import describe_placeholders
from samecar.data.sources.opening import open_source
from samecar.data.tables import (
    TABLE_SUFFIXES,
    find_separator,
    header_names,
    known_name,
    path_on_disk,
    read_values,
    rearm,
)
from samecar.errors import SamecarError
from samecar.files import expand_home, parse_json, read_whole
from samecar.retrieval.records import TEXTS, UNREAD, Sighting, picture_content
from samecar.retrieval.times import parse_recorded_time

if TYPE_CHECKING:
    from samecar.embedding.embeddings import Embeddings

LABELS = ("view", "colour", "type")
"""Columns of a manifest that become labels; labels of other names come from lines on standard input or options."""

FIELDS = ("path", "time", "split", *TEXTS, *LABELS)
"""What a line on standard input may say, beside labels of other names."""


@dataclass(frozen=True, eq=False)
class Incoming:
    """A picture on its way into a gallery.

    Attributes:
        picture: its bytes, or the file that holds them, which is read when its turn comes.
        known: what is known of it; its content is "" until the picture is read.
        embedding: (size,) float32 of length one, where the gallery's own model made it already.
    """

    picture: bytes | Path
    known: Sighting = UNREAD
    embedding: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.known.address or (str(self.picture) if isinstance(self.picture, Path) else "without a name")

    def read(self) -> bytes:
        """The picture's bytes.

        Raises:
            UnreadablePictureError: the file cannot be read, or is a pipe or a device, which may never end.
        """
        if isinstance(self.picture, bytes):
            return self.picture
        try:
            return read_whole(self.picture)
        except (OSError, ValueError) as error:  # ValueError: the name holds a null byte
            raise UnreadablePictureError(self.name, (getattr(error, "strerror", None) or str(error)).lower()) from error

    def sighting(self, content: bytes) -> Sighting:
        """What a gallery will know of it, given its bytes."""
        return replace(self.known, content=picture_content(content))


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


def incoming_from(source: str, lines: Iterable[str], defaults: Sighting = UNREAD) -> Pictures:
    """Reads what `samecar gallery add` is given, but for embeddings, which `Gallery.add_embedded` takes.

    Args:
        source: a folder, all of whose pictures are taken; a picture; a manifest, .csv or .parquet; `NAME:PATH` as
            everywhere; or `-` for standard input.
        lines: of standard input; see `incoming_of_lines`.
        defaults: what is known of pictures where the source does not say it.

    Raises:
        SamecarError: there is no such source, or it is not what its name says.
    """
    if source == "-":
        return Pictures(complete(incoming_of_lines(lines), defaults), None)
    path = expand_home(source)
    if path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES:
        return Pictures(complete([_parse_fields(path, {}, "")], defaults), 1)
    if ":" not in source and not path.exists():
        raise SamecarError(
            f"source {source!r} is not there; give a folder, a picture, a manifest that ends in .csv or .parquet, "
            "NAME:PATH, or - for standard input"
        )
    name = "folder:" if path.is_dir() else "csv:" if path.is_file() else ""
    manifest = open_source(name + source)
    warnings = tuple(filter(None, (*manifest.warnings, describe_placeholders(manifest))))
    return Pictures(complete(incoming_of_manifest(manifest), defaults), len(manifest), warnings)


def complete(pictures: Iterable[Incoming], defaults: Sighting) -> Iterator[Incoming]:
    """The same pictures; what is not known of one is taken from the defaults, and their labels are added."""
    for picture in pictures:
        own = picture.known
        unknown = {name: value for name, value in defaults.known.items() if getattr(own, name) in ("", None)}
        yield replace(picture, known=replace(own, **{**unknown, "labels": {**defaults.labels, **own.labels}}))


def incoming_of_manifest(manifest: Manifest) -> Iterator[Incoming]:
    """The pictures of a manifest, whatever their split.

    Raises:
        SamecarError: a time cannot be understood.
    """
    columns = {name: manifest.column(name).tolist() for name in ("time", *TEXTS, *LABELS) if name in COLUMNS}
    for row in range(len(manifest)):
        path = manifest.absolute_path(row).absolute()
        yield _parse_fields(path, {name: column[row] for name, column in columns.items()}, str(path))


def incoming_of_embeddings(embeddings: "Embeddings", model: str) -> Iterator[Incoming]:
    """The pictures of embeddings, with their embeddings; the pictures must still be where they were.

    Args:
        embeddings: as `samecar embed` makes them.
        model: digest of the gallery's model.

    Raises:
        SamecarError: another model made them.
    """
    refuse_other_model(embeddings.model, model)
    return _attach_embeddings(embeddings)


def _attach_embeddings(embeddings: "Embeddings") -> Iterator[Incoming]:
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
    - CSV, parted by commas, semicolons, tabs or bars: a header with `path`, and any of the same columns; `view`,
      `colour`, `type` and every column that is called `label:NAME` are labels.

    Raises:
        SamecarError: a line is not what the first one promised.
    """
    remaining = iter(lines)
    first = next((line for line in remaining if line.strip()), "")
    first = first.removeprefix("\ufeff")  # which spreadsheets put before a table
    every = chain([first], remaining)
    if first.lstrip().startswith("{"):
        yield from _read_json(every)
    elif "path" in header_names(first, sign := find_separator(first, FIELDS), FIELDS):
        yield from _read_csv(every, first, sign)
    else:
        for line in filter(None, (line.rstrip("\r\n") for line in every)):
            yield _parse_fields(Path(line), {}, "")


def _read_json(lines: Iterable[str]) -> Iterator[Incoming]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number} of standard input"
        try:
            fields = parse_json(line)
        except ValueError as error:
            raise SamecarError(f"{place} is not JSON: {error}; give one object a line") from error
        if not isinstance(fields, dict) or not isinstance(fields.get("labels", {}), dict):
            raise SamecarError(f"{place} is not a JSON object with labels in an object of its own; mend it")
        labels = fields.pop("labels", {})
        yield _parse_line({**fields, **{f"label:{name}": value for name, value in labels.items()}}, place)


def _read_csv(lines: Iterable[str], header: str, sign: str) -> Iterator[Incoming]:
    reader = read_values(lines, header, sign)
    try:
        names = [known_name(name, FIELDS) for name in next(reader)]
        for values in reader:
            if not any(map(str.strip, values)):
                continue
            place = f"line {reader.line_num} of standard input"
            if len(values) != len(names):
                raise SamecarError(f"{place} has not as many values as the header names columns; mend it")
            yield _parse_line(dict(zip(names, map(rearm, values), strict=True)), place)
    except csv.Error as error:
        raise SamecarError(f"line {reader.line_num} of standard input is not CSV: {error}") from error


def _parse_line(fields: Mapping[str, Any], place: str) -> Incoming:
    """A picture of a line's fields; every value may be a text, a number or null."""
    unknown = [name for name in fields if name not in FIELDS and not name.startswith("label:")]
    if unknown:
        raise SamecarError(f"{place} has an unknown field {unknown[0]!r}; known are {', '.join(FIELDS)} and label:NAME")
    texts = {name: "" if value is None else str(value) for name, value in fields.items()}
    path = texts.pop("path", "")
    if not path:
        raise SamecarError(f"{place} names no picture; give its path in the field 'path'")
    texts.pop("split", "")
    return _parse_fields(Path(path_on_disk(Path(), path)), texts, place)


def _parse_fields(path: Path, fields: Mapping[str, str], place: str) -> Incoming:
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    try:
        time = parse_recorded_time(fields["time"]) if fields.get("time") else None
    except SamecarError as error:
        raise SamecarError(f"{place}: {error}") from error
    labels = {
        name.removeprefix("label:"): value
        for name, value in fields.items()
        if value and (name in LABELS or name.startswith("label:"))
    }
    texts: dict[str, Any] = {name: fields.get(name, "") for name in TEXTS}
    return Incoming(path, replace(UNREAD, address=str(path.absolute()), time=time, labels=labels, **texts))
