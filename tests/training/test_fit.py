import json
import shutil

import pytest
import torch
from conftest import TINY, paint_picture
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from samecar.config import load_recipe
from samecar.data import open_source
from samecar.errors import SamecarError
from samecar.experiment.evaluate import evaluate
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.training import Run, loop

HERE = machine("cpu", 0)


def recipe_with(*changes):
    return load_recipe("report-baseline", [*TINY, *changes])


def weights(run):
    return load_file(run.folder / "model" / "model.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class StopAfter:
    """A progress that interrupts training once an epoch is done."""

    def __init__(self, epochs):
        self.epochs = epochs

    def __call__(self, task, done, total, note=""):
        if task == "training" and done * 4 >= total * self.epochs and not note.startswith("epoch"):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory, painted_source):
    """A run of four epochs that was never interrupted."""
    recipe = recipe_with("training.epochs=4", "model.head=fc-bn-relu-dropout-fc", "model.embedding_size=16")
    return train(recipe, painted_source, tmp_path_factory.mktemp("runs") / "whole", on=HERE)


def test_run_folder_holds_recipe_metrics_events_and_model(whole):
    description = json.loads((whole.folder / "run.json").read_text())
    assert description["digest"] == whole.recipe.digest
    assert description["recipe"]["training"]["epochs"] == 4
    assert description["data"]["vehicles"] == [f"v{vehicle:02d}" for vehicle in range(8)]
    records = whole.metrics()
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert records[0].keys() >= {"loss", "cross_entropy", "triplet", "accuracy", "learning_rate", "seconds"}
    assert records[0]["loss"] == pytest.approx(records[0]["cross_entropy"] + records[0]["triplet"], rel=1e-5)
    events = EventAccumulator(str(whole.folder)).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert {"train/accuracy", "train/learning_rate"} <= set(events.Tags()["scalars"])
    assert whole.model_facts()["epoch_choice"] == "last epoch"


def test_test_scores_are_events_too(painted_source, tmp_path):
    run = train(recipe_with(), painted_source, tmp_path / "run", on=HERE)
    evaluation = evaluate(run, painted_source, on=HERE)
    events = EventAccumulator(str(run.folder)).Reload()
    assert [event.step for event in events.Scalars("test/mAP")] == [2]
    assert events.Scalars("test/rank-1")[0].value == pytest.approx(evaluation.cmc[1])


def test_nothing_in_a_run_folder_is_a_pickle(whole):
    suffixes = {path.suffix for path in whole.folder.rglob("*") if path.is_file() and "tfevents" not in path.name}
    assert suffixes == {".json", ".jsonl", ".safetensors"}
    assert not list(whole.folder.rglob(".*"))


def test_training_twice_gives_the_same_weights(whole, painted_source, tmp_path):
    again = train(whole.recipe, painted_source, tmp_path / "again", on=HERE)
    assert equal(weights(again), weights(whole))


def test_the_number_of_workers_does_not_matter(whole, painted_source, tmp_path):
    again = train(whole.recipe, painted_source, tmp_path / "again", on=machine("cpu", 2))
    assert equal(weights(again), weights(whole))


