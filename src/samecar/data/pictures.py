"""Opening pictures: whatever the file holds, an upright RGB picture comes out, or one sentence that says why not."""

import io
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from samecar.data.decoding_work import estimate_work
from samecar.data.turbo import decode_jpeg
from samecar.errors import SamecarError
from samecar.files import read_whole

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

TOO_MUCH_WORK: Final = (
    "decoding it takes too much work, as it has too many scans, chunks, tags, strips or run lengths; open it in a "
    "picture program and save it anew"
)
"""Why a small file is refused that would keep a decoder busy."""

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

_WIDE_GREY_MODES: Final = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Grey values of 16 bits, of 32, and of floating point."""

GREY_BITS: Final = (8, 10, 12, 14, 16)
"""Bits of which cameras make a grey value; what a file of 16 bits holds is scaled by the fewest that hold it."""

GREY_BITS_TAKEN: Final = "grey_bits"
"""Key in a picture's `info` of the bits that its grey values seem to have, where it is fewer than the file's."""

FIRST_OF_SEVERAL: Final = "first_of_several"
"""Key in a picture's `info`, true where its file holds more frames or pages, which are not used.

The second picture of a JPEG does not count: it is a preview or a depth map of a phone.
"""

_WIDE_BITS: Final = 16

_PNG_BITS_AT: Final = 24
"""Where a PNG file says how many bits a value has."""

_BRIGHTEST_OF_14_BITS: Final = 63
"""What is left of the highest of 14 bits when 8 of 16 are kept."""


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
        A picture of mode RGB, turned as its EXIF orientation says; `info` has `FIRST_OF_SEVERAL`. Transparent parts
        become `BACKGROUND`. Grey values of more than 8 bits are scaled to 8: by the bits that the file declares, if
        fewer than 16, else by the fewest of `GREY_BITS` that hold its highest value, which `info` then tells under
        `GREY_BITS_TAKEN`. Grey values of floating point may also be 0 to 1.

    Raises:
        UnreadablePictureError: the file is missing, empty, truncated, corrupt, no picture, has more than `PIXEL_LIMIT`
            pixels, takes too much work to decode, or has values that are no brightness, or colours of 16 bits of which
            only the lowest are used.
    """
    try:
        content = read_whole(path)
    except (OSError, ValueError) as error:  # ValueError: the name holds a null byte
        raise UnreadablePictureError(path, (getattr(error, "strerror", None) or str(error)).lower()) from error
    return decode_picture(content, path, size)


def decode_picture(content: bytes, name: str | Path, size: tuple[int, int] | None = None) -> Image.Image:
    """Does what `read_picture` does with bytes that were read already; `name` stands in the error's sentence."""
    if not content:
        raise UnreadablePictureError(name, "the file is empty")
    try:
        return _decode(content, size)
    except _RefusedError as error:
        raise UnreadablePictureError(name, str(error)) from error
    except Image.DecompressionBombError as error:
        raise UnreadablePictureError(name, f"it has more than the {PIXEL_LIMIT:,} pixels allowed") from error
    except UnidentifiedImageError as error:
        raise UnreadablePictureError(name, "it is not a picture of a known format") from error
    except Exception as error:  # decoders raise whatever a broken file leads them into
        raise UnreadablePictureError(name, f"it is truncated or corrupt ({error})") from error


class _RefusedError(Exception):
    """The file is whole, but no picture to work with."""


def _decode(content: bytes, size: tuple[int, int] | None) -> Image.Image:
    picture: Image.Image
    _refuse_costly(content)
    with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
        width, height = picture.size
        if width * height > PIXEL_LIMIT:
            raise _RefusedError(f"it has {width * height:,} pixels; at most {PIXEL_LIMIT:,} are allowed")
        if size is not None:
            _allow_smaller(picture, size)
        depth = _Depth.read(picture, content)
        several = picture.format != "MPO" and bool(getattr(picture, "is_animated", False))
        decoded = decode_jpeg(picture, content)
        if decoded is not None:
            decoded = _turn(decoded, _read_orientation(picture))
        else:
            picture.load()  # which turns a TIFF, so that its orientation is read afterwards
            decoded = _as_rgb(_turn(picture, _read_orientation(picture)), depth)
        decoded.info[FIRST_OF_SEVERAL] = several
        return decoded


