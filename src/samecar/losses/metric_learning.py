"""Losses that pytorch-metric-learning calculates, each with the settings and the mean of its paper."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses as library
from pytorch_metric_learning.reducers import MeanReducer
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor, nn

from samecar.config.loss import (
    ArcFaceSettings,
    CircleSettings,
    CosFaceSettings,
    SphereFaceSettings,
    SupervisedContrastiveSettings,
)
from samecar.losses.base import Loss, Part, read_feature, unit_length

CLASS_VECTOR_DEVIATION = 0.01
"""Class vectors begin at random with numbers of this deviation; only their direction counts, and short ones turn
quicker."""


class LibraryLoss(Loss):
    """The adapter: features in float32 or wider, also under autocast, and the mean over all pictures of the batch.

    A picture that the loss cannot say anything of, such as one without another of its vehicle, counts as 0.
    """

    normalised: ClassVar[bool] = True
    """Whether the loss reads directions alone; a feature that is 0 then has no gradient."""

    def __init__(self, settings: Any, width: int, vehicles: int) -> None:
        super().__init__(settings, width, vehicles)
        self.library = self.build()

    @abstractmethod
    def build(self) -> Any:
        """The library's loss, with this one's settings."""

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:  # noqa: ARG002
        """The loss of a batch, a scalar."""
        with torch.autocast(labels.device.type, enabled=False):
            loss: Tensor = self.library(self.features(part), labels.long())
            return loss

    def features(self, part: Part) -> Tensor:
        """What the library's loss is given, (batch, width)."""
        features = read_feature(part, self.settings.feature)
        return unit_length(features) if self.normalised else features


class Circle(LibraryLoss):
    """Circle loss over pairs of pictures (Sun et al., arXiv 2002.10857, equation 6).

    For each picture log(1 + Σ exp(γ [s_n + m]₊ (s_n - m)) · Σ exp(-γ [1 + m - s_p]₊ (s_p - 1 + m))), with cosine
    similarities s_n to the pictures of other vehicles and s_p to the others of its own; the factors in [ ]₊ receive no
    gradient.
    """

    name = "circle"
    needs_two_vehicles = True
    needs_pairs = True
    settings: CircleSettings

    def build(self) -> Any:
        """The library's loss, with this one's settings."""
        return library.CircleLoss(m=self.settings.margin, gamma=self.settings.scale, reducer=MeanReducer())


class SupervisedContrastive(LibraryLoss):
    """Supervised contrastive loss (Khosla et al., arXiv 2004.11362, equation 2).

    For each picture the mean over the others of its vehicle of -log(exp(s / τ) / Σ exp(s / τ)), with cosine
    similarities s, the sum over all other pictures of the batch. A batch of one vehicle has nothing to tell apart: 0.
    """

    name = "supervised_contrastive"
    needs_two_vehicles = True
    needs_pairs = True
    settings: SupervisedContrastiveSettings

    def build(self) -> Any:
        """The library's loss, with this one's settings."""
        return library.SupConLoss(temperature=self.settings.temperature, reducer=MeanReducer())


class MarginSoftmax(LibraryLoss):
    """A cross-entropy over cosines to one learned vector of each class, with a margin for the right one."""

    reads_stripes = True

    def scores(self, part: Part) -> Tensor:
        """Those without the margin."""
        with torch.autocast(part.before.device.type, enabled=False):
            scores: Tensor = self.library.get_logits(self.features(part))
            return scores

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            "num_classes": self.vehicles,
            "embedding_size": self.width,
            "reducer": MeanReducer(),
            "weight_init_func": TorchInitWrapper(nn.init.normal_, std=CLASS_VECTOR_DEVIATION),
        }


class ArcFace(MarginSoftmax):
    """ArcFace (Deng et al., arXiv 1801.07698, equation 3).

    The right class's cos θ becomes cos(θ + m). Where θ + m is beyond π, from where the cosine rises again, it is
    cos θ - m sin m, as in the authors' code.
    """

    name = "arcface"
    settings: ArcFaceSettings

    def build(self) -> Any:
        """The library's loss, with this one's settings."""
        margin = math.degrees(self.settings.margin)
        return _FiniteArcFaceLoss(margin=margin, scale=self.settings.scale, **self._arguments)


class CosFace(MarginSoftmax):
    """CosFace (Wang et al., arXiv 1801.09414, equation 4): the right class's cos θ becomes cos θ - m."""

    name = "cosface"
    settings: CosFaceSettings

    def build(self) -> Any:
        """The library's loss, with this one's settings."""
        return library.CosFaceLoss(margin=self.settings.margin, scale=self.settings.scale, **self._arguments)


class SphereFace(MarginSoftmax):
    """SphereFace (Liu et al., arXiv 1704.08063, equation 7), without annealing.

    A class's score is |feature| cos θ, that of the right class |feature| ((-1)^k cos(m θ) - 2k) for θ from k π / m to
    (k + 1) π / m.
    """

    name = "sphereface"
    normalised = False
    settings: SphereFaceSettings

    def build(self) -> Any:
        """The library's loss, with this one's settings."""
        return library.SphereFaceLoss(margin=self.settings.margin, scale=1, **self._arguments)


class _FiniteArcFaceLoss(library.ArcFaceLoss):  # type: ignore[misc]
    """With a gradient of 0 at angles of 0 and π, where the arc cosine has none."""

    def get_angles(self, cosine_of_target_classes: Tensor) -> Tensor:
        limit = 1 - torch.finfo(cosine_of_target_classes.dtype).eps
        inside = cosine_of_target_classes.abs() < limit
        angles: Tensor = super().get_angles(torch.where(inside, cosine_of_target_classes, 0))
        ends = torch.where(cosine_of_target_classes > 0, 0.0, math.pi).to(angles.dtype)
        return torch.where(inside, angles, ends)
