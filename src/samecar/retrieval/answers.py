"""What a search found, and what a calibration says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samecar.retrieval.records import Entry, Match

if TYPE_CHECKING:
    from samecar.calibration import Calibration


@dataclass(frozen=True)
class Found:
    """An entry that a search found.

    Attributes:
        entry: what it is.
        similarity: cosine of the angle between query and entry, -1 to 1.
        probability: that both show the same vehicle; None without a calibration.
    """

    entry: Entry
    similarity: float
    probability: float | None


@dataclass(frozen=True)
class Answer:
    """What a search found for one query.

    Attributes:
        found: most similar first.
        threshold: the similarity that the best must reach for the vehicle to be called in the gallery.
        false_alarm_rate: share of vehicles that a gallery lacks and that are still called in it.
        in_gallery: whether the vehicle is in the gallery at all. These three are None without a calibration.
    """

    found: list[Found]
    threshold: float | None = None
    false_alarm_rate: float | None = None
    in_gallery: bool | None = None


def answer_calibrated(
    matches: Sequence[Match], entries: Mapping[int, Entry], calibration: "Calibration", threshold: float
) -> Answer:
    """The answer of matches, with what a calibration says of them.

    Args:
        matches: most similar first.
        entries: of these matches, by their numbers.
        calibration: what similarities mean.
        threshold: the similarity that the best must reach for the vehicle to be called in the gallery.
    """
    similarities = np.array([match.similarity for match in matches])
    found = [
        Found(entries[match.id], match.similarity, float(probability))
        for match, probability in zip(matches, calibration.probability(similarities), strict=True)
    ]
    best = found[0].similarity if found else -np.inf
    return Answer(found, threshold, calibration.false_alarm_rate, bool(best >= threshold))
