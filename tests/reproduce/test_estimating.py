import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from tiny_reproduction import HERE, TINY_MODEL, tiny_choices

from samecar.config import load_recipe
from samecar.data import open_source
from samecar.errors import SamecarError
from samecar.experiment.timing import seconds_a_picture
from samecar.experiment.train import train
from samecar.hardware import Machine, share_machine
from samecar.reproduce import Choices, Scale, plan_runs, reproduce
from samecar.reproduce.estimating import estimate_runs, seconds_of_all
from samecar.reproduce.runs import Data
from samecar.training import Run

CPU = {"cores": 4, "workers": 4, "threads": 4, "on_cpu": True}
GPU = {"cores": 4, "workers": 4, "threads": 4, "on_cpu": False}


@pytest.mark.parametrize(
    ("reading", "computing", "place", "seconds"),
    [
        (8.0, 3.0, GPU, 3.0),  # four readers give a picture every 2 s, the GPU takes 3
        (20.0, 3.0, GPU, 5.0),  # reading decides
        (20.0, 3.0, {**GPU, "workers": 2}, 10.0),
        (20.0, 3.0, {**GPU, "workers": 40}, 5.0),  # more readers than cores are of no use
        (20.0, 3.0, {**GPU, "workers": 0}, 23.0),  # nothing overlaps
        (2.0, 3.0, {**CPU, "workers": 0}, 5.0),
        (2.0, 3.0, CPU, 3.5),  # 2 + 4 * 3 core seconds on four cores
        (8.0, 3.0, {**CPU, "threads": 1}, 3.0),  # three cores are left for reading
        (16.0, 1.0, {**CPU, "threads": 1}, 4.25),
        (16.0, 1.0, {**CPU, "threads": 1, "workers": 1}, 16.0),
        (0.0, 3.0, CPU, 3.0),
    ],
)
def test_reading_and_training_overlap_as_far_as_there_are_cores(reading, computing, place, seconds):
    assert seconds_a_picture(reading, computing, **place) == pytest.approx(seconds)


def test_runs_begin_as_soon_as_a_place_is_free():
    assert seconds_of_all([5, 1, 1, 1], 1) == 8
    assert seconds_of_all([5, 1, 1, 1], 2) == 5
    assert seconds_of_all([1, 1, 5], 2) == 6
    assert seconds_of_all([], 2) == 0


def test_parts_of_a_machine_share_its_workers():
    cpu = "cpu"
    assert share_machine(Machine(cpu, 16), ("cpu", "cpu", "cpu")) == [Machine(cpu, 5)] * 3
    assert share_machine(Machine(cpu, 1), ("cpu", "cpu")) == [Machine(cpu, 1)] * 2
    assert share_machine(Machine(cpu, 0), ("cpu", "cpu")) == [Machine(cpu, 0)] * 2
    with pytest.raises(SamecarError, match="devices are none"):
        share_machine(HERE, ())
    with pytest.raises(SamecarError, match="device is ''; it can be auto, cpu, cuda or cuda:N"):
        share_machine(HERE, ("cpu", ""))


@pytest.fixture(scope="module")
def plan(painted_source, tmp_path_factory):
    choices, rows = replace(tiny_choices(), scale=Scale(epochs=3, images=0.125)), ("adam", "amsgrad", "sgd")
    out = tmp_path_factory.mktemp("planned")
    work = reproduce([f"table8/{row}" for row in rows], painted_source, out, choices)
    return work, work.plan(on=HERE)


def test_a_plan_counts_what_training_then_does(plan, painted_source):
    work, planned = plan
    estimates = {estimate.run.rows[0]: estimate for estimate in planned.estimates}
    assert not (work.out / "runs").exists()
    (adam,) = [estimate for estimate in planned.estimates if "table8/adam" in estimate.run.rows]
    seen = []
    run = train(adam.run.recipe, painted_source, work.out / "elsewhere", on=HERE,
                progress=lambda task, done, total, note="": seen.append(total))  # fmt: skip
    assert adam.steps == pytest.approx(seen[-1], abs=1)
    assert adam.pictures == adam.steps * 8
    kept = sum(path.stat().st_size for path in run.folder.rglob("*.safetensors"))
    assert adam.disk_bytes == pytest.approx(kept, rel=0.1)
    assert len({estimate.operations for estimate in estimates.values()}) == 1
    # Adam keeps two numbers of each weight, AMSGrad three, SGD one; the checkpoint and the model have the weights.
    weights = sum(tensor.nbytes for tensor in run.load_model().state_dict().values())
    sizes = [round(estimate.disk_bytes / weights) for estimate in planned.estimates]
    assert sizes == [4, 5, 3]


