"""How far apart pictures of the same vehicle and of different vehicles are."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

from samecar.calibration import Calibration, PairCounts
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation.protocols import MATCH, OTHER, Protocol, Relevance
from samecar.report.figures.style import COLOURS, INK, MUTED, WIDTH, add_caption, add_legend, drawing
from samecar.similarity.products import Distance, distance_chunks

FEWEST_BINS, MOST_BINS = 12, 60
FINE_BINS = 4000

PROPORTION = 0.52
"""Height of a figure of distances over its width."""

BEYOND = 100
"""How many times the largest measured gallery the drawn thresholds reach."""


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
        distance: euclidean, or cosine, which counts one minus the cosine.

    Raises:
        SamecarError: there are no pairs of one vehicle or none of two.
    """
    relevance = Relevance(query.labels, gallery.labels, protocol)
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


def distances_figure(
    counts: DistanceCounts, *, title: str, distance: Distance = "euclidean", width: float | None = None
) -> Figure:
    """Draws both histograms, each as a share of its own pairs.

    Args:
        counts: from `count_distances`.
        title: of the figure; an empty one is none.
        distance: that was counted.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: the width is out of range.
    """
    width = WIDTH if width is None else width
    at, error = counts.equal_error()
    with drawing(width, PROPORTION * width, title) as figure:
        axes = figure.add_subplot()
        draw_pairs(axes, counts)
        label = f"equal error: {100 * error:.1f} % at {at:.3g}"
        axes.axvline(at, color=INK, linewidth=1, linestyle=":", label=label)
        axes.set_xlabel(f"{'Euclidean' if distance == 'euclidean' else 'cosine'} distance")
        add_legend(axes)
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


def calibration_figure(calibration: Calibration, pairs: PairCounts, *, title: str) -> Figure:
    """Draws reliability, similarities, and the open-set rule's false alarms and thresholds by gallery size.

    Args:
        calibration: what is drawn.
        pairs: that it was fitted to.
        title: of the figure.
    """
    with drawing(10, 7.2, title) as figure:
        (reliability, similarities), (alarms, thresholds) = figure.subplots(2, 2)
        _draw_reliability(reliability, calibration)
        _draw_similarities(similarities, calibration, pairs)
        _draw_false_alarms(alarms, calibration)
        _draw_thresholds(thresholds, calibration)
        evidence = calibration.evidence
        caption = (
            f"Fitted to {evidence.vehicles:,} vehicles ({evidence.kind}) in {evidence.pictures:,} pictures. Left: seen "
            f"on vehicles that were not fitted to, over {calibration.quality.halves} random halves."
        )
        add_caption(figure, caption)
    return figure


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    quality = calibration.quality
    said, seen, share = (
        np.array([getattr(part, name) for part in quality.reliability]) for name in ("probability", "same", "share")
    )
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="what is said is so")
    label = f"{calibration.pairs.method}: off by {quality.calibration_error:.3f} on average"
    axes.plot(said, seen, color=COLOURS[0], linewidth=1.2)
    axes.scatter(said, seen, s=20 + 400 * share, color=COLOURS[0], alpha=0.7, label=label)
    axes.set_xlabel("probability of the same vehicle that is said")
    axes.set_ylabel("share of pairs of the same vehicle")
    axes.set_title("Reliability; larger dots are more pairs", loc="left")
    legend = axes.legend(loc="upper left")
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([40])  # type: ignore[union-attr]


def _draw_similarities(axes: Axes, calibration: Calibration, pairs: PairCounts) -> None:
    draw_pairs(axes, pairs)
    at = calibration.same_threshold
    axes.axvline(at, color=INK, linewidth=1, linestyle=":", label=f"as likely as not: {at:.3f}")
    axes.set_xlabel("similarity (cosine)")
    axes.set_title("Pairs by different cameras", loc="left")
    axes.legend()


def _draw_false_alarms(axes: Axes, calibration: Calibration) -> None:
    quality, stated = calibration.quality, calibration.false_alarm_rate
    sizes, rates = ([getattr(size, name) for size in quality.sizes] for name in ("pictures", "rate"))
    axes.plot(sizes, rates, color=COLOURS[0], marker="o", markersize=4, linewidth=1.2, label="seen")
    alarm = quality.false_alarm
    if alarm.low is not None and alarm.high is not None:
        ends = [[alarm.rate - alarm.low], [alarm.high - alarm.rate]]
        axes.errorbar(sizes[-1:], [alarm.rate], ends, color=COLOURS[0], capsize=3, label="95 % interval over vehicles")
    axes.axhline(stated, color=INK, linewidth=1, linestyle=":", label=f"stated: {100 * stated:g} %")
    _count_pictures(axes, labelled=(1, 3))
    axes.set_ylim(0, max(3 * stated, 1.3 * max(rates), 1.1 * (alarm.high or 0)))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("pictures in the gallery, which lacks the vehicle")
    axes.set_ylabel("said to be in it")
    axes.set_title("False alarms", loc="left")
    axes.legend()


def _draw_thresholds(axes: Axes, calibration: Calibration) -> None:
    measured = calibration.open_set
    axes.plot(measured.pictures, measured.thresholds, color=COLOURS[1], linewidth=1.8, label="measured")
    beyond = np.geomspace(measured.pictures[-1], BEYOND * measured.pictures[-1], 50)
    axes.plot(
        beyond,
        [measured.threshold(size) for size in beyond],
        color=COLOURS[1],
        linewidth=1.8,
        linestyle=(0, (4, 2)),
        label="extrapolated",
    )
    _count_pictures(axes, labelled=(1,))
    axes.set_xlabel("pictures in the gallery")
    axes.set_ylabel("best similarity from which it is in it")
    axes.set_title("Threshold for “it is in the gallery”", loc="left")
    axes.legend()
    axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)


def _count_pictures(axes: Axes, labelled: tuple[int, ...]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=labelled))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
