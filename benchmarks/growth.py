"""How much longer work takes on more pictures: seconds at several sizes, and the exponent of the growth.

    python benchmarks/growth.py
    python benchmarks/growth.py --largest 4000 --result NAME     # each work at smaller sizes
    python benchmarks/growth.py --only search adding

Embedding, adding and reading a table of pictures must take a picture as long however many there are (exponent 1), and
so must one exact search each stored picture. Scoring of a fixed number of queries grows with the gallery (1);
re-ranking compares all pictures with all (2). The exponent is the slope of a line through the logarithms of sizes and
seconds, over the larger half of the sizes, as fixed costs hide it at the smaller ones. Seconds are the least of the
repeats. Embeddings are drawn; the embedded pictures are small, of a tiny network.

Writes results/growth.json and docs/images/growth.svg.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from clients import bind
from embeddings import Matrix, draw_pictures_of, draw_vehicles
from PIL import Image
from results import read_former, write_results

from samecar.cli.console import say
from samecar.config import ModelSettings
from samecar.data.manifest import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.encoder import Encoder
from samecar.evaluation import find_protocol, score
from samecar.hardware import available_cores
from samecar.labels import Labels
from samecar.models import build_embedder
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import EVERYTHING, Addition, Sighting
from samecar.similarity.reranking import k_reciprocal_distances

SIZE, SIDE = 256, 32
"""Numbers in a drawn embedding, and pixels of an embedded picture."""

QUERIES, CAMERAS, FILES = 500, 20, 16

FEWEST_LARGER = 3
"""Sizes, the largest ones, that a slope needs."""

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "growth.svg"


class Work(NamedTuple):
    """Something that is measured.

    Attributes:
        title: in words.
        must: the exponent with which it has to grow.
        largest: number of pictures.
        prepare: gives, for a number of pictures and a folder, what is measured.
    """

    title: str
    must: float
    largest: int
    prepare: Callable[[int, Path], Callable[[], object]]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--largest", type=int, help="most pictures of any work")
    parser.add_argument("--sizes", type=int, default=5, help="sizes, each twice the one before")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--result", default="growth", help="name of the result file")
    options = parser.parse_args()
    works = read_former(options.result, "works")
    for name in options.only:
        works[name] = measure(WORKS[name], options.largest, options.sizes, options.repeats)
        content = {"size": SIZE, "queries": QUERIES, "repeats": options.repeats, "works": works}
        say(f"{name}: {works[name]}; wrote {write_results(options.result, content)}")
    if options.result == "growth":
        draw_plot(works, PICTURE)


def measure(work: Work, largest: int | None = None, sizes: int = 5, repeats: int = 3) -> dict[str, Any]:
    """Seconds by number of pictures, and the exponent of their growth."""
    most = min(work.largest, largest or work.largest)
    points: dict[int, float] = {}
    for pictures in [most >> halved for halved in reversed(range(sizes))]:
        with tempfile.TemporaryDirectory() as folder:
            run = work.prepare(pictures, Path(folder))
            points[pictures] = min(_seconds(run) for _ in range(repeats))
    return {
        "title": work.title,
        "must": work.must,
        "pictures": list(points),
        "seconds": [round(seconds, 6) for seconds in points.values()],
        "exponent": round(exponent(points), 3),
    }


def exponent(points: dict[int, float]) -> float:
    """The slope of a line through the logarithms of the larger half of the sizes and of their seconds."""
    larger = sorted(points)[-max(FEWEST_LARGER, (len(points) + 1) // 2) :]
    slope, _ = np.polyfit(np.log(larger), np.log([points[pictures] for pictures in larger]), 1)
    return float(slope)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def draw_embeddings(pictures: int, seed: int = 1) -> Matrix:
    """Embeddings of so many pictures of vehicles."""
    return np.concatenate([*draw_pictures_of(draw_vehicles(pictures, SIZE, seed), pictures, seed + 1)])


def prepare_embedding(pictures: int, folder: Path) -> Callable[[], object]:
    """From files to embeddings; many names stand for a few files."""
    encoder = _tiny_encoder()
    manifest = _name_files(folder, pictures)
    return lambda: encoder.embed_manifest(manifest, workers=available_cores())


def _tiny_encoder() -> Encoder:
    settings = ModelSettings(backbone="test_resnet", weights="none", height=SIDE, width=SIDE)
    return bind(build_embedder(settings, 0, load_weights=False), settings)


def _name_files(folder: Path, pictures: int) -> Manifest:
    generator = np.random.default_rng(1)
    for number in range(FILES):
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"drawn{number}.jpg")
    names = [f"{number:07d}.jpg" for number in range(pictures)]
    for number, name in enumerate(names):
        os.link(folder / f"drawn{number % FILES}.jpg", folder / name)
    paths = np.array(names)
    vehicles = np.array([f"v{number // 8}" for number in range(pictures)])
    split = np.array(["gallery"] * pictures)
    return Manifest(folder, paths, vehicles, np.array([f"c{number % CAMERAS}" for number in range(pictures)]), split)


def prepare_scoring(pictures: int, folder: Path) -> Callable[[], object]:  # noqa: ARG001 - it needs no files
    """Scores of `QUERIES` queries in a gallery."""
    vehicles = draw_vehicles(pictures, SIZE, 1)
    sides = []
    for count, seed in ((QUERIES, 2), (pictures, 3)):
        generator = np.random.default_rng(seed)
        shown = generator.integers(0, len(vehicles), count)
        matrix = vehicles[shown] + np.float32(0.8) * generator.standard_normal((count, SIZE), np.float32)
        names, cameras = shown.astype(np.str_), generator.integers(0, CAMERAS, count).astype(np.str_)
        sides.append(Embeddings(matrix, Labels(names, cameras)))
    protocol = find_protocol("plain")
    return lambda: score(sides[0], sides[1], protocol)


def prepare_reranking(pictures: int, folder: Path) -> Callable[[], object]:  # noqa: ARG001 - it needs no files
    """Re-ranking of a tenth of the pictures as queries among the others."""
    matrix = draw_embeddings(pictures)
    queries = pictures // 10

    def rerank() -> None:
        for _ in k_reciprocal_distances(matrix[:queries], matrix[queries:]):
            pass

    return rerank


def _additions(pictures: int) -> Iterator[list[Addition]]:
    vehicles, row = draw_vehicles(pictures, SIZE, 1), 0
    for matrix in draw_pictures_of(vehicles, pictures, 2):
        contents = [hashlib.sha256(str(row + place).encode()).hexdigest() for place in range(len(matrix))]
        known = [Sighting(content, camera_id=str(place % CAMERAS)) for place, content in enumerate(contents)]
        yield [Addition(sighting, embedding) for sighting, embedding in zip(known, matrix, strict=True)]
        row += len(matrix)


def _gallery(folder: Path) -> Gallery:
    settings = ModelSettings(
        backbone="test_resnet", weights="none", height=SIDE, width=SIDE, head="fc-bn-fc", embedding_size=SIZE
    )
    return Gallery.create(str(folder), bind(build_embedder(settings, 0, load_weights=False), settings))


def prepare_adding(pictures: int, folder: Path) -> Callable[[], object]:
    """A gallery in a folder, filled portion by portion."""
    made = [*_additions(pictures)]
    turns = iter(range(10**6))

    def add() -> None:
        with closing(_gallery(folder / str(next(turns)))) as gallery:
            for additions in made:
                gallery.engine.add(additions)

    return add


def prepare_search(pictures: int, folder: Path) -> Callable[[], object]:
    """Single exact searches in such a gallery, which is open."""
    prepare_adding(pictures, folder)()
    gallery = Gallery.open(str(folder / "0"))
    queries = draw_embeddings(32, seed=1)
    gallery.engine.search(queries[:1], 10, EVERYTHING)

    def search() -> None:
        for query in queries:
            gallery.engine.search(query[None], 10, EVERYTHING)

    return search


def draw_plot(works: dict[str, Any], path: Path) -> None:
    """Draws seconds against pictures, both in powers of ten."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for marker, row in zip("os^Dv", works.values(), strict=False):
        axes.loglog(row["pictures"], row["seconds"], marker=marker, label=f"{row['title']}: {row['exponent']:.2f}")
    axes.set(xlabel="pictures", ylabel="seconds", title="Growth of the work with the number of pictures, and exponents")
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    with plt.rc_context({"svg.hashsalt": "growth"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


WORKS = {
    "embedding": Work("embedding", 1, 32_000, prepare_embedding),
    "scoring": Work(f"scoring {QUERIES} queries", 1, 160_000, prepare_scoring),
    "reranking": Work("re-ranking", 2, 128_000, prepare_reranking),
    "adding": Work("adding to a folder", 1, 1_000_000, prepare_adding),
    "search": Work("32 exact searches", 1, 1_000_000, prepare_search),
}

if __name__ == "__main__":
    main()
