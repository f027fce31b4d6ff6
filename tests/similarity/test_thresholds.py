"""One threshold for all pairs, against scikit-learn and plain counting."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from samecar.similarity import counting
from samecar.similarity.counting import count_in_distances, count_matches
from samecar.similarity.thresholds import FALSE_POSITIVE_RATES, OtherPairs

KINDS = ("euclidean", "cosine")


def problem(seed, queries=40, gallery=500, width=16):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(12, width))
    chosen = [generator.integers(12, size=count) for count in (queries, gallery)]
    sides = [(centres[c] + 1.3 * generator.normal(size=(len(c), width))).astype(np.float32) for c in chosen]
    relevance = np.where(chosen[0][:, None] == chosen[1], 1, -1)
    relevance[generator.random(relevance.shape) < 0.05] = 0
    return *sides, relevance


def as_lists(relevance):
    return lambda query: (np.flatnonzero(relevance[query] == 1), np.flatnonzero(relevance[query] == 0))


def squared_distances(queries, gallery, kind):
    queries, gallery = queries.astype(np.float64), gallery.astype(np.float64)
    if kind == "cosine":
        queries, gallery = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, gallery))
    return ((queries[:, None] - gallery) ** 2).sum(axis=-1)


def naive_true_positive_rate(distances, relevance, rate):
    """The best share of matches below a threshold that lets no more than a share of the others through."""
    matches, others = distances[relevance == 1], distances[relevance == -1]
    best = 0.0
    for threshold in [*np.sort(distances[relevance != 0]), math.inf]:
        if np.mean(others < threshold) <= rate:
            best = max(best, np.mean(matches < threshold))
    return best


@pytest.mark.slow
@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_true_positive_rates_equal_plain_counting(kind, small, monkeypatch):
    if not small:
        monkeypatch.setattr(counting, "SMALL_PROBLEM", 1)
    queries, gallery, relevance = problem(1)
    found = count_matches(queries, gallery, as_lists(relevance), distance=kind, pairs=True)
    distances = squared_distances(queries, gallery, kind)
    assert found.others.total == (relevance == -1).sum()
    for rate in FALSE_POSITIVE_RATES:
        point = found.others.operating_point(found.distances, rate)
        assert point.true_positive_rate == pytest.approx(naive_true_positive_rate(distances, relevance, rate))
        assert np.mean(distances[relevance == -1] < point.threshold) <= rate
        assert np.mean(distances[relevance == 1] < point.threshold) == pytest.approx(point.true_positive_rate)


def test_true_positive_rates_equal_scikit_learn():
    queries, gallery, relevance = problem(2)
    found = count_matches(queries, gallery, as_lists(relevance), pairs=True)
    used = relevance != 0
    distances = squared_distances(queries, gallery, "euclidean")[used]
    false_rates, true_rates, _ = roc_curve(relevance[used] == 1, -distances, drop_intermediate=False)
    for rate in (*FALSE_POSITIVE_RATES, 0.05):
        expected = true_rates[false_rates <= rate].max()
        assert found.others.operating_point(found.distances, rate).true_positive_rate == pytest.approx(expected)


def test_a_limit_that_was_foreseen_too_low_is_corrected(monkeypatch):
    queries, gallery, relevance = problem(3)
    expected = count_matches(queries, gallery, as_lists(relevance), pairs=True)
    monkeypatch.setattr(counting._Counter, "foreseen_limit", lambda self: 0.01 * self.farthest)
    found = count_matches(queries, gallery, as_lists(relevance), pairs=True)
    for rate in FALSE_POSITIVE_RATES:
        points = [each.others.operating_point(each.distances, rate) for each in (found, expected)]
        assert points[0] == points[1]


def test_a_match_and_another_in_one_step_are_accepted_together_or_not_at_all():
    pairs = OtherPairs(limit=1.0)
    pairs.add(np.array([0.25, 0.75]), total=4)
    assert pairs.operating_point(np.array([0.1, 0.25]), rate=0.2).true_positive_rate == 0.5
    assert pairs.operating_point(np.array([0.1, 0.25]), rate=0.25).true_positive_rate == 1.0
    assert pairs.operating_point(np.array([0.8, 3.0]), rate=0.5) == (1.0, math.inf)


def test_given_distances_are_counted_too():
    generator = np.random.default_rng(5)
    distances = generator.random((6, 50))
    relevance = generator.choice([1, 0, -1], size=(6, 50))
    found = count_in_distances([(slice(0, 6), distances.copy())], as_lists(relevance), pairs=True)
    point = found.others.operating_point(found.distances, 0.1)
    assert point.true_positive_rate == pytest.approx(naive_true_positive_rate(distances, relevance, 0.1))


def test_a_match_and_another_that_are_equally_near_are_accepted_together(monkeypatch):
    """Whatever the product's rounding, which is made large here so that it would part them."""
    generator = np.random.default_rng(6)

    def multiply_roughly(gallery, rows, out):
        np.matmul(rows, gallery.T, out=out)
        out += generator.uniform(-1e-2, 1e-2, out.shape)

    monkeypatch.setattr(counting, "_multiply", multiply_roughly)
    near = np.outer(np.arange(1, 11), [0.0, 1.0, 0.0])  # ten matches, and ten others in the same places
    far = generator.normal((0, 0, 15), size=(990, 3))
    gallery = np.concatenate([near, near, far]).astype(np.float32)
    matches = (np.arange(10), np.empty(0, np.int64))
    found = count_matches(np.zeros((1, 3), np.float32), gallery, lambda query: matches, pairs=True)
    assert found.ranks.tolist() == list(range(2, 21, 2))
    for accepted in range(10):
        point = found.others.operating_point(found.distances, (accepted + 0.5) / 1000)
        assert point.true_positive_rate == accepted / 10
