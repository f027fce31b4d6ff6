"""A CLIP of a few numbers with random weights: OpenCLIP's text tower, and timm's picture tower of the same shape."""

import json

import open_clip
import torch
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

BACKBONE = "vit_tiny_clip_test"
"""timm's name of the picture tower."""

NAME = "tiny-clip"
WIDTH = 16
"""Of a text's feature."""

CONFIGURATION = {
    "embed_dim": WIDTH,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@register_model
def vit_tiny_clip_test(pretrained=False, **arguments):
    given = {name: value for name, value in arguments.items() if name in ("img_size", "dynamic_img_size")}
    model = VisionTransformer(
        **{"img_size": 32, **given}, patch_size=16, embed_dim=16, depth=1, num_heads=2, num_classes=WIDTH, pre_norm=True
    )
    model.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "tag": None}
    return model


def register(folder, name=NAME, embed_dim=WIDTH, **changes):
    """Makes OpenCLIP know the model, or one whose text tower differs from it, and gives its name."""
    configuration = {**CONFIGURATION, "embed_dim": embed_dim, "text_cfg": {**CONFIGURATION["text_cfg"], **changes}}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(configuration))
    open_clip.add_model_config(path)
    return name


def saved_weights(name, path, seed=0):
    """Writes random weights of a model in OpenCLIP's layout."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.save(open_clip.create_model(name).state_dict(), path)
    return path
