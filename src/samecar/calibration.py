"""Which similarity means the same vehicle: probabilities and thresholds, learned from held-out vehicles.

A similarity is the cosine of two embeddings. What it means differs from model to model; a `Calibration` belongs to one
model and answers two questions:

* Do these two pictures show the same vehicle? `probability`, isotonic or logistic.
* Is the vehicle in the gallery at all? `open_set_threshold`: a best similarity below it says no.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, gammaln, logit

from samecar.errors import SamecarError

Method = Literal["isotonic", "logistic"]
METHODS: tuple[Method, ...] = ("isotonic", "logistic")

PRIOR = 0.5
"""Probability of the same vehicle before anything is seen: one picture of it and one of another are equally likely."""

SIZES_PER_DOUBLING = 2
"""Gallery sizes between a number of vehicles and twice as many at which thresholds are measured."""

FEWEST_EXCESSES, TAIL = 50, 0.01
"""Similarities of different vehicles that the tail is fitted to: the highest hundredth, but no fewer than so many."""

ROUNDING = 1e-9
"""Of sums of shares."""

Rate = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Something that is saved: it cannot be changed, and has no field that is unknown, infinite or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
        """The lowest and the highest probability that so much data can bear, by the rule of succession.

        Pairs of one vehicle, or of the same two, are no independent cases; what counts is the number of vehicles, and
        of pairs of vehicles.
        """
        return 1 / (self.vehicles + 2), 1 - 1 / (self.vehicles * (self.vehicles - 1) / 2 + 2)


class Isotonic(_Part):
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
        _refuse_falling("similarities", self.similarities, self.probabilities)
        return self

    @classmethod
    def fit(cls, counts: PairCounts) -> "Isotonic":
        """Fits by least squares, same and different pairs weighing as much as each other in all."""
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


class Logistic(_Part):
    """Platt's curve: the odds grow by the same factor with every step of the similarity.

    Attributes:
        slope: change of the logarithm of the odds with a similarity one higher.
        intercept: the same at similarity 0.
    """

    method: Literal["logistic"] = "logistic"
    slope: float = Field(gt=0)
    intercept: float

    @classmethod
    def fit(cls, counts: PairCounts) -> "Logistic":
        """Fits by greatest likelihood, with Platt's targets, which lie as far from 0 and 1 as the data is small."""
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
        return cls(slope=float(slope / spread), intercept=float(level - slope * centre / spread))

    def probability(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the same vehicle."""
        probabilities: NDArray[np.float64] = expit(self.slope * similarities + self.intercept)
        return probabilities

    def similarity_at(self, probability: float) -> float:
        """The similarity that has this probability."""
        return float((logit(probability) - self.intercept) / self.slope)


def fit_curve(method: Method, counts: PairCounts) -> Isotonic | Logistic:
    """Fits the curve of that name."""
    return (Isotonic if method == "isotonic" else Logistic).fit(counts)


class OpenSet(_Part):
    """The threshold on a query's best similarity, for a gallery of any size.

    The more pictures a gallery has, the more similar is the most similar wrong one. Up to `pictures[-1]` thresholds are
    measured; beyond they follow the generalised Pareto distribution of the highest similarities of different vehicles,
    as a level that is reached once in so many comparisons: an extrapolation.

    Attributes:
        false_alarm_rate: share of queries whose vehicle the gallery lacks that are still said to be in it.
        pictures: gallery sizes, rising.
        thresholds: at these sizes, never falling.
        shape: of the generalised Pareto distribution above the last threshold; below 0 it has an end.
        scale: of the same.
    """

    false_alarm_rate: float = Field(gt=0, lt=1)
    pictures: tuple[float, ...] = Field(min_length=1)
    thresholds: tuple[float, ...]
    shape: float
    scale: float = Field(ge=0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        _refuse_falling("pictures", self.pictures, self.thresholds)
        return self

    @classmethod
    def fit(cls, best: NDArray[np.floating], pictures_per_vehicle: float, false_alarm_rate: float) -> "OpenSet":
        """Measures thresholds on galleries of so many of the vehicles, exactly over all such galleries.

        A vehicle that comes later is one more than those seen here, and may turn out to be the worst of them: it is
        counted among those that reach the threshold, so that the rate holds on average for few vehicles too.

        Args:
            best: (queries, vehicles) similarity of each query's most similar picture of each vehicle that a gallery
                may hold; -infinite for the query's own, and where there is nothing to compare.
            pictures_per_vehicle: mean over a gallery.
            false_alarm_rate: above 0 and below 1.
        """
        falling = -np.sort(-best.astype(np.float64), axis=1)  # (queries, vehicles)
        falling = falling[np.isfinite(falling[:, 0])]
        known = np.isfinite(falling).sum(axis=1)  # (queries,)
        order = np.argsort(-falling, axis=None, kind="stable")
        values = falling.ravel()[order]
        vehicles = falling.shape[1]
        reaching = (false_alarm_rate * (vehicles + 1) - 1) / vehicles + ROUNDING
        last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of equal values, which are reached together
        sizes = gallery_sizes(int(known.min()))
        thresholds = []
        for size in sizes:
            shares = _share_of_best(known, vehicles, size).ravel()[order] / len(falling)
            few_enough = last[np.cumsum(shares)[last] <= reaching]
            thresholds.append(values[few_enough[-1]] if len(few_enough) else np.nextafter(values[0], np.inf))
        shape, scale = _tail(values[np.isfinite(values)], thresholds[-1])
        return cls(
            false_alarm_rate=false_alarm_rate,
            pictures=tuple(size * pictures_per_vehicle for size in sizes),
            thresholds=tuple(np.maximum.accumulate(thresholds).tolist()),
            shape=shape,
            scale=scale,
        )

    def threshold(self, gallery_pictures: float) -> float:
        """The similarity from which a best match counts, at most 1."""
        if gallery_pictures <= self.pictures[-1]:
            size = np.log(max(gallery_pictures, 1))
            return float(np.interp(size, np.log(self.pictures), self.thresholds))
        times = gallery_pictures / self.pictures[-1]
        beyond = np.log(times) if self.shape == 0 else np.expm1(self.shape * np.log(times)) / self.shape
        return float(min(1.0, self.thresholds[-1] + self.scale * beyond))


class ReliabilityBin(_Part):
    """Pairs whose probability was said to be about the same.

    Attributes:
        probability: said, on average.
        same: share of same pairs, under the stated prior.
        share: of all pairs that are in the bin, under the stated prior.
    """

    probability: Rate
    same: Rate
    share: Rate


class MeasuredRate(_Part):
    """A share of queries.

    Attributes:
        rate: the share.
        low: lower end of its 95 % bootstrap interval over vehicles; None where there is one vehicle only.
        high: upper end.
        queries: how many different ones.
        vehicles: that they show.
    """

    rate: Rate
    low: Rate | None
    high: Rate | None
    queries: int
    vehicles: int


class GallerySize(_Part):
    """How often queries whose vehicle the gallery lacks were said to be in a gallery of this size.

    Attributes:
        pictures: in the gallery, on average.
        rate: observed; the stated one is what it should be.
    """

    pictures: float
    rate: Rate


class Quality(_Part):
    """How good a calibration is on vehicles that it was not fitted to: means over random halves of the vehicles.

    Each time the one half is fitted to, and what is said here was seen in the other.

    Attributes:
        halves: how many times.
        log_loss: of each method; a coin has .693.
        brier: mean square of what the probability is off, of the chosen method; a coin has .25.
        calibration_error: mean distance of said probabilities and observed shares over `reliability`.
        reliability: bins of equal width.
        true_positive_rate: share of same pairs that reach the threshold for the same vehicle.
        false_positive_rate: share of different pairs that reach it.
        false_alarm: of queries whose vehicle the gallery lacks, those said to be in it.
        detection: of queries whose vehicle the gallery has, those said to be in it.
        identification: of the same, those of which moreover the most similar picture shows the right vehicle.
        sizes: false alarms by the size of the gallery.
    """

    halves: int
    log_loss: dict[Method, float]
    brier: float
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    true_positive_rate: Rate
    false_positive_rate: Rate
    false_alarm: MeasuredRate
    detection: MeasuredRate
    identification: MeasuredRate
    sizes: tuple[GallerySize, ...]


class Evidence(_Part):
    """What a calibration was fitted to.

    Attributes:
        data: the source, without the folder's path.
        digest: of the manifest of its pictures.
        kind: which vehicles they show.
        vehicles: how many.
        pictures: how many.
        same_pairs: pairs of one vehicle by two cameras, or by any where cameras are not known.
        different_pairs: the same of two vehicles.
        seed: of the random halves.
    """

    data: str
    digest: str
    kind: str
    vehicles: int
    pictures: int
    same_pairs: int
    different_pairs: int
    seed: int


class Calibration(_Part):
    """What similarities of one model mean.

    Attributes:
        format: version of the file's form.
        model: digest of the model that it belongs to.
        prior: probability of the same vehicle beforehand, which `probability` assumes.
        pairs: the curve from similarity to probability.
        open_set: thresholds on a query's best similarity.
        quality: how good it is on vehicles that it was not fitted to.
        evidence: what it was fitted to.
    """

    format: Literal[1] = 1
    model: str
    prior: float = Field(PRIOR, gt=0, lt=1)
    pairs: Annotated[Isotonic | Logistic, Field(discriminator="method")]
    open_set: OpenSet
    quality: Quality
    evidence: Evidence

    def probability(self, similarities: ArrayLike, *, prior: float | None = None) -> NDArray[np.float64]:
        """The probability that two pictures show the same vehicle.

        Args:
            similarities: cosines, of any shape.
            prior: probability beforehand; by default the stored one, at which both are equally likely. Bayes' rule
                takes the curve to another.

        Raises:
            SamecarError: a similarity is not a number, or the prior is not between 0 and 1.
        """
        given = np.asarray(similarities, dtype=np.float64)
        if np.isnan(given).any():
            raise SamecarError("a similarity is not a number; embed the pictures again")
        found = self.pairs.probability(given)
        if prior is None:
            return found
        if not 0 < prior < 1:
            raise SamecarError(f"prior is {prior}; give a probability above 0 and below 1")
        moved: NDArray[np.float64] = expit(logit(found) + logit(prior) - logit(self.prior))
        return moved

    @property
    def same_threshold(self) -> float:
        """The similarity from which two pictures are said to show the same vehicle: there it is as likely as not."""
        return self.pairs.similarity_at(0.5)

    @property
    def false_alarm_rate(self) -> float:
        """Stated share of queries whose vehicle the gallery lacks that are still said to be in it."""
        return self.open_set.false_alarm_rate

    def open_set_threshold(self, gallery_pictures: int) -> float:
        """The similarity that a query's best match must reach to say that its vehicle is in the gallery.

        Args:
            gallery_pictures: how many pictures the query is compared with.

        Raises:
            SamecarError: the number is negative.
        """
        if gallery_pictures < 0:
            raise SamecarError(f"a gallery of {gallery_pictures} pictures cannot be; give 0 or more")
        return self.open_set.threshold(gallery_pictures)

    def check_model(self, digest: str) -> None:
        """Refuses similarities of another model.

        Raises:
            SamecarError: the calibration belongs to another model.
        """
        if digest != self.model:
            raise SamecarError(
                f"the calibration belongs to model {self.model}, and the embeddings are of {digest}; "
                "calibrate this model with `samecar calibrate`"
            )

    def to_json(self) -> str:
        """As text."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, place: str = "calibration.json") -> "Calibration":
        """Reads what `to_json` wrote.

        Args:
            text: JSON.
            place: what to call it in errors.

        Raises:
            SamecarError: it is no calibration.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first: Any = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SamecarError(
                f"{place} is no calibration of this version of samecar ({where}: {first['msg']}); "
                "make it with `samecar calibrate`"
            ) from error


def _refuse_falling(name: str, first: tuple[float, ...], second: tuple[float, ...]) -> None:
    if len(first) != len(second) or (np.diff(first) <= 0).any() or (np.diff(second) < 0).any():
        raise ValueError(f"{name} and what stands beside them must be equally many and rise")


def gallery_sizes(most: int) -> list[int]:
    """Numbers of vehicles from 1 to `most`, each a step more than the one before."""
    steps = int(np.ceil(np.log2(most) * SIZES_PER_DOUBLING)) + 1
    return sorted({round(size) for size in np.geomspace(1, most, steps).tolist()})


def _share_of_best(known: NDArray[np.int64], columns: int, size: int) -> NDArray[np.float64]:
    """How likely each rank is the best of a gallery of `size` vehicles drawn from those known.

    Rank j, from 0, is the best if it is drawn and none before it is: C(known - 1 - j, size - 1) / C(known, size).

    Args:
        known: (queries,) vehicles to draw from.
        columns: ranks.
        size: vehicles drawn.

    Returns:
        (queries, columns); each row's sum is one.
    """
    after = known[:, None] - 1 - np.arange(columns)  # (queries, columns) vehicles behind the rank
    possible = after >= size - 1
    ways = _log_choose(np.where(possible, after, size - 1), size - 1) - _log_choose(known, size)[:, None]
    return np.where(possible, np.exp(ways), 0.0)


def _log_choose(all_of: NDArray[np.int64], some: int) -> NDArray[np.float64]:
    ways: NDArray[np.float64] = gammaln(all_of + 1) - gammaln(some + 1) - gammaln(all_of - some + 1)
    return ways


def _tail(values: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution above a threshold.

    Args:
        values: falling.
        threshold: above which the distribution is wanted; it is fitted from there, or from further down if few values
            lie above.
    """
    from scipy.stats import genpareto  # takes long to import, and only fitting needs it

    count = min(max(FEWEST_EXCESSES, round(TAIL * len(values))), len(values) - 1)
    start = min(values[count], threshold)
    excesses = values[values > start] - start
    if not len(excesses):  # the highest are all equal
        return 0.0, 0.0
    shape, _, scale = genpareto.fit(excesses / excesses.mean(), floc=0)
    scale *= excesses.mean()
    return float(shape), float(max(0.0, scale + shape * (threshold - start)))
