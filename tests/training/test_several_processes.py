"""Training in two and four processes against one process: losses, weights and what a batch lacks."""

import copy
from functools import cache, partial

import pytest
import torch
from conftest import TINY
from several_processes import run_together
from torch.nn.modules.batchnorm import _BatchNorm

from samecar.config import LossSettings, load_recipe
from samecar.data import Batch, Failure, FailureLog, Manifest
from samecar.losses import LOSSES
from samecar.models import build_embedder
from samecar.processes import ALONE
from samecar.progress import silent
from samecar.training import Learner
from samecar.training.loop import TrainingProgress, train_batch, train_epoch

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
VEHICLES, EACH, STEPS = 8, 2, 10
MANY = 2000
"""Pictures of a set of which so few cannot be read that training goes on."""

VIT = ("model.backbone=test_vit", "optimizer.name=sgd", "optimizer.learning_rate=0.02")
"""Without batch normalisation. Adam would make whole steps of gradients that are nothing but rounding, such as those of
a key's bias in attention, which changes nothing."""
PLAIN = {
    "without batch normalisation": VIT,
    "accumulated, cut and averaged": (
        *VIT,
        "training.accumulation=3",
        "optimizer.clip_norm=0.5",
        "training.ema=0.9",
    ),
    "mined by camera": (*VIT, "loss.triplet_mining=camera"),
    "read by nobody": (*VIT, "loss.cross_entropy=0", "optimizer.weight_decay=0.1"),
    "frozen in its first epoch": (*VIT, "training.freeze_backbone_epochs=1"),
    "frozen batch normalisation": ("training.freeze_backbone_epochs=2",),
    "own centres and class vectors": (*VIT, "loss.centre.weight=0.1", "loss.arcface.weight=1"),
}
"""Changes to a recipe in which a picture's outputs do not depend on its batch."""
GROUPED = {
    "batch normalisation": (),
    "neck": ("model.neck=batch-norm",),
    "head": ("model.head=fc-bn-relu-dropout-fc", "model.embedding_size=16", "model.dropout=0"),
    "branches": ("model.branches=2", "loss.triplet_branches=[1]"),
    "averaged": ("training.ema=0.9",),
    "thawed": ("training.freeze_backbone_epochs=1",),
}
"""Changes with which it does: each process normalises its own part."""
LACKING = {"one picture left": 1, "no picture left": 0}
IN_FOUR = ("without batch normalisation", "accumulated, cut and averaged", "batch normalisation")
"""Those that four processes try; two try all."""


def recipe_with(changes):
    return load_recipe("report-baseline", [*TINY, "batch.size=16", *changes])


@cache
def pictures_of(step):
    """The batch of a step: whole vehicles, one behind the other; a step has its own numbers."""
    generator = torch.Generator().manual_seed(step)
    vehicles = torch.randperm(VEHICLES, generator=generator).repeat_interleave(EACH)
    noise = torch.randn(VEHICLES * EACH, 3, 32, 32, generator=generator, dtype=torch.float64)
    return noise + 0.3 * vehicles[:, None, None, None], vehicles


def batch_of(step, rows, lost=()):
    """Some rows of a step's batch, without those that cannot be read."""
    pictures, vehicles = pictures_of(step)
    kept = [row for row in rows if row not in lost]
    numbers = torch.tensor(kept, dtype=torch.int64)
    failures = tuple(Failure(row, "it is torn") for row in rows if row in lost)
    given = pictures[numbers] if kept else pictures.new_empty(0, 3, 0, 0)
    return Batch(given, vehicles[numbers], failures, numbers, numbers % 3 - 1, torch.full_like(numbers, -1))


@cache
def built(settings):
    torch.manual_seed(4)
    return build_embedder(settings, VEHICLES)


def learner_of(recipe, processes=ALONE):
    model = copy.deepcopy(built(recipe.model))
    torch.manual_seed(4)
    learner = Learner(model.double(), recipe, CPU, processes=processes)
    learner.objective.double()
    return learner


def part_of(processes):
    rows = list(range(VEHICLES * EACH))
    size = len(rows) // processes.count
    return rows[processes.rank * size : (processes.rank + 1) * size]


