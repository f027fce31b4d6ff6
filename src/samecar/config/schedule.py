"""Options of the learning rate over the epochs."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import Settings


class ScheduleSettings(Settings):
    """Learning rate over epochs: an optional linear warm-up, then a decay."""

    decay: Literal["none", "multi-step", "cosine"] = Field(
        "multi-step", description="how the rate falls after the warm-up; 'cosine' reaches 0 at the end of training"
    )
    milestones: tuple[PositiveInt, ...] = Field(
        (20, 40), description="epochs after which multi-step multiplies the rate by factor, rising"
    )
    factor: PositiveFloat = Field(0.1, description="what multi-step multiplies the rate by at each milestone")
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="epochs in which the rate rises evenly from warmup_start to its full height; 0 is no warm-up"
    )
    warmup_start: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="share of the rate that warm-up begins at"
    )

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones {list(self.milestones)} must rise, each epoch once")
        return self
