"""What other programs call the tensors of networks that timm has, and how these are called and shaped in timm.

Made from the definitions of the networks; no file that these programs have published was at hand.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

POSITIONS = "pos_embed"
"""timm's key of a vision transformer's position embeddings, (1, tokens, width)."""


class Given(NamedTuple):
    """A tensor of a file, as timm has it, with the key that it has in the file."""

    key: str
    tensor: Tensor


Naming = Callable[[Mapping[str, Given]], dict[str, Given]]
"""From tensors by the keys of some program to tensors by timm's."""

RESIDUAL_NAMES = ((re.compile(r"^(layer[12]\.\d+)\.IN\."), r"\1.act3.IN."),)
"""Published IBN-b networks normalise at the end of a block; see `models/instance_norm.py` for where ours do."""

CADENE_NAMES = ((re.compile(r"^layer0\."), ""), (re.compile(r"\.se_module\."), ".se."))
"""Cadene's SE-ResNeXt, and torchreid's, where the network is timm's newer one."""

CLIP_NAMES = (
    (re.compile(r"^class_embedding$"), "cls_token"),
    (re.compile(r"^positional_embedding$"), POSITIONS),
    (re.compile(r"^conv1\."), "patch_embed.proj."),
    (re.compile(r"^ln_pre\."), "norm_pre."),
    (re.compile(r"^ln_post\."), "norm."),
    (re.compile(r"^proj$"), "head.weight"),
    (re.compile(r"^transformer\.resblocks\."), "blocks."),
    (re.compile(r"\.ln_([12])\."), r".norm\1."),
    (re.compile(r"\.attn\.in_proj_"), ".attn.qkv."),
    (re.compile(r"\.attn\.out_proj\."), ".attn.proj."),
    (re.compile(r"\.mlp\.c_fc\."), ".mlp.fc1."),
    (re.compile(r"\.mlp\.c_proj\."), ".mlp.fc2."),
)
"""The picture tower of OpenAI's CLIP, which CLIP-ReID has too."""

TORCHVISION_TRANSFORMER_NAMES = (
    (re.compile(r"^class_token$"), "cls_token"),
    (re.compile(r"^encoder\.pos_embedding$"), POSITIONS),
    (re.compile(r"^conv_proj\."), "patch_embed.proj."),
    (re.compile(r"^encoder\.ln\."), "norm."),
    (re.compile(r"^encoder\.layers\.encoder_layer_"), "blocks."),
    (re.compile(r"\.ln_([12])\."), r".norm\1."),
    (re.compile(r"\.self_attention\.in_proj_"), ".attn.qkv."),
    (re.compile(r"\.self_attention\.out_proj\."), ".attn.proj."),
    (re.compile(r"\.mlp\.(0|linear_1)\."), ".mlp.fc1."),
    (re.compile(r"\.mlp\.(3|linear_2)\."), ".mlp.fc2."),
)
"""torchvision's vision transformers."""

BRANCH = re.compile(r"^b1\.([01])\.")
"""TransReID with local branches: the last block and norm that its global feature comes from."""

BLOCK = re.compile(r"^(.*)blocks\.(\d+)\.")


def _renamed(given: Mapping[str, Given], names: tuple[tuple[re.Pattern[str], str], ...]) -> dict[str, Given]:
    renamed = {}
    for key, each in given.items():
        for pattern, replacement in names:
            key = pattern.sub(replacement, key)
        renamed[key] = each
    return renamed


def _as_clip(given: Mapping[str, Given]) -> dict[str, Given]:
    """CLIP's names, and its shapes: embeddings have no batch axis there, and the last layer multiplies from the right.

    The last layer has no bias in CLIP and one in timm, which is 0.
    """
    renamed = _renamed(given, CLIP_NAMES)
    for key in ("cls_token", POSITIONS):
        if key in renamed:
            source, tensor = renamed[key]
            renamed[key] = Given(source, tensor.reshape(1, -1, tensor.shape[-1]))
    if "head.weight" in renamed:
        source, tensor = renamed["head.weight"]
        renamed["head.weight"] = Given(source, tensor.T.contiguous())
        renamed["head.bias"] = Given(source, torch.zeros(tensor.shape[1]))
    return renamed


NAMINGS: dict[str, Naming] = {
    "timm": lambda given: _renamed(given, RESIDUAL_NAMES),
    "cadene": lambda given: _renamed(given, CADENE_NAMES),
    "clip": _as_clip,
    "torchvision-transformer": lambda given: _renamed(given, TORCHVISION_TRANSFORMER_NAMES),
}
"""By what the tensors are called there."""


def use_global_branch(state: Mapping[str, Tensor]) -> dict[str, Given]:
    """Puts the last block and norm of TransReID's global branch where a plain transformer has them.

    With local branches, TransReID's `base` runs all blocks but the last; `b1` is the last one and the norm. The last
    block and norm of `base` are then not used by it, and are called `unused.…` here.

    Args:
        state: tensors by key of a whole file.
    """
    given = {key: Given(key, tensor) for key, tensor in state.items()}
    blocks = [match for key in state if (match := BLOCK.match(key))]
    if not blocks or not any(BRANCH.match(key) for key in state):
        return given
    prefix, last = blocks[0][1], max(int(match[2]) for match in blocks)
    places = {"0": f"{prefix}blocks.{last}.", "1": f"{prefix}norm."}
    unused = tuple(places.values())
    moved = {f"unused.{key}" if key.startswith(unused) else key: each for key, each in given.items()}
    for key, each in given.items():
        branch = BRANCH.match(key)
        if branch:
            del moved[key]
            moved[places[branch[1]] + key[branch.end() :]] = each
    return moved


def name_program(prefix: str, naming: str, keys: Mapping[str, object]) -> str:
    """Says whose layout a file has, as far as its keys tell.

    Args:
        prefix: of the network's keys in the file.
        naming: of `NAMINGS`, or 'order'.
        keys: of the file.
    """
    if prefix == "image_encoder.":
        return "CLIP-ReID"
    if naming == "clip":
        return "CLIP"
    if prefix == "backbone." and any(key.startswith("heads.") for key in keys):
        return "fast-reid"
    if prefix == "base.":
        return "TransReID" if "base.cls_token" in keys else "strong baseline"
    if prefix == "resnet18." or (prefix, naming) in (("backbone.", "order"), ("model.", "timm"), ("model.", "cadene")):
        return "report's author"
    if prefix == "" and "classifier.weight" in keys and "layer4.0.conv1.weight" in keys:
        return "torchreid"
    return {"timm": "timm", "cadene": "cadene"}.get(naming, "torchvision")
