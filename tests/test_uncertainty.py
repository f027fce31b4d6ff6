"""Confidence intervals over vehicles, and paired tests."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from samecar.uncertainty import CHANCE, MANY_DEGREES, Scores, _quantile, compare, confidence_intervals, score_interval


def scores(values, weights=None):
    values = np.asarray(values, float)
    return Scores(values, np.ones(len(values)) if weights is None else np.asarray(weights, float))


def test_a_score_is_the_weighted_mean_of_scored_queries():
    assert scores([0.5, np.nan, 1.0], [1, 7, 3]).mean == pytest.approx((0.5 + 3) / 4)
    assert np.isnan(scores([np.nan]).mean)


def ends_of_score_test(score, variance, vehicles, degrees):
    """The shares that a score test does not refuse, by search instead of by formula."""
    student = stats.t.ppf(0.975, degrees)
    spread = (degrees * variance + 2 * score * (1 - score) / vehicles) / (degrees + 2)
    number = max(score * (1 - score) / spread, vehicles / 2) if spread else vehicles

    def surprise(share):
        return (score - share) ** 2 - student**2 * share * (1 - share) / number

    low = optimize.brentq(surprise, 0, score - 1e-9) if score else 0
    high = optimize.brentq(surprise, score + 1e-9, 1) if score < 1 else 1
    return low, high


@pytest.mark.parametrize("score", [0.0, 0.02, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("vehicles", "degrees"), [(2, 1), (20.0, 19), (13.5, 19)])
def test_an_interval_of_a_score_holds_what_a_score_test_does_not_refuse(score, vehicles, degrees):
    for variance in (0.0, 0.0002, 0.004, 0.5):
        found = score_interval(score, variance, vehicles=vehicles, degrees=degrees)
        assert found == pytest.approx(ends_of_score_test(score, variance, vehicles, degrees), abs=1e-9)


def test_vehicles_that_all_succeed_leave_room_for_one_that_fails():
    low, high = confidence_intervals({"m": scores(np.ones(20))}, np.arange(20).astype(str))["m"]
    assert high == 1
    assert low == pytest.approx(20 / (20 + stats.t.ppf(0.975, 19) ** 2))


def test_the_variance_is_that_of_a_ratio_over_vehicles():
    generator = np.random.default_rng(0)
    vehicles = generator.integers(20, size=100)
    metric = scores(generator.random(100) * (vehicles + 1) / 20, generator.integers(1, 5, size=100))
    metric.values[7] = np.nan  # a query without a match
    rows = [np.flatnonzero((vehicles == vehicle) & np.isfinite(metric.values)) for vehicle in range(20)]
    weights = np.array([metric.weights[each].sum() for each in rows])
    residuals = [((metric.values[each] - metric.mean) * metric.weights[each]).sum() for each in rows]
    variance = 20 / 19 * np.sum(np.square(residuals)) / weights.sum() ** 2
    number = weights.sum() ** 2 / (weights**2).sum()
    found = confidence_intervals({"m": metric}, vehicles.astype(str))["m"]
    assert found == pytest.approx(ends_of_score_test(metric.mean, variance, number, 19), abs=1e-9)


def test_queries_of_a_vehicle_count_as_one():
    values, vehicles = np.linspace(0.3, 1, 12), np.arange(12).astype(str)
    once = confidence_intervals({"m": scores(values)}, vehicles)["m"]
    often = confidence_intervals({"m": scores(np.repeat(values, 5))}, np.repeat(vehicles, 5))["m"]
    assert once == pytest.approx(often)


@pytest.mark.parametrize("failing", [0.05, 0.3])
@pytest.mark.parametrize("count", [10, 20, 60])
def test_intervals_of_few_vehicles_hold_the_truth_about_as_often_as_they_say(count, failing):
    generator = np.random.default_rng(1)
    vehicles, truth, held = np.repeat(np.arange(count), 3), 1 - failing * 0.7, 0
    for _ in range(300):
        fails = generator.random((count, 1)) < failing
        values = np.where(fails, generator.beta(3, 7, (count, 1)) + np.zeros((count, 3)), 1.0).ravel()
        low, high = confidence_intervals({"m": scores(values)}, vehicles.astype(str))["m"]
        held += low <= truth <= high
    assert held / 300 >= 0.93


def test_there_is_no_interval_of_a_single_vehicle():
    assert confidence_intervals({"m": scores([0.1, 0.2])}, np.array(["a", "a"])) == {}
    assert confidence_intervals({"m": scores([0.1, np.nan])}, np.array(["a", "b"])) == {}
    assert set(confidence_intervals({"m": scores([0.1, 0.2])}, np.array(["a", "b"]))) == {"m"}


def test_the_p_value_is_that_of_all_exchanges_of_vehicles():
    generator = np.random.default_rng(2)
    vehicles = np.repeat(np.arange(8), 3)
    ours, theirs = generator.random(24), generator.random(24) + 0.15
    found = compare(scores(ours), scores(theirs), vehicles.astype(str), samples=20_000)
    sums = np.bincount(vehicles, theirs - ours)
    exchanged = [abs(sums @ np.array(signs)) for signs in itertools.product([1, -1], repeat=8)]
    expected = np.mean([value >= abs(sums.sum()) - 1e-12 for value in exchanged])
    assert found.p_value == pytest.approx(expected, abs=0.01)
    assert found.difference == pytest.approx(theirs.mean() - ours.mean())
    assert found.interval[0] < found.difference < found.interval[1]


def test_no_p_value_falls_below_one_in_ten_thousand_and_one():
    vehicles = np.arange(100).astype(str)
    assert compare(scores(np.zeros(100)), scores(np.ones(100)), vehicles).p_value == 1 / 10_001


def test_where_all_permutations_are_as_extreme_the_p_value_is_one_however_many_vehicles_there_are():
    ours, vehicles = np.arange(300) % 2, np.arange(300).astype(str)
    assert compare(scores(ours), scores(1 - ours), vehicles).p_value == 1


def test_equal_runs_do_not_differ_and_chance_is_found_as_often_as_it_should():
    vehicles = np.arange(30).astype(str)
    same = scores(np.linspace(0, 1, 30))
    assert compare(same, same, vehicles, samples=99).p_value == 1
    generator = np.random.default_rng(3)
    found = [
        compare(scores(generator.random(30)), scores(generator.random(30)), vehicles, samples=199).p_value
        for _ in range(200)
    ]
    assert np.mean(np.array(found) < 0.05) < 0.1


def test_only_queries_that_both_scored_are_compared():
    found = compare(scores([0.2, np.nan, 0.4]), scores([0.4, 1.0, np.nan]), np.array(["a", "b", "c"]), samples=9)
    assert (found.first, found.second) == (0.2, 0.4)


def refused(differences, weights, truth):
    """Whether an exchange of vehicles, over all exchanges, finds what was seen too surprising for this difference."""
    rest = differences - truth * weights
    sums = np.abs(np.array(list(itertools.product([1, -1], repeat=len(rest)))) @ rest)
    return np.mean(sums >= abs(rest.sum()) - 1e-12) < CHANCE


def test_the_interval_of_a_difference_holds_what_the_test_does_not_refuse():
    generator = np.random.default_rng(4)
    vehicles = np.repeat(np.arange(11), 2)
    ours, theirs = scores(np.zeros(22), np.repeat(generator.integers(1, 4, 11), 2)), generator.normal(0.5, 0.1, 22)
    found = compare(ours, scores(theirs, ours.weights), vehicles.astype(str), samples=100_000)
    weights = np.bincount(vehicles, ours.weights)
    differences = np.bincount(vehicles, theirs * ours.weights)
    low, high = found.interval
    assert 0 < low < found.difference < high  # the end towards zero is that of the test
    assert not refused(differences, weights, low + 0.005)
    assert refused(differences, weights, low - 0.005)
    reach = high - found.difference  # the other that of Student's t, with half a vehicle more
    residuals = differences - found.difference * weights
    seen = 11 / 10 * (residuals**2).sum() / weights.sum() ** 2
    worst = (weights**2).sum() / weights.sum() ** 2
    assert reach == pytest.approx(stats.t.ppf(0.975, 10) * np.sqrt((10 * seen + 0.5 * worst) / 10.5))


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=14))
def test_interval_and_p_value_never_contradict_each_other(differences):
    vehicles = np.arange(len(differences)).astype(str)
    found = compare(scores(np.zeros(len(vehicles))), scores(differences), vehicles, samples=500)
    low, high = found.interval
    assert -1 <= low <= found.difference <= high <= 1
    assert (low <= 0 <= high) == (found.p_value >= CHANCE)


def test_a_single_vehicle_tells_nothing_of_a_difference():
    found = compare(scores([0.2, 0.4]), scores([0.9, 0.9]), np.array(["a", "a"]))
    assert (found.p_value, found.interval) == (1, (-1, 1))


def test_the_quantile_of_students_t_is_that_of_scipy():
    degrees = [*range(1, 400), *range(MANY_DEGREES - 3, MANY_DEGREES + 4), 5_000, 10**6]
    np.testing.assert_allclose([_quantile(each) for each in degrees], stats.t.ppf(0.975, degrees), rtol=1e-12)
