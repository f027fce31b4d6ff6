import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import paint_picture
from PIL import Image
from tiny_run import tiny_run

import samecar
from samecar.embedding.encoder import Encoder
from samecar.embedding.frames import FrameEncoder
from samecar.errors import SamecarError

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"
BOXES = [[4, 6, 44, 46], [50.5, 10.4, 80.49, 39.5], [-20, -3, 30, 25], [70, 40, 500, 400]]
"""In a frame of 100 × 60: within, between pixels, and over two borders each."""

CUTS = [(4, 6, 44, 46), (51, 10, 80, 40), (0, 0, 30, 25), (70, 40, 100, 60)]
"""What is seen of them, worked out by hand."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(tiny_run(tmp_path_factory.mktemp("tiny") / "run"), device="cpu")


@pytest.fixture(scope="module")
def frame():
    return np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)


def test_boxes_are_embedded_as_their_parts_of_the_frame_in_rgb_would_be(encoder, frame):
    shown = Image.fromarray(frame)
    expected = encoder.embed([shown.crop(cut) for cut in CUTS])
    before = frame.copy()
    found = FrameEncoder(encoder, colours="rgb")(frame, BOXES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(FrameEncoder(encoder)(frame[:, :, ::-1], np.array(BOXES)), expected, atol=1e-5)
    assert not np.allclose(FrameEncoder(encoder)(frame, BOXES), expected, atol=1e-3)
    np.testing.assert_array_equal(frame, before)


def test_batches_change_nothing(encoder, frame):
    whole = FrameEncoder(encoder)(frame, BOXES)
    for batch_size in (1, 3, 4):
        np.testing.assert_allclose(FrameEncoder(encoder, batch_size=batch_size)(frame, BOXES), whole, atol=1e-5)


@pytest.mark.parametrize("none", [[], np.empty((0, 4)), np.empty((0,))])
def test_no_boxes_give_no_rows(encoder, frame, none):
    encode = FrameEncoder(encoder)
    assert encode(frame, none).shape == (0, encoder.embedding_size)
    assert encode(frame, none).dtype == np.float32
    assert encode.visible(frame, none).tolist() == []


def test_a_box_without_a_pixel_is_named_and_can_be_told_beforehand(encoder, frame):
    encode = FrameEncoder(encoder)
    boxes = [BOXES[0], [-30, 0, 0.4, 20], [10, 10, 10, 20], [30, 20, 20, 30], [100, 0, 120, 20], BOXES[3]]
    assert encode.visible(frame, boxes).tolist() == [True, False, False, False, False, True]
    with pytest.raises(SamecarError, match=r"box 1 \(-30, 0, 0.4, 20\) has no pixel in the frame of 100 × 60; leave"):
        encode(frame, boxes)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([1, 2, 3, 4], r"the boxes have shape \(4,\); give \(boxes, 4\)"),
        ([[1, 2, 3]], r"the boxes have shape \(1, 3\)"),
        ([[1, 2, 3, 4], [1, 2, 3]], "the boxes are not all four numbers"),
        ([["a", "b", "c", "d"]], "the boxes are not all four numbers"),
        ([[0, 0, 9, 9], [0, 0, np.nan, 9]], "box 1 holds a number that is not finite"),
    ],
)
def test_what_is_no_box_is_refused(encoder, frame, boxes, sentence):
    with pytest.raises(SamecarError, match=sentence):
        FrameEncoder(encoder)(frame, boxes)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (np.zeros((9, 9), np.uint8), r"the frame is uint8 of shape \(9, 9\); give a NumPy array of uint8"),
        (np.zeros((9, 9, 4), np.uint8), r"uint8 of shape \(9, 9, 4\)"),
        (np.zeros((9, 9, 3)), r"float64 of shape \(9, 9, 3\)"),
        (None, "the frame is NoneType; give"),
    ],
)
def test_what_is_no_frame_is_refused(encoder, wrong, sentence):
    with pytest.raises(SamecarError, match=sentence):
        FrameEncoder(encoder)(wrong, [])


def test_settings_that_mean_nothing_are_refused(encoder):
    with pytest.raises(SamecarError, match="colours is 'bgra'; give bgr or rgb"):
        FrameEncoder(encoder, colours="bgra")
    with pytest.raises(SamecarError, match="batch_size is 0; give 1 or more"):
        FrameEncoder(encoder, batch_size=0)


def shown_under(heading):
    """The Python block of a part of the page."""
    part = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    return re.search(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)[1]


def film(folder):
    """Six frames in BGR, in which two painted vehicles drive past each other, and their boxes."""
    for vehicle in (1, 2):
        paint_picture(folder / f"{vehicle}.png", vehicle, 1, 0)
    vehicles = [np.asarray(Image.open(folder / f"{vehicle}.png"))[:, :, ::-1] for vehicle in (1, 2)]
    for step in range(6):
        frame = np.full((120, 200, 3), 90, np.uint8)
        places = [(20 + 6 * step, 10), (120 - 6 * step, 70)]
        for picture, (left, top) in zip(vehicles, places, strict=True):
            frame[top : top + 40, left : left + 40] = picture
        yield frame, [[left, top, left + 40, top + 40] for left, top in places]


@pytest.fixture
def follow(encoder, monkeypatch):
    def shown(heading):
        monkeypatch.setattr(samecar, "load", lambda place: encoder)
        names = {}
        exec(compile(shown_under(heading), heading, "exec"), names)
        return names

    return shown


def test_deep_sort_realtime_follows_by_these_embeddings(follow, tmp_path, monkeypatch):
    pytest.importorskip("deep_sort_realtime")
    try:
        import cv2  # noqa: F401
    except ModuleNotFoundError:  # it is imported, but only used for crops, which samecar makes
        monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    names = follow("deep-sort-realtime")
    followed = []
    for frame, boxes in film(tmp_path):
        found = [([left, top, right - left, bottom - top], 0.9, "car") for left, top, right, bottom in boxes]
        outside = ([-90, 0, 40, 40], 0.9, "car")
        tracks = names["follow"](frame, [*found[:1], outside, *found[1:]])
        followed.append({track.track_id: track.to_ltrb()[1] < 40 for track in tracks if track.is_confirmed()})
        expected = names["encode"](frame, boxes)
        for track in tracks:
            assert min(np.abs(expected - track.get_feature()).max(axis=1)) < 1e-5
    assert len(followed[-1]) == 2
    assert sorted(followed[-1].values()) == [False, True]
    assert followed[3] == followed[4] == followed[5]  # each number stays with its vehicle
    assert len(names["follow"](frame, [])) == 2


def test_norfair_finds_a_vehicle_again_by_these_embeddings(follow, tmp_path):
    pytest.importorskip("norfair")
    names = follow("norfair")
    for frame, boxes in (each for each in film(tmp_path) for _ in range(3)):  # slower: it takes some frames to be sure
        tracks = names["follow"](frame, [*boxes, [500, 500, 540, 540]])
    assert len(tracks) == 2
    assert all(track.last_detection.embedding.shape == (names["encode"].encoder.embedding_size,) for track in tracks)
    assert names["follow"](frame, []) is not None
