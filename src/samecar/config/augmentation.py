"""Options of the random changes to training pictures."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import LATER, NonNegativeFloat, Probability, Settings, refuse_unread

Range = tuple[PositiveFloat, PositiveFloat]
"""The least and the most of what is drawn evenly between them."""

MAGNITUDES = 31
"""Strengths that torchvision's RandAugment knows, from 0."""


SWITCHES = {
    "policy": "'autoaugment', 'randaugment' or 'trivialaugment'",
    "blur": "a probability",
    "jitter": "true",
    "grey_patches": "a probability",
    "erasing": "a probability",
}
"""Options that turn a change on, with what does so; the change's other options begin with the same word."""

RANGES = ("blur_sigma", "grey_patches_area", "grey_patches_ratio", "erasing_area", "erasing_ratio")
"""Options that are the least and the most of something."""


class AugmentationSettings(Settings):
    """Random changes to training pictures, in the order in which they are applied.

    Up to `flip` a picture is moved and cut, from `policy` to `blur` its pixels are whole numbers, from `jitter` on they
    are fractions, and `erasing` comes after normalising.
    """

    centre_crop: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of each side that is kept, then resized back; 1 is off, the report's 200 of 224 is .893"
    )
    translation: Probability = Field(
        0.5, description="probability of resizing to 1.125 of each side and cropping at random"
    )
    pad: Annotated[int, Field(ge=0)] = Field(
        0,
        description="pixels of black that are put around the resized picture, which is then cropped at random to its "
        "size; 0 is off, strong recipes have 10",
        json_schema_extra=LATER,
    )
    flip: Probability = Field(0.5, description="probability of a horizontal flip")
    policy: Literal["none", "autoaugment", "randaugment", "trivialaugment"] = Field(
        "none",
        description="torchvision's strong changes of shape and colour: 'autoaugment' is the policy found on ImageNet "
        "(arXiv 1805.09501), 'randaugment' draws some changes of one strength (arXiv 1909.13719), 'trivialaugment' one "
        "change of any strength (arXiv 2103.10158)",
        json_schema_extra=LATER,
    )
    policy_probability: Probability = Field(
        1.0, description="probability that a picture is changed by the policy", json_schema_extra=LATER
    )
    randaugment_operations: PositiveInt = Field(
        2, description="only for randaugment: changes of a picture, one after the other", json_schema_extra=LATER
    )
    randaugment_magnitude: Annotated[int, Field(ge=0, lt=MAGNITUDES)] = Field(
        9, description=f"only for randaugment: their strength, at most {MAGNITUDES - 1}", json_schema_extra=LATER
    )
    blur: Probability = Field(0.0, description="probability of a Gaussian blur", json_schema_extra=LATER)
    blur_sigma: Range = Field(
        (0.1, 2.0), description="least and most deviation of the blur in pixels", json_schema_extra=LATER
    )
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
    grey_pictures: Probability = Field(
        0.0, description="probability that the whole picture loses its colours", json_schema_extra=LATER
    )
    grey_patches: Probability = Field(
        0.0,
        description="probability that a rectangle loses its colours (local grayscale, arXiv 2101.08533)",
        json_schema_extra=LATER,
    )
    grey_patches_area: Range = Field(
        (0.02, 0.4), description="least and most share of the picture that loses them", json_schema_extra=LATER
    )
    grey_patches_ratio: Range = Field(
        (0.3, 1 / 0.3), description="least and most height of the rectangle to its width", json_schema_extra=LATER
    )
    erasing: Probability = Field(0.0, description="probability of random erasing: a rectangle becomes grey")
    erasing_area: Range = Field(
        (0.02, 0.4), description="least and most share of the picture that is erased", json_schema_extra=LATER
    )
    erasing_ratio: Range = Field(
        (0.3, 1 / 0.3), description="least and most height of the rectangle to its width", json_schema_extra=LATER
    )

    @model_validator(mode="after")
    def _options_of_what_is_on(self) -> Self:
        for switch, value in SWITCHES.items():
            if getattr(self, switch) in (0, "none"):
                own = (name for name in type(self).model_fields if name.startswith(f"{switch}_"))
                refuse_unread(self, own, f"{switch} is off; set {switch} to {value}")
        if self.policy != "randaugment":
            only = "randaugment_operations", "randaugment_magnitude"
            refuse_unread(self, only, f"policy is {self.policy!r}; set policy to 'randaugment'")
        return self

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in RANGES:
            least, most = getattr(self, name)
            of_picture = name.endswith("_area")
            if least > most or (of_picture and (most > 1 or least == 1)):
                limit = ", and at most 1" + ", the least below 1" * (least == 1) if of_picture else ""
                raise ValueError(f"{name} is {[least, most]}; give the least and then the most{limit}")
        return self
