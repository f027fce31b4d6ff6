import copy
import math
from functools import cache

import pytest
import torch
from conftest import TINY
from torch import nn

from samecar.config import OptimizerSettings, load_recipe
from samecar.data import Batch
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.training import Learner
from samecar.training.loop import train_batch
from samecar.training.optim import build_optimizer
from samecar.training.sharing import synchronise_batch_norm

CPU = torch.device("cpu")
PLAIN = (
    "model.backbone=test_vit",  # without batch normalisation: a picture's gradient does not depend on its batch
    "optimizer.name=sgd",
    "optimizer.momentum=0",
    "optimizer.weight_decay=0",
    "optimizer.learning_rate=0.1",
    "loss.triplet=0",
)


@cache
def built(settings):
    torch.manual_seed(0)
    return build_embedder(settings, 4)


def learner(*changes):
    recipe = load_recipe("report-baseline", [*TINY, *changes])
    made = Learner(copy.deepcopy(built(recipe.model)), recipe, CPU)
    made.begin_epoch(0)
    made.set_rate(0, 0)
    return made


def noise(seed, count=4):
    return batch_of(torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))


def joined(*batches):
    return batch_of(torch.cat([batch.pictures for batch in batches]))


def batch_of(pictures):
    rows = torch.arange(len(pictures))
    return Batch(pictures, labels=rows % 4, failures=(), rows=rows, cameras=rows % 2, views=rows - rows - 1)


def weights(model):
    return torch.cat([parameter.detach().flatten().clone() for parameter in model.parameters()])


def changed(made, *batches):
    before = weights(made.model)
    for batch in batches:
        train_batch(made, batch)
    return weights(made.model) - before


# gradients


def test_accumulated_batches_are_one_large_batch():
    small, large = learner(*PLAIN, "training.accumulation=3"), learner(*PLAIN)
    batches = [noise(seed) for seed in range(3)]
    assert not changed(small, *batches[:2]).any()
    torch.testing.assert_close(changed(small, batches[2]), changed(large, joined(*batches)), rtol=1e-3, atol=1e-6)


