import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file
from torch import nn

from samecar.config import load_recipe
from samecar.errors import SamecarError
from samecar.experiment.evaluate import evaluate
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.losses.objective import Objective
from samecar.training import Run
from samecar.training.patience import early_end
from samecar.training.resuming import is_longer, recipe_to_resume

HERE = machine("cpu", 0)
STEPS = ("schedule.milestones=[3]", "optimizer.learning_rate=1e-2")

EVERYTHING = (
    "training.epochs=3",
    "training.ema=0.5",
    "training.accumulation=3",
    "training.freeze_backbone_epochs=1",
    "training.frozen=all-but-last-stage",
    "training.validation=0.25",
    "training.patience=9",
    "optimizer.name=adamw",
    "optimizer.decay_norms_and_biases=false",
    "optimizer.head_rate=3",
    "optimizer.bias_rate=2",
    "optimizer.layer_decay=0.7",
    "optimizer.clip_norm=1",
    "schedule.decay=cosine",
    "schedule.warmup_epochs=1",
    "schedule.per_step=true",
    "schedule.minimum=0.1",
    "model.head=fc-bn-relu-dropout-fc",
    "model.embedding_size=16",
)


def recipe_with(*changes):
    return load_recipe("report-baseline", [*TINY, *changes])


def weights(run, name="model"):
    return load_file(run.folder / name / "model.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def told(run):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in run.metrics()]


def stop_after(epochs):
    """A progress that interrupts training once so many epochs are done; 0 is in the first one."""
    ended = []

    def progress(task, done, total, note=""):
        if task == "training" and not note.startswith("epoch"):
            ended.append(done)
        if task == "training" and len(ended) >= epochs:
            raise KeyboardInterrupt

    return progress


def interrupted(recipe, source, folder, epochs):
    with pytest.raises(KeyboardInterrupt):
        train(recipe, source, folder, on=HERE, progress=stop_after(epochs))
    assert len(Run.open(folder).metrics()) == epochs


# exactly as if it had never stopped


class LearnedObjective(Objective):
    """An objective with something to learn, and with something that it counts."""

    def __init__(self, *given):
        super().__init__(*given)
        self.scale = nn.Parameter(torch.randn(()))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, outputs, labels, *further):
        self.batches += 1
        losses = super().forward(outputs, labels, *further)
        return losses | {"total": losses["total"] * (1 + self.scale**2 + self.batches / 100)}


@pytest.fixture
def learned_objective(monkeypatch):
    monkeypatch.setattr("samecar.training.learner.Objective", LearnedObjective)


