"""Options of the network."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import LATER, Probability, Settings, Share, refuse_unread

Colours = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class ModelSettings(Settings):
    """What an [Embedder][samecar.models.Embedder] is composed of."""

    backbone: str = Field("mobilenetv3_small_100", description="name of a timm model")
    weights: str = Field(
        "imagenet",
        description="'timm:TAG' or 'torchvision:MODEL.TAG' (published by these libraries, fetched if not here), "
        "'imagenet' (timm's of the day, whose name the run notes), 'none' (random), 'package:NAME' (from an installed "
        "Python package) or the path of a local file in timm's, torchvision's or Cadene's key layout, or of a folder "
        "with such a file for each backbone, named after it; the folder of a run begins with what of its model fits",
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
    instance_norm: Literal["none", "ibn-a", "ibn-b"] = Field(
        "none",
        description="instance normalisation in residual networks: 'ibn-a' of half of the channels in the blocks of "
        "stages 1 to 3, 'ibn-b' in the stem and at the end of stages 1 and 2",
        json_schema_extra=LATER,
    )
    last_stride: Literal[1, 2] = Field(
        2,
        description="of the last stage of a convolutional network; with 1 its maps are as high and wide as those of "
        "the stage before",
        json_schema_extra=LATER,
    )
    non_local: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt] = Field(
        (0, 0, 0, 0),
        description="how many of the last blocks of stages 1 to 4 have a non-local block after them, for example "
        "[0, 2, 3, 0]",
        json_schema_extra=LATER,
    )
    mixstyle: Probability = Field(
        0.0,
        description="probability that the styles of a batch's pictures are mixed after stage 1, and after stage 2, in "
        "training",
        json_schema_extra=LATER,
    )
    mixstyle_alpha: PositiveFloat = Field(
        0.1,
        description="of the Beta distribution from which the mixture is drawn; small values keep most of one style",
        json_schema_extra=LATER,
    )
    drop_path: Share = Field(
        0.0,
        description="how often the last block is left out for a picture in training, earlier ones less (stochastic "
        "depth); 0 is as timm has the model",
        json_schema_extra=LATER,
    )
    patch_stride: PositiveInt | None = Field(
        None,
        description="pixels from one patch of a token model to the next; smaller than its patches, they overlap; not "
        "given, they lie side by side",
        json_schema_extra=LATER,
    )
    tokens: Literal["pooled", "class", "patch-mean", "class+patch-mean"] = Field(
        "pooled",
        description="what of a token model is its feature: 'pooled' as timm's model pools, the class token, the mean "
        "of the patches, or both joined",
        json_schema_extra=LATER,
    )
    projection: bool = Field(
        False,
        description="whether the feature of a network of pictures and texts (CLIP) is joined with its projection, its "
        "last layer, to where the texts are: 768 and 512 numbers for ViT-B/16",
        json_schema_extra=LATER,
    )
    side_information: Literal["none", "camera", "view", "camera+view"] = Field(
        "none",
        description="what a vision transformer is told of each picture besides, in training and in evaluation: its "
        "camera, the seen side of the vehicle, or both; no gallery and no service takes such a model",
        json_schema_extra=LATER,
    )
    side_weight: PositiveFloat = Field(
        3.0, description="of the embeddings of camera and view beside the tokens", json_schema_extra=LATER
    )
    side_cameras: tuple[str, ...] = Field(
        (), description="cameras that have an embedding; training fills them in", json_schema_extra=LATER
    )
    side_views: tuple[str, ...] = Field(
        (), description="views that have an embedding; training fills them in", json_schema_extra=LATER
    )
    attention: Literal["none", "se", "cbam"] = Field(
        "none",
        description="attention after each stage of the backbone: 'se' is squeeze and excitation, 'cbam' also weighs "
        "places",
    )
    attention_reduction: PositiveInt = Field(16, description="channels are divided by this inside the attention")
    fusion: Literal["none", "concatenate", "add", "global", "global-chain", "gated-sum", "pyramid"] = Field(
        "none",
        description="'concatenate' and 'add' join stages 3 and 4; 'global' and 'global-chain' concatenate all four, "
        "brought down by one convolution of 1 × 1 each, or the earlier ones by chains of 3 × 3; 'gated-sum' adds the "
        "earlier three to the last, weighed by learned gates; 'pyramid' joins the last map with a feature pyramid of "
        "stages 2 to 4",
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
    neck: Literal["none", "batch-norm"] = Field(
        "none",
        description="what stands between head and classifier: 'batch-norm' is BNNeck, a batch normalisation whose bias "
        "stays 0, with a classifier without bias after it",
        json_schema_extra=LATER,
    )
    embedding: Literal["after", "before"] = Field(
        "after",
        description="which feature evaluation and search take as embedding: that 'before' the neck or that 'after' it",
        json_schema_extra=LATER,
    )
    whitening: Literal["none", "learned"] = Field(
        "none",
        description="'learned' ends the network with a linear layer that is computed from the train pictures when "
        "training ends: directions in which pictures of one vehicle differ count for less; made for sets of some "
        "hundred vehicles",
        json_schema_extra=LATER,
    )
    whitening_shrinkage: PositiveFloat = Field(
        1.0,
        description="only with learned whitening: how much of an even covariance is added to that of the pictures; "
        "more for fewer pictures",
        json_schema_extra=LATER,
    )
    branches: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="how many copies of the backbone's last stage read what the stages before it give, each with its "
        "own pooling, head, neck and classifier; the embedding is theirs, each of length one, side by side",
        json_schema_extra=LATER,
    )
    stripes: Annotated[int, Field(ge=0, le=64)] = Field(
        0,
        description="how many horizontal stripes of the last map are pooled beside the whole of it, each with its own "
        "head, neck and classifier; the embedding is all of theirs, side by side; 0 is none",
        json_schema_extra=LATER,
    )
    height: Annotated[int, Field(ge=1, le=4096)] = Field(
        224, description="pictures are resized to this height in pixels"
    )
    width: Annotated[int, Field(ge=1, le=4096)] = Field(224, description="pictures are resized to this width in pixels")
    reading: Literal["exact", "quick"] = Field(
        "exact",
        description="how pictures are decoded and resized: 'exact' as Pillow does it; 'quick' decodes large JPEG files "
        "at a scale closer to the model's size and resizes in a sixth of the time, with other pixels by a level here "
        "or there",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _side_options_belong_to_side_information(self) -> Self:
        if self.side_information == "none":
            options = ["side_weight", "side_cameras", "side_views"]
            refuse_unread(self, options, "side_information is 'none'; set side_information to 'camera'")
        return self

    @model_validator(mode="after")
    def _alpha_is_of_mixstyle(self) -> Self:
        if not self.mixstyle:
            refuse_unread(self, ["mixstyle_alpha"], "mixstyle is 0, so that no styles are mixed; use mixstyle 0.5")
        return self

    @model_validator(mode="after")
    def _projection_is_of_the_class_token(self) -> Self:
        if self.projection and self.tokens not in ("pooled", "class"):
            raise ValueError(
                f"projection reads the class token but tokens is {self.tokens!r}; use tokens 'class', or leave "
                "projection out"
            )
        return self

    @model_validator(mode="after")
    def _embedding_size_belongs_to_head(self) -> Self:
        if self.head == "none" and self.embedding_size is not None:
            raise ValueError(
                f"embedding_size is {self.embedding_size} but head is 'none', which has no layer; use head 'fc'"
            )
        if self.head != "none" and self.embedding_size is None:
            raise ValueError(f"head is {self.head!r} but embedding_size is not given; give its width, for example 1024")
        return self

    @model_validator(mode="after")
    def _embedding_belongs_to_neck(self) -> Self:
        if self.neck == "none":
            refuse_unread(self, ["embedding"], "neck is 'none', which leaves one feature; set neck 'batch-norm'")
        return self

    @model_validator(mode="after")
    def _shrinkage_is_of_whitening(self) -> Self:
        if self.whitening == "none":
            refuse_unread(self, ["whitening_shrinkage"], "whitening is 'none'; set whitening to 'learned'")
        return self

    @model_validator(mode="after")
    def _more_than_one_stripe(self) -> Self:
        if self.stripes == 1:
            raise ValueError("stripes is 1, which is the whole map; give 2 or more, or 0 for none")
        return self
