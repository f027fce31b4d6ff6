"""Options of the prompts that are learned before training, for networks that learned pictures and texts."""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import Settings, refuse_unread

PLACE = "{}"
"""Where in a template the learned tokens stand."""


class PromptSettings(Settings):
    """The first of the two stages of CLIP-ReID (Li et al., arXiv 2211.13977)."""

    text_tower: str = Field(
        "none",
        description="the text tower that belongs to the backbone: an OpenCLIP model's name, such as "
        "'ViT-B-16-quickgelu'; 'none' learns no prompts",
    )
    weights: str = Field(
        "openai",
        description="of the text tower: a tag of OpenCLIP (fetched if not here), the path of a local file in its "
        "layout, or 'none' (random)",
    )
    template: str = Field(
        "A photo of a {} vehicle.", description="text about a vehicle; {} is where its learned tokens stand"
    )
    tokens: PositiveInt = Field(4, description="tokens that are learned for each vehicle")
    epochs: PositiveInt = Field(60, description="times that the training pictures' features are gone through")
    batch_size: Annotated[int, Field(ge=2)] = Field(64, description="features in a batch")
    learning_rate: PositiveFloat = Field(
        3.5e-4, description="of Adam; it rises in the warm-up, and then falls to 0 along a cosine"
    )
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(
        5, description="epochs in which the rate rises evenly from a hundredth to its full height; 0 is no warm-up"
    )

    @model_validator(mode="after")
    def _options_of_a_text_tower(self) -> Self:
        if self.text_tower == "none":
            others = [name for name in type(self).model_fields if name != "text_tower"]
            refuse_unread(
                self, others, "text_tower is 'none', so no prompts are learned; choose one such as 'ViT-B-16-quickgelu'"
            )
        return self

    @model_validator(mode="after")
    def _one_place_for_the_tokens(self) -> Self:
        if self.template.count(PLACE) != 1:
            raise ValueError(f"template is {self.template!r}, which must have {{}} once, where the tokens stand")
        return self

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs} but epochs is {self.epochs}; let the warm-up be shorter"
            )
        return self
