"""`samecar train` in several processes on this machine: what it prints, writes, and leaves when one of them ends."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import tiny
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import tiny_run
from torch.distributed.run import get_args_parser as run_parser
from typer.main import get_command

from samecar.cli.main import app
from samecar.drawn import draw_set
from samecar.training import Run, RunData

pytestmark = pytest.mark.slow

PATIENCE = 400
"""Seconds; a busy machine takes its time."""
SGD = ("model.backbone=test_vit", "optimizer.name=sgd", "optimizer.learning_rate=1e-2")


@pytest.fixture(scope="module")
def train_only(painted_folder):
    """The painted train pictures alone, which nothing is scored on."""
    return f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png"


def command(source, folder, *options, changes=SGD):
    return ["train", "report-baseline", "--data", source, "-o", str(folder), *tiny(*changes), *options]


def environment():
    told = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return {name: value for name, value in os.environ.items() if name not in told} | {"OMP_NUM_THREADS": "1"}


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "samecar", *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*words):
    process = start(*words)
    out, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, out, errors


def run_python(*words, told=None, folder=None):
    """Runs Python with some words, in a folder, and with what torchrun would have told it."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment() | (told or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def done(*words):
    status, out, errors = finish(*words)
    assert status == 0, errors
    return out


def workers_of(process, count):
    """Numbers of the processes that a command has started, in the order of their ranks."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                told = (folder / "environ").read_text()
            except (OSError, ValueError):
                continue
            rank = re.search(r"\0RANK=(\d+)\0", told)
            if parent == process.pid and rank:
                found[int(rank[1])] = int(folder.name)
        if len(found) == count:
            return [found[rank] for rank in range(count)]
        time.sleep(0.05)
    raise AssertionError("processes were not started")


def wait_for_epochs(folder, count, process):
    deadline = time.monotonic() + PATIENCE
    while not any(int(path.name[-4:]) >= count for path in (folder / "checkpoints").glob("epoch-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "training did not begin"
        time.sleep(0.02)


def records(folder):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in Run.open(folder).metrics()]


def assert_same_records(mine, theirs):
    for record, other in zip(mine, theirs, strict=True):
        assert list(record.values()) == pytest.approx(list(other.values()), rel=1e-3)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_a_run_in_two_processes_is_that_of_one_written_and_told_once(painted_source, tmp_path):
    alone = done(*command(painted_source, tmp_path / "alone"))
    shared = done(*command(painted_source, tmp_path / "shared", "--processes", "2"))
    assert shared.count("Trained ") == alone.count("Trained ") == 1
    assert [line for line in shared.splitlines() if "mAP" in line] == [
        line for line in alone.splitlines() if "mAP" in line
    ]
    assert_same_records(records(tmp_path / "shared"), records(tmp_path / "alone"))
    mine, theirs = weights(tmp_path / "shared"), weights(tmp_path / "alone")
    assert max((tensor.float() - theirs[name].float()).abs().max().item() for name, tensor in mine.items()) < 1e-5
    assert [session["processes"] for session in Run.open(tmp_path / "shared").sessions] == [2]
    assert [session["processes"] for session in Run.open(tmp_path / "alone").sessions] == [1]
    events = EventAccumulator(str(tmp_path / "shared")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]
    names = [
        {path.name for path in (tmp_path / name).iterdir() if "tfevents" not in path.name and path.name != "embeddings"}
        for name in ("shared", "alone")
    ]
    assert names[0] == names[1]


@pytest.mark.long
def test_a_run_goes_on_in_another_number_of_processes(train_only, tmp_path):
    longer = [(*SGD, f"training.epochs={epochs}") for epochs in (1, 2, 3)]
    done(*command(train_only, tmp_path / "alone", changes=longer[2]))
    done(*command(train_only, tmp_path / "run", "--processes", "4", changes=longer[0]))
    done(*command(train_only, tmp_path / "run", "--resume", "--processes", "2", changes=longer[1]))
    done(*command(train_only, tmp_path / "run", "--resume", changes=longer[2]))
    assert [session["processes"] for session in Run.open(tmp_path / "run").sessions] == [4, 2, 1]
    assert_same_records(records(tmp_path / "run"), records(tmp_path / "alone"))
    mine, theirs = weights(tmp_path / "run"), weights(tmp_path / "alone")
    assert max((tensor.float() - theirs[name].float()).abs().max().item() for name, tensor in mine.items()) < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_with_a_sentence_and_it_resumes(train_only, tmp_path, rank):
    many = (*SGD, "training.epochs=400")
    process = start(*command(train_only, tmp_path / "run", "--processes", "2", changes=many))
    workers = workers_of(process, 2)
    wait_for_epochs(tmp_path / "run", 2, process)
    os.kill(workers[rank], signal.SIGKILL)
    killed = time.monotonic()
    out, errors = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - killed < 15
    assert (process.returncode, out) == (2, "")
    (line,) = errors.splitlines()
    assert line == (
        f"error: process {rank} of 2 (numbered from 0) was ended by SIGKILL, often because memory is full, and the "
        "others with it; what was finished is kept, and the same command goes on with --resume"
    )
    assert not any(Path(f"/proc/{number}").exists() for number in workers)
    epochs = len(Run.open(tmp_path / "run").metrics())
    resumed = start(*command(train_only, tmp_path / "run", "--resume", changes=many))
    wait_for_epochs(tmp_path / "run", epochs + 1, resumed)
    resumed.send_signal(signal.SIGINT)
    assert "what was finished is kept" in resumed.communicate(timeout=PATIENCE)[1]
    assert len(Run.open(tmp_path / "run").metrics()) > epochs


@pytest.mark.long
def test_an_interruption_is_said_once(train_only, tmp_path):
    many = (*SGD, "training.epochs=400")
    process = start(*command(train_only, tmp_path / "run", "--processes", "2", changes=many))
    workers = workers_of(process, 2)
    wait_for_epochs(tmp_path / "run", 2, process)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert errors.splitlines() == [
        "error: interrupted; what was finished is kept, and `--resume` continues a training run"
    ]
    assert not any(Path(f"/proc/{number}").exists() for number in workers)


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "changes", "sentence"),
    [
        (["--processes", "3"], [], "3 processes cannot share a batch of 4 vehicles equally"),
        (["--processes", "2"], ["batch.size=400"], "needs 200 vehicles, but only 8 are there to train on"),
        (["--processes", "2"], ["training.synchronised_batch_norm=true"], "where torch cannot synchronise batch"),
        (["--processes", "2"], ["optimizer.learning_rate=1e30"], "the loss is nan in epoch 1"),
        (["--processes", "2", "--resume"], [], "holds no run to resume; start it without --resume"),
    ],
    ids=["not divided", "too large", "synchronised", "infinite", "nothing to resume"],
)
def test_what_cannot_be_trained_is_said_once(train_only, tmp_path, options, changes, sentence):
    status, out, errors = finish(*command(train_only, tmp_path / "run", *options, changes=(*SGD, *changes)))
    assert (status, out) == (2, "")
    (line,) = errors.splitlines()
    assert sentence in line


@pytest.mark.long
def test_torchrun_by_hand_is_the_same(train_only, tmp_path):
    words = [
        "--nproc-per-node",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "127.0.0.1:0",
        "--local-addr",
        "127.0.0.1",
    ]
    torchrun = ["-m", "torch.distributed.run", *words, "-m", "samecar"]
    finished = run_python(*torchrun, *command(train_only, tmp_path / "run"))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("Trained ") == 1
    assert finished.stderr == ""
    assert [session["processes"] for session in Run.open(tmp_path / "run").sessions] == [2]
    again = run_python(*torchrun, *command(train_only, tmp_path / "run"))
    assert again.returncode != 0
    assert again.stderr.count("already holds a run of this recipe") == 1


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.long
def test_what_the_docs_show_trains(tmp_path):
    draw_set(tmp_path / "VeRi", vehicles=8, cameras=2, pictures=2, size=32, workers=1)
    page = (DOCS / "scaling.md").read_text(encoding="utf-8").partition("# When one GPU is not enough")[2]
    page = page.partition("\n## ")[0]
    lines = [
        block.replace("\\\n", " ") for block in re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ]
    programs = {"samecar": ["-m", "samecar"], "torchrun": ["-m", "torch.distributed.run"]}
    assert [line.split()[0] for line in lines] == list(programs)
    for line in lines:
        program, *words = shlex.split(line)
        finished = run_python(*programs[program], *words, *tiny(), folder=tmp_path)
        assert finished.returncode == 0, finished.stderr
    assert [Run.open(tmp_path / "runs" / name).sessions[0]["processes"] for name in ("four", "shared")] == [4, 2]


def test_the_file_for_slurm_is_bash_whose_command_samecar_knows():
    script = DOCS / "slurm.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    words = shlex.split(re.search(r"arguments=\((.*)\)", text)[1])
    get_command(app).commands["train"].make_context(
        "train", [word.replace("$SLURM_CPUS_PER_TASK", "2") for word in words[1:]]
    )
    torchrun = text.partition("srun torchrun")[2].replace("\\\n", " ")
    known = run_parser().parse_args(shlex.split(torchrun))
    assert (known.module, known.training_script, known.rdzv_backend) == (True, "samecar", "c10d")


def test_half_an_environment_is_one_sentence(train_only, tmp_path):
    told = {"RANK": "0", "WORLD_SIZE": "2"}
    process = run_python("-m", "samecar", *command(train_only, tmp_path / "run"), told=told)
    assert (process.returncode, process.stdout) == (2, "")
    (line,) = process.stderr.splitlines()
    assert "has RANK and WORLD_SIZE but not LOCAL_RANK and LOCAL_WORLD_SIZE and MASTER_ADDR and MASTER_PORT" in line


@pytest.mark.long
def test_the_commands_that_measure_write_and_print_what_one_process_does(painted_source, tmp_path, tmp_path_factory):
    data = RunData("painted", "0" * 16, 6, ["a", "b", "c"])
    trained = tiny_run(tmp_path_factory.mktemp("trained") / "run", data=data).folder
    on = ("--device", "cpu", "--workers", "0")
    embed = ("embed", str(trained), painted_source, "--reference", *on)
    alone = done(*embed, "-o", str(tmp_path / "alone.npy"))
    shared = done(*embed, "-o", str(tmp_path / "shared.npy"), "--processes", "2")
    assert shared == alone.replace("alone.npy", "shared.npy")
    assert (tmp_path / "shared.npy").read_bytes() == (tmp_path / "alone.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.csv", "alone.npy", "shared.csv", "shared.npy"]
    evaluate = ("evaluate", str(trained), "--data", painted_source, "--json", *on)
    assert done(*evaluate, "--processes", "2") == done(*evaluate)
