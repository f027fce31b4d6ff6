"""Options of the objectives."""

from typing import Annotated

from pydantic import Field

from samecar.config.base import NonNegativeFloat, Settings


class LossSettings(Settings):
    """Weights of the objectives."""

    cross_entropy: NonNegativeFloat = Field(
        1.0, description="weight of the cross-entropy over the train vehicles; 0 leaves it out"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the cross-entropy's target that is spread evenly over all train vehicles"
    )
    triplet: NonNegativeFloat = Field(1.0, description="weight of the batch-hard triplet loss; 0 leaves it out")
    margin: NonNegativeFloat = Field(
        0.3,
        description="Euclidean distance by which the nearest picture of another vehicle must be farther away than the "
        "farthest of the same one, for a triplet to be without loss",
    )
