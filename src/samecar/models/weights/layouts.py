"""Key layouts: other programs' names for the same tensors, mapped onto a model of ours with every key accounted for."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from torch import Tensor, nn

from samecar.errors import SamecarError
from samecar.models.layers.instance_norm import fit_instance_norm
from samecar.models.layers.tokens import resize_positions

INNER = "backbone.model."
"""Begins the keys of the timm model inside of an embedder."""

LEAST_SHARE = 0.95
"""Of a network's parameters that weights have to hold where not all are asked for."""

COUNTER = "num_batches_tracked"
"""Batch normalisation's counter: only some programs save it and nothing depends on it."""

CLASSIFIER = re.compile(r"_?(fc|classifier|heads?|last_linear|pre_logits|conv_head)\b")
"""Begins the keys of layers behind the last feature map, which an embedder has no use for."""

CADENE_NAMES = ((re.compile(r"^layer0\."), ""), (re.compile(r"\.se_module\."), ".se."))
"""From Cadene's names for SE-ResNeXt to timm's."""

TORCHVISION_MOBILENETV3 = "features.1.block.0.0.weight"
"""A key that among torchvision's models only MobileNetV3 has."""

TORCHVISION_MOBILENETV3_EPSILON = 1e-3
"""Of its batch normalisations; timm's have 1e-5."""


EMBEDDERS_CLASSIFIER = re.compile(r"^(further\.\d+\.)?classifier\.")
"""Begins the keys of an embedder's own classifiers."""


