import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samecar.films.detection import areas, closeness, intersections, overlaps, suppress

SIDE = 12
corner = st.integers(0, SIDE)
box_lists = st.lists(st.tuples(corner, corner, corner, corner), max_size=12).map(
    lambda corners: np.array(
        [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners], np.float32
    ).reshape(-1, 4)
)


def pixels(box):
    """The pixels of a box whose corners are whole numbers, one by one."""
    left, top, right, bottom = (int(value) for value in box)
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


@given(box_lists, box_lists)
def test_areas_and_overlaps_are_those_of_counted_pixels(first, second):
    assert areas(first).tolist() == [len(pixels(box)) for box in first]
    shared, shares = intersections(first, second), overlaps(first, second)
    assert shared.shape == shares.shape == (len(first), len(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            both, either = pixels(a) & pixels(b), pixels(a) | pixels(b)
            assert shared[i, j] == len(both)
            assert np.isclose(shares[i, j], len(both) / len(either) if either else 0)


def naive_suppression(boxes, confidences, limit):
    order = sorted(range(len(boxes)), key=lambda i: (-confidences[i], i))
    kept = []
    for i in order:
        shares = [
            len(pixels(boxes[i]) & pixels(boxes[j])) / max(len(pixels(boxes[i]) | pixels(boxes[j])), 1) for j in kept
        ]
        if all(share <= limit for share in shares):
            kept.append(i)
    return kept


@given(box_lists, st.data(), st.sampled_from([0.1, 0.3, 0.55, 0.9]))
def test_suppression_is_that_of_a_plain_loop(boxes, data, limit):
    levels = st.sampled_from([0.25, 0.5, 0.75])
    confidences = np.array(data.draw(st.lists(levels, min_size=len(boxes), max_size=len(boxes))), np.float32)
    given_boxes = boxes.copy()
    assert suppress(boxes, confidences, limit).tolist() == naive_suppression(boxes, confidences, limit)
    assert (boxes == given_boxes).all()


def test_closeness_of_boxes_worked_out_by_hand():
    here = np.array([[0, 0, 2, 2]], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [3, 0, 5, 2], [1, 1, 1, 1]], np.float32)
    # the same; a third shared, 1² apart in 3² + 2²; nothing shared, 3² apart in 5² + 2²; a point in the middle
    assert np.allclose(closeness(here, others), [[1, 1 / 3 - 1 / 13, -9 / 29, 0]])
