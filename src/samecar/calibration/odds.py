"""From the logarithm of odds to a probability and back."""

import numpy as np
from numpy.typing import NDArray

NEAR_HALF = (0.3, 0.65)
"""Probabilities whose odds are so near one that their logarithm would lose digits."""


def expit(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of a logarithm of odds."""
    with np.errstate(over="ignore"):  # e to a high power is infinite, and the probability nought
        probability: NDArray[np.float64] = 1 / (1 + np.exp(-log_odds))
    return probability


def logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of a probability's odds; infinite at 0 and 1."""
    lowest, highest = NEAR_HALF
    near = (probability >= lowest) & (probability <= highest)
    apart = np.where(near, 2 * (probability - 0.5), 0.0)
    with np.errstate(divide="ignore"):
        far: NDArray[np.float64] = np.log(probability / (1 - probability))
    return np.where(near, np.log1p(apart) - np.log1p(-apart), far)
