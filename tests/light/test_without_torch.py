"""What searches, scores and serves, in an environment that has neither torch nor any other extra.

`.ci/run` makes such an environment; where torch is installed, there is nothing to be seen here.
"""

import contextlib
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from calibrations import calibration_of
from command_line import done, refused, samecar_process
from conftest import paint_source

import samecar
from samecar.calibration import Logistic
from samecar.errors import EXTRAS, SamecarError

pytestmark = [
    pytest.mark.light,
    pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed"),
]

WHAT_TO_INSTALL = 'which is not installed; run `pip install ".[train]"` in the copy of samecar\'s repository'

EXPORTED = Path(__file__).with_name("exported.onnx")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return paint_source(tmp_path_factory.mktemp("painted"), train=2, test=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The exported file, with a place beside it for what is learned of it."""
    path = tmp_path_factory.mktemp("model") / "exported.onnx"
    path.write_bytes(EXPORTED.read_bytes())
    return path


@pytest.fixture(scope="module")
def garage(model, source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery") / "garage"
    done("gallery", "create", folder, "--run", model)
    done("gallery", "add", folder, source)
    return folder


@pytest.fixture(scope="module")
def composite(tmp_path_factory):
    """A folder that looks like a fused model's, as far as anything but torch reads it."""
    folder = tmp_path_factory.mktemp("composite")
    data = {"source": "none", "digest": "0", "pictures": 0, "vehicles": []}
    (folder / "composite.json").write_text(json.dumps({"samecar": "0.1.0", "data": data}))
    (folder / "model.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def a_picture(source):
    return source.removeprefix("folder:").replace("{split}/{vehicle_id}_{camera_id}", "query/v05_c1")


def test_no_library_of_an_extra_is_here():
    assert [name for name in EXTRAS if find_spec(name)] == []


def test_a_gallery_is_made_filled_searched_and_checked(garage, source):
    found = json.loads(done("search", garage, a_picture(source), "--top", "3", "--json"))
    assert found["results"][0]["vehicle_id"] == "v05"
    assert len(json.loads(done("search", garage, "id:1", "--top", "4", "--json"))["results"]) == 4
    assert "nothing is wrong" in done("gallery", "check", garage)


def test_pictures_are_embedded_scored_and_reranked(model, source, tmp_path):
    scores = json.loads(done("evaluate", model, "--data", source, "--json"))
    assert scores["mAP"] > 0.8
    assert (model.with_name("exported.onnx.results") / "report.html").is_file()
    done("embed", model, source, "-o", tmp_path / "all.npz")
    both = ("--query", tmp_path / "all.npz", "--gallery", tmp_path / "all.npz")
    plain, reranked = (json.loads(done("score", *both, "--json", *more)) for more in ((), ("--rerank", "5,3,0.3")))
    assert plain["mAP"] == pytest.approx(scores["mAP"], abs=0.05)
    assert 0.5 < reranked["mAP"] <= 1


def test_a_calibration_is_applied_but_not_fitted(model, source):
    digest = samecar.Encoder.open(model).digest
    place = model.with_name("exported.onnx.results") / "calibration.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(calibration_of(Logistic(slope=10.0, intercept=-5.0), model=digest).to_json(), encoding="utf-8")
    picture = a_picture(source)
    likeness = json.loads(done("compare", picture, picture, "--run", model, "--json"))
    assert likeness["probability"] == pytest.approx(1 / (1 + np.exp(-5)))
    said = refused("calibrate", model, "--data", source, "--test-vehicles")
    assert WHAT_TO_INSTALL in said


def wait_until_ready(address, latest):
    while True:
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(address):
            return
        assert time.perf_counter() < latest
        time.sleep(0.02)


def test_the_service_is_soon_ready_and_small(garage, source):
    started = time.perf_counter()
    process = subprocess.Popen(
        samecar_process("serve", garage, "--port", "0"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        wait_until_ready(f"{address}ready", started + 30)
        seconds = time.perf_counter() - started
        resident = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        print(f"ready after {seconds:.2f} s; resident {int(resident[1]) / 1024:.0f} MiB")
        assert int(resident[1]) / 1024 < 250
        boundary = b"--picture"
        body = b"\r\n".join(
            [
                boundary,
                b'Content-Disposition: form-data; name="picture"; filename="a.png"',
                b"Content-Type: image/png",
                b"",
                Path(a_picture(source)).read_bytes(),
                boundary + b"--",
                b"",
            ]
        )
        request = urllib.request.Request(
            f"{address}api/search", body, {"Content-Type": "multipart/form-data; boundary=picture"}
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["results"][0]["vehicle_id"] == "v05"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize(
    "command",
    [
        ("demo", "-o", "demo"),
        ("train", "demo", "--data", "{source}", "-o", "run"),
        ("export", "{run}", "-o", "new.onnx"),
        ("evaluate", "{run}", "--data", "{source}"),
        ("fuse", "{run}", "{run}", "--data", "{source}", "-o", "fused"),
        ("data", "check", "{source}"),
        ("search", "{garage}", "{picture}", "--save", "found.png"),
        ("plot", "augmentations", "--data", "{source}", "-o", "a.png"),
        ("gallery", "create", "other", "--run", "{run}"),
    ],
    ids=lambda command: command[0],
)
def test_what_needs_torch_says_so(command, source, garage, composite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"source": source, "garage": garage, "picture": a_picture(source), "run": composite}
    said = refused(*(part.format(**places) if part[:1] == "{" else part for part in command))
    assert WHAT_TO_INSTALL in said
    assert list(tmp_path.iterdir()) == []


def test_python_says_so_too(composite, source):
    with pytest.raises(SamecarError, match=r"a model that is not exported needs \w+, which is not installed; run `pip"):
        samecar.evaluate(composite, source)
    with pytest.raises(SamecarError, match=r"samecar\.train needs \w+, which is not installed; run `pip install"):
        _ = samecar.train
    assert samecar.score
    assert samecar.Gallery
