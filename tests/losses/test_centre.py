"""The centre loss against a naive loop from its paper."""

import pytest
import torch
from loss_batches import batch, part
from torch import Tensor

from samecar.config import LossSettings
from samecar.losses.centre import Centre


def build(**options: object) -> Centre:
    settings = LossSettings.model_validate({"centre": {"weight": 1, **options}})
    return Centre(settings.centre, width=5, vehicles=4).double()


def naive_step(centres: list[list[float]], features: Tensor, labels: list[int], update: float) -> float:
    """The loss of a batch; moves the centres."""
    rows = features.tolist()
    loss = sum(
        (value - centre) ** 2
        for row, label in zip(rows, labels, strict=True)
        for value, centre in zip(row, centres[label], strict=True)
    )
    for vehicle in set(labels):
        own = [row for row, label in zip(rows, labels, strict=True) if label == vehicle]
        for place, centre in enumerate(list(centres[vehicle])):
            moved = sum(centre - row[place] for row in own) / (1 + len(own))
            centres[vehicle][place] = centre - update * moved
    return loss / 2 / len(labels)


@pytest.mark.parametrize("update", [0.5, 1.0])
def test_losses_and_centres_of_several_steps_equal_the_papers(update: float) -> None:
    loss, centres = build(update=update), [[0.0] * 5 for _ in range(4)]
    for seed in range(3):
        features, labels = batch(3, 2, 5, seed=seed)
        features = features.double().requires_grad_()
        before = loss.centres[labels].clone()
        value = loss(part(features), labels, None)
        assert value.item() == pytest.approx(naive_step(centres, features.detach(), labels.tolist(), update), abs=1e-12)
        value.backward()
        torch.testing.assert_close(features.grad, (features.detach() - before) / len(labels))
        torch.testing.assert_close(loss.centres, torch.tensor(centres, dtype=torch.float64), atol=1e-12, rtol=0)
    assert loss.centres[3].abs().sum() == 0  # no picture of it was seen


def test_centres_stay_outside_of_training_and_have_no_gradient() -> None:
    loss = build().eval()
    features, labels = batch(2, 2, 5, seed=1)
    loss(part(features.double()), labels, None)
    assert loss.centres.abs().sum() == 0
    assert list(loss.parameters()) == []
    assert list(loss.state_dict()) == ["centres"]


def test_centre_loss_is_computed_in_float32_under_autocast() -> None:
    loss, (features, labels) = build().float(), batch(4, 2, 5, seed=1)
    rounded = features.bfloat16()
    plain = loss(part(rounded.float()), labels, None)
    loss.centres.zero_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss(part(rounded), labels, None)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)
