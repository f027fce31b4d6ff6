"""Embeddings laid out on a sheet of paper by t-SNE."""

from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError, missing_library
from samecar.report.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    WIDTH,
    add_caption,
    add_legend,
    drawing,
    text_size,
)

PERPLEXITY = 20.0
MOST_GROUPS = 24

PROPORTION = 0.6
"""Height over width."""


def embedding_map_figure(
    embeddings: Embeddings,
    *,
    colour_by: Literal["vehicle", "camera"] = "vehicle",
    vehicles: int = 12,
    seed: int = 1,
    title: str = "Embeddings",
    width: float | None = None,
) -> Figure:
    """Lays pictures of some vehicles out so that near embeddings are near, and marks who or which camera is seen.

    Colour and shape of a mark say the same. Distances between far groups mean nothing in such a map.

    Args:
        embeddings: of labelled pictures.
        colour_by: what the marks tell: vehicle or camera.
        vehicles: vehicles to show, drawn at random.
        seed: of drawing them and of the layout.
        title: of the figure; an empty one is none.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: scikit-learn is not installed, there are too few pictures, too many groups to be told apart, or
            the width is out of range.
    """
    chosen = _of_some_vehicles(embeddings, vehicles, seed)
    places = layout(chosen.matrix, seed)
    groups = chosen.labels.vehicle_id if colour_by == "vehicle" else chosen.labels.camera_id
    names = np.unique(groups)
    if len(names) > MOST_GROUPS:
        raise SamecarError(f"{len(names)} groups cannot be told apart on paper; show at most {MOST_GROUPS} vehicles")
    width = WIDTH if width is None else width
    with drawing(width, PROPORTION * width, title) as figure:
        axes = figure.add_subplot()
        size = 0.34 * text_size(width) ** 2
        for number, name in enumerate(names):
            x, y = places[groups == name].T
            colour = COLOURS[number % len(COLOURS)]
            marker = MARKERS[number % len(MARKERS)]
            axes.scatter(
                x, y, s=size, marker=marker, color=colour, edgecolors=INK, linewidths=0.5, alpha=0.9, label=str(name)
            )
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(MUTED)
        add_legend(axes, colour_by)
        add_caption(
            figure,
            f"t-SNE of {len(places)} pictures of {len(np.unique(chosen.labels.vehicle_id))} vehicles, Euclidean, "
            f"perplexity {_perplexity(len(places)):.3g}, seed {seed}; only who is near whom counts.",
        )
    return figure


def layout(matrix: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Two coordinates for each embedding; (pictures, size) to (pictures, 2).

    Raises:
        SamecarError: scikit-learn is not installed, or there are fewer than four pictures.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise missing_library("an embedding map needs", "scikit-learn", "plots") from error
    if len(matrix) < 4:
        raise SamecarError(f"an embedding map needs 4 pictures or more; there are {len(matrix)}")
    tsne = TSNE(perplexity=_perplexity(len(matrix)), init="pca", random_state=seed)
    places: NDArray[np.float32] = tsne.fit_transform(matrix)
    return places


def _perplexity(pictures: int) -> float:
    return min(PERPLEXITY, (pictures - 1) / 3)


def _of_some_vehicles(embeddings: Embeddings, count: int, seed: int) -> Embeddings:
    vehicles = embeddings.labels.vehicle_id
    known = np.unique(vehicles[embeddings.labels.labelled])
    some = np.random.default_rng(seed).permutation(known)[:count]
    return embeddings.select(np.flatnonzero(np.isin(vehicles, some)))
