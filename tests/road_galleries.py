"""Galleries of drawn sightings on a road, with a calibration of other drawn vehicles."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from samecar.calibration import Calibration
from samecar.calibration.fitting import Provenance, fit_calibration
from samecar.drawn.roads import DrawnSightings, RoadSettings, draw_sightings
from samecar.retrieval.engine import FORMAT
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery
from samecar.retrieval.records import Addition, GalleryFacts, Sighting, picture_content

MODEL = "0123456789abcdef"


@cache
def calibrated(settings: RoadSettings) -> Calibration:
    """A calibration on other vehicles than those that settings draw."""
    other = draw_sightings(replace(settings, seed=settings.seed + 1000))
    return fit_calibration(other.matrix, other.labels, provenance=Provenance(MODEL)).calibration


def content_of(row: int) -> str:
    return picture_content(f"drawn {row}".encode())


def additions_of(drawn: DrawnSightings, *, named: bool = False, timed: bool = True) -> list[Addition]:
    """What a gallery may hold of drawn sightings, in their order."""
    columns = zip(drawn.labels.camera_id.tolist(), drawn.times.tolist(), drawn.labels.vehicle_id.tolist(), strict=True)
    return [
        Addition(
            Sighting(
                content_of(row), camera_id=camera, time=time if timed else None, vehicle_id=vehicle if named else ""
            ),
            embedding,
        )
        for row, ((camera, time, vehicle), embedding) in enumerate(zip(columns, drawn.matrix, strict=True))
    ]


def make_gallery(folder: Path, additions: Sequence[Addition], calibration: Calibration | None) -> Gallery:
    """A gallery in a folder; it has no model, as nothing is embedded."""
    size = len(additions[0].embedding)
    facts = GalleryFacts(format=FORMAT, model=MODEL, size=size, thumbnail=0, created="2026-01-01T00:00:00Z")
    files = {} if calibration is None else {CALIBRATION_FILE: calibration.to_json().encode()}
    gallery = Gallery(FolderEngine.create(folder, facts, files), name=str(folder))
    gallery.engine.add(additions)
    return gallery
