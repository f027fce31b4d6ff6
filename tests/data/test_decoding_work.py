import io
import time
import zlib

import numpy as np
import pytest
from costly_pictures import bmp_of_run_lengths, chunk, jpeg, png, segment, striped_tiff, tiled_tiff
from PIL import Image

from samecar.data.decoding_work import estimate_work
from samecar.data.pictures import PIXEL_LIMIT, UnreadablePictureError, decode_picture

SIDE = 8900
"""Of a square of nearly as many pixels as a picture may have."""

MEGABYTE = zlib.compress(bytes(1_000_000), 9)


def noise(width=400, height=300, mode="RGB"):
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


ORDINARY = {
    "jpeg": encoded(noise(), "JPEG", quality=95),
    "grey": encoded(noise(mode="L"), "JPEG"),
    "progressive": encoded(noise(), "JPEG", progressive=True),
    "progressive-cmyk": encoded(noise(mode="CMYK"), "JPEG", progressive=True),
    "restarts": encoded(noise(), "JPEG", progressive=True, restart_marker_blocks=1),
    "mpo": encoded(noise(), "MPO", save_all=True, append_images=[noise()]),
    "png": encoded(noise(mode="RGBA"), "PNG"),
    "animated-png": encoded(noise(), "PNG", save_all=True, append_images=[noise(mode="L").convert("RGB")] * 3),
    "bmp": encoded(noise(), "BMP"),
    "webp": encoded(noise(), "WEBP"),
    "lossless-webp": encoded(noise(), "WEBP", lossless=True),
    "animated-webp": encoded(noise(), "WEBP", save_all=True, append_images=[noise(mode="L").convert("RGB")] * 3),
    "tiff": encoded(noise(), "TIFF"),
    "tiff-lzw": encoded(noise(), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encoded(noise(), "TIFF", compression="jpeg"),
    "big-tiff": encoded(noise(), "TIFF", big_tiff=True),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_picture_may_be_as_large_as_any(name):
    work = estimate_work(ORDINARY[name], PIXEL_LIMIT)
    assert work.pixels == 400 * 300
    assert not work.exceeds(work.pixels)
    assert decode_picture(ORDINARY[name], "name").size == (400, 300)


def test_each_scan_of_a_jpeg_passes_over_all_pixels():
    one, ten = (estimate_work(jpeg(1000, 1000, scans), PIXEL_LIMIT) for scans in (1, 10))
    assert ten.pixels == one.pixels == 1_000_000
    assert 900_000 <= ten.extra - one.extra <= 920_000


@pytest.mark.parametrize(("frame", "most"), [(0xC2, 29), (0xC0, 29), (0xC9, 1), (0xCA, 1)])
def test_the_largest_picture_may_have_some_thirty_scans_but_one_by_slow_arithmetic_code(frame, most):
    assert not estimate_work(jpeg(SIDE, SIDE, most, frame=frame), PIXEL_LIMIT).exceeds(PIXEL_LIMIT)
    assert estimate_work(jpeg(SIDE, SIDE, most + 2, frame=frame), PIXEL_LIMIT).exceeds(PIXEL_LIMIT)
    assert not estimate_work(jpeg(500, 500, 250 * most, frame=frame), PIXEL_LIMIT).exceeds(PIXEL_LIMIT)


def test_what_is_no_scan_of_the_picture_is_not_counted():
    marks = b"\xff\xda\x00\x02" * 10_000
    thumbnail = segment(0xE1, b"thumb\0" + marks[:60_000])
    assert estimate_work(jpeg(3000, 3000, 9, before=thumbnail) + marks, PIXEL_LIMIT).extra < 12_000_000
    baseline = encoded(noise(), "JPEG")
    assert estimate_work(baseline[:-2] + marks, PIXEL_LIMIT) == estimate_work(baseline, PIXEL_LIMIT)


COSTLY = {
    "scans": jpeg(SIDE, SIDE, 100),
    "sequential scans": jpeg(SIDE, SIDE, 100, frame=0xC0),
    "arithmetic scans": jpeg(SIDE, SIDE, 5, frame=0xC9),
    "empty scans of a small picture": jpeg(16, 16, 1)[:-2] + b"\xff\xda\x00\x02" * 150_000,
    "comments": jpeg(16, 16, 1, before=segment(0xFE) * 150_000),
    "exif upon exif": jpeg(16, 16, 1, before=segment(0xE1, b"Exif\0\0" + bytes(8)) * 60_000),
    "chunks": png(4, 4, before=chunk(b"abCd") * 150_000),
    "chunks at the end": png(4, 4, after=chunk(b"abCd") * 150_000),
    "profiles": png(4, 4, before=chunk(b"iCCP", b"name\0\0" + MEGABYTE) * 1500),
    "broken texts": png(4, 4, before=chunk(b"zTXt", b"name\0\0" + MEGABYTE[:-4] + b"bad!") * 1500),
    "rows": png(1, 70_000_000 // 1000)[:16] + (1).to_bytes(4, "big") + (70_000_000).to_bytes(4, "big") + bytes(40),
    "run lengths": bmp_of_run_lengths(SIDE, SIDE),
    "strips": striped_tiff(300_000, zlib.compress(b"\0")),
    "raw strips": striped_tiff(300_000, b"\0", compression=1),
    "strips of the same data": striped_tiff(3000, b"\x78\xda" + b"\0\0\0\xff\xff" * 200_000),
    "tiles larger than the picture": tiled_tiff(20, 4096),
    "a tag that is there twice": tiled_tiff(2, 16, twice=(322, 2048)),
}


@pytest.mark.parametrize("name", COSTLY)
def test_what_costs_too_much_is_refused_before_it_is_opened(name, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    began = time.process_time()
    with pytest.raises(UnreadablePictureError, match=r"^picture small cannot be read: decoding it takes too much work"):
        decode_picture(COSTLY[name], "small")
    assert time.process_time() - began < 3


def test_without_a_length_of_its_own_a_strip_may_be_read_to_the_end():
    whole = striped_tiff(100, b"\x78\xda" + b"\0\0\0\xff\xff" * 200_000)
    assert not estimate_work(striped_tiff(100, zlib.compress(b"\0")), PIXEL_LIMIT).exceeds(1_000_000)
    assert estimate_work(whole.replace(b"\x17\x01\x04\x00", b"\x18\x01\x04\x00"), PIXEL_LIMIT).extra > 9_000_000


def test_a_jpeg_within_a_tiff_is_counted_by_its_scans():
    compressed = ORDINARY["tiff-jpeg"]
    more = compressed + b"\xff\xda" * 100
    gained = estimate_work(more, PIXEL_LIMIT).extra - estimate_work(compressed, PIXEL_LIMIT).extra
    assert gained >= 100 * 400 * 16 // 10  # strips are 16 rows at least


@pytest.mark.parametrize("name", ORDINARY)
def test_what_is_cut_off_anywhere_is_estimated_without_an_error(name):
    content = ORDINARY[name]
    for end in [*range(60), *range(60, len(content), max(1, len(content) // 50))]:
        assert not estimate_work(content[:end], PIXEL_LIMIT).exceeds(PIXEL_LIMIT)


@pytest.mark.parametrize("content", [b"", b"BM and text", b"RIFF....WAVEfmt", b"II but not a number", b"plain text"])
def test_what_is_no_picture_is_no_work(content):
    assert estimate_work(content, PIXEL_LIMIT) == (0, 0)
