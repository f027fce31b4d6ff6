"""Every shipped recipe and every composition of the report's rows becomes a file that gives what its network gives."""

import numpy as np
import pytest
import tiny_clip
import torch
from torch import nn

from samecar.config import ModelSettings, load_recipe
from samecar.config.reading import shipped_recipes
from samecar.embedding.exporting import sample_pictures, write_onnx
from samecar.embedding.runtimes.onnx import open_session
from samecar.models import build_embedder
from samecar.reproduce.rows import derive, report_tables, row_ids

SMALLER = {
    "vit_base_patch16_clip_quickgelu_224": tiny_clip.BACKBONE,
    "vit_base_patch16_dinov3": "eva02_tiny_patch14_224",
    "convnext_base": "test_convnext",
    "mobilenetv4_conv_medium": "mobilenetv4_conv_small",
}
"""Backbones of the same kind that are quick to build; networks of other kinds become small ResNets."""

SIZES = {tiny_clip.BACKBONE: (32, 32), "eva02_tiny_patch14_224": (56, 56)}
"""Height and width, where 64 × 96 does not fit."""

KEPT = {*SMALLER, "mobilenetv3_small_100", "mobilenetv2_100", "test_resnet"}


def smaller(settings):
    backbone = SMALLER.get(settings.backbone, settings.backbone if settings.backbone in KEPT else "test_resnet")
    height, width = SIZES.get(backbone, (64, 96))
    return settings.model_copy(update={"backbone": backbone, "weights": "none", "height": height, "width": width})


def compositions():
    """The model of each row, as printed and as run, each once."""
    rows = [(row, as_run) for table in report_tables() for row in row_ids(table) for as_run in (False, True)]
    found = {}
    for row, as_run in rows:
        settings = smaller(derive(row, as_run=as_run).load().model)
        name = f"{row}{' as run' if as_run else ''}"
        found.setdefault(settings.model_dump_json(), pytest.param(settings, id=name, marks=pytest.mark.long))
    return list(found.values())


RECIPES = [pytest.param(smaller(load_recipe(name).model), id=name) for name in shipped_recipes()]


def begin(settings):
    """A network whose every layer has a say."""
    torch.manual_seed(1)
    network = build_embedder(settings, 5, load_weights=False)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine:
            layer.weight.data.uniform_(0.5, 1.5)
            layer.running_mean.uniform_(0, 0.2)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*RECIPES, *compositions()])
def test_it_is_exported(settings: ModelSettings, tmp_path):
    network = begin(settings)
    taken = network.preprocessing
    write_onnx(network, tmp_path / "model.onnx")
    session = open_session((tmp_path / "model.onnx").read_bytes())
    for count in (1, 3):
        pixels = np.stack(sample_pictures(taken, count))
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (taken.mean, taken.deviation))
        with torch.inference_mode():
            expected = network((torch.from_numpy(pixels) / 255 - mean) / deviation).numpy()
        (found,) = session.run(None, {"pictures": pixels})
        assert found.shape == (count, network.embedding_size)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        cosines = (found * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.min() > 0.99999
