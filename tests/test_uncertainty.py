"""Confidence intervals over vehicles, and paired tests."""

import itertools

import numpy as np
import pytest

from samecar.uncertainty import Scores, compare, confidence_intervals


def scores(values, weights=None):
    values = np.asarray(values, float)
    return Scores(values, np.ones(len(values)) if weights is None else np.asarray(weights, float))


def test_a_score_is_the_weighted_mean_of_scored_queries():
    assert scores([0.5, np.nan, 1.0], [1, 7, 3]).mean == pytest.approx((0.5 + 3) / 4)
    assert np.isnan(scores([np.nan]).mean)


def test_an_interval_covers_what_resampling_vehicles_in_a_loop_covers():
    generator = np.random.default_rng(0)
    vehicles = generator.integers(20, size=100)
    metric = scores(generator.random(100) * (vehicles + 1) / 20, generator.integers(1, 5, size=100))
    low, high = confidence_intervals({"mAP": metric}, vehicles.astype(str), samples=4000)["mAP"]
    means = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(vehicles == vehicle) for vehicle in generator.integers(20, size=20)])
        means.append(np.average(metric.values[rows], weights=metric.weights[rows]))
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)
    assert low < metric.mean < high


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        vehicles = np.repeat(np.arange(60), 3)
        values = np.repeat(generator.random(60), 3)  # queries of a vehicle go together; the truth is 0.5
        low, high = confidence_intervals({"m": scores(values)}, vehicles.astype(str), samples=300, seed=seed)["m"]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_there_is_no_interval_where_nothing_can_be_drawn_anew():
    assert confidence_intervals({"m": scores([0.1, 0.2])}, np.array(["a", "a"])) == {}
    assert confidence_intervals({"m": scores([0.1, np.nan])}, np.array(["a", "b"])) == {}
    assert confidence_intervals({"m": scores([0.1, 0.2])}, np.array(["a", "b"]), samples=0) == {}


def test_intervals_are_seeded():
    vehicles, metric = np.arange(9).astype(str), {"m": scores(np.linspace(0, 1, 9) ** 2)}
    assert confidence_intervals(metric, vehicles, seed=3) == confidence_intervals(metric, vehicles, seed=3)
    seeds = [confidence_intervals(metric, vehicles, samples=50, seed=seed)["m"] for seed in range(5)]
    assert len(set(seeds)) > 1


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
