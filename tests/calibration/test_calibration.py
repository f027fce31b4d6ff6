import itertools
import json

import numpy as np
import pytest
from calibrations import calibration_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import genpareto, norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from samecar.calibration import Calibration, Isotonic, Logistic, OpenSet, PairCounts, fit_curve, gallery_sizes
from samecar.errors import SamecarError


def counted(same, different, vehicles=100, bins=400):
    """Pairs with these similarities, in bins."""
    edges = np.linspace(-1, 1, bins + 1)
    return PairCounts(edges, np.histogram(same, edges)[0], np.histogram(different, edges)[0], vehicles)


def drawn(generator, pairs=4000):
    """Same pairs around .6 and different ones around .2, whose posterior is known."""
    return generator.normal(0.6, 0.15, pairs).clip(-1, 1), generator.normal(0.2, 0.1, 10 * pairs).clip(-1, 1)


def posterior(similarities, prior=0.5):
    same, different = norm.pdf(similarities, 0.6, 0.15), norm.pdf(similarities, 0.2, 0.1)
    return prior * same / (prior * same + (1 - prior) * different)


@pytest.fixture(scope="module")
def pairs():
    return counted(*drawn(np.random.default_rng(0)))


# curves


def test_the_isotonic_curve_is_that_of_scikit_learn(pairs):
    same, different = pairs.same / pairs.same.sum(), pairs.different / pairs.different.sum()
    oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
        np.tile(pairs.middles, 2),
        np.repeat([1, 0], len(pairs.middles)),
        sample_weight=np.concatenate([same, different]),
    )
    asked = pairs.middles[same + different > 0]
    wanted = np.clip(oracle.predict(asked), 1 / 102, 1 - 1 / 4952)
    np.testing.assert_allclose(Isotonic.fit(pairs).probability(asked), wanted, atol=1e-9)


def test_the_logistic_curve_is_that_of_scikit_learn_with_platts_targets(pairs):
    same, different = pairs.same / pairs.same.sum(), pairs.different / pairs.different.sum()
    low, high = 1 / 102, 1 - 1 / 4952
    weights = np.concatenate([same * high + different * low, same * (1 - high) + different * (1 - low)])
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.tile(pairs.middles, 2)[:, None], np.repeat([1, 0], len(pairs.middles)), sample_weight=1e4 * weights
    )
    curve = Logistic.fit(pairs)
    assert curve.slope == pytest.approx(oracle.coef_[0, 0], rel=1e-3)
    assert curve.intercept == pytest.approx(oracle.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_probabilities_are_those_that_the_pairs_were_drawn_with(method, pairs):
    asked = np.linspace(-0.1, 0.9, 101)
    curve = fit_curve(method, pairs)
    # the ratio of these two bell curves of different width is no logistic curve; its fit is close all the same
    assert np.abs(curve.probability(asked) - posterior(asked)).mean() < (0.02 if method == "isotonic" else 0.04)
    assert posterior(curve.similarity_at(0.5)) == pytest.approx(0.5, abs=0.1)


def test_a_logistic_posterior_is_recovered():
    """Bell curves of one width have the logistic posterior slope = distance / variance."""
    generator = np.random.default_rng(1)
    counts = counted(generator.normal(0.4, 0.1, 20000), generator.normal(0.1, 0.1, 20000), vehicles=10**6, bins=2000)
    curve = Logistic.fit(counts)
    assert curve.slope == pytest.approx(30, rel=0.05)
    assert curve.similarity_at(0.5) == pytest.approx(0.25, abs=0.005)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=20),
    st.lists(st.floats(-1, 1), min_size=1, max_size=20),
    st.sampled_from(["isotonic", "logistic"]),
    st.integers(2, 1000),
)
def test_probabilities_never_fall_and_are_never_certain(same, different, method, vehicles):
    counts = counted(same, different, vehicles)
    if np.count_nonzero(counts.same + counts.different) < 2:
        return
    curve = fit_curve(method, counts)
    probabilities = curve.probability(np.concatenate([[-1.0], counts.middles, [1.0]]))
    assert (np.diff(probabilities) >= 0).all()
    assert probabilities.min() >= 1 / (vehicles + 2)
    assert probabilities.max() <= 1 - 1 / (vehicles * (vehicles - 1) / 2 + 2)
    again = calibration_of(curve)
    assert Calibration.from_json(again.to_json()) == again