def holds_embedder(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors by key are those of a whole embedder, as a run folder's checkpoint holds them."""
    return any(key.startswith(INNER) for key in state)


def load_embedder_weights(embedder: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Fills an embedder from another one of the same composition; only the classifiers may be of other vehicles.

    Args:
        embedder: all but its classifiers is filled.
        state: tensors by key of the other embedder.
        origin: names the file in error sentences.

    Raises:
        SamecarError: a key is missing or left over, or a shape differs.
    """
    wanted = {key: tensor for key, tensor in embedder.state_dict().items() if not EMBEDDERS_CLASSIFIER.match(key)}
    given = {key: tensor for key, tensor in state.items() if not EMBEDDERS_CLASSIFIER.match(key)}
    _check_names(wanted, given, leftover=given.keys() - wanted.keys(), origin=origin)
    _fill(embedder, wanted, {key: given[key] for key in wanted if key in given}, origin)


def load_fitting_weights(embedder: nn.Module, state: Mapping[str, Tensor], origin: str) -> str:
    """Fills an embedder with what of another one fits by name and shape; its classifiers stay as they are.

    A vision transformer's positions are resized to its grid.

    Args:
        embedder: is changed.
        state: tensors by key of the other embedder.
        origin: names the other one in error sentences.

    Returns:
        How many tensors of each of the embedder's modules were taken, in words.

    Raises:
        SamecarError: less than 95 % of the backbone's parameters fit.
    """
    wanted = {key: tensor for key, tensor in embedder.state_dict().items() if not EMBEDDERS_CLASSIFIER.match(key)}
    inner = {key.removeprefix(INNER): tensor for key, tensor in state.items() if key.startswith(INNER)}
    inner = resize_positions(embedder.get_submodule(INNER[:-1]), inner, origin)
    given = dict(state) | {f"{INNER}{key}": tensor for key, tensor in inner.items()}
    taken = {key: given[key] for key, tensor in wanted.items() if key in given and given[key].shape == tensor.shape}
    of_backbone = {key: tensor.numel() for key, tensor in wanted.items() if key.startswith("backbone.")}
    share = sum(size for key, size in of_backbone.items() if key in taken) / max(1, sum(of_backbone.values()))
    if share < LEAST_SHARE:
        raise SamecarError(
            f"model.weights {origin!r} fits {share:.0%} of the backbone's numbers, and {LEAST_SHARE:.0%} are needed; "
            "give a run with the same attention, branches and instance_norm, or set these as they are there"
        )
    embedder.load_state_dict(taken, strict=False)
    modules = Counter(key.partition(".")[0] for key in _countless(wanted))
    found = Counter(key.partition(".")[0] for key in _countless(taken))
    return ", ".join(f"{found[name]} of {count} tensors of {name}" for name, count in modules.items())


def load_backbone_weights(
    model: nn.Module, state: Mapping[str, Tensor], origin: str, *, removed: Collection[str] = ()
) -> str:
    """Fills a timm model from tensors in timm's, torchvision's or Cadene's key layout.

    Where names differ from timm's and are not Cadene's, tensors are matched by their order, in which the kind (weight,
    bias, running mean or variance) and the shape of every one must agree.

    Args:
        model: a timm model whose layers behind the last feature map are gone.
        state: tensors by key, in the order in which they were saved.
        origin: names the file in error sentences.
        removed: keys of the layers that are gone from the model; `state` may have them.

    Returns:
        'timm', 'cadene' or 'order': how the keys were matched.

    Raises:
        SamecarError: a key of the model is not filled, a tensor is left over, or a shape differs.
    """
    wanted = model.state_dict()
    layout, given = _named(wanted, resize_positions(model, fit_instance_norm(model, state), origin))
    known = sum(key in given for key in wanted)
    if 2 * known >= len(wanted):
        leftover = [key for key in given.keys() - wanted.keys() if key not in removed and not CLASSIFIER.match(key)]
        _check_names(wanted, given, leftover, origin)
        matched = {key: given[key] for key in wanted if key in given}
    else:
        layout, (_, matched) = "order", match_by_order(model, given, origin)
    _fill(model, wanted, matched, origin)
    return layout


def match_by_order(
    model: nn.Module, given: Mapping[str, Tensor], origin: str
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Matches tensors with a model's by their order, in which kind and shape of every one must agree.

    Args:
        model: a timm model whose layers behind the last feature map are gone.
        given: tensors by key, in the order in which they were saved.
        origin: names the file in error sentences.

    Returns:
        By the model's keys those of `given`, and the tensors; variances of torchvision's MobileNetV3 are raised by what
        its epsilon is larger than the model's.

    Raises:
        SamecarError: a key of the model is not filled, a tensor is left over, or a kind or shape differs.
    """
    sources = _match_by_order(model.state_dict(), given, origin)
    matched = {key: given[source] for key, source in sources.items()}
    if TORCHVISION_MOBILENETV3 in given:
        matched = _with_epsilon_folded_in(model, matched)
    return sources, matched


def _named(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[str, Mapping[str, Tensor]]:
    if all(key in state for key in _countless(wanted)):
        return "timm", state
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in CADENE_NAMES:
            key = pattern.sub(replacement, key)
        renamed[key] = tensor
    return ("timm", state) if renamed.keys() == state.keys() else ("cadene", renamed)


def _check_names(wanted: Iterable[str], given: Collection[str], leftover: Iterable[str], origin: str) -> None:
    missing = [key for key in _countless(wanted) if key not in given]
    leftover = sorted(_countless(leftover))
    if missing or leftover:
        raise SamecarError(
            f"model.weights {origin!r} does not fit the model: {_some(missing)} missing, {_some(leftover)} left over; "
            "give weights of the same model"
        )


def _match_by_order(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], origin: str) -> dict[str, str]:
    targets, sources = _countless(wanted), _countless(given)
    if sources == sorted(sources):
        raise SamecarError(
            f"model.weights {origin!r} has other names than the model and its tensors are sorted by name, so their "
            "order says nothing; give the file that torch.save wrote, or timm's names"
        )
    for target, source in zip(targets, sources, strict=False):
        if _kind(target, wanted[target]) != _kind(source, given[source]):
            raise SamecarError(
                f"model.weights {origin!r} does not fit the model: {source} {tuple(given[source].shape)} stands where "
                f"{target} {tuple(wanted[target].shape)} should be; give weights of the same model"
            )
    leftover = [key for key in sources[len(targets) :] if not CLASSIFIER.match(key)]
    _check_names(targets, targets[: len(sources)], leftover, origin)
    return dict(zip(targets, sources, strict=False))


def _kind(key: str, tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    return key.rpartition(".")[2], tuple(tensor.shape)


def _with_epsilon_folded_in(model: nn.Module, matched: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Raises running variances by what the epsilons differ: variance + epsilon, all that counts, stays the same."""
    changed = dict(matched)
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            key = f"{name}.running_var"
            changed[key] = matched[key] + (TORCHVISION_MOBILENETV3_EPSILON - module.eps)
    return changed


def _fill(model: nn.Module, wanted: Mapping[str, Tensor], matched: Mapping[str, Tensor], origin: str) -> None:
    for key, tensor in matched.items():
        if tensor.shape != wanted[key].shape:
            raise SamecarError(
                f"model.weights {origin!r} does not fit the model: {key} is {tuple(tensor.shape)} and should be "
                f"{tuple(wanted[key].shape)}; give weights of the same model"
            )
    model.load_state_dict(dict(matched), strict=False)


def _countless(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if not key.endswith(COUNTER)]


def _some(keys: list[str], shown: int = 5) -> str:
    if not keys:
        return "none"
    more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return ", ".join(keys[:shown]) + more
