"""timm models as stages of feature maps."""

import pytest
import timm
import torch
from timm.models.selecsls import SelecSls
from torch import nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models.backbones import Backbone, build_backbone


def backbone(name: str, height: int = 64, width: int = 64) -> Backbone:
    return build_backbone(ModelSettings(backbone=name, height=height, width=width)).eval()


@pytest.mark.parametrize(
    ("name", "stages", "channels"),
    [
        ("resnet18", [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)], 512),
        ("mobilenetv3_small_100", [(16, 56, 56), (24, 28, 28), (48, 14, 14), (576, 7, 7)], 576),
        ("tf_efficientnet_lite0", [(24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7)], 1280),
        ("convnext_atto", [(40, 56, 56), (80, 28, 28), (160, 14, 14), (320, 7, 7)], 320),
    ],
)
def test_stages_at_224(name: str, stages: list[tuple[int, int, int]], channels: int) -> None:
    model = backbone(name, 224, 224)
    assert [(stage.channels, stage.height, stage.width) for stage in model.stages] == stages
    assert [stage.reduction for stage in model.stages] == [4, 8, 16, 32]
    assert model.channels == channels


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "test_efficientnet", "test_convnext"])
def test_maps_are_those_of_timm(name: str) -> None:
    torch.manual_seed(0)
    model = backbone(name)
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected_last, expected = whole.forward_intermediates(pictures)
        (last,) = model(pictures)
        torch.testing.assert_close(last, expected_last)
        model.tap(model.stages[:-1])
        maps = model(pictures)
    assert len(maps) == len(model.stages)
    for ours, theirs in zip(maps, [*expected[-4:-1], expected_last], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "test_convnext", "test_efficientnet", "test_resnet"])
def test_every_parameter_has_a_gradient(name: str) -> None:
    model = backbone(name)
    model(torch.rand(2, 3, 64, 64))[0].sum().backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


def test_removed_keys_are_those_behind_the_last_map() -> None:
    assert backbone("mobilenetv3_small_100").removed == {
        "conv_head.weight",
        "conv_head.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_token_model_pools_in_its_own_way_at_any_size() -> None:
    model = backbone("test_vit", 96, 64)
    assert model.stages == ()
    (features,) = model(torch.rand(2, 3, 96, 64))
    assert features.shape == (2, model.channels) == (2, 64)


def test_mean_and_deviation_are_those_of_the_pretraining() -> None:
    assert backbone("tf_efficientnet_lite0").mean == (0.5, 0.5, 0.5)
    assert backbone("resnet18").deviation == (0.229, 0.224, 0.225)


def test_attention_feeds_the_next_stage() -> None:
    class Scale(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.rand(channels))

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return maps * self.weights[:, None, None]

    model = backbone("resnet18")
    model.attend(Scale)
    model.tap(model.stages[:-1])
    pictures = torch.rand(2, 3, 64, 64)
    network = model.model
    with torch.no_grad():
        maps = network.maxpool(network.act1(network.bn1(network.conv1(pictures))))
        expected = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            for block in stage.stage:
                maps = block(maps)
            maps = maps * stage.attention.weights[:, None, None]
            expected.append(maps)
        for ours, naive in zip(model(pictures), expected, strict=True):
            torch.testing.assert_close(ours, naive)


@pytest.mark.skipif(not hasattr(SelecSls, "forward_intermediates"), reason="timm before 1.0.31 gives no maps of it")
def test_attention_where_stages_are_no_modules_is_refused() -> None:
    model = backbone("selecsls42")
    with pytest.raises(SamecarError, match=r"SelecSls.*another backbone"):
        model.attend(nn.Identity)


def test_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(SamecarError, match="'resnet81' is not a timm model; did you mean resnet18"):
        backbone("resnet81")
    with pytest.raises(SamecarError, match="lists the known ones"):
        backbone("###")


def test_unknown_tag_is_answered_with_the_known_ones() -> None:
    assert backbone("resnet18.tv_in1k").channels == 512
    with pytest.raises(SamecarError, match=r"'resnet18.of_mine' is not among .* resnet18\.tv_in1k"):
        backbone("resnet18.of_mine")


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(SamecarError, match=r"cannot take pictures of model\.height 16 and model\.width 16"):
        backbone("densenet121", 16, 16)


def test_colours_are_normalised_as_asked_for():
    settings = ModelSettings(backbone="test_resnet", weights="none", colour_mean=(0.5, 0.5, 0.4))
    backbone = build_backbone(settings)
    assert (backbone.mean, backbone.deviation) == (
        (0.5, 0.5, 0.4),
        build_backbone(ModelSettings(backbone="test_resnet", weights="none")).deviation,
    )
