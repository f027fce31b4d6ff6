"""Drawn embeddings of vehicles' pictures, which benchmarks search in."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from samecar.similarity.products import unit_length

Matrix = NDArray[np.float32]

PICTURES_OF_A_VEHICLE = 20

NOISE = 0.8
"""Deviation of a picture from its vehicle, whose own deviation is 1."""

PORTION = 20_000
"""Embeddings that are drawn at a time."""


def draw_vehicles(pictures: int, size: int, seed: int, known: Matrix | None = None) -> Matrix:
    """What the pictures of each vehicle have in common, for a gallery of as many pictures.

    Args:
        pictures: of the gallery.
        size: numbers in an embedding.
        seed: of the drawing.
        known: (vehicles, size) of length one: vehicles that are to be in the gallery besides drawn ones.

    Returns:
        (vehicles, size)
    """
    vehicles = np.random.default_rng(seed).standard_normal((-(-pictures // PICTURES_OF_A_VEHICLE), size), np.float32)
    if known is not None:
        vehicles[: len(known)] = known[: len(vehicles)] * np.sqrt(size)
    return vehicles


def draw_pictures_of(vehicles: Matrix, pictures: int, seed: int) -> Iterator[Matrix]:
    """Portions of embeddings, of length one, of pictures of any of these vehicles, in no order."""
    generator = np.random.default_rng(seed)
    for start in range(0, pictures, PORTION):
        shown = generator.integers(0, len(vehicles), min(PORTION, pictures - start))
        noise = generator.standard_normal((len(shown), vehicles.shape[1]), np.float32)
        yield unit_length(vehicles[shown] + np.float32(NOISE) * noise).astype(np.float32)
