"""What a run notes of the weights that it began with, and of each session of its training."""

import hashlib
import json
from datetime import UTC, datetime
from importlib import metadata
from unittest.mock import Mock

import pytest
import timm
import torch
from conftest import TINY
from safetensors.torch import save_file

from samecar.config import load_recipe
from samecar.experiment.evaluate import score_run
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.training import Run
from samecar.training.sessions import SessionClock
from samecar.version import find_commit

HERE = machine("cpu", 0)
SHORT = (*TINY, "training.epochs=1")


def recipe_with(*changes):
    return load_recipe("report-baseline", [*SHORT, *changes])


def backbone():
    return next(change.partition("=")[2] for change in TINY if change.startswith("model.backbone="))


def weights_file(path, seed=0):
    torch.manual_seed(seed)
    path.parent.mkdir(exist_ok=True)
    save_file(timm.create_model(backbone()).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, painted_source):
    folder = tmp_path_factory.mktemp("notes")
    path = weights_file(folder / "begin.safetensors")
    return train(recipe_with(f"model.weights={path}"), painted_source, folder / "run", on=HERE)


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_are_noted_with_their_digest(run, painted_source):
    path = run.folder.parent / "begin.safetensors"
    assert run.weights == {
        "name": "file:begin.safetensors",
        "file": "begin.safetensors",
        "sha256": digest_of(path),
        "licence": None,
        "address": None,
    }
    content = json.loads((run.folder / "run.json").read_text())
    assert (content["weights"], content["resolved"]) == (run.weights, run.resolved)
    assert Run.open(run.folder).weights == run.weights
    card = score_run(run, painted_source, on=HERE).evaluation.card
    assert card.initial_weights == f"file:begin.safetensors (SHA-256 {digest_of(path)[:16]}, licence not stated)"


def test_a_session_notes_versions_machine_and_time(run):
    (session,) = run.sessions
    for name in ("torch", "torchvision", "timm"):
        assert session[name].partition("+")[0] == metadata.version(name).partition("+")[0]
    assert (session["first_epoch"], session["last_epoch"]) == (1, 1)
    assert session["threads"] == torch.get_num_threads()
    assert (session["workers"], session["cuda"]) == (0, None)
    assert session["device"].startswith("cpu, ")
    assert 0 < session["seconds"] < 600
    assert session["peak_memory_bytes"] > 5e7
    assert abs((datetime.now(UTC) - datetime.fromisoformat(session["date"])).total_seconds()) < 600
    assert session["commit"] == find_commit()


def test_other_weights_under_one_recipe_are_told_apart(tmp_path, painted_source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe, runs = recipe_with("model.weights=begin.safetensors"), []
    for seed in (0, 0, 1):
        weights_file(tmp_path / "begin.safetensors", seed)
        runs.append(train(recipe, painted_source, tmp_path / str(len(runs)), on=HERE))
    assert len({each.recipe.digest for each in runs}) == 1
    assert runs[0].resolved == runs[1].resolved != runs[2].resolved


def test_a_run_that_is_taken_up_again_has_two_sessions(tmp_path, painted_source, monkeypatch):
    moment = Mock(now=lambda _zone: datetime(2026, 11, 28, tzinfo=UTC))
    monkeypatch.setattr("samecar.training.sessions.datetime", moment)  # even when both begin in the same second
    recipe = recipe_with("model.weights=none", "training.epochs=2")

    def interrupt(_task, done, _total, note=""):
        if done and not note.startswith("epoch"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, painted_source, tmp_path / "run", on=HERE, progress=interrupt)
    assert [session["last_epoch"] for session in Run.open(tmp_path / "run").sessions] == [1]
    resumed = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    found = [(session["first_epoch"], session["last_epoch"]) for session in Run.open(resumed.folder).sessions]
    assert found == [(1, 1), (2, 2)]
    assert resumed.weights["name"] == "none"


def test_a_run_of_before_knows_nothing_of_it_and_goes_on(tmp_path, painted_source):
    recipe = recipe_with("model.weights=none", "training.epochs=2")
    train(recipe, painted_source, tmp_path / "run", on=HERE)
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    for name in ("weights", "resolved", "sessions"):
        del content[name]
    path.write_text(json.dumps(content))
    opened = Run.open(tmp_path / "run")
    assert (opened.weights, opened.resolved, opened.sessions) == ({}, None, [])
    assert score_run(opened, painted_source, on=HERE).evaluation.card.initial_weights == "not stated"
    train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)


def test_imagenet_stays_what_it_was_when_timm_means_another_tag(tmp_path, painted_source, monkeypatch):
    path = weights_file(tmp_path / "hub" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(path))
    recipe = recipe_with("model.weights=imagenet", "model.backbone=resnet18", "model.width=32", "model.height=32")
    torch.manual_seed(0)
    save_file(timm.create_model("resnet18").state_dict(), path)
    run = train(recipe, painted_source, tmp_path / "run", on=HERE)
    named = run.weights["name"]
    assert named == f"timm:resnet18.{timm.get_pretrained_cfg('resnet18').tag}"
    assert run.recipe.model.weights == "imagenet"
    assert run.weights["licence"] == timm.get_pretrained_cfg("resnet18").license
    assert run.model_facts()["model"]["weights"] == named
    asked = []
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: asked.append(name) or create(name, **options))
    run.load_model()
    assert asked == [named.removeprefix("timm:")]


def test_a_clock_on_a_gpu_names_it_and_its_memory(monkeypatch):
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda _: 123)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU {device.index}")
    session = SessionClock(torch.device("cuda:1"), 4, 3).session(5)
    assert (session["device"], session["peak_memory_bytes"]) == ("GPU 1", 123)
    assert (session["first_epoch"], session["last_epoch"], session["workers"]) == (3, 5, 4)
    assert session["cuda"] == torch.version.cuda
