"""Metrics against plain loops, scikit-learn, chance, and numbers worked out by hand."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from samecar.errors import SamecarError
from samecar.evaluation import metrics
from samecar.evaluation.metrics import (
    average_precision,
    average_precisions,
    cumulative_matching,
    find_interpolation,
    first_ranks,
    inverse_negative_penalties,
    inverse_negative_penalty,
)

# Hits of a ranking of twelve, in order; some with matches, at least one.
rankings = st.lists(st.booleans(), min_size=1, max_size=30).filter(any)


def ranks_of(hits):
    return np.flatnonzero(hits) + 1


def naive_average_precision(hits):
    found, precisions = 0, []
    for place, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            precisions.append(found / place)
    return sum(precisions) / len(precisions)


def naive_inverse_negative_penalty(hits):
    last = max(place for place, hit in enumerate(hits, start=1) if hit)
    return sum(hits) / last


def naive_cmc(rankings, at):
    return sum(any(hits[:at]) for hits in rankings) / len(rankings)


def test_worked_example():
    # match, other, match, other, other, match: ranks 1, 3, 6
    #   AP  = (1/1 + 2/3 + 3/6) / 3 = (6 + 4 + 3) / 18 = 13/18
    #   INP = 3 matches / last at 6 = 1/2
    #   CMC: the first match is at rank 1
    ranks = np.array([1, 3, 6])
    assert average_precision(ranks) == pytest.approx(13 / 18)
    assert inverse_negative_penalty(ranks) == 0.5
    assert cumulative_matching([ranks], (1, 5)) == {1: 1.0, 5: 1.0}


def test_average_precision_is_neither_trapezoidal_nor_interpolated():
    # One match at rank 2: precision there is 1/2. A trapezoid over recall would give (0 + 1/2)/2 or (1 + 1/2)/2.
    assert average_precision(np.array([2])) == 0.5


@given(rankings)
def test_metrics_equal_plain_loops(hits):
    assert average_precision(ranks_of(hits)) == pytest.approx(naive_average_precision(hits))
    assert inverse_negative_penalty(ranks_of(hits)) == pytest.approx(naive_inverse_negative_penalty(hits))


@settings(max_examples=50)
@given(rankings)
def test_average_precision_equals_scikit_learn(hits):
    scores = np.arange(len(hits), 0, -1)
    assert average_precision(ranks_of(hits)) == pytest.approx(average_precision_score(hits, scores))


@given(st.lists(rankings, min_size=1, max_size=8))
def test_cmc_equals_a_plain_loop_and_never_falls(lists):
    curve = cumulative_matching([ranks_of(hits) for hits in lists], range(1, 31))
    assert curve == pytest.approx({rank: naive_cmc(lists, rank) for rank in range(1, 31)})
    values = list(curve.values())
    assert values == sorted(values)
    assert values[-1] == 1.0


def test_queries_without_a_match_are_in_no_denominator():
    none = np.array([], np.int64)
    assert cumulative_matching([np.array([1]), none, np.array([2])], (1, 2)) == {1: 0.5, 2: 1.0}
    assert all(math.isnan(value) for value in cumulative_matching([none], (1, 20)).values())
    for metric in (average_precision, inverse_negative_penalty):
        with pytest.raises(ValueError, match="skip it and count it"):
            metric(none)


def test_a_random_ranking_scores_chance():
    # 40 pictures, 4 of them matches. A simulation with its own loops on shuffled lists gives the expectation.
    generator = np.random.default_rng(0)
    hits = [True] * 4 + [False] * 36
    shuffled = [generator.permutation(hits).tolist() for _ in range(4000)]
    expected = np.mean([naive_average_precision(hits) for hits in shuffled])
    ranks = [ranks_of(generator.random(40).argsort() < 4) for _ in range(4000)]
    assert np.mean([average_precision(query) for query in ranks]) == pytest.approx(expected, abs=0.01)
    # The first picture is one of 4 in 40; a hypergeometric draw of 5 misses all with 36·35·34·33·32 / 40·39·38·37·36.
    chance = cumulative_matching(ranks, (1, 5))
    assert chance[1] == pytest.approx(0.1, abs=0.02)
    assert chance[5] == pytest.approx(1 - math.comb(36, 5) / math.comb(40, 5), abs=0.03)


def naive_interpolated(hits, interpolation):
    precisions, found = [], 0
    for place, hit in enumerate(hits, start=1):
        found += hit
        if hit:
            before = (found - 1) / (place - 1) if place > 1 else 1.0
            precisions.append((found / place + before) / 2 if interpolation == "trapezoid" else found / place)
    if interpolation == "maximum":
        precisions = [max(precisions[place:]) for place in range(len(precisions))]
    return sum(precisions) / len(precisions)


@given(st.lists(st.lists(st.booleans(), max_size=20), min_size=1, max_size=8))
def test_all_queries_at_once_equal_plain_loops(lists):
    ranks = [ranks_of(hits) for hits in lists]
    flat, counts = np.concatenate(ranks).astype(np.int64), np.array([len(query) for query in ranks])
    for interpolation in ("none", "trapezoid", "maximum"):
        found = average_precisions(flat, counts, interpolation)
        expected = [naive_interpolated(hits, interpolation) if any(hits) else math.nan for hits in lists]
        np.testing.assert_allclose(found, expected)
    expected = [naive_inverse_negative_penalty(hits) if any(hits) else math.nan for hits in lists]
    np.testing.assert_allclose(inverse_negative_penalties(flat, counts), expected)
    np.testing.assert_array_equal(first_ranks(flat, counts), [query[0] if len(query) else math.nan for query in ranks])


def test_interpolations_worked_by_hand():
    # match, other, match: precisions 1 and 2/3; before them 1 (nothing) and 1/2.
    ranks = np.array([1, 3])
    assert average_precision(ranks, "trapezoid") == pytest.approx((1 + (2 / 3 + 1 / 2) / 2) / 2)
    # other, match, match: precisions 1/2 and 2/3, of which the higher counts for both.
    assert average_precision(np.array([2, 3]), "maximum") == pytest.approx(2 / 3)
    with pytest.raises(SamecarError, match="unknown interpolation 'linear'; known are none, trapezoid, maximum"):
        find_interpolation("linear")


def test_examples_in_the_docstrings():
    result = doctest.testmod(metrics)
    assert result.attempted >= 3
    assert result.failed == 0