def test_operations_are_those_of_the_layers(painted_source, tmp_path):
    changes = ("model.backbone=resnet18", *TINY_MODEL[1:], "model.head=none", "model.height=224", "model.width=224")
    choices = Choices(scale=Scale(epochs=1), changes=changes)
    data = Data.of(open_source(painted_source))
    (estimate,) = estimate_runs(plan_runs(choices, ["table8/adam"], tmp_path), data, [HERE])
    # ResNet18 is said to have 1.8e9 multiplications, each with an addition, for a picture of 224 by 224.
    assert estimate.operations / (3 * estimate.pictures + 32) == pytest.approx(2 * 1.81e9, rel=0.01)


def test_sums_and_disk_of_a_plan(plan):
    _, planned = plan
    content = json.loads(json.dumps(planned.as_dict()))
    assert content["steps"] == sum(run["steps"] for run in content["runs"])
    assert content["seconds"] == pytest.approx(sum(run["seconds"] for run in content["runs"]))
    assert content["disk_bytes"] == sum(run["disk_bytes"] for run in content["runs"]) + max(
        run["checkpoint_bytes"] for run in content["runs"]
    )
    assert {"table1/batch-64", "table5/batch-64", "table8/adam"} <= set(content["runs"][0]["rows"])
    for run in content["runs"]:
        trained = run["reading_seconds"] + run["training_seconds"]
        embedded = run["reading_seconds"] + run["training_seconds"] / 3
        assert run["seconds"] == pytest.approx(run["pictures"] * trained + 32 * embedded)


def test_what_is_done_is_not_planned_again(painted_source, tmp_path):
    choices = replace(tiny_choices(), scale=Scale(epochs=4, images=0.125))
    work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, choices)
    whole = {estimate.run.rows[0]: estimate.steps for estimate in work.plan(on=HERE).estimates}
    list(reproduce(["table8/adam"], painted_source, tmp_path, choices).run(on=HERE))

    def stop(task, done, total, note=""):
        if done / total >= 0.5 and not note.startswith("epoch"):
            raise KeyboardInterrupt

    (sgd,) = plan_runs(choices, ["table8/sgd"], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(sgd.recipe, painted_source, sgd.folder, on=HERE, progress=stop)
    planned = work.plan(on=HERE)
    assert planned.finished == 1
    (left,) = planned.estimates
    assert left.steps == pytest.approx(whole["table8/sgd"] / 2, abs=1)
    Run.open(sgd.folder).note_early_end(2)
    assert [estimate.steps for estimate in work.plan(on=HERE).estimates] == [0]


def test_held_out_vehicles_are_not_trained_on(painted_source, tmp_path):
    data = Data.of(open_source(painted_source))
    some = Choices(scale=Scale(epochs=1, images=0.125), changes=(*TINY_MODEL, "training.validation=0.5"))
    (half,) = estimate_runs(plan_runs(some, ["table8/adam"], tmp_path), data, [HERE])
    (whole,) = estimate_runs(plan_runs(tiny_choices(), ["table8/adam"], tmp_path), data, [HERE])
    assert half.steps == pytest.approx(whole.steps / 2, abs=1)


def test_timing_changes_nothing_of_a_run(painted_source, tmp_path):
    (run,) = plan_runs(tiny_choices(), ["table8/adam"], tmp_path)
    threads = torch.get_num_threads()
    before = train(run.recipe, painted_source, tmp_path / "before", on=HERE)
    estimate_runs([run], Data.of(open_source(painted_source)), [HERE])
    after = train(run.recipe, painted_source, tmp_path / "after", on=HERE)
    assert Run.open(before.folder).model_digest() == after.model_digest()
    assert torch.get_num_threads() == threads


def test_a_network_that_does_not_fit_is_told_before_anything_starts(painted_source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate too much")

    monkeypatch.setattr("samecar.experiment.timing.train_batch", full)
    work = reproduce(["table8/adam"], painted_source, tmp_path / "out", tiny_choices())
    with pytest.raises(SamecarError, match=r"table8/adam: the memory of cpu is full; lower batch\.size"):
        list(work.run(on=HERE))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["training.precision=bfloat16", "loss.triplet=0", "batch.pictures_per_vehicle=1"])
def test_every_kind_of_training_can_be_timed(painted_source, tmp_path, change):
    changes = (*TINY_MODEL, change)
    runs = plan_runs(Choices(scale=Scale(epochs=1, images=0.125), changes=changes), ["table8/adam"], tmp_path)
    (estimate,) = estimate_runs(runs, Data.of(open_source(painted_source)), [HERE])
    assert np.isfinite(estimate.seconds)
    assert estimate.seconds > 0
    assert load_recipe("report-baseline", [*TINY, change])
