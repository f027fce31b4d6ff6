"""Weights that another program trained, as a file in timm's names that `model.weights` takes."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from samecar.config import ModelSettings
from samecar.errors import SamecarError, first_few
from samecar.files import write_file
from samecar.models.backbones import Backbone, build_backbone, check_known
from samecar.models.layers.instance_norm import InstanceNorm
from samecar.models.saved import save_tensors
from samecar.models.weights.foreign import NAMINGS, POSITIONS, Given, name_program, use_global_branch
from samecar.models.weights.layouts import CLASSIFIER, COUNTER, LEAST_SHARE, match_by_order
from samecar.models.weights.sources import read_weights

RESIDUAL = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "legacy_seresnext50_32x4d",
    "seresnext50_32x4d",
)

TRANSFORMERS = ("vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch16_clip_quickgelu_224")

GUESSED = {"layer4.": RESIDUAL, "blocks.": TRANSFORMERS, "encoder_layer_": TRANSFORMERS}
"""Networks that a file is compared with where no backbone is given, by a part of their keys in any program."""

GUESSED_BY_ORDER = ("mobilenetv3_small_100", "mobilenetv3_large_100", "mobilenetv2_100")
"""Likewise, where other programs' names say nothing and the order has to."""

FIRST_LAYERS = (
    "conv1.weight",
    "conv_stem.weight",
    "patch_embed.proj.weight",
    "conv_proj.weight",
    "features.0.0.weight",
)
"""Keys of networks' first layers; what stands before one in a file stands before the whole network."""

MOST_PREFIXES = 4

HALF_NORM = re.compile(r"\.bn1\.(IN|BN)\.")
BLOCK_END_NORM = re.compile(r"layer[12]\.\d+\.IN\.")

State = Literal["matched", "resized", "missing", "left over"]


@dataclass(frozen=True)
class TensorMatch:
    """What became of one tensor.

    Attributes:
        key: in timm's names; None if the network has no such tensor.
        source: its key in the file; None if the file has no such tensor.
        shape: in the network, or in the file if it is left over.
        state: 'matched', 'resized' (a vision transformer's positions), 'missing' (it begins anew) or 'left over'.
    """

    key: str | None
    source: str | None
    shape: tuple[int, ...]
    state: State


@dataclass(frozen=True)
class ImportedWeights:
    """What a file held, and the file that was made of it.

    Attributes:
        path: of the new file.
        backbone: the timm model that it is of.
        instance_norm: that the network needs, as `model.instance_norm`.
        layout: whose names the file has.
        sha256: of the file that was read, 64 hexadecimal digits.
        share: of the network's parameters that the file held.
        tensors: each of the network's in its order, then what was left over.
    """

    path: Path
    backbone: str
    instance_norm: InstanceNorm
    layout: str
    sha256: str
    share: float
    tensors: tuple[TensorMatch, ...]

    @property
    def options(self) -> dict[str, str]:
        """Options of a recipe that begins with these weights."""
        needed = {"model.backbone": self.backbone, "model.weights": str(self.path)}
        return needed | ({"model.instance_norm": self.instance_norm} if self.instance_norm != "none" else {})


@dataclass(frozen=True)
class _Network:
    """A timm model without classifier whose tensors have shapes and no numbers."""

    name: str
    instance_norm: InstanceNorm
    backbone: Backbone

    @property
    def wanted(self) -> dict[str, Tensor]:
        """Its tensors by key."""
        state: dict[str, Tensor] = self.backbone.model.state_dict()
        return state


@dataclass(frozen=True)
class _Reading:
    """One way to read a file: which prefix and naming, and what of a network that gives."""

    prefix: str
    naming: str
    given: Mapping[str, Given]
    share: float
    parameters: int


def import_weights(
    file: str | Path, out: str | Path, *, backbone: str | None = None, grid: tuple[int, int] | None = None
) -> ImportedWeights:
    """Reads weights in another program's layout and writes them in timm's names.

    Layouts were made from the definitions of networks and tried with files made after them, not with published ones.
    Pickled files are read as tensors only, no code of theirs runs. Tensors that the file lacks begin anew, with a fixed
    seed.

    Args:
        file: .safetensors, .pth, .pt or .bin.
        out: .safetensors to write.
        backbone: the timm model; found by names and shapes if not given.
        grid: rows and columns of a vision transformer's positions in the file; square if not given.

    Returns:
        What became of each tensor.

    Raises:
        SamecarError: the file cannot be read, fits no network that is known or holds less than 95 % of its parameters,
            or the grid does not fit.
    """
    path, target = Path(file), Path(out)
    if target.suffix != ".safetensors":
        raise SamecarError(f"--out {target} ends in {target.suffix!r}; give a name that ends in .safetensors")
    state = read_weights(path, name="the file")
    instance_norm = _instance_norm(state)
    network, reading = _fit(state, backbone, instance_norm, str(path))
    tensors, matches = _fill(network, reading, state, grid)
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    layout = name_program(reading.prefix, reading.naming, state)
    facts = {
        "format": "pt",
        "backbone": network.name,
        "instance_norm": instance_norm,
        "source": path.name,
        "source_layout": layout,
        "source_sha256": sha256,
        "licence": "not stated",
    }
    with write_file(target) as temporary:
        save_tensors(tensors, temporary, metadata=facts)
    return ImportedWeights(target, network.name, instance_norm, layout, sha256, reading.share, matches)


