"""Logs of training: what each is told, that a resumed run goes on in its own, and what is refused."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
from command_line import refused, tiny
from conftest import TINY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from samecar.config import load_recipe
from samecar.errors import SamecarError
from samecar.experiment.evaluate import evaluate
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.training import Run
from samecar.training.logs.values import epoch_values, recipe_settings

HERE = machine("cpu", 0)


def recipe_with(*changes):
    return load_recipe("report-baseline", [*TINY, *changes])


class Stop:
    """A progress that interrupts training after its first epoch."""

    def __call__(self, task, done, total, note=""):
        if task == "training" and done * 3 >= total and not note.startswith("epoch"):
            raise KeyboardInterrupt


class NotedLog:
    """A log of this test: it keeps what it is told, by identity, as a server would."""

    kept: dict[str, dict] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, folder, identity, done):
        self.identity = identity or f"log-{len(self.kept)}"
        self.calls = self.kept.setdefault(self.identity, {"settings": [], "values": [], "finished": []})
        self.calls.setdefault("opened", []).append((folder.name, done))

    def log_settings(self, settings):
        self.calls["settings"].append(settings)

    def log_values(self, values, step):
        self.calls["values"].append((step, values))

    def finish(self, *, whole):
        self.calls["finished"].append(whole)


@pytest.fixture
def noted(monkeypatch):
    """Has a log named trackio that needs no library."""
    NotedLog.kept = {}
    module = ModuleType("samecar.training.logs.trackio")
    module.TrackioLog = NotedLog
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return NotedLog


def test_settings_and_values_have_the_names_that_logs_show():
    settings = recipe_settings(recipe_with())
    assert settings["model.backbone"] == "test_resnet"
    assert settings["optimizer.learning_rate"] == "0.001"
    assert settings["digest"] == recipe_with().digest
    assert all(isinstance(value, str) for value in settings.values())
    record = {"epoch": 2, "loss": 0.5, "learning_rate": 0.1, "validation_mAP": 0.7, "validation_rank-1": 0.8}
    assert epoch_values(record) == {
        "train/epoch": 2,
        "train/loss": 0.5,
        "train/learning_rate": 0.1,
        "validation/mAP": 0.7,
        "validation/rank-1": 0.8,
    }


def test_a_log_is_told_settings_epochs_and_test_scores(noted, painted_source, tmp_path):
    made = train(recipe_with(), painted_source, tmp_path / "run", on=HERE, log="trackio")
    evaluation = evaluate(made, painted_source, on=HERE)
    (log,) = noted.kept.values()
    assert log["settings"] == [recipe_settings(made.recipe)]
    told = [(step, values["train/loss"]) for step, values in log["values"][:2]]
    assert told == [(record["epoch"], record["loss"]) for record in made.metrics()]
    assert log["values"][2] == (2, {"test/mAP": evaluation.mean_average_precision, "test/rank-1": evaluation.cmc[1]})
    assert log["opened"] == [("run", 0), ("run", None)]
    assert log["finished"] == [True, True]
    assert not list(made.folder.glob("events*"))


def test_a_resumed_run_goes_on_in_its_log(noted, painted_source, tmp_path):
    recipe = recipe_with("training.epochs=3")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, painted_source, tmp_path / "run", on=HERE, log="trackio", progress=Stop())
    assert [log["finished"] for log in noted.kept.values()] == [[False]]
    train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    (log,) = noted.kept.values()
    assert len(log["settings"]) == 1
    assert [step for step, _ in log["values"]] == [1, 2, 3]
    assert log["opened"] == [("run", 0), ("run", 1)]
    assert log["finished"] == [False, True]
    assert Run.open(tmp_path / "run").log == {"name": "trackio", "identity": "log-0"}


def test_another_log_of_a_resumed_run_is_told_what_was_before(noted, painted_source, tmp_path):
    recipe = recipe_with("training.epochs=3")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, painted_source, tmp_path / "run", on=HERE, progress=Stop())
    made = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE, log="trackio")
    (log,) = noted.kept.values()
    assert [(step, values["train/loss"]) for step, values in log["values"]] == [
        (record["epoch"], record["loss"]) for record in made.metrics()
    ]
    assert len(log["settings"]) == 1
    events = EventAccumulator(str(made.folder)).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1]


def test_a_run_of_before_logs_goes_on_with_tensorboard_and_tells_nothing_twice(painted_source, tmp_path):
    recipe = recipe_with("training.epochs=3")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, painted_source, tmp_path / "run", on=HERE, progress=Stop())
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    del content["log"]
    path.write_text(json.dumps(content))
    made = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    events = EventAccumulator(str(made.folder)).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]


def test_tensorboard_shows_the_settings(painted_source, tmp_path):
    made = train(recipe_with(), painted_source, tmp_path / "run", on=HERE)
    events = EventAccumulator(str(made.folder)).Reload()
    (text,) = events.Tensors("settings/text_summary")
    assert b"| model.backbone | test_resnet |" in text.tensor_proto.string_val[0]


@pytest.mark.parametrize("name", ["mlflow", "trackio", "wandb"])
def test_a_log_whose_library_is_missing_is_refused_before_anything_is_done(name, painted_source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"samecar.training.logs.{name}", raising=False)
    arguments = ("train", "report-baseline", "--data", painted_source, "-o", tmp_path / "run", "--log", name, *tiny())
    assert refused(*arguments) == (
        f"the log {name} needs {name}, which is not installed; run `pip install {name}`, or choose another log"
    )
    assert not (tmp_path / "run").exists()


def test_an_unknown_log_is_refused(painted_source, tmp_path):
    with pytest.raises(SamecarError, match="log is 'aim'; give one of tensorboard, mlflow, wandb, trackio"):
        train(recipe_with(), painted_source, tmp_path / "run", on=HERE, log="aim")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("no answer\nfrom the server", r"the log trackio of .*run cannot be opened: no answer from the server"),
        ("API request to https://anna:geheim@logs/api failed", r"API request to https://logs/api failed"),
    ],
)
def test_what_a_library_of_others_raises_is_one_sentence_without_a_login(
    noted, painted_source, tmp_path, monkeypatch, raised, said
):
    def fail(*arguments):
        raise ConnectionError(raised)

    monkeypatch.setattr(noted, "__init__", fail)
    with pytest.raises(SamecarError, match=said):
        train(recipe_with(), painted_source, tmp_path / "run", on=HERE, log="trackio")


def test_scores_are_kept_where_the_log_is_lost_while_it_is_told(noted, painted_source, tmp_path, monkeypatch):
    made = train(recipe_with(), painted_source, tmp_path / "run", on=HERE, log="trackio")

    def fail(*arguments):
        raise ConnectionError("no answer")

    monkeypatch.setattr(noted, "log_values", fail)
    with pytest.warns(UserWarning, match="the scores are saved, but not logged: no answer"):
        evaluate(made, painted_source, on=HERE)
    assert (made.folder / "report.html").is_file()


def test_scores_are_kept_where_the_log_cannot_be_reached(noted, painted_source, tmp_path, monkeypatch):
    made = train(recipe_with(), painted_source, tmp_path / "run", on=HERE, log="trackio")
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.delitem(sys.modules, "samecar.training.logs.trackio")
    with pytest.warns(UserWarning, match="the scores are saved, but not logged: the log trackio needs trackio"):
        evaluate(made, painted_source, on=HERE)
    assert (made.folder / "report.html").is_file()


def test_training_imports_no_log_that_was_not_asked_for(painted_source, tmp_path):
    lines = (  # timm imports W&B itself where that is installed
        "import sys; from samecar.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted(name for name in sys.modules if name.startswith('samecar.training.logs.')))\n"
    )
    arguments = ["train", "report-baseline", "--data", str(painted_source), "-o", str(tmp_path / "run"), *tiny()]
    finished = subprocess.run([sys.executable, "-c", lines, *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    imported = finished.stdout.splitlines()[-1]
    assert "logs.tensorboard'" in imported
    assert not re.search("mlflow|wandb|trackio", imported)


def trained_in_two_parts(source, folder, log, between=lambda: None):
    """A run of three epochs that was interrupted after the first."""
    recipe = recipe_with("training.epochs=3")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, source, folder, on=HERE, log=log, progress=Stop())
    between()
    return train(recipe, source, folder, resume=True, on=HERE)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed")
def test_mlflow_keeps_a_resumed_run_as_one(painted_source, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for it
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "yard")
    client = MlflowClient((tmp_path / "mlruns").as_uri())

    def kept():
        (found,) = client.search_runs([client.get_experiment_by_name("yard").experiment_id])
        return found

    states = []
    made = trained_in_two_parts(painted_source, tmp_path / "first", "mlflow", lambda: states.append(kept().info.status))
    assert states == ["KILLED"]
    evaluation = evaluate(made, painted_source, on=HERE)
    found = kept()
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    assert found.data.params["model.backbone"] == "test_resnet"
    assert found.data.params["training.epochs"] == "3"
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in sorted(history, key=lambda each: each.step)] == [
        (record["epoch"], pytest.approx(record["loss"])) for record in made.metrics()
    ]
    assert found.data.metrics["test/mAP"] == pytest.approx(evaluation.mean_average_precision)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="W&B is not installed")
def test_wandb_keeps_a_resumed_run_under_one_id_offline(painted_source, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    made = trained_in_two_parts(painted_source, tmp_path / "first", "wandb")
    identity = made.log["identity"]
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2  # one of each part; `wandb sync` joins what has one id
    assert {file.name for file in files} == {f"run-{identity}.wandb"}
    told = b"".join(file.read_bytes() for file in files)
    assert b"train/loss" in told
    assert b"model.backbone" in told


@pytest.mark.slow
@pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio_keeps_a_resumed_run_as_one(painted_source, tmp_path):
    lines = (
        "import sys; from pathlib import Path; from test_logs import trained_in_two_parts\n"
        "made = trained_in_two_parts(sys.argv[1], Path(sys.argv[2]), 'trackio')\n"
        "import trackio; from trackio.sqlite_storage import SQLiteStorage\n"
        "names = SQLiteStorage.get_runs('samecar'); print('found', names == [made.log['identity']])\n"
        "kept = SQLiteStorage.get_logs('samecar', names[0])\n"
        "told = [(each['step'], each['train/loss']) for each in kept]\n"
        "print('found', told == [(record['epoch'], record['loss']) for record in made.metrics()])\n"
        "print('found', SQLiteStorage.get_run_config('samecar', names[0])['model.backbone'])\n"
    )
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", lines, painted_source, str(tmp_path / "first")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    found = re.findall(r"^found (.*)$", finished.stdout, re.MULTILINE)
    assert found == ["True", "True", "test_resnet"], finished.stdout + finished.stderr
