import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import TINY

from samecar.config import load_recipe
from samecar.errors import SamecarError
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.training import Run
from samecar.training.lock import LOCK_FILE, HeldError, hold, is_held

HERE = machine("cpu", 0)
PATIENCE = 120

HOLDER = """
import fcntl, os, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(f"process {os.getpid()} on another machine")
file.flush()
print("held", flush=True)
time.sleep(600)
"""
"""Holds a folder as samecar does, without the time that loading torch takes."""

FORKING_HOLDER = """
import os, pathlib, sys, time
from samecar.training.lock import hold
with hold(pathlib.Path(sys.argv[1])):
    child = os.fork()
    if not child:
        time.sleep(600)
    print(child, flush=True)
    time.sleep(600)
"""

TRAINER = """
import sys
from samecar import config, hardware
from samecar.experiment.train import train
recipe = config.load_recipe("report-baseline", sys.argv[4:])
train(recipe, sys.argv[1], sys.argv[2], on=hardware.machine("cpu", int(sys.argv[3])))
"""


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "run"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLDER, folder / LOCK_FILE], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_that_another_process_holds_is_refused_until_it_is_killed(held):
    folder, process = held
    assert is_held(folder)
    sentence = rf"{folder} is being trained in by process {process.pid} on another machine; wait until that has ended"
    with pytest.raises(HeldError, match=sentence), hold(folder):
        pass
    assert (folder / LOCK_FILE).is_file()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / LOCK_FILE).is_file()
    with hold(folder):
        assert str(os.getpid()) in (folder / LOCK_FILE).read_text()
    assert list(folder.iterdir()) == []


def test_a_killed_process_leaves_nothing_held(held):
    folder, process = held
    process.kill()
    process.wait()
    assert not is_held(folder)
    assert list(folder.iterdir()) == []


def test_one_thread_holds_a_folder_by_any_of_its_names_and_no_other_thread_does(tmp_path, monkeypatch):
    folder, seen = tmp_path / "run", []
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)

    def look():
        try:
            with hold(tmp_path / "link"):
                seen.append("free")
        except HeldError:
            seen.append(is_held(folder))

    def ask():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    with hold(folder):
        with hold(tmp_path / "link"), hold(type(folder)("run")):
            ask()
        ask()
        assert not is_held(folder)
    assert seen == [True, True]
    folder.mkdir()
    ask()
    assert seen == [True, True, "free"]


def test_a_forked_process_has_no_share_in_the_lock(tmp_path):
    command = [sys.executable, "-c", FORKING_HOLDER, tmp_path / "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    try:
        assert is_held(tmp_path / "run")
        with pytest.raises(HeldError, match=rf"by process {process.pid} on \S+; wait"), hold(tmp_path / "run"):
            pass
        process.kill()
        process.wait()
        give_up = time.monotonic() + 30  # the child lets go when it first runs, which may be after all of this
        while is_held(tmp_path / "run") and time.monotonic() < give_up:
            time.sleep(0.01)
        assert not is_held(tmp_path / "run")
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_what_was_made_for_nothing_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "deep" / "run", tmp_path / "there"):
        with pytest.raises(KeyError), hold(folder):
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with hold(tmp_path / "new" / "run"):
        (tmp_path / "new" / "run" / "run.json").touch()
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["run.json"]


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(SamecarError, match="is not a folder; choose another one for the run"), hold(tmp_path / name):
        pass


def test_a_disk_without_locks_is_refused(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with (
        pytest.raises(SamecarError, match="cannot be locked for a run: Function not implemented"),
        hold(tmp_path / "run"),
    ):
        pass


def test_training_leaves_no_lock_behind_and_one_that_lies_there_is_no_hindrance(painted_source, tmp_path):
    (tmp_path / LOCK_FILE).write_text("process 1 on a machine that was switched off")
    run = train(load_recipe("report-baseline", TINY), painted_source, tmp_path, on=HERE)
    assert not (tmp_path / LOCK_FILE).exists()
    assert [record["epoch"] for record in run.metrics()] == [1, 2]


@pytest.mark.parametrize("resume", [False, True])
def test_training_into_a_folder_that_another_process_holds_is_refused(held, painted_source, resume):
    folder, process = held
    with pytest.raises(SamecarError, match=f"{folder} is being trained in by process {process.pid}"):
        train(load_recipe("report-baseline", TINY), painted_source, folder, resume=resume, on=HERE)
    assert [path.name for path in folder.iterdir()] == [LOCK_FILE]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_whose_process_is_killed_goes_on_and_its_record_rises(painted_source, tmp_path, workers):
    folder, changes = tmp_path / "run", [*TINY, "training.epochs=2000"]
    command = [sys.executable, "-c", TRAINER, painted_source, folder, str(workers), *changes]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (folder / "run.json").is_file() or len(Run.open(folder).metrics()) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        recipe = load_recipe("report-baseline", changes)
        with pytest.raises(SamecarError, match=f"is being trained in by process {process.pid}"):
            train(recipe, painted_source, folder, resume=True, on=HERE)
    finally:
        process.kill()
        process.wait()
    done = len(Run.open(folder).metrics())
    description = (folder / "run.json").read_text()
    (folder / "run.json").write_text(description.replace('"epochs": 2000', f'"epochs": {done + 2}'))
    short = load_recipe("report-baseline", [*TINY, f"training.epochs={done + 2}"])
    run = train(short, painted_source, folder, resume=True, on=HERE)
    assert [record["epoch"] for record in run.metrics()] == list(range(1, done + 3))
    assert not (folder / LOCK_FILE).exists()
