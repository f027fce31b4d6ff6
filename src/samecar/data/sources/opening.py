"""Sources: functions from a folder to a manifest, named in one argument such as `veri776:PATH`."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from samecar.data.manifest import Manifest
from samecar.data.sources.cityflow import cityflow
from samecar.data.sources.folder import folder
from samecar.data.sources.market import market
from samecar.data.sources.plain_list import plain_list
from samecar.data.sources.vehicleid import vehicleid
from samecar.data.sources.veri776 import parse_name, veri776
from samecar.data.sources.veri_wild import veri_wild
from samecar.data.sources.veri_wild_2 import veri_wild_2
from samecar.data.spelling import label_warnings
from samecar.data.tables import TABLE_SUFFIXES
from samecar.errors import SamecarError
from samecar.files import as_text, expand_home

SOURCES: dict[str, Callable[[Path], Manifest]] = {
    "veri776": veri776,
    "vehicleid": partial(vehicleid, vehicles=800),
    "vehicleid_1600": partial(vehicleid, vehicles=1600),
    "vehicleid_2400": partial(vehicleid, vehicles=2400),
    "veri_wild": partial(veri_wild, vehicles=3000),
    "veri_wild_medium": partial(veri_wild, vehicles=5000),
    "veri_wild_large": partial(veri_wild, vehicles=10000),
    "veri_wild_2": partial(veri_wild_2, test_set="All"),
    "veri_wild_2_a": partial(veri_wild_2, test_set="A"),
    "veri_wild_2_b": partial(veri_wild_2, test_set="B"),
    "cityflow": cityflow,
    "market": market,
    "folder": folder,
    "list": plain_list,
    "csv": Manifest.read,
}


MARKS = {
    "veri776": "image_train",
    "market": "bounding_box_train",
    "veri_wild_2": "test_split_V2",
    "veri_wild": "train_test_split/test_3000.txt",
    "vehicleid": "train_test_split/test_list_800.txt",
}
"""What the folder of a data set holds and no other does; a folder given without a name is recognised by it."""


def open_source(source: str | Path) -> Manifest:
    """Reads what `NAME:PATH` names.

    Args:
        source: a name of `SOURCES`, a colon and a path; `csv:` takes a .csv or .parquet file, `folder:` a folder or a
            pattern (see `samecar.data.sources.folder.folder`), `list:` a text file or a folder of some (see
            `samecar.data.sources.plain_list.plain_list`), all others the folder of that data set.

    Returns:
        The manifest; its warnings also name labels that look alike, such as two spellings of one camera.

    Raises:
        SamecarError: the name is unknown, the path is missing, or what lies there is not what the name says.
    """
    text = as_text(source, "source", "NAME:PATH")
    name, colon, path = text.partition(":")
    if not colon or name not in SOURCES:
        raise SamecarError(f"source {text!r} {_advice(name, text)}")
    if not path:
        raise SamecarError(f"source {text!r} has no path; write it after the colon, as in {name}:PATH")
    try:
        manifest = SOURCES[name](expand_home(path))
    except OSError as error:  # a name that is too long, a folder that this user may not look into
        raise SamecarError(f"source {text!r} cannot be read: {error.strerror}; give a path that can") from error
    return replace(manifest, warnings=(*manifest.warnings, *label_warnings(manifest)))


def as_manifest(data: Manifest | str | Path) -> Manifest:
    """A manifest that was given itself, or as a source.

    Raises:
        SamecarError: as in `open_source`.
    """
    return data if isinstance(data, Manifest) else open_source(data)


def _advice(name: str, text: str) -> str:
    try:
        return _proposal(name, text, expand_home(text))
    except OSError as error:
        return f"cannot be read: {error.strerror}; give a path that can, as NAME:PATH"


def _proposal(name: str, text: str, place: Path) -> str:
    if place.is_file() and place.suffix.lower() in TABLE_SUFFIXES:
        return f"has no name; write csv:{text}"
    if place.is_file() and place.suffix.lower() == ".txt":
        return f"has no name; write list:{text}"
    data_set = _recognise(place)
    if data_set:
        return f"has no name; write {data_set}:{text}"
    if place.is_dir():
        return f"has no name; write folder:{text}/{{vehicle_id}}_{{camera_id}}.jpg with the pattern of your file names"
    names = f"NAME:PATH, NAME one of {', '.join(SOURCES)}"
    if text in SOURCES:
        return f"has no path; write it after a colon, as in {text}:PATH"
    if "/" in name or ":" not in text:
        return f"is neither a folder nor a file; give one that is there, as {names}"
    nearest = difflib.get_close_matches(name, SOURCES, n=1)
    if nearest:
        return f"has an unknown name; did you mean {nearest[0]}:PATH?"
    return f"has an unknown name; write {names}"


def _recognise(place: Path) -> str:
    """The source of a data set's folder; "" for any other folder."""
    name = next((name for name, mark in MARKS.items() if (place / mark).exists()), "")
    if name == "veri776" and (place / "train_label.xml").is_file():
        names = (path.name for path in (place / "image_train").iterdir())
        return name if any(map(parse_name, names)) else "cityflow"
    return name
