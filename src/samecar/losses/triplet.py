"""Batch-hard triplet losses, with a hard margin and with a soft one."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from samecar.config.loss import BatchDistance, BatchHardSettings, Mining
from samecar.errors import SamecarError
from samecar.losses.base import Loss, Part, at_least_float32, read_feature, unit_length


class Triplet(Loss):
    """The batch-hard triplet loss with a hard margin; options: [TripletSettings][samecar.config.loss]."""

    name = "triplet"
    needs_two_vehicles = True

    def refuse_lacking(self, labels: Tensor) -> None:
        """Checks that a batch has negatives."""
        refuse_one_vehicle(labels)

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:
        """The loss of a batch, a scalar."""
        settings = self.settings
        features = read_feature(part, settings.feature)
        return batch_hard_triplet(
            features, labels, settings.margin, distance=settings.distance, cameras=_mined(settings, cameras, "triplet")
        )


class SoftMarginTriplet(Loss):
    """The batch-hard triplet loss with a soft margin; options: [BatchHardSettings][samecar.config.loss]."""

    name = "soft_margin_triplet"
    needs_two_vehicles = True

    def refuse_lacking(self, labels: Tensor) -> None:
        """Checks that a batch has negatives."""
        refuse_one_vehicle(labels)

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:
        """The loss of a batch, a scalar."""
        settings = self.settings
        features = read_feature(part, settings.feature)
        return soft_margin_triplet(
            features, labels, distance=settings.distance, cameras=_mined(settings, cameras, self.name)
        )


def batch_hard_triplet(
    features: Tensor,
    labels: Tensor,
    margin: float,
    *,
    distance: BatchDistance = "euclidean",
    cameras: Tensor | None = None,
) -> Tensor:
    """Batch-hard triplet loss of Hermans et al. (arXiv 1703.07737, equation 5) with a hard margin.

    Each picture is an anchor once: mean over the batch of max(0, d_positive - d_negative + margin), where d_positive is
    the distance to the farthest picture of the same vehicle and d_negative that to the nearest of another vehicle. A
    picture that is alone of its vehicle is its own positive: d_positive is 0. Of equally hard pictures one receives the
    gradient; at Euclidean distance 0 the gradient is 0.

    Args:
        features: (batch, embedding); computed in float32, also under autocast, or in float64 if they are.
        labels: which vehicle each picture shows, (batch,).
        margin: in units of the distance.
        distance: 'euclidean' on the features as they are, or 'cosine', 1 - cosine similarity.
        cameras: number of each picture's camera, (batch,), -1 where it is not known. If given, the farthest picture is
            sought among those by another camera and the nearest among those by the same one, where there are any.

    Returns:
        A scalar.

    Raises:
        SamecarError: the shapes do not belong together, or the batch shows fewer than two vehicles.
    """
    hardest = find_hardest(features, labels, distance=distance, cameras=cameras)
    with torch.autocast(features.device.type, enabled=False):
        return functional.relu(hardest.farthest_positive - hardest.nearest_negative + margin).mean()


def soft_margin_triplet(
    features: Tensor, labels: Tensor, *, distance: BatchDistance = "euclidean", cameras: Tensor | None = None
) -> Tensor:
    """As `batch_hard_triplet`, but the mean of log(1 + exp(d_positive - d_negative)) (arXiv 1703.07737, section 2)."""
    hardest = find_hardest(features, labels, distance=distance, cameras=cameras)
    with torch.autocast(features.device.type, enabled=False):
        difference = hardest.farthest_positive - hardest.nearest_negative
        return torch.logaddexp(difference, torch.zeros_like(difference)).mean()


class Hardest(NamedTuple):
    """Distances of each picture of a batch, (batch,): to its farthest positive and to its nearest negative."""

    farthest_positive: Tensor
    nearest_negative: Tensor


def find_hardest(
    features: Tensor, labels: Tensor, *, distance: BatchDistance = "euclidean", cameras: Tensor | None = None
) -> Hardest:
    """Distances to the hardest pictures of the batch, for each picture of it; see `batch_hard_triplet`."""
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise SamecarError(
            f"the triplet loss takes features (batch, embedding) and labels (batch,), not {tuple(features.shape)} "
            f"and {tuple(labels.shape)}"
        )
    if labels.device.type == "cpu":  # looking at labels on a GPU waits for it; whoever trains there has looked before
        refuse_one_vehicle(labels)
    same = labels[:, None] == labels[None, :]  # (batch, batch)
    positives, negatives = same, ~same
    if cameras is not None:
        known = (cameras[:, None] >= 0) & (cameras[None, :] >= 0)  # (batch, batch)
        same_camera = cameras[:, None] == cameras[None, :]
        positives = _narrow(positives, known & ~same_camera)
        negatives = _narrow(negatives, known & same_camera)
    with torch.autocast(features.device.type, enabled=False):
        distances = _DISTANCES[distance](at_least_float32(features))  # (batch, batch)
        return Hardest(
            distances.masked_fill(~positives, -torch.inf).max(dim=1).values,
            distances.masked_fill(~negatives, torch.inf).min(dim=1).values,
        )


def refuse_one_vehicle(labels: Tensor) -> None:
    """Checks that a batch has negatives.

    Raises:
        SamecarError: it shows fewer than two vehicles.
    """
    if len(set(labels.tolist())) < 2:
        raise SamecarError(
            "a batch shows fewer than two vehicles, so the triplet loss has no negative; let batch.size be at least "
            "twice batch.pictures_per_vehicle"
        )


def _narrow(pairs: Tensor, wanted: Tensor) -> Tensor:
    """The wanted ones of each row's pairs, (batch, batch); all of its pairs where none of them is wanted."""
    narrowed = pairs & wanted
    return torch.where(narrowed.any(dim=1, keepdim=True), narrowed, pairs)


def _mined(settings: BatchHardSettings, cameras: Tensor | None, loss: str) -> Tensor | None:
    """The cameras if mining reads them."""
    mining: Mining = settings.mining
    if mining == "hardest":
        return None
    if cameras is None:
        raise SamecarError(
            f"mining of the {loss.replace('_', ' ')} loss is by 'camera' but nobody says which cameras took the batch; "
            "give cameras to the objective, or mine the 'hardest'"
        )
    return cameras


def _euclidean(features: Tensor) -> Tensor:
    """Distances of all pairs, (batch, batch), without the cancellation of |a|² - 2ab + |b|²."""
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def _cosine(features: Tensor) -> Tensor:
    """1 - cosine similarity of all pairs, (batch, batch)."""
    units = unit_length(features)
    return 1 - units @ units.T


_DISTANCES = {"euclidean": _euclidean, "cosine": _cosine}
