import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from command_line import samecar_process
from tiny_reproduction import HERE, TINY_MODEL, run_rows, tiny_choices

from samecar.errors import SamecarError
from samecar.reproduce import Estimate, PlannedRun, plan_runs, reproduce, sharing
from samecar.reproduce.sharing import Work
from samecar.training import Run
from samecar.training.lock import LOCK_FILE

PATIENCE = 240
"""Seconds; a busy machine takes its time."""


@pytest.fixture(scope="module")
def alone(painted_source, tmp_path_factory):
    """What one process makes alone."""
    return run_rows(["adam", "sgd"], painted_source, tmp_path_factory.mktemp("alone"))[0].out


def until(condition, processes=()):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert all(process.poll() is None for process in processes), "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def records(out):
    begun = [path.parent for path in (out / "runs").glob("*-seed*/run.json")]
    return {folder.name: Run.open(folder).metrics() for folder in begun}


def scores(out):
    found = {folder.name: json.loads((folder / "scores.json").read_text()) for folder in (out / "runs").glob("*-seed*")}
    return {name: content["evaluation"] for name, content in found.items()}


def command(source, out, *more, epochs=1, on=("--device", "cpu")):
    changes = [part for change in TINY_MODEL for part in ("--set", change)]
    rows = ("reproduce", "--rows", "table8/adam,table8/sgd", "--data", source, "--out", out, "--seeds", "2")
    return samecar_process(*rows, "--epochs", epochs, "--image-scale", "0.125", *on, *changes, *more)


# one process


def test_a_run_that_somebody_holds_is_left_for_later_and_then_taken_up(painted_source, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "LOOKS", 0.05)
    choices, told = tiny_choices(), []
    (first, _) = plan_runs(choices, ["table8/adam", "table8/sgd"], tmp_path)
    first.folder.mkdir(parents=True)
    with (first.folder / LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, choices)
        outcomes = work.run(on=HERE, progress=lambda task, done, total, note="": told.append(note))
        second = next(outcomes)
        assert second.run.rows == ("table8/sgd",)
        threading.Timer(0.5, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        (last,) = outcomes
    assert last.run.folder == first.folder
    assert last.scores is not None
    assert not last.elsewhere
    assert "waiting for runs that other processes do: 1" in told


def test_what_another_process_has_finished_meanwhile_is_not_done_again(painted_source, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "LOOKS", 0.05)
    work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, tiny_choices())
    outcomes = work.run(on=HERE)
    first = next(outcomes)
    (other,) = (run for run in plan_runs(work.choices, work.rows, tmp_path) if run.folder != first.run.folder)
    shutil.copytree(alone / "runs" / other.folder.name, other.folder)
    (second,) = outcomes
    assert second.elsewhere
    assert second.failure is None
    assert second.scores["evaluation"] == scores(alone)[other.folder.name]


def made_up(name, seconds):
    run = PlannedRun(recipe=None, rows=(name,), folder=Path("nowhere") / name)
    return Estimate(run, 1, 1, 1.0, 1.0, 1.0, 1, seconds, 1, 1)


def test_the_time_left_goes_by_what_was_estimated_and_how_long_it_took(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(sharing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(sharing, "saved_scores", lambda folder, data: None)
    told = []
    runs = [made_up(name, seconds) for name, seconds in (("a", 10), ("b", 30), ("c", 40), ("d", 20))]
    work = Work(runs, None, 2, lambda task, done, total, note="": told.append((done / total, note)))
    assert work.seconds_left() == 50  # 100 s, two at a time
    a, b, c, d = (work.take() for _ in range(4))
    work.note(a, "training", 0, 10, "epoch 1/10")
    clock[0] += 40
    work.note(a, "training", 5, 10, "epoch 5/10  loss 1")
    work.note(b, "training", 8, 10, "epoch 8/10  loss 1")  # taken up: what was done before does not count
    assert told[-1] == (0.05, "1/4 a  epoch 5/10 | 2/4 b  epoch 8/10")
    assert work.seconds_left() == 95 * 40 / 5
    work.note(b, "training", 9, 10, "epoch 9/10  loss 1")
    assert told[-1][0] == pytest.approx(0.2)
    assert work.seconds_left() == pytest.approx(80 * 40 / 20)
    assert work.end(c, 0, "failed").seconds_left == pytest.approx(40 * 40 / 20)
    assert work.end(d, 0, elsewhere=True).seconds_left == pytest.approx(20 * 40 / 20)
    work.end(a, 0)
    assert work.end(b, 100.0).seconds == 40
    assert work.seconds_left() == 0
    assert told[-1][0] == 1


def test_devices_that_are_not_there_are_refused_before_anything_starts(painted_source, tmp_path):
    work = reproduce(["table8/adam"], painted_source, tmp_path / "out", tiny_choices())
    with pytest.raises(SamecarError, match="device is 'gpu'; it can be auto, cpu, cuda or cuda:N"):
        list(work.run(on=HERE, devices=("cpu", "gpu")))
    assert not (tmp_path / "out").exists()


# several processes


@pytest.mark.slow
def test_two_devices_make_what_one_makes(painted_source, alone, tmp_path):
    told, at_a_time = [], []

    def listen(task, done, total, note=""):
        told.append(done / total)
        at_a_time.append(len(multiprocessing.active_children()))

    work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, tiny_choices(seeds=(1, 2)))
    outcomes = list(work.run(on=HERE, devices=("cpu", "cpu"), progress=listen))
    work.write()
    assert [outcome.failure for outcome in outcomes] == [None] * 4
    assert not any(outcome.elsewhere for outcome in outcomes)
    assert outcomes[-1].seconds_left == pytest.approx(0, abs=1e-6)
    assert scores(tmp_path) == scores(alone)
    assert (tmp_path / "table8.md").read_text() == (alone / "table8.md").read_text()
    assert told == sorted(told)
    assert told[-1] == 1
    assert max(at_a_time) == 2
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_the_failure_of_its_run_alone(painted_source, alone, tmp_path):
    work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, tiny_choices())
    killed = []

    def kill_first(task, done, total, note=""):
        if not killed and "epoch" in note:
            child = multiprocessing.active_children()[0]
            killed.append(child.name)
            os.kill(child.pid, signal.SIGKILL)

    done = list(work.run(on=HERE, devices=("cpu", "cpu"), progress=kill_first))
    outcomes = {outcome.run.folder.name: outcome for outcome in done}
    failed = outcomes.pop(killed[0])
    assert failed.failure == "its process was killed by signal 9; the same command goes on with the run"
    (other,) = outcomes.values()
    assert other.failure is None
    assert other.scores["evaluation"] == scores(alone)[other.run.folder.name]
    again = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, tiny_choices())
    (outcome,) = again.run(on=HERE)
    assert outcome.scores["evaluation"] == scores(alone)[killed[0]]