def _instance_norm(keys: Iterable[str]) -> InstanceNorm:
    keys = list(keys)
    if any(HALF_NORM.search(key) for key in keys):
        return "ibn-a"
    return "ibn-b" if any(BLOCK_END_NORM.search(key) for key in keys) else "none"


def _fit(
    state: Mapping[str, Tensor], backbone: str | None, instance_norm: InstanceNorm, origin: str
) -> tuple[_Network, _Reading]:
    """The network that a file fits, and how to read it."""
    keys = f"its keys are such as {first_few(list(state))}"
    if backbone is None:
        found = _guess(state, instance_norm)
        if found is None:
            raise SamecarError(f"{origin} fits no network that is guessed; {keys}; name its timm model with --backbone")
        return found
    check_known(backbone)
    network = _shapes(backbone, instance_norm)
    reading = _read_by_name(network.wanted, state)
    if reading.share < LEAST_SHARE:
        reading = _read_by_order(network, state) or reading
    if reading.share < LEAST_SHARE:
        raise SamecarError(
            f"{origin} holds {100 * reading.share:.1f} % of the parameters of {backbone!r}, and {LEAST_SHARE:.0%} are "
            f"needed; {keys}; name another timm model with --backbone"
        )
    return network, reading


def _guess(state: Mapping[str, Tensor], instance_norm: InstanceNorm) -> tuple[_Network, _Reading] | None:
    """The network of `GUESSED` of which a file holds the most, and how to read it; None if it fits none."""
    kinds = [names for part, names in GUESSED.items() if any(part in key for key in state)]
    read = [(name, _read_by_name(_outline(name, instance_norm), state)) for name in next(iter(kinds), ())]
    whole = [each for each in read if each[1].share >= LEAST_SHARE]
    if whole:
        name, reading = max(whole, key=lambda each: each[1].parameters)
        return _shapes(name, instance_norm), reading
    if any(key.endswith(FIRST_LAYERS) for key in state):
        for name in GUESSED_BY_ORDER:
            network = _shapes(name, "none")
            ordered = _read_by_order(network, state)
            if ordered is not None:
                return network, ordered
    return None


def _shapes(name: str, instance_norm: InstanceNorm) -> _Network:
    with torch.device("meta"):
        return _Network(name, instance_norm, _build(name, instance_norm))


def _build(name: str, instance_norm: InstanceNorm) -> Backbone:
    """A network without classifier, for pictures of its own size."""
    known = timm.get_pretrained_cfg(name)
    height, width = known.input_size[1:] if known is not None else (224, 224)
    return build_backbone(
        ModelSettings(backbone=name, weights="none", instance_norm=instance_norm, height=height, width=width)
    )


def _outline(name: str, instance_norm: InstanceNorm) -> dict[str, Tensor]:
    """A network's tensors by key, without its classifier; quicker than building the backbone."""
    if instance_norm != "none":
        return _shapes(name, instance_norm).wanted if name.startswith("resnet") else {}
    with torch.device("meta"):
        state: dict[str, Tensor] = timm.create_model(name).state_dict()
    return {key: tensor for key, tensor in state.items() if not CLASSIFIER.match(key)}


