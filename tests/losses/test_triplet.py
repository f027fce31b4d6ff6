"""Batch-hard triplet losses against naive loops, against another implementation, and at their edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_batches import batch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer

from samecar.errors import SamecarError
from samecar.losses.triplet import batch_hard_triplet


def naive_batch_hard_triplet(features: np.ndarray, labels: list[int], margin: float) -> float:
    total = 0.0
    for anchor, label in enumerate(labels):
        distances = [float(np.sqrt(((features[anchor] - other) ** 2).sum())) for other in features]
        positives = [d for i, d in enumerate(distances) if labels[i] == label and i != anchor] or [0.0]
        negatives = [d for i, d in enumerate(distances) if labels[i] != label]
        total += max(0.0, max(positives) - min(negatives) + margin)
    return total / len(labels)


@settings(max_examples=50)
@given(
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=12).filter(lambda labels: len(set(labels)) > 1),
    width=st.integers(1, 6),
    margin=st.floats(0, 2),
    seed=st.integers(0, 1000),
)
def test_triplet_equals_naive_loop(labels: list[int], width: int, margin: float, seed: int) -> None:
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(labels), width)))
    loss = batch_hard_triplet(features, torch.tensor(labels), margin)
    assert loss.item() == pytest.approx(naive_batch_hard_triplet(features.numpy(), labels, margin), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("vehicles", "pictures", "width"), [(2, 2, 3), (4, 4, 16), (16, 4, 64)])
def test_triplet_and_its_gradient_equal_pytorch_metric_learning(
    vehicles: int, pictures: int, width: int, seed: int
) -> None:
    features, labels = batch(vehicles, pictures, width, seed)
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    loss = batch_hard_triplet(ours, labels, 0.3)
    distance = LpDistance(normalize_embeddings=False, p=2)
    oracle = TripletMarginLoss(margin=0.3, distance=distance, reducer=MeanReducer())
    expected = oracle(theirs, labels, BatchHardMiner(distance=distance)(theirs, labels))
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=0)


def test_triplet_worked_out_by_hand() -> None:
    features = torch.tensor([[0.0], [1.0], [3.0]])
    labels = torch.tensor([7, 7, 9])
    # anchors: 0 → 1 - 3, 1 → 1 - 2, 3 (alone) → 0 - 2; with margin 2.5: 0.5, 1.5, 0.5
    assert batch_hard_triplet(features, labels, 2.5).item() == pytest.approx(2.5 / 3)


def test_triplet_gradient_is_finite_where_pictures_coincide() -> None:
    features = torch.zeros(6, 4, requires_grad=True)
    loss = batch_hard_triplet(features, torch.tensor([0, 0, 1, 1, 2, 2]), 0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert features.grad is not None
    assert features.grad.abs().max() == 0


def test_triplet_gradient_equals_finite_differences() -> None:
    features, labels = batch(3, 2, 4, seed=3)
    features = features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, labels, 5.0), features)


def test_triplet_keeps_small_distances_far_from_the_origin() -> None:
    features = torch.tensor([[1000.0, 0.0], [1000.0, 0.25], [1000.0, 1.0]])
    assert batch_hard_triplet(features, torch.tensor([0, 0, 1]), 1.0).item() == pytest.approx((0.25 + 0.5 + 0.25) / 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_triplet_is_computed_in_float32(dtype: torch.dtype) -> None:
    features = torch.tensor([[0, 300], [0, 302], [250, 0], [250, 2]], dtype=dtype)
    labels = torch.tensor([0, 0, 1, 1])
    loss = batch_hard_triplet(features, labels, 400.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(batch_hard_triplet(features.double(), labels, 400.0).item(), rel=1e-6)


def test_triplet_refuses_a_batch_of_one_vehicle() -> None:
    with pytest.raises(SamecarError, match="fewer than two vehicles"):
        batch_hard_triplet(torch.rand(4, 3), torch.ones(4), 0.3)


def test_triplet_refuses_an_empty_batch() -> None:
    with pytest.raises(SamecarError, match="fewer than two vehicles"):
        batch_hard_triplet(torch.rand(0, 3), torch.ones(0), 0.3)


def test_triplet_refuses_labels_of_another_length() -> None:
    with pytest.raises(SamecarError, match=r"\(4, 3\) and \(5,\)"):
        batch_hard_triplet(torch.rand(4, 3), torch.ones(5), 0.3)
