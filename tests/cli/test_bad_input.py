"""Whatever a user gives, an error is one sentence that names it and says what to do, and the exit status is 2."""

import re
import shutil

import numpy as np
import pytest
import torch
from command_line import done, refused, run, tiny
from conftest import paint_picture

from samecar.evaluation.protocols import PROTOCOLS
from samecar.training import Run

LABELS = "{vehicle_id}_{camera_id}_*.png"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, painted_source):
    """A run folder."""
    out = tmp_path_factory.mktemp("trained") / "run"
    done("train", "report-baseline", "--data", painted_source, "--out", out, *tiny("training.epochs=1"))
    return out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian"], "no such command 'trian'"),
        (["data", "chek"], "no such command 'chek'"),
        (["train"], "missing option '--data'"),
        (["train", "demo", "--dta", "x"], "no such option: --dta"),
        (["train", "demo", "--out", "x"], "missing option '--data'"),
        (["draw", "x", "y"], "got unexpected extra argument"),
        (["draw", "x", "--vehicles", "many"], "invalid value for '--vehicles'"),
        (["evaluate", "x", "--data", "y", "--workers", "-1"], "invalid value for '--workers'"),
        (["draw", "x", "--vehicles"], "option '--vehicles' requires an argument"),
        (["draw", "x", "--vehicles", "8", "--vehicles=9"], "--vehicles is given 2 times; give it once"),
        (["gallery", "add", "x", "y", "--camera", "a", "--camera", "b"], "--camera is given 2 times; give it once"),
    ],
)
def test_misspelt_command_lines(arguments, sentence):
    said = refused(*arguments)
    assert said.casefold().startswith(sentence.casefold())  # the rest, and capitals, depend on typer's version
    (command,) = re.findall(r"; see `samecar( [a-z ]+)? --help`$", said)
    assert command.strip() in ("", " ".join(arguments[: len(command.split())]))


TWO = ["--set", "training.epochs=1", "--set", "training.epochs = 2"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "demo", "--data", "x", "--out", "y", *TWO], "training.epochs=1 and training.epochs = 2"),
        (
            ["train", "demo", "--data", "x", "--out", "y", "--validation", "0.2", "--set", "training.validation=0.1"],
            "training.validation=0.1 and training.validation=0.2",
        ),
        (["reproduce", "table2", "--list", *TWO], "training.epochs=1 and training.epochs = 2"),
        (
            ["reproduce", "table2", "--list", "--weights", "none", "--set", "model.weights=imagenet"],
            "model.weights=none and model.weights=imagenet",
        ),
        (["tune", "demo", "--data", "x", "--out", "y", *TWO], "training.epochs=1 and training.epochs = 2"),
        (["plot", "features", "x", "--recipe", "demo", *TWO], "training.epochs=1 and training.epochs = 2"),
        (["gallery", "add", "x", "y", "--label", "lane=1", "--label", "lane=2"], "lane=1 and lane=2"),
    ],
)
def test_of_two_values_for_one_name_none_is_dropped(arguments, sentence):
    name = sentence.partition("=")[0]
    assert refused(*arguments) == f"{sentence} are both given; give {name} once"


@pytest.mark.parametrize(
    ("recipe", "changes", "sentences"),
    [
        ("report-basline", [], ["'report-basline' is neither a file nor a shipped recipe", "report-baseline"]),
        ("no/such.toml", [], ["'no/such.toml' is neither a file nor a shipped recipe"]),
        ("report-baseline", ["optim.lrr=1"], ["unknown option optim.lrr; known are", "optimizer.…"]),
        ("report-baseline", ["optimizer.learning_rat=1"], ["did you mean optimizer.learning_rate?"]),
        ("report-baseline", ["training.epochs"], ["'training.epochs' is not of the form group.option=value"]),
        ("report-baseline", ["training.epochs=many"], ["training.epochs is 'many'"]),
        ("report-baseline", ["batch.size=9"], ["size 9 is not a multiple of pictures_per_vehicle 2; 10 would be"]),
        ("report-baseline", ["batch.size=64"], ["needs 32 vehicles, but only 8 are there", "batch.size to 16 or less"]),
        ("report-baseline", ["batch.size=2"], ["is one vehicle a batch, and the triplet loss needs two"]),
        ("report-baseline", ["batch.size=1", "batch.pictures_per_vehicle=1"], ["needs two pictures at least"]),
        ("report-baseline", ["loss.triplet=0", "loss.cross_entropy=0"], ["are both 0, so nothing would be learned"]),
        ("report-baseline", ["training.seed=-1"], ["training.seed is -1"]),
        ("report-baseline", ["training.seed=99999999999999999999"], ["training.seed is 99999999999999999999"]),
        ("report-baseline", ["model.backbone=resnet19"], ["'resnet19' is not a timm model; did you mean"]),
        ("report-baseline", ["model.weights=best.pth"], ["model.weights 'best.pth' is not a file; give the path"]),
        (
            "report-baseline",
            ["model.weights=imagenet"],
            ["'timm:test_resnet.r160_in1k' are not on this machine", "'none'"],
        ),
    ],
)
def test_recipes_that_cannot_be_trained_leave_no_folder(painted_source, tmp_path, recipe, changes, sentences):
    sentence = refused("train", recipe, "--data", painted_source, "--out", tmp_path / "run", *tiny(*changes))
    assert all(part in sentence for part in sentences), sentence
    assert list(tmp_path.iterdir()) == []


