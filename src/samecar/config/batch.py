"""Options of batches."""

from typing import Self

from pydantic import Field, PositiveInt, model_validator

from samecar.config.base import Settings


class BatchSettings(Settings):
    """Identity batches: size / pictures_per_vehicle vehicles, pictures_per_vehicle pictures of each."""

    size: PositiveInt = Field(64, description="pictures in a batch, a multiple of pictures_per_vehicle")
    pictures_per_vehicle: PositiveInt = Field(4, description="pictures of each vehicle in a batch")

    @model_validator(mode="after")
    def _whole_vehicles(self) -> Self:
        if self.size % self.pictures_per_vehicle:
            raise ValueError(
                f"size {self.size} is not a multiple of pictures_per_vehicle {self.pictures_per_vehicle}; "
                f"{self.size - self.size % self.pictures_per_vehicle + self.pictures_per_vehicle} would be"
            )
        return self
