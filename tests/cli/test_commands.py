import json
import re

import numpy as np
import pytest
from command_line import done, refused, run, tiny
from conftest import TINY
from typer.main import get_command

import samecar
from samecar.cli.main import app
from samecar.config import load_recipe, shipped_recipes
from samecar.data import Manifest, open_source
from samecar.embedding.embeddings import Embeddings
from samecar.training import Run


def command_names(group, before=()):
    for name, command in group.commands.items():
        yield (*before, name)
        yield from command_names(command, (*before, name)) if hasattr(command, "commands") else ()


COMMANDS = [(), *command_names(get_command(app))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, painted_source):
    """A run folder, and what training it printed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    return out, done("train", "report-baseline", "--data", painted_source, "--out", out, *tiny())


def test_the_version_is_printed():
    assert done("--version") == f"samecar {samecar.version.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(command, option):
    assert "Usage: samecar" in done(*command, option)


@pytest.mark.parametrize("command", [(), ("data",)])
def test_without_a_command_the_help_is_shown(command):
    finished = run(*command)
    assert finished.status in (0, 2)  # typer before 0.16 takes it for a request for help
    assert finished.errors == ""
    assert "Usage: samecar" in finished.out


def test_recipes_are_listed():
    listed = done("recipes")
    assert all(name in listed for name in shipped_recipes())


def test_drawn_vehicles_can_be_checked(tmp_path):
    printed = done("draw", tmp_path / "drawn", "--vehicles", 4, "--cameras", 2, "--pictures", 1, "--size", 32)
    assert f"Use it as --data veri776:{tmp_path / 'drawn'}" in printed
    checked = json.loads(done("data", "check", f"veri776:{tmp_path / 'drawn'}", "--json"))
    assert checked["ok"]
    assert checked["splits"]["train"]["vehicles"] == 2


def test_check_prints_a_table_and_findings(painted_source):
    printed = done("data", "check", painted_source, "--workers", 0)
    assert re.search(r"train\D+48\D+8\D+2\D+0\D+6 to 6, median 6", printed)
    assert "note: query pictures that are in the gallery too" in printed


def test_check_says_when_nothing_is_wrong(painted_folder, tmp_path):
    for path in (painted_folder / "train").glob("v0[01]_*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert done("data", "check", f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}_*").endswith("Nothing is wrong.\n")


def test_check_ends_with_1_where_something_is_wrong(painted_folder, tmp_path):
    (tmp_path / "v1_c0.png").write_bytes(b"")
    finished = run("data", "check", f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.png", "--json")
    assert finished.status == 1
    assert finished.errors == ""
    assert json.loads(finished.out)["findings"][0]["examples"] == ["v1_c0.png (the file is empty)"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_source_is_converted_to_a_table(painted_source, tmp_path, suffix):
    table = tmp_path / f"painted.{suffix}"
    assert done("data", "convert", painted_source, "-o", table) == f"{table}: 80 pictures. Use it as csv:{table}\n"
    assert Manifest.read(table).split_counts == open_source(painted_source).split_counts


def test_a_set_is_split_by_vehicle(painted_folder, tmp_path):
    source, table = f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png", tmp_path / "split.csv"
    printed = done("data", "split", source, "-o", table, "--held-out", 0.25, "--seed", 7)
    assert printed == f"{table}: 36 train, 4 query, 12 gallery pictures. Use it as csv:{table}\n"
    assert done("data", "split", source, "-o", table, "--held-out", 0.25, "--seed", 7) == printed
    other = ("data", "split", source, "-o", table, "--held-out", 2, "--query-camera", "c1")
    assert "is there already and holds something else; choose another name, or --overwrite" in refused(*other)
    done(*other, "--overwrite")
    assert set(Manifest.read(table).of_split("query").camera_id) == {"c1"}


def test_training_scores_and_reports(trained):
    out, printed = trained
    assert printed.startswith(f"Trained {out}: recipe {Run.open(out).recipe.digest}, last epoch")
    assert re.search(r"rank-1 .*\d+\.\d", printed)
    assert re.search(r"junk rule .*same vehicle and same camera", printed)
    assert printed.endswith(f"Open the report: {out / 'report.html'}\n")
    assert (out / "report.html").is_file()


def test_training_without_test_pictures_says_how_to_score(painted_folder, tmp_path):
    source = f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png"
    printed = done("train", "report-baseline", "--data", source, "--out", tmp_path / "run", *tiny())
    assert "score the run with `samecar evaluate`" in printed
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_set_without_cameras_is_split_trained_validated_and_scored_as_vehicleid(painted_folder, tmp_path):
    table = tmp_path / "split.csv"
    done("data", "split", f"folder:{painted_folder}/train/{{vehicle_id}}_*.png", "-o", table, "--held-out", 2)
    options = tiny("training.validation=0.3", "batch.size=4")
    printed = done("train", "report-baseline", "--data", f"csv:{table}", "--out", tmp_path / "run", *options)
    assert re.search(r"protocol .*vehicleid", printed)
    assert "held-out train vehicles" in printed


def test_training_is_taken_up_again_and_validates(painted_source, tmp_path):
    command = ("train", "report-baseline", "--data", painted_source, "--out", tmp_path / "run", *tiny())
    done(*command, "--validation", 0.25)
    done(*command, "--validation", 0.25, "--resume")
    run_made = Run.open(tmp_path / "run")
    assert run_made.recipe.training.validation == 0.25
    assert len(run_made.metrics()) == 2


def test_held_out_vehicles_are_scored_before_training_too(painted_folder, tmp_path):
    source = f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png"
    options = *tiny(), "--validation", 0.25
    finished = run("train", "report-baseline", "--data", source, "--out", tmp_path / "run", *options)
    said = re.search(r"Held-out train vehicles: mAP (\S+) before training, (\S+) after\.", finished.out)
    before, after = said.groups()
    run_made = Run.open(tmp_path / "run")
    assert f"{100 * run_made.untrained['validation_mAP']:.1f}" == before
    best = max(record["validation_mAP"] for record in run_made.metrics())
    assert f"{100 * best:.1f}" == after
    assert ("training has not helped" in finished.errors) == (best <= run_made.untrained["validation_mAP"])


def test_evaluation_prints_one_json_object(trained, painted_source):
    out, _ = trained
    content = json.loads(done("evaluate", out, "--data", painted_source, "--json", "--workers", 0))
    assert content.keys() >= {"mAP", "mINP", "cmc", "queries", "skipped", "protocol"}
    assert list(content["cmc"]) == ["1", "5", "10", "20"]
    assert (content["queries"], content["skipped"]) == (8, 0)
    assert 0 <= content["mINP"] <= content["mAP"] <= 1
    saved = json.loads(
        (out / "evaluations" / f"folder-plain-euclidean-{content['protocol']['data_digest']}.json").read_text()
    )
    assert saved == content


def test_evaluation_by_other_rules_is_saved_beside_the_first(trained, painted_source):
    out, _ = trained
    printed = done(
        "evaluate", out, "--data", painted_source, "--protocol", "no-junk", "--distance", "cosine", "--workers", 0
    )
    assert re.search(r"rank-1 .*100\.0", printed)  # without the junk rule every query finds itself
    assert re.search(r"distance .*cosine", printed)
    names = sorted(path.name for path in (out / "evaluations").iterdir())
    assert names[0].startswith("folder-no-junk-cosine-")
    assert names[-1].startswith("folder-plain-euclidean-")


def test_evaluation_warns_of_vehicles_that_were_trained_on(trained, painted_folder, tmp_path):
    table = tmp_path / "split.csv"
    done("data", "split", f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png", "-o", table)
    finished = run("evaluate", trained[0], "--data", f"csv:{table}", "--json", "--workers", 0)
    assert finished.status == 0
    assert json.loads(finished.out)["skipped"] == 0
    assert finished.errors.startswith(
        f"warning: 2 test vehicles are called as vehicles that {trained[0]} was trained on;"
    )


def test_embeddings_are_written(trained, painted_folder, tmp_path):
    file = tmp_path / "new" / "painted.npz"
    printed = done("embed", trained[0], f"folder:{painted_folder}/query", "-o", file, "--workers", 0)
    embeddings = Embeddings.load(file)
    assert embeddings.matrix.shape == (8, 96)
    assert np.isfinite(embeddings.matrix).all()
    assert printed == f"{file}: 8 embeddings of 96 numbers, model {Run.open(trained[0]).model_digest()}\n"
    done("embed", trained[0], f"folder:{painted_folder}/query", "-o", file.with_suffix(".npy"), "--workers", 0)
    assert (np.load(file.with_suffix(".npy")) == embeddings.matrix).all()
    assert open_source(f"csv:{file.with_suffix('.csv')}").absolute_path(0).is_file()
    (tmp_path / "pictures.csv").write_text("mine")
    command = ("embed", trained[0], f"folder:{painted_folder}/query", "-o", tmp_path / "pictures.npy", "--workers", 0)
    assert "pictures.csv is there already and is not the table of these embeddings" in refused(*command)


@pytest.fixture
def quick_demo(monkeypatch):
    """Makes the demo small."""
    for name, number in {"VEHICLES": 8, "CAMERAS": 2, "PICTURES": 1, "SIZE": 32}.items():
        monkeypatch.setattr(f"samecar.drawn.demo.{name}", number)
    changes = [*TINY, "batch.size=4"]
    monkeypatch.setattr("samecar.drawn.demo.load_recipe", lambda name, more: load_recipe(name, [*more, *changes]))


def test_a_small_demo_goes_the_whole_way_and_is_taken_up_again(quick_demo, tmp_path):
    printed = done("demo", "--out", tmp_path / "demo", "--workers", 0)
    assert re.search(r"untrained .* trained", printed)
    assert re.search(r"rank-1 \d+\.\d before training, \d+\.\d after", printed)
    assert f"Open the report: {tmp_path / 'demo' / 'run' / 'report.html'}" in printed
    assert "before training" in (tmp_path / "demo" / "run" / "report.html").read_text(encoding="utf-8").lower()
    assert done("demo", "--out", tmp_path / "demo", "--workers", 0) == printed


@pytest.mark.long
def test_the_demo_learns_to_tell_drawn_vehicles_apart(tmp_path):
    printed = done("demo", "--out", tmp_path / "demo")
    before, after = map(float, re.search(r"rank-1 (\S+) before training, (\S+) after", printed).groups())
    assert after > before + 20
