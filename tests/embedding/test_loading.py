import json
import os
import shutil
import subprocess
import sys

import pytest
from hub_server import COMMIT, hub_server
from plain_onnx import write_model
from tiny_run import tiny_run

import samecar
from samecar.embedding.foreign import state_preprocessing
from samecar.embedding.loading import load
from samecar.errors import SamecarError

PROGRAM = """
import json, sys
import samecar
for source in sys.argv[1:]:
    try:
        print(json.dumps(samecar.load(source).digest))
    except samecar.SamecarError as error:
        print(json.dumps(str(error)))
assert "torch" not in sys.modules
"""


@pytest.fixture
def exported(tmp_path):
    """A folder with an exported model, as it lies on the hub."""
    folder = tmp_path / "exported"
    folder.mkdir()
    state_preprocessing(write_model(folder / "model.onnx"), "24x16:half")
    (folder / "README.md").write_text("about")
    (folder / "run.py").write_text("raise SystemExit('code of others')")
    return folder


@pytest.fixture
def ask(tmp_path):
    """Loads sources in a process of its own, as the hub's settings are read once."""

    def ask(*sources, **settings):
        known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = {**known, "HF_HOME": str(tmp_path / "home"), **settings}
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, *sources], env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return [json.loads(line) for line in finished.stdout.splitlines()]

    return ask


def test_a_run_a_file_and_a_folder_are_loaded(exported, tmp_path):
    run = tiny_run(tmp_path / "run")
    for source in (run, run.folder, str(run.folder), run.folder / "model"):
        assert load(source, device="cpu").digest == run.model_digest()
    assert load(exported).digest == load(exported / "model.onnx").digest == load(str(exported)).digest
    assert load(exported).embedding_size == 5
    shutil.copy(exported / "model.onnx", run.folder)
    assert load(run.folder, device="cpu").digest == run.model_digest()  # a run stays one, whatever lies beside it
    assert samecar.load is load


def test_a_repository_of_the_hub_is_fetched_once_and_then_found_without_a_network(exported, ask):
    digest = load(exported).digest
    with hub_server("yard/colours", exported) as hub:
        endpoint = f"http://127.0.0.1:{hub.server_port}"
        found = ask(
            "hf-hub:yard/colours",
            f"hf-hub:yard/colours@{COMMIT}",
            "hf-hub:yard/colours@never",
            "hf-hub:yard/none",
            HF_ENDPOINT=endpoint,
        )
        assert found[:2] == [digest, digest]
        for source, sentence in zip(("yard/colours@never", "yard/none"), found[2:], strict=True):
            assert sentence == (
                f"hf-hub:{source} is not on {endpoint}, or not for you to read; look at its name, or log in with "
                "`hf auth login`"
            )
        assert {*hub.fetched} == {"model.onnx", "model.onnx.json"}
    kept, other = ask("hf-hub:yard/colours", "hf-hub:yard/none", HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1")
    assert kept == digest
    assert other.startswith("hf-hub:yard/none is not in the hub's cache, and HF_HUB_OFFLINE keeps this machine from ")
    kept, other = ask("hf-hub:yard/colours", "hf-hub:yard/none", HF_ENDPOINT=endpoint)  # which nobody answers at now
    assert kept == digest
    assert other.startswith(f"hf-hub:yard/none is not in the hub's cache, and {endpoint} does not give it (")


def test_a_repository_without_a_model_is_refused(exported, ask):
    for name in ("model.onnx", "model.onnx.json"):
        (exported / name).unlink()
    with hub_server("yard/colours", exported) as hub:
        (sentence,) = ask("hf-hub:yard/colours", HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}")
    assert sentence == (
        "hf-hub:yard/colours holds no model of samecar; it needs model.json and model.safetensors, or model.onnx"
    )


@pytest.mark.parametrize("name", ["", "colours", "yard/", "a/b/c", "yard/../x", "yard/colours@", "yard/col ours"])
def test_what_names_no_repository_is_refused(name):
    with pytest.raises(SamecarError, match=f"source 'hf-hub:{name}' names no repository; write hf-hub:ORGANISATION/NA"):
        load(f"hf-hub:{name}")


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(SamecarError, match=r"none\.onnx is not there"):
        load(tmp_path / "none.onnx")
    with pytest.raises(SamecarError, match="holds no model"):
        load(tmp_path)
    with pytest.raises(SamecarError, match="model is of type int; give a path, or hf-hub:ORGANISATION/NAME"):
        load(3)


def test_a_model_that_runs_leaves_nothing_behind_and_sends_nothing(exported, tmp_path):
    """onnxruntime notes a number of the machine in the home folder, and sends what it does, if not told otherwise."""
    home = tmp_path / "home"
    home.mkdir()
    program = (
        "import sys, samecar; from PIL import Image; samecar.load(sys.argv[1]).embed([Image.new('RGB', (9, 9))]); "
        "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", program, exported]
    assert subprocess.check_output(command, env={**environment, "HOME": str(home)}, text=True) == "1\n"
    assert list(home.iterdir()) == []
