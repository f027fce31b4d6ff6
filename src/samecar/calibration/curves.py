"""From similarity to the probability of the same vehicle: curves that are fitted to pairs of pictures."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from samecar.calibration.odds import expit, logit
from samecar.calibration.options import Method
from samecar.calibration.part import Part, Rate, refuse_falling

PRIOR = 0.5
"""Probability of the same vehicle before anything is seen: one picture of it and one of another are equally likely."""


def probability_bounds(vehicles: int) -> tuple[float, float]:
    """The lowest and the highest probability that pairs of so many vehicles can bear, by the rule of succession.

    Pairs of one vehicle, or of the same two, are no independent cases; what counts is the number of vehicles, and of
    pairs of vehicles.
    """
    return 1 / (vehicles + 2), 1 - 1 / (vehicles * (vehicles - 1) / 2 + 2)


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Pairs of pictures by their similarity, in narrow bins of one width.

    Attributes:
        edges: (bins + 1,) of the bins, rising.
        same: (bins,) pairs of one vehicle.
        different: (bins,) pairs of two vehicles.
        vehicles: number of vehicles among the same pairs.
    """

    edges: NDArray[np.float64]
    same: NDArray[np.int64]
    different: NDArray[np.int64]
    vehicles: int

    @property
    def middles(self) -> NDArray[np.float64]:
        """The similarity that the pairs of each bin are taken to have; (bins,)."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def balanced(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of same and of different pairs, halved so that both together are one; (bins,) each."""
        return PRIOR * self.same / self.same.sum(), (1 - PRIOR) * self.different / self.different.sum()

    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest probability that so much data can bear."""
        return probability_bounds(self.vehicles)


class Isotonic(Part):
    """The rising curve that fits the pairs best, linear between its corners and level beyond them.

    Attributes:
        similarities: of the corners, rising.
        probabilities: at the corners, never falling.
    """

    method: Literal["isotonic"] = "isotonic"
    similarities: tuple[float, ...] = Field(min_length=1)
    probabilities: tuple[Rate, ...]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        refuse_falling("similarities", self.similarities, self.probabilities)
        return self

    @classmethod
    def fit(cls, counts: PairCounts) -> "Isotonic":
        """Fits by least squares, same and different pairs weighing as much as each other in all."""
        from scipy.optimize import isotonic_regression  # takes long to import, and only fitting needs it

        same, different = counts.balanced()
        used = np.flatnonzero(same + different)
        weights = (same + different)[used]
        fitted = isotonic_regression(same[used] / weights, weights=weights).x  # (used,)
        probabilities = np.clip(fitted, *counts.bounds())
        steps = np.diff(probabilities) > 0
        corners = np.concatenate([[True], steps]) | np.concatenate([steps, [True]])
        return cls(
            similarities=tuple(counts.middles[used][corners].tolist()),
            probabilities=tuple(probabilities[corners].tolist()),
        )

    @property
    def highest(self) -> float:
        """The probability that the curve is level at in the end."""
        return self.probabilities[-1]

    def probability(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the same vehicle."""
        return np.interp(similarities, self.similarities, self.probabilities)

    def similarity_at(self, probability: float) -> float:
        """The lowest similarity that has this probability or a higher one."""
        place = int(np.searchsorted(self.probabilities, probability))
        if place == 0 or place == len(self.probabilities):
            return self.similarities[min(place, len(self.similarities) - 1)]
        corners = slice(place - 1, place + 1)
        return float(np.interp(probability, self.probabilities[corners], self.similarities[corners]))


class Logistic(Part):
    """Platt's curve: the odds grow by the same factor with every step of the similarity.

    Attributes:
        slope: change of the logarithm of the odds with a similarity one higher.
        intercept: the same at similarity 0.
        lowest: probability that the curve is level at from there on, as so little data can bear no lower one.
        highest: the same at its upper end.
    """

    method: Literal["logistic"] = "logistic"
    slope: float = Field(gt=0)
    intercept: float
    lowest: Rate = 0.0
    highest: Rate = 1.0

    @classmethod
    def fit(cls, counts: PairCounts) -> "Logistic":
        """Fits by greatest likelihood, with Platt's targets, which lie as far from 0 and 1 as the data is small."""
        from scipy.optimize import minimize  # takes long to import, and only fitting needs it

        same, different = counts.balanced()
        low, high = counts.bounds()
        used = np.flatnonzero(same + different)
        weights, similarities = (same + different)[used], counts.middles[used]
        targets = (high * same + low * different)[used] / weights
        centre = np.average(similarities, weights=weights)
        spread = np.sqrt(np.average((similarities - centre) ** 2, weights=weights))
        scaled = (similarities - centre) / spread

        def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            log_odds = line[0] * scaled + line[1]
            error = weights * (expit(log_odds) - targets)
            return float(weights @ (np.logaddexp(0, log_odds) - targets * log_odds)), np.array(
                [error @ scaled, error.sum()]
            )

        bounds = [(1e-6, None), (None, None)]  # it may not fall
        found = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14})
        slope, level = found.x
        intercept = level - slope * centre / spread
        return cls(slope=float(slope / spread), intercept=float(intercept), lowest=low, highest=high)

    def probability(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the same vehicle."""
        return np.clip(expit(self.slope * similarities + self.intercept), self.lowest, self.highest)

    def similarity_at(self, probability: float) -> float:
        """The similarity that has this probability."""
        return float((logit(np.array(probability)) - self.intercept) / self.slope)


def fit_curve(method: Method, counts: PairCounts) -> Isotonic | Logistic:
    """Fits the curve of that name."""
    return (Isotonic if method == "isotonic" else Logistic).fit(counts)
