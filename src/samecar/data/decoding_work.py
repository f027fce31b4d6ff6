"""How much work a picture makes, told from its file before it is decoded: small files can keep a decoder for hours.

Work is counted in pixels. What a decoder does beyond making each pixel once is said as so many pixels more, by what it
took of time where it was measured; one pixel takes some 16 ns.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Costs: TypeAlias = Iterator[tuple[int, int]]
"""Pixels as far as they are known, and work that comes to them: pair by pair, as the file is gone through."""

EXTRA_WORK: Final = 3
"""Most extra work, as a multiple of the pixels that a picture may have: a JPEG of that many may have 30 scans.

Then no picture takes longer than four plain ones of the most pixels.
"""

SCANS_OF_A_PIXEL: Final = 10
"""Scans of a JPEG that pass over a pixel in the time in which it is made."""

ARITHMETIC: Final = 25
"""Scans by Huffman's code that take as long as one by arithmetic code, which needs no data to be slow."""

PART: Final = 2000
"""Work of a marker, a chunk or a tag, however empty: they are read in Python, here and by Pillow."""

STRIP: Final = 1000
"""Work of a strip or tile of a TIFF."""

ROW: Final = 4
"""Work of a row, however short."""

JUNK: Final = 10
"""Work of a byte that Pillow passes over one by one."""

INFLATED: Final = 1 << 20
"""Most bytes to which Pillow inflates a text or profile of a PNG."""

INFLATED_OF_A_PIXEL: Final = 5
"""Bytes that are inflated in the time of a pixel."""

DEFLATION: Final = 1032
"""Most bytes that deflate makes of one."""

READ_OF_A_PIXEL: Final = 10
"""Bytes of compressed data that are read in the time of a pixel."""

COPIED_OF_A_PIXEL: Final = 100
"""Bytes that are copied in the time of a pixel."""

RUN_LENGTHS: Final = 15
"""Work of a pixel of a BMP by run lengths, which Pillow decodes in Python; a byte of the file takes as long."""

SOF: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a JPEG that begin a frame."""

SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
"""Those of a frame by Huffman's code that one scan may show whole."""

EOI: Final = 0xD9
SOS: Final = 0xDA
APP1: Final = 0xE1

ALONE: Final = frozenset({0x01, 0xD8, EOI})
"""Markers without a length."""

BMP_HEADS: Final = (12, 40, 52, 56, 64, 108, 124)
"""Sizes of a BMP's head; the first one has no run lengths."""

TIFF_TAGS: Final[Mapping[int, str]] = {
    256: "width",
    257: "height",
    259: "compression",
    273: "strip_offsets",
    277: "samples",
    278: "strip_rows",
    279: "strip_lengths",
    284: "planes",
    322: "tile_width",
    323: "tile_height",
    324: "tile_offsets",
    325: "tile_lengths",
}
"""Tags of a TIFF that tell how much work it is."""

TIFF_TYPES: Final[Mapping[int, str]] = {1: "u1", 3: "u2", 4: "u4", 6: "u1", 8: "u2", 9: "u4", 16: "u8", 17: "u8"}
"""Whole numbers of a TIFF, as NumPy calls them."""

TIFF_RAW: Final = 1
TIFF_JPEG: Final = (6, 7)
"""Compressions of a TIFF: none, and both by JPEG."""

BIG_TIFF: Final = 43
"""What stands where a TIFF of up to 4 GB has 42."""

