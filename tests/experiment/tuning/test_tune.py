"""A study of recipes: its trials, its end, its files; and what several processes and killed ones do to it."""

import json
import os
import subprocess
import tomllib

import numpy as np
import pytest
from command_line import done, refused, samecar_process, tiny
from conftest import TINY, paint_picture

from samecar.config import change_recipe, load_recipe
from samecar.data import as_manifest
from samecar.errors import SamecarError
from samecar.experiment.tuning import tune as tuning
from samecar.experiment.tuning.study import Study
from samecar.experiment.tuning.tune import TuneOptions, tune
from samecar.hardware import machine
from samecar.training import Run, RunData

HERE = machine("cpu", 0)
OVER = ["optimizer.learning_rate=1e-4..1e-2:log", "model.pooling=average,gem,max"]
TINY_RECIPE = load_recipe("report-baseline", [*TINY, "training.epochs=8"])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty train vehicles, seen by two cameras."""
    folder = tmp_path_factory.mktemp("crops")
    for vehicle in range(20):
        for camera in (1, 2):
            paint_picture(folder / f"v{vehicle:02d}_c{camera}.png", vehicle, 3 * camera, 0)
    return f"folder:{folder}/{{vehicle_id}}_{{camera_id}}.png"


def learned(recipe, epoch):
    """What the pretended training reaches: a learning rate of 1e-3 and gem are best, and all is learned evenly."""
    distance = abs(np.log10(recipe.optimizer.learning_rate) + 3)
    return (0.8 - 0.2 * distance + 0.1 * (recipe.model.pooling == "gem")) * epoch / recipe.training.epochs


@pytest.fixture
def pretended(monkeypatch, request):
    """Replaces training by what `learned` says; gives what was trained, and where it began."""
    calls = []

    def train(recipe, data, out, *, resume, on, progress, watch):
        calls.append((recipe, resume))
        manifest = as_manifest(data)
        run = Run.open(out) if resume else Run.create(out, recipe, RunData("painted", "0" * 16, len(manifest), ["a"]))
        run.note_untrained({"mAP": 0.25, "rank-1": 0.25})
        run.note_session({"date": "today", "first_epoch": 1, "device": "abacus"})
        for epoch in range(len(run.metrics()) + 1, recipe.training.epochs + 1):
            score = learned(recipe, epoch)
            watch(epoch, {"mAP": score, "rank-1": score})
            run.append_metrics({"epoch": epoch, "validation_mAP": score})
            (run.folder / "checkpoints" / f"epoch-{epoch:04d}").mkdir(parents=True)
        return run

    monkeypatch.setattr(tuning, "train", train)
    if "drawing" not in request.fixturenames:
        monkeypatch.setattr(tuning, "_draw", lambda *given: None)
    return calls


@pytest.fixture
def drawing():
    """Lets a study with pretended training draw its figures, which takes a second."""


def test_a_real_study_trains_scores_and_writes_its_recipe_and_figures(source, tmp_path):
    words = ("tune", "report-baseline", "--data", source, "-o", tmp_path / "study", "--trials", "2")
    words += ("--over", OVER[0], *tiny("training.epochs=1"))
    shown = " ".join(done(*words).split())
    assert "mAP on 4 held-out train vehicles" in shown
    assert "tuning changed that by" in shown
    assert "so it is optimistic" in shown
    found = json.loads(done(*words, "--json"))  # there is nothing left to do
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 2
    own, second = found["trials"]
    assert found["untrained"] == Run.open(tmp_path / "study" / "trials" / "0000").untrained["validation_mAP"]
    assert own["as_it_stands"]
    assert own["values"] == {"optimizer.learning_rate": 0.001}
    folder = tmp_path / "study"
    for trial in (own, second):
        run = Run.open(folder / "trials" / f"{trial['number']:04d}")
        assert run.metrics()[-1]["validation_mAP"] == trial["score"]
        assert len(run.data.vehicles) == 16  # a fifth of twenty is held out
        assert not (run.folder / "checkpoints").exists()
    best = load_recipe(folder / "best.toml")
    expected = [*TINY, "training.epochs=1", *found["trials"][found["best"]]["changes"]]
    assert best.digest == load_recipe("report-baseline", expected).digest
    assert (folder / "history.svg").is_file()
    assert (folder / "slices.png").is_file()
    assert best.training.validation == 0  # the recipe is written as it was given


def test_the_first_trial_is_the_recipe_as_it_stands_and_the_best_is_found(source, tmp_path, pretended, drawing):
    found = tune(TINY_RECIPE, source, tmp_path / "study", OVER, TuneOptions(trials=14, no_pruning=True), on=HERE)
    assert len(found.trials) == len(pretended) == 14
    assert found.trials[0].as_it_stands
    assert found.trials[0].values == {"optimizer.learning_rate": 0.001, "model.pooling": "average"}
    assert found.as_it_stands.score == pytest.approx(0.8)
    assert found.untrained == 0.25
    assert found.best.score == max(learned(recipe, 8) for recipe, _ in pretended)
    assert found.best.score > 0.8
    assert found.best.values["model.pooling"] == "gem"
    assert set(found.importances) == {"optimizer.learning_rate", "model.pooling"}
    assert sum(found.importances.values()) == pytest.approx(1)
    assert len({trial.values["optimizer.learning_rate"] for trial in found.trials}) == 14  # no two draw the same
    assert all(recipe.training.validation == 0.2 for recipe, _ in pretended)
    for name in ("history", "importances", "slices"):
        assert (tmp_path / "study" / f"{name}.png").is_file()
    assert repr(found).endswith(f"14 trials, best mAP {100 * found.best.score:.1f}>")


def test_a_study_goes_on_and_draws_the_same_as_if_it_had_never_stopped(source, tmp_path, pretended):
    whole = tune(TINY_RECIPE, source, tmp_path / "whole", OVER, TuneOptions(trials=6), on=HERE)
    for trials in (2, 2, 6):
        parts = tune(TINY_RECIPE, source, tmp_path / "parts", OVER, TuneOptions(trials=trials), on=HERE)
    assert [trial.values for trial in parts.trials] == [trial.values for trial in whole.trials]
    assert [trial.score for trial in parts.trials] == [trial.score for trial in whole.trials]


def test_what_is_worse_than_the_others_ends_early_but_for_the_recipe_as_it_stands(source, tmp_path, pretended):
    poor = change_recipe(TINY_RECIPE, ["optimizer.learning_rate=1e-2"])
    found = tune(poor, source, tmp_path / "study", OVER, TuneOptions(trials=14), on=HERE)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert found.trials[0].state == "complete"
    for trial in pruned:
        epochs = len(Run.open(tmp_path / "study" / "trials" / f"{trial.number:04d}").metrics())
        assert 1 <= epochs < 8
        recipe = change_recipe(poor, trial.changes)
        assert trial.score == pytest.approx(learned(recipe, epochs + 1))


def test_a_recipe_outside_of_the_ranges_is_tried_as_it_stands_all_the_same(source, tmp_path, pretended):
    found = tune(
        TINY_RECIPE, source, tmp_path / "study", ["optimizer.learning_rate=2e-3..1e-2"], TuneOptions(trials=2), on=HERE
    )
    assert (found.trials[0].as_it_stands, found.trials[0].values) == (True, {})
    assert pretended[0][0].optimizer.learning_rate == 0.001
    assert "optimizer.learning_rate" in found.trials[1].values
    assert tomllib.loads((tmp_path / "study" / "best.toml").read_text())["optimizer"]["learning_rate"] == 0.001


def test_a_trial_whose_process_was_killed_goes_on_from_its_last_epoch(source, tmp_path, pretended):
    study = tmp_path / "study"
    child = os.fork()
    if not child:  # trains three epochs of the first trial, and is no more
        train = tuning.train

        def killed(recipe, data, out, *, watch, **given):
            def watch_and_die(epoch, scores):
                watch(epoch, scores)
                if epoch == 4:
                    os._exit(9)

            return train(recipe, data, out, watch=watch_and_die, **given)

        tuning.train = killed
        tune(TINY_RECIPE, source, study, OVER, TuneOptions(trials=2), on=HERE)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    found = tune(TINY_RECIPE, source, study, OVER, TuneOptions(trials=2), on=HERE)
    assert [resume for _, resume in pretended] == [True, False]
    assert [trial.state for trial in found.trials] == ["complete"] * 2
    again = found.as_it_stands
    assert again.values == {"optimizer.learning_rate": 0.001, "model.pooling": "average"}
    assert len(Run.open(study / "trials" / "0000").metrics()) == 8
    assert sorted(path.name for path in (study / "trials").iterdir()) == ["0000", f"{found.trials[-1].number:04d}"]
    assert (study / "best.toml").is_file()


def test_a_trial_that_kills_every_process_is_given_up(source, tmp_path, pretended):
    options = TuneOptions(trials=1)
    for _ in range(3):
        child = os.fork()
        if not child:
            tuning.train = lambda *given, **more: os._exit(9)
            tune(TINY_RECIPE, source, tmp_path / "study", OVER, options, on=HERE)
        os.waitpid(child, 0)
    found = tune(TINY_RECIPE, source, tmp_path / "study", OVER, options, on=HERE)
    assert [(trial.state, trial.as_it_stands) for trial in found.trials] == [("failed", True)]
    assert found.trials[0].error == "its process was killed 3 times"
    assert not pretended


def test_what_a_running_process_holds_is_left_to_it(source, tmp_path, pretended):
    tune(TINY_RECIPE, source, tmp_path / "study", OVER, TuneOptions(trials=1), on=HERE)
    space = tuning.read_space(OVER, TINY_RECIPE)
    ours, theirs = (Study(tmp_path / "study", space, 1) for _ in range(2))
    with ours.claim(3) as first:
        child = os.fork()
        if not child:
            with theirs.claim(3) as second:
                os._exit(0 if second.trial.number != first.trial.number else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [trial.state for trial in ours.trials()] == ["complete", "running", "running"]
        ours.end(first, 0.5, 1.0)
    with ours.claim(3) as taken_up:  # that of the child, which has ended without a word
        assert [trial.state for trial in ours.trials()] == ["complete", "complete", "running"]
        child = os.fork()
        if not child:
            with theirs.claim(3) as none:
                os._exit(0 if none is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert taken_up.trial.user_attrs["attempt"] == 2


def test_a_failing_trial_says_why_and_does_not_end_the_study(source, tmp_path, pretended, monkeypatch):
    train = tuning.train

    def failing(recipe, *given, **more):
        if recipe.model.pooling == "max":
            raise SamecarError("the loss is nan in epoch 1")
        return train(recipe, *given, **more)

    monkeypatch.setattr(tuning, "train", failing)
    found = tune(TINY_RECIPE, source, tmp_path / "study", OVER, TuneOptions(trials=8), on=HERE)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed
    assert {(trial.error, trial.score) for trial in failed} == {("the loss is nan in epoch 1", None)}
    assert len(found.trials) == 8
    assert found.as_dict()["best"] == found.best.number


def test_hours_end_a_process_between_two_trials(source, tmp_path, pretended, monkeypatch):
    clock = iter(range(0, 10**6, 600))
    monkeypatch.setattr(tuning.time, "monotonic", lambda: next(clock))
    found = tune(TINY_RECIPE, source, tmp_path / "study", OVER, TuneOptions(hours=1), on=HERE)
    assert 1 <= len(found.trials) < 6


def test_the_best_recipe_of_a_file_has_that_file_as_its_base(source, tmp_path, pretended):
    (tmp_path / "mine.toml").write_text('base = "report-baseline"\ntitle = "Mine"\n[training]\nepochs = 3\n')
    study = tmp_path / "deep" / "study"
    tune(tmp_path / "mine.toml", source, study, OVER, TuneOptions(trials=2), changes=["batch.size=8"], on=HERE)
    text = (study / "best.toml").read_text()
    assert [line.partition(":")[0] for line in text.splitlines()[:6]] == [
        f"# {name}" for name in ("source", "command", "hardware", "hours", "published", "measured")
    ]
    content = tomllib.loads(text)
    assert (content["base"], content["title"]) == ("../../mine.toml", "Mine, tuned")
    recipe = load_recipe(study / "best.toml")
    assert (recipe.training.epochs, recipe.batch.size) == (3, 8)


def test_what_does_not_fit_is_refused(source, tmp_path, pretended):
    study = tmp_path / "study"
    tune(TINY_RECIPE, source, study, OVER, TuneOptions(trials=1), on=HERE)
    other = change_recipe(TINY_RECIPE, ["loss.margin=0.5"])
    for recipe, over, options in (
        (other, OVER, TuneOptions()),
        (TINY_RECIPE, OVER[:1], TuneOptions()),
        (TINY_RECIPE, OVER, TuneOptions(seed=2)),
    ):
        with pytest.raises(SamecarError, match=r"is a study of something else: .* was .* and is now .*; go on with"):
            tune(recipe, source, study, over, options, on=HERE)
    (tmp_path / "used" / "file").mkdir(parents=True)
    with pytest.raises(SamecarError, match="is not an empty folder and holds no study"):
        tune(TINY_RECIPE, source, tmp_path / "used", OVER, on=HERE)
    few = as_manifest(source).select(np.arange(8))
    with pytest.raises(SamecarError, match="holds out 1 vehicle, and 2 are needed to compare recipes"):
        tune(TINY_RECIPE, few, tmp_path / "few", OVER, on=HERE)
    for options, sentence in (
        ({"trials": 0}, "trials is 0; give 1 or more"),
        ({"hours": 0}, "hours is 0; give more than 0"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
    ):
        with pytest.raises(SamecarError, match=sentence):
            TuneOptions(**options)
    words = ("tune", "report-baseline", "--data", source, "-o", tmp_path / "none")
    assert "nothing is to be tried; give --over" in refused(*words)
    assert "--trials is 0; give 1 or more" in refused(*words, "--over", OVER[0], "--trials", "0")


def test_without_optuna_the_extra_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setattr("samecar.experiment.tuning.study.find_spec", lambda name: None)
    with pytest.raises(
        SamecarError, match=r'tuning needs Optuna, which is not installed; run `pip install "\.\[tune\]"'
    ):
        tune(TINY_RECIPE, source, tmp_path / "study", OVER, on=HERE)
    assert not (tmp_path / "study").exists()


@pytest.mark.long
def test_several_processes_share_a_study(source, tmp_path):
    words = ("tune", "report-baseline", "--data", source, "-o", tmp_path / "study", "--trials", "3")
    words += ("--over", OVER[0], *tiny())
    processes = [subprocess.Popen(samecar_process(*words), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    found = json.loads(done(*words, "--json"))
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    assert {trial["state"] for trial in found["trials"]} <= {"complete", "pruned"}
    assert len({trial["values"]["optimizer.learning_rate"] for trial in found["trials"]}) == 3