def train_steps(processes, changes, lost=(), change_model=lambda model: None):
    """Ten steps in two epochs; gives the records of both, and all that was learned.

    `lost` are the pictures that cannot be read in each third step.
    """
    learner = learner_of(recipe_with(changes), processes)
    change_model(learner.model)
    rows = ({"path": f"{row}.png", "vehicle_id": "a", "camera_id": "", "split": "train"} for row in range(MANY))
    records, failures = [], FailureLog(Manifest.from_rows("made", rows))
    for epoch in range(2):
        steps = range(epoch * STEPS // 2, (epoch + 1) * STEPS // 2)
        loader = [batch_of(step, part_of(processes), lost if step % 3 == 1 else ()) for step in steps]
        telling = TrainingProgress(silent, 2, CPU)
        record = train_epoch(learner, loader, epoch, failures, telling)
        records.append({name: value for name, value in record.items() if name != "seconds"})
    return records, learned_by(learner), failures.sentences()


def learned_by(learner):
    modules = {"model": learner.model, "trained": learner.trained, "objective": learner.objective}
    return {
        f"{kind}.{name}": tensor.clone()
        for kind, module in modules.items()
        for name, tensor in module.state_dict().items()
    }


def normalise_in_groups(groups, model):
    """The oracle of batch normalisation: one process that normalises each part of a batch by itself.

    What it learns of means and variances is the mean over the parts.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_in_groups, module, module.forward, groups)


def _in_groups(module, forward, groups, pictures):
    if not module.training:
        return forward(pictures)
    before, outputs, learned = dict(module.named_buffers()), [], []
    for part in pictures.chunk(groups):
        for name, statistic in before.items():
            setattr(module, name, statistic.clone())
        outputs.append(forward(part))
        learned.append(dict(module.named_buffers()))
    for name, statistic in before.items():
        mean = torch.stack([each[name].double() for each in learned]).mean(dim=0)
        setattr(module, name, mean.to(statistic.dtype))
    return torch.cat(outputs)


def gradients_of_losses(processes):
    """For each loss the gradients of a step that is not made yet, by name of loss and parameter."""
    found = {}
    for name in LOSSES:
        weights = [f"{LossSettings.option(other, 'weight')}={int(other == name)}" for other in LOSSES]
        learner = learner_of(recipe_with((*VIT, "training.accumulation=2", *weights)), processes)
        for loss in learner.objective.losses["image_to_text"] if name == "image_to_text" else ():
            loss.texts.copy_(torch.randn(loss.texts.shape, generator=torch.Generator().manual_seed(5)))
        learner.begin_epoch(0)
        values = train_batch(learner, batch_of(0, part_of(processes)))
        found[name] = {
            "loss": values["loss"].detach(),
            **{
                f"{kind}.{parameter}": tensor.grad
                for kind, module in (("model", learner.model), ("objective", learner.objective))
                for parameter, tensor in module.named_parameters()
            },
        }
    return found


def do_all(processes):
    """All that the tests look at, in one go: processes take long to start."""
    return {
        "trained": {
            name: train_steps(processes, changes)
            for name, changes in (PLAIN | GROUPED).items()
            if processes.count == 2 or name in IN_FOUR
        },
        "lacking": {
            (name, changes): train_steps(processes, changes, lost_of(processes.count, left))
            for name, left in LACKING.items()
            for changes in (VIT, ())
        },
        "all lost": train_steps(processes, VIT, tuple(range(VEHICLES * EACH))),
        "losses": gradients_of_losses(processes),
        "dropped": dropped_by(processes),
        "half precision": in_half_precision(processes),
    }


def lost_of(count, left):
    """Rows of the last process's part that cannot be read, so many that some are left."""
    rows = range(VEHICLES * EACH)
    return tuple(rows[-VEHICLES * EACH // count :][left:])


def dropped_by(processes):
    """What is dropped at random in an epoch, twice in a run that was taken up again."""
    learner = learner_of(recipe_with(VIT), processes)
    dropped = []
    for _ in range(2):
        torch.manual_seed(1)  # as a checkpoint would, which holds the state of the first process
        learner.begin_epoch(1)
        dropped.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
    return dropped


def in_half_precision(processes):
    """Losses of steps in float16 with its scaled gradients."""
    recipe = recipe_with((*VIT, "training.precision=float16", "optimizer.name=sgd"))
    learner = learner_of(recipe, processes)
    learner.model.float(), learner.objective.float()
    learner.begin_epoch(0)
    batches = (batch_of(step, part_of(processes)) for step in range(4))
    return [train_batch(learner, each._replace(pictures=each.pictures.float()))["loss"].item() for each in batches]


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.long)])
def several(request, tmp_path_factory):
    """How many processes, and what each has to show."""
    return request.param, run_together(request.param, do_all, tmp_path_factory.mktemp("several"))


