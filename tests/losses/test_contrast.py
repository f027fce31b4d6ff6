"""Both contrasts of prompts against loops over the equations of CLIP-ReID, in value and gradient."""

import math

import pytest
import torch

from samecar.losses.contrast import picture_to_text_contrast, text_to_picture_contrast

LABELS = {
    "some vehicles twice": [0, 1, 0, 2, 1, 0],
    "each vehicle once": [3, 1, 0, 2],
    "one vehicle": [5, 5, 5],
    "one picture": [7],
}


def batch_of(labels, scale=1.0):
    """Random features of pictures, and of texts: one for each vehicle, repeated for each of its pictures."""
    generator = torch.Generator().manual_seed(len(labels))
    pictures = scale * torch.randn(len(labels), 5, generator=generator, dtype=torch.float64)
    texts = scale * torch.randn(8, 5, generator=generator, dtype=torch.float64)
    return pictures.requires_grad_(), texts.requires_grad_(), torch.tensor(labels)


def pictures_find_texts(pictures, texts, labels):
    """Equation 2, each text that of the picture's vehicle, picture by picture."""
    total = 0.0
    for i in range(len(labels)):
        among = [torch.exp(pictures[i] @ texts[labels[a]]) for a in range(len(labels))]
        total = total - torch.log(among[i] / sum(among))
    return total / len(labels)


def texts_find_pictures(pictures, texts, labels):
    """Equation 4, text by text."""
    total = 0.0
    for i in range(len(labels)):
        text = texts[labels[i]]
        among = [torch.exp(pictures[a] @ text) for a in range(len(labels))]
        own = [p for p in range(len(labels)) if labels[p] == labels[i]]
        total = total - sum(torch.log(among[p] / sum(among)) for p in own) / len(own)
    return total / len(labels)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_pictures_find_texts_as_in_the_equation(labels):
    pictures, texts, labels = batch_of(labels)
    loss, expected = picture_to_text_contrast(pictures, texts[labels]), pictures_find_texts(pictures, texts, labels)
    assert abs(loss.item() - expected.item()) < 1e-9
    for mine, theirs in zip(gradients(loss, pictures, texts), gradients(expected, pictures, texts), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_texts_find_pictures_as_in_the_equation(labels):
    pictures, texts, labels = batch_of(labels)
    loss = text_to_picture_contrast(pictures, texts[labels], labels)
    expected = texts_find_pictures(pictures, texts, labels)
    assert abs(loss.item() - expected.item()) < 1e-9
    for mine, theirs in zip(gradients(loss, pictures, texts), gradients(expected, pictures, texts), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=0)


def test_both_by_hand():
    """Two pictures of two vehicles, each with a product of 1 with its own text and 0 with the other."""
    eye, labels = torch.eye(2), torch.tensor([0, 1])
    expected = -math.log(math.e / (math.e + 1))
    assert picture_to_text_contrast(eye, eye).item() == pytest.approx(expected)
    assert text_to_picture_contrast(eye, eye, labels).item() == pytest.approx(expected)


def test_large_products_stay_finite():
    pictures, texts, labels = batch_of(LABELS["some vehicles twice"], scale=100.0)
    loss = picture_to_text_contrast(pictures, texts[labels]) + text_to_picture_contrast(pictures, texts[labels], labels)
    assert math.isfinite(loss.item())
    assert all(gradient.isfinite().all() for gradient in gradients(loss, pictures, texts))


def test_half_precision_is_calculated_in_float32():
    pictures, texts, labels = batch_of(LABELS["some vehicles twice"])
    halves = pictures.detach().bfloat16(), texts.detach().bfloat16()[labels]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = text_to_picture_contrast(*halves, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(text_to_picture_contrast(*(each.float() for each in halves), labels).item())
