"""Embeddings that something else has made, scored under a protocol that is told with the numbers.

    python examples/score_elsewhere.py

What makes the embeddings here is a histogram of colours in NumPy, in the place of any model of yours; the vehicles are
drawn. It needs no more than `pip install .`, and seconds.
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import samecar
from samecar.evaluation import save_evaluation

LEVELS = 6
"""Into which each colour is parted."""


def histogram(path: Path) -> NDArray[np.float32]:
    """How often each of LEVELS³ colours occurs in the middle of a picture."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((64, 64)))[8:56, 8:56]
    levels = pixels.reshape(-1, 3).astype(int) * LEVELS // 256  # (pixels, 3)
    bins = np.ravel_multi_index(tuple(levels.T), (LEVELS,) * 3)
    return np.sqrt(np.bincount(bins, minlength=LEVELS**3) / len(bins)).astype(np.float32)


def main() -> None:
    """Embeds queries and gallery, and scores them."""
    folder = Path(tempfile.mkdtemp(prefix="samecar-"))
    samecar.draw_set(folder / "drawn", vehicles=40, cameras=4, pictures=2, size=64)
    manifest = samecar.open_source(f"veri776:{folder / 'drawn'}")

    sides = {}
    for split in ("query", "gallery"):
        rows = manifest.of_split(split)  # which vehicle and camera each picture is of
        matrix = np.stack([histogram(path) for path in rows.absolute_paths()])  # (pictures, size)
        sides[split] = samecar.Embeddings(matrix, rows, model="colour histograms")
        sides[split].save(folder / f"{split}.npz")  # `samecar score` takes these files too

    protocol = samecar.find_protocol("veri776")
    evaluation = samecar.score(sides["query"], sides["gallery"], protocol)
    print(evaluation)
    for heading, value in evaluation.card.lines():
        print(f"  {heading}: {value}")
    save_evaluation(evaluation, folder / "histograms.json")  # `samecar compare-runs` pairs it with others
    print(f"The same from a shell: samecar score --query {folder}/query.npz --gallery {folder}/gallery.npz")


if __name__ == "__main__":
    main()
