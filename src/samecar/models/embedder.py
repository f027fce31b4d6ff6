"""The embedder: a backbone, attention, fusion, pooling, a head and a classifier, each chosen by the settings."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.files import read_json
from samecar.models.backbones import Backbone, Stage, build_backbone, check_known, normalisation_options
from samecar.models.folders import DESCRIPTION_FILE
from samecar.models.layers.blocks import ATTENTIONS, Fusion, chain_projection, point_projection
from samecar.models.layers.fusions import GatedSum, Pyramid
from samecar.models.layers.side_information import Side
from samecar.models.layers.whitening import Whitening
from samecar.models.parts import (
    FurtherPart,
    Part,
    PartLayers,
    build_part,
    cut_stripes,
    join_features,
    list_parts,
    read_features,
)
from samecar.models.weights.layouts import (
    holds_embedder,
    load_backbone_weights,
    load_embedder_weights,
    load_fitting_weights,
)
from samecar.models.weights.published import TIMM, TORCHVISION, read_torchvision
from samecar.models.weights.sources import RUN, ResolvedWeights, read_weights, resolve_weights
from samecar.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

SIDE = "backbone.reader.side."
"""Begins the keys of what an embedder has learned of single cameras and views."""

JOINED_STAGES = {"concatenate": 2, "add": 2, "pyramid": 3, "global": 4, "global-chain": 4, "gated-sum": 4}
"""By fusion, how many of the last stages are joined."""

NEEDED_STAGES = {"attention": 1, "fusion": 2, "pooling": 1, "stripes": 1, "non_local": 4, "mixstyle": 3}
"""By option, how many stages of feature maps a backbone must have where it is not at its default."""

LEARNED_FUSIONS = {"gated-sum": GatedSum, "pyramid": Pyramid}


class Outputs(NamedTuple):
    """What an embedder says of a batch in training.

    Attributes:
        features: embeddings, (batch, embedding), as evaluation and search take them.
        logits: scores of the train vehicles by the first part, (batch, vehicles); None without a classifier.
        parts: what losses read: of each branch its whole last map, then that map's stripes.
    """

    features: Tensor
    logits: Tensor | None
    parts: tuple[Part, ...]


class Embedder(nn.Module):
    """From pictures to embeddings; [build_embedder][samecar.models.embedder.build_embedder] makes one with its weights.

    Attributes:
        settings: what it is composed of; of timm's weights they name the tag.
        weights: that it began with; None if its tensors were loaded afterwards.
        preprocessing: what is done to its pictures before.
        embedding_size: width of an embedding.
        parts: what it consists of from the last map on, one if there is one branch and no stripe. The embedder itself
            has the layers of the first, `further` has those of the others.
        vehicles: how many the classifier tells apart; 0 means no classifier.

    Args:
        settings: what it is composed of.
        backbone: of these settings; it is changed.
        vehicles: how many the classifier tells apart; 0 means no classifier.
        weights: that the backbone begins with, if they are known.

    Raises:
        SamecarError: the backbone cannot have the attention, fusion or pooling of the settings.
    """

    def __init__(
        self, settings: ModelSettings, backbone: Backbone, vehicles: int, weights: ResolvedWeights | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.weights = weights
        self.preprocessing = Preprocessing(
            settings.height, settings.width, backbone.mean, backbone.deviation, settings.reading
        )
        self.vehicles = vehicles
        _check_stages(settings, backbone)
        if any(settings.non_local):
            backbone.add_non_local(settings.non_local)
        if settings.attention != "none":
            attention = ATTENTIONS[settings.attention]
            backbone.attend(lambda channels: attention(channels, settings.attention_reduction, settings.initialisation))
        if settings.mixstyle:
            backbone.mix_styles(settings.mixstyle, settings.mixstyle_alpha)
        if settings.branches > 1:
            backbone.split(settings.branches, settings.height, settings.width)
        self.backbone = backbone
        self.fusion = _build_fusion(settings, backbone)
        channels = int(getattr(self.fusion, "channels", backbone.channels))
        self.parts = list_parts(settings, settings.embedding_size or channels)
        self.embedding_size = sum(part.width for part in self.parts)
        built = [build_part(settings, channels, vehicles, pools=bool(backbone.stages)) for _ in self.parts]
        self.pooling, self.head = built[0].pooling, built[0].head
        self.neck, self.classifier = built[0].neck, built[0].classifier
        self.further = nn.ModuleList(built[1:])
        learned = settings.whitening == "learned"
        self.whitening = Whitening(self.embedding_size, settings.whitening_shrinkage) if learned else nn.Identity()

    def forward(self, pictures: Tensor, side: Side | None = None) -> Tensor:
        """Embeds pictures.

        Args:
            pictures: (batch, 3, height, width), as `preprocessing` says.
            side: cameras and views of the pictures; only a model with side information reads them.

        Returns:
            Embeddings, (batch, embedding), not normalised.
        """
        return self.embed_maps(self.maps(pictures, side))

    def outputs(self, pictures: Tensor, side: Side | None = None) -> Outputs:
        """Embeds pictures and scores the train vehicles.

        Args:
            pictures: (batch, 3, height, width), as `preprocessing` says.
            side: cameras and views of the pictures; only a model with side information reads them.
        """
        parts = []
        for layers, (before, after) in self._read(self.maps(pictures, side)):
            parts.append(Part(before, after, None if layers.classifier is None else layers.classifier(after)))
        return Outputs(self._join(parts), parts[0].logits, tuple(parts))

    def maps(self, pictures: Tensor, side: Side | None = None) -> list[Tensor]:
        """The map that each branch pools, (batch, channels, height, width); of a token model its pooled features."""
        maps = self.backbone(pictures, side)
        earlier, lasts = maps[: -self.settings.branches], maps[-self.settings.branches :]
        return [self.fusion([*earlier, last]) for last in lasts]

    def embed_maps(self, maps: Sequence[Tensor]) -> Tensor:
        """From what `maps` gives to embeddings, (batch, embedding), not normalised."""
        return self._join([Part(before, after, None) for _, (before, after) in self._read(maps)])

    def _read(self, maps: Sequence[Tensor]) -> Iterator[tuple[PartLayers, tuple[Tensor, Tensor]]]:
        """The layers of each part with its features before and after the neck."""
        cut = [piece for branch in maps for piece in cut_stripes(branch, self.settings.stripes)]
        for layers, piece in zip(self._layers(), cut, strict=True):
            yield layers, read_features(layers, piece)

    def _layers(self) -> list[PartLayers]:
        return [self, *(cast(FurtherPart, part) for part in self.further)]

    def _join(self, parts: Sequence[Part]) -> Tensor:
        chosen = [part.before if self.settings.embedding == "before" else part.after for part in parts]
        joined: Tensor = self.whitening(join_features(chosen, self.settings.branches))
        return joined


def build_embedder(settings: ModelSettings, vehicles: int, *, load_weights: bool = True) -> Embedder:
    """Composes an embedder.

    Args:
        settings: what it is composed of, and where its weights come from.
        vehicles: how many train vehicles the classifier tells apart; 0 for no classifier.
        load_weights: False leaves `settings.weights` aside, for a checkpoint that is loaded afterwards.

    Raises:
        SamecarError: the parts do not go together, the picture size does not fit the backbone, or the weights are not
            there or do not fill every key.
    """
    if vehicles < 0:
        raise SamecarError(f"vehicles is {vehicles}; give the number of train vehicles, or 0 for no classifier")
    if not load_weights:
        return Embedder(settings, build_backbone(settings), vehicles)
    check_known(settings.backbone)
    weights = resolve_weights(settings)
    if settings.weights == "imagenet":
        settings = settings.model_copy(update={"weights": weights.name})
    backbone = build_backbone(settings, weights)
    if weights.path is None or weights.name.startswith(TIMM):
        return Embedder(settings, backbone, vehicles, weights)
    if weights.name.startswith(RUN):
        return _begin_with_model(settings, backbone, vehicles, weights)
    from_torchvision = weights.name.startswith(TORCHVISION)
    state = read_torchvision(weights.name) if from_torchvision else read_weights(weights.path)
    if holds_embedder(state):
        embedder = Embedder(settings, backbone, vehicles, weights)
        load_embedder_weights(embedder, state, str(weights.path))
        return embedder
    layout = load_backbone_weights(backbone.model, state, str(weights.path), removed=backbone.removed)
    logger.info("weights of %s read from %s in layout %r", settings.backbone, weights.path, layout)
    return Embedder(settings, backbone, vehicles, weights)


def _begin_with_model(settings: ModelSettings, backbone: Backbone, vehicles: int, weights: ResolvedWeights) -> Embedder:
    """An embedder with what of a trained model's tensors fits it.

    Raises:
        SamecarError: the model has another backbone, or one that takes pictures or batches otherwise.
    """
    assert weights.path is not None
    described = read_json(weights.path.parent / DESCRIPTION_FILE).get("model") or {}
    if described.get("backbone") != settings.backbone:
        raise SamecarError(
            f"model.weights {settings.weights!r} has backbone {described.get('backbone')!r} and the recipe has "
            f"{settings.backbone!r}; give a run of the same model.backbone"
        )
    former = ModelSettings.model_validate(described)
    with torch.device("meta"):
        theirs = normalisation_options(build_backbone(former))
    ours = normalisation_options(backbone)
    changes = [f"model.{name}={theirs[name]}" for name in theirs if theirs[name] != ours[name]]
    if changes:
        raise SamecarError(
            f"model.weights {settings.weights!r} were trained with another normalisation than the recipe has; set "
            f"{' and '.join(changes)}"
        )
    state = read_weights(weights.path)
    if (former.side_cameras, former.side_views) != (settings.side_cameras, settings.side_views):
        state = {key: tensor for key, tensor in state.items() if not key.startswith(SIDE)}  # of other cameras and views
    embedder = Embedder(settings, backbone, vehicles, weights)
    taken = load_fitting_weights(embedder, state, settings.weights)
    embedder.weights = replace(weights, taken=taken)
    return embedder


class _LastMap(nn.Module):
    """No fusion: the last of the maps."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[-1]


