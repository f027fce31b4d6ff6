"""Opening pictures: whatever the file holds, an upright RGB picture comes out, or one sentence that says why not."""

import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from samecar.errors import SamecarError

PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""File names that count as pictures, in any case of letters."""

PICTURE_FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
"""What these names promise, as Pillow calls it; a JPEG may hold several pictures (MPO).

Nothing else is opened: some decoders of Pillow decode, or start other programs, before anybody can look at the size.
"""

PIXEL_LIMIT: Final = 80_000_000
"""Pictures with more pixels are refused: no crop of a vehicle is that big, and decoding one can exhaust the memory.

It lies below the number at which Pillow begins to warn.
"""

BACKGROUND: Final = (128, 128, 128)
"""Grey that shows through transparent parts; close to what erased and padded parts of training pictures become."""

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIXTEEN_BIT_MODES: Final = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Grey values of 16 bits; "I" has room for more, which stands for white."""


class UnreadablePictureError(SamecarError):
    """A file that no picture can be read from; its sentence names the file and the reason.

    Attributes:
        reason: the sentence's second half, without the path.
    """

    def __init__(self, name: str | Path, reason: str) -> None:
        super().__init__(f"picture {name} cannot be read: {reason}")
        self.reason = reason


def is_picture_name(name: str) -> bool:
    """Whether a file name ends as a picture's does; hidden files do not count."""
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")


def read_picture(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """Reads a file as an upright RGB picture.

    Args:
        path: any of `PICTURE_FORMATS`, whatever its name; of several frames the first one is taken.
        size: height and width that are wanted in the end; a JPEG that is at least twice as large each way is decoded at
            a half, quarter or eighth, never below `size`, which is quicker. The result is *not* resized to it.

    Returns:
        A picture of mode RGB, turned as its EXIF orientation says. Transparent parts become `BACKGROUND`, grey values
        of 16 bits are scaled to 8.

    Raises:
        UnreadablePictureError: the file is missing, empty, truncated, corrupt, no picture, or has more than
            `PIXEL_LIMIT` pixels.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the name holds a null byte
        raise UnreadablePictureError(path, (getattr(error, "strerror", None) or str(error)).lower()) from error
    return decode_picture(content, path, size)


def decode_picture(content: bytes, name: str | Path, size: tuple[int, int] | None = None) -> Image.Image:
    """Does what `read_picture` does with bytes that were read already; `name` stands in the error's sentence."""
    if not content:
        raise UnreadablePictureError(name, "the file is empty")
    try:
        return _decode(content, size)
    except _TooLargeError as error:
        raise UnreadablePictureError(name, str(error)) from error
    except Image.DecompressionBombError as error:
        raise UnreadablePictureError(name, f"it has more than the {PIXEL_LIMIT:,} pixels allowed") from error
    except UnidentifiedImageError as error:
        raise UnreadablePictureError(name, "it is not a picture of a known format") from error
    except Exception as error:  # decoders raise whatever a broken file leads them into
        raise UnreadablePictureError(name, f"it is truncated or corrupt ({error})") from error


class _TooLargeError(Exception):
    """Said before a single pixel is decoded."""


def _decode(content: bytes, size: tuple[int, int] | None) -> Image.Image:
    picture: Image.Image
    with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
        width, height = picture.size
        if width * height > PIXEL_LIMIT:
            raise _TooLargeError(f"it has {width * height:,} pixels; at most {PIXEL_LIMIT:,} are allowed")
        if size is not None:
            _allow_smaller(picture, size)
        picture.load()
        return _as_rgb(_upright(picture))


def _allow_smaller(picture: Image.Image, size: tuple[int, int]) -> None:
    # The picture may yet be turned on its side: both sides must stay above the longer one that is wanted.
    longest = max(size)
    if picture.format == "JPEG" and picture.mode in ("RGB", "L"):
        picture.draft(picture.mode, (longest, longest))


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata does not spoil the pixels
        return picture
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(picture)  # (height, width)
        if picture.mode == "I":
            values = values.clip(0, 65535).astype(np.uint16)
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        covered = picture.convert("RGBA")
        ground = Image.new("RGBA", covered.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, covered).convert("RGB")
    return picture.convert("RGB")
