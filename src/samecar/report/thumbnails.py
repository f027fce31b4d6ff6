"""Pictures made small, for pages and sheets."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from samecar.data.pictures import UnreadablePictureError, read_picture

THUMBNAIL_SIDE = 160
"""Longest side in pixels of a picture in a ranked list of the report."""

ENLARGED_SIDE = 512
"""Longest side in pixels of the same picture when it is enlarged: most data sets' crops as they are."""


def read_thumbnail(path: Path, side: int) -> Image.Image | None:
    """Reads a picture in RGB, made so small that no side is longer than ``side`` pixels; None if it cannot be read."""
    try:
        picture = read_picture(path, (side, side))
    except UnreadablePictureError:
        return None
    picture.thumbnail((side, side))
    return picture


class ReportPicture(NamedTuple):
    """A picture as a report holds it.

    Attributes:
        number: its place among the report's pictures, from 1.
        thumbnail: JPEG data URI, its longer side has at most `THUMBNAIL_SIDE` pixels.
        enlarged: the same with at most `ENLARGED_SIDE` pixels.
        width: of the enlarged picture in pixels.
        height: of the enlarged picture in pixels.
    """

    number: int
    thumbnail: str
    enlarged: str
    width: int
    height: int


class ReportPictures:
    """The pictures of a report, each read once and held once in its larger size.

    Attributes:
        shown: those that were read so far, in the order in which they were asked for.
    """

    def __init__(self) -> None:
        self.shown: list[ReportPicture] = []
        self._by_path: dict[Path, ReportPicture | None] = {}

    def read(self, path: Path) -> ReportPicture | None:
        """The picture of a file; None if it cannot be read."""
        if path not in self._by_path:
            picture = read_thumbnail(path, ENLARGED_SIDE)
            if picture is None:
                self._by_path[path] = None
            else:
                enlarged = _as_uri(picture)
                width, height = picture.size
                picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
                made = ReportPicture(len(self.shown) + 1, _as_uri(picture), enlarged, width, height)
                self.shown.append(made)
                self._by_path[path] = made
        return self._by_path[path]


def _as_uri(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