def test_sources_that_are_not_there(tmp_path, trained):
    (tmp_path / "empty").mkdir()
    for source, part in {
        tmp_path: "write folder:",
        "veri777:somewhere": "did you mean veri776:PATH?",
        f"veri776:{tmp_path / 'none'}": "none is not there; give the folder that holds the data set",
        f"veri776:{tmp_path}": "is not VeRi-776: it has none of image_train",
        f"folder:{tmp_path}/empty": "holds no pictures; it needs files that end in",
        f"folder:{tmp_path}/empty/{{vehicle}}.jpg": "did you mean {vehicle_id}?",
        f"csv:{tmp_path / 'none.csv'}": "is not there; give the path of a .csv or .parquet file",
        f"csv:{tmp_path}": "must end in .csv or .parquet",
    }.items():
        for command in (
            ["data", "check", source],
            ["data", "convert", source, "-o", tmp_path / "new.csv"],
            ["data", "split", source, "-o", tmp_path / "new.csv"],
            ["train", "report-baseline", "--data", source, "--out", tmp_path / "run", *tiny()],
            ["evaluate", trained, "--data", source],
            ["embed", trained, source, "-o", tmp_path / "new.npz"],
        ):
            assert part in refused(*command)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_pattern_that_matches_nothing_shows_names(painted_folder):
    sentence = refused("data", "check", f"folder:{painted_folder}/train/{{vehicle_id}}-{{camera_id}}.jpg")
    assert "matches none of the 48 pictures" in sentence
    assert "v00_c0_0.png" in sentence


def test_a_pattern_that_leaves_folders_out_is_told_so(painted_folder):
    sentence = refused("data", "check", f"folder:{painted_folder}/{{vehicle_id}}_{{camera_id}}_*.png")
    assert sentence.endswith("; '**/{vehicle_id}_{camera_id}_*.png' would match 80")


def test_splits_that_cannot_be_made(painted_folder, painted_source, tmp_path):
    source = f"folder:{painted_folder}/train/{LABELS}"
    for arguments, part in {
        (source, "-o", "new.txt"): "must end in .csv or .parquet",
        (source, "-o", "new.csv", "--held-out", "a third"): "--held-out is 'a third'; give a share such as 0.3",
        (source, "-o", "new.csv", "--held-out", "0_3"): "--held-out is '0_3'; give a share such as 0.3",
        (source, "-o", "new.csv", "--held-out", "8"): "8 of 8 vehicles cannot be held out",
        (source, "-o", "new.csv", "--query-camera", "3"): "query camera '3' took no picture; cameras are c0, c1",
        (
            source,
            "-o",
            "new.csv",
            "--held-out",
            "1.0",
        ): "--held-out is '1.0'; a share lies between 0 and 1; give one, or",
        (source, "-o", "new.csv", "--seed", "-1"): "seed is -1; give a whole number, 0 or more",
        (painted_source, "-o", "new.csv"): "already has 8 query and 24 gallery pictures",
        (f"folder:{painted_folder}/train", "-o", "new.csv"): "no picture has a vehicle_id; give the pattern",
        (source, "-o", painted_folder / "train" / "v00_c0_0.png" / "new.csv"): "new.csv cannot be written: ",
    }.items():
        assert part in refused("data", "split", *arguments)


