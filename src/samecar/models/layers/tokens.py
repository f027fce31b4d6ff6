"""Token models, such as vision transformers: overlapping patches, and which tokens are the feature.

A token model cuts a picture into patches, each of which becomes a token. Before them stand its prefix tokens: a class
token where it has one, and perhaps registers.
"""

import math
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models.layers.side_information import Side, build_side_information, tokens_with_side
from samecar.models.shapes import REFUSALS, shape_model

POSITIONS = "pos_embed"
"""timm's key of learned position embeddings."""

FINE_TUNED = "_ft_in"
"""In the tag of weights whose last layer is a classifier, though the network began as one of pictures and texts."""


def token_size(name: str, settings: ModelSettings) -> tuple[int, int]:
    """The picture size for which timm builds the model, so that its grid is that of the overlapping patches.

    The grid has (height - patch) // stride + 1 rows, and columns likewise. timm builds the model for pictures of as
    many patches side by side, and brings the position embeddings of its weights to that grid at once.

    Args:
        name: of the timm model, perhaps with the tag of its weights.
        settings: height, width and the stride of patches are read.

    Raises:
        SamecarError: the model has no patches, or the stride does not go with them.
    """
    stride = settings.patch_stride
    if stride is None:
        return settings.height, settings.width
    with torch.device("meta"):
        patch_embed = getattr(timm.create_model(name), "patch_embed", None)
    if type(patch_embed) is not PatchEmbed:
        raise SamecarError(
            f"model.patch_stride is {stride}, but model.backbone {name!r} does not cut pictures into tokens as a plain "
            "vision transformer does; choose one such as 'vit_base_patch16_224', or leave patch_stride out"
        )
    patch: tuple[int, int] = patch_embed.patch_size
    if stride > min(patch) or min(settings.height - patch[0], settings.width - patch[1]) < 0:
        raise SamecarError(
            f"model.patch_stride is {stride}, but the patches of model.backbone {name!r} are {patch[0]} × {patch[1]} "
            f"and pictures {settings.height} × {settings.width}; give a stride of 1 to {min(patch)} and larger pictures"
        )
    rows, columns = (settings.height - patch[0]) // stride + 1, (settings.width - patch[1]) // stride + 1
    return rows * patch[0], columns * patch[1]


def overlap_patches(model: Any, settings: ModelSettings, name: str) -> None:
    """Moves the patches of a model that was built for `token_size` nearer together: one each `patch_stride` pixels.

    Raises:
        SamecarError: the model does not give as many tokens as there are patches.
    """
    if settings.patch_stride is None:
        return
    patches: PatchEmbed = model.patch_embed
    patches.proj.stride = (settings.patch_stride, settings.patch_stride)
    patches.img_size = None  # what it would check is the size that it was built for
    rows, columns = patches.grid_size
    shapes, picture = shape_model(model, settings.height, settings.width)
    try:
        count = shapes.forward_features(picture).shape[1]
    except REFUSALS:
        count = 0
    if count != rows * columns + model.num_prefix_tokens:
        raise SamecarError(
            f"model.patch_stride is {settings.patch_stride}, which the positions of model.backbone {name!r} cannot "
            "follow; leave patch_stride out or choose another backbone"
        )


