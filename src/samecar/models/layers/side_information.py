"""Side information: what a vision transformer is told of a picture's camera and of the side of the vehicle it shows."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError

DEVIATION = 0.02
"""Of the normal distribution, cut at two deviations, with which the embeddings begin."""

Side = tuple[Tensor, Tensor]
"""Of each picture the number of its camera and of its view among the known ones, (batch,) int64 each; -1 is unknown."""


class SideInformation(nn.Module):
    """Adds an embedding of camera and view to every token (He et al., arXiv 2102.04378, section 3.3).

    token + weight · S[camera, view], with an embedding for each pair of a camera and a view. Where only one of them is
    used the other counts as one. The embedding of an unknown camera is the mean over all cameras, of an unknown view
    the mean over all views; so is that of a picture of which nothing is said.

    Args:
        cameras: how many are known; 0 if cameras are not used.
        views: how many are known; 0 if views are not used.
        width: of a token.
        weight: of the embeddings beside the tokens.
    """

    def __init__(self, cameras: int, views: int, width: int, weight: float) -> None:
        super().__init__()
        self.cameras = cameras
        self.views = views
        self.weight = weight
        self.table = nn.Parameter(torch.empty(max(1, cameras), max(1, views), width))
        nn.init.trunc_normal_(self.table, std=DEVIATION, a=-2 * DEVIATION, b=2 * DEVIATION)

    def forward(self, side: Side | None) -> Tensor:
        """What is added to tokens: (batch, 1, width); (1, 1, width) where nothing is said of the pictures."""
        extended = torch.cat([self.table, self.table.mean(dim=0, keepdim=True)], dim=0)
        extended = torch.cat([extended, extended.mean(dim=1, keepdim=True)], dim=1)  # the last are of what is unknown
        if side is None:
            return self.weight * extended[-1:, -1:]
        cameras, views = (
            numbers if known else torch.full_like(numbers, -1)
            for numbers, known in zip(side, (self.cameras, self.views), strict=True)
        )
        return self.weight * extended[cameras, views][:, None]


def build_side_information(model: Any, settings: ModelSettings) -> SideInformation | None:
    """The side information of the settings; None if they ask for none.

    Raises:
        SamecarError: the model is no vision transformer whose tokens can be reached.
    """
    if settings.side_information == "none":
        return None
    plain = isinstance(model, VisionTransformer)
    if not plain or type(model).forward_features is not VisionTransformer.forward_features:
        raise SamecarError(
            f"model.side_information {settings.side_information!r} needs a plain vision transformer, which "
            f"{type(model).__name__} of timm is not; choose one such as 'vit_base_patch16_224', or side_information "
            "'none'"
        )
    cameras, views = len(settings.side_cameras), len(settings.side_views)
    return SideInformation(cameras, views, model.embed_dim, settings.side_weight)


def tokens_with_side(model: Any, pictures: Tensor, offset: Tensor) -> Tensor:
    """What timm's vision transformer does to pictures, with something added to the tokens that enter its blocks.

    Args:
        model: of timm.
        pictures: (batch, 3, height, width).
        offset: (batch or 1, 1, width), added behind the position embeddings.

    Returns:
        Tokens, (batch, tokens, width).
    """
    tokens = model._pos_embed(model.patch_embed(pictures)) + offset  # noqa: SLF001 - timm has no other way between
    tokens = model.blocks(model.norm_pre(model.patch_drop(tokens)))
    normalised: Tensor = model.norm(tokens)
    return normalised


def refuse_side_information(settings: ModelSettings, purpose: str) -> None:
    """Refuses a model that reads labels where pictures come without them.

    Args:
        settings: of the model.
        purpose: where, such as 'a gallery and the service'.

    Raises:
        SamecarError: the model reads side information.
    """
    if settings.side_information != "none":
        raise SamecarError(
            f"the model was trained with model.side_information {settings.side_information!r}: it reads which camera "
            f"took a picture or which side of the vehicle it shows, which {purpose} cannot tell it; use a model with "
            "side_information 'none'"
        )
