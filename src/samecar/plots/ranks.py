"""A query and its nearest gallery pictures."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from samecar.evaluation.report import RankedQuery, draw_ranked_lists
from samecar.plots.saving import new_figure

DOTS_PER_INCH = 150
"""Twenty pictures in two lines then fill a sheet's long side, with captions of six points and more."""


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
