"""Options of training as a whole."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from samecar.config.base import Settings


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