def test_the_threshold_is_where_the_probability_reaches_a_half():
    curve = Isotonic(similarities=(0.1, 0.2, 0.4, 0.5), probabilities=(0.1, 0.1, 0.9, 0.9))
    assert calibration_of(curve).same_threshold == pytest.approx(0.3)
    assert curve.similarity_at(0.05) == 0.1
    assert curve.similarity_at(0.95) == 0.5
    assert curve.probability(np.array([-1.0, 0.3, 1.0])).tolist() == pytest.approx([0.1, 0.5, 0.9])


def test_another_prior_is_bayes_rule(pairs):
    calibration = calibration_of(fit_curve("isotonic", pairs))
    assert calibration.probability(0.35, prior=0.5) == pytest.approx(calibration.probability(0.35))
    even = calibration.probability(np.array([0.3, 0.35, 0.4]))
    rare = calibration.probability(np.array([0.3, 0.35, 0.4]), prior=0.01)
    np.testing.assert_allclose(rare / (1 - rare), even / (1 - even) / 99)
    with pytest.raises(SamecarError, match="prior is 1"):
        calibration.probability(0.3, prior=1)
    with pytest.raises(SamecarError, match="not a number"):
        calibration.probability([0.3, np.nan])


# thresholds for galleries


def brute_force_threshold(best, size, rate):
    """The lowest value that few enough best similarities reach, over every gallery of `size` vehicles."""
    vehicles = best.shape[1]
    allowed = (rate * (vehicles + 1) - 1) / vehicles
    tops = [
        np.mean([row[list(gallery)].max() >= np.sort(best, axis=None)[:, None, None] for gallery in galleries], axis=0)
        for row in best
        for galleries in [[g for g in itertools.combinations(range(vehicles), size) if np.isfinite(row[list(g)]).all()]]
    ]
    reached = np.mean(tops, axis=0).ravel()
    values = np.sort(best, axis=None)
    possible = values[(reached <= allowed + 1e-12) & np.isfinite(values)]
    return possible.min() if len(possible) else np.nextafter(values[-1], np.inf)


@pytest.mark.parametrize("rate", [0.2, 0.3, 0.5])
def test_thresholds_are_exact_over_all_galleries(rate):
    generator = np.random.default_rng(3)
    best = generator.normal(size=(12, 6))
    best[np.arange(12), np.arange(12) % 6] = -np.inf
    open_set = OpenSet.fit(best, 2.0, rate)
    assert open_set.pictures == tuple(2.0 * size for size in gallery_sizes(5))
    for pictures, threshold in zip(open_set.pictures, open_set.thresholds, strict=True):
        assert threshold == pytest.approx(brute_force_threshold(best, int(pictures / 2), rate), abs=1e-12), pictures


def false_alarms(open_set, sizes, generic):
    """Of queries whose similarity to any other is normal around a level of their own; worked out, not drawn."""
    levels = generic * norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]
    at = np.array([open_set.threshold(size) for size in sizes])
    return np.mean(1 - np.exp(np.array(sizes) * norm.logcdf((at - levels) / 0.1)), axis=0)


@pytest.mark.parametrize("generic", [0, 0.05])
def test_the_stated_rate_of_false_alarms_holds_at_every_size(generic):
    """Also where some queries are like everything, so that their similarities come together."""
    generator, vehicles, seen = np.random.default_rng(5), 150, []
    sizes = [1, 5, 20, 75, 149]
    for _ in range(12):
        best = generator.normal(0, generic, (vehicles, 1)) + generator.normal(0, 0.1, (vehicles, vehicles))
        np.fill_diagonal(best, -np.inf)
        open_set = OpenSet.fit(best, 1.0, 0.05)
        assert (np.diff(open_set.thresholds) >= 0).all()
        seen.append(false_alarms(open_set, [*sizes, 500], generic))
    mean = np.mean(seen, axis=0)
    error = np.std(seen, axis=0) / np.sqrt(len(seen))
    assert (mean[:-1] - 3 * error[:-1] <= 0.05).all()
    assert (mean[:-1] + 3 * error[:-1] >= 0.035).all()
    assert mean[-1] == pytest.approx(0.05, abs=0.03)  # extrapolated


