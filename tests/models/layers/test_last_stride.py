"""Last stride 1: sizes of maps, the same parameters, and a network written out by hand."""

import pytest
import torch
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.backbones import Backbone, build_backbone


def backbone(name: str, **options: object) -> Backbone:
    settings = {"backbone": name, "weights": "none", "height": 96, "width": 64} | options
    return build_backbone(ModelSettings.model_validate(settings)).eval()


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", pytest.param("test_convnext", marks=pytest.mark.slow)]
)
def test_last_maps_are_as_large_as_those_before(name: str) -> None:
    plain, model = backbone(name), backbone(name, last_stride=1)
    assert [stage.reduction for stage in plain.stages] == [4, 8, 16, 32]
    assert [stage.reduction for stage in model.stages] == [4, 8, 16, 16]
    model.tap(model.stages[:-1])
    with torch.no_grad():
        maps = model(torch.rand(2, 3, 96, 64))
    sizes = [tuple(each.shape[-2:]) for each in maps]
    assert sizes == [(stage.height, stage.width) for stage in model.stages] == [(24, 16), (12, 8), (6, 4), (6, 4)]
    shapes = [{key: tensor.shape for key, tensor in each.model.state_dict().items()} for each in (plain, model)]
    assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet10t", "seresnext50_32x4d", "legacy_seresnext50_32x4d", "tf_efficientnet_lite0", "densenet121"]
)
def test_other_families(name: str) -> None:
    stages = backbone(name, last_stride=1).stages
    assert (stages[-1].height, stages[-1].width) == (stages[-2].height, stages[-2].width) == (6, 4)


def test_a_residual_block_by_hand() -> None:
    block = backbone("test_resnet", last_stride=1).model.layer4[0]
    maps = torch.randn(2, block.conv1.in_channels, 6, 4)
    with torch.no_grad():
        inner = functional.conv2d(maps, block.conv1.weight, stride=1, padding=1)
        inner = functional.conv2d(functional.relu(block.bn1(inner)), block.conv2.weight, stride=1, padding=1)
        pool, point, norm = block.downsample
        shortcut = norm(functional.conv2d(maps, point.weight))  # averages of 1 × 1 are the maps themselves
        torch.testing.assert_close(block(maps), functional.relu(block.bn2(inner) + shortcut))
    assert not list(pool.parameters())


def test_an_even_kernel_reads_zeros_beyond_the_lower_right() -> None:
    _, convolution = backbone("test_convnext", last_stride=1).model.stages[3].downsample
    maps = torch.randn(2, convolution.in_channels, 6, 4)
    with torch.no_grad():
        expected = functional.conv2d(functional.pad(maps, (0, 1, 0, 1)), convolution.weight, convolution.bias)
        torch.testing.assert_close(convolution(maps), expected)


@pytest.mark.parametrize("fusion", ["concatenate", "add", "global", "global-chain"])
def test_fusions_follow(fusion: str) -> None:
    settings = ModelSettings(
        backbone="test_resnet", weights="none", height=64, width=96, last_stride=1, fusion=fusion, attention="cbam"
    )
    model = build_embedder(settings, 3)
    model.outputs(torch.rand(2, 3, 64, 96)).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_networks_without_a_last_stride_are_refused(name: str) -> None:
    with pytest.raises(SamecarError, match=rf"model.last_stride 1 .* model.backbone '{name}' is none"):
        backbone(name, last_stride=1, height=224, width=224)
