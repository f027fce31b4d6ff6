"""The long trials of benchmarks/trust.py, each in its smallest form, and whether they notice what they look for."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import pytest
from galleries import listening, service, wait_until
from tiny_run import tiny_run

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import trust  # noqa: E402
from results import read_results  # noqa: E402
from trials import clients, portions, power_cuts  # noqa: E402
from trials.record import MOST_FAULTS, Record  # noqa: E402
from trials.table import trust as table  # noqa: E402
from trials.training import difference  # noqa: E402

from samecar.progress import silent  # noqa: E402


@pytest.fixture
def result(tmp_path, monkeypatch):
    """The name of a result file that is not the repository's; where the tests lie there may be no commit."""
    for module in ("results", "trials.record"):
        monkeypatch.setattr(f"{module}.commit", lambda: "none")
    return str(tmp_path / "found")


def found(result, trial):
    return read_results(result)["trials"][trial]


def test_damaged_pictures_and_hostile_lines(result):
    sizes = {"pictures": 34, "lines": 44}
    options = [word for trial, size in sizes.items() for word in (f"--{trial}", str(size))]
    assert trust.main(["--only", *sizes, *options, "--result", result]) == 0
    for trial, size in sizes.items():
        assert found(result, trial)["done"] == sum(found(result, trial)["endings"].values()) == size
    assert "| damaged pictures | 34 | 100,000 | 0 | 17 kinds; " in table(read_results(result))
    assert "| kills of trainings | 0 | 200 | – | not run yet |" in table(read_results(result))


def test_a_trial_in_two_goes_finds_what_it_finds_in_one(tmp_path, result):
    whole = str(tmp_path / "whole")
    for size, name in ((7, result), (30, result), (30, whole)):
        trust.main(["--only", "lines", "--lines", str(size), "--result", name])
        assert found(name, "lines")["done"] == size
    assert found(result, "lines")["endings"] == found(whole, "lines")["endings"]


def test_a_trial_goes_on_with_its_own_seed_or_begins_anew(result):
    trust.main(["--only", "lines", "--lines", "5", "--result", result])
    with pytest.raises(SystemExit, match=r"lines was begun with seed 1, not 2; give that one, or --anew"):
        trust.main(["--only", "lines", "--lines", "5", "--seed", "2", "--result", result])
    trust.main(["--only", "lines", "--lines", "3", "--seed", "2", "--anew", "--result", result])
    assert (found(result, "lines")["seed"], found(result, "lines")["done"]) == (2, 3)


def break_promise(number):
    """Inputs of which one raises, one ends its process, one never ends, and one takes long."""
    if number == 1:
        raise RecursionError("too deep")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        time.sleep(600)
    if number == 6:
        until = time.process_time() + 2 * portions.BOUND
        while time.process_time() < until:
            pass
    return "kind: read"


def test_whatever_an_input_breaks_is_told_and_the_others_are_tried(result, monkeypatch):
    for name, seconds in (("BOUND", 0.05), ("HUNG", 2), ("LOOK", 0.05)):
        monkeypatch.setattr(portions, name, seconds)
    record = Record.open(result, "lines", seed=1)
    portions.try_inputs(break_promise, record, 8, silent, lambda number: f"input {number}")
    told = {fault["number"]: fault["fault"] for fault in record.found["faults"]}
    assert sorted(told) == [1, 3, 5, 6]
    assert told[1] == "RecursionError: too deep"
    assert told[3] == "its process ended with status -9"
    assert told[5] == "not ended after 2 s"
    assert told[6].startswith("it took 0.")
    assert record.found["endings"] == {"kind: read": 5}
    assert "| hostile lines | 8 | 1,000,000 | 4 | 1 kinds; 5 read; at most 0." in table(read_results(result))


def test_all_faults_are_counted_and_some_told(result):
    record = Record.open(result, "lines", seed=1)
    for number in range(MOST_FAULTS + 5):
        record.add_fault(number=number)
    record.keep(100)
    assert (found(result, "lines")["failed"], len(found(result, "lines")["faults"])) == (MOST_FAULTS + 5, MOST_FAULTS)


def test_clients_ask_while_memory_is_read(result, monkeypatch):
    @contextlib.contextmanager
    def in_this_process(gallery):
        app = service(gallery, host_names=("127.0.0.1",))
        with listening(app) as port:
            wait_until(lambda: app.state.service.is_ready)
            yield port, os.getpid()

    monkeypatch.setattr(clients.asking, "running_service", in_this_process)
    monkeypatch.setattr(
        clients, "multiprocessing", SimpleNamespace(get_context=lambda _: SimpleNamespace(Pool=ThreadPool))
    )
    for name, value in (("BACKBONE", "test_resnet"), ("CLIENTS", 2), ("ENTRIES", 64), ("SIZES", {(60, 40): 4})):
        monkeypatch.setattr(clients, name, value)
    assert trust.main(["--only", "clients", "--clients", "1", "--result", result]) == 0
    told = found(result, "clients")
    assert told["turns"][0]["answers"] >= 2
    assert all(megabytes > 50 for _, megabytes in told["memory"])
    assert "answers; 99 % within " in table(read_results(result))


def test_where_disks_cannot_be_mounted_the_result_says_so(result, monkeypatch):
    def refuse(_):
        raise subprocess.CalledProcessError(1, "mount", stderr="mount: permission denied\n")

    monkeypatch.setattr(power_cuts, "_make_disk", refuse)
    assert trust.main(["--only", "power-cuts", "--power-cuts", "1", "--result", result]) == 0
    sentence = "no disk image can be made or mounted here: mount: permission denied"
    assert found(result, "power-cuts")["not_run"] == sentence
    assert f"| power cuts of trainings | 0 | 50 | – | {sentence} |" in table(read_results(result))


def test_what_a_disturbed_run_has_otherwise_is_said(tmp_path):
    whole = tiny_run(tmp_path / "whole").folder
    for name in ("same", "left", "other", "none"):
        shutil.copytree(whole, tmp_path / name)
    (tmp_path / "left" / ".unfinished-x").mkdir()
    shutil.rmtree(tmp_path / "none" / "model")
    weights = tmp_path / "other" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    told = {name: difference(tmp_path / name, whole) for name in ("same", "left", "other", "none")}
    assert told == {
        "same": "",
        "left": ".unfinished-x is left in it",
        "other": "its weights differ",
        "none": "it has no model",
    }


@pytest.mark.long
def test_a_training_is_killed_and_its_power_is_cut(result):
    command = [sys.executable, str(ROOT / "benchmarks" / "trust.py"), "--only", "kills", "power-cuts"]
    subprocess.run([*command, "--kills", "1", "--power-cuts", "1", "--result", result], check=True)
    trials = json.loads(Path(f"{result}.json").read_text(encoding="utf-8"))["trials"]
    assert (trials["kills"]["done"], sum(trials["kills"]["ways"].values())) == (1, 1)
    assert trials["power-cuts"]["done"] == 1 or trials["power-cuts"]["not_run"]
