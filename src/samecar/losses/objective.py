"""Objectives: what a batch's features and logits are punished for."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from samecar.config import LossSettings
from samecar.errors import SamecarError


class Outputs(Protocol):
    """What an objective reads; [Outputs][samecar.models.Outputs] of an embedder is one."""

    @property
    def features(self) -> Tensor:
        """Embeddings, (batch, embedding)."""

    @property
    def logits(self) -> Tensor | None:
        """Scores of the train vehicles, (batch, vehicles); None without a classifier."""


class Objective(nn.Module):
    """The weighted sum of the losses whose weight is above 0.

    Raises:
        SamecarError: every weight is 0.
    """

    def __init__(self, settings: LossSettings) -> None:
        super().__init__()
        self.settings = settings
        self._weights = {
            name: weight
            for name, weight in (("cross_entropy", settings.cross_entropy), ("triplet", settings.triplet))
            if weight > 0
        }
        if not self._weights:
            raise SamecarError(
                "loss.cross_entropy and loss.triplet are both 0, so nothing would be learned; set one above 0"
            )

    def forward(self, outputs: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            outputs: features (batch, embedding) and logits (batch, vehicles).
            labels: number of each picture's vehicle from 0, (batch,), integers.

        Returns:
            The unweighted losses by name (`cross_entropy`, `triplet`) and `total`, their weighted sum; each a scalar.

        Raises:
            SamecarError: cross-entropy without logits, or a batch that the triplet loss cannot take.
        """
        losses = {name: self._loss(name, outputs, labels) for name in self._weights}
        total = torch.stack([weight * losses[name] for name, weight in self._weights.items()]).sum()
        return losses | {"total": total}

    def _loss(self, name: str, outputs: Outputs, labels: Tensor) -> Tensor:
        if name == "triplet":
            return batch_hard_triplet(outputs.features, labels, self.settings.margin)
        if outputs.logits is None:
            raise SamecarError(
                "loss.cross_entropy is above 0 but the embedder has no classifier; build it with vehicles above 0 "
                "or set loss.cross_entropy to 0"
            )
        return cross_entropy(outputs.logits, labels, self.settings.label_smoothing)


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of a batch, in float32 or wider.

    With label smoothing s the target is 1 - s + s / vehicles for the right vehicle and s / vehicles for the others
    (Szegedy et al., arXiv 1512.00567).

    Args:
        logits: (batch, vehicles).
        labels: number of each picture's vehicle from 0, (batch,), integers.
        label_smoothing: s, from 0 up to but without 1.

    Returns:
        A scalar.
    """
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(_at_least_float32(logits), labels.long(), label_smoothing=label_smoothing)


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Batch-hard triplet loss of Hermans et al. (arXiv 1703.07737, equation 5) with a hard margin.

    Each picture is an anchor once: mean over the batch of max(0, d_positive - d_negative + margin), where d_positive is
    the distance to the farthest picture of the same vehicle and d_negative that to the nearest of another vehicle;
    Euclidean on the features as they are. A picture that is alone of its vehicle is its own positive: d_positive is 0.
    Of equally hard pictures one receives the gradient; at distance 0 the gradient is 0.

    Args:
        features: (batch, embedding); computed in float32, also under autocast, or in float64 if they are.
        labels: which vehicle each picture shows, (batch,).
        margin: in units of the distance.

    Returns:
        A scalar.

    Raises:
        SamecarError: the shapes do not belong together, or the batch shows fewer than two vehicles.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise SamecarError(
            f"the triplet loss takes features (batch, embedding) and labels (batch,), not {tuple(features.shape)} "
            f"and {tuple(labels.shape)}"
        )
    same = labels[:, None] == labels[None, :]  # (batch, batch)
    if same.all():
        raise SamecarError(
            "a batch shows fewer than two vehicles, so the triplet loss has no negative; let batch.size be at least "
            "twice batch.pictures_per_vehicle"
        )
    with torch.autocast(features.device.type, enabled=False):
        distances = _euclidean(_at_least_float32(features))  # (batch, batch)
        farthest_positive = distances.masked_fill(~same, -torch.inf).max(dim=1).values  # (batch,)
        nearest_negative = distances.masked_fill(same, torch.inf).min(dim=1).values  # (batch,)
        return functional.relu(farthest_positive - nearest_negative + margin).mean()


def _euclidean(features: Tensor) -> Tensor:
    """Distances of all pairs, (batch, batch), without the cancellation of |a|² - 2ab + |b|²."""
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
