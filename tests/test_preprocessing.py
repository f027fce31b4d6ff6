import numpy as np
import pytest
from PIL import Image

from samecar.preprocessing import Preprocessing, resize_picture

COLOURS = ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def noise(height, width):
    return Image.fromarray(np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8))


def by_pillow(picture, height, width):
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", [(240, 320), (17, 9), (31, 401), (1, 1)])
def test_exact_pixels_are_those_of_pillow(size):
    picture = noise(*size)
    pixels = Preprocessing(31, 19, *COLOURS).pixels(picture)
    assert pixels.shape == (3, 31, 19)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), by_pillow(picture, 31, 19))


@pytest.mark.parametrize("size", [(240, 320), (17, 9), (31, 401), (31, 19), (1, 1)])
def test_quick_pixels_are_a_level_away_at_most(size):
    picture = noise(*size)
    pixels = Preprocessing(31, 19, *COLOURS, "quick").pixels(picture)
    assert pixels.shape == (3, 31, 19)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable  # torch takes no other array without a warning
    difference = pixels.transpose(1, 2, 0).astype(int) - by_pillow(picture, 31, 19)
    assert np.abs(difference).max() <= 1
    resized = resize_picture(picture, 31, 19, "quick")
    np.testing.assert_array_equal(np.asarray(resized), pixels.transpose(1, 2, 0))


def test_quick_reading_decodes_at_a_smaller_scale():
    assert Preprocessing(31, 19, *COLOURS).decoded_size == (62, 38)
    assert Preprocessing(31, 19, *COLOURS, "quick").decoded_size == (31, 19)


def test_files_say_quick_reading_and_not_the_exact_one_of_before():
    exact, quick = Preprocessing(31, 19, *COLOURS), Preprocessing(31, 19, *COLOURS, "quick")
    assert exact.as_facts() == {"height": 31, "width": 19, "mean": COLOURS[0], "deviation": COLOURS[1]}
    for preprocessing in (exact, quick):
        assert Preprocessing(**preprocessing.as_facts()) == preprocessing