def test_batches_that_are_left_make_a_step_of_their_own():
    small, large = learner(*PLAIN, "training.accumulation=3"), learner(*PLAIN)
    before = weights(small.model)
    train_batch(small, noise(0))
    train_batch(small, noise(1))
    small.step()
    torch.testing.assert_close(
        weights(small.model) - before, changed(large, joined(noise(0), noise(1))), rtol=1e-3, atol=1e-6
    )
    after = weights(small.model)
    small.step()
    assert torch.equal(weights(small.model), after)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_long_gradients_are_shortened_and_short_ones_are_not(precision):
    """A step of plain SGD is the gradient times the rate; float16's gradients are cut after they are scaled back."""
    batch = noise(0)

    def step(*changes):
        made = learner(*PLAIN, f"training.precision={precision}", *changes)
        before = weights(made.model)
        made.learn(made.objective(made.model.outputs(batch.pictures), batch.labels)["total"])
        return weights(made.model) - before

    free = step()
    length = (free / 0.1).norm().item()
    torch.testing.assert_close(step(f"optimizer.clip_norm={length / 4}"), free / 4, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(step(f"optimizer.clip_norm={length * 2}"), free, rtol=1e-5, atol=1e-8)


def test_a_groups_rate_is_its_multiple_of_the_schedules():
    made = learner("optimizer.head_rate=10", "schedule.warmup_epochs=4", "training.epochs=8")
    made.set_rate(2, 0.5)
    expected = 1e-3 * (0.01 + 0.99 * 2 / 4)
    assert sorted(group["lr"] for group in made.optimizer.param_groups) == pytest.approx([expected, 10 * expected])
    assert made.rate == pytest.approx(expected)


def test_batches_of_one_step_have_one_rate():
    made = learner("training.accumulation=2", "schedule.decay=cosine", "schedule.per_step=true", "loss.triplet=0")
    train_batch(made, noise(0))
    made.set_rate(1, 0.5)
    assert made.rate == 1e-3
    train_batch(made, noise(1))
    made.set_rate(1, 0.5)
    assert made.rate == pytest.approx(1e-3 * (1 + math.cos(math.pi * 0.75)) / 2)


# the average of the weights


def test_averaged_weights_are_those_of_the_formula():
    made = learner("loss.triplet=0", "training.ema=0.3", "optimizer.learning_rate=0.01")
    expected = weights(made.model).double()
    for step in range(6):
        train_batch(made, noise(step))
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights(made.model).double()
    assert made.trained is not made.model
    torch.testing.assert_close(weights(made.trained).double(), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(weights(made.trained), weights(made.model))
    assert not made.trained.training
    for average, buffer in zip(made.trained.buffers(), made.model.buffers(), strict=True):
        assert torch.equal(average, buffer)


def test_without_an_average_the_model_itself_is_kept():
    made = learner()
    assert made.trained is made.model
    assert made.checkpoint.average is None


# what is frozen


def changed_names(made):
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    train_batch(made, noise(0))
    return {name for name, tensor in made.model.state_dict().items() if not torch.equal(tensor, before[name])}


FREEZE = ("loss.triplet=0", "training.freeze_backbone_epochs=2", "model.attention=se")


def test_a_frozen_backbone_keeps_weights_and_running_means_but_attention_learns():
    made = learner(*FREEZE, "optimizer.decay_norms_and_biases=false", "optimizer.name=adamw")
    everything = set(made.model.state_dict())
    frozen = {name for name in everything if name.startswith("backbone.") and ".attention." not in name}
    found = changed_names(made)
    assert not found & frozen
    assert {name for name in found if ".attention." in name}
    assert "classifier.weight" in found
    assert not made.model.backbone.model.layer1.stage.training
    assert made.model.backbone.model.layer1.attention.training
    made.begin_epoch(1)
    assert not changed_names(made) & frozen
    made.begin_epoch(2)
    found = changed_names(made)
    assert {"backbone.model.conv1.0.weight", "backbone.model.layer1.stage.0.bn1.running_mean"} <= found


def test_all_but_the_last_stage_may_be_frozen():
    made = learner(*FREEZE, "training.frozen=all-but-last-stage")
    found = {name for name in changed_names(made) if ".attention." not in name}
    assert all(name.startswith(("backbone.model.layer4.", "classifier.")) for name in found)
    assert "backbone.model.layer4.stage.0.bn1.running_mean" in found


def test_branches_are_part_of_the_backbone_and_of_its_last_stage():
    """A copy of the last stage comes with the backbone; what attention is in it begins anew."""
    made = learner(*FREEZE, "model.branches=2")
    found = {name for name in changed_names(made) if name.startswith("backbone.branches.")}
    assert found
    assert all(".attention." in name for name in found)
    made = learner(*FREEZE, "model.branches=2", "training.frozen=all-but-last-stage")
    found = {name for name in changed_names(made) if ".attention." not in name}
    assert {name.split(".")[1] for name in found if name.startswith("backbone.")} == {"branches", "model"}
    assert not [name for name in found if name.startswith("backbone.model.") and ".layer4." not in name]


def test_what_comes_after_the_last_stage_is_not_frozen():
    """An EfficientNet widens its last stage's map once more."""
    made = learner(
        "model.backbone=test_efficientnet",
        "loss.triplet=0",
        "training.freeze_backbone_epochs=1",
        "training.frozen=all-but-last-stage",
    )
    assert made.model.backbone.stages[-2].module == "blocks.3"
    found = {name.removeprefix("backbone.model.") for name in changed_names(made)}
    assert {name.partition(".")[0] for name in found} == {"blocks", "conv_head", "bn2", "classifier"}
    assert all(name.startswith("blocks.4.") for name in found if name.startswith("blocks."))


def test_a_network_without_stages_has_no_last_one():
    with pytest.raises(SamecarError, match=r"training\.frozen 'all-but-last-stage' needs .* 'test_vit' is not; choose"):
        learner(*PLAIN, "training.freeze_backbone_epochs=1", "training.frozen=all-but-last-stage")


def test_what_never_had_a_gradient_has_none_after_thawing():
    recipe = load_recipe("report-baseline", [*TINY, *PLAIN, "training.freeze_backbone_epochs=1"])
    model = copy.deepcopy(built(recipe.model))
    model.backbone.model.pos_embed.requires_grad_(False)
    made = Learner(model, recipe, CPU)
    made.begin_epoch(0)
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    made.begin_epoch(1)
    fixed = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert fixed == ["backbone.model.pos_embed"]


# batch normalisation of several processes


def test_a_synchronised_network_has_the_same_tensors_and_embeddings():
    """What the layers do in training only GPUs can show; the marked tests do."""
    model = copy.deepcopy(built(load_recipe("report-baseline", TINY).model)).eval()
    pictures, names = noise(0).pictures, list(model.state_dict())
    with torch.no_grad():
        before = model(pictures)
        synchronise_batch_norm(model, torch.device("cuda"))
        torch.testing.assert_close(model(pictures), before)
    layers = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert layers
    assert all(isinstance(layer, torch.nn.SyncBatchNorm) for layer in layers)
    assert list(model.state_dict()) == names


def test_batch_normalisation_is_not_synchronised_on_processors():
    model = built(load_recipe("report-baseline", TINY).model)
    with pytest.raises(SamecarError, match="where torch cannot synchronise batch normalisation; take GPUs"):
        synchronise_batch_norm(model, CPU)
    recipe = load_recipe("report-baseline", [*TINY, "training.synchronised_batch_norm=true"])
    Learner(copy.deepcopy(model), recipe, CPU)  # in one process there is nothing to synchronise


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_a_weight_that_learns_later_than_others_is_taken_in(name):
    """torch's fused gradient descent fails there, which is why it is not taken."""
    settings = OptimizerSettings(name=name, learning_rate=0.1)
    first, later = (nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = build_optimizer([first, later], settings, fused=True)
    first.grad = torch.ones(3)
    optimizer.step()
    later.grad = torch.ones(3)
    optimizer.step()
    assert (later < 1).all()
    assert (first < later).all()
