"""Options of the learning rate over the epochs."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import LATER, Settings, Share, refuse_unread


class ScheduleSettings(Settings):
    """Learning rate over epochs: an optional linear warm-up, then a decay."""

    decay: Literal["none", "multi-step", "cosine"] = Field(
        "multi-step",
        description="how the rate falls after the warm-up; 'cosine' reaches minimum at the end of training",
    )
    milestones: tuple[PositiveInt, ...] = Field(
        (20, 40), description="epochs after which multi-step multiplies the rate by factor, rising"
    )
    factor: PositiveFloat = Field(0.1, description="what multi-step multiplies the rate by at each milestone")
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="epochs in which the rate rises evenly from warmup_start to its full height; 0 is no warm-up"
    )
    warmup_start: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="share of the rate that warm-up begins at; 0 only with per_step"
    )
    minimum: Share = Field(
        0.0, description="only for cosine: share of the rate that it ends at", json_schema_extra=LATER
    )
    per_step: bool = Field(
        False,
        description="whether the rate changes with every step, by the same formulas with fractions of epochs, and not "
        "only with every epoch",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones {list(self.milestones)} must rise, each epoch once")
        return self

    @model_validator(mode="after")
    def _options_of_the_decay(self) -> Self:
        if self.decay != "cosine":
            refuse_unread(self, ["minimum"], f"decay is {self.decay!r}; choose 'cosine'")
            if not self.warmup_epochs:
                refuse_unread(
                    self,
                    ["per_step"],
                    f"decay is {self.decay!r} without warm-up, which changes nothing within an epoch; "
                    "choose decay 'cosine', give warmup_epochs",
                )
        if self.warmup_epochs and not self.warmup_start and not self.per_step:
            raise ValueError(
                "warmup_start is 0 but per_step is false, so that the first epoch would learn nothing; "
                "set per_step to true, or warmup_start above 0"
            )
        return self
