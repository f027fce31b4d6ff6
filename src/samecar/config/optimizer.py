"""Options of the optimiser."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from samecar.config.base import LATER, NonNegativeFloat, Settings, Share, refuse_unread

OPTIONS_OF_OPTIMIZERS = {
    "momentum": ("rmsprop", "sgd"),
    "alpha": ("rmsprop",),
    "betas": ("adam", "adamw", "amsgrad"),
}
"""Which optimisers read an option."""


class OptimizerSettings(Settings):
    """The five optimisers of the report."""

    name: Literal["adam", "adamw", "amsgrad", "rmsprop", "sgd"] = Field("adam", description="the optimiser")
    learning_rate: PositiveFloat = Field(1e-4, description="the rate after the warm-up and before the decay")
    weight_decay: NonNegativeFloat = Field(
        5e-4,
        description="how strongly all parameters are drawn towards 0: their multiple that is added to the gradient, or "
        "with adamw, times the learning rate, taken from the parameters themselves",
    )
    amsgrad: bool = Field(
        False, description="only for adamw: with AMSGrad's maximum; plain Adam with it is the optimiser 'amsgrad'"
    )
    momentum: Share = Field(
        0.9,
        description="only for rmsprop and sgd (not Nesterov's): weight of the steps before",
        json_schema_extra=LATER,
    )
    alpha: Share = Field(
        0.99, description="only for rmsprop: weight of the squared gradients before", json_schema_extra=LATER
    )
    betas: tuple[Share, Share] = Field(
        (0.9, 0.999),
        description="only for adam, adamw and amsgrad: weights of the gradients and squared gradients before",
        json_schema_extra=LATER,
    )
    decay_norms_and_biases: bool = Field(
        True,
        description="whether weight_decay is also for biases, the weights of normalisation (all parameters of one "
        "dimension), and what the backbone's authors leave out, as position embeddings",
        json_schema_extra=LATER,
    )
    head_rate: PositiveFloat = Field(
        1.0,
        description="the rate of new layers is this many times learning_rate: of all that does not come with the "
        "backbone, and of what a loss learns itself",
        json_schema_extra=LATER,
    )
    bias_rate: PositiveFloat = Field(
        1.0, description="the rate of biases is this many times that of their layer", json_schema_extra=LATER
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="the rate of each layer of the backbone is this many times that of the layer after it; after the "
        "last one stand the new layers, whose rate is whole",
        json_schema_extra=LATER,
    )
    clip_norm: NonNegativeFloat = Field(
        0.0,
        description="largest Euclidean length of all gradients together; longer ones are shortened to it; 0 is off",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _options_of_the_optimiser(self) -> Self:
        if self.amsgrad and self.name != "adamw":
            raise ValueError(
                f"amsgrad is an option of 'adamw', not of {self.name!r}; use name 'amsgrad' for Adam with it"
            )
        for option, optimizers in OPTIONS_OF_OPTIMIZERS.items():
            if self.name not in optimizers:
                refuse_unread(self, [option], f"name is {self.name!r}; choose {' or '.join(optimizers)}")
        if not self.weight_decay:
            refuse_unread(self, ["decay_norms_and_biases"], "weight_decay is 0; give weight_decay")
        return self
