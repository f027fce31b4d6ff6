"""What is written of journeys: a row for each sighting, travel times, and from where to where vehicles went."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import comb, isinf
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from samecar.data.tables import csv_bytes
from samecar.files import make_folder, write_file
from samecar.linking.journeys import Journey
from samecar.linking.linking import Linking
from samecar.linking.travel import COLUMNS, SOON
from samecar.retrieval.times import known_time_text
from samecar.uncertainty import LEVEL, score_interval

MANY = 1000
"""Values from which on the ranks of a median's interval come from the normal distribution."""

TAILS = (0.1, 0.9)
"""Quantiles of travel times that are told beside the median."""


class TravelTime(NamedTuple):
    """How long journeys took from one camera to the next.

    Attributes:
        origin: camera of the earlier sighting.
        target: camera of the next one.
        moves: how many journeys' steps it was measured on.
        median: seconds.
        interval: of the median, at the level of 95 %; None where there are too few moves for one.
        low: the tenth of moves that took least took at most so many seconds.
        high: nine tenths of moves took at most so many seconds.
    """

    origin: str
    target: str
    moves: int
    median: float
    interval: tuple[float, float] | None
    low: float
    high: float


class Flow(NamedTuple):
    """How many journeys began at one camera and ended at another.

    Attributes:
        origin: camera of the first sighting.
        target: camera of the last.
        journeys: how many, of those with two sightings or more, all of known time.
        share: of all journeys from that origin.
        interval: of the share, at the level of 95 %; None where there is one journey only.
    """

    origin: str
    target: str
    journeys: int
    share: float
    interval: tuple[float, float] | None


def measure_travel_times(journeys: Iterable[Journey]) -> list[TravelTime]:
    """Travel times between cameras, in the order of their names."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for journey in journeys:
        for origin, target, taken in journey.moves:
            seconds.setdefault((origin, target), []).append(taken)
    found = []
    for pair, known in sorted(seconds.items()):
        low, median, high = np.quantile(known, (TAILS[0], 0.5, TAILS[1])).tolist()
        found.append(TravelTime(*pair, len(known), median, median_interval(known), low, high))
    return found


def count_flows(journeys: Iterable[Journey]) -> list[Flow]:
    """Origins and destinations of journeys with two sightings or more, all of known time, in the order of names."""
    whole = (journey for journey in journeys if len(journey.steps) > 1 and journey.timed)
    counts = Counter((journey.cameras[0], journey.cameras[-1]) for journey in whole)
    totals: Counter[str] = Counter()
    for (origin, _), number in counts.items():
        totals[origin] += number
    found = []
    for (origin, target), number in sorted(counts.items()):
        total = totals[origin]
        share = number / total
        variance = share * (1 - share) / total
        interval = score_interval(share, variance, vehicles=total, degrees=total - 1) if total > 1 else None
        found.append(Flow(origin, target, number, share, interval))
    return found


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """An interval of the median that holds it with a probability of 95 % or more, whatever the distribution.

    Its ends are the values of two ranks, as far inside as the binomial distribution allows (Thompson, "On confidence
    ranges for the median and other expectation distributions for populations of unknown distribution form", 1936).

    Args:
        values: in any order.

    Returns:
        None where no two ranks are sure enough: fewer than six values.
    """
    number, outside = len(values), (1 - LEVEL) / 2
    if number > MANY:
        rank = int((number - NormalDist().inv_cdf((1 + LEVEL) / 2) * number**0.5) / 2)
    else:
        rank, below = 0, 0
        while (below := below + comb(number, rank)) / 2**number <= outside:
            rank += 1
    if rank < 1:
        return None
    ordered = sorted(values)
    return ordered[rank - 1], ordered[-rank]


def write_tables(linking: Linking, folder: Path) -> list[Path]:
    """Writes journeys.csv, travel_times.csv, origin_destination.csv and limits.csv.

    The last one holds the limits of travel times that were used, and can be given as a table itself.

    Args:
        linking: what came of linking.
        folder: is made if it is not there; files of these names are replaced.

    Returns:
        What was written.
    """
    make_folder(folder)
    written = []
    for name, (columns, rows) in {
        "journeys": (JOURNEY_COLUMNS, _journey_rows(linking.journeys)),
        "travel_times": (TRAVEL_COLUMNS, map(_travel_row, measure_travel_times(linking.journeys))),
        "origin_destination": (FLOW_COLUMNS, map(_flow_row, count_flows(linking.journeys))),
        "limits": (COLUMNS, _limit_rows(linking)),
    }.items():
        path = folder / f"{name}.csv"
        with write_file(path) as temporary:
            temporary.write_bytes(csv_bytes(columns, rows))
        written.append(path)
    return written


JOURNEY_COLUMNS = (
    *("journey", "step", "camera_id", "start", "end", "seconds", "probability"),
    *("vehicle_id", "track_id", "pictures", "id", "address"),
)
TRAVEL_COLUMNS = ("from", "to", "moves", "median", "median_low", "median_high", "tenth", "nine_tenths")
FLOW_COLUMNS = ("from", "to", "journeys", "share", "share_low", "share_high")


def _journey_rows(journeys: Iterable[Journey]) -> Iterable[list[str]]:
    for journey in journeys:
        for number, step in enumerate(journey.steps, 1):
            sighting = step.sighting
            first = sighting.entries[0]
            yield [
                journey.name,
                str(number),
                sighting.camera_id,
                known_time_text(sighting.start) or "",
                known_time_text(sighting.end) or "",
                _number(step.seconds),
                "" if step.probability is None else f"{step.probability:.4f}",
                sighting.vehicle_id,
                sighting.track_id,
                str(len(sighting.entries)),
                str(first.id),
                first.sighting.address,
            ]


def _travel_row(time: TravelTime) -> list[str]:
    low, high = time.interval or (None, None)
    numbers = (time.median, low, high, time.low, time.high)
    return [time.origin, time.target, str(time.moves), *map(_number, numbers)]


def _flow_row(flow: Flow) -> list[str]:
    low, high = flow.interval or (None, None)
    shares = ("" if share is None else f"{share:.4f}" for share in (flow.share, low, high))
    return [flow.origin, flow.target, str(flow.journeys), *shares]


def _limit_rows(linking: Linking) -> Iterable[list[str]]:
    """Both directions of each pair: one that is left out would be read with the other one's limits."""
    named = linking.travel.limits
    for origin, target in sorted({*named, *((target, origin) for origin, target in named)}):
        least, most = linking.travel.between(origin, target)
        yield [origin, target, "" if isinf(least) or least == SOON else _number(least), _number(most)]


def _number(value: float | None) -> str:
    """Seconds to a tenth."""
    return "" if value is None else f"{value:.1f}"