@pytest.fixture(scope="module")
def everything(tmp_path_factory, painted_source):
    """A run with every option of this room, never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "everything"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samecar.training.learner.Objective", LearnedObjective)
        return train(recipe_with(*EVERYTHING), painted_source, folder, on=HERE)


@pytest.fixture(scope="module")
def short(tmp_path_factory, painted_source):
    """A run of two epochs, with no option of this room."""
    return train(
        recipe_with("training.epochs=2", *STEPS), painted_source, tmp_path_factory.mktemp("short") / "run", on=HERE
    )


@pytest.mark.parametrize("killed", ["Run.note_untrained", "training_loader"])
def test_a_run_that_was_killed_before_its_first_step_begins_as_it_had_begun(
    everything, painted_source, tmp_path, monkeypatch, learned_objective, killed
):
    def kill(*_, **__):
        raise KeyboardInterrupt

    recipe = recipe_with(*EVERYTHING)
    with monkeypatch.context() as patch:
        patch.setattr(f"samecar.experiment.train.{killed}", kill)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, painted_source, tmp_path / "run", on=HERE)
    assert not (tmp_path / "run" / "checkpoints").exists()
    resumed = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert resumed.untrained == everything.untrained
    assert told(resumed) == told(everything)
    assert equal(weights(resumed), weights(everything))


def test_the_objective_and_the_average_are_checkpoints_too(everything):
    checkpoint = everything.folder / "checkpoints" / "epoch-0003"
    objective = load_file(checkpoint / "objective.safetensors")
    average, model = (load_file(checkpoint / f"{name}.safetensors") for name in ("average", "model"))
    assert objective["batches"] / 3 < average["steps"] < objective["batches"]  # an epoch's last step may have one batch
    assert average["module.classifier.weight"].shape == model["classifier.weight"].shape
    assert not torch.equal(average["module.classifier.weight"], model["classifier.weight"])
    best = int(everything.model_facts()["epoch"])
    assert (
        max(record["validation_mAP"] for record in everything.metrics()) == told(everything)[best - 1]["validation_mAP"]
    )


@pytest.mark.parametrize("epochs", [0, 1])
def test_with_everything_on_an_interrupted_run_is_the_same_to_the_bit(
    epochs, everything, painted_source, tmp_path, learned_objective
):
    interrupted(everything.recipe, painted_source, tmp_path / "run", epochs)
    resumed = train(everything.recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert told(resumed) == told(everything)
    assert equal(weights(resumed), weights(everything))
    for name in ("model", "average", "objective", "state"):
        path = f"checkpoints/epoch-0003/{name}.safetensors"
        assert equal(load_file(resumed.folder / path), load_file(everything.folder / path)), name


def test_without_them_a_checkpoint_is_as_before(short):
    folder = short.folder / "checkpoints" / "epoch-0002"
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "state.json", "state.safetensors"}
    (group,) = json.loads((folder / "state.json").read_text())["optimizer"]["groups"]
    assert "lr_scale" not in group


# longer


def test_a_finished_run_that_is_trained_longer_is_the_longer_run(short, tmp_path, painted_source):
    longer = recipe_with("training.epochs=4", *STEPS)
    whole = train(longer, painted_source, tmp_path / "whole", on=HERE)
    shutil.copytree(short.folder, tmp_path / "run")
    before = (short.folder / "model" / "model.safetensors").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(longer, painted_source, tmp_path / "run", resume=True, on=HERE, progress=stop_after(1))
    between = Run.open(tmp_path / "run")
    assert (between.folder / "model" / "model.safetensors").read_bytes() == before
    assert repr(between).endswith("8 vehicles, 3 of 4 epochs>")
    with pytest.raises(SamecarError, match=r"run is being trained longer and has 3 of 4 epochs; finish it with"):
        evaluate(between, painted_source, on=HERE)

    resumed = train(longer, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert told(resumed) == told(whole)
    assert equal(weights(resumed), weights(whole))
    assert resumed.model_facts() == whole.model_facts()
    described = json.loads((resumed.folder / "run.json").read_text())
    assert (described["digest"], described["resolved"]) == (longer.digest, whole.resolved)
    assert described["former"] == [{"digest": short.recipe.digest, "epochs": 2, "ended_early": None}]
    assert [(one["first_epoch"], one["last_epoch"]) for one in described["sessions"]] == [(1, 2), (3, 3), (4, 4)]


RECORDS = [{"epoch": epoch} for epoch in (1, 2, 3)]


def resumed_by(tmp_path, noted, given, records=RECORDS):
    return recipe_to_resume(tmp_path, recipe_with(*noted), recipe_with(*given), records)


@pytest.mark.parametrize(
    "schedule",
    [
        ["schedule.decay=none"],
        ["schedule.milestones=[2, 30]"],
        ["schedule.milestones=[50]", "schedule.warmup_epochs=10", "schedule.per_step=true"],
        ["schedule.decay=cosine", "schedule.warmup_epochs=3", "schedule.per_step=true"],  # the warm-up is all there was
    ],
)
def test_longer_is_allowed_where_nothing_that_was_trained_would_change(schedule, tmp_path):
    noted, given = (["training.epochs=20", *schedule], ["training.epochs=40", *schedule])
    longer = resumed_by(tmp_path, noted, given)
    assert longer.digest == recipe_with(*given).digest
    assert not is_longer(recipe_with(*given), recipe_with(*noted))


def test_before_anything_is_trained_any_schedule_may_be_made_longer(tmp_path):
    cosine = ["schedule.decay=cosine"]
    longer = resumed_by(tmp_path, ["training.epochs=20", *cosine], ["training.epochs=40", *cosine], [])
    assert longer.training.epochs == 40


def test_a_cosine_cannot_be_made_longer_and_the_sentence_names_what_can_be_done(tmp_path):
    noted, given = ([f"training.epochs={epochs}", "schedule.decay=cosine"] for epochs in (2, 4))
    rates = r"the learning rate of epoch 2, which is trained, would have been 0\.000854 and was 0\.0005"
    sentence = rf"cannot be trained longer: with schedule\.decay 'cosine' and training\.epochs 4 {rates}; "
    with pytest.raises(SamecarError, match=sentence + r"train with training\.epochs=4 in another folder$"):
        resumed_by(tmp_path, noted, given, RECORDS[:2])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    with pytest.raises(
        SamecarError, match=rf"begin there with what this run has learned: --set model\.weights={tmp_path}$"
    ):
        resumed_by(tmp_path, noted, given, RECORDS[:2])


def test_what_a_run_has_learned_can_be_begun_with(short):
    begun = recipe_with(f"model.weights={short.folder}")
    found, learned = initial_model(begun, 8).state_dict(), weights(short)
    name = "backbone.model.conv1.0.weight"
    assert torch.equal(found[name], learned[name])


def test_a_run_is_not_made_shorter(tmp_path):
    with pytest.raises(SamecarError) as error:
        resumed_by(tmp_path, ["training.epochs=60"], ["training.epochs=30"])
    assert str(error.value) == (
        f"{tmp_path} is a run of training.epochs 60, and 30 was given; a run can be made longer, not shorter: resume "
        "with training.epochs=60, or train with 30 in another folder"
    )


def test_longer_and_otherwise_different_is_another_recipe(tmp_path):
    sentence = r"training\.epochs was 2 and is now 4, training\.seed was 1 and is now 5; resume with the same recipe"
    with pytest.raises(SamecarError, match=sentence):
        resumed_by(tmp_path, ["training.epochs=2"], ["training.epochs=4", "training.seed=5"])


def test_a_run_with_the_networks_of_before_is_trained_longer_with_them(tmp_path):
    now = load_recipe("report-resnet18", ["training.epochs=80"])
    model = now.model.model_copy(
        update={
            "weights": "imagenet",
            "initialisation": "kaiming",
            "batch_norm_epsilon": None,
            "batch_norm_momentum": None,
        }
    )
    noted = load_recipe("report-resnet18", ["training.epochs=70"]).model_copy(update={"model": model})
    longer = recipe_to_resume(tmp_path, noted, now, RECORDS)
    assert (longer.model, longer.training.epochs) == (model, 80)


# early


def scored(*scores, every=1):
    return [
        {"epoch": epoch} | ({"validation_mAP": score} if epoch % every == 0 else {})
        for epoch, score in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    ("scores", "patience", "end"),
    [
        ([], 1, None),
        ([0.5], 1, None),
        ([0.5, 0.6, 0.6], 1, 3),  # as good is no better
        ([0.5, 0.6, 0.4, 0.7, 0.6, 0.5], 2, 6),
        ([0.5, 0.4, 0.3, 0.2], 4, None),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 4, 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 2, 3),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 0, None),
    ],
)
def test_patience_counts_scorings_without_a_better_one(scores, patience, end):
    assert early_end(scored(*scores), patience) == end


def test_epochs_that_are_not_scored_do_not_try_patience():
    assert early_end(scored(0, 0.5, 0, 0.4, 0, 0.3, every=2), 2) == 6
    assert early_end(RECORDS, 1) is None


@pytest.fixture
def scores(monkeypatch):
    """Scores of the held-out vehicles, in place of those of a network, which then need not learn."""
    monkeypatch.setattr("samecar.training.loop.train_batch", lambda *_: {"loss": torch.tensor(1.0)})
    given = [0.4, 0.5, 0.6, 0.6, 0.5, 0.3, 0.1]  # the first before training
    monkeypatch.setattr("samecar.experiment.train.embed", lambda *_, **__: None)
    monkeypatch.setattr(
        "samecar.experiment.train.score_splits",
        lambda *_, **__: SimpleNamespace(mean_average_precision=given.pop(0), cmc={1: 0.5}),
    )
    return given


PATIENT = ("batch.size=12", "training.validation=0.25", "training.patience=2", "schedule.decay=none", "loss.triplet=0")


def test_training_ends_early_and_says_so(scores, painted_source, tmp_path):
    calls = []
    recipe = recipe_with("training.epochs=9", *PATIENT)
    interrupted(recipe, painted_source, tmp_path / "run", 3)
    run = train(
        recipe, painted_source, tmp_path / "run", resume=True, on=HERE, progress=lambda *told: calls.append(told)
    )
    assert [record["epoch"] for record in run.metrics()] == [1, 2, 3, 4]
    assert run.ended_early == Run.open(run.folder).ended_early == 4
    assert run.model_facts()["epoch"] == 2
    assert run.model_facts()["epoch_choice"] == (
        "best mAP on 2 held-out train vehicles (epoch 2 of 9; training ended early after 4, 2 scorings in a row no "
        "better)"
    )
    assert repr(run).endswith("6 vehicles, 4 of 9 epochs, ended early>")
    _, done, total, note = [call for call in calls if call[0] == "training"][-1]
    assert (done, note) == (total, "training ended early")
    run.refuse_incomplete()
    shutil.copytree(run.folder, tmp_path / "copy")
    path = tmp_path / "copy" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(SamecarError, match=r"metrics\.jsonl has 3 of 4 epochs, though a model is there; remove"):
        Run.open(tmp_path / "copy").refuse_incomplete()
    again = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert len(again.metrics()) == 4

    # More epochs alone would train nothing; with more patience the run goes on.
    with pytest.raises(
        SamecarError, match=r"training\.patience 2 training ends after epoch 4, and 4 are trained; give a"
    ):
        train(recipe_with("training.epochs=20", *PATIENT), painted_source, run.folder, resume=True, on=HERE)
    patient = recipe_with("training.epochs=6", *PATIENT, "training.patience=0")
    with pytest.raises(SamecarError, match=r"not shorter: resume with training\.epochs=9"):
        train(patient, painted_source, run.folder, resume=True, on=HERE)
    patient = recipe_with("training.epochs=9", *PATIENT, "training.patience=5")
    scores += [0.8, 0.2, 0.2]
    longer = train(patient, painted_source, run.folder, resume=True, on=HERE)
    assert len(longer.metrics()) == 9
    assert longer.model_facts()["epoch_choice"] == "best mAP on 2 held-out train vehicles (epoch 7 of 9)"
    assert longer.former == [{"digest": recipe.digest, "epochs": 9, "ended_early": 4}]
    assert Run.open(run.folder).ended_early is None
