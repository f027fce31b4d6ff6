"""Rows are trained as the reference is, unless all that a machine can is asked for; then tables say so."""

import json

import pytest
from tiny_reproduction import TINY_MODEL
from typer.testing import CliRunner

from samecar.cli.main import app
from samecar.hardware import REFERENCE, Machine, Speed
from samecar.reproduce import Choices, fast
from samecar.reproduce.fast import describe_speed, go_fast

TINY = ["--epochs", "1", "--image-scale", "0.125", "--workers", "0", "--device", "cpu"]
TINY += [part for change in TINY_MODEL for part in ("--set", change)]


def chip(monkeypatch, *, bfloat16, compiler):
    monkeypatch.setattr(fast, "has_bfloat16", lambda _: bfloat16)
    monkeypatch.setattr(fast, "has_compiler", lambda: compiler)


@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize("compiler", [True, False])
def test_what_a_machine_can_is_chosen(monkeypatch, bfloat16, compiler):
    chip(monkeypatch, bfloat16=bfloat16, compiler=compiler)
    asked = Choices(changes=("batch.size=32",))
    choices, on = go_fast(asked, Machine("cpu", 3, Speed(False, False, cache="kept")))
    assert on == Machine("cpu", 3, Speed(channels_last=True, fused=True, compile=compiler, cache="kept"))
    assert choices.changes == ("batch.size=32",)
    for row in ("table8/adam", "table2/resnet18"):
        known, recipe = asked.recipe(row), choices.recipe(row)
        quicker = bfloat16 and "mobilenet" not in recipe.model.backbone
        assert recipe.training.precision == ("bfloat16" if quicker else "float32")
        assert (recipe.digest != known.digest) is quicker  # so that runs of another precision lie in their own folders


def test_mobilenets_learn_in_bfloat16_on_a_gpu_alone():
    precisions = {
        device: Choices(quick_in_bfloat16=device).recipe("table1/baseline").training.precision
        for device in ("", "cpu", "cuda")
    }
    assert "mobilenet" in Choices().recipe("table1/baseline").model.backbone
    assert precisions == {"": "float32", "cpu": "float32", "cuda": "bfloat16"}


def test_a_precision_that_is_named_stays(monkeypatch):
    chip(monkeypatch, bfloat16=True, compiler=False)
    asked = Choices(changes=("training.precision=float32",))
    assert go_fast(asked, Machine("cpu", 0))[0] == asked


def test_a_machine_is_used_as_it_says_or_as_what_is_trained_says():
    assert Machine("cpu", 1).used_as(REFERENCE) == Machine("cpu", 1, REFERENCE)
    assert Machine("cpu", 1, Speed()).used_as(REFERENCE) == Machine("cpu", 1, Speed())


def test_the_table_of_a_fast_reproduction_says_so(painted_source, tmp_path, monkeypatch):
    chip(monkeypatch, bfloat16=True, compiler=False)
    speeds = []
    for name, options in (("slow", []), ("fast", ["--fast", "--cache", "memory"])):
        out = tmp_path / name
        command = ["reproduce", "--rows", "table8/adam", "--data", painted_source, "--out", out, *TINY, *options]
        result = CliRunner().invoke(app, [*map(str, command)])
        assert result.exit_code == 0, result.output
        (run,) = (out / "runs").iterdir()
        content = json.loads((run / "run.json").read_text())
        speeds.append((content["recipe"]["training"]["precision"], content["sessions"][0]["speed"]))
        title = (out / "table8.md").read_text().splitlines()[0]
        assert ("trained fast: channels last, fused optimiser steps" in title) is (name == "fast")
        assert (", bfloat16" in title) is (name == "fast")
    assert speeds == [
        ("float32", {"channels_last": False, "fused": False, "compile": False, "cache": False}),
        ("bfloat16", {"channels_last": True, "fused": True, "compile": False, "cache": True}),
    ]


def test_runs_of_before_were_trained_as_the_reference_is(tmp_path):
    assert describe_speed([tmp_path / "none"]) is None
