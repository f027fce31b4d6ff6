import numpy as np
import pytest
from PIL import Image, ImageFilter

from samecar.films import Detections, Frame
from samecar.films.choosing import Album, Crop, covered_share, crop_of, sharpness


def crop(time, quality):
    return Crop(time, quality, np.full((4, 4, 3), round(quality), np.uint8))


def detections(*boxes, confidence=0.8):
    return Detections(
        np.array(boxes, np.float32), np.full(len(boxes), confidence, np.float32), tuple("car" for _ in boxes)
    )


FRAME = Frame(3.5, np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8))


def test_the_best_crops_come_first_and_much_worse_ones_not_at_all():
    album = Album(3, 1.0)
    for time, quality in enumerate([50, 90, 30, 100, 36, 60]):
        album.put(crop(time, quality))
    assert [kept.quality for kept in album.chosen()] == [100, 90, 60]
    poor = Album(3, 1.0)
    for time, quality in enumerate([100, 30, 50]):
        poor.put(crop(time, quality))
    assert [kept.quality for kept in poor.chosen()] == [100, 50]
    assert Album(3, 1.0).chosen() == []


def test_a_long_track_keeps_few_crops_from_all_its_time():
    album, qualities = Album(4, 0.2), np.random.default_rng(3).uniform(50, 100, 500)
    for i, quality in enumerate(qualities):
        album.put(crop(0.2 * i, quality))
        assert len(album._best) <= 8
    chosen = album.chosen()
    assert len(chosen) == 4
    assert chosen[0].quality == pytest.approx(qualities.max())
    times = sorted(kept.time for kept in chosen)
    assert min(np.diff(times)) > 1
    assert times[-1] - times[0] > 25


def test_of_one_moment_only_the_best_is_kept():
    album = Album(4, 1.0)
    for time in (0.1, 0.5, 0.9, 1.5):
        album.put(crop(time, 50 + 10 * time))
    assert sorted(kept.time for kept in album.chosen()) == [0.9, 1.5]


def test_a_crop_is_the_box_and_a_little_around_it():
    cut = crop_of(FRAME, detections((40, 20, 100, 60)), 0, 30)
    assert (cut.picture == FRAME.picture[18:62, 37:103]).all()
    assert cut.time == 3.5
    assert cut.image().size == (66, 44)


def test_a_crop_has_its_own_pixels_and_its_content_tells_them_apart():
    cut = crop_of(FRAME, detections((40, 20, 100, 60)), 0, 30)
    assert cut.picture.base is None
    other = crop_of(FRAME, detections((41, 20, 101, 60)), 0, 30)
    assert cut.content != other.content
    turned = Crop(0, 0, cut.picture.reshape(cut.picture.shape[1], cut.picture.shape[0], 3))
    assert cut.content != turned.content
    assert len(cut.content) == 64


@pytest.mark.parametrize(
    "box",
    [
        (3, 20, 63, 60),
        (40, 1, 100, 41),
        (138, 20, 198, 60),
        (40, 59, 100, 99),
        (40, 10, 100, 96),
        (40, 20, 100, 49),
        (40, 20, 69, 60),
    ],
    ids=["left", "top", "right", "bottom", "large, near the bottom", "low", "narrow"],
)
def test_what_is_cut_off_or_small_is_no_crop(box):
    assert crop_of(FRAME, detections(box), 0, 30) is None


def test_large_sure_and_free_crops_are_better():
    whole = crop_of(FRAME, detections((40, 20, 100, 60)), 0, 30).quality
    assert crop_of(FRAME, detections((40, 20, 80, 60)), 0, 30).quality < whole
    assert crop_of(FRAME, detections((40, 20, 100, 60), confidence=0.5), 0, 30).quality == pytest.approx(whole * 5 / 8)
    half_hidden = detections((40, 20, 100, 60), (70, 10, 140, 80))
    assert crop_of(FRAME, half_hidden, 0, 30).quality == pytest.approx(whole / 2)


def test_covered_is_the_share_under_one_other_box():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 20, 10], [0, 8, 10, 12], [50, 50, 60, 60]], np.float32)
    assert [covered_share(boxes, i) for i in range(4)] == pytest.approx([0.5, 1 / 3, 0.5, 0])
    assert covered_share(boxes[:1], 0) == 0


def test_a_blurred_picture_is_less_sharp_whatever_its_size():
    picture = Image.fromarray(FRAME.picture)
    blurred = picture.filter(ImageFilter.GaussianBlur(8))
    assert sharpness(np.asarray(blurred)) < 0.5 * sharpness(FRAME.picture)
    assert sharpness(np.full((30, 50, 3), 77, np.uint8)) == 0
    stripes = np.kron(np.indices((16, 16)).sum(axis=0) % 2 * 200, np.ones((8, 8))).astype(np.uint8)
    larger = np.kron(stripes, np.ones((2, 2), np.uint8))
    assert sharpness(np.stack([stripes] * 3, axis=2)) == pytest.approx(sharpness(np.stack([larger] * 3, axis=2)))