def test_beyond_what_was_measured_the_threshold_is_a_return_level():
    open_set = OpenSet(false_alarm_rate=0.05, pictures=(1, 100), thresholds=(0.3, 0.5), shape=-0.2, scale=0.03)
    for times in (2, 10, 1000):
        wanted = 0.5 + genpareto.isf(1 / times, -0.2, scale=0.03)
        assert open_set.threshold(100 * times) == pytest.approx(wanted)
    assert open_set.threshold(10) == pytest.approx(0.4)
    assert open_set.threshold(0) == open_set.threshold(1) == 0.3
    level = open_set.model_copy(update={"shape": 0.0})
    assert level.threshold(1000) == pytest.approx(0.5 + 0.03 * np.log(10))
    assert level.model_copy(update={"scale": 1.0}).threshold(10**6) == 1


def test_highest_similarities_that_are_all_equal_have_no_tail():
    best = np.full((8, 8), 0.3)
    np.fill_diagonal(best, -np.inf)
    open_set = OpenSet.fit(best, 1.0, 0.3)
    assert open_set.scale == open_set.shape == 0
    assert open_set.threshold(10**6) == pytest.approx(0.3)
    assert open_set.threshold(10**6) > 0.3  # which nothing different has reached


def test_another_rate_is_met_where_comparisons_are_independent():
    """Similarities that are spread evenly from 0 to 1: the best of n is below t with the probability t to the n."""
    sizes = np.geomspace(1, 1e6, 200)
    thresholds = tuple((0.95 ** (1 / sizes)).tolist())
    open_set = OpenSet(false_alarm_rate=0.05, pictures=tuple(sizes), thresholds=thresholds, shape=-1, scale=0)
    calibration = calibration_of(Logistic(slope=1, intercept=0), open_set)
    for pictures in (1, 7, 200):
        assert calibration.open_set_threshold(pictures) == calibration.open_set_threshold(pictures, 0.05)
        for rate in (0.04, 0.01, 0.001):
            wanted = (1 - rate) ** (1 / pictures)
            assert 1 - calibration.open_set_threshold(pictures, rate) == pytest.approx(1 - wanted, rel=0.02)
    for wrong in (0, 1, -0.1, float("nan")):
        with pytest.raises(SamecarError, match=r"false_alarm_rate is .*; give a share above 0 and below 1"):
            calibration.open_set_threshold(1, wrong)


# files


def test_a_calibration_is_read_as_it_was_written(pairs):
    for method in ("isotonic", "logistic"):
        calibration = calibration_of(fit_curve(method, pairs))
        assert Calibration.from_json(calibration.to_json().encode()) == calibration
        assert json.loads(calibration.to_json())["prior"] == 0.5


def test_a_logistic_curve_of_an_older_file_is_bounded_by_its_vehicles():
    content = json.loads(calibration_of(Logistic(slope=400, intercept=-60)).to_json())
    del content["pairs"]["lowest"], content["pairs"]["highest"]
    found = Calibration.from_json(json.dumps(content))
    assert content["evidence"]["vehicles"] == 9
    assert found.probability([-1, 0.15, 1]).tolist() == pytest.approx([1 / 11, 0.5, 1 - 1 / 38])
    assert Calibration.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"pairs": {"method": "linear"}},
        {"pairs": {"method": "isotonic", "similarities": [0.2, 0.1], "probabilities": [0, 1]}},
        {"pairs": {"method": "isotonic", "similarities": [0.1, 0.2], "probabilities": [1, 0]}},
        {"pairs": {"method": "logistic", "slope": float("nan"), "intercept": 0}},
        {"pairs": {"method": "logistic", "slope": -1, "intercept": 0}},
        {"surprise": 1},
    ],
)
def test_a_damaged_calibration_is_refused_in_a_sentence(change):
    content = {**json.loads(calibration_of(Logistic(slope=1, intercept=0)).to_json()), **change}
    with pytest.raises(SamecarError, match=r"run/c\.json is no calibration of this version.*samecar calibrate"):
        Calibration.from_json(json.dumps(content), "run/c.json")
    with pytest.raises(SamecarError, match="is no calibration"):
        Calibration.from_json(b'{"format": 1')


def test_another_model_is_refused():
    calibration = calibration_of(Logistic(slope=8, intercept=-2))
    calibration.check_model("0123456789abcdef")
    with pytest.raises(SamecarError, match="belongs to model 0123456789abcdef, and the embeddings are of fedc"):
        calibration.check_model("fedc")
    with pytest.raises(SamecarError, match="a gallery of -1 pictures"):
        calibration.open_set_threshold(-1)
    assert calibration.probability([[0.25]]) == expit([[0.0]])
