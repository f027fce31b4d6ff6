"""The centre loss."""

import torch
from torch import Tensor

from samecar.config.loss import CentreSettings
from samecar.losses.base import Loss, Part, read_feature


class Centre(Loss):
    """Centre loss (Wen et al., A discriminative feature learning approach for deep face recognition, ECCV 2016).

    Half the mean over the batch of the squared distance between a feature and its vehicle's centre. Centres begin at 0
    and are not learned by gradient: after each batch in training a centre c moves by α Σ (x - c) / (1 + n) over the n
    features x of its vehicle (equation 4).
    """

    name = "centre"
    settings: CentreSettings
    centres: Tensor

    def __init__(self, settings: CentreSettings, width: int, vehicles: int) -> None:
        super().__init__(settings, width, vehicles)
        self.register_buffer("centres", torch.zeros(vehicles, width))

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:  # noqa: ARG002
        """The loss of a batch, a scalar; in training it moves the centres."""
        labels = labels.long()
        with torch.autocast(self.centres.device.type, enabled=False):
            differences = read_feature(part, self.settings.feature) - self.centres[labels]  # (batch, width)
            if self.training:
                self._move_centres(differences.detach(), labels)
            return differences.square().sum(dim=1).mean() / 2

    def _move_centres(self, differences: Tensor, labels: Tensor) -> None:
        counts = torch.bincount(labels, minlength=self.vehicles)  # (vehicles,)
        sums = torch.zeros_like(self.centres).index_add_(0, labels, differences.to(self.centres.dtype))
        self.centres += self.settings.update * sums / (1 + counts[:, None])
