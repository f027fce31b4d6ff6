"""How far apart pictures of the same vehicle and of different vehicles are."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from samecar.calibration import PairCounts
from samecar.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation.examples import labels_of
from samecar.evaluation.protocols import MATCH, OTHER, Protocol, Relevance
from samecar.plots.saving import COLOURS, INK, MUTED, new_figure, style
from samecar.similarity.products import Distance, distance_chunks

FEWEST_BINS, MOST_BINS = 12, 60
FINE_BINS = 4000


@dataclass(frozen=True)
class DistanceCounts:
    """Pairs of a query and a gallery picture by their distance, junk left out.

    Attributes:
        edges: (bins + 1,) of the bins.
        same: (bins,) pairs of one vehicle.
        different: (bins,) pairs of two.
    """

    edges: NDArray[np.float64]
    same: NDArray[np.int64]
    different: NDArray[np.int64]

    def equal_error(self) -> tuple[float, float]:
        """The distance at which as large a share of same pairs lies above as of different pairs below; and that share.

        As exact as the bins are narrow.
        """
        missed = 1 - np.cumsum(self.same) / self.same.sum()
        mistaken = np.cumsum(self.different) / self.different.sum()
        place = int(np.argmin(np.abs(missed - mistaken)))
        return float(self.edges[place + 1]), float((missed[place] + mistaken[place]) / 2)


def count_distances(
    query: Embeddings, gallery: Embeddings, protocol: Protocol, *, distance: Distance = "euclidean"
) -> DistanceCounts:
    """Counts the pairs of queries and gallery pictures by distance.

    Args:
        query: embeddings.
        gallery: embeddings.
        protocol: says which pairs are junk.
        distance: 'cosine' counts one minus the cosine.

    Raises:
        SamecarError: there are no pairs of one vehicle or none of two.
    """
    relevance = Relevance(labels_of(query), labels_of(gallery), protocol)
    top = max(
        float(_as_shown(chunk, distance).max()) for _, chunk in distance_chunks(query.matrix, gallery.matrix, distance)
    )
    edges = np.linspace(0, top * (1 + 1e-6) or 1, FINE_BINS + 1)
    same, different = np.zeros(FINE_BINS, np.int64), np.zeros(FINE_BINS, np.int64)
    for rows, chunk in distance_chunks(query.matrix, gallery.matrix, distance):
        shown, kinds = _as_shown(chunk, distance), relevance(rows)
        same += np.histogram(shown[kinds == MATCH], edges)[0]
        different += np.histogram(shown[kinds == OTHER], edges)[0]
    if not same.sum() or not different.sum():
        raise SamecarError("there are no pairs of one vehicle by two cameras, or none of two vehicles, to compare")
    return DistanceCounts(edges, same, different)


def distances_figure(counts: DistanceCounts, *, title: str, distance: Distance = "euclidean") -> Figure:
    """Draws both histograms, each as a share of its own pairs.

    Args:
        counts: from `count_distances`.
        title: of the figure.
        distance: that was counted.
    """
    at, error = counts.equal_error()
    with style():
        figure = new_figure(7.5, 4.2)
        axes = figure.add_subplot()
        draw_pairs(axes, counts)
        label = f"equal error: {100 * error:.1f} % at {at:.3g}"
        axes.axvline(at, color=INK, linewidth=1, linestyle=":", label=label)
        axes.set_xlabel(f"{'Euclidean' if distance == 'euclidean' else 'cosine'} distance")
        axes.set_title(title, loc="left")
        axes.legend(frameon=False)
    return figure


def draw_pairs(axes: Axes, counts: DistanceCounts | PairCounts) -> None:
    """Draws histograms of same and of different pairs, each as a share of its own kind, with their labels."""
    filled = np.flatnonzero(counts.same + counts.different)
    bins = int(np.clip(np.sqrt(2 * counts.same.sum()), FEWEST_BINS, MOST_BINS))  # few pairs make ragged bins
    edges = np.linspace(counts.edges[filled[0]], counts.edges[filled[-1] + 1], bins + 1)
    middles = (counts.edges[:-1] + counts.edges[1:]) / 2
    for name, pairs, colour, hatch, dash in (
        ("same vehicle", counts.same, COLOURS[0], "////", "-"),
        ("different vehicles", counts.different, COLOURS[1], "", (0, (4, 2))),
    ):
        share = 100 * np.histogram(middles, edges, weights=pairs)[0] / pairs.sum()
        label = f"{name} ({pairs.sum():,} pairs)"
        axes.stairs(share, edges, fill=True, facecolor=colour, edgecolor=colour, alpha=0.25, hatch=hatch)
        axes.stairs(share, edges, color=colour, linestyle=dash, linewidth=1.8, label=label)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("% of the pairs of its kind")
    axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)


def _as_shown(squares: NDArray[np.floating], distance: Distance) -> NDArray[np.floating]:
    return np.sqrt(squares) if distance == "euclidean" else squares / 2
