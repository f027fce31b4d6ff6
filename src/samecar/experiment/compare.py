"""Whether two pictures show the same vehicle, according to a model and its calibration, if it has one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samecar.calibration import Calibration
from samecar.data.pictures import read_picture
from samecar.embedding.encoder import Encoder
from samecar.experiment.composite import TrainedModel, as_model, open_encoder
from samecar.files import as_path
from samecar.hardware import Machine, machine
from samecar.retrieval.gallery import CALIBRATION_FILE


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures are.

    Attributes:
        similarity: cosine of their embeddings, -1 to 1.
        probability: that they show the same vehicle, if either is as likely beforehand; None without a calibration.
        threshold: similarity from which they are said to show the same vehicle; None without a calibration.
        same: what is said; None without a calibration.
    """

    similarity: float
    probability: float | None = None
    threshold: float | None = None
    same: bool | None = None


def compare(
    first: str | Path, second: str | Path, run: TrainedModel | str | Path, *, on: Machine | None = None
) -> Likeness:
    """Compares two pictures with a run's model, under its calibration if it has one.

        >>> samecar.compare("first.jpg", "second.jpg", "runs/first").probability
        0.97

    Args:
        first: a picture's path.
        second: another one's.
        run: a finished run, a fused, reduced or exported model, or its folder or file.
        on: the machine; by default its GPU if it has one.

    Raises:
        SamecarError: a picture cannot be read, or the run has not ended.
    """
    pictures = as_path(first, "first picture"), as_path(second, "second picture")
    model = as_model(run)
    encoder = open_encoder(model, (on or machine()).name)
    return compare_under(encoder, find_calibration(model), *pictures)


def compare_under(model: Encoder, calibration: Calibration | None, first: Path, second: Path) -> Likeness:
    """Does what `compare` does with the model and the calibration of a gallery."""
    pictures = [read_picture(path, model.preprocessing.decoded_size) for path in (first, second)]
    embeddings = model.embed(pictures)  # (2, size)
    similarity = float(np.clip(embeddings[0] @ embeddings[1], -1, 1))
    if calibration is None:
        return Likeness(similarity)
    calibration.check_model(model.digest)
    probability, threshold = float(calibration.probability(similarity)), calibration.same_threshold
    return Likeness(similarity, probability, threshold, similarity >= threshold)


def find_calibration(run: TrainedModel) -> Calibration | None:
    """The calibration in a run's folder; None if it was not calibrated.

    Raises:
        SamecarError: the file is damaged, or belongs to another model, as after more training.
    """
    path = run.folder / CALIBRATION_FILE
    if not path.is_file():
        return None
    calibration = Calibration.read(path)
    calibration.check_model(run.model_digest())
    return calibration
