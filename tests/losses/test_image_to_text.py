"""The cross-entropy between pictures and texts against a loop over its equation, in value and gradient."""

import pytest
import torch
from loss_batches import Network, Outputs, Part, Place, part

from samecar.config import LossSettings
from samecar.config.loss import ImageToTextSettings
from samecar.losses.image_to_text import ImageToText
from samecar.losses.objective import Objective

VEHICLES, WIDTH, PROJECTED = 4, 8, 3


def loss_with(texts, label_smoothing=0.1, vehicles=VEHICLES):
    loss = ImageToText(ImageToTextSettings(weight=1.0, label_smoothing=label_smoothing), WIDTH, vehicles).double()
    loss.set_texts(texts)
    return loss


def random_batch(seed, count=5):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)
    texts = torch.randn(VEHICLES, PROJECTED, generator=generator, dtype=torch.float64)
    return features, texts, torch.randint(VEHICLES, (count,), generator=generator)


def equation(features, texts, labels, smoothing):
    """Equation 8, picture by picture and vehicle by vehicle, with the smoothed target q."""
    total = 0.0
    for feature, label in zip(features, labels, strict=True):
        scores = [feature[WIDTH - PROJECTED :] @ text for text in texts]
        among = sum(torch.exp(score) for score in scores)
        for vehicle, score in enumerate(scores):
            q = smoothing / len(texts) + (1 - smoothing if vehicle == label else 0)
            total = total - q * torch.log(torch.exp(score) / among)
    return total / len(features)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_loss_is_that_of_the_equation(smoothing, seed):
    features, texts, labels = random_batch(seed)
    loss = loss_with(texts, smoothing)(part(features), labels, None)
    expected = equation(features, texts, labels, smoothing)
    assert abs(loss.item() - expected.item()) < 1e-9
    mine, theirs = (torch.autograd.grad(each, features)[0] for each in (loss, expected))
    torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=0)
    assert not mine[:, : WIDTH - PROJECTED].any()


def test_the_feature_before_the_neck_is_read():
    features, texts, labels = random_batch(1)
    before, after = features.detach(), torch.zeros_like(features)
    loss = loss_with(texts)
    torch.testing.assert_close(loss(Part(before, after), labels, None), loss(part(before), labels, None))


def test_texts_do_not_learn_and_are_kept_with_the_objective():
    _, texts, _ = random_batch(1)
    network = Network(vehicles=VEHICLES, parts=(Place(1, 0, WIDTH),))
    settings = LossSettings(image_to_text=ImageToTextSettings(weight=1.0))
    objective, again = Objective(settings, network), Objective(settings, network)
    objective.losses["image_to_text"][0].set_texts(texts)
    assert not list(objective.parameters())
    again.load_state_dict(objective.state_dict())
    kept = again.losses["image_to_text"][0].texts
    assert torch.equal(kept[:, -PROJECTED:], texts.float())
    assert not kept[:, :-PROJECTED].any()


def test_accuracy_is_that_of_the_texts():
    texts = torch.eye(VEHICLES, PROJECTED)
    features = torch.zeros(3, WIDTH)
    features[[0, 1, 2], [5, 6, 7]] = 1.0
    objective = Objective(
        LossSettings(cross_entropy=0, triplet=0, image_to_text=ImageToTextSettings(weight=1.0)),
        Network(vehicles=VEHICLES, parts=(Place(1, 0, WIDTH),)),
    )
    objective.losses["image_to_text"][0].set_texts(texts)
    assert objective.accuracy(Outputs((part(features),)), torch.tensor([0, 1, 0])).item() == pytest.approx(2 / 3)


def test_half_precision_is_calculated_in_float32():
    features, texts, labels = random_batch(1)
    loss = loss_with(texts).float()
    halves = features.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(part(halves), labels, None)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(part(halves.float()), labels, None).item())
