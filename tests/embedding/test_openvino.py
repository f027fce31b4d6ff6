"""Files that OpenVINO runs."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from command_line import done, refused
from conftest import paint_picture
from PIL import Image
from tiny_run import tiny_run

import samecar
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import PREFIX
from samecar.embedding.runtimes.openvino import refuse_device
from samecar.errors import SamecarError
from samecar.experiment import export as exporting
from samecar.experiment.export import export
from samecar.hardware import machine
from samecar.retrieval.gallery import Gallery

openvino = pytest.importorskip("openvino")

HERE = machine("cpu", 0)
HAS_BFLOAT16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(autouse=True)
def _measure_shortly(monkeypatch):
    monkeypatch.setattr(exporting, "MEASURED_SECONDS", 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for number in range(16):
        for camera, test_split in ((1, "query"), (2, "gallery")):
            split = "train" if number < 8 else test_split
            paint_picture(folder / split / f"v{number:02d}_c{camera}.png", number, camera, number)
    return f"folder:{folder}/{{split}}/{{vehicle_id}}_{{camera_id}}.png"


def expected(run, pictures):
    """Embeddings by torch in float32."""
    return Encoder.open(run, device="cpu").embed(pictures)


def test_signals_are_still_handled_after_models_were_let_go(run, tmp_path):
    export(run, tmp_path / "bf16.onnx", format="openvino", precision="bf16" if HAS_BFLOAT16 else "fp32", on=HERE)
    script = """
import gc, os, signal, sys
import numpy as np
import samecar
from PIL import Image
encoders = [samecar.load(sys.argv[1]) for _ in range(2)]
for encoder in encoders:
    encoder.embed([Image.new("RGB", (24, 16))])
while encoders:
    del encoders[0], encoder
    encoder = None
    gc.collect()
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(True))
os.kill(os.getpid(), signal.SIGUSR1)
print(len(seen))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "bf16.onnx"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr


