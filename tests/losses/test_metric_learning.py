"""Losses of metric learning against naive loops from their papers, in value and gradient, and at their edges."""

import math
from collections.abc import Callable

import pytest
import torch
from loss_batches import Part, batch, part
from torch import Tensor

from samecar.config import LossSettings
from samecar.losses import LOSSES, Loss

VEHICLES = 4
WIDTH = 6
PAPERS = {
    "circle": {"scale": 8.0, "margin": 0.25},
    "circle_softmax": {"scale": 8.0, "margin": 0.35},
    "arcface": {"scale": 8.0, "margin": 0.5},
    "cosface": {"scale": 8.0, "margin": 0.35},
    "sphereface": {"margin": 4},
    "supervised_contrastive": {"temperature": 0.3},
}
"""Options with which losses and gradients are neither tiny nor huge."""


def build(name: str, **options: object) -> Loss:
    settings = LossSettings.model_validate({name: {"weight": 1, **PAPERS[name], **options}})
    torch.manual_seed(3)
    return LOSSES[name](settings.groups()[name], WIDTH, VEHICLES).double()


def class_vectors(loss: Loss) -> Tensor:
    """(vehicles, width)."""
    (vectors,) = loss.parameters()
    return vectors if loss.name == "circle_softmax" else vectors.T


