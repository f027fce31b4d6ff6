"""From similarities of pictures to log-odds that two sightings show one vehicle."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samecar.linking.agglomeration import ScoredPairs
from samecar.linking.alike import AlikePairs
from samecar.linking.rules import Rules
from samecar.linking.sightings import Sightings

if TYPE_CHECKING:
    from samecar.calibration import Calibration

STEPS = 20_001
"""Similarities from -1 to 1 among which the least that counts is looked for."""


@dataclass(frozen=True)
class Bounds:
    """Below which nothing counts.

    Attributes:
        similarity: of pairs of pictures.
        log_odds: of pairs of sightings: what all others are given.
    """

    similarity: float
    log_odds: float


@dataclass(frozen=True, eq=False)
class Prior:
    """What is taken to be so of two sightings before they are looked at.

    Attributes:
        rivals: how many vehicles a sighting's could be by place and time, on average.
        odds: (2, cameras, cameras) that two sightings within reach show one vehicle, by their way, see `Ways`.
    """

    rivals: float
    odds: NDArray[np.float64]


def count_prior(sightings: Sightings, rules: Rules, found: ScoredPairs | None = None) -> Prior:
    """The prior that a gallery's own sightings give.

    A sighting's vehicle is each of its rivals with odds of one in their number, as in a search. Their number is the
    mean number of sightings within reach, times the vehicles per sighting, where names count if there are any, and each
    other sighting counts as a vehicle: the most that there can be. Where vehicles were found already, the share of
    pairs that they make of all pairs on their way comes on top. That is how expectation and maximisation take a
    classifier to what is so in new data (Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to
    new a priori probabilities", 2002), with pairs that were found in place of expected ones: what was missed makes the
    odds too low, not too high.

    Args:
        sightings: of the gallery.
        rules: which pairs are within reach.
        found: pairs of one vehicle, as far as they are known.
    """
    ways = rules.count_ways()
    names = {sighting.vehicle_id for sighting in sightings.all if sighting.vehicle_id}
    unnamed = sum(not sighting.vehicle_id for sighting in sightings.all)
    many = max(len(sightings), 1)
    rivals = max(1.0, 2 * float(ways.sum()) / many * (len(names) + unnamed) / many)
    odds = np.full(ways.shape, 1 / rivals)
    if found is not None:
        way = rules.ways(found.first, found.second)
        np.add.at(odds, way.places, np.where(way.within_reach, 1 / np.maximum(ways[way.places], 1.0), 0.0))
    return Prior(rivals, np.minimum(odds, 1.0))


def least_similarity(calibration: "Calibration", rivals: float, floor: float) -> float | None:
    """The similarity from which the log-odds of two pictures are above the floor; None if none is."""
    grid = np.linspace(-1, 1, STEPS)
    above = np.log(calibration.likelihood_ratio(grid)) - np.log(rivals) > floor
    return float(grid[above.argmax()]) if above.any() else None


def score_sightings(
    sightings: Sightings, alike: AlikePairs, bounds: "Bounds", calibration: "Calibration", prior: Prior, rules: Rules
) -> ScoredPairs:
    """Log-odds of pairs of sightings.

    The likelihood ratio of two sightings is the mean over the pairs of their pictures, as in a search; pairs that are
    less alike than the least count as nought. Nothing is surer than the vehicles that were calibrated on can bear.

    Args:
        sightings: of the gallery.
        alike: pairs of entries.
        bounds: of what counts.
        calibration: what similarities mean.
        prior: odds beforehand.
        rules: what is within reach.
    """
    first, second, similarities = _as_sightings(sightings, alike, bounds.similarity)
    pairs, place = np.unique(first * len(sightings) + second, return_inverse=True)
    ratios = np.bincount(place, calibration.likelihood_ratio(similarities), minlength=len(pairs))
    one, other = np.divmod(pairs, max(len(sightings), 1))
    pictures = np.array([len(sighting.entries) for sighting in sightings.all], np.int64)
    ways = rules.ways(one, other)
    with np.errstate(divide="ignore"):
        scores = np.log(ratios / (pictures[one] * pictures[other]) * prior.odds[ways.places])
    scores = np.minimum(scores, np.log(calibration.highest_odds))
    counts = (scores > bounds.log_odds) & ways.within_reach
    return ScoredPairs(one, other, scores, bounds.log_odds).among(counts)


def _as_sightings(
    sightings: Sightings, alike: AlikePairs, least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of pictures by the numbers of their sightings, in an order that does not depend on entries' numbers."""
    of_entry = sightings.of_entries()
    ids = np.array(sorted(of_entry), np.int64)
    owner = np.array([of_entry[number] for number in ids.tolist()], np.int64)
    known = (alike.similarities >= least) & np.isin(alike.first, ids) & np.isin(alike.second, ids)
    one = owner[np.searchsorted(ids, alike.first[known])]
    other = owner[np.searchsorted(ids, alike.second[known])]
    first, second, similarities = np.minimum(one, other), np.maximum(one, other), alike.similarities[known]
    order = np.lexsort((similarities, second, first))
    order = order[first[order] != second[order]]
    return first[order], second[order], similarities[order]