DECEIT: Final = 1 << 60
"""Work of what decoders may read in different ways, one of which is more than was seen."""

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""What is no byte of a scan, no restart and no filler."""


class Work(NamedTuple):
    """Work of decoding a picture.

    Attributes:
        pixels: that the file says it has; 0 where it says none.
        extra: work beyond making each of these once, in pixels.
    """

    pixels: int
    extra: int

    def exceeds(self, pixels: int) -> bool:
        """Whether the extra work is too much where a picture may have so many pixels."""
        return self.extra > EXTRA_WORK * pixels


def estimate_work(content: bytes, pixels: int) -> Work:
    """Tells how much work it is at most to decode a picture, without decoding any of it.

    Args:
        content: of a file of any of `samecar.data.pictures.PICTURE_FORMATS`; anything else is no work.
        pixels: that a picture may have; counting ends where the extra work is too much for it.
    """
    work = Work(0, 0)
    read_costs = next((reader for beginning, reader in _READERS.items() if content.startswith(beginning)), None)
    for known, more in read_costs(content) if read_costs else ():
        work = Work(max(work.pixels, known), work.extra + more)
        if work.exceeds(pixels):
            break
    return work


def _read_jpeg(content: bytes) -> Costs:
    """Goes from marker to marker as the decoder does; each scan passes over all pixels, even if it holds nothing."""
    pixels = scans = components = frames = exif = at = 0
    weight = 1
    while found := _MARKER.search(content, at):
        marker, body = found[1][0], found.end()
        yield 0, PART + (0 if scans else JUNK * (found.start() - at))
        at = body if marker in ALONE else body + max(2, int.from_bytes(content[body : body + 2]))
        if marker in SOF:
            height, width = int.from_bytes(content[body + 3 : body + 5]), int.from_bytes(content[body + 5 : body + 7])
            pixels = max(pixels, height * width)
            frames += 1
            components = content[body + 7] if marker in SEQUENTIAL and len(content) > body + 7 else 0
            weight = ARITHMETIC if marker > 0xC8 else 1  # beyond it all frames are by arithmetic code
            yield pixels, ROW * height
        elif marker == APP1 and content.startswith(b"Exif", body + 2):
            exif += at - body
            yield 0, exif // COPIED_OF_A_PIXEL  # Pillow puts what comes to what was there
        elif marker == SOS:
            scans += 1
            yield 0, pixels * weight // SCANS_OF_A_PIXEL
            if frames == 1 and content[body + 2 : body + 3] == bytes([components]):
                return  # it shows the whole picture, so that the decoder reads no other
        elif marker == EOI and scans:
            return


def _read_png(content: bytes) -> Costs:
    """Chunks, which Pillow takes one by one, and texts and profiles, which it inflates."""
    at = 8
    while at < len(content):
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        yield 0, PART
        if kind == b"IHDR":
            width, height = int.from_bytes(content[at + 8 : at + 12]), int.from_bytes(content[at + 12 : at + 16])
            yield width * height, ROW * height
        elif kind in (b"iCCP", b"zTXt", b"iTXt"):
            yield 0, min(INFLATED, length * DEFLATION) // INFLATED_OF_A_PIXEL
        elif kind == b"IEND":
            return
        at += 12 + length


def _read_bmp(content: bytes) -> Costs:
    """Width and height; run lengths, where they are used."""
    if int.from_bytes(content[14:18], "little") not in BMP_HEADS:
        return
    if content[14] == BMP_HEADS[0]:
        width, height = (int.from_bytes(content[at : at + 2], "little") for at in (18, 20))
        yield width * height, ROW * height
        return
    width, height = (int.from_bytes(content[at : at + 4], "little", signed=True) for at in (18, 22))
    pixels = abs(width * height)
    yield pixels, ROW * abs(height)
    if content[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
        yield 0, RUN_LENGTHS * (pixels + len(content))


def _read_webp(content: bytes) -> Costs:
    """Width and height of the canvas, which is gone over twice; only the first picture of several is decoded."""
    width = height = 0
    kind = content[12:16] if content[8:12] == b"WEBP" else b""
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    elif kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    yield width * height, width * height


def _read_tiff(content: bytes) -> Costs:
    """Tags; strips or tiles, which may be larger than the picture, lie over each other, and hold JPEG of many scans."""
    tags = _TiffTags.read(content)
    deceives = tags.repeated or content.startswith(b"MM\0+")  # Pillow takes this for a plain TIFF, libtiff does not
    yield 0, PART * tags.number + (DECEIT if deceives else 0)
    width, height = tags.first("width"), tags.first("height")
    yield width * height, ROW * height
    tiled = "tile_offsets" in tags.values
    across = tags.first("tile_width", 1) if tiled else width
    down = tags.first("tile_height", 1) if tiled else min(tags.first("strip_rows", height), height)
    parts = -(-width // max(1, across)) * -(-height // max(1, down))
    if tags.first("planes", 1) != 1:
        parts *= tags.first("samples", 1)
    parts = max(parts, *(len(tags.values.get(name, ())) for name in ("strip_offsets", "tile_offsets")))
    yield 0, STRIP * parts + max(0, parts * across * down - width * height)
    compression = tags.first("compression", 1)
    if compression == TIFF_RAW:
        return
    lengths = tags.values.get("tile_lengths" if tiled else "strip_lengths")
    read = parts * len(content) if lengths is None else int(np.minimum(lengths, len(content)).sum(dtype=np.float64))
    yield 0, read // READ_OF_A_PIXEL
    if compression in TIFF_JPEG:
        yield 0, content.count(b"\xff\xda") * across * down // SCANS_OF_A_PIXEL


class _TiffTags(NamedTuple):
    """What the first picture of a TIFF says of itself.

    Attributes:
        values: by the name of `TIFF_TAGS`, as far as they lie within the file.
        number: of all tags.
        repeated: whether one of these is there twice: of two values each decoder may take another.
    """

    values: dict[str, NDArray[Any]]
    number: int
    repeated: bool

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Reads them; a file that is damaged has fewer."""
        order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"
        big = content[2] == BIG_TIFF
        place, entry, inline = (8, 20, 8) if big else (4, 12, 4)  # of the first tags' place; bytes of a tag, of a value

        def number(at: int, size: int) -> int:
            return int.from_bytes(content[at : at + size], order)

        at = number(place, inline)
        first = at + (8 if big else 2)
        count = min(number(at, first - at), max(0, len(content) - first) // entry)
        values: dict[str, NDArray[Any]] = {}
        repeated = False
        for tag in range(first, first + entry * count, entry):
            name, kind = TIFF_TAGS.get(number(tag, 2)), TIFF_TYPES.get(number(tag + 2, 2))
            if name is None or kind is None:
                continue
            repeated |= name in values
            form = np.dtype(kind).newbyteorder(order)
            length, value = number(tag + 4, inline), tag + 4 + inline
            if length * form.itemsize > inline:
                value = number(value, inline)
            length = max(0, min(length, (len(content) - value) // form.itemsize))
            values[name] = np.frombuffer(content, form, length, value) if length else np.empty(0, form)
        return cls(values, count, repeated)

    def first(self, name: str, default: int = 0) -> int:
        """The value of a tag that has one."""
        found = self.values.get(name)
        return default if found is None or not len(found) else int(found[0])


_READERS: Final[Mapping[bytes, Callable[[bytes], Costs]]] = {
    b"\xff\xd8\xff": _read_jpeg,
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"BM": _read_bmp,
    b"RIFF": _read_webp,
    b"II*\0": _read_tiff,
    b"II\0*": _read_tiff,
    b"II+\0": _read_tiff,
    b"MM\0*": _read_tiff,
    b"MM*\0": _read_tiff,
    b"MM\0+": _read_tiff,
}
