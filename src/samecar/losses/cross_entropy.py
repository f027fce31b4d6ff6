"""Cross-entropy over the train vehicles."""

import torch
from torch import Tensor
from torch.nn import functional

from samecar.errors import SamecarError
from samecar.losses.base import Loss, Part, at_least_float32


class CrossEntropy(Loss):
    """The cross-entropy of a part's classifier; options: [CrossEntropySettings][samecar.config.loss]."""

    name = "cross_entropy"
    reads_stripes = True

    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:  # noqa: ARG002
        """The loss of a batch, a scalar."""
        if part.logits is None:
            raise SamecarError(
                "loss.cross_entropy is above 0 but the embedder has no classifier; build it with vehicles above 0 "
                "or set loss.cross_entropy to 0"
            )
        return cross_entropy(part.logits, labels, self.settings.label_smoothing)

    def scores(self, part: Part) -> Tensor | None:
        """The classifier's."""
        return part.logits


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
        return functional.cross_entropy(at_least_float32(logits), labels.long(), label_smoothing=label_smoothing)
