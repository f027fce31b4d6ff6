"""Batch-hard triplet losses against naive loops, against another implementation, and at their edges."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_batches import Part, batch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from samecar.config.loss import BatchHardSettings, TripletSettings
from samecar.errors import SamecarError
from samecar.losses.triplet import (
    SoftMarginTriplet,
    Triplet,
    batch_hard_triplet,
    find_hardest,
    refuse_one_vehicle,
    soft_margin_triplet,
)


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


def naive_hardest(
    features: Tensor, labels: list[int], cameras: list[int], distance: str
) -> list[tuple[Tensor, Tensor]]:
    """Of each anchor the distances to its farthest positive and its nearest negative, mined by camera."""
    found = []
    for anchor, label in enumerate(labels):
        positives, negatives = [], []
        for other in range(len(labels)):
            if distance == "euclidean":
                apart = ((features[anchor] - features[other]) ** 2).sum().sqrt()
            else:
                lengths = (features[anchor] ** 2).sum().sqrt() * (features[other] ** 2).sum().sqrt()
                apart = 1 - (features[anchor] * features[other]).sum() / lengths
            known = cameras[anchor] >= 0 and cameras[other] >= 0
            same = cameras[anchor] == cameras[other]
            if other == anchor:
                continue
            if labels[other] == label:
                positives.append((known and not same, apart))
            else:
                negatives.append((known and same, apart))
        positives = [apart for wanted, apart in positives if wanted] or [apart for _, apart in positives]
        negatives = [apart for wanted, apart in negatives if wanted] or [apart for _, apart in negatives]
        found.append((max(positives, default=torch.zeros(())), min(negatives)))
    return found


@settings(max_examples=30)
@given(
    pictures=st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=2, max_size=9).filter(
        lambda pictures: len({label for label, _ in pictures}) > 1
    ),
    distance=st.sampled_from(["euclidean", "cosine"]),
    seed=st.integers(0, 1000),
)
def test_mining_by_camera_equals_naive_loop(pictures: list[tuple[int, int]], distance: str, seed: int) -> None:
    labels, cameras = (list(column) for column in zip(*pictures, strict=True))
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(labels), 3))).requires_grad_()
    arguments = {"distance": distance, "cameras": torch.tensor(cameras)}
    hard = batch_hard_triplet(features, torch.tensor(labels), 0.2, **arguments)
    soft = soft_margin_triplet(features, torch.tensor(labels), **arguments)
    naive = naive_hardest(features, labels, cameras, distance)
    expected_hard = sum((far - near + 0.2).clamp(min=0) for far, near in naive) / len(labels)
    expected_soft = sum(torch.log(1 + torch.exp(far - near)) for far, near in naive) / len(labels)
    for loss, expected in ((hard, expected_hard), (soft, expected_soft)):
        assert loss.item() == pytest.approx(expected.item(), abs=1e-9)
        found, wanted = (torch.autograd.grad(value, features, retain_graph=True)[0] for value in (loss, expected))
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)


def test_mining_by_camera_worked_out_by_hand() -> None:
    features = torch.tensor([[0.0], [5.0], [1.0], [2.0], [9.0]])
    labels, cameras = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 0])
    # picture 0: its only positive by another camera is 2, its only negative by the same camera is 4: 1 - 9
    hardest = find_hardest(features, labels, cameras=cameras)
    assert hardest.farthest_positive.tolist() == [1, 4, 4, 7, 7]
    assert hardest.nearest_negative.tolist() == [9, 4, 1, 1, 4]
    plain = find_hardest(features, labels)
    assert plain.farthest_positive.tolist() == [5, 5, 4, 7, 7]
    assert plain.nearest_negative.tolist() == [2, 3, 1, 1, 4]


def test_cameras_that_nobody_knows_leave_all_as_without_them() -> None:
    features, labels = batch(3, 3, 4, seed=1)
    unknown = torch.full((9,), -1)
    assert torch.equal(
        batch_hard_triplet(features, labels, 0.3, cameras=unknown), batch_hard_triplet(features, labels, 0.3)
    )


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradients_are_finite_where_all_features_are_equal(distance: str, value: float) -> None:
    features = torch.full((6, 4), value, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    loss = batch_hard_triplet(features, labels, 0.3, distance=distance) + soft_margin_triplet(
        features, labels, distance=distance
    )
    loss.backward()
    assert loss.item() == pytest.approx(0.3 + math.log(2), abs=1e-6)
    assert torch.isfinite(features.grad).all()


def test_soft_margin_stays_finite_far_apart() -> None:
    features = torch.tensor([[0.0], [1e4], [1.0], [2e4]], requires_grad=True)
    loss = soft_margin_triplet(features, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    # 10000 - 1, 10000 - 9999, 19999 - 1 and 19999 - 10000; log(1 + e) is 1.3133
    assert loss.item() == pytest.approx((9999 + 1.3133 + 19998 + 9999) / 4)
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("name", ["triplet", "soft_margin_triplet"])
def test_options_of_the_batch_hard_losses(name: str) -> None:
    (before, labels), (after, _) = batch(3, 2, 4, seed=1), batch(3, 2, 4, seed=2)
    cameras = torch.tensor([0, 1, 0, 1, 0, 1])
    options = {"weight": 1, "feature": "after", "distance": "cosine", "mining": "camera"}
    if name == "triplet":
        loss = Triplet(TripletSettings(**options, margin=0.4), 4, 3)
        expected = batch_hard_triplet(after, labels, 0.4, distance="cosine", cameras=cameras)
    else:
        loss = SoftMarginTriplet(BatchHardSettings(**options), 4, 3)
        expected = soft_margin_triplet(after, labels, distance="cosine", cameras=cameras)
    assert loss(Part(before, after), labels, cameras) == expected
    with pytest.raises(
        SamecarError, match=rf"mining of the {name.replace('_', ' ')} loss is by 'camera' but nobody says"
    ):
        loss(Part(before, after), labels, None)


def test_labels_on_a_gpu_are_not_looked_at_within_a_step() -> None:
    """Looking waits for the GPU; what is left of a batch is looked at before."""
    labels = torch.tensor([0, 0])
    with pytest.raises(SamecarError, match="fewer than two vehicles"):
        refuse_one_vehicle(labels)
    for loss in (Triplet(TripletSettings(), 3, 2), SoftMarginTriplet(BatchHardSettings(), 3, 2)):
        with pytest.raises(SamecarError, match="fewer than two vehicles"):
            loss.refuse_lacking(labels)
        loss.refuse_lacking(torch.tensor([0, 1]))
    with FakeTensorMode():  # whose tensors have a device, but no values to look at
        features = torch.empty(4, 3, device="cuda")
        assert batch_hard_triplet(features, torch.empty(4, dtype=torch.int64, device="cuda"), 0.3).shape == ()
