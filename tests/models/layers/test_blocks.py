"""Attention, fusion, pooling and heads against naive computations."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from samecar.models.layers.blocks import (
    ConvolutionalBlockAttention,
    Fusion,
    GeneralizedMeanPooling,
    SqueezeExcitation,
    build_classifier,
    build_head,
    chain_projection,
    point_projection,
)


def random_maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def naive_perceptron(gate: nn.Sequential, vector: np.ndarray) -> np.ndarray:
    first, second = gate[0], gate[2]
    hidden = np.maximum(first.weight.detach().numpy() @ vector + first.bias.detach().numpy(), 0)
    return second.weight.detach().numpy() @ hidden + second.bias.detach().numpy()


def test_squeeze_excitation_equals_naive_computation() -> None:
    maps = random_maps(2, 32, 3, 5)
    block = SqueezeExcitation(32, reduction=16)
    assert block.gate[0].out_features == 2
    refined = block(maps).detach().numpy()
    for picture, map_ in enumerate(maps.numpy()):
        weights = sigmoid(naive_perceptron(block.gate, map_.mean(axis=(1, 2))))
        np.testing.assert_allclose(refined[picture], map_ * weights[:, None, None], atol=1e-6)


def test_cbam_equals_naive_computation() -> None:
    maps = random_maps(2, 32, 4, 5)
    block = ConvolutionalBlockAttention(32, reduction=16)
    refined = block(maps).detach().numpy()
    kernel = block.place.weight.detach().numpy()[0]  # (2, 7, 7)
    for picture, map_ in enumerate(maps.numpy()):
        average, maximum = map_.mean(axis=(1, 2)), map_.max(axis=(1, 2))
        weights = sigmoid(naive_perceptron(block.gate, average) + naive_perceptron(block.gate, maximum))
        weighted = map_ * weights[:, None, None]
        summary = np.pad(np.stack([weighted.mean(axis=0), weighted.max(axis=0)]), ((0, 0), (3, 3), (3, 3)))
        places = np.array([[(summary[:, y : y + 7, x : x + 7] * kernel).sum() for x in range(5)] for y in range(4)])
        np.testing.assert_allclose(refined[picture], weighted * sigmoid(places), atol=1e-6)


@pytest.mark.parametrize("block", [SqueezeExcitation, ConvolutionalBlockAttention])
def test_attention_keeps_shape_with_fewer_channels_than_the_reduction(block: type[nn.Module]) -> None:
    assert block(3, 16)(torch.rand(2, 3, 4, 4)).shape == (2, 3, 4, 4)


def naive_projection(projection: nn.Sequential, maps: Tensor, stride: int) -> np.ndarray:
    convolution, normalisation = projection
    kernel = convolution.weight.detach().numpy()[:, :, 0, 0]  # (channels, inputs)
    small = np.einsum("oi,bihw->bohw", kernel, maps.numpy()[:, :, ::stride, ::stride])
    mean, variance = normalisation.running_mean.numpy(), normalisation.running_var.numpy()
    return (small - mean[:, None, None]) / np.sqrt(variance + normalisation.eps)[:, None, None]


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(("channels", "strides", "sizes"), [((4, 6), (2,), (7, 4)), ((2, 4, 6), (4, 2), (8, 4, 2))])
def test_fusion_equals_naive_computation(
    channels: tuple[int, ...], strides: tuple[int, ...], sizes: tuple[int, ...], add: bool
) -> None:
    *earlier, last = channels
    projections = [point_projection(width, last, stride) for width, stride in zip(earlier, strides, strict=True)]
    fusion = Fusion(projections, last, add=add).eval()
    for projection in fusion.projections:
        projection[1].running_mean.normal_()
        projection[1].running_var.uniform_(0.5, 2)
    maps = [random_maps(2, width, size, size, seed=size) for width, size in zip(channels, sizes, strict=True)]
    projected = [
        naive_projection(projection, map_, stride)
        for projection, map_, stride in zip(fusion.projections, maps[:-1], strides, strict=True)
    ]
    parts = [*projected, maps[-1].numpy()]
    expected = sum(parts) if add else np.concatenate(parts, axis=1)
    fused = fusion(maps)
    assert fused.shape[1] == fusion.channels
    np.testing.assert_allclose(fused.detach().numpy(), expected, atol=1e-5)


def test_a_chain_halves_the_map_and_doubles_the_channels_with_each_convolution() -> None:
    chain = chain_projection(2, 12, 8)
    assert [type(layer).__name__ for layer in chain] == ["Conv2d", "ReLU"] * 3
    assert [(layer.in_channels, layer.out_channels) for layer in chain[::2]] == [(2, 4), (4, 8), (8, 12)]
    maps = random_maps(2, 2, 16, 24)
    expected = maps.numpy().astype(np.float64)
    for layer in chain[::2]:
        kernel, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        padded = np.pad(expected, ((0, 0), (0, 0), (1, 1), (1, 1)))
        rows, columns = expected.shape[2] // 2, expected.shape[3] // 2
        expected = np.empty((2, len(kernel), rows, columns))
        for row in range(rows):
            for column in range(columns):
                patch = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                expected[:, :, row, column] = np.einsum("bihw,oihw->bo", patch, kernel) + bias
        expected = np.maximum(expected, 0)
    assert expected.shape == (2, 12, 2, 3)
    np.testing.assert_allclose(chain(maps).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_short_chain_is_one_convolution_of_one_place(stride: int) -> None:
    (convolution,) = chain_projection(3, 5, stride)
    assert (convolution.kernel_size, convolution.stride, convolution.bias) == ((1, 1), (stride, stride), None)


def test_new_layers_begin_as_torch_makes_them_or_by_kaiming() -> None:
    made = {}
    for name in ("torch", "kaiming"):
        torch.manual_seed(1)
        made[name] = build_head("fc", 400, 300, dropout=0, bias=True, initialisation=name)[0]
    torch.manual_seed(1)
    plain = nn.Linear(400, 300)
    assert torch.equal(made["torch"].weight, plain.weight)
    assert torch.equal(made["torch"].bias, plain.bias)
    assert made["kaiming"].weight.std().item() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    assert not made["kaiming"].bias.any()


def test_generalized_mean_lies_between_average_and_maximum_and_is_naive_mean() -> None:
    maps = random_maps(2, 3, 4, 5).abs()
    pooled = GeneralizedMeanPooling()(maps)
    expected = (maps.numpy().astype(np.float64) ** 3).mean(axis=(2, 3)) ** (1 / 3)
    np.testing.assert_allclose(pooled.detach().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("power", [1.0, 8.0, 40.0, 200.0])
def test_generalized_mean_and_its_gradients_hold_for_any_power(power: float) -> None:
    """Powers of such values, and of a map of zeros, leave the range of single precision, but not of double."""
    scales = torch.tensor([0, 0.5, 40])[:, None, None]
    given = {kind: (scales * random_maps(2, 3, 4, 5).abs()).to(kind) for kind in (torch.float32, torch.float64)}
    pooling = GeneralizedMeanPooling()
    pooling.power.data.fill_(power)
    maps = given[torch.float32].requires_grad_()
    pooled = pooling(maps)
    pooled.sum().backward()

    exact, exponent = given[torch.float64].requires_grad_(), torch.tensor(power, dtype=torch.float64).requires_grad_()
    logs = exponent * exact.clamp(min=1e-6).log()
    expected = ((logs.logsumexp(dim=(2, 3)) - math.log(20)) / exponent).exp()
    expected.sum().backward()
    torch.testing.assert_close(pooled, expected.float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(maps.grad, exact.grad.float(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(pooling.power.grad, exponent.grad.float(), rtol=1e-3, atol=1e-6)


def test_generalized_mean_of_zeros_and_negatives_has_finite_gradients() -> None:
    maps = torch.stack([torch.zeros(3, 2, 2), -torch.ones(3, 2, 2)]).requires_grad_()
    pooling = GeneralizedMeanPooling()
    pooling(maps).sum().backward()
    assert torch.isfinite(maps.grad).all()
    assert torch.isfinite(pooling.power.grad)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("none", []),
        ("fc", [nn.Linear]),
        ("fc-relu-dropout-bn-fc", [nn.Linear, nn.ReLU, nn.Dropout, nn.BatchNorm1d]),
        ("fc-relu-bn-fc", [nn.Linear, nn.ReLU, nn.BatchNorm1d]),
        ("fc-bn-relu-dropout-fc", [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]),
        ("fc-bn-relu-fc", [nn.Linear, nn.BatchNorm1d, nn.ReLU]),
        ("fc-bn-fc", [nn.Linear, nn.BatchNorm1d]),
    ],
)
def test_heads_are_the_layers_that_their_names_say(name: str, layers: list[type[nn.Module]]) -> None:
    head = build_head(name, 8, None if name == "none" else 4, dropout=0.25, bias=True)
    assert [type(layer) for layer in head] == layers
    assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == [0.25] * ("dropout" in name)
    assert head.eval()(torch.rand(3, 8)).shape == (3, 8 if name == "none" else 4)


def test_without_bias_no_linear_layer_has_one() -> None:
    assert build_head("fc-bn-relu-fc", 8, 4, dropout=0, bias=False)[0].bias is None
    assert build_classifier(4, 10, bias=False).bias is None


def test_new_classifier_holds_every_vehicle_equally_likely() -> None:
    classifier = build_classifier(512, 10, bias=True)
    probabilities = classifier(torch.rand(6, 512)).softmax(dim=1)
    torch.testing.assert_close(probabilities, torch.full((6, 10), 0.1), atol=0.02, rtol=0)
