"""Options of the network."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import LATER, Settings

Colours = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class ModelSettings(Settings):
    """What an [Embedder][samecar.models.Embedder] is composed of."""

    backbone: str = Field("mobilenetv3_small_100", description="name of a timm model")
    weights: str = Field(
        "imagenet",
        description="'timm:TAG' or 'torchvision:MODEL.TAG' (published by these libraries, fetched if not here), "
        "'imagenet' (timm's of the day, whose name the run notes), 'none' (random), 'package:NAME' (from an installed "
        "Python package) or the path of a local file in timm's, torchvision's or Cadene's key layout, or of a folder "
        "with such a file for each backbone, named after it",
    )
    initialisation: Literal["kaiming", "torch"] = Field(
        "kaiming",
        description="how new layers begin: 'kaiming' is Kaiming's normal distribution, and a classifier near 0; "
        "'torch' is as torch makes them",
        json_schema_extra=LATER,
    )
    batch_norm_epsilon: PositiveFloat | None = Field(
        None,
        description="what the backbone's batch normalisation adds to variances; not given, it is as in the library "
        "that the weights come from",
        json_schema_extra=LATER,
    )
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="weight of a new batch in the backbone's running means and variances; not given, likewise",
        json_schema_extra=LATER,
    )
    attention: Literal["none", "se", "cbam"] = Field(
        "none",
        description="attention after each stage of the backbone: 'se' is squeeze and excitation, 'cbam' also weighs "
        "places",
    )
    attention_reduction: PositiveInt = Field(16, description="channels are divided by this inside the attention")
    fusion: Literal["none", "concatenate", "add", "global", "global-chain"] = Field(
        "none",
        description="'concatenate' and 'add' join stages 3 and 4; 'global' and 'global-chain' concatenate all four, "
        "brought down by one convolution of 1 × 1 each, or the earlier ones by chains of 3 × 3",
    )
    pooling: Literal["average", "max", "gem"] = Field(
        "average",
        description="how a feature map becomes a vector; 'gem' is the generalised mean with a learned power",
    )
    head: Literal[
        "none", "fc", "fc-relu-dropout-bn-fc", "fc-relu-bn-fc", "fc-bn-relu-dropout-fc", "fc-bn-relu-fc", "fc-bn-fc"
    ] = Field(
        "none", description="layers between pooling and classifier; the last fc of the long names is the classifier"
    )
    embedding_size: PositiveInt | None = Field(
        None, description="width of the head's layer; head 'none' has none: its embedding is as wide as the pooled map"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="share of numbers set to 0 at random in training, in heads whose name has 'dropout'"
    )
    zero_bias: bool = Field(False, description="whether linear layers of head and classifier go without bias")
    distance: Literal["euclidean", "cosine"] = Field(
        "euclidean",
        description="what the embeddings are made for: runs and held-out vehicles are scored by it, unless another one "
        "is asked for",
        json_schema_extra=LATER,
    )
    colour_mean: Colours | None = Field(
        None,
        description="what is taken from red, green and blue, each 0 to 1; not given, it is as in the pictures that "
        "the weights were trained with",
        json_schema_extra=LATER,
    )
    colour_deviation: Colours | None = Field(
        None, description="what they are divided by then; not given, likewise", json_schema_extra=LATER
    )
    height: PositiveInt = Field(224, description="pictures are resized to this height in pixels")
    width: PositiveInt = Field(224, description="pictures are resized to this width in pixels")

    @model_validator(mode="after")
    def _embedding_size_belongs_to_head(self) -> Self:
        if self.head == "none" and self.embedding_size is not None:
            raise ValueError(
                f"embedding_size is {self.embedding_size} but head is 'none', which has no layer; use head 'fc'"
            )
        if self.head != "none" and self.embedding_size is None:
            raise ValueError(f"head is {self.head!r} but embedding_size is not given; give its width, for example 1024")
        return self
