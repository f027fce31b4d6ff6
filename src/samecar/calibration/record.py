"""A calibration as it is saved: the curve, the thresholds, how good they are and what they were fitted to."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationError, model_validator

from samecar.calibration.curves import PRIOR, Isotonic, Logistic, probability_bounds
from samecar.calibration.evidence import LARGEST_LOGARITHM, SearchEvidence, continued_log_ratio
from samecar.calibration.odds import expit, logit
from samecar.calibration.open_set import OpenSet
from samecar.calibration.options import Method
from samecar.calibration.part import Part, Rate
from samecar.errors import SamecarError
from samecar.files import as_path, read_whole


class ReliabilityBin(Part):
    """Pairs whose probability was said to be about the same.

    Attributes:
        probability: said, on average.
        same: share of same pairs, under the stated prior.
        share: of all pairs that are in the bin, under the stated prior.
    """

    probability: Rate
    same: Rate
    share: Rate


class MeasuredRate(Part):
    """A share of queries.

    Attributes:
        rate: the share.
        low: lower end of its 95 % interval over the choice of vehicles, those fitted to among them; None where there
            is one vehicle only.
        high: upper end.
        queries: how many different ones.
        vehicles: that they show.
    """

    rate: Rate
    low: Rate | None
    high: Rate | None
    queries: int
    vehicles: int


class GallerySize(Part):
    """How often queries whose vehicle the gallery lacks were said to be in a gallery of this size.

    Attributes:
        pictures: in the gallery, on average.
        rate: observed; the stated one is what it should be.
    """

    pictures: float
    rate: Rate


class Quality(Part):
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


class Evidence(Part):
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


class Calibration(Part):
    """What similarities of one model mean.

    Attributes:
        format: version of the file's form.
        model: digest of the model that it belongs to.
        prior: probability of the same vehicle beforehand, which `probability` assumes.
        pairs: the curve from similarity to probability.
        open_set: thresholds on a query's best similarity.
        quality: how good it is on vehicles that it was not fitted to.
        evidence: what it was fitted to.
        search: likelihood ratios for searches; None in calibrations of before.
    """

    format: Literal[1] = 1
    model: str
    prior: float = Field(PRIOR, gt=0, lt=1)
    pairs: Annotated[Isotonic | Logistic, Field(discriminator="method")]
    open_set: OpenSet
    quality: Quality
    evidence: Evidence
    search: SearchEvidence | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_bounds(cls, content: Any) -> Any:
        """Gives a logistic curve of older files the bounds that it lacks: those of all vehicles."""
        match content:
            case {"pairs": {"method": "logistic", **curve}, "evidence": {"vehicles": int(vehicles)}} if vehicles > 0:
                lowest, highest = probability_bounds(vehicles)
                bounded = {"method": "logistic", "lowest": lowest, "highest": highest, **curve}
                return {**content, "pairs": bounded}
        return content

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
        beforehand = logit(np.array([prior, self.prior]))
        return expit(logit(found) + beforehand[0] - beforehand[1])

    @property
    def highest_odds(self) -> float:
        """The highest likelihood ratio that the pairs can bear."""
        logarithm = logit(np.array(self.pairs.highest)) - logit(np.array(self.prior))
        return float(np.exp(np.clip(logarithm, -LARGEST_LOGARITHM, LARGEST_LOGARITHM)))

    def likelihood_ratio(self, similarities: ArrayLike) -> NDArray[np.float64]:
        """How many times as frequent such similarities are among pictures of one vehicle as among those of two.

        For calibrations of before, which have no `search`, it is the odds of `probability` divided by those of its
        prior, which goes on above the last threshold that was measured: without that nothing could be found in a
        gallery that is much larger than what was calibrated on.

        Args:
            similarities: cosines, of any shape.

        Returns:
            Finite numbers of the same shape.

        Raises:
            SamecarError: a similarity is not a number.
        """
        given = np.asarray(similarities, dtype=np.float64)
        if self.search is not None:
            logarithms = self.search.log_ratio(given)
        else:
            start = np.array(self.open_set.thresholds[-1])
            logarithms = continued_log_ratio(self._log_odds(given), float(self._log_odds(start)), given, self.open_set)
        ratios: NDArray[np.float64] = np.exp(np.clip(logarithms, -LARGEST_LOGARITHM, LARGEST_LOGARITHM))
        return ratios

    def _log_odds(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        return logit(self.probability(similarities)) - logit(np.array(self.prior))

    def expected_below(self, similarity: float) -> float:
        """The mean likelihood ratio of a vehicle's picture that is less similar, times the share of such pictures.

        Over different vehicles this is the share of one vehicle's pairs that are less similar; 1 if it is not known.
        """
        return 1.0 if self.search is None else self.search.share_below(similarity)

    @property
    def same_threshold(self) -> float:
        """The similarity from which two pictures are said to show the same vehicle: there it is as likely as not."""
        return self.pairs.similarity_at(0.5)

    @property
    def false_alarm_rate(self) -> float:
        """Stated share of queries whose vehicle the gallery lacks that are still said to be in it."""
        return self.open_set.false_alarm_rate

    def open_set_threshold(self, gallery_pictures: int, false_alarm_rate: float | None = None) -> float:
        """The similarity that a query's best match must reach to say that its vehicle is in the gallery.

        Args:
            gallery_pictures: how many pictures the query is compared with.
            false_alarm_rate: the share of queries whose vehicle the gallery lacks that may be said to be in it; None
                takes the one that was calibrated for. See `OpenSet.threshold`.

        Raises:
            SamecarError: the number is negative, or the rate not between 0 and 1.
        """
        if gallery_pictures < 0:
            raise SamecarError(f"a gallery of {gallery_pictures} pictures cannot be; give 0 or more")
        if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
            raise SamecarError(f"false_alarm_rate is {false_alarm_rate}; give a share above 0 and below 1")
        return self.open_set.threshold(gallery_pictures, false_alarm_rate)

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
    def read(cls, path: str | Path) -> "Calibration":
        """Reads a file that `samecar calibrate` wrote.

        Raises:
            SamecarError: there is no such file, or it is no calibration.
        """
        path = as_path(path, "calibration")
        try:
            content = read_whole(path)
        except OSError as error:
            raise SamecarError(
                f"calibration {path} cannot be read: {error.strerror}; make it with `samecar calibrate`"
            ) from error
        return cls.from_json(content, str(path))

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
