"""Backbones: timm models as stages of feature maps."""

import copy
import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models.layers.branches import copy_modules, find_last_modules
from samecar.models.layers.instance_norm import add_instance_norm, end_norms
from samecar.models.layers.last_stride import remove_last_stride
from samecar.models.layers.refinements import MixStyle, NonLocalBlock, find_blocks
from samecar.models.layers.side_information import Side
from samecar.models.layers.tokens import TokenReader, overlap_patches, token_size
from samecar.models.shapes import REFUSALS, shape_model
from samecar.models.weights.published import (
    TIMM,
    TORCHVISION,
    create_pretrained,
    torchvision_batch_norm,
    torchvision_normalisation,
)
from samecar.models.weights.sources import ResolvedWeights, name_weights

STAGES = 4
"""The report counts four stages; a stem before them is not one."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a backbone at whose end stands one feature map.

    Attributes:
        index: its place among timm's intermediate maps.
        module: the timm module whose output is the map; None if no single module gives it.
        channels: of the map.
        reduction: how many times as high and wide as the map the picture is.
        height: of the map at the embedder's picture size; the last stage has that of the last map.
        width: of the map, likewise.
    """

    index: int
    module: str | None
    channels: int
    reduction: int
    height: int
    width: int


class AttentiveStage(nn.Module):
    """A stage whose map is refined before the next stage reads it."""

    def __init__(self, stage: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.attention = attention

    def forward(self, maps: Tensor) -> Tensor:
        """From the map of the stage before to this stage's refined one, (batch, channels, height, width)."""
        refined: Tensor = self.attention(self.stage(maps))
        return refined


class Backbone(nn.Module):
    """A timm model without its classifier.

    A convolutional model gives its last feature map (for MobileNetV3 the one before the pooling, 576 channels in the
    small one); layers that come after it are removed. A model that ends in tokens or in maps of another axis order,
    such as a vision transformer, has no stages: it pools in its own way and gives the pooled features.

    Attributes:
        model: the timm model.
        stages: up to four, the last at the end; empty for a model of tokens.
        channels: of the last map, or the width of a token model's pooled features. The last map can be wider than the
            last stage: an EfficientNet widens its map once more.
        mean: of each colour in 0..1 in the pictures that the model was trained with.
        deviation: of each colour, likewise.
        removed: keys of the timm model's state dictionary that are gone: the classifier and what stood before it.
        branches: copies of the last stage and of what comes after it, beside the model's own.

    Args:
        model: the whole timm model; it is changed.
        height: of the pictures in pixels.
        width: of the pictures in pixels.
        reader: says which tokens of a token model are the feature; without one it pools in its own way.
    """

    def __init__(self, model: Any, height: int, width: int, reader: TokenReader | None = None) -> None:
        super().__init__()
        self.reader = reader
        self.mean: tuple[float, ...] = tuple(model.pretrained_cfg["mean"])
        self.deviation: tuple[float, ...] = tuple(model.pretrained_cfg["std"])
        before = set(model.state_dict())
        if reader is None:
            model.reset_classifier(0)
        else:
            reader.trim(model)
        self.stages = _stages(model, height, width)
        if self.stages:
            _remove_layers_after_last_map(model, height, width)
        self.removed = frozenset(before - set(model.state_dict()))
        self.channels: int = model.num_features if self.stages else _pooled_width(model, height, width, reader)
        self.model = model
        self.branches = nn.ModuleList()
        self._last_modules: tuple[str, ...] = ()
        self._tapped: list[int] = []

    def forward(self, pictures: Tensor, side: Side | None = None) -> list[Tensor]:
        """The maps of the tapped stages and the last map.

        Args:
            pictures: (batch, 3, height, width), normalised with `mean` and `deviation`.
            side: cameras and views of the pictures; only a model with side information reads them.

        Returns:
            Maps (batch, channels, height, width), earlier stages first, then the last one of each branch; of a token
            model one tensor (batch, channels).
        """
        if self.branches:
            return self._forward_branches(pictures)
        if not self.stages:
            return [_pool(self.model, pictures, self.reader, side)]
        if not self._tapped:
            return [self.model.forward_features(pictures)]
        last, tapped = self.model.forward_intermediates(pictures, indices=self._tapped)
        return [*tapped, last]

    @property
    def projected(self) -> int:
        """Width of the projected feature that stands behind the first one; 0 without `model.projection`."""
        if self.reader is None or not self.reader.projection:
            return 0
        return int(self.model.head.out_features)

    def tap(self, stages: Sequence[Stage]) -> None:
        """Chooses the stages whose maps `forward` gives beside the last one."""
        self._tapped = [stage.index for stage in stages]

    def _forward_branches(self, pictures: Tensor) -> list[Tensor]:
        shared = self.stages[-2].index
        indices = sorted({*self._tapped, shared})
        maps = self.model.forward_intermediates(pictures, indices=indices, stop_early=True, intermediates_only=True)
        by_index = dict(zip(indices, maps, strict=True))
        own = by_index[shared]
        for name in self._last_modules:
            own = self.model.get_submodule(name)(own)
        others = [branch(by_index[shared]) for branch in self.branches]
        return [*(by_index[index] for index in self._tapped), own, *others]

    def split(self, branches: int, height: int, width: int) -> None:
        """Lets copies of the last stage, and of what comes after it, read what the stages before it give.

        Args:
            branches: how many last maps there will be; all begin with the same weights.
            height: of the pictures in pixels.
            width: of the pictures in pixels.

        Raises:
            SamecarError: the last stage cannot be told from the rest of the model.
        """
        names = [stage.module for stage in self.stages if stage.module is not None]
        if len(names) == len(self.stages) > 1:
            self._last_modules = find_last_modules(self.model, names, height, width)
        if not self._last_modules:
            raise SamecarError(
                f"model.branches is {branches} but the last stage of {type(self.model).__name__} cannot be told from "
                "the rest of it; choose branches 1, or another backbone, such as a ResNet or an EfficientNet"
            )
        self.branches = copy_modules(self.model, self._last_modules, branches - 1)

    def attend(self, attention: Callable[[int], nn.Module]) -> None:
        """Refines the map of every stage; the next stage reads the refined one.

        Args:
            attention: from a number of channels to the module that refines maps of so many.
        """
        for stage in self.stages:
            if stage.module is None:
                raise SamecarError(
                    f"model.attention cannot be put after the stages of {type(self.model).__name__}, which are not "
                    "single modules; choose attention 'none' or another backbone"
                )
            refined = AttentiveStage(self.model.get_submodule(stage.module), attention(stage.channels))
            self.model.set_submodule(stage.module, refined)

    def add_non_local(self, counts: Sequence[int]) -> None:
        """Puts a non-local block after each of the last blocks of a stage.

        Args:
            counts: how many blocks of each of the four stages have one, the first stage first.

        Raises:
            SamecarError: the stages are not rows of blocks, or have fewer.
        """
        for number, (stage, count) in enumerate(zip(self.stages, counts, strict=True), start=1):
            blocks = find_blocks(self.model, stage.module) if count else []
            if len(blocks) < count:
                raise SamecarError(
                    f"model.non_local asks for {count} blocks in stage {number}, where {type(self.model).__name__} of "
                    f"timm has {len(blocks) or 'none that are known'}; ask for no more, or choose another backbone"
                )
            for name in blocks[len(blocks) - count :]:
                refined = AttentiveStage(self.model.get_submodule(name), NonLocalBlock(stage.channels))
                self.model.set_submodule(name, refined)

    def mix_styles(self, probability: float, alpha: float) -> None:
        """Mixes the styles of pictures after the first two stages, see `MixStyle`.

        Raises:
            SamecarError: a stage is no single module.
        """
        for stage in self.stages[:2]:
            if stage.module is None:
                raise SamecarError(
                    f"model.mixstyle cannot be put after the stages of {type(self.model).__name__}, which are not "
                    "single modules; choose mixstyle 0 or another backbone"
                )
            mixed = AttentiveStage(self.model.get_submodule(stage.module), MixStyle(probability, alpha))
            self.model.set_submodule(stage.module, mixed)

    def inserted(self) -> list[nn.Module]:
        """Modules that were put into the model: they begin anew, whatever weights the model comes with."""
        refined = [module.attention for module in self.modules() if isinstance(module, AttentiveStage)]
        side = [self.reader] if self.reader is not None else []
        return [module for module in [*refined, *side] if any(True for _ in module.parameters())] + end_norms(self)


def build_backbone(settings: ModelSettings, weights: ResolvedWeights | None = None) -> Backbone:
    """Creates the timm model of the settings, with batch normalisation and colours as its weights want them.

    Args:
        settings: backbone, picture size, batch normalisation and the name of the weights are read.
        weights: those that the settings name; the model begins with them if they are timm's, otherwise with random
            ones.

    Raises:
        SamecarError: timm does not know the backbone or the weights, or the picture size does not fit.
    """
    check_known(settings.backbone)
    source = settings.weights
    of_timm = source.startswith(TIMM)
    name = name_weights(source, settings.backbone).removeprefix(TIMM) if of_timm else settings.backbone
    information = timm.get_pretrained_cfg(name)
    fixed_size = information is not None and information.fixed_input_size
    fixed_size = fixed_size or settings.patch_stride is not None
    arguments: dict[str, Any] = {"img_size": token_size(name, settings)} if fixed_size else {}
    if settings.drop_path:
        arguments["drop_path_rate"] = settings.drop_path
    try:
        if of_timm and weights is not None and weights.path is not None:
            model = create_pretrained(name, weights.path, **arguments)
        else:
            model = timm.create_model(name, **arguments)
        if settings.drop_path and not any(isinstance(module, DropPath) for module in model.modules()):
            raise _refuse_drop_path(settings)  # some take the option and do nothing with it
        overlap_patches(model, settings, name)
        add_instance_norm(model, settings.instance_norm)
        if settings.last_stride == 1:
            remove_last_stride(model, name)
        reads = settings.projection or settings.tokens != "pooled" or settings.side_information != "none"
        reader = TokenReader(model, settings) if reads else None
        backbone = Backbone(model, settings.height, settings.width, reader)
    except REFUSALS as error:
        if "drop_path_rate" in str(error):
            raise _refuse_drop_path(settings) from error
        raise SamecarError(
            f"model.backbone {name!r} cannot take pictures of model.height {settings.height} and model.width "
            f"{settings.width}: {error}"
        ) from error
    if source.startswith(TORCHVISION):
        backbone.mean, backbone.deviation = torchvision_normalisation(source)
    backbone.mean = settings.colour_mean or backbone.mean
    backbone.deviation = settings.colour_deviation or backbone.deviation
    _set_batch_norm(backbone.model, settings)
    return backbone


def _refuse_drop_path(settings: ModelSettings) -> SamecarError:
    return SamecarError(
        f"model.drop_path is {settings.drop_path:g}, but timm's {settings.backbone!r} drops no paths; leave drop_path "
        "out or choose another backbone"
    )


def _set_batch_norm(model: nn.Module, settings: ModelSettings) -> None:
    """Gives batch normalisation the settings' epsilon and momentum, or those of torchvision's model."""
    source = settings.weights
    theirs = torchvision_batch_norm(source) if source.startswith(TORCHVISION) else None
    epsilon, momentum = theirs or (None, None)
    epsilon = settings.batch_norm_epsilon or epsilon
    momentum = settings.batch_norm_momentum or momentum
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon or module.eps
            module.momentum = momentum or module.momentum


def normalisation_options(backbone: Backbone) -> dict[str, object]:
    """How a backbone normalises colours and batches, as options of `ModelSettings`; None without such layers."""
    norms = [module for module in backbone.model.modules() if isinstance(module, nn.BatchNorm2d)]
    return {
        "colour_mean": list(backbone.mean),
        "colour_deviation": list(backbone.deviation),
        "batch_norm_epsilon": norms[0].eps if norms else None,
        "batch_norm_momentum": norms[0].momentum if norms else None,
    }


def check_known(name: str) -> None:
    """Checks that timm has a model, and if its name ends in a tag, weights of that tag.

    Raises:
        SamecarError: it has not.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        nearest = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(nearest)}?" if nearest else "timm.list_models() lists the known ones"
        raise SamecarError(f"model.backbone {name!r} is not a timm model; {hint}")
    tagged = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tagged:
        raise SamecarError(
            f"model.backbone {name!r} is not among timm's weights of {architecture}: {', '.join(tagged) or 'none'}; "
            f"choose one of them or {architecture!r}"
        )


def _stages(model: Any, height: int, width: int) -> tuple[Stage, ...]:
    model, picture = shape_model(model, height, width)
    last = model.forward_features(picture)
    is_map = isinstance(last, Tensor) and last.ndim == 4 and last.shape[1] == model.num_features
    if not is_map or not hasattr(model, "forward_intermediates"):
        return ()
    outputs: list[tuple[str, object]] = []
    modules = dict(model.named_modules())
    for information in model.feature_info:
        name = information["module"]
        if name in modules:
            modules[name].register_forward_hook(_remember_output(name, outputs))
    _, maps = model.forward_intermediates(picture)
    stages = [
        Stage(
            index=index,
            module=next((name for name, output in outputs if output is feature_map), None),
            channels=feature_map.shape[1],
            reduction=information["reduction"],
            height=feature_map.shape[2],
            width=feature_map.shape[3],
        )
        for index, (feature_map, information) in enumerate(zip(maps, model.feature_info, strict=True))
    ]
    stages[-1] = dataclasses.replace(stages[-1], height=last.shape[2], width=last.shape[3])
    return tuple(stages[-STAGES:])


def _remember_output(name: str, outputs: list[tuple[str, object]]) -> Callable[[nn.Module, object, object], None]:
    def remember(_module: nn.Module, _inputs: object, output: object) -> None:
        outputs.append((name, output))

    return remember


def _remove_layers_after_last_map(model: Any, height: int, width: int) -> None:
    """Replaces the modules whose parameters the last map does not depend on, so that none is left without gradient."""
    shapes, picture = shape_model(model, height, width)
    parameters = {name: parameter for name, parameter in shapes.named_parameters() if parameter.requires_grad}
    with torch.enable_grad():
        total = shapes.forward_features(picture).sum()
        gradients: Sequence[Tensor | None] = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    unused = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None}
    for name, module in list(model.named_modules()):
        owned = {f"{name}.{parameter}" for parameter, _ in module.named_parameters()}
        if owned and owned <= unused:
            unused -= owned
            model.set_submodule(name, nn.Identity())


def _pool(model: Any, pictures: Tensor, reader: TokenReader | None, side: Side | None = None) -> Tensor:
    features: Tensor = model(pictures) if reader is None else reader(model, pictures, side)
    return features


def _pooled_width(model: Any, height: int, width: int, reader: TokenReader | None) -> int:
    model, picture = shape_model(model, height, width)
    return int(_pool(model, picture, copy.deepcopy(reader).to("meta") if reader else None).shape[1])
