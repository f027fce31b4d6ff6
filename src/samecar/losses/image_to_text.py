"""The cross-entropy between pictures and the texts about vehicles."""

import torch
from torch import Tensor

from samecar.config.loss import ImageToTextSettings
from samecar.losses.base import Loss, Part, read_feature
from samecar.losses.cross_entropy import cross_entropy


class ImageToText(Loss):
    """Which vehicle's text goes with a picture (Li et al., arXiv 2211.13977, equation 8).

    The cross-entropy, with label smoothing, over the products of a picture's projected feature, which stands at the end
    of the feature before the neck, and the features of the texts about all vehicles. These were learned before
    training and are not changed by it. Until they are set every vehicle is as likely as any other.

    Attributes:
        texts: (vehicles, width), with 0 wherever the feature is not projected.
    """

    name = "image_to_text"
    settings: ImageToTextSettings
    texts: Tensor

    def __init__(self, settings: ImageToTextSettings, width: int, vehicles: int) -> None:
        super().__init__(settings, width, vehicles)
        self.register_buffer("texts", torch.zeros(vehicles, width))

    def set_texts(self, texts: Tensor) -> None:
        """Takes over the features of the texts about all vehicles, (vehicles, width of the projected feature)."""
        self.texts.zero_()
        self.texts[:, -texts.shape[1] :] = texts

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:  # noqa: ARG002
        """The loss of a batch, a scalar."""
        return cross_entropy(self.scores(part), labels, self.settings.label_smoothing)

    def scores(self, part: Part) -> Tensor:
        """Products of projected features and texts, (batch, vehicles)."""
        with torch.autocast(self.texts.device.type, enabled=False):
            features = read_feature(part, "before")
            return features @ self.texts.to(features.dtype).T
