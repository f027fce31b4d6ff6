"""Learns what a model's similarities mean, and measures how true that is of vehicles that it was not learned from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.calibration import (
    METHODS,
    Calibration,
    Evidence,
    GallerySize,
    Isotonic,
    Logistic,
    MeasuredRate,
    Method,
    OpenSet,
    PairCounts,
    Quality,
    ReliabilityBin,
    fit_curve,
    gallery_sizes,
)
from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.similarity.products import Matrix, check_embeddings, row_chunks, unit_length
from samecar.uncertainty import Scores, confidence_intervals

FEWEST_VEHICLES = 8
"""That can be matched: a quarter of them, two, is the smallest gallery that says anything."""

HALVES = 10
"""Random halves of the vehicles behind every measured quality; each vehicle is tested about five times."""

PAIR_BINS = 2**12
"""Steps between the lowest and the highest similarity in which pairs are counted."""

RELIABILITY_BINS = 10

FALSE_ALARM_RATE = 0.05
"""One search in twenty for a vehicle that was never there ends with a wrong one."""


class Calibrated(NamedTuple):
    """A calibration, and the pairs that it was fitted to."""

    calibration: Calibration
    pairs: PairCounts


def calibrate(
    embeddings: Matrix,
    vehicle_id: NDArray[np.str_],
    camera_id: NDArray[np.str_],
    *,
    model: str = "not stated",
    data: str = "not stated",
    data_digest: str = "not stated",
    kind: str = "not stated",
    method: Method | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    seed: int = 1,
    progress: Progress = silent,
) -> Calibrated:
    """Calibrates on pictures of vehicles that the model was not trained on.

    Probabilities are fitted to pairs by different cameras; a camera that is not known is different from every other.
    Thresholds for "not in the gallery" are fitted to galleries of all cameras, but for what a query's own camera saw of
    its own vehicle, as in the usual protocol.

    Args:
        embeddings: (pictures, size); they are scaled to length one.
        vehicle_id: (pictures,) none may be "".
        camera_id: (pictures,) "" where it is not known.
        model: digest of the model that made them.
        data: name of the source.
        data_digest: of its manifest.
        kind: which vehicles these are.
        method: of the curve from similarity to probability; by default the one with the lower log loss on vehicles that
            it was not fitted to.
        false_alarm_rate: share of queries whose vehicle the gallery lacks that may be said to be in it.
        seed: of the random halves.
        progress: is told how far the work is.

    Raises:
        SamecarError: embeddings are not finite, vehicles or cameras are too few, or similarities tell nothing.
    """
    check_false_alarm_rate(false_alarm_rate)
    check_vehicles(vehicle_id, camera_id)
    pictures = _Pictures(embeddings, vehicle_id, camera_id)
    pairs = pictures.pairs(np.arange(pictures.vehicles))
    _refuse_uninformative(pairs)
    halves = _Halves(false_alarm_rate, len(embeddings))
    generator = np.random.default_rng(seed)
    for done in range(HALVES):
        halves.add(pictures, *pictures.random_halves(generator))
        progress("calibrating", done + 1, HALVES)
    chosen = method or halves.best_method()
    calibration = Calibration(
        model=model,
        pairs=fit_curve(chosen, pairs),
        open_set=pictures.open_set(np.arange(pictures.vehicles), false_alarm_rate),
        quality=halves.quality(chosen, pictures.vehicle, seed),
        evidence=Evidence(
            data=data,
            digest=data_digest,
            kind=kind,
            vehicles=pictures.vehicles,
            pictures=len(embeddings),
            same_pairs=int(pairs.same.sum()),
            different_pairs=int(pairs.different.sum()),
            seed=seed,
        ),
    )
    return Calibrated(calibration, pairs)


def check_false_alarm_rate(rate: float) -> None:
    """Refuses what is no share of searches.

    Raises:
        SamecarError: the rate is not above 0 and below 1.
    """
    if not 0 < rate < 1:
        raise SamecarError(f"false alarm rate is {rate}; give a share above 0 and below 1, such as 0.05")


def check_vehicles(vehicle_id: NDArray[np.str_], camera_id: NDArray[np.str_]) -> None:
    """Refuses pictures of too few vehicles, which takes no embeddings.

    Raises:
        SamecarError: two cameras saw fewer than `FEWEST_VEHICLES`.
    """
    matchable = len(matchable_vehicles(vehicle_id, camera_id))
    if matchable < FEWEST_VEHICLES:
        raise SamecarError(
            f"{matchable} of {len(np.unique(vehicle_id))} vehicles are seen by two cameras (or in two pictures, where "
            f"cameras are not known); calibration needs {FEWEST_VEHICLES} such vehicles that the model was not "
            "trained on"
        )


def matchable_vehicles(vehicle_id: NDArray[np.str_], camera_id: NDArray[np.str_]) -> NDArray[np.str_]:
    """Names of the vehicles that two cameras saw; a camera that is not known is different from every other.

    Args:
        vehicle_id: (pictures,)
        camera_id: (pictures,) "" where it is not known.
    """
    names, vehicle = np.unique(vehicle_id, return_inverse=True)
    seen = np.unique(np.stack([vehicle, _camera_numbers(camera_id)]), axis=1)  # (2, vehicles by cameras)
    return names[np.bincount(seen[0], minlength=len(names)) > 1]


def _camera_numbers(camera_id: NDArray[np.str_]) -> NDArray[np.int64]:
    known = np.unique(camera_id, return_inverse=True)[1]
    return np.where(camera_id == "", -1 - np.arange(len(camera_id)), known)


class _Pictures:
    """Embeddings of labelled pictures, and what is asked of their similarities.

    Attributes:
        vehicle: (pictures,) numbers from 0.
        vehicles: how many.
        count: (vehicles,) pictures of each.
        best: (pictures, vehicles) similarity of each picture's most similar one of each vehicle; of its own vehicle
            those by other cameras; -infinite where there is none.
        own: (pictures,) the same for its own vehicle.
    """

    def __init__(self, embeddings: Matrix, vehicle_id: NDArray[np.str_], camera_id: NDArray[np.str_]) -> None:
        check_embeddings(embeddings, embeddings)
        self._matrix: NDArray[np.float32] = unit_length(embeddings.astype(np.float32, copy=False)).astype(np.float32)
        names, self.vehicle, self.count = np.unique(vehicle_id, return_inverse=True, return_counts=True)
        self.vehicles = len(names)
        self._camera = _camera_numbers(camera_id)
        self.best = self._best()
        self.own = self.best[np.arange(len(embeddings)), self.vehicle]
        self._matchable = np.isin(names, matchable_vehicles(vehicle_id, camera_id))
        self._edges = self._bin_edges()

    def rows(self, vehicles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pictures of some vehicles."""
        return np.flatnonzero(np.isin(self.vehicle, vehicles))

    def pairs(self, vehicles: NDArray[np.int64]) -> PairCounts:
        """Pairs of pictures of some vehicles by different cameras."""
        rows = self.rows(vehicles)
        same, different = np.zeros(PAIR_BINS, np.int64), np.zeros(PAIR_BINS, np.int64)
        width = self._edges[1] - self._edges[0]
        for part, similarities in self._chunks(rows):
            first, second = rows[part, None], rows[None, :]
            counted = (self._camera[first] != self._camera[second]) & (first < second)
            bins = np.clip((similarities - self._edges[0]) / width, 0, PAIR_BINS - 1).astype(np.int64)
            alike = self.vehicle[first] == self.vehicle[second]
            same += np.bincount(bins[counted & alike], minlength=PAIR_BINS)
            different += np.bincount(bins[counted & ~alike], minlength=PAIR_BINS)
        return PairCounts(self._edges, same, different, int(self._matchable[vehicles].sum()))

    def open_set(self, vehicles: NDArray[np.int64], false_alarm_rate: float) -> OpenSet:
        """Thresholds for queries whose vehicle the gallery lacks, from these vehicles."""
        rows = self.rows(vehicles)
        others = np.where(self.vehicle[rows, None] == vehicles, -np.inf, self.best[np.ix_(rows, vehicles)])
        return OpenSet.fit(others, float(self.count[vehicles].mean()), false_alarm_rate)

    def random_halves(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Two halves of the vehicles, with as many in each that can be matched; these stand before the others."""
        order = np.concatenate(
            [generator.permutation(np.flatnonzero(kind)) for kind in (self._matchable, ~self._matchable)]
        )
        return order[::2], order[1::2]

    def _best(self) -> NDArray[np.float32]:
        order = np.argsort(self.vehicle, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.count)[:-1]])
        best = np.empty((len(order), self.vehicles), np.float32)
        for part, similarities in self._chunks(np.arange(len(order)), order):
            alike = self.vehicle[part, None] == self.vehicle[order]
            similarities[alike & (self._camera[part, None] == self._camera[order])] = -np.inf
            best[part] = np.maximum.reduceat(similarities, starts, axis=1)
        return best

    def _bin_edges(self) -> NDArray[np.float64]:
        chunks = [(part.min(), part.max()) for _, part in self._chunks(np.arange(len(self._matrix)))]
        low, high = min(low for low, _ in chunks), max(high for _, high in chunks)
        if high - low < np.finfo(np.float32).eps * 8:  # what rounding makes of equal ones
            raise SamecarError("every two pictures are equally similar, which tells nothing; train the model first")
        return np.linspace(float(low), float(high), PAIR_BINS + 1)

    def _chunks(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Similarities of some pictures to others, by default to each other, a part of the rows at a time."""
        others = self._matrix[rows if columns is None else columns]
        for part in row_chunks(len(rows), len(others)):
            similarities: NDArray[np.float32] = self._matrix[rows[part]] @ others.T
            yield part, similarities


@dataclass
class _Asked:
    """How often each picture was a query, and how often the answer was yes; (pictures,) each."""

    times: NDArray[np.float64]
    yes: NDArray[np.float64]

    def add(self, rows: NDArray[np.int64], answers: NDArray[np.bool_]) -> None:
        self.times[rows] += 1
        self.yes[rows] += answers

    def measured(self, vehicle: NDArray[np.int64], seed: int) -> MeasuredRate:
        asked = self.times > 0
        values = np.divide(self.yes, self.times, out=np.full(len(self.yes), np.nan), where=asked)
        scores = Scores(values, self.times)
        low, high = confidence_intervals({"": scores}, vehicle.astype(np.str_), seed=seed).get("", (None, None))
        vehicles = len(np.unique(vehicle[asked]))
        return MeasuredRate(rate=scores.mean, low=low, high=high, queries=int(asked.sum()), vehicles=vehicles)


class _Halves:
    """What was seen in the halves of the vehicles that were not fitted to."""

    def __init__(self, false_alarm_rate: float, pictures: int) -> None:
        self._rate = false_alarm_rate
        self._number = 0
        self.log_loss: dict[Method, float] = dict.fromkeys(METHODS, 0.0)
        self._seen: dict[Method, _CurveSeen] = {name: _CurveSeen() for name in METHODS}
        self._false_alarm, self._detection, self._identification = (
            _Asked(np.zeros(pictures), np.zeros(pictures)) for _ in range(3)
        )
        self._sizes: dict[int, list[tuple[float, float]]] = {}

    def add(self, pictures: _Pictures, fitted: NDArray[np.int64], tested: NDArray[np.int64]) -> None:
        """Fits to the one half of the vehicles, and looks at the other."""
        pairs, unseen = pictures.pairs(fitted), pictures.pairs(tested)
        for name in METHODS:
            self.log_loss[name] += self._seen[name].add(fit_curve(name, pairs), unseen)
        self._search(pictures, pictures.open_set(fitted, self._rate).threshold, tested[::2], tested[1::2])
        self._number += 1

    def _search(
        self,
        pictures: _Pictures,
        threshold: Callable[[float], float],
        absent: NDArray[np.int64],
        present: NDArray[np.int64],
    ) -> None:
        """Searches a gallery of the vehicles `present` for themselves and for those that are absent."""
        gallery = pictures.count[present].sum()
        rows = pictures.rows(absent)
        self._false_alarm.add(rows, pictures.best[np.ix_(rows, present)].max(axis=1) >= threshold(gallery))
        for size in gallery_sizes(len(present)):
            part = present[-size:]
            held, best = pictures.count[part].sum(), pictures.best[np.ix_(rows, part)].max(axis=1)
            self._sizes.setdefault(size, []).append((held, float(np.mean(best >= threshold(held)))))
        rows = pictures.rows(present)
        rows = rows[np.isfinite(pictures.own[rows])]
        best = pictures.best[np.ix_(rows, present)].max(axis=1)
        detected = best >= threshold(gallery)
        self._detection.add(rows, detected)
        self._identification.add(rows, detected & (pictures.own[rows] == best))

    def best_method(self) -> Method:
        """The one with the lowest log loss."""
        losses = self.log_loss
        return min(METHODS, key=lambda name: losses[name])

    def quality(self, method: Method, vehicle: NDArray[np.int64], seed: int) -> Quality:
        """What was seen, on average."""
        seen = self._seen[method]
        reliability = seen.reliability()
        return Quality(
            halves=self._number,
            log_loss={name: loss / self._number for name, loss in self.log_loss.items()},
            brier=seen.brier / self._number,
            calibration_error=sum(part.share * abs(part.probability - part.same) for part in reliability),
            reliability=reliability,
            true_positive_rate=seen.true_positives / self._number,
            false_positive_rate=seen.false_positives / self._number,
            false_alarm=self._false_alarm.measured(vehicle, seed),
            detection=self._detection.measured(vehicle, seed),
            identification=self._identification.measured(vehicle, seed),
            sizes=tuple(
                GallerySize(pictures=float(held), rate=float(rate))
                for held, rate in (np.mean(seen, axis=0) for _, seen in sorted(self._sizes.items()))
            ),
        )


@dataclass
class _CurveSeen:
    """Sums over halves of what a curve said of pairs that it was not fitted to."""

    brier: float = 0.0
    true_positives: float = 0.0
    false_positives: float = 0.0
    bins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, RELIABILITY_BINS)))
    """Weight of all pairs, of the same pairs, and probability that was said, in each bin."""

    def add(self, curve: Isotonic | Logistic, pairs: PairCounts) -> float:
        """Takes down a half; gives the log loss."""
        said = curve.probability(pairs.middles)  # (bins of similarity,)
        same, different = pairs.balanced()
        self.brier += float(same @ (1 - said) ** 2 + different @ said**2)
        reached = pairs.middles >= curve.similarity_at(0.5)
        self.true_positives += float(pairs.same[reached].sum() / pairs.same.sum())
        self.false_positives += float(pairs.different[reached].sum() / pairs.different.sum())
        bins = np.minimum((said * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
        for row, weights in enumerate((same + different, same, (same + different) * said)):
            self.bins[row] += np.bincount(bins, weights, minlength=RELIABILITY_BINS)
        return float(-same @ np.log(said) - different @ np.log1p(-said))

    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """The bins that hold pairs."""
        total = self.bins[0].sum()
        return tuple(
            ReliabilityBin(probability=said / weight, same=min(1.0, same / weight), share=weight / total)
            for weight, same, said in self.bins.T.tolist()
            if weight > 0
        )


def _refuse_uninformative(pairs: PairCounts) -> None:
    same, different = pairs.same.sum(), pairs.different.sum()
    if not different:
        raise SamecarError("there are no pictures of two vehicles by different cameras to compare")
    if pairs.middles @ pairs.same / same <= pairs.middles @ pairs.different / different:
        raise SamecarError(
            "pictures of one vehicle are no more similar to the model than pictures of two, so that no similarity "
            "means the same vehicle; train the model first"
        )