def cosine(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum() / ((first * first).sum().sqrt() * (second * second).sum().sqrt())


def naive_circle(loss: Loss, features: Tensor, labels: list[int]) -> Tensor:
    scale, margin, losses = loss.settings.scale, loss.settings.margin, []
    for anchor, label in enumerate(labels):
        positives, negatives = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for other, theirs in enumerate(labels):
            similarity = cosine(features[anchor], features[other]) if other != anchor else None
            if similarity is None:
                continue
            if theirs == label:
                factor = max(0.0, 1 + margin - similarity.item())
                positives = positives + torch.exp(-scale * factor * (similarity - (1 - margin)))
            else:
                factor = max(0.0, similarity.item() + margin)
                negatives = negatives + torch.exp(scale * factor * (similarity - margin))
        losses.append(torch.log(1 + positives * negatives))
    return sum(losses) / len(labels)


def naive_supervised_contrastive(loss: Loss, features: Tensor, labels: list[int]) -> Tensor:
    losses = []
    for anchor, label in enumerate(labels):
        others = [other for other in range(len(labels)) if other != anchor]
        positives = [other for other in others if labels[other] == label]
        powers = {
            other: torch.exp(cosine(features[anchor], features[other]) / loss.settings.temperature) for other in others
        }
        losses += [-torch.log(powers[other] / sum(powers.values())) / len(positives) for other in positives]
    return sum(losses) / len(labels)


def naive_softmax(
    loss: Loss, features: Tensor, labels: list[int], change: Callable[[Tensor, bool, Tensor], Tensor]
) -> Tensor:
    """Cross-entropy over changed cosines, given with whether the class is the right one and the feature's length."""
    vectors, losses = class_vectors(loss), []
    for feature, label in zip(features, labels, strict=True):
        length = (feature * feature).sum().sqrt()
        scores = [change(cosine(feature, vector), place == label, length) for place, vector in enumerate(vectors)]
        losses.append(torch.log(sum(torch.exp(score) for score in scores)) - scores[label])
    return sum(losses) / len(labels)


def naive_arcface(loss: Loss, features: Tensor, labels: list[int]) -> Tensor:
    scale, margin = loss.settings.scale, loss.settings.margin

    def change(value: Tensor, right: bool, length: Tensor) -> Tensor:
        if not right:
            return scale * value
        angle = torch.acos(value)
        return scale * (torch.cos(angle + margin) if angle + margin <= math.pi else value - margin * math.sin(margin))

    return naive_softmax(loss, features, labels, change)


def naive_cosface(loss: Loss, features: Tensor, labels: list[int]) -> Tensor:
    scale, margin = loss.settings.scale, loss.settings.margin
    return naive_softmax(loss, features, labels, lambda value, right, length: scale * (value - margin * right))


def naive_sphereface(loss: Loss, features: Tensor, labels: list[int]) -> Tensor:
    margin = loss.settings.margin

    def change(value: Tensor, right: bool, length: Tensor) -> Tensor:
        if not right:
            return length * value
        angle = torch.acos(value)
        k = int(angle.item() // (math.pi / margin))
        return length * ((-1) ** k * torch.cos(margin * angle) - 2 * k)

    return naive_softmax(loss, features, labels, change)


def naive_circle_softmax(loss: Loss, features: Tensor, labels: list[int]) -> Tensor:
    scale, margin = loss.settings.scale, loss.settings.margin

    def change(value: Tensor, right: bool, length: Tensor) -> Tensor:
        if right:
            return scale * max(0.0, 1 + margin - value.item()) * (value - (1 - margin))
        return scale * max(0.0, value.item() + margin) * (value - margin)

    return naive_softmax(loss, features, labels, change)


NAIVE = {
    "circle": naive_circle,
    "circle_softmax": naive_circle_softmax,
    "arcface": naive_arcface,
    "cosface": naive_cosface,
    "sphereface": naive_sphereface,
    "supervised_contrastive": naive_supervised_contrastive,
}
BATCHES = {
    "pairs": [0, 1, 0, 1],
    "a vehicle with one picture": [2, 0, 3, 0, 2, 1],
    "three of each": [0, 0, 0, 1, 1, 1],
}


def gradients(value: Tensor, features: Tensor, loss: Loss) -> list[Tensor]:
    return list(torch.autograd.grad(value, [features, *loss.parameters()]))


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("name", NAIVE)
def test_loss_and_gradient_equal_the_papers(name: str, labels: list[int]) -> None:
    loss = build(name)
    features = batch(len(labels), 1, WIDTH, seed=len(labels))[0].double().requires_grad_()
    value, expected = loss(part(features), torch.tensor(labels), None), NAIVE[name](loss, features, labels)
    assert value.item() == pytest.approx(expected.item(), abs=1e-9)
    for found, wanted in zip(gradients(value, features, loss), gradients(expected, features, loss), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("margin", [2.5, 3.0])
def test_arcface_beyond_pi(margin: float) -> None:
    loss, features, labels = build("arcface", margin=margin), batch(6, 1, WIDTH, seed=1)[0].double(), [0, 1, 2, 3, 0, 1]
    beyond = [
        torch.acos(cosine(feature, class_vectors(loss)[label])) + margin > math.pi
        for feature, label in zip(features, labels, strict=True)
    ]
    assert any(beyond)
    expected = naive_arcface(loss, features, labels)
    assert loss(part(features), torch.tensor(labels), None).item() == pytest.approx(expected.item(), abs=1e-9)


@pytest.mark.parametrize("margin", [1, 2, 3, 5])
def test_sphereface_with_other_margins(margin: int) -> None:
    loss, features, labels = (
        build("sphereface", margin=margin),
        batch(6, 1, WIDTH, seed=2)[0].double(),
        [0, 1, 2, 3, 0, 1],
    )
    expected = naive_sphereface(loss, features, labels)
    assert loss(part(features), torch.tensor(labels), None).item() == pytest.approx(expected.item(), abs=1e-9)


def test_circle_softmax_smooths_its_target() -> None:
    loss, features, labels = (
        build("circle_softmax", label_smoothing=0.2),
        batch(4, 1, WIDTH, seed=3)[0].double(),
        [0, 1, 2, 3],
    )
    # a target of .8 on the right vehicle and .2 spread over all is .8 of the plain loss and .2 of the mean over targets
    plain = build("circle_softmax")
    similarities = plain.scores(part(features))
    right = torch.eye(4, dtype=torch.bool)
    logits = 8 * torch.where(
        right,
        (1.35 - similarities).relu() * (similarities - 0.65),
        (similarities + 0.35).relu() * (similarities - 0.35),
    )
    expected = -(0.8 * logits.log_softmax(1).diagonal() + 0.2 * logits.log_softmax(1).mean(dim=1)).mean()
    assert loss(part(features), torch.tensor(labels), None).item() == pytest.approx(expected.item(), abs=1e-9)


EDGES = {
    "one vehicle": (torch.rand(4, WIDTH), [1, 1, 1, 1]),
    "each vehicle once": (torch.rand(4, WIDTH), [0, 1, 2, 3]),
    "zero features": (torch.zeros(4, WIDTH), [0, 0, 1, 1]),
    "one zero feature": (torch.cat([torch.zeros(1, WIDTH), torch.rand(3, WIDTH)]), [0, 0, 1, 1]),
    "equal features": (torch.ones(4, WIDTH), [0, 0, 1, 1]),
    "far from the origin": (torch.full((4, WIDTH), 1e6) + torch.rand(4, WIDTH), [0, 0, 1, 1]),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", NAIVE)
def test_loss_and_gradient_are_finite_at_the_edges(name: str, edge: str) -> None:
    features, labels = EDGES[edge]
    loss = build(name).float()
    given = features.clone().requires_grad_()
    value = loss(part(given), torch.tensor(labels), None)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(given.grad).all()
    assert given.grad.abs().max() < 1e4
    assert all(torch.isfinite(parameter.grad).all() for parameter in loss.parameters())


@pytest.mark.parametrize(("angle", "right"), [(0.0, math.cos(0.5)), (math.pi, -1 - 0.5 * math.sin(0.5))])
def test_arcface_has_a_gradient_at_its_class_vector_and_opposite_to_it(angle: float, right: float) -> None:
    loss = build("arcface").float()
    given = (math.cos(angle) * class_vectors(loss).detach()).clone().requires_grad_()
    value = loss(part(given), torch.arange(VEHICLES), None)
    value.backward()
    assert torch.isfinite(given.grad).all()
    expected = 0.0
    for place, feature in enumerate(given):
        scores = [8 * cosine(feature, vector).item() for vector in class_vectors(loss)]
        scores[place] = 8 * right
        expected += (math.log(sum(map(math.exp, scores))) - scores[place]) / VEHICLES
    assert value.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["circle", "supervised_contrastive"])
def test_a_batch_without_anything_to_compare_has_no_loss(name: str) -> None:
    for labels in ([1, 1, 1, 1], [0, 1, 2, 3]):
        assert build(name)(part(torch.rand(4, WIDTH).double()), torch.tensor(labels), None) == 0


@pytest.mark.parametrize("name", NAIVE)
def test_losses_are_computed_in_float32_under_autocast(name: str) -> None:
    loss, (features, labels) = build(name).float(), batch(VEHICLES, 2, WIDTH, seed=1)
    rounded = features.bfloat16()
    plain = loss(part(rounded.float()), labels, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss(part(rounded), labels, None)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


@pytest.mark.parametrize(
    ("name", "read"),
    [(name, "after" if name in ("arcface", "cosface", "sphereface", "circle_softmax") else "before") for name in NAIVE],
)
def test_which_feature_is_read(name: str, read: str) -> None:
    (before, labels), (after, _) = batch(VEHICLES, 2, WIDTH, seed=1), batch(VEHICLES, 2, WIDTH, seed=2)
    both = Part(before.double(), after.double())
    for feature in ("before", "after"):
        loss = build(name, feature=feature)
        assert loss(both, labels, None) == loss(part(getattr(both, feature)), labels, None)
    assert build(name)(both, labels, None) == build(name)(part(getattr(both, read)), labels, None)
