"""Makes small files of pictures that cost a decoder much, byte by byte, and without any library of pictures."""

import struct
import zlib

LENGTHS = bytes([1, 1] + 14 * [0])
"""Of Huffman's codes: "0" and "10"."""


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def scan(components: list[int], first: int, last: int, bits: int, data: bytes = b"") -> bytes:
    named = b"".join(bytes([component, 0]) for component in components)
    return segment(0xDA, bytes([len(components)]) + named + bytes([first, last, bits])) + data


def jpeg(width: int, height: int, scans: int, *, frame: int = 0xC2, before: bytes = b"") -> bytes:
    """A grey-blue JPEG of many scans that say nothing new; the first one shows all colours where scans refine them."""
    # "0" and 14 bits say that up to 32,767 blocks hold nothing new
    blocks = -(-width // 8) * -(-height // 8)
    runs = -(-blocks // 32767)
    bits = int("0".join(["", *["1" * 14] * runs]) + "1" * (-15 * runs % 8), 2)
    nothing = bits.to_bytes(-(-15 * runs // 8), "big").replace(b"\xff", b"\xff\x00")
    size = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    head = segment(0xDB, bytes(1) + bytes(64 * [1])) + segment(
        0xC4, b"\0" + LENGTHS + b"\0\1" + b"\x10" + LENGTHS + b"\xe0\0"
    )
    more = [scan([1 + place % 3], 1, 63, 0x10, nothing) for place in range(scans - 1)]
    first = scan([1, 2, 3], 0, 0, 1) if frame in (0xC2, 0xCA) else scan([1], 0, 63, 0)
    return b"\xff\xd8" + before + head + segment(frame, size) + first + b"".join(more) + b"\xff\xd9"


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A black PNG, with chunks before and after its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(height * (1 + width)), 9))
    return b"\x89PNG\r\n\x1a\n" + head + before + pixels + after + chunk(b"IEND")


def bmp_of_run_lengths(width: int, height: int) -> bytes:
    """A BMP whose every pixel but one is left to the end of a line."""
    data = b"\1\0\0\0\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 68, 0, 0, 62) + head + bytes(8) + data


def tiff(tags: dict[int, list[int]], data: bytes, *, twice: tuple[int, int] | None = None) -> bytes:
    """A TIFF of these tags, all of 32 bits; `data` lies at byte 8. One tag may be there twice, with another value."""
    pairs = [*tags.items(), *([] if twice is None else [(twice[0], [twice[1]])])]
    at = 8 + len(data) + 2 + 12 * len(pairs) + 4
    entries, values = b"", b""
    for tag, numbers in sorted(pairs):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = packed if len(numbers) == 1 else struct.pack("<I", at + len(values))
        values += b"" if len(numbers) == 1 else packed
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + place
    directory = struct.pack("<H", len(pairs)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory + values


def striped_tiff(strips: int, data: bytes, compression: int = 8) -> bytes:
    """A TIFF of many rows of one pixel, each of which is decoded from the same bytes."""
    size = {256: [1], 257: [strips], 258: [8], 259: [compression], 262: [1], 277: [1], 278: [1]}
    return tiff({**size, 273: strips * [8], 279: strips * [len(data)]}, data)


def tiled_tiff(tiles: int, side: int, **more: tuple[int, int]) -> bytes:
    """A TIFF of one column of pixels, in tiles that are `side` wide and high."""
    data = zlib.compress(bytes(side * side), 9)
    size = {256: [1], 257: [side * tiles], 258: [8], 259: [8], 262: [1], 277: [1], 322: [side], 323: [side]}
    return tiff({**size, 324: tiles * [8], 325: tiles * [len(data)]}, data, **more)
