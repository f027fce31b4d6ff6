"""How much a similarity speaks for the same vehicle: likelihood ratios, also of similarities that are very rare."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from samecar.calibration.curves import PRIOR, Isotonic, PairCounts
from samecar.calibration.odds import logit
from samecar.calibration.open_set import OpenSet
from samecar.calibration.part import Part, refuse_falling

LARGEST_LOGARITHM = 300.0
"""Of a likelihood ratio, either way: sums of such numbers are finite."""

FEWEST_STEPS, PAIRS_PER_STEP = 4, 10
"""Quantiles of the similarities of one vehicle's pictures: so many pairs lie between two of them, if that gives so many
steps."""

MOST_STEPS = 40


class SearchEvidence(Part):
    """Likelihood ratios for searches, in which the highest similarities of different vehicles count most.

    Up to the last measured threshold of the open-set answer they are those of the isotonic curve. Above it they are the
    density of similarities of one vehicle's pictures, between two quantiles of these, divided by that of different
    vehicles, which follows the generalised Pareto distribution of the open-set answer.

    Attributes:
        similarities: rising.
        logarithms: natural ones of the likelihood ratio at these similarities, never falling; linear between them,
            level beyond them.
        quantiles: of the similarities of pictures of one vehicle, at equal steps from the lowest to the highest.
    """

    similarities: tuple[float, ...] = Field(min_length=1)
    logarithms: tuple[float, ...]
    quantiles: tuple[float, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        refuse_falling("similarities", self.similarities, self.logarithms)
        if (np.diff(self.quantiles) < 0).any():
            raise ValueError("quantiles must rise")
        return self

    @classmethod
    def fit(cls, counts: PairCounts, open_set: OpenSet) -> "SearchEvidence":
        """Fits to pairs, with the tail of an open-set answer that was fitted to the same vehicles."""
        curve, start = Isotonic.fit(counts), open_set.thresholds[-1]
        corners = np.array([*(corner for corner in curve.similarities if corner < start), start])
        measured = logit(curve.probability(corners)) - logit(np.array(PRIOR))
        quantiles = _same_quantiles(counts)
        middles, beyond = _tail_ratios(quantiles, open_set)
        return cls(
            similarities=tuple(np.concatenate([corners, middles]).tolist()),
            logarithms=tuple(np.maximum.accumulate(np.concatenate([measured, beyond])).tolist()),
            quantiles=tuple(quantiles.tolist()),
        )

    def log_ratio(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Natural logarithms of likelihood ratios; in the same shape."""
        return np.interp(similarities, self.similarities, self.logarithms)

    def share_below(self, similarity: float) -> float:
        """Share of pairs of one vehicle's pictures that are less similar."""
        return float(np.interp(similarity, self.quantiles, np.linspace(0, 1, len(self.quantiles)), left=0.0, right=1.0))


def continued_log_ratio(
    logarithms: NDArray[np.float64], at_start: float, similarities: NDArray[np.float64], open_set: OpenSet
) -> NDArray[np.float64]:
    """Logarithms of likelihood ratios of a curve that was made without `SearchEvidence`.

    Beyond the last threshold that was measured they grow at least as fast as similarities of different vehicles become
    rarer, as though one vehicle's pictures were evenly spread there.

    Args:
        logarithms: of the curve's likelihood ratios at these similarities.
        at_start: the same at the last threshold that was measured.
        similarities: in the shape of the logarithms.
        open_set: the open-set answer.
    """
    start = open_set.thresholds[-1]
    reached = np.minimum(open_set.gallery_pictures(np.maximum(similarities, start)), np.exp(LARGEST_LOGARITHM))
    rarer = np.log(reached / open_set.gallery_pictures(np.array(start)))
    return np.where(similarities > start, np.maximum(logarithms, at_start + rarer), logarithms)


def _same_quantiles(counts: PairCounts) -> NDArray[np.float64]:
    """Of the similarities of one vehicle's pictures, at equal steps; (steps + 1,)."""
    used = np.flatnonzero(counts.same)
    pairs = counts.same[used]
    steps = int(np.clip(pairs.sum() // PAIRS_PER_STEP, FEWEST_STEPS, MOST_STEPS))
    after = np.cumsum(pairs)
    shares = np.stack([after - pairs, after], axis=1) / after[-1]  # (used, 2) below and at the end of each bin
    edges = np.stack([counts.edges[used], counts.edges[used + 1]], axis=1)
    return np.interp(np.linspace(0, 1, steps + 1), shares.ravel(), edges.ravel())


def _tail_ratios(quantiles: NDArray[np.float64], open_set: OpenSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Similarities above the last threshold, and logarithms of their likelihood ratios."""
    start = open_set.thresholds[-1]
    lower, upper = quantiles[:-1], quantiles[1:]
    middles = (lower + upper) / 2
    used = (middles > start) & (upper > lower)
    middles, widths = middles[used], (upper - lower)[used]
    width = np.maximum(open_set.scale + open_set.shape * (middles - start), 0.0)
    rate = -np.log1p(-open_set.false_alarm_rate)
    reached = open_set.gallery_pictures(middles)
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.where(width > 0, width * reached / (rate * widths * (len(quantiles) - 1)), np.inf)
    return middles, np.clip(np.log(np.maximum(ratios, np.exp(-LARGEST_LOGARITHM))), None, LARGEST_LOGARITHM)
