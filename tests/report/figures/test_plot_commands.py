import shutil

import pytest
from conftest import TINY
from PIL import Image
from typer.testing import CliRunner

from samecar.cli.main import app
from samecar.config import load_recipe
from samecar.experiment.train import train
from samecar.hardware import machine


def plot(*arguments):
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(painted_source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return train(load_recipe("report-baseline", TINY), painted_source, folder, on=machine("cpu", 0)).folder


@pytest.fixture
def picture(painted_folder):
    return painted_folder / "gallery" / "v09_c1_2.png"


def assert_written(result, out):
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [f"{out}.png", f"{out}.svg"]
    with Image.open(f"{out}.png") as image:
        assert image.width >= 600


SLOW_TOO = [
    "ranks",
    *(pytest.param(command, marks=pytest.mark.slow) for command in ("activation", "embeddings", "distances")),
]


@pytest.mark.parametrize("command", SLOW_TOO)
def test_figures_of_a_run_on_a_source(command, run, painted_source, tmp_path):
    out = tmp_path / command
    assert_written(plot(command, run, "--data", painted_source, "--workers", 0, "--device", "cpu", "-o", out), out)


@pytest.mark.parametrize("command", SLOW_TOO)
def test_figures_of_a_set_without_cameras_and_queries(command, run, painted_folder, tmp_path):
    shutil.copytree(painted_folder / "gallery", tmp_path / "set" / "gallery")
    out, source = tmp_path / command, f"folder:{tmp_path / 'set'}/{{split}}/{{vehicle_id}}_*.png"
    assert_written(plot(command, run, "--data", source, "--workers", 0, "--device", "cpu", "-o", out), out)


@pytest.mark.slow
def test_features_of_a_run_and_of_a_recipe(run, picture, tmp_path):
    out = tmp_path / "features"
    assert_written(plot("features", picture, "--run", run, "-o", out), out)
    small = ["model.weights=none", "model.height=64", "model.width=64"]
    changes = [part for change in small for part in ("--set", change)]
    assert_written(plot("features", picture, *changes, "-o", out), out)


def test_augmentations_and_curves(run, picture, tmp_path):
    out = tmp_path / "figure"
    assert_written(plot("augmentations", picture, "-o", out), out)
    assert_written(plot("curves", run, "--metric", "accuracy", "-o", out), out)
    result = plot("curves", run, run, "-o", out)
    assert result.exit_code == 2
    assert "give --label each" in result.stderr
    assert_written(plot("curves", run, run, "--label", "a", "--label", "b", "-o", out), out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["embeddings", "--colour-by", "colour"], "it can be vehicle or camera"),
        (["distances", "--distance", "manhattan"], "unknown distance 'manhattan'"),
        (["ranks", "--query", "nobody"], "0 queries have a path that ends in 'nobody'"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(arguments, sentence, run, painted_source, tmp_path):
    command, *options = arguments
    result = plot(command, run, "--data", painted_source, "--workers", 0, *options, "-o", tmp_path / "figure")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())
