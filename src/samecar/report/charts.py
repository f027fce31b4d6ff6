"""Line charts as coordinates, which the report's template draws as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 460, 280  # of the whole chart, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 44, 448, 14, 236  # of the plotted area
LINE_STYLES = 6  # of the template; further lines begin with the first again
FEW_POINTS = 25  # a line of at most so many points has a dot at each


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place in SVG units and its label."""

    place: float
    label: str


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the legend.
        points: places in SVG units.
        dots: whether each point gets a dot.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    dots: bool


@dataclass(frozen=True)
class Chart:
    """A line chart, ready to be drawn.

    Attributes:
        title: what it shows.
        summary: the same in a sentence, for those who do not see the chart.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
        x_ticks: marks of the horizontal axis.
        y_ticks: marks of the vertical axis.
        lines: at most `LINE_STYLES` are told apart by their dashes.
    """

    title: str
    summary: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


def line_chart(
    title: str, summary: str, lines: Mapping[str, Points], *, x_label: str, y_label: str, y_top: float | None = None
) -> Chart | None:
    """Lays out a line chart whose vertical axis begins at 0.

    Args:
        title: what it shows.
        summary: the same in a sentence.
        lines: points (x, y) by name; x are whole numbers, y finite and not negative. Lines without points are left
            out.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
        y_top: upper end of the vertical axis; without it the smallest round number that holds all points.

    Returns:
        The chart, or None where there is no point to draw.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return None
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    y_step = _round_step((y_top or max(y for _, y in points) or 1) / 5)
    y_end = y_top or max(1, math.ceil(max(y for _, y in points) / y_step - 1e-9)) * y_step

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first) if last > first else 0.5
        return round(LEFT + across * (RIGHT - LEFT), 1), round(BOTTOM - y / y_end * (BOTTOM - TOP), 1)

    return Chart(
        title=title,
        summary=summary,
        x_label=x_label,
        y_label=y_label,
        x_ticks=tuple(Tick(place(x, 0)[0], f"{x:g}") for x in _whole_ticks(first, last)),
        y_ticks=tuple(
            Tick(place(first, index * y_step)[1], f"{index * y_step:g}") for index in range(round(y_end / y_step) + 1)
        ),
        lines=tuple(
            Line(name, tuple(place(x, y) for x, y in line), dots=len(line) <= FEW_POINTS)
            for name, line in lines.items()
            if line
        ),
    )


def _round_step(least: float) -> float:
    """The smallest of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is not smaller."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(multiple * power for multiple in (1, 2, 5, 10) if multiple * power >= least * (1 - 1e-9))


def _whole_ticks(first: float, last: float) -> list[float]:
    """The first whole number and the round ones after it that do not crowd it."""
    step = max(1, _round_step(max(last - first, 1) / 6))
    rounds = [index * step for index in range(math.ceil(first / step), math.floor(last / step) + 1)]
    return [first, *(tick for tick in rounds if tick - first >= step / 2)]
