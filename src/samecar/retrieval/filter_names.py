"""Whether names of cameras and labels are those of a gallery, or only look like them."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from samecar.data.spelling import names_like, spelling_warning
from samecar.errors import first_few
from samecar.retrieval.engine import Engine, all_entries
from samecar.retrieval.records import Filter

LOOKED_AT: Final = 10_000
"""Entries in which another spelling of a label is looked for."""


def camera_warnings(engine: Engine) -> Iterator[str]:
    """A sentence on cameras of a gallery whose names look alike, if any do."""
    yield from spelling_warning((camera.camera_id for camera in engine.summary().cameras), "cameras")


def camera_name_warnings(engine: Engine, cameras: Sequence[str]) -> Iterator[str]:
    """A sentence on each name of a camera that a gallery does not have, or has in another spelling too."""
    if cameras:
        known = {camera.camera_id for camera in engine.summary().cameras}
        for name in dict.fromkeys(cameras):
            yield from _name_warning(f"camera {name!r}", name, known, cameras=True)


def filter_warnings(engine: Engine, allowed: Filter) -> Iterator[str]:
    """A sentence on each camera and label of a filter that a gallery does not have, or has in another spelling too."""
    yield from camera_name_warnings(engine, (*allowed.cameras, *allowed.not_cameras))
    for label, value in [(label, value) for label, values in allowed.label_choices for value in values]:
        if engine.listed(Filter(labels={label: value}), limit=1):
            continue
        entries = islice(all_entries(engine), LOOKED_AT)
        labels = [entry.sighting.labels for entry in entries]
        if any(label in one for one in labels):
            known = {one[label] for one in labels if label in one}
            yield from _name_warning(f"value {value!r} of label {label!r}", value, known)
        else:
            yield from _name_warning(f"label {label!r}", label, {name for one in labels for name in one})


def _name_warning(given: str, name: str, known: set[str], *, cameras: bool = False) -> Iterator[str]:
    alike = names_like(name, known, cameras=cameras)
    if alike:
        others = " and ".join(map(repr, alike))
        state = f"is spelled {others} in the gallery too" if name in known else f"is spelled {others} in the gallery"
        yield f"{given} {state}; only what is given counts"
    elif name not in known:
        there = first_few(map(repr, sorted(known - {""})), 10)
        yield f"{given} is on no picture in the gallery" + (f"; there are {there}" if there else "")
