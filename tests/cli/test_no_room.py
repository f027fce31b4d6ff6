"""Training where files may not grow: one sentence, and what is left is gone on with or begun anew."""

import resource
import subprocess

import pytest
from command_line import done, samecar_process, tiny

from samecar.files import UNFINISHED
from samecar.training import Run

pytestmark = pytest.mark.slow


def train_with_room(room, *arguments):
    """Runs a training that writes no file with more than so many bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = samecar_process("train", *arguments)
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)


@pytest.mark.parametrize("room", [1_000, 60_000])
def test_a_training_that_finds_no_room_says_so_and_goes_on_later(room, painted_source, tmp_path):
    out = tmp_path / "run"
    arguments = ("report-baseline", "--data", painted_source, "--out", out, *tiny("training.epochs=2"))
    ended = train_with_room(room, *arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert f"no file as large as {out}" in ended.stderr
    assert "free some space and do it again" in ended.stderr
    assert not list(tmp_path.rglob(f"{UNFINISHED}*"))
    begun = (out / "run.json").is_file()
    done("train", *arguments, *(["--resume"] if begun else []))
    assert len(Run.open(out).metrics()) == 2
