"""A sheet of pictures: a query at the left, and what was found for it beside it, nearest first, line by line."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from samecar.report.figures.style import INK, MUTED, drawing

FOUND_PER_LINE = 5
"""Found pictures side by side at most, to the right of the query."""

FOUND_CELL = 1.5
"""Width of a found picture's place in inches; its height leaves room for the captions."""

FOUND_LINE = 0.13
"""Height of a line below a found picture in inches; there is room for another one between two rows."""


class FoundPicture(NamedTuple):
    """A picture that was found.

    Attributes:
        picture: in RGB; None draws an empty box.
        heading: the first line below it, such as its similarity.
        lines: what else is written below it.
    """

    picture: Image.Image | None
    heading: str
    lines: tuple[str, ...]


def found_figure(query: Image.Image | None, found: Sequence[FoundPicture], headline: str = "") -> Figure:
    """Draws the query at the left and what was found beside it, most similar first, line by line.

    Args:
        query: in RGB; None draws an empty box.
        found: what was found.
        headline: what the search says in one line; an empty one is left out.
    """
    columns = min(FOUND_PER_LINE, max(1, len(found)))
    lines = max(1, math.ceil(len(found) / FOUND_PER_LINE))  # a query without any takes one
    caption = FOUND_LINE * (2 + max((len(picture.lines) for picture in found), default=0))
    with drawing(FOUND_CELL * (columns + 1), (FOUND_CELL + caption) * lines, headline) as figure:
        grid = figure.add_gridspec(lines, columns + 1)
        _draw_found(figure.add_subplot(grid[0, 0]), FoundPicture(query, "query", ()), INK)
        for place, picture in enumerate(found):
            line, column = divmod(place, columns)
            axes = figure.add_subplot(grid[line, column + 1])
            _draw_found(axes, picture._replace(heading=f"{place + 1} · {picture.heading}"), MUTED)
    return figure


def _draw_found(axes: Axes, picture: FoundPicture, frame: str) -> None:
    if picture.picture is not None:
        axes.imshow(picture.picture)
    axes.set_box_aspect(1)
    axes.set_anchor("N")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=frame)
    axes.set_xlabel("\n".join((picture.heading, *picture.lines)), fontsize=7, parse_math=False)
