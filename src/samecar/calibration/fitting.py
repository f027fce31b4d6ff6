"""Learns what a model's similarities mean, and measures how true that is of vehicles that it was not learned from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.calibration import (
    METHODS,
    Calibration,
    CalibrationOptions,
    Evidence,
    GallerySize,
    Isotonic,
    Logistic,
    MeasuredRate,
    Method,
    PairCounts,
    Quality,
    ReliabilityBin,
    fit_curve,
    gallery_sizes,
)
from samecar.calibration.evidence import SearchEvidence
from samecar.calibration.open_set import MeasuredThresholds
from samecar.errors import SamecarError, naming_extra
from samecar.labels import Labels
from samecar.progress import Progress, silent
from samecar.similarity.products import Matrix, check_embeddings, row_chunks, unit_length
from samecar.uncertainty import score_interval

FEWEST_VEHICLES = 8
"""That can be matched: a quarter of them, two, is the smallest gallery that says anything."""

HALVES = 10
"""Random halves of the vehicles behind every measured quality; each vehicle is tested about five times."""

PARTS = 10
"""Of the vehicles, each left out once to see how much a measured quality depends on who is there; of fewer than twice
as many vehicles, each is a part."""

PAIR_BINS = 2**12
"""Steps between the lowest and the highest similarity in which pairs are counted."""

RELIABILITY_BINS = 10

RATES = ("false_alarm", "detection", "identification")
"""Measured of queries, as `Quality` names them."""

DEFAULT_OPTIONS = CalibrationOptions()


@dataclass(frozen=True)
class Provenance:
    """Where embeddings come from; none of it changes what is learned from them, all of it is kept with it.

    Attributes:
        model: digest of the model that made them.
        data: name of the source.
        digest: of its manifest.
        kind: which vehicles these are.
    """

    model: str = "not stated"
    data: str = "not stated"
    digest: str = "not stated"
    kind: str = "not stated"


UNKNOWN = Provenance()


class Calibrated(NamedTuple):
    """A calibration, and the pairs that it was fitted to."""

    calibration: Calibration
    pairs: PairCounts


def fit_calibration(
    embeddings: Matrix,
    labels: Labels,
    options: CalibrationOptions = DEFAULT_OPTIONS,
    *,
    provenance: Provenance = UNKNOWN,
    progress: Progress = silent,
) -> Calibrated:
    """Fits a calibration to pictures of vehicles that the model was not trained on.

    Probabilities are fitted to pairs by different cameras; a camera that is not known is different from every other.
    Thresholds for "not in the gallery" are fitted to galleries of all cameras, but for what a query's own camera saw of
    its own vehicle, as in the usual protocol.

    Args:
        embeddings: (pictures, size); they are scaled to length one.
        labels: (pictures,) their vehicles, none of which may be "", and cameras.
        options: how it is done; which vehicles are taken was decided before.
        provenance: where the embeddings come from.
        progress: is told how far the work is.

    Raises:
        SamecarError: embeddings are not finite, vehicles or cameras are too few, or similarities tell nothing.
    """
    with naming_extra("fitting a calibration needs"):
        import scipy  # noqa: F401 - before there is work to lose
    check_vehicles(labels)
    pictures = _Pictures(embeddings, labels)
    pairs = pictures.pairs(np.arange(pictures.vehicles))
    _refuse_uninformative(pairs)
    halves = _Halves(options.false_alarm_rate, pictures)
    generator = np.random.default_rng(options.seed)
    for done in range(HALVES):
        halves.add(*pictures.random_halves(generator))
        progress("calibrating", done + 1, HALVES)
    chosen = options.method or halves.best_method()
    open_set = pictures.thresholds(np.arange(pictures.vehicles), options.false_alarm_rate).extrapolated
    calibration = Calibration(
        model=provenance.model,
        pairs=fit_curve(chosen, pairs),
        open_set=open_set,
        search=SearchEvidence.fit(pairs, open_set),
        quality=halves.quality(chosen),
        evidence=Evidence(
            data=provenance.data,
            digest=provenance.digest,
            kind=provenance.kind,
            vehicles=pictures.vehicles,
            pictures=len(embeddings),
            same_pairs=int(pairs.same.sum()),
            different_pairs=int(pairs.different.sum()),
            seed=options.seed,
        ),
    )
    return Calibrated(calibration, pairs)


def check_vehicles(labels: Labels) -> None:
    """Refuses pictures of too few vehicles, which takes no embeddings.

    Raises:
        SamecarError: two cameras saw fewer than `FEWEST_VEHICLES`.
    """
    matchable = len(matchable_vehicles(labels))
    if matchable < FEWEST_VEHICLES:
        raise SamecarError(
            f"{matchable} of {len(np.unique(labels.vehicle_id))} vehicles are seen by two cameras (or in two pictures, "
            f"where cameras are not known); calibration needs {FEWEST_VEHICLES} such vehicles that the model was not "
            "trained on"
        )


def matchable_vehicles(labels: Labels) -> NDArray[np.str_]:
    """Names of the vehicles that two cameras saw; a camera that is not known is different from every other."""
    names, vehicle = np.unique(labels.vehicle_id, return_inverse=True)
    seen = np.unique(np.stack([vehicle, _number_cameras(labels.camera_id)]), axis=1)  # (2, vehicles by cameras)
    return names[np.bincount(seen[0], minlength=len(names)) > 1]


def _number_cameras(camera_id: NDArray[np.str_]) -> NDArray[np.int64]:
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

    def __init__(self, embeddings: Matrix, labels: Labels) -> None:
        check_embeddings(embeddings, embeddings)
        self._matrix: NDArray[np.float32] = unit_length(embeddings.astype(np.float32, copy=False)).astype(np.float32)
        names, self.vehicle, self.count = np.unique(labels.vehicle_id, return_inverse=True, return_counts=True)
        self.vehicles = len(names)
        self._camera = _number_cameras(labels.camera_id)
        self.best = self._find_best()
        self.own = self.best[np.arange(len(embeddings)), self.vehicle]
        self._matchable = np.isin(names, matchable_vehicles(labels))
        self._edges = self._place_edges()

    def rows(self, vehicles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pictures of some vehicles."""
        return np.flatnonzero(np.isin(self.vehicle, vehicles))

    def pairs(self, vehicles: NDArray[np.int64]) -> PairCounts:
        """Pairs of pictures of some vehicles by different cameras."""
        rows = self.rows(vehicles)
        same, different = np.zeros(PAIR_BINS, np.int64), np.zeros(PAIR_BINS, np.int64)
        width = self._edges[1] - self._edges[0]
        for part, similarities in self._multiply_chunks(rows):
            first, second = rows[part, None], rows[None, :]
            counted = (self._camera[first] != self._camera[second]) & (first < second)
            bins = np.clip((similarities - self._edges[0]) / width, 0, PAIR_BINS - 1).astype(np.int64)
            alike = self.vehicle[first] == self.vehicle[second]
            same += np.bincount(bins[counted & alike], minlength=PAIR_BINS)
            different += np.bincount(bins[counted & ~alike], minlength=PAIR_BINS)
        return PairCounts(self._edges, same, different, int(self._matchable[vehicles].sum()))

    def thresholds(self, vehicles: NDArray[np.int64], false_alarm_rate: float) -> MeasuredThresholds:
        """Thresholds for queries whose vehicle the gallery lacks, from these vehicles."""
        rows = self.rows(vehicles)
        others = np.where(self.vehicle[rows, None] == vehicles, -np.inf, self.best[np.ix_(rows, vehicles)])
        return MeasuredThresholds(others, float(self.count[vehicles].mean()), false_alarm_rate)

    def random_halves(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Two halves of the vehicles, with as many in each that can be matched; these stand before the others."""
        order = np.concatenate(
            [generator.permutation(np.flatnonzero(kind)) for kind in (self._matchable, ~self._matchable)]
        )
        return order[::2], order[1::2]

    def _find_best(self) -> NDArray[np.float32]:
        order = np.argsort(self.vehicle, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.count)[:-1]])
        best = np.empty((len(order), self.vehicles), np.float32)
        for part, similarities in self._multiply_chunks(np.arange(len(order)), order):
            alike = self.vehicle[part, None] == self.vehicle[order]
            similarities[alike & (self._camera[part, None] == self._camera[order])] = -np.inf
            best[part] = np.maximum.reduceat(similarities, starts, axis=1)
        return best

    def _place_edges(self) -> NDArray[np.float64]:
        chunks = [(part.min(), part.max()) for _, part in self._multiply_chunks(np.arange(len(self._matrix)))]
        low, high = min(low for low, _ in chunks), max(high for _, high in chunks)
        if high - low < np.finfo(np.float32).eps * 8:  # what rounding makes of equal ones
            raise SamecarError("every two pictures are equally similar, which tells nothing; train the model first")
        return np.linspace(float(low), float(high), PAIR_BINS + 1)

    def _multiply_chunks(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Similarities of some pictures to others, by default to each other, a part of the rows at a time."""
        others = self._matrix[rows if columns is None else columns]
        for part in row_chunks(len(rows), len(others)):
            similarities: NDArray[np.float32] = self._matrix[rows[part]] @ others.T
            yield part, similarities


class _Searched:
    """How often queries were asked, and how often the answer was yes; (3,) of each, in the order of `RATES`."""

    def __init__(self) -> None:
        self.asked, self.yes = np.zeros(len(RATES)), np.zeros(len(RATES))

    def add(self, *answers: NDArray[np.bool_]) -> None:
        """Takes down the answers to some queries, for each rate."""
        self.asked += [len(each) for each in answers]
        self.yes += [each.sum() for each in answers]

    @property
    def rates(self) -> NDArray[np.float64]:
        return self.yes / np.maximum(self.asked, 1)


class _Halves:
    """What was seen in the halves of the vehicles that were not fitted to."""

    def __init__(self, false_alarm_rate: float, pictures: _Pictures) -> None:
        self._rate, self._pictures = false_alarm_rate, pictures
        self._number = 0
        self.log_loss: dict[Method, float] = dict.fromkeys(METHODS, 0.0)
        self._seen: dict[Method, _CurveSeen] = {name: _CurveSeen() for name in METHODS}
        vehicles = np.arange(pictures.vehicles)
        parts = PARTS if len(vehicles) >= 2 * PARTS else len(vehicles)
        self._searched = _Searched()
        self._without = [(vehicles[part::parts], _Searched()) for part in range(parts)]
        self._queries = np.zeros((len(RATES), len(pictures.vehicle)), np.bool_)
        self._sizes: dict[int, list[tuple[float, float]]] = {}

    def add(self, fitted: NDArray[np.int64], tested: NDArray[np.int64]) -> None:
        """Fits to the one half of the vehicles, and looks at the other."""
        pairs, unseen = self._pictures.pairs(fitted), self._pictures.pairs(tested)
        for name in METHODS:
            self.log_loss[name] += self._seen[name].add(fit_curve(name, pairs), unseen)
        absent, present = tested[::2], tested[1::2]
        thresholds = self._pictures.thresholds(fitted, self._rate)
        strangers, members = self._search(self._searched, thresholds, absent, present)
        self._queries[0, strangers] = True
        self._queries[1:, members] = True
        self._measure_sizes(thresholds, strangers, present)
        for left_out, searched in self._without:
            kept = [group[~np.isin(group, left_out)] for group in (fitted, absent, present)]
            self._search(searched, self._pictures.thresholds(kept[0], self._rate), *kept[1:])
        self._number += 1

    def _search(
        self,
        searched: _Searched,
        thresholds: MeasuredThresholds,
        absent: NDArray[np.int64],
        present: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Searches a gallery of the vehicles `present` for themselves and for those that are absent.

        Returns:
            The pictures of absent and of present vehicles that were searched for.
        """
        pictures = self._pictures
        threshold = thresholds.threshold(int(pictures.count[present].sum()))
        strangers, members = pictures.rows(absent), pictures.rows(present)
        members = members[np.isfinite(pictures.own[members])]
        best = pictures.best[np.ix_(members, present)].max(axis=1)
        detected = best >= threshold
        alarms = pictures.best[np.ix_(strangers, present)].max(axis=1) >= threshold
        searched.add(alarms, detected, detected & (pictures.own[members] == best))
        return strangers, members

    def _measure_sizes(
        self, thresholds: MeasuredThresholds, strangers: NDArray[np.int64], present: NDArray[np.int64]
    ) -> None:
        """Searches smaller galleries for pictures of vehicles that are absent."""
        pictures = self._pictures
        for size in gallery_sizes(len(present)):
            part = present[-size:]
            held, best = int(pictures.count[part].sum()), pictures.best[np.ix_(strangers, part)].max(axis=1)
            self._sizes.setdefault(size, []).append((held, float(np.mean(best >= thresholds.threshold(held)))))

    def _measured_rates(self) -> dict[str, MeasuredRate]:
        """By name; intervals by the delete-a-group jackknife (Kott, "The delete-a-group jackknife", 2001).

        A vehicle that is left out is missing in all its parts: as one that is fitted to, as a query and in galleries.
        """
        rates = self._searched.rates
        without = np.stack([searched.rates for _, searched in self._without])  # (parts, rates)
        degrees = len(without) - 1
        variances = degrees * without.var(axis=0)
        measured = {}
        for name, rate, variance, queries in zip(RATES, rates.tolist(), variances.tolist(), self._queries, strict=True):
            vehicles = len(np.unique(self._pictures.vehicle[queries]))
            low, high = score_interval(rate, variance, vehicles=vehicles, degrees=degrees)
            measured[name] = MeasuredRate(rate=rate, low=low, high=high, queries=int(queries.sum()), vehicles=vehicles)
        return measured

    def best_method(self) -> Method:
        """The one with the lowest log loss."""
        losses = self.log_loss
        return min(METHODS, key=lambda name: losses[name])

    def quality(self, method: Method) -> Quality:
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
            **self._measured_rates(),
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