def resize_positions(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Brings the position embeddings of a transformer's weights to the grid of a model.

    It is timm's resizing, bicubic. The weights' own grid is taken to be square, as published ones are; prefix tokens
    keep their embeddings.

    Args:
        model: perhaps with learned positions.
        state: tensors by key in timm's names.
        origin: names the file in error sentences.

    Raises:
        SamecarError: the weights' positions are no square.
    """
    own, given = getattr(model, POSITIONS, None), state.get(POSITIONS)
    patches = getattr(model, "patch_embed", None)
    if own is None or given is None or given.ndim != 3 or not isinstance(patches, PatchEmbed):
        return dict(state)
    prefix = 0 if getattr(model, "no_embed_class", False) else int(getattr(model, "num_prefix_tokens", 1))
    count = given.shape[1] - prefix
    side = math.isqrt(max(count, 0))
    if own.shape == given.shape and (own.shape[1] - prefix != side * side or patches.grid_size == (side, side)):
        return dict(state)
    if side * side != count:
        raise SamecarError(
            f"model.weights {origin!r} has positions of {count} patches, which are no square, and the model has "
            f"{patches.grid_size[0]} × {patches.grid_size[1]}; give weights of square pictures, or of the model's size"
        )
    resized = resample_abs_pos_embed(
        given, new_size=list(patches.grid_size), old_size=[side, side], num_prefix_tokens=prefix
    )
    return {**state, POSITIONS: resized}


class TokenReader(nn.Module):
    """From pictures to the feature of a token model: what its tokens are told, and which of them are read.

    Attributes:
        tokens: 'pooled' as timm's model pools them, 'class' the class token, 'patch-mean' the mean of all patches,
            'class+patch-mean' both, one after the other. Each is normalised as timm's model does before its classifier.
        projection: whether the model's last linear layer, with which pictures met texts, gives a second feature of the
            first, behind it.
        side: what the tokens are told of camera and view; None if nothing.

    Args:
        model: the whole timm model.
        settings: backbone, tokens, projection and side information are read.

    Raises:
        SamecarError: the model does not have what is to be read.
    """

    def __init__(self, model: Any, settings: ModelSettings) -> None:
        super().__init__()
        self.tokens = settings.tokens
        self.projection = settings.projection
        self.side = build_side_information(model, settings)
        if self.tokens != "pooled" and not (hasattr(model, "num_prefix_tokens") and hasattr(model, "fc_norm")):
            raise _refuse_tokens(settings, "gives no tokens, as a plain vision transformer does", "another backbone")
        if self.tokens.startswith("class") and getattr(model, "cls_token", None) is None:
            raise _refuse_tokens(settings, "has no class token", "tokens 'patch-mean'")
        if self.projection:
            _check_projection(model, settings)

    def trim(self, model: Any) -> None:
        """Takes the layers away that are not read."""
        head = model.head
        model.reset_classifier(0)
        if self.projection:
            model.head = head
        if self.tokens != "pooled" and getattr(model, "attn_pool", None) is not None:
            model.attn_pool = None

    def forward(self, model: Any, pictures: Tensor, side: Side | None = None) -> Tensor:
        """From pictures, (batch, 3, height, width), to features, (batch, width of all that is read)."""
        if self.side is None:
            tokens = model.forward_features(pictures)
        else:
            tokens = tokens_with_side(model, pictures, self.side(side))
        features = self._read(model, tokens)
        return torch.cat([features, model.head(features)], dim=1) if self.projection else features

    def _read(self, model: Any, tokens: Tensor) -> Tensor:
        if self.tokens == "pooled":
            pooled: Tensor = model.forward_head(tokens, pre_logits=True)
            return pooled
        parts = {"class": tokens[:, 0], "patch-mean": tokens[:, model.num_prefix_tokens :].mean(dim=1)}
        return torch.cat([model.fc_norm(parts[name]) for name in self.tokens.split("+")], dim=1)


def _check_projection(model: Any, settings: ModelSettings) -> None:
    tag = model.pretrained_cfg.get("tag") or ""
    if "_clip_" not in settings.backbone or FINE_TUNED in tag or not isinstance(model.head, nn.Linear):
        raise SamecarError(
            f"model.projection needs a network that learned pictures and texts and still has its last layer, which "
            f"model.backbone {settings.backbone!r} is not; choose one such as "
            "'vit_base_patch16_clip_quickgelu_224.openai', or leave projection out"
        )


def _refuse_tokens(settings: ModelSettings, reason: str, advice: str) -> SamecarError:
    return SamecarError(
        f"model.tokens is {settings.tokens!r}, but model.backbone {settings.backbone!r} {reason}; choose {advice}, or "
        "leave tokens out"
    )
