"""How a machine is used changes rounding only, and a run may be resumed on a machine that is used otherwise."""

import copy
import json
from functools import cache
from itertools import permutations

import pytest
import torch
from conftest import TINY

from samecar.config import load_recipe
from samecar.data import Batch
from samecar.errors import SamecarError
from samecar.experiment.train import train
from samecar.hardware import REFERENCE, Machine, Speed, has_compiler, machine, share_machine
from samecar.models import build_embedder
from samecar.training import Learner, compiling
from samecar.training.loop import train_batch

CPU = torch.device("cpu")
OPTIMIZERS = ("adam", "amsgrad", "adamw", "rmsprop", "sgd")
QUICK = Speed()
compiled = pytest.mark.skipif(not has_compiler(), reason="torch compiles networks with a C++ compiler")


@cache
def built(settings):
    torch.manual_seed(0)
    return build_embedder(settings, 4)


def learner(speed, *changes):
    recipe = load_recipe("report-baseline", [*TINY, "model.dropout=0", *changes])
    made = Learner(copy.deepcopy(built(recipe.model)), recipe, CPU, speed)
    made.begin_epoch(0)
    made.set_rate(0, 0)
    return made


def noise(seed, count=8):
    pictures = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    rows = torch.arange(count)
    return Batch(pictures, labels=rows % 4, failures=(), rows=rows, cameras=rows % 2, views=rows - rows - 1)


def weights(made):
    return torch.cat([parameter.detach().flatten().clone() for parameter in made.model.parameters()])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_reference_but_for_rounding(name):
    # A first step of Adam is equally long for any gradient: rounding may turn one that is nearly zero, hence the 2 %.
    rate = "optimizer.learning_rate=1e-4"
    sides = [learner(speed, f"optimizer.name={name}", rate) for speed in (REFERENCE, QUICK)]
    before = weights(sides[0])
    assert torch.equal(before, weights(sides[1]))
    for seed in range(3):
        for side in sides:
            train_batch(side, noise(seed))
    reference, quick = (weights(side) - before for side in sides)
    assert reference.norm() > 0
    assert (quick - reference).norm() < 0.02 * reference.norm()


def test_speed_is_what_was_asked_for():
    quick, reference = learner(QUICK), learner(REFERENCE)
    for made in (quick, reference):
        train_batch(made, noise(0))
    kernels = [parameter for parameter in quick.model.parameters() if parameter.ndim == 4]
    assert all(parameter.is_contiguous(memory_format=torch.channels_last) for parameter in kernels)
    assert all(parameter.is_contiguous() for parameter in reference.model.parameters())
    assert {group["fused"] for group in quick.optimizer.param_groups} == {True}
    assert {group["fused"] for group in reference.optimizer.param_groups} == {None}
    assert learner(None).speed == QUICK


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("before", "after"), [*permutations((QUICK, REFERENCE)), (QUICK, QUICK)])
def test_a_checkpoint_goes_on_on_a_machine_that_is_used_otherwise(tmp_path, name, before, after):
    changes = f"optimizer.name={name}", "optimizer.learning_rate=1e-4"
    first, second = learner(before, *changes), learner(after, *changes)
    for seed in range(2):
        train_batch(first, noise(seed))
    first.checkpoint.save(tmp_path, 1)
    assert second.checkpoint.load(tmp_path) == 1
    begun = weights(first)
    assert torch.equal(weights(second), begun)
    for side in (first, second):
        train_batch(side, noise(2))
    expected, found = (weights(side) - begun for side in (first, second))
    if before == after:
        assert torch.equal(found, expected)
    assert expected.norm() > 0
    assert (found - expected).norm() < 0.02 * expected.norm()
    chosen = True if after.fused and name in ("adam", "adamw", "amsgrad") else None
    assert {group.get("fused") for group in second.optimizer.param_groups} == {chosen}


def test_what_fused_steps_average_lies_as_the_weights_do(tmp_path):
    first, second = learner(REFERENCE), learner(QUICK)
    train_batch(first, noise(0))
    first.checkpoint.save(tmp_path, 1)
    second.checkpoint.load(tmp_path)
    kernels = [parameter for parameter in second.model.parameters() if parameter.ndim == 4]
    for parameter in kernels:
        assert second.optimizer.state[parameter]["exp_avg"].stride() == parameter.stride()


def test_a_run_notes_how_the_machine_was_used(painted_source, tmp_path):
    recipe = load_recipe("report-baseline", [*TINY, "training.epochs=1"])
    run = train(recipe, painted_source, tmp_path / "run", on=machine("cpu", 2, Speed(cache="memory")))
    (session,) = json.loads((run.folder / "run.json").read_text())["sessions"]
    assert session["speed"] == {"channels_last": True, "fused": True, "compile": False, "cache": True}
    longer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 2})})
    run = train(longer, painted_source, tmp_path / "run", resume=True, on=machine("cpu", 0, REFERENCE))
    sessions = json.loads((run.folder / "run.json").read_text())["sessions"]
    assert sessions[1]["speed"] == {"channels_last": False, "fused": False, "compile": False, "cache": False}


def test_parts_of_a_machine_are_used_as_the_whole_is():
    assert share_machine(Machine("cpu", 4, REFERENCE), ("cpu", "cpu")) == [Machine("cpu", 2, REFERENCE)] * 2


@compiled
@pytest.mark.slow
@pytest.mark.long
def test_a_compiled_network_learns_as_the_network_does():
    sides = [learner(Speed(compile=chosen)) for chosen in (False, True)]
    before = weights(sides[0])
    for seed in range(3):
        values = [train_batch(side, noise(seed))["loss"] for side in sides]
        torch.testing.assert_close(values[1], values[0], rtol=1e-4, atol=1e-5)
    expected, found = (weights(side) - before for side in sides)
    assert (found - expected).norm() < 0.05 * expected.norm()
    for one, other in zip(sides[0].model.buffers(), sides[1].model.buffers(), strict=True):
        # the comparison has left no trace: as many batches were counted, and means differ as the weights do
        torch.testing.assert_close(other, one, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("wrong", ["outputs", "gradients"])
def test_a_compiled_network_that_says_something_else_is_refused(monkeypatch, wrong):
    made = learner(QUICK)

    def compile_wrongly(read, **_):
        def compiled(pictures, side=None):
            outputs = read(pictures, side)
            logits = outputs.logits * 1.1 if wrong == "outputs" else outputs.logits.detach()
            return outputs._replace(logits=logits)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_wrongly)
    network = compiling.CompiledNetwork(made.model)
    batch = noise(0)
    with pytest.raises(SamecarError, match=f"the compiled network's {wrong} of the first batch are .* leave --compile"):
        network(batch.pictures, (batch.cameras, batch.views))


@compiled
@pytest.mark.slow
@pytest.mark.long
def test_without_a_compiler_one_sentence_says_so(monkeypatch, tmp_path):
    torch.compiler.reset()
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "none"),))  # it was read before
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    assert not has_compiler()
    made = learner(Speed(compile=True))
    with pytest.raises(SamecarError, match=r"^the network cannot be compiled here: .*; leave --compile out$"):
        train_batch(made, noise(0))
