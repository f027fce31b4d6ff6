"""A query and what a search found for it, as a sheet of pictures."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from samecar.evaluation.ranked_lists import RankedQuery
from samecar.report import draw_ranked_lists
from samecar.report.figures.style import INK, MUTED, new_figure, style

PER_LINE = 5
"""Found pictures side by side at most, to the right of the query."""

CELL = 1.5
"""Width of a picture's place in inches; its height leaves room for the captions."""

CAPTION = 0.6
"""Height of the captions below a picture in inches."""

DOTS_PER_INCH = 150
"""Twenty pictures in two lines then fill a sheet's long side, with captions of six points and more."""


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


def found_figure(query: Image.Image | None, found: Sequence[FoundPicture]) -> Figure:
    """Draws the query at the left and what was found beside it, most similar first, line by line."""
    columns = min(PER_LINE, max(1, len(found)))
    lines = max(1, math.ceil(len(found) / columns))
    with style():
        figure = new_figure(CELL * (columns + 1), (CELL + CAPTION) * lines)
        grid = figure.add_gridspec(lines, columns + 1)
        _draw(figure.add_subplot(grid[0, 0]), FoundPicture(query, "query", ()), INK)
        for place, picture in enumerate(found):
            line, column = divmod(place, columns)
            axes = figure.add_subplot(grid[line, column + 1])
            _draw(axes, picture._replace(heading=f"{place + 1} · {picture.heading}"), MUTED)
    return figure


def _draw(axes: Axes, picture: FoundPicture, frame: str) -> None:
    if picture.picture is not None:
        axes.imshow(picture.picture)
    axes.set_box_aspect(1)
    axes.set_anchor("N")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=frame)
    axes.set_xlabel("\n".join((picture.heading, *picture.lines)), fontsize=7, parse_math=False)


def ranks_figure(queries: Sequence[RankedQuery]) -> Figure:
    """Draws ranked lists, right and wrong pictures told apart by frame, sign and word as well as by colour.

    The pictures and their captions are one image inside the SVG.

    Raises:
        SamecarError: there is no query.
    """
    sheet = draw_ranked_lists(queries)
    width, height = (side / DOTS_PER_INCH for side in sheet.size)
    figure = new_figure(width, height, arranged=False, dots_per_inch=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(sheet, interpolation="none")
    axes.set_axis_off()
    return figure
