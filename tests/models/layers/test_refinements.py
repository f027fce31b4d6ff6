"""Non-local blocks, MixStyle and dropped paths, each against a naive restatement of its paper."""

import math

import pytest
import torch
from pydantic import ValidationError
from timm.layers import DropPath
from torch import Tensor, nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import Embedder, build_embedder
from samecar.models.layers.refinements import MixStyle, NonLocalBlock
from samecar.training.groups import _plain_names


def compose(backbone: str = "test_resnet", **options: object) -> Embedder:
    settings = {"backbone": backbone, "weights": "none", "height": 64, "width": 64} | options
    return build_embedder(ModelSettings.model_validate(settings), 3)


def convolve(convolution: nn.Conv2d, place: Tensor) -> Tensor:
    bias = 0 if convolution.bias is None else convolution.bias
    return convolution.weight[:, :, 0, 0] @ place + bias


def test_a_non_local_block_is_a_double_loop_over_places() -> None:
    block = NonLocalBlock(6).eval().double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    maps = torch.randn(2, 6, 2, 3, dtype=torch.float64)
    expected = torch.empty_like(maps)
    places = [(row, column) for row in range(2) for column in range(3)]
    with torch.no_grad():
        for index, picture in enumerate(maps):
            for row, column in places:
                here = convolve(block.theta, picture[:, row, column])
                scores = [torch.exp(here @ convolve(block.phi, picture[:, y, x])) for y, x in places]
                read = sum(
                    score / sum(scores) * convolve(block.g, picture[:, y, x])
                    for score, (y, x) in zip(scores, places, strict=True)
                )
                change = convolve(block.back, read) / math.sqrt(1 + 1e-5) * block.norm.weight + block.norm.bias
                expected[index, :, row, column] = picture[:, row, column] + change
        torch.testing.assert_close(block(maps), expected)


def test_a_non_local_block_changes_nothing_at_its_beginning() -> None:
    block = NonLocalBlock(16)
    maps = torch.randn(2, 16, 4, 4)
    assert torch.equal(block(maps), maps)
    # θ, φ and g to 8 channels with biases, back to 16 without, and a scale and a shift
    assert sum(parameter.numel() for parameter in block.parameters()) == 3 * (16 * 8 + 8) + 8 * 16 + 2 * 16


def test_the_last_blocks_of_a_stage_have_them() -> None:
    model = compose("resnet18", non_local=[0, 1, 2, 0], attention="se")
    found = [name for name, module in model.backbone.model.named_modules() if isinstance(module, NonLocalBlock)]
    assert found == ["layer2.stage.1.attention", "layer3.stage.0.attention", "layer3.stage.1.attention"]
    assert len([module for module in model.backbone.inserted() if isinstance(module, NonLocalBlock)]) == 3


def test_parameters_keep_the_names_by_which_timm_knows_their_layers() -> None:
    plain = compose("test_resnet").backbone.model
    names = _plain_names(compose(non_local=[0, 0, 1, 0], attention="se", mixstyle=0.5))
    assert {name for name, _ in plain.named_parameters()} == names.keys()
    assert names["layer3.0.conv1.weight"] == "layer3.stage.0.stage.conv1.weight"
    assert names["layer1.0.conv1.weight"] == "layer1.stage.stage.0.conv1.weight"


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "counts"), [("test_convnext", [0, 0, 1, 1]), ("test_efficientnet", [0, 0, 1, 1])])
def test_other_families_have_blocks_too(backbone: str, counts: list[int]) -> None:
    torch.manual_seed(1)
    plain = compose(backbone).eval()
    torch.manual_seed(1)
    model = compose(backbone, non_local=counts).eval()
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(pictures), plain.backbone(pictures))


def test_more_blocks_than_there_are_are_refused() -> None:
    with pytest.raises(SamecarError, match="asks for 2 blocks in stage 3, where ResNet of timm has 1; ask for no more"):
        compose(non_local=[0, 0, 2, 0])
    with pytest.raises(SamecarError, match=r"model\.non_local .* needs the feature maps"):
        compose("test_vit", non_local=[0, 0, 1, 0])


