"""The circle loss over classes."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from samecar.config.loss import CircleSoftmaxSettings
from samecar.losses.base import Loss, Part, read_feature, unit_length
from samecar.losses.cross_entropy import cross_entropy
from samecar.losses.metric_learning import CLASS_VECTOR_DEVIATION


class CircleSoftmax(Loss):
    """Circle loss with one learned vector of each class in place of pictures (Sun et al., arXiv 2002.10857, section 3).

    The cross-entropy, with label smoothing if asked for, over scores γ [s + m]₊ (s - m) of other classes and
    γ [1 + m - s]₊ (s - 1 + m) of the right one, with the cosine similarity s of feature and class vector; the factors
    in [ ]₊ receive no gradient.
    """

    name = "circle_softmax"
    reads_stripes = True
    settings: CircleSoftmaxSettings

    def __init__(self, settings: CircleSoftmaxSettings, width: int, vehicles: int) -> None:
        super().__init__(settings, width, vehicles)
        self.classes = nn.Parameter(torch.empty(vehicles, width))
        nn.init.normal_(self.classes, std=CLASS_VECTOR_DEVIATION)

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:  # noqa: ARG002
        """The loss of a batch, a scalar."""
        similarities, margin = self.scores(part), self.settings.margin
        fixed = similarities.detach()
        right = functional.one_hot(labels.long(), self.vehicles).bool()  # (batch, vehicles)
        own = functional.relu(1 + margin - fixed) * (similarities - 1 + margin)
        other = functional.relu(fixed + margin) * (similarities - margin)
        logits = self.settings.scale * torch.where(right, own, other)
        return cross_entropy(logits, labels, self.settings.label_smoothing)

    def scores(self, part: Part) -> Tensor:
        """Cosine similarities of features and class vectors, (batch, vehicles)."""
        with torch.autocast(self.classes.device.type, enabled=False):
            return unit_length(read_feature(part, self.settings.feature)) @ unit_length(self.classes).T
