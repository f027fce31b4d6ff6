"""Options of training as a whole."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from samecar.config.base import LATER, Settings, Share, refuse_unread


class TrainingSettings(Settings):
    """How long, how precisely, and how the model to keep is chosen."""

    epochs: PositiveInt = Field(60, description="times that the training pictures are gone through")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="of what the network calculates in training; the two of 16 bits are mixed precision: weights and "
        "losses stay in float32, and a GPU that has them is quicker and needs less memory",
    )
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the train vehicles held out to choose the epoch; 0 keeps the last epoch"
    )
    validate_every: PositiveInt = Field(1, description="epochs between two scorings of the held-out vehicles")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        1, description="of all random numbers: new layers, batches, changes to pictures, vehicles held out"
    )
    accumulation: PositiveInt = Field(
        1,
        description="batches whose gradients are averaged for one step; the last step of an epoch takes those that are "
        "left",
        json_schema_extra=LATER,
    )
    ema: Share = Field(
        0.0,
        description="decay of the exponential moving average of the weights, which is then what is scored and kept; "
        "0 is off",
        json_schema_extra=LATER,
    )
    freeze_backbone_epochs: NonNegativeInt = Field(
        0,
        description="first epochs in which what frozen names stays as it is, its running means and variances too; "
        "0 is off",
        json_schema_extra=LATER,
    )
    frozen: Literal["backbone", "all-but-last-stage"] = Field(
        "backbone",
        description="only with freeze_backbone_epochs: what is frozen, the backbone or all of it but its last stage; "
        "layers put into it, such as attention, are trained",
        json_schema_extra=LATER,
    )
    patience: NonNegativeInt = Field(
        0,
        description="scorings of the held-out vehicles without a better mAP after which training ends early; "
        "0 is never",
        json_schema_extra=LATER,
    )
    synchronised_batch_norm: bool = Field(
        False,
        description="whether batch normalisation in several processes takes means and variances over the whole batch, "
        "as it does in one process, and not over each process's part; needs GPUs",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _options_of_what_is_on(self) -> Self:
        if not self.freeze_backbone_epochs:
            refuse_unread(self, ["frozen"], "freeze_backbone_epochs is 0; give freeze_backbone_epochs")
        if not self.validation:
            refuse_unread(self, ["patience"], "validation is 0; set validation to a share such as 0.1")
        return self