def _refuse_costly(content: bytes) -> None:
    """Refuses what would keep its decoder longer than any ordinary picture; opening it may already take so long."""
    work = estimate_work(content, PIXEL_LIMIT)
    if not work.exceeds(PIXEL_LIMIT):
        return
    if work.pixels > PIXEL_LIMIT:
        raise _RefusedError(f"it has {work.pixels:,} pixels; at most {PIXEL_LIMIT:,} are allowed")
    raise _RefusedError(TOO_MUCH_WORK)


def _allow_smaller(picture: Image.Image, size: tuple[int, int]) -> None:
    # The picture may yet be turned on its side: both sides must stay above the longer one that is wanted.
    longest = max(size)
    if picture.format == "JPEG" and picture.mode in ("RGB", "L"):
        picture.draft(picture.mode, (longest, longest))


def _read_orientation(picture: Image.Image) -> object:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata does not spoil the pixels
        return None


def _turn(picture: Image.Image, orientation: object) -> Image.Image:
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


class _Depth(NamedTuple):
    """What a file says of its values.

    Attributes:
        bits: of each; None where the file does not say it.
        zero_is_white: whether they are those of a negative.
    """

    bits: int | None = None
    zero_is_white: bool = False

    @classmethod
    def read(cls, picture: Image.Image, content: bytes) -> Self:
        """Reads it from the head of a file that was opened."""
        if picture.format == "PNG":
            return cls(content[_PNG_BITS_AT])
        if not isinstance(picture, TiffImagePlugin.TiffImageFile):
            return cls()
        tags = picture.tag_v2
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        return cls(max(bits), tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0)


def _as_rgb(picture: Image.Image, depth: _Depth) -> Image.Image:
    if picture.mode in _WIDE_GREY_MODES:
        return _grey_as_rgb(np.asarray(picture), depth)
    opaque = picture.convert("RGB")
    if depth.bits == _WIDE_BITS:
        _refuse_lowest_bits(opaque)
    if not picture.has_transparency_data:
        return opaque
    covered = picture.convert("RGBA")
    ground = Image.new("RGBA", covered.size, (*BACKGROUND, 255))
    return Image.alpha_composite(ground, covered).convert("RGB")


def _refuse_lowest_bits(opaque: Image.Image) -> None:
    """Refuses a picture of 16 bits a colour of which nothing is left, as only the upper 8 were read."""
    if np.asarray(opaque).max() <= _BRIGHTEST_OF_14_BITS:
        raise _RefusedError(
            "of the 16 bits of its colours it uses the lowest alone, so that it would be nearly black; write it with "
            "8 bits a colour, or scaled to all 16"
        )


def _grey_as_rgb(values: NDArray[Any], depth: _Depth) -> Image.Image:
    """Scales grey values of more than 8 bits, (height, width), to 8."""
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0 and highest < 1 << _WIDE_BITS):  # neither holds where one is not a number
        raise _RefusedError(
            f"its grey values go from {lowest:g} to {highest:g}; write it with values from 0 to 65535, or 0 to 1"
        )
    declared = depth.bits if depth.bits is not None and depth.bits < _WIDE_BITS else None
    bits = declared or next(bits for bits in GREY_BITS if highest < 1 << bits)
    if values.dtype.kind == "f" and highest <= 1:
        scaled = np.rint(values * 255)
    elif values.dtype.kind == "f" and bits == GREY_BITS[0]:
        scaled = values
    else:
        scaled = values.astype(np.float32 if values.dtype.kind == "f" else np.uint32)
        scaled *= 255
        scaled //= (1 << bits) - 1
    grey = scaled.astype(np.uint8)
    picture = Image.fromarray(~grey if depth.zero_is_white else grey).convert("RGB")
    if declared is None and bits < _WIDE_BITS:
        picture.info[GREY_BITS_TAKEN] = bits
    return picture
