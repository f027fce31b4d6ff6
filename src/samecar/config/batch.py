"""Options of batches."""

from typing import Self

from pydantic import Field, PositiveInt, model_validator

from samecar.config.base import LATER, Settings


class BatchSettings(Settings):
    """Identity batches: size / pictures_per_vehicle vehicles, pictures_per_vehicle pictures of each."""

    size: PositiveInt = Field(64, description="pictures in a batch, a multiple of pictures_per_vehicle")
    pictures_per_vehicle: PositiveInt = Field(4, description="pictures of each vehicle in a batch")
    camera_aware: bool = Field(
        False,
        description="whether a vehicle's pictures in a batch come from as many cameras as they can, from two at least "
        "where two have seen it",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _whole_vehicles(self) -> Self:
        if self.size % self.pictures_per_vehicle:
            raise ValueError(
                f"size {self.size} is not a multiple of pictures_per_vehicle {self.pictures_per_vehicle}; "
                f"{self.size - self.size % self.pictures_per_vehicle + self.pictures_per_vehicle} would be"
            )
        if self.camera_aware and self.pictures_per_vehicle == 1:
            raise ValueError(
                "camera_aware is true but pictures_per_vehicle is 1, and one picture is of one camera; raise "
                "pictures_per_vehicle to 2 or more, or leave camera_aware out"
            )
        return self
