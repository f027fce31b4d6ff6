"""Queries and what is nearest to them, right and wrong pictures told apart."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from samecar.errors import SamecarError
from samecar.evaluation.ranked_lists import RankedPicture, RankedQuery
from samecar.report.figures.style import (
    INK,
    MUTED,
    PAPER,
    SMALL,
    WIDTHS,
    drawing,
    fit_text,
    line_height,
    text_size,
)
from samecar.report.thumbnails import read_thumbnail

PER_LINE = 10
"""Results side by side at most."""

CELL, SMALLEST_CELL = 0.9, 0.6
"""Inches of a picture's place, where the figure may be as wide as it likes, and where it is narrow."""

MARGIN, GAP, QUERY_GAP = 0.07, 0.07, 0.14
"""Inches around the pictures, between two of them, and beside the query."""

BADGE = 0.2
"""A tick's or a cross's part of a picture's place."""

PICTURE_SIDE = 640
"""Pixels that a picture keeps on its longer side."""

EMPTY = "#eeeff0"
RIGHT = "#0a5434"  # dark, so that it differs from WRONG in a grey print too
WRONG = "#d95a28"

TICK = ((-0.22, 0.02), (-0.06, 0.18), (0.23, -0.15))
CROSS = ((-0.18, -0.18), (0.18, 0.18)), ((-0.18, 0.18), (0.18, -0.18))
"""Their lines, in parts of a badge, from its middle to the right and down."""


Dash = str | tuple[int, tuple[float, ...]]


class _Place(NamedTuple):
    """The place of a picture in inches, from the left and from the top, and the points of the text below it."""

    left: float
    top: float
    side: float
    points: float


def ranks_figure(queries: Sequence[RankedQuery], *, title: str = "", width: float | None = None) -> Figure:
    """Draws ranked lists: each query at the left, its results beside it, nearest first, line by line.

    A right result has a solid frame, a tick and the word "right"; a wrong one a dashed frame, a cross and the word
    "wrong": the two can be told apart without colour. A picture that cannot be read is drawn as an empty box.

    Args:
        queries: with their results.
        title: of the figure; an empty one is none.
        width: in inches; by default a picture has 0.9. Narrower figures have fewer pictures in a line.

    Raises:
        SamecarError: there is no query, or the width is out of range.
    """
    if not queries:
        raise SamecarError("there are no ranked lists to draw; give at least one query")
    most = max(1, *(len(query.results) for query in queries))
    fitting = PER_LINE if width is None else max(1, min(PER_LINE, _columns(width, SMALLEST_CELL)))
    columns = math.ceil(most / math.ceil(most / fitting))
    width = max(WIDTHS[0], _width(columns, CELL)) if width is None else width
    side = (width - _width(columns, 0)) / (columns + 1)
    row_height = side + GAP + 2 * line_height(width, SMALL)
    rows = [max(1, math.ceil(len(query.results) / columns)) for query in queries]
    height = sum(rows) * row_height + 2 * MARGIN
    with drawing(width, height, title, arranged=False) as figure:
        axes = figure.add_axes((0, 0, 1, height / figure.get_figheight()))
        top = MARGIN
        for query, count in zip(queries, rows, strict=True):
            _draw_query(axes, _Place(MARGIN, top, side, text_size(width, SMALL)), query, columns, row_height)
            top += count * row_height
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        axes.set_axis_off()
    return figure


def _width(columns: int, side: float) -> float:
    return 2 * MARGIN + QUERY_GAP + (columns - 1) * GAP + (columns + 1) * side


def _columns(width: float, side: float) -> int:
    return int((width - _width(0, side)) / (side + GAP))


def _draw_query(axes: Axes, place: _Place, query: RankedQuery, columns: int, row_height: float) -> None:
    _draw_picture(axes, place, query)
    _draw_frame(axes, place, INK, 1)
    _draw_caption(axes, place, "query", f"{query.vehicle_id} · {query.camera_id}")
    first = place.left + place.side + QUERY_GAP
    for number, result in enumerate(query.results):
        row, column = divmod(number, columns)
        at = place._replace(left=first + column * (place.side + GAP), top=place.top + row * row_height)
        _draw_picture(axes, at, result)
        _draw_verdict(axes, at, correct=result.correct)
        verdict = f"{number + 1} · {'right' if result.correct else 'wrong'}"
        _draw_caption(axes, at, verdict, f"{result.vehicle_id or 'unknown'} · {result.camera_id}")


def _draw_picture(axes: Axes, place: _Place, shown: RankedQuery | RankedPicture) -> None:
    left, top, side, points = place
    axes.add_patch(Rectangle((left, top), side, side, color=EMPTY, linewidth=0, zorder=-1))
    picture = read_thumbnail(shown.path, PICTURE_SIDE)
    if picture is None:
        lines = [fit_text(text, side, points) for text in ("cannot be read:", shown.path.name)]
        axes.text(left + side / 2, top + side / 2, "\n".join(lines), ha="center", va="center", size=SMALL, color=MUTED)
        return
    scale = side / max(picture.size)
    wide, high = (pixels * scale for pixels in picture.size)
    left, top = left + (side - wide) / 2, top + (side - high) / 2
    axes.imshow(picture, extent=(left, left + wide, top + high, top), aspect="auto", interpolation="antialiased")


def _draw_verdict(axes: Axes, place: _Place, *, correct: bool) -> None:
    if correct:
        _draw_frame(axes, place, RIGHT, 2.6)
    else:
        _draw_frame(axes, place, PAPER, 2.6)
        _draw_frame(axes, place, WRONG, 2.6, (0, (2, 1.6)))
    badge = BADGE * place.side
    middle = place.left + place.side - badge / 2 + GAP / 2, place.top + badge / 2 - GAP / 2
    points = 72 * badge
    fill, stroke = (RIGHT, PAPER) if correct else (PAPER, WRONG)
    axes.plot(
        *middle, "o", markersize=points, markerfacecolor=fill, markeredgecolor=stroke, markeredgewidth=points / 13
    )
    for line in (TICK,) if correct else CROSS:
        x, y = zip(*line, strict=True)
        axes.plot(
            [middle[0] + badge * part for part in x],
            [middle[1] + badge * part for part in y],
            color=stroke,
            linewidth=points / 9,
            solid_capstyle="round",
        )


def _draw_frame(axes: Axes, place: _Place, colour: str, points: float, dash: Dash = "-") -> None:
    """A frame of so many points, whose outer edge is the place's."""
    left, top, side, _ = place
    half = points / 72 / 2
    axes.add_patch(
        Rectangle(
            (left + half, top + half),
            side - 2 * half,
            side - 2 * half,
            fill=False,
            edgecolor=colour,
            linewidth=points,
            linestyle=dash,
            zorder=1.5,
        )
    )


def _draw_caption(axes: Axes, place: _Place, heading: str, text: str) -> None:
    for row, (line, colour) in enumerate(((heading, INK), (text, MUTED))):
        below = place.top + place.side + 0.03 + row * 1.2 * place.points / 72
        axes.text(place.left, below, fit_text(line, place.side, place.points), size=SMALL, color=colour, va="top")