@pytest.mark.slow
def test_stages_that_are_no_rows_of_blocks_are_refused() -> None:
    with pytest.raises(SamecarError, match=r"asks for 1 blocks in stage 4, .* has none that are known"):
        compose("repvgg_a0", non_local=[0, 0, 0, 1])


def mix_by_hand(maps: Tensor, order: list[int], shares: list[float]) -> Tensor:
    expected = torch.empty_like(maps)
    for picture in range(len(maps)):
        for channel in range(maps.shape[1]):
            own, other = maps[picture, channel].flatten(), maps[order[picture], channel].flatten()
            means = [float(each.sum() / len(each)) for each in (own, other)]
            deviations = [
                math.sqrt(sum((float(value) - mean) ** 2 for value in each) / (len(each) - 1) + 1e-6)
                for each, mean in zip((own, other), means, strict=True)
            ]
            share = shares[picture]
            mean = share * means[0] + (1 - share) * means[1]
            deviation = share * deviations[0] + (1 - share) * deviations[1]
            normalised = (maps[picture, channel] - means[0]) / deviations[0]
            expected[picture, channel] = normalised * deviation + mean
    return expected


def test_mixstyle_by_hand() -> None:
    maps = torch.randn(4, 3, 5, 2, dtype=torch.float64)
    torch.manual_seed(11)
    mixed = MixStyle(1.0, 0.3)(maps)
    torch.manual_seed(11)
    torch.rand(())
    shares = torch.distributions.Beta(0.3, 0.3).sample((4, 1, 1, 1)).flatten().tolist()
    order = torch.randperm(4).tolist()
    torch.testing.assert_close(mixed, mix_by_hand(maps, order, shares))


def test_mixstyle_is_for_training_and_happens_with_its_probability() -> None:
    maps = torch.randn(4, 3, 5, 2)
    assert torch.equal(MixStyle(1.0, 0.1).eval()(maps), maps)
    style = MixStyle(0.25, 0.1)
    torch.manual_seed(2)
    count = sum(not torch.equal(style(maps), maps) for _ in range(400))
    assert 70 < count < 130  # 100 expected, deviation 8.7


def test_maps_that_are_the_same_everywhere_stay_finite() -> None:
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    MixStyle(1.0, 0.1)(maps).sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_mixstyle_stands_after_the_first_two_stages() -> None:
    model = compose(mixstyle=0.5, mixstyle_alpha=0.2, attention="cbam").backbone
    places = {name: module for name, module in model.model.named_modules() if isinstance(module, MixStyle)}
    assert list(places) == ["layer1.attention", "layer2.attention"]
    assert all((style.probability, style.alpha) == (0.5, 0.2) for style in places.values())
    assert not any(isinstance(module, MixStyle) for module in model.inserted())
    with pytest.raises(ValidationError, match=r"mixstyle_alpha is 0\.3 but mixstyle is 0"):
        ModelSettings(mixstyle_alpha=0.3)
    with pytest.raises(SamecarError, match=r"model\.mixstyle 0\.5 needs the feature maps"):
        compose("test_vit", mixstyle=0.5)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_paths_are_dropped_as_timm_does(backbone: str) -> None:
    dropped = [
        module.drop_prob for module in compose(backbone, drop_path=0.3).modules() if isinstance(module, DropPath)
    ]
    assert max(dropped) == pytest.approx(0.3)
    assert not any(isinstance(module, DropPath) for module in compose(backbone).modules())


def test_networks_that_drop_no_paths_refuse_it() -> None:
    with pytest.raises(SamecarError, match=r"model\.drop_path is 0\.2, but timm's 'ghostnet_050' drops no paths"):
        compose("ghostnet_050", drop_path=0.2)


@pytest.mark.parametrize("fusion", ["none", "add", "global-chain", "gated-sum", "pyramid"])
def test_all_go_together(fusion: str) -> None:
    model = compose(
        fusion=fusion,
        attention="se",
        non_local=[0, 1, 1, 0],
        mixstyle=1.0,
        instance_norm="ibn-b",
        last_stride=1,
        drop_path=0.1,
        pooling="gem",
        branches=2,
        neck="batch-norm",
    )
    sum(part.logits.square().sum() for part in model.outputs(torch.rand(2, 3, 64, 64)).parts).backward()
    unread = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unread == [name for name in unread if name.endswith("neck.bias")]
