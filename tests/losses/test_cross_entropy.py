"""Cross-entropy against a naive loop."""

import numpy as np
import pytest
import torch

from samecar.losses.cross_entropy import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_equals_naive_loop(smoothing: float) -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).double()
    labels = [3, 0, 6, 3, 1]
    expected = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        logarithm = np.log(sum(np.exp(score) for score in row))
        for vehicle, score in enumerate(row):
            target = smoothing / 7 + (1 - smoothing) * (vehicle == label)
            expected -= target * (score - logarithm) / 5
    assert cross_entropy(logits, torch.tensor(labels), smoothing).item() == pytest.approx(expected, abs=1e-12)
