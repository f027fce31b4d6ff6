"""How long vehicles take from camera to camera: least and most seconds, given in a table or learned from sure links."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samecar.data.tables import read_table, unknown_name
from samecar.errors import SamecarError

COLUMNS = ("from", "to", "least", "most")
"""Of a table of travel times: two cameras, and seconds."""

SOON = 5e-324
"""Least seconds between two cameras of which nothing is known: more than none, as nobody is at two places at once."""

FEWEST_LINKS = 20
"""Sure links between two cameras from which their travel times are learned."""

TAILS = (0.05, 0.95)
"""Quantiles of learned times, beyond which the limits lie as far again, by ratio, as they do from the median."""


@dataclass(frozen=True)
class TravelTimes:
    """Least and most seconds from one camera to another, in this direction.

    Attributes:
        limits: by both cameras' names.
        window: most seconds between cameras of which nothing is named, and between sightings of one camera.
    """

    limits: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    window: float = 3600.0

    @classmethod
    def read(cls, path: Path, window: float) -> "TravelTimes":
        """Reads a table of travel times: .csv or .parquet with the columns `COLUMNS`; an empty cell is not known.

        A direction that is not named has the limits of the other one, if that is.

        Args:
            path: of the file.
            window: most seconds where nothing is named.

        Raises:
            SamecarError: it is no such table, names a pair of cameras twice, or a number is none.
        """
        table = read_table(path, COLUMNS, "table")
        for name in table.names:
            if name not in COLUMNS:
                raise SamecarError(f"{path} has a column {name!r}; {unknown_name(name, COLUMNS)}")
        if missing := [name for name in COLUMNS[:3] if name not in table.names]:
            raise SamecarError(f"{path} lacks the column {missing[0]!r}; it needs {', '.join(COLUMNS[:3])}")
        limits: dict[tuple[str, str], tuple[float, float]] = {}
        for row in table.rows:
            cells = dict(zip(table.names, row, strict=True))
            pair = cells["from"], cells["to"]
            if not all(pair) or pair in limits:
                raise SamecarError(f"{path} has {pair[0]!r} to {pair[1]!r} twice, or without a name; name both, once")
            least = _seconds(path, pair, cells["least"], -inf if pair[0] == pair[1] else SOON)
            most = _seconds(path, pair, cells.get("most", ""), window)
            if not least <= most:
                raise SamecarError(
                    f"{path} has {least:g} to {most:g} seconds from {pair[0]} to {pair[1]}; "
                    "write the least first, and no more than the window where the most is left empty"
                )
            limits[pair] = least, most
        back = {(target, origin): known for (origin, target), known in limits.items()}
        return cls({**back, **limits}, window)

    @property
    def longest(self) -> float:
        """The most seconds between any two sightings."""
        return max([self.window, *(most for _, most in self.limits.values())])

    def between(self, origin: str, target: str) -> tuple[float, float]:
        """Least and most seconds from one camera to another.

        Where a camera is not known (""), nothing is too quick; nor is it between pictures of one camera.
        """
        if (origin, target) in self.limits:
            return self.limits[origin, target]
        return (SOON if origin and target and origin != target else -inf), self.window

    def matrices(self, cameras: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and most seconds, (cameras, cameras) each, from the row's to the column's."""
        limits = np.array([[self.between(origin, target) for target in cameras] for origin in cameras])
        limits = limits.reshape(len(cameras), len(cameras), 2)
        return limits[..., 0], limits[..., 1]


def learn_travel_times(times: Iterable[tuple[str, str, float]], window: float) -> TravelTimes:
    """Learns limits of travel times from links that are sure.

    Between two cameras with `FEWEST_LINKS` or more they lie, by ratio, as far beyond the quantiles `TAILS` as these lie
    from the median: of lognormal times one in a thousand lies outside, and a wrong link among twenty moves them little.
    Where links are fewer, nothing is learned.

    Args:
        times: cameras, and seconds from the first to the second, above nought.
        window: most seconds where nothing is learned, and that can be learned.
    """
    by_pair: dict[tuple[str, str], list[float]] = {}
    for origin, target, seconds in times:
        by_pair.setdefault((origin, target), []).append(seconds)
    limits = {}
    for pair, known in sorted(by_pair.items()):
        if len(known) >= FEWEST_LINKS:
            low, median, high = np.quantile(np.sort(known), (TAILS[0], 0.5, TAILS[1])).tolist()
            limits[pair] = low * low / median, min(window, high * high / median)
    return TravelTimes(limits, window)


def _seconds(path: Path, pair: tuple[str, str], text: str, default: float) -> float:
    if not text.strip():
        return default
    try:
        number = float(text)
    except ValueError:
        number = inf
    if not isfinite(number):
        raise SamecarError(f"{path} has {text!r} from {pair[0]} to {pair[1]}; give seconds, such as 90")
    return number