def assert_same(mine, theirs):
    records, learned, failures = mine
    other_records, other_learned, other_failures = theirs
    assert failures == other_failures
    for record, other in zip(records, other_records, strict=True):
        assert record.keys() == other.keys()
        assert list(record.values()) == pytest.approx(list(other.values()), rel=1e-5, abs=1e-6)
    assert learned.keys() == other_learned.keys()
    for name, tensor in learned.items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(tensor, other_learned[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_ten_steps_are_those_of_one_process(several, name):
    count, results = several
    if count == 4 and name not in IN_FOUR:
        pytest.skip("two processes have shown it")
    alone = train_steps(ALONE, PLAIN[name])
    for result in results:
        assert_same(result["trained"][name], alone)


@pytest.mark.parametrize("name", GROUPED)
def test_with_batch_normalisation_they_are_those_of_one_process_that_normalises_in_the_same_groups(several, name):
    count, results = several
    if count == 4 and name not in IN_FOUR:
        pytest.skip("two processes have shown it")
    alone = train_steps(ALONE, GROUPED[name], change_model=partial(normalise_in_groups, count))
    for result in results:
        assert_same(result["trained"][name], alone)


def test_groups_change_what_is_learned(several):
    """Else the test before would show nothing."""
    records = train_steps(ALONE, ())[0]
    assert several[1][0]["trained"]["batch normalisation"][0][1]["loss"] != pytest.approx(records[1]["loss"], rel=1e-5)


@pytest.mark.parametrize("name", LACKING)
def test_pictures_that_cannot_be_read_are_missing_as_they_are_in_one_process(several, name):
    count, results = several
    alone = train_steps(ALONE, VIT, lost_of(count, LACKING[name]))
    assert len(alone[2]) == VEHICLES * EACH // count - LACKING[name]
    for result in results:
        assert_same(result["lacking"][name, VIT], alone)


@pytest.mark.parametrize("name", LACKING)
def test_batch_normalisation_of_a_part_without_two_pictures_is_no_end(several, name):
    _, results = several
    for result in results:
        records, learned, _ = result["lacking"][name, ()]
        assert_same((records, learned, []), (*results[0]["lacking"][name, ()][:2], []))
        assert all(torch.isfinite(tensor).all() for tensor in learned.values())


def test_a_batch_of_which_nothing_can_be_read_is_left_out(several):
    alone = train_steps(ALONE, VIT, tuple(range(VEHICLES * EACH)))
    for result in several[1]:
        assert_same(result["all lost"], alone)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_each_loss_are_those_of_one_process(several, name):
    alone = gradients_of_losses_alone()[name]
    assert any(gradient is not None and gradient.abs().sum() > 0 for key, gradient in alone.items() if key != "loss")
    for result in several[1]:
        found = result["losses"][name]
        assert {key for key, gradient in found.items() if gradient is None} == {
            key for key, gradient in alone.items() if gradient is None
        }
        for key, gradient in alone.items():
            if gradient is not None:
                torch.testing.assert_close(found[key], gradient, rtol=1e-7, atol=1e-10)


@cache
def gradients_of_losses_alone():
    return gradients_of_losses(ALONE)


def test_random_numbers_differ_between_processes_and_are_the_same_after_resuming(several):
    dropped = [result["dropped"] for result in several[1]]
    assert all(torch.equal(first, again) for first, again in dropped)
    assert len({tuple(first.tolist()) for first, _ in dropped}) == several[0]


def test_scaled_gradients_of_half_precision_are_those_of_one_process_but_for_rounding(several):
    alone = in_half_precision(ALONE)
    for result in several[1]:
        assert result["half precision"] == pytest.approx(alone, rel=2e-2)
        assert result["half precision"] == several[1][0]["half precision"]
