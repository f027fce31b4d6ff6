"""The gated sum and the pyramid: numbers by hand, a naive restatement, and what they go together with."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import Embedder, build_embedder
from samecar.models.layers.fusions import GatedSum, Pyramid


def compose(**options: object) -> Embedder:
    settings = {"backbone": "test_resnet", "weights": "none", "height": 64, "width": 64} | options
    return build_embedder(ModelSettings.model_validate(settings), 3)


def stage_maps(*shapes: tuple[int, int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, *shape, generator=generator) for shape in shapes]


MAPS = stage_maps((8, 16, 8), (12, 8, 4), (16, 4, 2), (32, 2, 1))
"""Of stages 8, 4 and 2 times as high and wide as the last."""


def test_gated_sum_begins_as_the_last_map() -> None:
    assert torch.equal(GatedSum([(8, 8), (12, 4), (16, 2)], 32)(MAPS), MAPS[-1])


def test_gated_sum_by_hand() -> None:
    fusion = GatedSum([(8, 8), (12, 4), (16, 2)], 32).eval()
    # 8 → 16 → 32 → 32, 12 → 24 → 32 and 16 → 32 by 3 × 3; scales and shifts of as many; gates 32 → 2 → 32 with biases
    convolutions = 9 * (8 * 16 + 16 * 32 + 32 * 32 + 12 * 24 + 24 * 32 + 16 * 32)
    norms = 2 * (16 + 32 + 32 + 24 + 32 + 32)
    gates = 3 * (32 * 2 + 2 + 2 * 32 + 32)
    assert sum(parameter.numel() for parameter in fusion.parameters()) == convolutions + norms + gates
    for chain in fusion.chains:
        torch.nn.init.uniform_(chain[-1].weight)
    expected = MAPS[-1].clone()
    with torch.no_grad():
        for stage, chain, gate in zip(MAPS, fusion.chains, fusion.gates, strict=False):
            maps = stage
            for index, layer in enumerate(chain):
                if isinstance(layer, torch.nn.Conv2d):
                    maps = functional.conv2d(maps, layer.weight, stride=2, padding=1)
                    norm = chain[index + 1]
                    scale = norm.weight / (1 + 1e-5) ** 0.5  # running means are 0 and variances 1 at the beginning
                    maps = maps * scale[:, None, None] + norm.bias[:, None, None]
                    maps = functional.relu(maps) if index + 2 < len(chain) else maps
            for picture in range(2):
                average = maps[picture].flatten(1).mean(1)
                hidden = functional.relu(gate[0].weight @ average + gate[0].bias)
                for channel in range(32):
                    weight = 1 / (1 + torch.exp(-(gate[2].weight[channel] @ hidden + gate[2].bias[channel])))
                    expected[picture, channel] += weight * maps[picture, channel]
        torch.testing.assert_close(fusion(MAPS), expected)


def test_pyramid_by_hand() -> None:
    fusion = Pyramid([(12, 4), (16, 2)], 32).eval()
    lateral, smoothing = 32 * (12 + 16 + 32), 3 * 9 * 32 * 32
    assert sum(parameter.numel() for parameter in fusion.parameters()) == lateral + smoothing + 6 * 2 * 32
    assert fusion.channels == 32 + 3 * 32
    scale = (1 + 1e-5) ** -0.5
    with torch.no_grad():
        flat = [
            torch.einsum("bchw,oc->bohw", stage, part[0].weight[:, :, 0, 0]) * scale
            for stage, part in zip(MAPS[1:], fusion.laterals, strict=True)
        ]
        for index in (1, 0):
            for row in range(flat[index].shape[2]):
                for column in range(flat[index].shape[3]):
                    flat[index][:, :, row, column] += flat[index + 1][:, :, row // 2, column // 2]
        smooth = [
            functional.conv2d(functional.pad(level, (1, 1, 1, 1)), part[0].weight) * scale
            for level, part in zip(flat, fusion.smoothings, strict=True)
        ]
        expected = torch.zeros(2, 128, 2, 1)
        expected[:, :32] = MAPS[-1]
        for row in range(2):
            expected[:, 32:64, row, 0] = smooth[0][:, :, 4 * row : 4 * row + 4, :4].flatten(2).amax(2)
            expected[:, 64:96, row, 0] = smooth[1][:, :, 2 * row : 2 * row + 2, :2].flatten(2).amax(2)
        expected[:, 96:] = smooth[2]
        torch.testing.assert_close(fusion(MAPS[1:]), expected, atol=1e-5, rtol=1e-4)


def test_levels_have_no_more_than_256_channels() -> None:
    assert Pyramid([(16, 2)], 300).channels == 300 + 2 * 256


@pytest.mark.parametrize(
    ("fusion", "options"),
    [
        ("gated-sum", {}),
        ("gated-sum", {"attention": "cbam", "last_stride": 1, "pooling": "gem", "instance_norm": "ibn-a"}),
        ("pyramid", {"attention": "se", "last_stride": 1, "head": "fc", "embedding_size": 8}),
        ("pyramid", {"height": 75, "width": 100, "initialisation": "torch"}),
    ],
)
def test_training_reaches_every_parameter(fusion: str, options: dict[str, object]) -> None:
    model = compose(fusion=fusion, **options)
    width = {"gated-sum": 96, "pyramid": 96 * 4}[fusion]
    assert model.embedding_size == options.get("embedding_size", width)
    settings = model.settings
    model.outputs(torch.rand(2, 3, settings.height, settings.width)).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("fusion", ["gated-sum", "pyramid"])
def test_token_models_have_no_stages_to_join(fusion: str) -> None:
    with pytest.raises(SamecarError, match=f"model.fusion '{fusion}' needs the feature maps"):
        compose(backbone="test_vit", fusion=fusion)
