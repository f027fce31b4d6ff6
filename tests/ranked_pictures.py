"""A few pictures, one of them broken, and a query with them as its results."""

from pathlib import Path

from PIL import Image

from samecar.evaluation.ranked_lists import RankedPicture, RankedQuery


def paint_pictures(folder: Path) -> Path:
    """Makes a folder with a wide, a tall and a broken picture."""
    folder.mkdir()
    for name, size in (("wide.jpg", (400, 200)), ("tall.png", (30, 90))):
        Image.new("RGB", size, (200, 40, 40)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder


def ranked(folder: Path, names=("wide.jpg", "tall.png"), vehicle="A", query="wide.jpg") -> RankedQuery:
    """A query of a vehicle, with pictures of the folder as results, every other one right."""
    results = tuple(
        RankedPicture(folder / name, vehicle if place % 2 == 0 else "other", f"c{place}", 0.5 + place, place % 2 == 0)
        for place, name in enumerate(names)
    )
    return RankedQuery(folder / query, vehicle, "c1", 0.25, 17, results)
