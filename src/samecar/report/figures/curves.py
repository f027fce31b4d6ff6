"""Training loss of several runs over epochs, smoothed in a way that the figure states."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from samecar.errors import SamecarError
from samecar.report.figures.style import COLOURS, DASHES, MUTED, WIDTH, add_caption, add_legend, drawing
from samecar.training import Run

SMOOTHING = 0.6
"""TensorBoard's own default."""

PROPORTION = 0.55
"""Height over width."""


def curves_figure(
    runs: Mapping[str, Run],
    *,
    metric: str = "loss",
    smoothing: float = SMOOTHING,
    title: str = "Training",
    width: float | None = None,
) -> Figure:
    """Draws a metric of several runs by epoch; the legend gives where each line ends, and says if that is smoothed.

    Args:
        runs: by the name in the legend.
        metric: a name in the runs' metrics.jsonl, such as accuracy.
        smoothing: weight of the past in a moving average, from 0 (none) up to but without 1; what it hides is drawn
            pale.
        title: of the figure; an empty one is none.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: there is no run, no run knows the metric, or smoothing or width is out of range.
    """
    if not 0 <= smoothing < 1:
        raise SamecarError(f"smoothing is {smoothing}; give 0 or more and less than 1")
    lines = {name: _points(run, metric) for name, run in runs.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        known = sorted({key for run in runs.values() for record in run.metrics() for key in record} - {"epoch"})
        raise SamecarError(
            f"no run has epochs with {metric!r}; known are {', '.join(known) or 'none, nothing is done'}"
        )
    width = WIDTH if width is None else width
    with drawing(width, PROPORTION * width, title) as figure:
        axes = figure.add_subplot()
        for number, (name, points) in enumerate(lines.items()):
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
            epochs, values = zip(*points, strict=True)
            smooth = smoothed(values, smoothing)
            if smoothing:
                axes.plot(epochs, values, color=colour, linewidth=0.8, alpha=0.3)
            label = f"{name} ({smooth[-1]:.3g})"
            marker = "o" if len(epochs) == 1 else None
            axes.plot(epochs, smooth, color=colour, linestyle=dash, linewidth=1.8, label=label, marker=marker)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric.replace("_", " "))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        add_legend(axes, "last epoch, smoothed" if smoothing else "last epoch")
        axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
        add_caption(figure, _caption(smoothing))
    return figure


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """A moving average as TensorBoard draws it: past values fade by `weight`, and the start is not pulled to zero.

    >>> smoothed([2.0, 4.0], 0.5)
    [2.0, 3.3333333333333335]
    """
    average, result = 0.0, []
    for count, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        result.append(average / (1 - weight**count))
    return result


def _points(run: Run, metric: str) -> list[tuple[int, float]]:
    return [(int(record["epoch"]), float(record[metric])) for record in run.metrics() if metric in record]


def _caption(smoothing: float) -> str:
    if not smoothing:
        return "Means over each epoch, not smoothed."
    return f"Means over each epoch, pale; lines: exponential moving average with weight {smoothing:g} of the past."
