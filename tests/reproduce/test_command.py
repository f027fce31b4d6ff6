import json
import re
from pathlib import Path

import pytest
from tiny_reproduction import TINY_MODEL
from typer.testing import CliRunner

from samecar.cli.main import app
from samecar.reproduce import all_rows
from samecar.reproduce import runs as running

TINY = ["--epochs", "1", "--image-scale", "0.125", "--workers", "0", "--device", "cpu"]
TINY += [part for change in TINY_MODEL for part in ("--set", change)]


def samecar(*arguments):
    return CliRunner().invoke(app, ["reproduce", *map(str, arguments)])


@pytest.mark.parametrize(("options", "runs"), [([], 35), (["--as-run"], 34)])
def test_list_shows_every_row_with_its_numbers_and_what_it_shares_a_run_with(options, runs):
    result = samecar("--list", *options)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines() if re.match("  table", line)] == all_rows()
    assert re.search(r"table5/batch-64 +84\.2  54\.2  64  \(one run with table1/batch-64, table8/adam\)", result.stdout)
    assert f"46 rows, {runs} distinct runs" in result.stdout


def test_list_names_the_figures_and_what_they_show():
    result = samecar("--list")
    assert "figure2: A picture under each of the report's augmentations (no run)" in result.stdout
    assert re.search(r"figure4: Training loss by head \(table9/vanilla, .*table9/fc-bn-fc, as run\)", result.stdout)
    assert "figure" not in samecar("--list", "--rows", "table8/sgd").stdout


@pytest.mark.slow
def test_a_figure_is_run_and_drawn_as_the_report_shows_it(painted_source, tmp_path):
    result = samecar("figure4", "--data", painted_source, "--out", tmp_path, *TINY)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "figure4-as-run.svg").is_file()
    assert not (tmp_path / "figure4.svg").exists()
    assert "settings as run" in (tmp_path / "table9-as-run.md").read_text()
    assert not (tmp_path / "table9.md").exists()


def test_list_can_be_of_some_tables():
    result = samecar("table5", "--list")
    assert "5 rows, 5 distinct runs" in result.stdout
    assert "table8:" not in result.stdout


def test_a_table_is_run_and_written(painted_source, tmp_path):
    out = tmp_path / "out"
    result = samecar("table8", "--rows", "adam,sgd", "--data", painted_source, "--out", out, *TINY)
    assert result.exit_code == 0, result.output
    assert re.search(r"table8/sgd, seed 1: rank-1 [\d.]+, mAP [\d.]+ \(\d+ s; about 0 s left\)", result.stderr)
    written = {f"{stem}.{suffix}" for stem in ("table8", "index") for suffix in ("md", "html", "tex", "json")}
    written |= {f"figure{number}.{suffix}" for number in (2, 3, 5) for suffix in ("png", "svg", "json")}
    assert {path.name for path in out.iterdir()} == {"runs", *written}
    assert {Path(line).name for line in result.stdout.splitlines()} == written
    assert "2 of 5 rows were run." in (out / "table8.md").read_text()
    again = samecar("table8", "--rows", "table8/sgd", "--data", painted_source, "--out", out, *TINY)
    assert again.exit_code == 0
    assert "seed 1: rank-1" not in again.stderr
    assert "2 of 5 rows were run." in (out / "table8.md").read_text()


@pytest.mark.slow
def test_several_seeds_and_weights_are_said_in_the_table(painted_source, tmp_path):
    without = [part for change in TINY_MODEL if not change.startswith("model.weights") for part in ("--set", change)]
    options = [*TINY[: -2 * len(TINY_MODEL)], *without, "--weights", "none", "--seeds", "2", "--identities", "6"]
    result = samecar("--rows", "table8/adam", "--data", painted_source, "--out", tmp_path, *options)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "table8.md").read_text()
    assert "6 train vehicles" in text
    assert "model.weights=none" in text
    assert "seeds 1, 2" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say what: table1, "),
        (["figure6"], "'figure6' is unknown; known are table1, "),
        (["figure4", "--rows", "table9/vanilla"], "--rows chooses rows of tables, but figure4 is a figure"),
        (["table5"], "give the pictures with --data"),
        (["table5", "--data", "veri776:nowhere"], "nowhere"),
        (["table5", "--list", "--set", "optimizer.lr=1"], "unknown option optimizer.lr"),
        (["table5", "--list", "--image-scale", "2"], "--image-scale is 2"),
        (["table5", "--json"], "--json is for --plan"),
        (
            ["table5", "--device", "cpu", "--devices", "cpu"],
            "--device is cpu and --devices is cpu; give one of the two",
        ),
        (
            ["table5", "--device", "cuda:x", "--data", "folder:nowhere"],
            "device is 'cuda:x'; it can be auto, cpu, cuda or",
        ),
        (["table5", "--list", "--set", "training.seed=3"], "--seeds N runs each row with the seeds 1 to N"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(arguments, sentence):
    result = samecar(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_a_plan_is_printed_and_nothing_is_started(painted_source, tmp_path):
    out = tmp_path / "out"
    planned = ("--plan", "table8", "--rows", "adam,sgd", "--data", painted_source, "--out", out, *TINY)
    result = samecar(*planned)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert re.split(r"  +", lines[0].strip()) == [
        "steps", "pictures", "operations", "ms to read", "ms to train", "hours", "disk, MB", "run",
    ]  # fmt: skip
    assert lines[2].endswith("  table8/sgd")
    assert re.fullmatch(
        r"In all: 2 runs \(0 more are finished\), [\d,]+ steps on [\d,]+ pictures, \S+ floating-point operations, "
        r"about \d+ s on cpu, 0\.0 GB of disk \([\d,.]+ GB are free\)\.",
        lines[4],
    )
    told = json.loads(samecar(*planned, "--json").stdout)
    assert [run["rows"][-1] for run in told["runs"]] == ["table8/adam", "table8/sgd"]
    assert (told["finished"], told["devices"], told["workers"]) == (0, ["cpu"], 0)
    several = [part for part in planned if part not in ("--device", "cpu")]
    told = json.loads(samecar(*several, "--json", "--devices", "cpu, cpu").stdout)
    assert told["devices"] == ["cpu", "cpu"]
    assert told["seconds"] == max(run["seconds"] for run in told["runs"])
    assert not out.exists()


def test_an_interrupted_reproduction_says_how_to_go_on(painted_source, tmp_path, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "evaluate", interrupt)
    result = samecar("--rows", "table8/adam", "--data", painted_source, "--out", tmp_path, *TINY)
    assert result.exit_code == 130
    assert "the same command goes on from here" in result.stderr
