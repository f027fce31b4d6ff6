import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from samecar.data import UnreadablePictureError, read_picture
from samecar.data.pictures import BACKGROUND, GREY_BITS_TAKEN, PIXEL_LIMIT, decode_picture, is_picture_name

CORNERS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [128, 128, 128]]], np.uint8)


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(height=40, width=60):
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 4, columns * 4, rows + columns], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_rgb_pictures_come_out_as_they_are(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(encoded(Image.fromarray(CORNERS), kind, **({"lossless": True} if kind == "WEBP" else {})))
    picture = read_picture(path)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), CORNERS)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "I;16", "I", "YCbCr", "F", "LAB", "HSV"])
def test_every_mode_becomes_rgb_of_the_same_size(mode):
    picture = gradient().convert("L" if mode in ("I;16", "I", "F") else "RGB" if mode == "LAB" else mode)
    picture = Image.fromarray(CORNERS) if mode in ("LAB", "HSV") else picture.convert(mode)
    kind = "TIFF" if mode in ("CMYK", "YCbCr", "F", "I") else "PNG"
    result = decode_picture(encoded(picture, kind), "name")
    assert result.mode == "RGB"
    assert result.size == picture.size


def test_cmyk_jpeg_keeps_its_colours():
    red = Image.new("RGB", (16, 16), (200, 30, 40)).convert("CMYK")
    pixel = np.asarray(decode_picture(encoded(red, "JPEG", quality=95), "name"))[8, 8].astype(int)
    assert np.abs(pixel - (200, 30, 40)).max() < 12


