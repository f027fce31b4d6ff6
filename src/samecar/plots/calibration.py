"""What a calibration says and how far it can be trusted: four panels."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from samecar.calibration import Calibration, PairCounts
from samecar.plots.distances import draw_pairs
from samecar.plots.saving import COLOURS, INK, MUTED, new_figure, style

BEYOND = 100
"""How many times the largest measured gallery the drawn thresholds reach."""


def calibration_figure(calibration: Calibration, pairs: PairCounts, *, title: str) -> Figure:
    """Draws reliability, similarities, and the open-set rule's false alarms and thresholds by gallery size.

    Args:
        calibration: what is drawn.
        pairs: that it was fitted to.
        title: of the figure.
    """
    with style():
        figure = new_figure(10, 7.6)
        (reliability, similarities), (alarms, thresholds) = figure.subplots(2, 2)
        _draw_reliability(reliability, calibration)
        _draw_similarities(similarities, calibration, pairs)
        _draw_false_alarms(alarms, calibration)
        _draw_thresholds(thresholds, calibration)
        figure.suptitle(title, x=0.01, ha="left")
        evidence = calibration.evidence
        caption = (
            f"Fitted to {evidence.vehicles:,} vehicles ({evidence.kind}) in {evidence.pictures:,} pictures. Left: seen "
            f"on vehicles that were not fitted to, over {calibration.quality.halves} random halves."
        )
        figure.supxlabel(caption, fontsize=8, color=MUTED, x=0.01, ha="left")
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
    legend = axes.legend(frameon=False, loc="upper left")
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([40])  # type: ignore[union-attr]


def _draw_similarities(axes: Axes, calibration: Calibration, pairs: PairCounts) -> None:
    draw_pairs(axes, pairs)
    at = calibration.same_threshold
    axes.axvline(at, color=INK, linewidth=1, linestyle=":", label=f"as likely as not: {at:.3f}")
    axes.set_xlabel("similarity (cosine)")
    axes.set_title("Pairs by different cameras", loc="left")
    axes.legend(frameon=False, fontsize=9)


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
    axes.legend(frameon=False, fontsize=9)


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
    axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)


def _count_pictures(axes: Axes, labelled: tuple[int, ...]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=labelled))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
