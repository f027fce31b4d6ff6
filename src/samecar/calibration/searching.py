"""What a search among many pictures says: one model for the headline, "is it here at all?", and for each result.

Before a picture is looked at, the vehicle is in the gallery with the probability `in_gallery`, and is then each of its
vehicles with the same one. A likelihood ratio for each of the most similar pictures turns this into what is so
afterwards, by Bayes' rule: all vehicles, and "none of them", share one whole. Similarities to pictures of different
vehicles are taken as independent of each other, as is usual in forensic identification (Aitken and Taroni, "Statistics
and the Evaluation of Evidence for Forensic Scientists", 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samecar.calibration.record import Calibration
from samecar.errors import SamecarError

IN_GALLERY = 0.5
"""Probability that the gallery has the vehicle, where nobody states another: nothing is known about it."""


@dataclass(frozen=True)
class SearchPrior:
    """What is taken to be so before a picture is looked at.

    Attributes:
        vehicles: that are searched, at least one; an estimate need not be whole.
        pictures_per_vehicle: mean over vehicles that are known by name, at least one.
        in_gallery: probability that the vehicle is among them.
        stated: whether somebody has stated `in_gallery`, who then knows better than the rate of false alarms.

    Raises:
        SamecarError: the probability is not between 0 and 1.
    """

    vehicles: float
    pictures_per_vehicle: float = 1.0
    in_gallery: float = IN_GALLERY
    stated: bool = False

    def __post_init__(self) -> None:
        check_prior(self.in_gallery)
        if self.vehicles < 1 or self.pictures_per_vehicle < 1:
            raise ValueError("a search is among one vehicle or more, with one picture or more of each")

    @property
    def match(self) -> float:
        """Probability that a given vehicle of the gallery is the one."""
        return self.in_gallery / self.vehicles


@dataclass(frozen=True)
class Candidates:
    """The most similar pictures of a gallery, most similar first.

    Attributes:
        similarities: (pictures,) cosines, falling.
        vehicles: (pictures,) a name for what each shows; equal names mean the same vehicle.
        labelled: (pictures,) whether the name is a vehicle's own, so that another label means another vehicle. What is
            not labelled may be the same vehicle as anything else.
        searched: pictures that these were chosen among.
    """

    similarities: NDArray[np.float64]
    vehicles: Sequence[object]
    labelled: NDArray[np.bool_]
    searched: int


@dataclass(frozen=True)
class SearchPosterior:
    """What a search says.

    Attributes:
        probabilities: (pictures,) that a candidate shows the vehicle that is searched for; pictures of one vehicle
            share it. Never above `probability`.
        probability: that one of them does, so that the gallery has the vehicle.
        in_gallery: whether it is said to be there: never where `probability` is 0.5 or less, and always above.
        threshold: the similarity that the best must reach for that; None where a prior was stated.
    """

    probabilities: NDArray[np.float64]
    probability: float
    in_gallery: bool
    threshold: float | None


def check_prior(prior: float | None) -> None:
    """Refuses a prior that is no probability.

    Raises:
        SamecarError: it is not between 0 and 1.
    """
    if prior is not None and not 0 < prior < 1:
        raise SamecarError(f"prior is {prior}; give a probability above 0 and below 1 that the gallery has the vehicle")


def judge_search(calibration: Calibration, candidates: Candidates, prior: SearchPrior) -> SearchPosterior:
    """What a calibration says of the most similar pictures of a gallery.

    Where nobody states a prior, the threshold on the best similarity keeps its rate of false alarms: a best below it is
    never called more likely than not. Where somebody does, the threshold gives way.

    Args:
        calibration: what similarities mean.
        candidates: as many as there are or more than anybody is shown; those that were not found among the most
            similar count as "none of them", with no more weight than they had before. Together candidates speak for
            the vehicle no more than the pairs that the calibration was fitted to can bear.
        prior: what is taken to be so beforehand.
    """
    threshold = None if prior.stated else calibration.open_set_threshold(candidates.searched)
    if not len(candidates.similarities):
        return SearchPosterior(np.zeros(0), 0.0, False, threshold)
    ratios = calibration.likelihood_ratio(candidates.similarities)
    vehicle, labelled, weights = _weigh_vehicles(ratios, candidates, prior.pictures_per_vehicle)
    unseen = _weigh_unseen(calibration, candidates, prior.vehicles, len(weights), float(ratios[-1]))
    none = prior.vehicles * (1 - prior.in_gallery) / prior.in_gallery + unseen
    weights *= min(1.0, calibration.highest_odds * prior.vehicles / weights.sum())
    found = weights.sum()
    if threshold is not None and candidates.similarities[0] < threshold:
        none = max(none, found)
    probability = float(found / (none + found))
    against = np.minimum(weights, 1.0)  # (vehicles,) of what may be the same vehicle after all
    others = np.where(
        labelled,
        weights[labelled].sum() - weights + against[~labelled].sum(),
        against.sum() - against,
    )
    shares = np.minimum(weights / (none + weights + np.maximum(others, 0.0)), probability)
    return SearchPosterior(shares[vehicle], probability, probability > 0.5, threshold)


def _weigh_unseen(calibration: Calibration, candidates: Candidates, vehicles: float, seen: int, last: float) -> float:
    """The likelihood ratios of all vehicles that are not among the candidates: what they are on average, or at most.

    Args:
        calibration: what similarities mean.
        candidates: the most similar ones.
        vehicles: that are searched.
        seen: vehicles among the candidates.
        last: ratio of the last candidate.
    """
    others = max(vehicles - seen, 0.0)
    expected = vehicles * calibration.expected_below(float(candidates.similarities[-1]))
    return min(expected, others * min(1.0, last))


def _weigh_vehicles(
    ratios: NDArray[np.float64], candidates: Candidates, pictures_per_vehicle: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """The likelihood ratio of each vehicle: the mean over its pictures.

    A mean, unlike the highest, stays one on average for a vehicle that is not searched for, however many pictures it
    has. Of a vehicle that is known by name, pictures that are not among the candidates are counted as nought.

    Returns:
        (pictures,) number of the vehicle that each shows; (vehicles,) whether it is known by name; (vehicles,) ratio.
    """
    numbers: dict[object, int] = {}
    vehicle = np.array([numbers.setdefault(name, len(numbers)) for name in candidates.vehicles])
    labelled = np.zeros(len(numbers), np.bool_)
    labelled[vehicle] = candidates.labelled
    pictures = np.bincount(vehicle).astype(np.float64)
    pictures[labelled] = np.maximum(pictures[labelled], pictures_per_vehicle)
    return vehicle, labelled, np.bincount(vehicle, ratios) / pictures
