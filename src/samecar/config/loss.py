"""Options of the losses: a group for each, but for the two oldest, which stand in `loss` itself."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from samecar.config.base import LATER, NonNegativeFloat, Settings, Share, refuse_unread

Feature = Literal["before", "after"]
"""Which of a network's features a loss reads: that before the neck or that after it."""

BatchDistance = Literal["euclidean", "cosine"]
Mining = Literal["hardest", "camera"]

_WEIGHT = "weight of this loss in the sum; 0 leaves it out"
_BRANCHES = "numbers of the model's branches that the loss reads, from 1; an empty list is all of them"
_FEATURE = "which feature is read: that 'before' model.neck or that 'after' it"
_DISTANCE = "between features: 'euclidean' on them as they are, or 'cosine', which is 1 - cosine similarity"
_MINING = (
    "which pictures of the batch an anchor is held against: the 'hardest' of all, or by 'camera': the farthest picture "
    "of the same vehicle by another camera and the nearest of another vehicle by the same camera, where there are any"
)


class LossGroup(Settings):
    """What the options of all losses have; a loss without a weight is off.

    Attributes:
        weight: in the sum of the losses.
        branches: numbers, from 1, of the network's branches that are read; empty for all.
    """

    weight: NonNegativeFloat = Field(0.0, description=_WEIGHT)
    branches: tuple[PositiveInt, ...] = Field((), description=_BRANCHES)

    @model_validator(mode="after")
    def _without_weight_nothing_is_read(self) -> Self:
        if "weight" not in self.model_fields_set:
            others = [name for name in type(self).model_fields if name != "weight"]
            refuse_unread(self, others, "weight is not given, so this loss is off; give it a weight")
        return self


class CrossEntropySettings(LossGroup):
    """Of the cross-entropy; a recipe has them as options of `loss` itself."""

    label_smoothing: Share = 0.0


class BatchHardSettings(LossGroup):
    """Of losses that hold each picture of a batch against its hardest ones."""

    feature: Feature = Field("before", description=_FEATURE)
    distance: BatchDistance = Field("euclidean", description=_DISTANCE)
    mining: Mining = Field("hardest", description=_MINING)


class TripletSettings(BatchHardSettings):
    """Of the triplet loss with a hard margin; a recipe has them as options of `loss` itself."""

    margin: NonNegativeFloat = 0.3


class CircleSettings(LossGroup):
    """Of the circle loss over pairs of pictures."""

    scale: PositiveFloat = Field(128.0, description="factor of all similarities, the paper's γ")
    margin: Share = Field(
        0.25,
        description="the paper's m: a similarity is wanted above 1 - m to the same vehicle and below m to others",
    )
    feature: Feature = Field("before", description=_FEATURE)


class CircleSoftmaxSettings(LossGroup):
    """Of the circle loss over classes."""

    scale: PositiveFloat = Field(64.0, description="factor of all similarities, the paper's γ")
    margin: Share = Field(
        0.35,
        description="the paper's m: a similarity is wanted above 1 - m to the vehicle's own class vector and below m "
        "to others",
    )
    label_smoothing: Share = Field(0.0, description="share of the target that is spread evenly over all train vehicles")
    feature: Feature = Field("after", description=_FEATURE)


class ArcFaceSettings(LossGroup):
    """Of ArcFace."""

    scale: PositiveFloat = Field(64.0, description="factor of all similarities")
    margin: Annotated[float, Field(ge=0, le=3.14)] = Field(
        0.5, description="angle in radians that is added to that between a feature and its vehicle's class vector"
    )
    feature: Feature = Field("after", description=_FEATURE)


class CosFaceSettings(LossGroup):
    """Of CosFace."""

    scale: PositiveFloat = Field(64.0, description="factor of all similarities")
    margin: Share = Field(
        0.35, description="what is taken from the cosine between a feature and its vehicle's class vector"
    )
    feature: Feature = Field("after", description=_FEATURE)


class SphereFaceSettings(LossGroup):
    """Of SphereFace."""

    margin: Annotated[int, Field(ge=1, le=8)] = Field(
        4, description="by how much the angle between a feature and its vehicle's class vector is multiplied"
    )
    feature: Feature = Field("after", description=_FEATURE)


class SupervisedContrastiveSettings(LossGroup):
    """Of the supervised contrastive loss."""

    temperature: PositiveFloat = Field(0.1, description="what cosine similarities are divided by")
    feature: Feature = Field("before", description=_FEATURE)


