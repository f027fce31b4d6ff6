"""What only a process of its own shows: how long it takes to start, and what an interruption leaves behind."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from command_line import done, samecar_process, tiny

from samecar.training import Run

PATIENCE = 120
"""Seconds; a busy machine takes its time."""


def wait_for_an_epoch(folder, process_ended):
    deadline = time.monotonic() + PATIENCE
    while not any(int(path.name.removeprefix("epoch-")) > 1 for path in (folder / "checkpoints").glob("epoch-*")):
        assert not process_ended(), "training ended before it was interrupted"
        assert time.monotonic() < deadline, "training did not begin"
        time.sleep(0.01)


SMALLEST_APP = """
import typer
app = typer.Typer()
@app.command()
def one(number: int = 1) -> None: ...
@app.command()
def two(number: int = 1) -> None: ...
app()
"""


def processor_seconds(command, tries=3):
    """Least of several tries; what other processes do does not count."""

    def spent():
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    return min(spent() for _ in range(tries))


@pytest.fixture(scope="module")
def smallest_app():
    """Seconds that the command line's library takes for itself on this machine."""
    return processor_seconds([sys.executable, "-c", SMALLEST_APP, "one", "--help"])


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]], ids=" ".join)
def test_help_takes_hardly_longer_than_that_of_the_smallest_app(arguments, smallest_app):
    assert processor_seconds(samecar_process(*arguments)) < 2 * smallest_app


def test_the_command_line_does_not_import_torch_before_it_needs_it():
    code = "import samecar, samecar.cli.main, sys; assert not {'torch', 'timm', 'matplotlib', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_options_are_made_from_is_known_without_torch_and_what_serves():
    settings = ["serving.settings", "films.following", "evaluation.options", "reproduce.choices", "retrieval.gallery"]
    imports = ", ".join(f"samecar.{module}" for module in settings)
    code = f"import sys, {imports}; assert not {{'torch', 'fastapi', 'av', 'matplotlib'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_error_reaches_the_shell(tmp_path):
    command = samecar_process("data", "check", f"folder:{tmp_path}/none")
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (2, "")
    sentence = f"error: folder {tmp_path}/none is not there; give the folder that holds the data set\n"
    assert finished.stderr == sentence


@pytest.mark.slow
def test_interrupted_training_ends_with_130_and_can_be_resumed(painted_source, tmp_path):
    command = ["train", "report-baseline", "--data", painted_source, "--out", tmp_path / "run"]
    # A process of its own, not a fork of this one: torch's threads do not survive a fork.
    process = subprocess.Popen(
        samecar_process(*command, *tiny("training.epochs=2000")), stderr=subprocess.PIPE, text=True
    )
    wait_for_an_epoch(tmp_path / "run", lambda: process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == "error: interrupted; what was finished is kept, and `--resume` continues a training run\n"
    interrupted = Run.open(tmp_path / "run")
    done_before = len(interrupted.metrics())
    assert 1 <= done_before < 2000

    # What is left to do is made short: the folder's description is the only thing that says how many epochs there are.
    short = tiny(f"training.epochs={done_before + 2}")
    description = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(description.replace('"epochs": 2000', f'"epochs": {done_before + 2}'))
    done(*command, *short, "--resume")
    records = Run.open(tmp_path / "run").metrics()
    assert [record["epoch"] for record in records] == list(range(1, done_before + 3))


@pytest.mark.slow
def test_interrupting_a_terminals_processes_prints_one_sentence(painted_source, tmp_path):
    changes = [part for part in tiny("training.epochs=2000") if part not in ("--workers", "0")]
    command = samecar_process(
        "train", "report-baseline", "--data", painted_source, "--out", tmp_path / "run", *changes, "--workers", 2
    )
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for_an_epoch(tmp_path / "run", lambda: process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)  # as Control-C in a terminal does: worker processes get it too
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == "error: interrupted; what was finished is kept, and `--resume` continues a training run\n"