def test_grey_of_sixteen_bits_is_scaled_not_cut_off():
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    result = decode_picture(encoded(Image.fromarray(values)), "name")
    assert np.asarray(result)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_every_grey_value_of_sixteen_bits_becomes_that_of_eight_in_little_memory():
    values = np.arange(2**20, dtype=np.uint16).reshape(1024, 1024)  # each of them, 16 times
    content = encoded(Image.fromarray(values))
    tracemalloc.start()
    result = decode_picture(content, "name")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(np.asarray(result)[:, :, 1], values // 257)
    assert peak < 9 * values.size, "a picture of 25 million pixels takes hundreds of megabytes"


LEVELS = np.arange(256).reshape(16, 16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_fewer_bits_in_a_file_of_sixteen_keeps_its_levels(bits, kind):
    picture = decode_picture(encoded(Image.fromarray((LEVELS << (bits - 8)).astype(np.uint16)), kind), "name")
    seen = np.asarray(picture)[..., 0].astype(int)
    assert np.abs(seen - LEVELS).max() <= 1
    assert len(np.unique(seen)) >= 255
    assert picture.info[GREY_BITS_TAKEN] == bits


def test_grey_that_uses_all_sixteen_bits_is_not_said_to_have_fewer():
    assert GREY_BITS_TAKEN not in decode_picture(encoded(Image.fromarray(np.array([[16384]], np.uint16))), "name").info


@pytest.mark.parametrize(("highest", "divisor"), [(1.0, 255), (255.0, 1), (4095.0, 255 / 4095)])
def test_grey_of_floating_point_is_scaled_by_what_it_reaches(highest, divisor):
    values = (LEVELS / divisor).astype(np.float32)
    assert values.max() == pytest.approx(highest)
    seen = np.asarray(decode_picture(encoded(Image.fromarray(values), "TIFF"), "name"))[..., 0]
    assert np.abs(seen.astype(int) - LEVELS).max() <= 1
    assert len(np.unique(seen)) >= 240


def test_grey_of_twelve_bits_that_the_file_declares_is_scaled_by_them_however_dark():
    values = np.array([[0, 512, 1024, 900]])  # all would fit into 10 bits
    packed = bytes.fromhex("".join(f"{value:03x}" for value in values[0].tolist()))
    content = tiff(packed, width=4, height=1, bits=12)
    picture = decode_picture(content, "name")
    assert np.asarray(picture)[0, :, 0].tolist() == [value * 255 // 4095 for value in values[0].tolist()]
    assert GREY_BITS_TAKEN not in picture.info


def test_a_negative_of_sixteen_bits_is_seen_as_the_picture():
    values = np.array([[0, 65535, 128 * 257]], "<u2")
    content = tiff(values.tobytes(), width=3, height=1, bits=16, photometric=0)
    assert np.asarray(decode_picture(content, "name"))[0, :, 0].tolist() == [255, 0, 127]


@pytest.mark.parametrize(
    ("values", "span"),
    [
        (np.array([[-5, 257]], np.int32), "-5 to 257"),
        (np.array([[0, 65536]], np.int32), "0 to 65536"),
        (np.array([[0, np.inf]], np.float32), "0 to inf"),
        (np.array([[np.nan, 0.5]], np.float32), "nan to nan"),
    ],
)
def test_grey_values_that_are_no_brightness_are_refused(values, span):
    with pytest.raises(UnreadablePictureError, match=f"its grey values go from {span}; write it with values from 0"):
        decode_picture(encoded(Image.fromarray(values), "TIFF"), "name")


@pytest.mark.parametrize("kind", [2, 4, 6])  # RGB, grey and alpha, RGB and alpha
def test_colours_of_sixteen_bits_are_read_or_refused_where_only_the_lowest_are_used(kind):
    bands = {2: 3, 4: 2, 6: 4}[kind]
    values = np.full((2, 2, bands), 128 * 257, np.uint16)
    assert decode_picture(png_of(values, kind), "name").getpixel((1, 1)) in ((128, 128, 128), BACKGROUND)
    values[..., : bands if kind == 2 else -1] = 4095
    with pytest.raises(UnreadablePictureError, match="of the 16 bits of its colours it uses the lowest alone"):
        decode_picture(png_of(values, kind), "name")


def tiff(strip, width, height, bits, photometric=1):
    """A grey TIFF file of one strip, whose values lie as they are given."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (278, height)]
    tags += [(279, len(strip))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + directory


def png_of(values, kind):
    """A PNG file of 16 bits a value, (height, width, bands)."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0), zlib.compress(rows))


@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_of_sixteen_bits_in_either_order_of_bytes(order):
    values = np.array([[0, 257, 128 * 257, 65535]], f"{order}u2")
    picture = Image.frombytes("I;16B" if order == ">" else "I;16", (4, 1), values.tobytes())
    result = decode_picture(encoded(picture, "TIFF"), "name")
    assert np.asarray(result)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("kind", ["GIF", "ICO", "ICNS", "EPS", "PPM", "TGA", "PDF"])
def test_formats_that_no_name_of_a_picture_promises_are_not_opened(kind):
    content = encoded(gradient(64, 64), kind)
    with pytest.raises(UnreadablePictureError, match="not a picture of a known format"):
        decode_picture(content, "name")


def test_of_a_jpeg_with_several_pictures_the_first_one_is_read():
    content = encoded(gradient(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    assert decode_picture(content, "name").getpixel((50, 30))[0] > 60


def test_transparent_parts_become_the_background():
    picture = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    picture.putpixel((1, 0), (0, 255, 0, 0))
    result = decode_picture(encoded(picture), "name")
    assert result.getpixel((0, 0)) == (255, 0, 0)
    assert result.getpixel((1, 0)) == BACKGROUND


def test_a_transparent_palette_colour_becomes_the_background():
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    result = decode_picture(encoded(picture, transparency=1), "name")
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), BACKGROUND]


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied_as_pillow_would(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = encoded(Image.fromarray(CORNERS), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(np.asarray(decode_picture(content, "name")), np.asarray(expected))
    if orientation == 6:  # held upright, stored on its side
        assert np.asarray(decode_picture(content, "name")).shape == (3, 2, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"MM\x00\x2a\x00\x00\x00\x08\xff\xff\x01\x12", b"neither MM nor II"])
def test_damaged_exif_does_not_spoil_the_pixels(exif):
    content = encoded(Image.fromarray(CORNERS), exif=b"Exif\x00\x00" + exif)
    np.testing.assert_array_equal(np.asarray(decode_picture(content, "name")), CORNERS)


def test_a_smaller_decoding_keeps_geometry_and_never_goes_below_the_size():
    content = encoded(gradient(400, 600), "JPEG", quality=95)
    small = decode_picture(content, "name", (90, 120))
    assert small.size == (150, 100) or small.size == (300, 200)
    assert min(small.size) >= 90
    whole = decode_picture(content, "name").resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(whole)).mean() < 3
    assert decode_picture(content, "name", (350, 500)).size == (600, 400)


def test_a_smaller_decoding_of_a_picture_on_its_side_stays_large_enough():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = encoded(gradient(400, 800), "JPEG", exif=exif)
    small = decode_picture(content, "name", (300, 100))  # upright 800 high, 400 wide
    assert small.height >= 300
    assert small.width >= 100


def truncated():
    return encoded(gradient(), "JPEG")[:-200]


def png(header, data):
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", data) + part(b"IEND", b"")


def png_that_claims(width, height):
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(b"\x00"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a picture", "it is not a picture of a known format"),
        (truncated(), "it is truncated or corrupt"),
        (encoded(gradient())[:-60], "it is truncated or corrupt"),
        (png_that_claims(4, 4), "it is truncated or corrupt"),
        (png_that_claims(8001, 10000), "it has 80,010,000 pixels; at most 80,000,000 are allowed"),
        (png_that_claims(60000, 60000), "it has more than the 80,000,000 pixels allowed"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_read_says_which_file_and_why(tmp_path, content, reason):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadablePictureError, match=f"picture {path} cannot be read: {reason}") as caught:
        read_picture(path)
    assert caught.value.reason.startswith(reason)
    assert PIXEL_LIMIT == 80_000_000


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UnreadablePictureError, match=r"none.jpg cannot be read: no such file"):
        read_picture(tmp_path / "none.jpg")
    with pytest.raises(UnreadablePictureError, match="is a directory"):
        read_picture(tmp_path)
    with pytest.raises(UnreadablePictureError, match="embedded null byte"):
        read_picture(tmp_path / "a\0b.jpg")


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_damaged_bytes_are_read_or_refused_but_never_crash(seed, changes):
    generator = np.random.default_rng(seed)
    content = np.frombuffer(encoded(gradient(), "JPEG"), np.uint8).copy()
    content[generator.integers(0, len(content), changes)] = generator.integers(0, 256, changes)
    try:
        assert decode_picture(content.tobytes(), "name").mode == "RGB"
    except UnreadablePictureError as error:
        assert error.reason  # noqa: PT017 - either outcome is right


def test_picture_names_are_told_by_suffix():
    assert all(is_picture_name(name) for name in ("a.jpg", "b.JPEG", "c.x.Png", "d.tif", "e.webp"))
    assert not any(is_picture_name(name) for name in (".a.jpg", "a.txt", "jpg", "Thumbs.db", "a.jpg.part"))