class CentreSettings(LossGroup):
    """Of the centre loss."""

    update: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="how far a vehicle's centre follows its features in a batch, the paper's α"
    )
    feature: Feature = Field("before", description=_FEATURE)


class ImageToTextSettings(LossGroup):
    """Of the cross-entropy between pictures and texts."""

    label_smoothing: Share = Field(0.1, description="share of the target that is spread evenly over all train vehicles")


class LossSettings(Settings):
    """Weights of the losses, and what else each of them needs."""

    cross_entropy: NonNegativeFloat = Field(
        1.0, description="weight of the cross-entropy over the train vehicles; 0 leaves it out"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the cross-entropy's target that is spread evenly over all train vehicles"
    )
    cross_entropy_branches: tuple[PositiveInt, ...] = Field((), description=_BRANCHES, json_schema_extra=LATER)
    triplet: NonNegativeFloat = Field(1.0, description="weight of the batch-hard triplet loss; 0 leaves it out")
    margin: NonNegativeFloat = Field(
        0.3,
        description="Euclidean distance by which the nearest picture of another vehicle must be farther away than the "
        "farthest of the same one, for a triplet to be without loss",
    )
    triplet_feature: Feature = Field("before", description=_FEATURE, json_schema_extra=LATER)
    triplet_distance: BatchDistance = Field(
        "euclidean", description=f"{_DISTANCE}; margin is in its unit", json_schema_extra=LATER
    )
    triplet_mining: Mining = Field("hardest", description=_MINING, json_schema_extra=LATER)
    triplet_branches: tuple[PositiveInt, ...] = Field((), description=_BRANCHES, json_schema_extra=LATER)
    soft_margin_triplet: BatchHardSettings = Field(
        BatchHardSettings(),
        description="the batch-hard triplet loss with a soft margin: log(1 + exp(farthest - nearest))",
        json_schema_extra=LATER,
    )
    circle: CircleSettings = Field(
        CircleSettings(), description="the circle loss over pairs of pictures", json_schema_extra=LATER
    )
    circle_softmax: CircleSoftmaxSettings = Field(
        CircleSoftmaxSettings(),
        description="the circle loss over classes, each with a vector of its own",
        json_schema_extra=LATER,
    )
    arcface: ArcFaceSettings = Field(
        ArcFaceSettings(),
        description="ArcFace: a cross-entropy over angles to class vectors, with a margin on the angle",
        json_schema_extra=LATER,
    )
    cosface: CosFaceSettings = Field(
        CosFaceSettings(), description="CosFace: likewise with a margin on the cosine", json_schema_extra=LATER
    )
    sphereface: SphereFaceSettings = Field(
        SphereFaceSettings(),
        description="SphereFace: likewise with a multiplied angle, on features of any length",
        json_schema_extra=LATER,
    )
    supervised_contrastive: SupervisedContrastiveSettings = Field(
        SupervisedContrastiveSettings(),
        description="the supervised contrastive loss: each picture is to find those of its vehicle among all others",
        json_schema_extra=LATER,
    )
    centre: CentreSettings = Field(
        CentreSettings(),
        description="the centre loss: features are drawn to the centre of their vehicle's",
        json_schema_extra=LATER,
    )

    image_to_text: ImageToTextSettings = Field(
        ImageToTextSettings(),
        description="a cross-entropy over products of the projected feature (model.projection) and the features of "
        "texts about the vehicles, which the options of prompts learn before training",
        json_schema_extra=LATER,
    )

    def groups(self) -> dict[str, LossGroup]:
        """The options of each loss by its name, in the order in which they are declared."""
        cross_entropy = CrossEntropySettings(
            weight=self.cross_entropy,
            branches=self.cross_entropy_branches,
            label_smoothing=self.label_smoothing,
        )
        triplet = TripletSettings(
            weight=self.triplet,
            branches=self.triplet_branches,
            feature=self.triplet_feature,
            distance=self.triplet_distance,
            mining=self.triplet_mining,
            margin=self.margin,
        )
        options = {name: getattr(self, name) for name in type(self).model_fields}
        nested = {name: group for name, group in options.items() if isinstance(group, LossGroup)}
        return {"cross_entropy": cross_entropy, "triplet": triplet, **nested}

    @staticmethod
    def option(loss: str, name: str) -> str:
        """How a user writes an option of a loss, such as `loss.circle.weight`."""
        if loss not in ("cross_entropy", "triplet"):
            return f"loss.{loss}.{name}"
        if name == "weight":
            return f"loss.{loss}"
        return f"loss.{name}" if name in LossSettings.model_fields else f"loss.{loss}_{name}"
