"""On a GPU: pictures and steps are those of the processor, and no step waits for the GPU."""

import copy

import pytest
import torch
from conftest import TINY

from samecar.config import AugmentationSettings, load_recipe
from samecar.data import Delivery, IdentityBatches, class_numbers, open_source, training_loader, training_transform
from samecar.hardware import REFERENCE, Speed
from samecar.models import build_embedder
from samecar.preprocessing import Preprocessing
from samecar.training import Learner
from samecar.training.loop import train_batch

pytestmark = pytest.mark.gpu

PREPROCESSING = Preprocessing(32, 32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EVERYTHING = {
    "jitter": True,
    "jitter_saturation": 0.2,
    "jitter_hue": 0.1,
    "pca_colour": 0.5,
    "grey_pictures": 0.3,
    "grey_patches": 0.5,
    "erasing": 0.5,
}


def batches_on(device, painted_source, *, channels_last=False, threads=2):
    train = open_source(painted_source).of_split("train")
    transform = training_transform(PREPROCESSING, AugmentationSettings(**EVERYTHING))
    plan = IdentityBatches(train.vehicle_id, 8, 2)
    delivery = Delivery(torch.device(device), channels_last)
    return list(training_loader(train, class_numbers(train.vehicle_id), transform, plan, threads, delivery))


def learner(device, speed, *changes):
    recipe = load_recipe("report-baseline", [*TINY, "model.dropout=0", "optimizer.learning_rate=1e-4", *changes])
    torch.manual_seed(0)
    model = build_embedder(recipe.model, 8)
    made = Learner(copy.deepcopy(model), recipe, torch.device(device), speed)
    made.begin_epoch(0)
    made.set_rate(0, 0)
    return made


def weights(made):
    return torch.cat([parameter.detach().flatten().cpu() for parameter in made.model.parameters()])


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("threads", [0, 8])
def test_batches_are_those_of_the_processor(painted_source, channels_last, threads):
    here = batches_on("cpu", painted_source)
    there = batches_on("cuda", painted_source, channels_last=channels_last, threads=threads)
    for one, other in zip(here, there, strict=True):
        assert other.pictures.is_cuda
        assert other.labels.is_pinned()
        torch.testing.assert_close(other.pictures.cpu(), one.pictures, rtol=1e-4, atol=1e-4)
        assert torch.equal(other.labels, one.labels)
        assert torch.equal(other.rows, one.rows)


@pytest.mark.parametrize("speed", [REFERENCE, Speed(), Speed(compile=True)])
def test_steps_are_those_of_the_processor_but_for_rounding(painted_source, speed):
    sides = [learner("cpu", REFERENCE), learner("cuda", speed)]
    before = weights(sides[0])
    for one, other in zip(batches_on("cpu", painted_source), batches_on("cuda", painted_source), strict=True):
        losses = [train_batch(side, batch)["loss"].item() for side, batch in zip(sides, (one, other), strict=True)]
        assert losses[1] == pytest.approx(losses[0], rel=0.02)
    expected, found = (weights(side) - before for side in sides)
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_waits_for_the_gpu(painted_source, precision):
    made = learner("cuda", Speed(), f"training.precision={precision}")
    batches = batches_on("cuda", painted_source, channels_last=True)
    train_batch(made, batches[0])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:4]:
            train_batch(made, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("before", "after"), [(REFERENCE, Speed()), (Speed(), REFERENCE)])
def test_a_checkpoint_goes_on_on_a_machine_that_is_used_otherwise(painted_source, tmp_path, before, after):
    first, second = learner("cuda", before), learner("cuda", after)
    batches = batches_on("cuda", painted_source)
    train_batch(first, batches[0])
    first.checkpoint.save(tmp_path, 1)
    second.checkpoint.load(tmp_path)
    begun = weights(first)
    assert torch.equal(weights(second), begun)
    for side in (first, second):
        train_batch(side, batches[1])
    expected, found = (weights(side) - begun for side in (first, second))
    assert (found - expected).norm() < 0.1 * expected.norm()
