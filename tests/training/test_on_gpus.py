"""Training on a GPU against a processor, and batch normalisation that several processes synchronise on one."""

import copy

import pytest
import torch
from several_processes import run_together
from test_several_processes import batch_of, built, part_of, recipe_with

from samecar.processes import ALONE
from samecar.training import Learner
from samecar.training.loop import train_batch

pytestmark = pytest.mark.gpu

SGD = ("optimizer.name=sgd", "optimizer.learning_rate=0.02")
SYNCHRONISED = (*SGD, "training.synchronised_batch_norm=true")


def train_on(processes, device, changes):
    """Losses of ten steps in float64, and what was learned, on the processor."""
    recipe = recipe_with(changes)
    learner = Learner(copy.deepcopy(built(recipe.model)).double(), recipe, torch.device(device), processes=processes)
    learner.objective.double()
    learner.begin_epoch(0)
    losses = [train_batch(learner, batch_of(step, part_of(processes)))["loss"].item() for step in range(10)]
    learner.end_epoch()
    return losses, {name: tensor.cpu() for name, tensor in learner.model.state_dict().items()}


def assert_same(mine, theirs):
    assert mine[0] == pytest.approx(theirs[0], rel=1e-5)
    for name, tensor in mine[1].items():
        torch.testing.assert_close(tensor, theirs[1][name], rtol=1e-4, atol=1e-5)


def test_steps_on_a_gpu_are_those_on_a_processor():
    here = train_on(ALONE, "cpu", SGD)
    assert_same(train_on(ALONE, "cuda", SGD), here)


@pytest.mark.parametrize("count", [2, 4])
def test_synchronised_batch_normalisation_is_that_of_one_process(tmp_path, count):
    """The processes share one GPU here, so they meet by gloo, which takes its numbers too."""
    alone = train_on(ALONE, "cuda", SGD)
    for result in run_together(count, train_synchronised, tmp_path / "run"):
        assert_same(result, alone)


def train_synchronised(processes):
    return train_on(processes, "cuda", SYNCHRONISED)
