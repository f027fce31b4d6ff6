import io

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from samecar.data import pictures
from samecar.data.pictures import UnreadablePictureError, decode_picture
from samecar.data.turbo import decode_jpeg


def draw(height, width):
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8))
    noise = np.random.default_rng(1).normal(0, 9, (height, width, 3))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def as_jpeg(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **{"quality": 88, **options})
    return buffer.getvalue()


def by_pillow(content, size=None):
    with Image.open(io.BytesIO(content)) as picture:
        if size is not None:
            picture.draft(picture.mode, (max(size), max(size)))
        return np.asarray(ImageOps.exif_transpose(picture.convert("RGB")))


def turned():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


KINDS = {
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:2:0": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "with restarts": {"restart_marker_rows": 1},
    "colours as they are": {"keep_rgb": True},
    "coarse": {"quality": 5},
    "finest": {"quality": 100},
    "on its side": {"exif": turned()},
}


@pytest.mark.parametrize("size", [None, (150, 100), (60, 60), (20, 30), (9, 9)])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_pixels_are_those_of_pillow_at_every_scale(options, size):
    content = as_jpeg(draw(301, 413), **options)
    np.testing.assert_array_equal(np.asarray(decode_picture(content, "name", size)), by_pillow(content, size))


@pytest.mark.parametrize("sides", [(1, 1), (7, 30), (8, 8), (9, 17), (64, 33)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_small_and_grey_pictures_too(sides, mode):
    content = as_jpeg(draw(*sides).convert(mode))
    for size in (None, (4, 4), (1, 1)):
        np.testing.assert_array_equal(np.asarray(decode_picture(content, "name", size)), by_pillow(content, size))


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_it_is_not_pillow_that_decodes(options):
    content = as_jpeg(draw(40, 50), **options)
    with Image.open(io.BytesIO(content)) as picture:
        decoded = decode_jpeg(picture, content)
        assert decoded is not None
        assert decoded.info == picture.info


def test_what_is_not_ordinary_is_left_to_pillow():
    plain = draw(40, 50)
    png = io.BytesIO()
    plain.save(png, "PNG")
    for content in (as_jpeg(plain.convert("CMYK")), as_jpeg(plain)[:-300], as_jpeg(draw(7, 30)), png.getvalue()):
        with Image.open(io.BytesIO(content)) as picture:
            assert decode_jpeg(picture, content) is None


def test_a_file_that_pillow_reads_with_a_shrug_is_read():
    content = as_jpeg(draw(64, 64))
    scan = content.index(b"\xff\xda") + 14
    shrugged = content[:scan] + content[scan : scan + 700] + b"\xff\x00" * 40 + content[scan + 700 :]
    with pytest.raises(ValueError, match=r"Corrupt JPEG data|extraneous"):
        simplejpeg.decode_jpeg(shrugged)
    np.testing.assert_array_equal(np.asarray(decode_picture(shrugged, "name")), by_pillow(shrugged))


CONTENT = as_jpeg(draw(48, 56), progressive=True)


@given(st.integers(3, len(CONTENT)), st.integers(0, 2**32))
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_the_pixels_or_the_sentence_that_pillow_alone_gives(length, seed):
    random = np.random.default_rng(seed)
    damaged = bytearray(CONTENT[:length] if seed % 2 else CONTENT)
    for at in random.integers(2, len(damaged), 2):
        damaged[at] = random.integers(256)

    def outcome():
        try:
            return decode_picture(bytes(damaged), "name").tobytes()
        except UnreadablePictureError as error:
            return str(error)

    ours = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "decode_jpeg", lambda picture, content: None)
        assert ours == outcome()
