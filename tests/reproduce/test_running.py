import json
import shutil

import pytest
from tiny_reproduction import HERE, TINY_MODEL, run_rows, tiny_choices

from samecar.errors import SamecarError
from samecar.experiment.train import train
from samecar.reproduce import Choices, Scale, plan_runs, reproduce
from samecar.reproduce import runs as running
from samecar.training import Run


@pytest.fixture(scope="module")
def reproduced(painted_source, tmp_path_factory):
    return run_rows(["adam", "sgd"], painted_source, tmp_path_factory.mktemp("reproduced"))


def test_each_distinct_run_is_done_once_for_each_seed(reproduced):
    work, outcomes = reproduced
    folders = [outcome.run.folder.name for outcome in outcomes]
    assert len(set(folders)) == len(folders) == 4
    assert sorted(path.name for path in (work.out / "runs").iterdir()) == sorted(folders)
    assert [outcome.run.recipe.training.seed for outcome in outcomes] == [1, 1, 2, 2]
    assert all(outcome.failure is None for outcome in outcomes)
    assert outcomes[-1].seconds_left == 0


def test_a_run_is_named_by_digest_and_seed_and_titled_by_its_rows(reproduced):
    work, outcomes = reproduced
    run = Run.open(outcomes[0].run.folder)
    assert outcomes[0].run.folder.name == f"{work.choices.recipe('table8/adam').digest}-seed1"
    assert run.recipe.title.split(" = ") == list(outcomes[0].run.rows)
    assert "table8/adam" in outcomes[0].run.rows


def test_finished_runs_are_not_done_again_and_other_tables_share_them(reproduced, painted_source):
    work, _ = reproduced
    again = reproduce(["table8/sgd"], painted_source, work.out, work.choices)
    assert list(again.run(on=HERE)) == []
    shared = plan_runs(work.choices, ["table5/batch-64"], work.out)
    assert [run.folder.is_dir() for run in shared] == [True, True]


def test_an_interrupted_run_is_taken_up_again(reproduced, painted_source, tmp_path, monkeypatch):
    work, _ = reproduced
    choices = tiny_choices()

    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(running, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            list(reproduce(["table8/adam"], painted_source, tmp_path, choices).run(on=HERE))
    resumed = []
    monkeypatch.setattr(
        running, "train", lambda *args, **options: resumed.append(options["resume"]) or train(*args, **options)
    )
    (outcome,) = reproduce(["table8/adam"], painted_source, tmp_path, choices).run(on=HERE)
    assert resumed == [True]
    whole = json.loads((work.out / "runs" / outcome.run.folder.name / "scores.json").read_text())
    assert outcome.scores["evaluation"]["mAP"] == whole["evaluation"]["mAP"]


def test_batches_that_cannot_be_filled_are_told_before_anything_starts(painted_source, tmp_path):
    choices = Choices(scale=Scale(epochs=1, images=0.125), changes=("model.backbone=test_resnet", "model.weights=none"))
    work = reproduce(["table8/adam", "table5/batch-384"], painted_source, tmp_path / "out", choices)
    with pytest.raises(
        SamecarError, match=r"table5/batch-64 = table8/adam: batches of 64 .* need 16 train vehicles, but there are 8"
    ):
        list(work.run(on=HERE))
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_there_are_told_before_anything_starts(painted_source, tmp_path):
    choices = Choices(
        scale=Scale(epochs=1, images=0.125), changes=(*TINY_MODEL[:1], *TINY_MODEL[2:], "model.weights=no.pth")
    )
    with pytest.raises(SamecarError, match=r"table8/adam: model\.weights 'no\.pth' is not a file"):
        list(reproduce(["table8/adam"], painted_source, tmp_path / "out", choices).run(on=HERE))
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_does_not_keep_the_others_from_being_done(painted_source, tmp_path, monkeypatch):
    def fail_with_sgd(recipe, *arguments, **options):
        if recipe.optimizer.name == "sgd":
            raise SamecarError("the loss is nan")
        return train(recipe, *arguments, **options)

    monkeypatch.setattr(running, "train", fail_with_sgd)
    work = reproduce(["table8/sgd", "table8/adam"], painted_source, tmp_path, tiny_choices())
    outcomes = list(work.run(on=HERE))
    work.write()
    assert [outcome.failure for outcome in outcomes] == ["the loss is nan", None]
    assert "table8/sgd failed: the loss is nan" in (tmp_path / "table8.md").read_text()
    assert "2 of 5" not in (tmp_path / "table8.md").read_text()
    assert "1 of 5 rows were run." in (tmp_path / "table8.md").read_text()


def test_runs_on_other_pictures_are_refused(reproduced, painted_folder, painted_source, tmp_path):
    work, _ = reproduced
    copied = tmp_path / "out"
    shutil.copytree(work.out, copied)
    fewer = reproduce(["table8/adam"], painted_source, copied, Choices(
        scale=Scale(epochs=1, images=0.125, identities=6), changes=TINY_MODEL))  # fmt: skip
    with pytest.raises(SamecarError, match="was trained or scored on other pictures"):
        list(fewer.run(on=HERE))


def test_data_without_a_test_set_are_refused(painted_folder, tmp_path):
    with pytest.raises(SamecarError, match="the data have no query pictures"):
        reproduce(["table8/adam"], f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png", tmp_path)


def test_progress_is_told_as_shares_of_all_the_work(painted_source, tmp_path):
    told = []
    work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, tiny_choices())
    list(work.run(on=HERE, progress=lambda task, done, total, note="": told.append((done / total, note))))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.5
    assert shares[-1] == 1
    assert any(note.startswith("2/2 table8/sgd") for _, note in told)


def test_a_finished_run_whose_record_is_not_one_rising_sequence_does_not_count(reproduced, painted_source, tmp_path):
    work, outcomes = reproduced
    copied = tmp_path / "out"
    shutil.copytree(work.out, copied)
    folder = copied / "runs" / outcomes[0].run.folder.name
    (folder / "metrics.jsonl").write_text(2 * (folder / "metrics.jsonl").read_text())
    again = reproduce(["table8/adam", "table8/sgd"], painted_source, copied, work.choices)
    (outcome,) = again.run(on=HERE)
    assert outcome.scores is None
    assert outcome.failure == (
        f"{folder / 'metrics.jsonl'} is not the record of one training: epoch 1 stands where 2 is due; "
        f"remove {folder} and train again"
    )
    table = json.loads(again.write()[2].read_text())
    rows = {row["id"]: row for row in table["rows"]}
    assert [run["seed"] for run in rows["table8/adam"]["runs"]] == [2]
    assert rows["table8/adam"]["failure"] == outcome.failure
    assert len(rows["table8/sgd"]["runs"]) == 2
    fresh = reproduce(["table8/adam"], painted_source, copied, work.choices)
    assert json.loads(fresh.write()[2].read_text())["rows"] == table["rows"]
    shutil.rmtree(folder)
    (outcome,) = fresh.run(on=HERE)
    assert outcome.scores["evaluation"] == outcomes[0].scores["evaluation"]