def test_runs_that_are_there_are_kept_and_absent_ones_are_not_resumed(trained, painted_source, tmp_path):
    command = ["train", "report-baseline", "--data", painted_source]
    once, more = tiny("training.epochs=1"), tiny("training.epochs=3")
    other = tiny("training.epochs=1", "training.seed=3")
    assert "already holds a run of this recipe; continue it with --resume" in refused(*command, *once, "--out", trained)
    sentence = refused(*command, *more, "--out", trained)
    assert "training.epochs was 1 and is now 3; choose another folder, or train it longer with --resume" in sentence
    sentence = refused(*command, *other, "--out", trained)
    assert sentence.endswith("training.seed was 1 and is now 3; choose another folder")
    assert "training.seed was 1" in refused(*command, *other, "--out", trained, "--resume")
    none = tmp_path / "none"
    sentence = refused(*command, *once, "--out", none, "--resume")
    assert f"{none} holds no run to resume; start it without --resume" in sentence
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not an empty folder; choose another one" in refused(*command, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_is_no_run_is_not_scored(trained, painted_source, tmp_path):
    for command in (["evaluate", "{run}", "--data", painted_source], ["embed", "{run}", painted_source, "-o", "e.npz"]):

        def given(run, command=command):
            return [str(part).format(run=run) if part == "{run}" else part for part in command]

        assert f"run folder {tmp_path / 'rnu'} is not there; give the folder" in refused(*given(tmp_path / "rnu"))
        assert f"folder {tmp_path} holds no run; give the folder" in refused(*given(tmp_path))
        for damage, part in {
            "unfinished": "has no trained model yet; finish it with `samecar train … --resume`",
            "cut": "model.safetensors cannot be read",
            "other": "belongs to another model: ",
            "description": "run.json",
        }.items():
            damaged = tmp_path / damage
            if not damaged.exists():
                shutil.copytree(trained, damaged)
            model = damaged / "model" / "model.safetensors"
            if damage == "unfinished":
                model.unlink(missing_ok=True)
            elif damage == "cut":
                model.write_bytes(model.read_bytes()[:99])
            elif damage == "other":
                text = (damaged / "run.json").read_text()
                (damaged / "run.json").write_text(text.replace('"head": "none"', '"head": "fc"').replace(
                    '"embedding_size": null', '"embedding_size": 8'))  # fmt: skip
            else:
                (damaged / "run.json").write_text("{")
            assert part in refused(*given(damaged), "--workers", 0)
            shutil.rmtree(damaged)


def test_options_of_scoring(trained, painted_source, tmp_path):
    command = ["evaluate", trained, "--data", painted_source, "--workers", 0]
    known = ", ".join(PROTOCOLS)
    assert refused(*command, "--protocol", "veri") == f"--protocol: unknown protocol 'veri'; known are {known}"
    assert refused(*command, "--distance", "l2") == "--distance: unknown distance 'l2'; known are euclidean, cosine"
    assert (
        refused(*command, "--device", "gpu") == "--device is 'gpu'; it can be auto, cpu, cuda or cuda:N, such as cuda:0"
    )
    sentence = refused("embed", trained, painted_source, "-o", tmp_path / "e.csv")
    assert sentence == f"{tmp_path / 'e.csv'}: embeddings are written as .npz or .npy; give a name that ends so"


