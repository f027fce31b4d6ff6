"""What training lowers: a class for each loss, and the objective that weighs and adds them."""

from collections.abc import Mapping

from samecar.losses.base import Loss
from samecar.losses.centre import Centre
from samecar.losses.circle_softmax import CircleSoftmax
from samecar.losses.cross_entropy import CrossEntropy
from samecar.losses.image_to_text import ImageToText
from samecar.losses.metric_learning import ArcFace, Circle, CosFace, SphereFace, SupervisedContrastive
from samecar.losses.triplet import SoftMarginTriplet, Triplet

LOSSES: Mapping[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        CrossEntropy,
        Triplet,
        SoftMarginTriplet,
        Circle,
        CircleSoftmax,
        ArcFace,
        CosFace,
        SphereFace,
        SupervisedContrastive,
        Centre,
        ImageToText,
    )
}
"""The class of each loss by the name of its group of options."""

__all__ = ["LOSSES", "Loss"]
