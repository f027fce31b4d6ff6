import re
import shutil
import socket
import urllib.request

import huggingface_hub
import pytest
import timm
import torch
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


@pytest.fixture
def no_network(monkeypatch):
    """Any connection is an error that nobody expects."""

    def refuse(*given, **settings):
        raise AssertionError(f"a connection was asked for: {given}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # nothing else keeps a network away


SMALL = ("--set", "model.height=64", "--set", "model.width=64")


@pytest.mark.slow
def test_features_of_a_run_need_no_network(trained, picture, no_network, tmp_path):
    out = tmp_path / "features.pdf"
    places = (trained, trained / "model", trained / "model" / "model.safetensors")
    written = set()
    for place in places:
        result = plot("features", picture, "--run", place, "--title", "", "-o", out)
        assert result.exit_code == 0, result.output
        written.add(out.read_bytes())
    assert len(written) == 1


@pytest.mark.slow
def test_features_of_a_file_of_weights_need_no_network(picture, no_network, tmp_path):
    torch.manual_seed(7)  # which no recipe has
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    written = []
    for given in (["--weights", tmp_path / "resnet18.pth"], ["--set", f"model.weights={tmp_path / 'resnet18.pth'}"]):
        result = plot("features", picture, *given, *SMALL, "--title", "", "-o", tmp_path / "features.png")
        assert result.exit_code == 0, result.output
        written.append((tmp_path / "features.png").read_bytes())
    assert written[0] == written[1]
    other = plot("features", picture, "--weights", "none", *SMALL, "--title", "", "-o", tmp_path / "features.png")
    assert other.exit_code == 0, other.output
    assert (tmp_path / "features.png").read_bytes() != written[0]


def test_a_trained_model_has_its_own_weights(trained, picture, tmp_path):
    for more in (["--weights", "none"], ["--set", "model.width=64"], ["--recipe", "small-set"]):
        result = plot("features", picture, "--run", trained, *more, "-o", tmp_path / "features.png")
        assert result.exit_code == 2
        assert "leave out --recipe, --weights and --set, or --run" in result.stderr
    assert not list(tmp_path.iterdir())


KINDS = ("features", "augmentations", "curves", "ranks", "activation", "embeddings", "distances")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_takes_a_file_a_width_dots_and_a_title(kind, run, painted_source, picture, tmp_path):
    of_source = [run, "--data", painted_source, "--workers", 0, "--device", "cpu"]
    given = {"features": [picture, "--run", run], "augmentations": [picture], "curves": [run]}.get(kind, of_source)
    sheet = ["--width", 3.5, "--dpi", 100]
    png, pdf, svg = (tmp_path / f"figure.{suffix}" for suffix in ("png", "pdf", "svg"))
    heights = []
    for title in ("Mine", ""):
        result = plot(kind, *given, *sheet, "--title", title, "-o", png)
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == [str(png)]
        with Image.open(png) as image:
            assert image.width == 350
            heights.append(image.height)
    assert heights[0] > heights[1]
    for out in (pdf, svg):
        result = plot(kind, *given, *sheet, "--title", "Mine", "-o", out)
        assert result.stdout.split() == [str(out)]
    assert sorted(tmp_path.iterdir()) == [pdf, png, svg]
    content = pdf.read_bytes()
    assert b"/Type3" not in content
    assert b"/FontFile2" in content
    assert re.search(rb"/MediaBox \[ ?0 0 252 ", content)
    assert "Mine" in svg.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_figure_can_be_is_refused_before_anything_is_read(kind, tmp_path):
    given = [tmp_path / "absent"] if kind in KINDS[:3] else [tmp_path / "absent", "--data", "veri776:absent"]
    for options, sentence in {
        ("-o", tmp_path / "fig.jpg"): ".jpg; give .pdf, .svg or .png, or no suffix for .png and .svg",
        ("--width", 1): "--width is 1; give inches, 3 or more and at most 36",
        ("--width", 128): "--width is 128; give inches",
        ("--dpi", 5): "--dpi is 5; give dots per inch, 30 or more and at most 1200",
    }.items():
        result = plot(kind, *given, *options)
        assert result.exit_code == 2
        assert sentence in " ".join(result.stderr.split())


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