def test_what_converts_models_and_reports_use_is_not_imported(run, source, tmp_path):
    export(run, tmp_path / "m.onnx", format="openvino", on=HERE)
    script = """
import sys, samecar
samecar.embed_with(sys.argv[1], sys.argv[2], reference=True, keep=True)
print(sorted(name for name in sys.modules if "telemetry" in name or name.startswith("openvino.tools.ovc")))
import openvino.tools.ovc
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "m.onnx", source], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


@pytest.fixture
def pictures(tmp_path):
    painted = []
    for number in range(5):
        paint_picture(tmp_path / f"{number}.png", number, 1, number)
        painted.append(Image.open(tmp_path / f"{number}.png").convert("RGB"))
    return painted


def test_it_gives_what_torch_gives(run, pictures, tmp_path):
    made = export(run, tmp_path / "m.onnx", format="openvino", on=HERE)
    assert (made.runner, made.as_dict()["runner"]) == ("openvino", "openvino")
    encoder = samecar.load(tmp_path / "m.onnx")
    np.testing.assert_allclose(encoder.embed(pictures), expected(run, pictures), atol=1e-5)
    assert encoder.runtime.name == "openvino, float32"
    composition = samecar.ExportedModel.open(made.path).composition
    assert composition.startswith("exported as ONNX for OpenVINO, fp32, of model ")
    one_by_one = np.concatenate([encoder.embed([picture]) for picture in pictures])
    np.testing.assert_allclose(one_by_one, encoder.embed(pictures), atol=1e-6)


def test_another_library_reads_the_file_too(run, pictures, tmp_path):
    """It is ONNX whatever runs it: here with what it says of its runner taken out."""
    made = export(run, tmp_path / "m.onnx", format="openvino", on=HERE)
    model = onnx.load(str(made.path))
    facts = {each.key: each.value for each in model.metadata_props}
    assert json.loads(facts.pop(f"{PREFIX}runner")) == "openvino"
    assert json.loads(facts[f"{PREFIX}format"]) == 2
    onnx.helper.set_model_props(model, {**facts, f"{PREFIX}format": "1"})
    onnx.save(model, str(tmp_path / "plain.onnx"))
    encoder = Encoder.open(tmp_path / "plain.onnx")
    np.testing.assert_allclose(encoder.embed(pictures), expected(run, pictures), atol=1e-5)
    assert encoder.runtime.name == "onnxruntime, float32"


def test_files_for_onnxruntime_say_what_they_said(run, tmp_path):
    made = export(run, tmp_path / "m.onnx", on=HERE)
    names = {each.key.removeprefix(PREFIX) for each in onnx.load(str(made.path)).metadata_props}
    assert "runner" not in names
    assert samecar.ExportedModel.open(made.path).facts.format == 1


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor does not compute with bfloat16")
def test_bfloat16_is_near_and_named(run, pictures, source, tmp_path):
    out = done(
        *("export", run.folder, "--format", "openvino", "--precision", "bf16", "-o", tmp_path / "m.onnx"),
        *("--workers", 0, "--cosine", 0.9),
    )
    assert "m.onnx: bf16, " in out
    assert " now (openvino), " in out
    found, wanted = samecar.load(tmp_path / "m.onnx").embed(pictures), expected(run, pictures)
    cosines = (found * wanted).sum(axis=1)
    assert cosines.min() > 0.97
    assert np.abs(found - wanted).max() > 1e-5  # it is not float32 under another name
    done("embed", tmp_path / "m.onnx", source, "-o", tmp_path / "e.npz", "--workers", 0)
    assert samecar.Embeddings.load(tmp_path / "e.npz").runtime == "openvino, bfloat16"


def test_a_processor_without_bfloat16_is_one_sentence(run, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(SamecarError, match="precision bf16, which this processor does not compute with; export it wi"):
        export(run, tmp_path / "m.onnx", format="openvino", precision="bf16", on=HERE)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_is_run_by_it(run, source, pictures, tmp_path):
    manifest = samecar.open_source(source)
    made = export(
        run, tmp_path / "m.onnx", format="openvino", precision="int8", data=manifest, cosine=0.5, tolerance=100, on=HERE
    )
    encoder = samecar.load(made.path)
    assert encoder.runtime.name == "openvino, int8"
    assert (encoder.embed(pictures) * expected(run, pictures)).sum(axis=1).min() > 0.5


def test_a_gallery_is_embedded_and_searched_by_it(run, source, tmp_path):
    made = export(run, tmp_path / "m.onnx", format="openvino", on=HERE)
    done("gallery", "create", tmp_path / "garage", "--run", made.path)
    folder = source.removeprefix("folder:").partition("{")[0] + "gallery"
    done("gallery", "add", tmp_path / "garage", folder)
    found = json.loads(done("search", tmp_path / "garage", f"{folder}/v09_c2.png", "--top", 1, "--json"))
    assert found["results"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    with Gallery.open(tmp_path / "garage") as gallery:
        assert gallery.runtime == "openvino, float32"
        assert gallery.check() == []


def test_another_device_is_refused():
    with pytest.raises(SamecarError, match="device is 'cuda' but the model was exported for OpenVINO on the processor"):
        refuse_device("cuda")
    for device in ("auto", "cpu", torch.device("cuda")):  # the last is torch's own choice, where auto was asked for
        refuse_device(device)


def test_without_openvino_it_says_what_to_install(run, tmp_path, monkeypatch):
    made = export(run, tmp_path / "m.onnx", format="openvino", on=HERE)
    monkeypatch.setitem(sys.modules, "openvino", None)
    said = refused("compare", tmp_path / "m.onnx", tmp_path / "m.onnx", "--run", made.path)
    assert 'the model was exported for OpenVINO, which is not installed; run `pip install ".[openvino]"`' in said


def test_a_network_that_openvino_cannot_run_is_one_sentence(run, tmp_path, monkeypatch):
    made = export(run, tmp_path / "m.onnx", format="openvino", on=HERE)

    def fail(*_):
        raise RuntimeError("Exception from src/inference.cpp:1:\nno such operation\n")

    monkeypatch.setattr(openvino.Core, "compile_model", fail)
    with pytest.raises(SamecarError, match="OpenVINO cannot run the model: no such operation; export it with format"):
        Encoder.open(made.path).load()