def _read_by_name(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> _Reading:
    """The prefix and naming by which a file holds the most of a network."""
    given = use_global_branch(state)
    readings = []
    for prefix in _prefixes(given, wanted):
        below = {key.removeprefix(prefix): each for key, each in given.items() if key.startswith(prefix)}
        for naming, rename in NAMINGS.items():
            renamed = rename(below)
            sizes = {key: tensor.numel() for key, tensor in wanted.items() if not key.endswith(COUNTER)}
            held = sum(size for key, size in sizes.items() if key in renamed and _fits(key, wanted, renamed))
            readings.append(_Reading(prefix, naming, renamed, held / max(1, sum(sizes.values())), held))
    return max(readings, key=lambda reading: reading.parameters)


def _prefixes(keys: Iterable[str], wanted: Mapping[str, Tensor]) -> list[str]:
    """What may stand before a network's keys in a file, the shortest first."""
    first = (*FIRST_LAYERS, *list(wanted)[:1])
    prefixes = {key.removesuffix(end) for key in keys for end in first if f".{key}".endswith(f".{end}")}
    return sorted(prefixes | {""}, key=lambda prefix: (prefix.count("."), prefix))[:MOST_PREFIXES]


def _fits(key: str, wanted: Mapping[str, Tensor], given: Mapping[str, Given]) -> bool:
    ours, theirs = wanted[key].shape, given[key].tensor.shape
    return ours == theirs or (key == POSITIONS and len(theirs) == 3 and ours[-1] == theirs[-1])


def _read_by_order(network: _Network, state: Mapping[str, Tensor]) -> _Reading | None:
    """A file that holds all tensors of a network in the order of its layers; None if it does not."""
    for prefix in _prefixes(state, {}):
        below = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
        try:
            sources, changed = match_by_order(network.backbone.model, below, "")
        except SamecarError:
            continue
        given = {key: Given(prefix + sources[key], tensor) for key, tensor in changed.items()}
        return _Reading(prefix, "order", given, 1.0, sum(tensor.numel() for tensor in changed.values()))
    return None


def _grid_of(positions: Tensor, grid: tuple[int, int] | None, *, prefix_tokens: bool) -> tuple[int, int]:
    count = positions.shape[1] - prefix_tokens
    side = math.isqrt(count)
    if grid is None and side * side != count:
        raise SamecarError(
            f"the file has positions of {count} patches, which are no square; give their rows and columns, such as "
            f"--grid {_example(count)}"
        )
    rows, columns = grid or (side, side)
    if rows * columns != count:
        raise SamecarError(
            f"--grid {rows}x{columns} is {rows * columns} patches, but the file has positions of {count}"
        )
    return rows, columns


def _example(count: int) -> str:
    columns = max(number for number in range(1, math.isqrt(count) + 1) if count % number == 0)
    return f"{count // columns}x{columns}"


def _fill(
    network: _Network, reading: _Reading, state: Mapping[str, Tensor], grid: tuple[int, int] | None
) -> tuple[dict[str, Tensor], tuple[TensorMatch, ...]]:
    """The tensors to write, and what became of each."""
    wanted = network.wanted
    given = {key: each for key, each in reading.given.items() if key not in wanted or _fits(key, wanted, reading.given)}
    if grid is not None and POSITIONS not in given:
        raise SamecarError(
            f"--grid is of a vision transformer's positions, and {network.name!r} has none; leave it out"
        )
    tensors, matches, missing = {}, [], []
    for key, own in wanted.items():
        if key in given:
            source, found = given[key]
            tensors[key] = _square(found, grid, prefix_tokens="cls_token" in given) if key == POSITIONS else found
            outcome: State = "matched" if tensors[key] is found else "resized"
            matches.append(_match(key, source, tensors[key], outcome))
        else:
            missing.append(key)
            matches.append(_match(key, None, own, "missing"))
    if missing:
        tensors |= _begin_anew(network, missing)
    projection = sorted(network.backbone.removed & given.keys()) if reading.naming == "clip" else []
    for key in projection:  # the network has no use for it, but may be told to keep it
        tensors[key] = given[key].tensor
        matches.append(_match(key, given[key].key, tensors[key], "matched"))
    used = {match.source for match in matches}
    matches += [_match(None, key, tensor, "left over") for key, tensor in state.items() if key not in used]
    plain = {
        key: tensor.detach().to(wanted[key].dtype if key in wanted else torch.float32).clone()
        for key, tensor in tensors.items()
    }
    return plain, tuple(match for match in matches if not (match.key or match.source or "").endswith(COUNTER))


def _match(key: str | None, source: str | None, tensor: Tensor, state: State) -> TensorMatch:
    return TensorMatch(key, source, tuple(tensor.shape), state)


def _begin_anew(network: _Network, keys: Iterable[str]) -> dict[str, Tensor]:
    """Tensors as a network has them before training, with a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        new = _build(network.name, network.instance_norm).model.state_dict()
    return {key: new[key] for key in keys}


def _square(positions: Tensor, grid: tuple[int, int] | None, *, prefix_tokens: bool) -> Tensor:
    """Position embeddings on a square grid, by timm's resizing; themselves if they are on one."""
    rows, columns = _grid_of(positions, grid, prefix_tokens=prefix_tokens)
    if rows == columns:
        return positions
    side = max(rows, columns)
    resized: Tensor = resample_abs_pos_embed(
        positions.float(), new_size=[side, side], old_size=[rows, columns], num_prefix_tokens=int(prefix_tokens)
    )
    return resized


def describe(imported: ImportedWeights) -> dict[str, Any]:
    """What a program is told: facts, counts, and each tensor that was not simply matched."""
    counts = {state: sum(match.state == state for match in imported.tensors) for state in get_args(State)}
    return {
        "file": str(imported.path),
        "backbone": imported.backbone,
        "instance_norm": imported.instance_norm,
        "layout": imported.layout,
        "sha256": imported.sha256,
        "share": imported.share,
        "options": imported.options,
        "counts": counts,
        "tensors": [
            {"key": match.key, "source": match.source, "shape": list(match.shape), "state": match.state}
            for match in imported.tensors
        ],
    }
