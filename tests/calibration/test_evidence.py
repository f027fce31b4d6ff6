import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import norm

from samecar.calibration import OpenSet, PairCounts
from samecar.calibration.evidence import SearchEvidence
from samecar.calibration.fitting import fit_calibration
from samecar.labels import Labels

VEHICLES = 150


def simulated(seed, same=2000):
    """Pairs whose likelihood ratio is known, and the open-set answer of the same vehicles.

    Similarities of different vehicles have a normal distribution around .2, those of one vehicle around .6.
    """
    generator = np.random.default_rng(seed)
    edges = np.linspace(-1, 1, 4097)
    alike = generator.normal(0.6, 0.1, same).clip(-1, 1)
    different = generator.normal(0.2, 0.1, VEHICLES * VEHICLES).clip(-1, 1)
    counts = PairCounts(edges, np.histogram(alike, edges)[0], np.histogram(different, edges)[0], VEHICLES)
    best = generator.normal(0.2, 0.1, (VEHICLES, VEHICLES))
    np.fill_diagonal(best, -np.inf)
    return counts, OpenSet.fit(best, 1.0, 0.05), alike


def true_log_ratio(similarities):
    return norm.logpdf(similarities, 0.6, 0.1) - norm.logpdf(similarities, 0.2, 0.1)


def test_ratios_are_those_of_the_densities_also_where_different_vehicles_were_never_seen_so_alike():
    similarities = np.array([0.3, 0.4, 0.5, 0.6, 0.65, 0.7])
    errors = []
    for seed in range(8):
        counts, open_set, _ = simulated(seed)
        errors.append(SearchEvidence.fit(counts, open_set).log_ratio(similarities) - true_log_ratio(similarities))
    typical = np.median(errors, axis=0)
    assert abs(typical[:4]).max() < np.log(2)
    assert abs(typical[4:]).max() < np.log(10)  # one in ten thousand to one in three million different pairs


def test_quantiles_are_those_of_the_pairs_of_one_vehicle():
    counts, open_set, alike = simulated(0)
    evidence = SearchEvidence.fit(counts, open_set)
    shares = np.linspace(0, 1, 41)
    assert evidence.quantiles == pytest.approx(np.quantile(alike, shares), abs=2e-3)
    for similarity in (0.45, 0.6, 0.8):
        assert evidence.share_below(similarity) == pytest.approx((alike < similarity).mean(), abs=0.01)
    assert (evidence.share_below(-1), evidence.share_below(1)) == (0, 1)


def test_few_pairs_give_few_steps():
    counts, open_set, _ = simulated(1, same=8)
    evidence = SearchEvidence.fit(counts, open_set)
    assert len(evidence.quantiles) == 5
    assert (np.diff(evidence.logarithms) >= 0).all()


def test_a_perfect_model_has_finite_ratios():
    """All different pairs are equally alike, so that their tail has no width."""
    matrix = np.repeat(np.eye(10, dtype=np.float32), 2, axis=0)
    labels = Labels(np.repeat(np.arange(10), 2).astype(str), np.tile(["a", "b"], 10))
    calibration = fit_calibration(matrix, labels).calibration
    ratios = calibration.likelihood_ratio([-1, 0, 0.5, 1])
    assert np.isfinite(ratios).all()
    assert (np.diff(ratios) >= 0).all()
    assert ratios[-1] > 1 > ratios[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"similarities": (0.2, 0.1)},
        {"logarithms": (1.0, 0.0)},
        {"logarithms": (1.0,)},
        {"quantiles": (0.5, 0.4)},
        {"quantiles": (0.5,)},
    ],
)
def test_what_does_not_rise_is_refused(wrong):
    right = {"similarities": (0.1, 0.2), "logarithms": (0.0, 1.0), "quantiles": (0.4, 0.5)}
    SearchEvidence(**right)
    with pytest.raises(ValidationError):
        SearchEvidence(**right | wrong)
