"""What a search found, and what a calibration says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samecar.retrieval.records import Entry, Match
from samecar.retrieval.vehicle_count import VehicleCount, vehicle_key

if TYPE_CHECKING:
    from samecar.calibration import Calibration

CANDIDATES = 100
"""Pictures that share the probability of a calibrated search, whether or not so many are asked for."""


@dataclass(frozen=True)
class Found:
    """An entry that a search found.

    Attributes:
        entry: what it is.
        similarity: cosine of the angle between query and entry, -1 to 1.
        probability: that both show the same vehicle, in this search: never above the answer's own. None without a
            calibration.
        pair_probability: the same of the two pictures alone, if it was 50 % before, as `compare` says it.
    """

    entry: Entry
    similarity: float
    probability: float | None
    pair_probability: float | None = None


@dataclass(frozen=True)
class Prior:
    """What a search took to be so before it looked.

    Attributes:
        in_gallery: probability that the vehicle is among those that were searched.
        vehicles: how many these are, as far as is known.
        source: what their number comes from: labels, tracks, pictures.
        stated: whether somebody has stated the probability.
    """

    in_gallery: float
    vehicles: float
    source: str
    stated: bool


@dataclass(frozen=True)
class Answer:
    """What a search found for one query.

    Attributes:
        found: most similar first.
        threshold: the similarity that the best must reach for the vehicle to be called in the gallery; None where a
            prior was stated, which alone decides then.
        false_alarm_rate: share of vehicles that a gallery lacks and that are still called in it, at most; None
            likewise.
        in_gallery: whether the vehicle is said to be in the gallery: its probability is above 50 %, and the best
            reaches the threshold.
        probability: that it is.
        prior: what was taken to be so before. All of these are None without a calibration.
    """

    found: list[Found]
    threshold: float | None = None
    false_alarm_rate: float | None = None
    in_gallery: bool | None = None
    probability: float | None = None
    prior: Prior | None = None


def answer_calibrated(
    matches: Sequence[Match],
    entries: Mapping[int, Entry],
    calibration: "Calibration",
    count: VehicleCount,
    searched: int,
    stated: float | None = None,
) -> Answer:
    """The answer of matches, with what a calibration says of them.

    Args:
        matches: most similar first: `CANDIDATES`, or as many as there are, or more.
        entries: of these matches, by their numbers.
        calibration: what similarities mean.
        count: the gallery's vehicles.
        searched: pictures that the matches were chosen among.
        stated: probability beforehand that the gallery has the vehicle, if somebody knows.
    """
    from samecar.calibration.searching import IN_GALLERY, Candidates, SearchPrior, judge_search

    vehicles, pictures_per_vehicle = count.among(searched)
    prior = SearchPrior(vehicles, pictures_per_vehicle, IN_GALLERY if stated is None else stated, stated is not None)
    similarities = np.array([match.similarity for match in matches])
    shown = [entries[match.id] for match in matches]
    candidates = Candidates(
        similarities=similarities,
        vehicles=[vehicle_key(entry) for entry in shown],
        labelled=np.array([bool(entry.sighting.vehicle_id) for entry in shown], np.bool_),
        searched=searched,
    )
    said = judge_search(calibration, candidates, prior)
    pairs = calibration.probability(similarities)
    found = [
        Found(entry, match.similarity, *numbers)
        for entry, match, *numbers in zip(shown, matches, said.probabilities.tolist(), pairs.tolist(), strict=True)
    ]
    return Answer(
        found=found,
        threshold=said.threshold,
        false_alarm_rate=None if prior.stated else calibration.false_alarm_rate,
        in_gallery=said.in_gallery,
        probability=said.probability,
        prior=Prior(prior.in_gallery, vehicles, count.source, prior.stated),
    )
