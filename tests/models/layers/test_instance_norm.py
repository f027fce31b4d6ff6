"""IBN-a and IBN-b: naive halves, the published layout, plain weights."""

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.backbones import Backbone, build_backbone
from samecar.models.layers.instance_norm import HalfInstanceNorm
from samecar.models.weights.layouts import load_backbone_weights


def backbone(name: str = "test_resnet", **options: object) -> Backbone:
    settings = {"backbone": name, "weights": "none", "height": 64, "width": 64} | options
    return build_backbone(ModelSettings.model_validate(settings))


def stirred(model: nn.Module) -> nn.Module:
    """A model whose normalisations are no longer neutral."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model


def normalise_each_picture(maps: Tensor, weight: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    result = torch.empty_like(maps)
    for picture in range(maps.shape[0]):
        for channel in range(maps.shape[1]):
            places = maps[picture, channel]
            deviation = (places.var(correction=0) + epsilon).sqrt()
            result[picture, channel] = (places - places.mean()) / deviation * weight[channel] + bias[channel]
    return result


def test_half_of_the_channels_is_normalised_in_each_picture_and_half_over_the_batch() -> None:
    norm = HalfInstanceNorm(7).train()
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    maps = torch.randn(3, 7, 4, 5)
    first = normalise_each_picture(maps[:, :3], norm.IN.weight, norm.IN.bias)
    rest = maps[:, 3:].permute(1, 0, 2, 3).flatten(1)
    scaled = (rest - rest.mean(1, keepdim=True)) / (rest.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    scaled = scaled * norm.BN.weight[:, None] + norm.BN.bias[:, None]
    second = scaled.reshape(4, 3, 4, 5).permute(1, 0, 2, 3)
    torch.testing.assert_close(norm(maps), torch.cat([first, second], dim=1))


def test_none_is_the_network_of_timm() -> None:
    assert list(backbone().model.state_dict()) == [
        key for key in timm.create_model("test_resnet").state_dict() if not key.startswith("fc.")
    ]


def test_ibn_a_splits_the_first_normalisation_of_stages_1_to_3() -> None:
    model = backbone("resnet10t", instance_norm="ibn-a").model
    split = [name for name, module in model.named_modules() if isinstance(module, HalfInstanceNorm)]
    assert split == [f"layer{stage}.0.bn1" for stage in (1, 2, 3)]
    plain = timm.create_model("resnet10t", num_classes=0)
    # as many numbers learned; half of the running means and variances of 64 + 128 + 256 channels are gone
    count = [sum(parameter.numel() for parameter in each.parameters()) for each in (model, plain)]
    assert count[0] == count[1]
    kept = [sum(buffer.numel() for buffer in each.buffers()) for each in (model, plain)]
    assert kept[1] - kept[0] == 64 + 128 + 256


def test_ibn_b_normalises_after_the_addition() -> None:
    model = backbone(instance_norm="ibn-b").eval()
    block = model.model.layer2[0]
    nn.init.uniform_(block.act2.IN.weight)
    maps = torch.randn(2, block.conv1.in_channels, 8, 8)
    with torch.no_grad():
        added = block.bn2(block.conv2(functional.relu(block.bn1(block.conv1(maps))))) + block.downsample(maps)
        expected = functional.relu(normalise_each_picture(added, block.act2.IN.weight, block.act2.IN.bias))
        torch.testing.assert_close(block(maps), expected, atol=1e-5, rtol=1e-4)
    assert [name for name, module in model.model.named_modules() if isinstance(module, nn.InstanceNorm2d)] == [
        "bn1",
        "layer1.0.act2.IN",
        "layer2.0.act2.IN",
    ]


@pytest.mark.parametrize("kind", ["ibn-a", "ibn-b"])
def test_weights_of_the_plain_network_fill_what_there_is(kind: str) -> None:
    plain = stirred(timm.create_model("test_resnet"))
    model = backbone(instance_norm=kind)
    assert load_backbone_weights(model.model, plain.state_dict(), "plain.pth", removed=model.removed) == "timm"
    theirs, ours = plain.state_dict(), model.model.state_dict()
    changed = [key for key in ours if key not in theirs]
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key not in changed)
    if kind == "ibn-a":
        weight, mean = theirs["layer1.0.bn1.weight"], theirs["layer1.0.bn1.running_mean"]
        assert torch.equal(ours["layer1.0.bn1.IN.weight"], weight[: len(weight) // 2])
        assert torch.equal(ours["layer1.0.bn1.BN.weight"], weight[len(weight) // 2 :])
        assert torch.equal(ours["layer1.0.bn1.BN.running_mean"], mean[len(weight) // 2 :])
    else:
        assert all(key.endswith(("act2.IN.weight", "act2.IN.bias")) for key in changed)


def test_what_timm_loads_itself_is_split_alike() -> None:
    torch.manual_seed(5)
    plain = backbone()
    torch.manual_seed(5)
    model = backbone(instance_norm="ibn-a")
    assert torch.equal(plain.model.layer4[0].conv1.weight, model.model.layer4[0].conv1.weight)


@pytest.mark.parametrize(("kind", "published"), [("ibn-a", "layer1.0.bn1.IN.weight"), ("ibn-b", "layer1.0.IN.weight")])
def test_the_published_layout_fits(kind: str, published: str) -> None:
    source = stirred(backbone(instance_norm=kind).model)
    nn.init.uniform_(source.get_parameter("layer1.0.bn1.IN.weight" if kind == "ibn-a" else "layer1.0.act2.IN.weight"))
    state = {key.replace("act2.IN.", "IN."): tensor for key, tensor in source.state_dict().items()}
    state |= {"fc.weight": torch.rand(1000, 96), "fc.bias": torch.rand(1000)}
    assert published in state
    model = backbone(instance_norm=kind)
    load_backbone_weights(model.model, state, "published.pth", removed=model.removed)
    expected = source.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.model.state_dict().items())


def test_a_published_file_does_not_fill_a_plain_network() -> None:
    model = backbone()
    state = backbone(instance_norm="ibn-a").model.state_dict()
    with pytest.raises(SamecarError, match="does not fit the model"):
        load_backbone_weights(model.model, state, "published.pth", removed=model.removed)


@pytest.mark.parametrize("kind", ["ibn-a", "ibn-b"])
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "test_vit"])
def test_networks_without_such_blocks_are_refused(name: str, kind: str) -> None:
    with pytest.raises(SamecarError, match=f"model.instance_norm '{kind}' needs the blocks of a residual network"):
        backbone(name, instance_norm=kind)


@pytest.mark.parametrize("kind", ["ibn-a", "ibn-b"])
def test_training_reaches_every_parameter(kind: str) -> None:
    settings = ModelSettings(
        backbone="test_resnet", weights="none", height=64, width=64, instance_norm=kind, attention="se", last_stride=1
    )
    model = build_embedder(settings, 3)
    model.outputs(torch.rand(2, 3, 64, 64)).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
