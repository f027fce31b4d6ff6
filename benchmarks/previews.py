"""Bytes on the disk that a gallery in a folder keeps of a picture, by the longer side of its previews.

    python benchmarks/previews.py --crops PATH-OF-TWO-CAMERA --films FOLDER

Crops are small pictures of one vehicle each, as a detector cuts them; frames of films, four a second, stand for
photographs. Each is added to galleries that differ in nothing but their previews, and what all files of a gallery
take is divided by the number of its pictures. Embeddings are drawn, of 512 numbers: no model is needed, and what they
take is the same everywhere. Writes results/previews.json; takes about a minute.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from results import write_results

from samecar.cli.console import say
from samecar.data.pictures import read_picture
from samecar.films.sources.film import open_film
from samecar.retrieval.adding import previews_of, split_batches, thumbnail_of
from samecar.retrieval.engine import FORMAT
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.gallery import THUMBNAIL
from samecar.retrieval.records import Addition, GalleryFacts, Sighting, picture_content

SIDES = (0, 320, 640, 1024)
SIZE = 512
RATE = 4.0


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, required=True, help="folder with images/train/*.jpg")
    parser.add_argument("--films", type=Path, required=True, help="folder with films")
    options = parser.parse_args()
    kinds = {
        "crops": [read_picture(path) for path in sorted((options.crops / "images" / "train").glob("*.jpg"))],
        "frames": list(read_frames(sorted(options.films.glob("*.mp4")))),
    }
    rows: dict[str, Any] = {}
    for kind, pictures in kinds.items():
        sides = [max(picture.size) for picture in pictures]
        sizes = {side: measure(pictures, side) for side in SIDES}
        rows[kind] = {
            "pictures": len(pictures),
            "longer_sides": [int(side) for side in np.percentile(sides, [0, 50, 100])],
            "bytes": {str(side): size / len(pictures) for side, size in sizes.items()},
        }
    path = write_results("previews", {"thumbnail": THUMBNAIL, "numbers": SIZE, "rows": rows})
    say(f"{path} is written")


def read_frames(films: Iterable[Path]) -> Iterator[Image.Image]:
    """Four frames a second of films."""
    for path in films:
        with open_film(path) as film:
            for frame in film.frames(RATE):
                yield Image.fromarray(frame.picture)


def measure(pictures: list[Image.Image], side: int) -> int:
    """Bytes of all files of a gallery of pictures whose previews have this longer side."""
    facts = GalleryFacts(
        format=FORMAT, model="0" * 16, size=SIZE, thumbnail=THUMBNAIL, preview=side, created="2026-01-01T00:00:00Z"
    )
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "gallery"
        with closing(FolderEngine.create(folder, facts)) as engine:
            for batch in split_batches(enumerate(pictures), 32):
                engine.add([make_addition(number, picture, facts, random) for number, picture in batch])
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def make_addition(number: int, picture: Image.Image, facts: GalleryFacts, random: np.random.Generator) -> Addition:
    """A picture as it is added, with an embedding that is drawn."""
    drawn = random.standard_normal(SIZE)
    embedding = (drawn / np.linalg.norm(drawn)).astype(np.float32)  # (SIZE,)
    sighting = Sighting(picture_content(str(number).encode()), f"/pictures/{number}.jpg", "gate", float(number))
    thumbnail = thumbnail_of(picture, facts.thumbnail)
    return Addition(sighting, embedding, thumbnail, previews_of([picture], facts))


if __name__ == "__main__":
    main()
