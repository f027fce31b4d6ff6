"""Which recipe is chosen for which pictures and machine."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY

from samecar.config import shipped_recipes
from samecar.data import as_manifest
from samecar.errors import SamecarError
from samecar.experiment import choosing
from samecar.experiment.choosing import CANDIDATES, Choice, choose_recipe
from samecar.hardware import Machine, machine

HERE = machine("cpu", 0)
WITHOUT_WEIGHTS = ("model.weights=none",)


def choice_for(source, monkeypatch, *changes, memory=0.0, **facts) -> Choice:
    """The choice on a machine with so much GPU memory in GiB, for a set that looks as stated."""
    seen = choosing._look(as_manifest(source), HERE)
    monkeypatch.setattr(choosing, "_look", lambda *_: replace(seen, memory=memory, **facts))
    return choose_recipe(source, (*WITHOUT_WEIGHTS, *changes), on=HERE, timed=False)


def test_a_machine_without_a_gpu_takes_the_recipe_for_small_sets(painted_source, monkeypatch):
    choice = choice_for(painted_source, monkeypatch)
    assert choice.name == "small-set"
    assert choice.reasons[0] == "8 vehicles to train on, 6 pictures of a vehicle (median), 2 cameras"
    assert choice.reasons[1] == "no GPU"
    assert "not veri-r50-ibn: it wants a GPU with 15 GiB and 200 vehicles and 8 pictures of each" in choice.reasons
    assert math.isnan(choice.seconds)


def test_batches_become_as_small_as_the_set_wants(painted_source, monkeypatch):
    few = choice_for(painted_source, monkeypatch, vehicles=8)
    assert few.recipe.batch.size // few.recipe.batch.pictures_per_vehicle == 8
    assert few.recipe.batch.size % few.recipe.batch.pictures_per_vehicle == 0
    single = choice_for(painted_source, monkeypatch, vehicles=500, pictures=1.0)
    assert single.recipe.batch.pictures_per_vehicle == 2
    assert choice_for(painted_source, monkeypatch, "batch.size=6").recipe.batch.size == 6


def test_every_candidate_is_shipped_and_the_last_one_wants_nothing():
    assert {candidate.name for candidate in CANDIDATES} <= set(shipped_recipes())
    assert CANDIDATES[-1] == choosing.Candidate("small-set")


@pytest.mark.parametrize(
    ("memory", "vehicles", "pictures", "name"),
    [
        (80, 576, 60, "veri-r50-ibn"),
        (15, 200, 8, "veri-r50-ibn"),
        (14.9, 576, 60, "edge"),
        (80, 199, 60, "edge"),
        (80, 576, 7, "edge"),
        (5.9, 576, 60, "small-set"),
        (80, 99, 60, "small-set"),
        (80, 576, 2, "small-set"),
    ],
)
def test_a_gpu_is_worth_a_larger_recipe(painted_source, monkeypatch, memory, vehicles, pictures, name):
    assert choice_for(painted_source, monkeypatch, memory=memory, vehicles=vehicles, pictures=pictures).name == name


def test_weights_that_cannot_be_had_are_a_reason(painted_source, monkeypatch):
    def refuse(settings):
        if settings.backbone != "mobilenetv2_100":
            raise SamecarError("no server answers")
        return choosing_weights(settings)

    choosing_weights = choosing.resolve_weights
    monkeypatch.setattr(choosing, "resolve_weights", refuse)
    choice = choice_for(painted_source, monkeypatch, memory=80.0, vehicles=576, pictures=60.0)
    assert choice.recipe.model.backbone == "mobilenetv2_100"
    assert "not veri-r50-ibn: no server answers" in choice.reasons
    monkeypatch.setattr(
        choosing, "resolve_weights", lambda settings: refuse(settings.model_copy(update={"backbone": ""}))
    )
    with pytest.raises(SamecarError, match="no recipe can begin: no server answers"):
        choice_for(painted_source, monkeypatch)


def test_the_memory_of_a_gpu_is_asked_for(painted_source, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _device: type("Properties", (), {"total_memory": 24 * 2**30})
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choosing._look(as_manifest(painted_source), Machine("cuda:0", 0)).memory == 24


def test_time_is_that_of_as_many_pictures_as_are_read(painted_source, monkeypatch):
    monkeypatch.setattr(choosing, "time_reading", lambda *_: 0.25)
    changes = (*TINY, "training.epochs=3", "batch.size=12", "batch.pictures_per_vehicle=3")
    choice = choose_recipe(painted_source, changes, on=HERE)
    # 8 vehicles with 6 pictures: 4 batches of 4 vehicles an epoch at most, and 3 at least
    assert 3 * 3 * 12 * 0.25 < choice.seconds < 3 * 4 * 12 * 1.0


def test_a_source_without_train_pictures_is_refused(painted_source):
    manifest = as_manifest(painted_source).of_split("gallery")
    with pytest.raises(SamecarError, match="has no train pictures; `samecar data split` makes some"):
        choose_recipe(manifest, on=HERE)
