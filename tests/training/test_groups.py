from functools import cache

import pytest
import torch
from torch import nn

from samecar.config import ModelSettings, OptimizerSettings
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.training import build_optimizer, parameter_groups

NOTHING = nn.Identity()


@cache
def embedder(backbone="test_resnet", **options):
    torch.manual_seed(0)
    return build_embedder(ModelSettings(backbone=backbone, weights="none", height=32, width=32, **options), 5)


def told(model, objective, **options):
    """Rate and decay of every parameter by name; each parameter must be in one group."""
    groups = parameter_groups(model, objective, OptimizerSettings(weight_decay=0.1, **options))
    found = {}
    for group in groups:
        for parameter in group["params"]:
            assert id(parameter) not in found
            found[id(parameter)] = (group["lr_scale"], group["weight_decay"])
    named = [*model.named_parameters(), *(("objective." + name, one) for name, one in objective.named_parameters())]
    assert len(found) == len(named)
    return {name: found[id(parameter)] for name, parameter in named}


def test_at_the_defaults_there_is_one_group_as_before():
    model = embedder()
    parameters = parameter_groups(model, NOTHING, OptimizerSettings())
    assert [id(one) for one in parameters] == [id(one) for one in model.parameters()]
    (group,) = build_optimizer(parameters, OptimizerSettings()).param_groups
    assert "lr_scale" not in group


def test_the_objectives_own_parameters_are_trained_too():
    objective = nn.Linear(2, 2)
    parameters = parameter_groups(embedder(), objective, OptimizerSettings())
    assert parameters[-2] is objective.weight
    assert told(embedder(), objective, head_rate=3.0)["objective.weight"] == (3, 0.1)


def test_norms_and_biases_may_be_spared_from_decay():
    rates = told(embedder(pooling="gem", head="fc", embedding_size=4), NOTHING, decay_norms_and_biases=False)
    assert rates["backbone.model.layer1.0.conv1.weight"] == (1, 0.1)
    assert rates["backbone.model.layer1.0.bn1.weight"] == (1, 0)
    assert rates["backbone.model.layer1.0.bn1.bias"] == (1, 0)
    assert rates["classifier.weight"] == (1, 0.1)
    assert rates["classifier.bias"] == (1, 0)
    optimizer = build_optimizer(
        parameter_groups(embedder(), NOTHING, OptimizerSettings(decay_norms_and_biases=False)), OptimizerSettings()
    )
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0, 5e-4]


def test_what_a_networks_authors_spare_is_spared():
    rates = told(embedder("test_vit"), NOTHING, decay_norms_and_biases=False)
    assert rates["backbone.model.pos_embed"] == rates["backbone.model.cls_token"] == (1, 0)
    assert told(embedder("test_vit"), NOTHING, bias_rate=2.0)["backbone.model.pos_embed"] == (1, 0.1)


def test_new_layers_and_biases_have_rates_of_their_own():
    rates = told(embedder(attention="se", head="fc", embedding_size=4), NOTHING, head_rate=10.0, bias_rate=2.0)
    assert rates["backbone.model.conv1.0.weight"][0] == 1
    assert rates["backbone.model.layer2.stage.0.bn1.bias"][0] == 2
    new = [name for name in rates if not name.startswith("backbone.") or ".attention." in name]
    assert len(new) > 4
    assert {rates[name][0] for name in new if not name.endswith("bias")} == {10}
    assert {rates[name][0] for name in new if name.endswith("bias")} == {20}


def test_layer_decay_of_a_vision_transformer():
    """Six blocks: the new layers are the eighth layer from the embedding of patches."""
    rates = told(embedder("test_vit"), NOTHING, layer_decay=0.5, head_rate=3.0)
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"):
        assert rates[f"backbone.model.{name}"][0] == 1 / 128
    for block, scale in enumerate((1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)):
        assert rates[f"backbone.model.blocks.{block}.attn.qkv.weight"][0] == scale
    assert rates["backbone.model.norm.weight"][0] == 1 / 2
    assert rates["classifier.weight"][0] == 3


REFINED = [
    {"attention": "se"},
    {"attention": "se", "non_local": (0, 0, 1, 1), "mixstyle": 0.5, "instance_norm": "ibn-b"},
]


@pytest.mark.parametrize("refined", REFINED)
def test_layer_decay_of_a_residual_network_with_and_without_what_refines_it(refined):
    """One block a stage: conv1 is five layers from the new ones."""
    plain, here = (
        told(embedder("resnet10t", **more), NOTHING, layer_decay=0.5, head_rate=3.0) for more in ({}, refined)
    )
    assert plain["backbone.model.conv1.0.weight"][0] == 1 / 32
    for stage, scale in enumerate((1 / 16, 1 / 8, 1 / 4, 1 / 2), start=1):
        assert plain[f"backbone.model.layer{stage}.0.conv1.weight"][0] == scale
    found = {name.replace(".stage", ""): rates for name, rates in here.items()}
    came_with_it = [name for name in plain if name in found]
    assert len(came_with_it) > len(plain) - 3  # IBN-b has another norm in the stem, of the same name
    assert {name: found[name] for name in came_with_it} == {name: plain[name] for name in came_with_it}
    assert {rate for name, (rate, _) in here.items() if ".attention." in name} == {3}


def test_a_branch_has_the_rate_of_the_backbones_last_layer():
    rates = told(embedder(branches=2, neck="batch-norm"), NOTHING, layer_decay=0.5, head_rate=3.0)
    assert {rate for name, (rate, _) in rates.items() if name.startswith("backbone.branches.")} == {0.5}
    assert {rate for name, (rate, _) in rates.items() if not name.startswith("backbone.")} == {3}


def test_layer_decay_needs_a_network_whose_layers_are_known(monkeypatch):
    model = embedder()
    monkeypatch.delattr(type(model.backbone.model), "group_matcher")
    with pytest.raises(SamecarError, match=r"optimizer\.layer_decay is 0\.5 but timm does not say .*'test_resnet' has"):
        told(model, NOTHING, layer_decay=0.5)
