"""Pictures made small, for pages and sheets."""

import base64
import io
from pathlib import Path

from PIL import Image

from samecar.data.pictures import UnreadablePictureError, read_picture

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