def test_an_interrupted_run_goes_on_as_if_it_had_never_stopped(whole, painted_source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(whole.recipe, painted_source, tmp_path / "run", on=HERE, progress=StopAfter(2))
    assert [record["epoch"] for record in Run.open(tmp_path / "run").metrics()] == [1, 2]
    with pytest.raises(SamecarError, match="has no trained model yet"):
        Run.open(tmp_path / "run").load_model()
    resumed = train(whole.recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert equal(weights(resumed), weights(whole))
    without_time = [
        {name: value for name, value in record.items() if name != "seconds"} for record in resumed.metrics()
    ]
    assert without_time == [
        {name: value for name, value in record.items() if name != "seconds"} for record in whole.metrics()
    ]


def test_a_run_interrupted_in_its_first_epoch_can_be_resumed(whole, painted_source, tmp_path):
    def stop(task, done, total, note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(whole.recipe, painted_source, tmp_path / "run", on=HERE, progress=stop)
    resumed = train(whole.recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert equal(weights(resumed), weights(whole))


def test_resuming_a_finished_run_changes_nothing(whole, painted_source, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run")
    resumed = train(whole.recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert equal(weights(resumed), weights(whole))
    assert len(resumed.metrics()) == 4


def test_resuming_refuses_another_recipe_and_names_the_difference(whole, painted_source):
    other = recipe_with("training.epochs=4", "model.head=fc-bn-relu-dropout-fc", "model.embedding_size=8")
    with pytest.raises(
        SamecarError, match=r"model\.embedding_size was 16 and is now 8; resume with the same recipe"
    ) as told:
        train(other, painted_source, whole.folder, resume=True, on=HERE)
    assert str(told.value).endswith(f"what this run has learned: --set model.weights={whole.folder}")


def test_resuming_refuses_other_data(whole, painted_folder, tmp_path):
    shutil.copytree(painted_folder, tmp_path / "data")
    (tmp_path / "data" / "train" / "v00_c0_0.png").unlink()
    source = f"folder:{tmp_path}/data/{{split}}/{{vehicle_id}}_{{camera_id}}_*.png"
    with pytest.raises(SamecarError, match="other data") as told:
        train(whole.recipe, source, whole.folder, resume=True, on=HERE)
    assert str(told.value).endswith(f"what this run has learned: --set model.weights={whole.folder}")


def test_resuming_needs_a_run_and_a_checkpoint(whole, painted_source, tmp_path):
    with pytest.raises(SamecarError, match="holds no run"):
        train(whole.recipe, painted_source, tmp_path / "nothing", resume=True, on=HERE)
    assert not (tmp_path / "nothing").exists()
    shutil.copytree(whole.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(SamecarError, match="no checkpoint"):
        train(whole.recipe, painted_source, tmp_path / "run", resume=True, on=HERE)


def test_a_damaged_checkpoint_is_named(whole, painted_source, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run")
    damaged = tmp_path / "run" / "checkpoints" / "epoch-0004" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(SamecarError, match=r"epoch-0004/model\.safetensors cannot be read"):
        train(whole.recipe, painted_source, tmp_path / "run", resume=True, on=HERE)


def test_a_run_folder_is_never_overwritten(whole, painted_source, tmp_path):
    before = {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}
    with pytest.raises(SamecarError, match="already holds a run of this recipe"):
        train(whole.recipe, painted_source, whole.folder, on=HERE)
    with pytest.raises(SamecarError, match=r"another recipe: .*training\.epochs was 4 and is now 2"):
        train(recipe_with(), painted_source, whole.folder, on=HERE)
    assert {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()} == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(SamecarError, match="not an empty folder"):
        train(recipe_with(), painted_source, tmp_path / "notes", on=HERE)
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep"


def test_validation_chooses_the_epoch_on_held_out_train_vehicles(painted_source, tmp_path):
    recipe = recipe_with("training.validation=0.25", "training.epochs=3", "optimizer.learning_rate=1e-2")
    run = train(recipe, painted_source, tmp_path / "run", on=HERE)
    records = run.metrics()
    assert all(0 <= record["validation_mAP"] <= 1 for record in records)
    assert len(run.data.vehicles) == 6
    best = max(records, key=lambda record: record["validation_mAP"])
    assert run.model_facts()["epoch"] == best["epoch"]
    assert "held-out train vehicles" in run.model_facts()["epoch_choice"]
    assert {"validation/mAP", "validation/rank-1"} <= set(EventAccumulator(str(run.folder)).Reload().Tags()["scalars"])


def test_a_loss_that_is_not_finite_stops_training(painted_source, tmp_path):
    with pytest.raises(SamecarError, match="the loss is nan in epoch 1"):
        train(
            recipe_with("optimizer.learning_rate=1e30", "optimizer.name=sgd"), painted_source, tmp_path / "run", on=HERE
        )


def test_a_batch_that_the_set_cannot_fill_is_refused_before_anything_is_written(painted_source, tmp_path):
    with pytest.raises(SamecarError, match="vehicles"):
        train(recipe_with("batch.size=64"), painted_source, tmp_path / "run", on=HERE)
    assert not (tmp_path / "run").exists()


def test_too_many_unreadable_pictures_stop_training(painted_folder, tmp_path):
    shutil.copytree(painted_folder, tmp_path / "data")
    broken = tmp_path / "data" / "train" / "v00_c0_0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    source = f"folder:{tmp_path}/data/{{split}}/{{vehicle_id}}_{{camera_id}}_*.png"
    with pytest.raises(SamecarError, match=r"v00_c0_0\.png"):
        train(recipe_with(), source, tmp_path / "run", on=HERE)


def test_few_unreadable_pictures_are_named_and_counted(tmp_path):
    for vehicle in range(8):
        for index in range(15):
            paint_picture(tmp_path / "data" / f"v{vehicle}_c{index % 2}_{index}.png", vehicle, index % 2, index)
    (tmp_path / "data" / "v3_c0_2.png").write_bytes(b"")
    source = f"folder:{tmp_path}/data/{{vehicle_id}}_{{camera_id}}_*.png"
    run = train(recipe_with("training.epochs=3"), source, tmp_path / "run", on=HERE)
    assert len(run.unreadable()) == 1
    assert run.unreadable()[0].startswith("v3_c0_2.png (")
    assert run.metrics()[-1]["unreadable"] == 1


def test_a_source_without_train_pictures_is_refused(painted_folder, tmp_path):
    with pytest.raises(SamecarError, match="no train pictures"):
        train(recipe_with(), f"folder:{painted_folder}/gallery", tmp_path / "run", on=HERE)


def test_learning_rate_in_the_metrics_follows_the_schedule(painted_source, tmp_path):
    run = train(
        recipe_with("schedule.milestones=[1, 2]", "training.epochs=3"), painted_source, tmp_path / "run", on=HERE
    )
    assert [record["learning_rate"] for record in run.metrics()] == pytest.approx([1e-3, 1e-4, 1e-5])


def test_training_learns(painted_source, tmp_path):
    run = train(recipe_with("training.epochs=16"), painted_source, tmp_path / "run", on=HERE)
    first, *_, last = run.metrics()
    assert last["loss"] < first["loss"] / 1.5


def test_epoch_sums_weigh_batches_by_their_pictures():
    sums = loop.EpochSums()
    sums.add({"loss": torch.tensor(1.0)}, 3)
    sums.add({"loss": torch.tensor(5.0)}, 1)
    assert sums.means() == {"loss": 2.0}


def test_the_manifest_may_be_given_instead_of_a_source(painted_source, tmp_path):
    run = train(recipe_with("training.epochs=1"), open_source(painted_source), tmp_path / "run", on=HERE)
    assert run.data.pictures == 48


DISORDER = [
    ([26, 27, 26, 28, 27], "epoch 26 stands where 1 is due"),
    ([1, 2, 2, 3], "epoch 2 stands where 3 is due"),
    ([1, 3, 4], "epoch 3 stands where 2 is due"),
    ([1, 2, 3, 4, 4], "epoch 4 stands where 5 is due"),
]


@pytest.mark.parametrize(("epochs", "sentence"), DISORDER)
def test_a_record_that_is_not_one_rising_sequence_is_neither_read_nor_scored_nor_resumed(
    whole, painted_source, tmp_path, epochs, sentence
):
    shutil.copytree(whole.folder, tmp_path / "run")
    record = {**whole.metrics()[0]}
    lines = [json.dumps({**record, "epoch": epoch}) + "\n" for epoch in epochs]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(lines))
    told = rf"is not the record of one training: {sentence}; remove {tmp_path / 'run'} and train again"
    run = Run.open(tmp_path / "run")
    assert repr(run) == f"<Run {tmp_path / 'run'}, damaged>"
    for use in (
        run.metrics,
        lambda: evaluate(run, painted_source, on=HERE),
        lambda: train(whole.recipe, painted_source, run.folder, resume=True, on=HERE),
    ):
        with pytest.raises(SamecarError, match=told):
            use()
    assert not (run.folder / "evaluations").exists()


@pytest.mark.parametrize("text", ["[1]\n", '{"loss": 1}\n', "broken\n"])
def test_a_record_that_cannot_be_read_is_named(whole, tmp_path, text):
    shutil.copytree(whole.folder, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text(text)
    with pytest.raises(SamecarError, match=r"metrics\.jsonl cannot be read: .*; remove .*run and train again"):
        Run.open(tmp_path / "run").metrics()


def test_a_record_that_lacks_epochs_is_not_scored(whole, painted_source, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(SamecarError, match=r"metrics\.jsonl has 3 of 4 epochs, though a model is there; remove"):
        evaluate(tmp_path / "run", painted_source, on=HERE)
