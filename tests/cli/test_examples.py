"""Every help ends with examples, and every example is run, or read up to where long work would begin."""

import inspect
import shlex

import numpy as np
import pytest
from command_line import done, made_small, run
from conftest import paint_picture
from typer.main import get_command

from samecar.cli.commands import EXAMPLES
from samecar.cli.main import app
from samecar.drawn import draw_set

ONLY_READ = (
    "import-weights",
    "data crop",
    "export runs/first --precision int8",
    "export runs/first --format openvino",
    "search garage crops/v1_c1.png --prior",
    *(
        "demo",
        "draw",
        "serve",
        "ingest",
        "link",
        "calibrate",
        "gallery calibrate",
        "gallery re-embed",
        "gallery spread",
        "watch",
        "plot",
        "reproduce table1",
    ),
    *("reproduce figure4", "reproduce all", "reproduce --plan", "fuse", "reduce", "tune"),
    *(
        "reproduce --rows",
        "train report-resnet18",
        "train small-set",
        "gallery export garage -o judged",
        "compare-runs runs/first runs/second",
    ),
)
"""Beginnings of examples whose work takes long, or whose files are another test's matter."""

FIRST, LAST = ("train", "gallery create", "gallery add", "score"), ("gallery remove",)
"""Commands whose examples make what others need, or take it away."""


def commands(group, before=()):
    for name, command in group.commands.items():
        yield (*before, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))


ALL = [((), get_command(app)), *commands(get_command(app))]


def examples_of(command):
    return command.examples if hasattr(command, "commands") else EXAMPLES[command.function]


def turn(example):
    """Where an example stands in the order in which they are run."""
    words = example.removeprefix("samecar ")
    places = [place for place, first in enumerate(FIRST) if words.startswith(first)]
    return places[0] if places else len(FIRST) + words.startswith(LAST)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with all that examples speak of."""
    for vehicle in range(4):
        for camera in (1, 2):
            paint_picture(tmp_path / "crops" / f"v{vehicle}_c{camera}.png", vehicle, camera, 0)
            paint_picture(tmp_path / ("a.jpg" if camera == 1 else "b.jpg"), vehicle, camera, 0)
    draw_set(tmp_path / "VeRi", vehicles=8, cameras=2, pictures=2, size=32, workers=1)
    generator = np.random.default_rng(0)
    for name in ("query", "gallery"):
        matrix, vehicles = generator.normal(size=(24, 8)), np.arange(24) % 6
        np.savez(
            tmp_path / f"{name}.npz",
            embeddings=matrix,
            vehicle_id=vehicles,
            camera_id=np.array([f"c{name == 'query'}"] * 24),
            path=np.array([f"{row}.jpg" for row in range(24)]),
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_only(words):
    """Reads a command line with the real parser, and makes all of its values, but does not begin the work."""
    (name, command) = next(
        (name, command)
        for name, command in ALL[1:]
        if name == tuple(words[: len(name)]) and hasattr(command, "function")
    )
    called = []

    def begin(**given):
        called.append(given)

    begin.__signature__ = inspect.signature(command.function)
    instead = type("ReadOnly", (type(command),), {"function": staticmethod(begin)})
    instead(" ".join(name))(words[len(name) :], standalone_mode=False)
    assert len(called) == 1, words


@pytest.mark.parametrize("name", [name for name, _ in ALL], ids=" ".join)
def test_every_help_ends_with_examples_of_its_command(name):
    lines = done(*name, "--help").rstrip().splitlines()
    examples = [line.strip() for line in lines[lines.index(" Examples:") + 1 :]]
    assert examples
    assert all(example.startswith(" ".join(("samecar", *name))) for example in examples)


def test_every_example_runs(place):
    lines = dict.fromkeys(line for _, command in ALL for line in examples_of(command))
    for example in sorted(lines, key=turn):
        program, *words = shlex.split(example)
        assert program == "samecar"
        if example.removeprefix("samecar ").startswith(ONLY_READ):
            read_only(words)
        else:
            finished = run(*made_small(words))
            assert finished.status == 0, f"{example}: {finished.errors}"
