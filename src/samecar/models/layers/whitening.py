"""A last linear layer that is not trained but computed: it shrinks what differs between pictures of one vehicle."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from samecar.errors import SamecarError


class Whitening(nn.Module):
    """Takes away a mean and multiplies by a matrix; until `learn` was called it changes nothing.

    Args:
        width: of the features.
        shrinkage: as in `learn_whitening`.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, width: int, shrinkage: float) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.eye(width))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width) to (batch, width)."""
        with torch.autocast(features.device.type, enabled=False):
            return nn.functional.linear(features.to(self.mean.dtype) - self.mean, self.matrix)

    def forget(self) -> None:
        """Changes nothing again."""
        self.mean.zero_()
        self.matrix.copy_(torch.eye(len(self.matrix)))

    def learn(self, features: NDArray[np.floating], vehicles: NDArray[np.str_]) -> None:
        """Takes mean and matrix from pictures of known vehicles.

        Args:
            features: (pictures, width), as they are before this layer.
            vehicles: (pictures,).

        Raises:
            SamecarError: as in `learn_whitening`.
        """
        mean, matrix = learn_whitening(features, vehicles, self.shrinkage)
        self.mean.copy_(torch.from_numpy(mean))
        self.matrix.copy_(torch.from_numpy(matrix))


def refuse_single_pictures(vehicles: NDArray[np.str_]) -> None:
    """Checks that a whitening can be learned of some pictures, (pictures,).

    Raises:
        SamecarError: no vehicle has two.
    """
    if len(np.unique(vehicles)) == len(vehicles):
        raise SamecarError(
            "model.whitening is 'learned' but no train vehicle has two pictures to compare; set model.whitening to "
            "'none', or add pictures"
        )


def learn_whitening(
    features: NDArray[np.floating], vehicles: NDArray[np.str_], shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Computes the layer after which pictures of one vehicle differ evenly in all directions.

    Features are centred and scaled to a deviation of one in each number. Let S be the covariance of what is left after
    each vehicle's own mean is taken away, over all vehicles alike. S + shrinkage · (mean of S's diagonal) · I is
    inverted, and a root of the inverse is the matrix. Directions in which one vehicle looks different from picture to
    picture, as cameras differ in light and sharpness, thus count for less in distances. This is the whitening of
    Radenović et al., arXiv 1711.02512, section 3.4, without its turning, which changes no distance; in speech
    recognition it is within-class covariance normalisation (Hatch et al., Interspeech 2006).

    Args:
        features: (pictures, width).
        vehicles: (pictures,); who is on a single picture says nothing of S.
        shrinkage: how much of an even covariance is added; the fewer pictures there are, the more it should be.

    Returns:
        The mean, (width,), and the matrix, (width, width), for `matrix @ (feature - mean)`.

    Raises:
        SamecarError: no vehicle has two pictures.
    """
    features = features.astype(np.float64)
    _, numbers, counts = np.unique(vehicles, return_inverse=True, return_counts=True)
    refuse_single_pictures(vehicles)
    freedom = len(features) - len(counts)
    mean: NDArray[np.float64] = np.asarray(features.mean(axis=0), np.float64)
    deviation = features.std(axis=0)
    deviation[deviation == 0] = 1
    scaled = (features - mean) / deviation  # (pictures, width)
    sums = np.zeros((len(counts), scaled.shape[1]))
    np.add.at(sums, numbers, scaled)
    left = scaled - (sums / counts[:, None])[numbers]
    within = left.T @ left / freedom  # (width, width)
    within += (shrinkage * np.trace(within) / len(within) + np.finfo(np.float32).tiny) * np.eye(len(within))
    root = np.linalg.inv(np.linalg.cholesky(within))  # root.T @ root is the inverse
    return mean, root / deviation
