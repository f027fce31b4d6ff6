"""Odds, against SciPy."""

import numpy as np
import pytest
from scipy import special

from samecar.calibration.odds import expit, logit


def test_they_are_those_of_scipy():
    log_odds = np.concatenate([np.linspace(-40, 40, 10_001), [-1000.0, 1000.0, 0.0]])
    np.testing.assert_allclose(expit(log_odds), special.expit(log_odds), rtol=1e-14)
    probability = np.concatenate(
        [np.linspace(0, 1, 10_001), np.geomspace(1e-300, 0.1, 100), 0.5 + np.array([-1e-9, 1e-9])]
    )
    np.testing.assert_allclose(logit(probability), special.logit(probability), rtol=1e-14)


def test_they_undo_each_other():
    probability = np.linspace(0.001, 0.999, 999)
    np.testing.assert_allclose(expit(logit(probability)), probability, rtol=1e-14)
    assert logit(np.array(0.5)) == 0
    assert expit(np.array(0.0)) == pytest.approx(0.5)