@pytest.mark.long
def test_closing_the_iterator_ends_the_processes(painted_source, tmp_path):
    work = reproduce(["table8/adam", "table8/sgd"], painted_source, tmp_path, tiny_choices())

    def interrupt(task, done, total, note=""):
        if "epoch" in note:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(work.run(on=HERE, devices=("cpu", "cpu"), progress=interrupt))
    assert multiprocessing.active_children() == []
    assert not list(tmp_path.rglob(LOCK_FILE))


@pytest.mark.long
def test_two_commands_share_the_runs_of_one_folder(painted_source, alone, tmp_path):
    processes = [
        subprocess.Popen(command(painted_source, tmp_path, "--workers", 0), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    lines = [line for text in said for line in text.splitlines() if ": rank-1 " in line]
    own = [line.split(":")[0] for line in lines if "done by another process" not in line]
    assert len(own) == len(set(own)) == 4  # each run was done once, by one of them
    assert {name: [record["epoch"] for record in lines] for name, lines in records(tmp_path).items()} == {
        name: [1] for name in records(alone)
    }
    assert scores(tmp_path) == scores(alone)
    assert (tmp_path / "table8.md").read_text() == (alone / "table8.md").read_text()
    assert not list(tmp_path.rglob(".*"))
    assert not list(tmp_path.rglob(LOCK_FILE))
    pages = {path: path.read_bytes() for path in tmp_path.glob("table8.*")}
    subprocess.run(command(painted_source, tmp_path, "--workers", 0), check=True, capture_output=True)
    assert {path: path.read_bytes() for path in tmp_path.glob("table8.*")} == pages


@pytest.mark.long
def test_what_a_killed_command_was_doing_is_taken_up_by_the_other(painted_source, tmp_path):
    commands = [command(painted_source, tmp_path, "--workers", workers, epochs=40) for workers in (2, 0)]
    first = subprocess.Popen(commands[0], stderr=subprocess.PIPE, text=True)
    until(lambda: any(len(record) > 1 for record in records(tmp_path).values()), [first])
    second = subprocess.Popen(commands[1], stderr=subprocess.PIPE, text=True)
    until(lambda: len(list(tmp_path.glob(f"runs/*/{LOCK_FILE}"))) == 2, [first, second])
    first.kill()
    first.communicate()
    _, said = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, said
    found = records(tmp_path)
    assert len(found) == 4
    assert all([record["epoch"] for record in lines] == list(range(1, 41)) for lines in found.values())
    assert len(scores(tmp_path)) == 4
    assert not list(tmp_path.rglob(LOCK_FILE))


@pytest.mark.long
def test_control_c_ends_every_process(painted_source, tmp_path):
    line = command(painted_source, tmp_path, "--workers", 2, on=("--devices", "cpu,cpu"), epochs=2000)
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: len(found := records(tmp_path)) == 2 and all(found.values()), [process])
    os.killpg(process.pid, signal.SIGINT)  # as Control-C in a terminal does
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert said.splitlines() == ["warning: the same command goes on from here", "", "error: interrupted"]
    assert not list(tmp_path.rglob(LOCK_FILE))
    until(lambda: not members(process.pid))
    for lines in records(tmp_path).values():
        assert [record["epoch"] for record in lines] == list(range(1, len(lines) + 1))


@pytest.mark.long
@pytest.mark.slow
def test_processes_end_when_the_command_that_started_them_is_killed(painted_source, tmp_path):
    line = command(painted_source, tmp_path, "--workers", 0, on=("--devices", "cpu,cpu"), epochs=2000)
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL, start_new_session=True)
    until(lambda: len(records(tmp_path)) == 2, [process])
    process.kill()
    process.wait()
    until(lambda: not members(process.pid))


def members(session):
    """Processes of a session that are not merely waiting to be noticed as ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, *fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == session and state != "Z":
            found.append(folder.name)
    return found