def test_a_gpu_that_is_not_there(trained, painted_source, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    sentence = "--device is 'cuda' but torch finds no GPU here; use auto or cpu"
    for command in (
        ["train", "report-baseline", "--data", painted_source, "--out", tmp_path / "run", *tiny()],
        ["evaluate", trained, "--data", painted_source],
        ["embed", trained, painted_source, "-o", tmp_path / "e.npz"],
        ["demo", "--out", tmp_path / "demo"],
    ):
        assert refused(*command, "--device", "cuda") == sentence
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_cannot_be_scored_are_refused_before_the_work(trained, painted_folder, tmp_path, monkeypatch):
    for split, vehicle, camera in (
        ("train", 0, 0),
        ("train", 1, 1),
        ("query", 8, 0),
        ("gallery", 8, 0),
        ("gallery", 9, 1),
    ):
        paint_picture(tmp_path / split / f"v{vehicle}_c{camera}_0.png", vehicle, camera, 0)
    monkeypatch.setattr("samecar.embedding.networks.embed", None)
    monkeypatch.setattr("samecar.experiment.train.fit", None)
    source = f"folder:{tmp_path}/{{split}}/{LABELS}"
    options = [*tiny("batch.size=4"), "--out", tmp_path / "run"]
    for command in (["evaluate", trained, "--data", source], ["train", "report-baseline", "--data", source, *options]):
        sentence = refused(*command)
        assert "none of 1 queries" in sentence
        assert "see `samecar data check`" in sentence
    for pattern, part in {
        "train/{vehicle_id}_{camera_id}_*.png": "has no query and gallery pictures; `samecar data split` makes some",
        "gallery": "no test vehicle",
        "gallery/{camera_id}_*.png": "has 0 query and 2 gallery pictures",
    }.items():
        assert part in refused("evaluate", trained, "--data", f"folder:{tmp_path}/{pattern}")


def test_places_that_cannot_be_written(trained, painted_source, tmp_path):
    (tmp_path / "file").write_text("mine")
    inside = tmp_path / "file" / "inside"
    assert f"{inside.with_suffix('.npz')} cannot be written: " in refused(
        "embed", trained, painted_source, "-o", inside.with_suffix(".npz"), "--workers", 0
    )
    command = ["train", "report-baseline", "--data", painted_source, *tiny("training.epochs=1")]
    assert "file" in refused(*command, "--out", inside)
    assert "file is not a folder; choose another one" in refused(*command, "--out", tmp_path / "file")
    assert "holds something else than a demo" in refused("demo", "--out", tmp_path)
    assert str(inside) in refused("draw", inside, "--vehicles", 4)
    assert "vehicles is 1" in refused("draw", tmp_path / "new", "--vehicles", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_gpu_is_one_sentence(painted_source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate too much")

    monkeypatch.setattr("samecar.training.loop.train_batch", full)
    sentence = refused("train", "report-baseline", "--data", painted_source, "--out", tmp_path / "run", *tiny())
    assert sentence.startswith("the memory of cpu is full; lower batch.size,") or "cuda" in sentence


def test_a_full_disk_is_one_sentence(trained, painted_source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    sentence = refused("embed", trained, painted_source, "-o", tmp_path / "e.npz", "--workers", 0)
    stored = "free some space and do it again, what was stored before is safe"
    assert sentence == f"the disk that holds {tmp_path}/e.npz is full; {stored}"
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_is_one_sentence_and_130(trained, painted_source, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("samecar.embedding.networks.embed", interrupt)
    finished = run("evaluate", trained, "--data", painted_source, "--flip")
    assert finished.status == 130
    (line,) = finished.errors.splitlines()
    assert line == "error: interrupted"
    assert Run.open(trained).model_facts()["epoch"] == 1


@pytest.mark.parametrize(
    ("stopped", "sentence"),
    [
        ("samecar.data.open_source", "interrupted; training had not begun, and nothing is kept"),
        ("samecar.experiment.train.initial_model", "interrupted; training had not begun, and nothing is kept"),
        (
            "samecar.experiment.train.training_loader",
            "interrupted; no epoch was finished; {out} is begun, and `--resume` goes on with it",
        ),
        (
            "samecar.training.loop.train_batch",
            "interrupted; no epoch was finished; {out} is begun, and `--resume` goes on with it",
        ),
    ],
)
def test_an_interruption_before_an_epoch_ended_promises_nothing(
    painted_source, tmp_path, monkeypatch, stopped, sentence
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    command = ("train", "report-baseline", "--data", painted_source, "--out", out, *tiny())
    with monkeypatch.context() as patch:
        patch.setattr(stopped, interrupt)
        finished = run(*command)
    assert (finished.status, finished.errors) == (130, f"error: {sentence.format(out=out)}\n")
    if out.exists():
        done(*command, "--resume")


@pytest.mark.parametrize(
    "words",
    [
        ("recipes",),
        ("demo", "-o", "demo"),
        ("tune", "report-baseline", "-o", "study", "--data", "demo"),
        ("reproduce", "-o", "report", "--data", "demo"),
    ],
    ids=lambda words: words[0],
)
def test_commands_that_share_no_work_are_refused_under_torchrun(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "none"}
    for name, value in (told | meeting).items():
        monkeypatch.setenv(name, value)
    sentence = refused(*words)
    assert f"`samecar {words[0]}` works in one process, and torchrun has started 2; run it without torchrun" in sentence
    monkeypatch.setenv("RANK", "1")
    assert run(*words) == (2, "", "")  # the first one has said it
    assert not list(tmp_path.iterdir())
