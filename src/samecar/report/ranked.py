"""Ranked lists to look at: a query, its nearest gallery pictures, and which of them are right."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.errors import SamecarError
from samecar.evaluation.ranked_lists import RankedQuery

THUMBNAIL_SIDE = 160
"""Longest side in pixels of a picture inside the report."""


def read_thumbnail(path: Path, side: int) -> Image.Image | None:
    """Reads a picture in RGB, made so small that no side is longer than ``side`` pixels; None if it cannot be read."""
    try:
        picture = read_picture(path, (side, side))
    except UnreadablePictureError:
        return None
    picture.thumbnail((side, side))
    return picture


def thumbnail_uri(path: Path) -> str | None:
    """Gives a picture's thumbnail as a JPEG data URI; None if the picture cannot be read."""
    picture = read_thumbnail(path, THUMBNAIL_SIDE)
    if picture is None:
        return None
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


# All lengths of the drawn lists are pixels.
_CELL = 136
_GAP = 14
_QUERY_GAP = 30
_CAPTION = 44
_MARGIN = 20
_PER_LINE = 10
_BADGE = 30
_INK = (28, 31, 35)
_MUTED = (91, 99, 107)
_PAPER = (255, 255, 255)
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
    lines = [max(1, math.ceil(len(query.results) / _PER_LINE)) for query in queries]
    line_height = _CELL + _CAPTION + _GAP
    first_column = _MARGIN + _CELL + _QUERY_GAP
    width = first_column + columns * (_CELL + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, 2 * _MARGIN + sum(lines) * line_height - _GAP), _PAPER)
    top = _MARGIN
    for query, count in zip(queries, lines, strict=True):
        _draw_cell(sheet, (_MARGIN, top), query.path)
        ImageDraw.Draw(sheet).rectangle((_MARGIN, top, _MARGIN + _CELL - 1, top + _CELL - 1), outline=_INK, width=2)
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
            draw.text((middle, top + 56 + 20 * row), _fitted(text, _font(13)), _MUTED, _font(13), anchor="mm")
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
        draw.rectangle((left, top, right, bottom), outline=_PAPER, width=4)
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
    colour, stroke = (_RIGHT, _PAPER) if correct else (_PAPER, _WRONG)
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
    draw.text((left, top + _CELL + 5), _fitted(heading, _font(16)), _INK, _font(16))
    draw.text((left, top + _CELL + 25), _fitted(text, _font(13)), _MUTED, _font(13))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text in one line, cut where it is wider than a cell."""
    text = " ".join(text.split())
    if font.getlength(text) <= _CELL:
        return text
    while text and font.getlength(text + "...") > _CELL:
        text = text[:-1]
    return text + "..."
