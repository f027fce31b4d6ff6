"""Damaged pictures: each is read, or refused in one sentence, within a time, and never ends the process."""

import io
import random
import zlib
from functools import partial

import numpy as np
from PIL import Image

from samecar.data.pictures import UnreadablePictureError, decode_picture
from samecar.progress import Progress
from trials.mutating import mutate
from trials.portions import try_inputs
from trials.record import Record

NAME = "damaged"

KINDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "JPEG": ("JPEG", "RGB", {"quality": 85}),
    "JPEG, progressive": ("JPEG", "RGB", {"progressive": True}),
    "JPEG, grey": ("JPEG", "L", {}),
    "JPEG, four colours": ("JPEG", "CMYK", {}),
    "PNG": ("PNG", "RGB", {}),
    "PNG, transparent": ("PNG", "RGBA", {}),
    "PNG, palette": ("PNG", "P", {}),
    "PNG, 16 bits": ("PNG", "I;16", {}),
    "WebP": ("WEBP", "RGB", {}),
    "WebP, lossless": ("WEBP", "RGBA", {"lossless": True}),
    "TIFF": ("TIFF", "RGB", {}),
    "TIFF, LZW": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "TIFF, deflate": ("TIFF", "I;16", {"compression": "tiff_adobe_deflate"}),
    "TIFF, JPEG": ("TIFF", "RGB", {"compression": "jpeg"}),
    "TIFF, floating point": ("TIFF", "F", {}),
    "BMP": ("BMP", "RGB", {}),
    "BMP, palette": ("BMP", "P", {}),
}
"""Format, mode and options of Pillow."""


def draw(kind: str) -> bytes:
    """A small picture of coarse noise of a kind, whole."""
    form, mode, options = KINDS[kind]
    generator = np.random.default_rng(1)
    noise = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 48))
    wide = mode in ("I;16", "F")
    picture = Image.fromarray(np.asarray(noise)[..., 0].astype(np.uint16) * 257) if wide else noise.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation, so that there are metadata to damage
    file = io.BytesIO()
    (picture.convert(mode) if mode == "F" else picture).save(
        file, form, **({} if form == "BMP" else {"exif": exif}), **options
    )
    return file.getvalue()


def damaged(seed: int, drawn: dict[str, bytes], number: int) -> bytes:
    """The damaged picture of a number."""
    kind = list(KINDS)[number % len(KINDS)]
    generator = random.Random(f"pictures {seed} {number}")
    content = mutate(drawn[kind], generator)
    return _mend_checksums(content) if kind.startswith("PNG") and generator.random() < 0.5 else content


def _mend_checksums(png: bytes) -> bytes:
    """A PNG file whose parts have the checksums of what they hold: else hardly a damaged one gets to the decoder."""
    mended, place = png[:8], 8
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        mended += png[place:end] + zlib.crc32(png[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return mended


def attempt(seed: int, drawn: dict[str, bytes], number: int) -> str:
    """Reads one.

    Raises:
        ValueError: it is refused in more than one sentence.
    """
    kind = list(KINDS)[number % len(KINDS)]
    try:
        picture = decode_picture(damaged(seed, drawn, number), NAME, (64, 64) if number % 2 else None)
    except UnreadablePictureError as error:
        if not str(error).startswith(f"picture {NAME} cannot be read: ") or len(str(error).splitlines()) > 1:
            raise ValueError(f"not one sentence: {error}") from error
        return f"{kind}: refused"
    if picture.mode != "RGB" or not all(picture.size):
        raise ValueError(f"a picture of mode {picture.mode} and size {picture.size}")
    return f"{kind}: read"


def run(record: Record, size: int, progress: Progress) -> None:
    """Tries so many damaged pictures."""
    seed, drawn = record.found["seed"], {kind: draw(kind) for kind in KINDS}
    try_inputs(
        partial(attempt, seed, drawn), record, size, progress, lambda number: damaged(seed, drawn, number).hex()[:4000]
    )
