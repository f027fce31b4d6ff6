"""Options of the random changes to training pictures."""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, model_validator

from samecar.config.base import LATER, NonNegativeFloat, Probability, Settings, refuse_unread


class AugmentationSettings(Settings):
    """Random changes to training pictures, in the order in which they are applied."""

    centre_crop: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of each side that is kept, then resized back; 1 is off, the report's 200 of 224 is .893"
    )
    translation: Probability = Field(
        0.5, description="probability of resizing to 1.125 of each side and cropping at random"
    )
    flip: Probability = Field(0.5, description="probability of a horizontal flip")
    jitter: bool = Field(False, description="whether colours are jittered, by the four strengths below")
    jitter_brightness: NonNegativeFloat = Field(
        0.2, description="brightness is multiplied by 1 - this to 1 + this", json_schema_extra=LATER
    )
    jitter_contrast: NonNegativeFloat = Field(0.15, description="contrast, likewise", json_schema_extra=LATER)
    jitter_saturation: NonNegativeFloat = Field(0.0, description="saturation, likewise", json_schema_extra=LATER)
    jitter_hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="part of the colour circle by which hues turn at most, either way", json_schema_extra=LATER
    )
    pca_colour: Probability = Field(0.0, description="probability of AlexNet's colour augmentation")
    erasing: Probability = Field(0.0, description="probability of random erasing: a rectangle becomes grey")
    erasing_area: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.02, 0.4), description="least and most share of the picture that is erased", json_schema_extra=LATER
    )
    erasing_ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.3, 1 / 0.3), description="least and most height of the rectangle to its width", json_schema_extra=LATER
    )

    @model_validator(mode="after")
    def _options_of_what_is_on(self) -> Self:
        for switch, value in (("jitter", "true"), ("erasing", "a probability")):
            if not getattr(self, switch):
                own = (name for name in type(self).model_fields if name.startswith(f"{switch}_"))
                refuse_unread(self, own, f"{switch} is off; set {switch} to {value}")
        for name in ("erasing_area", "erasing_ratio"):
            least, most = getattr(self, name)
            if least > most or (name == "erasing_area" and most > 1):
                limit = ", and at most 1" if name == "erasing_area" else ""
                raise ValueError(f"{name} is {[least, most]}; give the least and then the most{limit}")
        return self
