"""Sheets of pictures: a query at the left, and what was found for it beside it, nearest first, line by line.

`found_figure` draws what a search found, `draw_ranked_lists` and `ranks_figure` what is known to be right or wrong.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from samecar.errors import SamecarError
from samecar.evaluation.ranked_lists import RankedQuery
from samecar.report.figures.style import INK, MUTED, PAPER, new_figure, style
from samecar.report.thumbnails import read_thumbnail

FOUND_PER_LINE = 5
"""Found pictures side by side at most, to the right of the query."""

FOUND_CELL = 1.5
"""Width of a found picture's place in inches; its height leaves room for the captions."""

FOUND_CAPTION = 0.6
"""Height of the captions below a found picture in inches."""

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
    columns, lines = min(FOUND_PER_LINE, max(1, len(found))), _lines(len(found), FOUND_PER_LINE)
    with style():
        figure = new_figure(FOUND_CELL * (columns + 1), (FOUND_CELL + FOUND_CAPTION) * lines)
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


def _lines(pictures: int, per_line: int) -> int:
    """How many lines so many found pictures take; a query without any takes one."""
    return max(1, math.ceil(pictures / per_line))


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


# All lengths of the drawn lists are pixels.
_CELL = 136
_GAP = 14
_QUERY_GAP = 30
_CAPTION = 44
_MARGIN = 20
_PER_LINE = 10
_BADGE = 30
_EMPTY = (238, 239, 240)
_RIGHT = (10, 84, 52)  # dark, so that it differs from _WRONG in a grey print too
_WRONG = (217, 90, 40)


def draw_ranked_lists(queries: Sequence[RankedQuery]) -> Image.Image:
    """Draws ranked lists: each query at the left, its results beside it, at most ten in a line.

    A right result has a solid frame, a tick and the word "right"; a wrong one a dashed frame, a cross and the word
    "wrong": the two can be told apart without colour. A picture that cannot be read is drawn as an empty box.

    Raises:
        SamecarError: there is no query.
    """
    if not queries:
        raise SamecarError("there are no ranked lists to draw; give at least one query")
    columns = min(_PER_LINE, max(len(query.results) for query in queries))
    lines = [_lines(len(query.results), _PER_LINE) for query in queries]
    line_height = _CELL + _CAPTION + _GAP
    first_column = _MARGIN + _CELL + _QUERY_GAP
    width = first_column + columns * (_CELL + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, 2 * _MARGIN + sum(lines) * line_height - _GAP), PAPER)
    top = _MARGIN
    for query, count in zip(queries, lines, strict=True):
        _draw_cell(sheet, (_MARGIN, top), query.path)
        ImageDraw.Draw(sheet).rectangle((_MARGIN, top, _MARGIN + _CELL - 1, top + _CELL - 1), outline=INK, width=2)
        _draw_caption(sheet, (_MARGIN, top), "query", f"{query.vehicle_id} · {query.camera_id}")
        for place, result in enumerate(query.results):
            line, column = divmod(place, _PER_LINE)
            corner = (first_column + column * (_CELL + _GAP), top + line * line_height)
            _draw_cell(sheet, corner, result.path)
            _draw_verdict(sheet, corner, correct=result.correct)
            verdict = f"{place + 1} · {'right' if result.correct else 'wrong'}"
            _draw_caption(sheet, corner, verdict, f"{result.vehicle_id or 'unknown'} · {result.camera_id}")
        top += count * line_height
    return sheet


def _draw_cell(sheet: Image.Image, corner: tuple[int, int], path: Path) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), fill=_EMPTY)
    picture = read_thumbnail(path, 4 * _CELL)
    if picture is None:
        middle = left + _CELL // 2
        for row, text in enumerate(("cannot be read:", path.name)):
            draw.text((middle, top + 56 + 20 * row), _fit_text(text, _font(13)), MUTED, _font(13), anchor="mm")
        return
    scale = _CELL / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    fitted = picture.resize((width, height), Image.Resampling.LANCZOS)
    sheet.paste(fitted, (left + (_CELL - width) // 2, top + (_CELL - height) // 2))


def _draw_verdict(sheet: Image.Image, corner: tuple[int, int], *, correct: bool) -> None:
    left, top = corner
    right, bottom = left + _CELL - 1, top + _CELL - 1
    draw = ImageDraw.Draw(sheet)
    if correct:
        draw.rectangle((left, top, right, bottom), outline=_RIGHT, width=6)
    else:
        draw.rectangle((left, top, right, bottom), outline=PAPER, width=4)
        dash, period = 10, 18
        for start in range(0, _CELL, period):
            end = min(start + dash, _CELL) - 1
            draw.rectangle((left + start, top, left + end, top + 3), fill=_WRONG)
            draw.rectangle((left + start, bottom - 3, left + end, bottom), fill=_WRONG)
            draw.rectangle((left, top + start, left + 3, top + end), fill=_WRONG)
            draw.rectangle((right - 3, top + start, right, top + end), fill=_WRONG)
    badge = _badge(correct=correct)
    sheet.paste(badge, (right - _BADGE + 7, top - 6), badge)


def _badge(*, correct: bool) -> Image.Image:
    """A tick in a filled disc or a cross in an empty one, with transparency."""
    scale = 8  # drawn large and made small, because Pillow's lines have no soft edges
    side = _BADGE * scale
    badge = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(badge)
    colour, stroke = (_RIGHT, PAPER) if correct else (PAPER, _WRONG)
    draw.ellipse((scale, scale, side - scale, side - scale), fill=colour, outline=stroke, width=2 * scale)
    strokes = (
        [[(0.28, 0.52), (0.44, 0.68), (0.73, 0.35)]]
        if correct
        else [[(0.32, 0.32), (0.68, 0.68)], [(0.32, 0.68), (0.68, 0.32)]]
    )
    for points in strokes:
        draw.line([(x * side, y * side) for x, y in points], fill=stroke, width=3 * scale, joint="curve")
    return badge.resize((_BADGE, _BADGE), Image.Resampling.LANCZOS)


def _draw_caption(sheet: Image.Image, corner: tuple[int, int], heading: str, text: str) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    draw.text((left, top + _CELL + 5), _fit_text(heading, _font(16)), INK, _font(16))
    draw.text((left, top + _CELL + 25), _fit_text(text, _font(13)), MUTED, _font(13))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text in one line, cut where it is wider than a cell."""
    text = " ".join(text.split())
    if font.getlength(text) <= _CELL:
        return text
    while text and font.getlength(text + "...") > _CELL:
        text = text[:-1]
    return text + "..."
