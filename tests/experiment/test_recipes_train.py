"""Every shipped recipe but the report's, whose rows have tests of their own, trains without a loss that is not finite.

Pictures are noise and weights are random, so that nothing is learned: what is tried is that the parts of a recipe go
together. The larger trials are marked `long`; docs/contributing.md says when they last passed.

Those with many steps or large pictures are in single precision, as most processors compute bfloat16 a hundred times as
slowly; the others have the precision of their recipe.
"""

import math

import pytest
import torch
from conftest import paint_picture

from samecar.config import load_recipe, shipped_recipes
from samecar.data import Batch
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.training.learner import Learner
from samecar.training.loop import train_batch

RECIPES = [name for name in shipped_recipes() if not name.startswith("report-")]
LARGE = ("own-vit", "veri-convnext-dinov3")
"""Networks that take half a minute to build and to make a step."""

SINGLE = "training.precision=float32"
SMALLEST = ("model.weights=none", "batch.size=4", "batch.pictures_per_vehicle=2")
VEHICLES = 4


PROMPTS = ("prompts.weights=none", "prompts.epochs=1", "prompts.warmup_epochs=0")


def recipe_of(name, *changes):
    recipe = load_recipe(name)
    prompts = PROMPTS if recipe.prompts.text_tower != "none" else ()
    return load_recipe(name, [*SMALLEST, *prompts, *_rate_of(recipe), *changes])


def _rate_of(recipe):
    """The rate of plain gradient descent belongs to the recipe's batch; four pictures get their share of it."""
    if recipe.optimizer.name != "sgd":
        return []
    return [f"optimizer.learning_rate={recipe.optimizer.learning_rate * 4 / recipe.batch.size}"]


def noise(model, generator):
    """Two pictures of each of two vehicles, by two cameras."""
    vehicles = torch.randperm(VEHICLES, generator=generator)[:2]
    size = (4, 3, model.preprocessing.height, model.preprocessing.width)
    cameras = torch.tensor([0, 1, 0, 1])
    return Batch(
        torch.randn(size, generator=generator), vehicles.repeat_interleave(2), (), torch.arange(4), cameras, cameras
    )


def losses_of(recipe, steps):
    """The loss of each of some steps."""
    learner = Learner(initial_model(recipe, VEHICLES), recipe, torch.device("cpu"))
    learner.begin_epoch(recipe.training.freeze_backbone_epochs)  # all is trained
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        learner.set_rate(recipe.schedule.warmup_epochs, 0)
        values = train_batch(learner, noise(learner.model, generator))
        yield values["loss"].item()
        if step == 0:
            without = [name for name, parameter in learner.model.named_parameters() if parameter.grad is None]
            assert all(name.startswith("neck") or ".neck" in name or "classifier" in name for name in without), without


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LARGE else ()) for name in RECIPES]
)
def test_a_recipe_makes_a_step_on_small_pictures(name):
    (loss,) = losses_of(recipe_of(name, "model.height=64", "model.width=64"), 1)
    assert math.isfinite(loss)


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_step_at_its_full_size(name):
    (loss,) = losses_of(recipe_of(name, SINGLE), 1)
    assert math.isfinite(loss)


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_300_steps(name):
    losses = list(losses_of(recipe_of(name, SINGLE, "model.height=64", "model.width=64"), 300))
    assert all(map(math.isfinite, losses))


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_for_an_epoch(name, tmp_path):
    for vehicle in range(VEHICLES):
        for camera in range(2):
            paint_picture(tmp_path / "crops" / f"v{vehicle}_c{camera}.png", vehicle, camera, 0)
    small = ("model.height=64", "model.width=64", "training.epochs=1", "schedule.milestones=[]")
    recipe = recipe_of(
        name, *small, "schedule.warmup_epochs=0", "schedule.per_step=false", "schedule.warmup_start=0.01"
    )
    source = f"folder:{tmp_path}/crops/{{vehicle_id}}_{{camera_id}}.png"
    (record,) = train(recipe, source, tmp_path / "run", on=machine("cpu", 0)).metrics()
    assert math.isfinite(record["loss"])