def _check_stages(settings: ModelSettings, backbone: Backbone) -> None:
    """Refuses options that need feature maps where the backbone has none, or has fewer stages than they need."""
    for option, least in NEEDED_STAGES.items():
        chosen, plain = getattr(settings, option), ModelSettings.model_fields[option].default
        if chosen != plain and len(backbone.stages) < least:
            raise SamecarError(
                f"model.{option} {chosen!r} needs the feature maps of a convolutional network's stages, which "
                f"model.backbone {settings.backbone!r} does not give; choose {option} {plain!r} or another backbone"
            )
    if backbone.stages and settings.stripes > backbone.stages[-1].height:
        raise SamecarError(
            f"model.stripes is {settings.stripes} but the last map of model.backbone {settings.backbone!r} is "
            f"{backbone.stages[-1].height} high at model.height {settings.height}; choose fewer or a larger height"
        )


def _build_fusion(settings: ModelSettings, backbone: Backbone) -> nn.Module:
    name, begin = settings.fusion, settings.initialisation
    if name == "none":
        return _LastMap()
    *earlier, last = backbone.stages[-JOINED_STAGES[name] :]
    backbone.tap(earlier)
    strides = [last.reduction // stage.reduction for stage in earlier]
    for stage, stride in zip(earlier, strides, strict=True):
        _check_sizes(name, stage, stride, last)
    if name in LEARNED_FUSIONS:
        brought = [(stage.channels, stride) for stage, stride in zip(earlier, strides, strict=True)]
        return LEARNED_FUSIONS[name](brought, backbone.channels, begin)
    project = chain_projection if name == "global-chain" else point_projection
    projections = [
        project(stage.channels, backbone.channels, stride, begin)
        for stage, stride in zip(earlier, strides, strict=True)
    ]
    return Fusion(projections, backbone.channels, add=name == "add")


def _check_sizes(name: str, stage: Stage, stride: int, last: Stage) -> None:
    size = (stage.height - 1) // stride + 1, (stage.width - 1) // stride + 1
    if size != (last.height, last.width):
        raise SamecarError(
            f"model.fusion {name!r}: a stage of {stage.height} × {stage.width} brought down by {stride} does not meet "
            f"the last one of {last.height} × {last.width}; let model.height and model.width be multiples of "
            f"{last.reduction}"
        )
