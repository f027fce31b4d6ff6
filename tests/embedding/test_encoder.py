import json
import shutil

import numpy as np
import pytest
from conftest import TINY
from PIL import Image
from tiny_run import tiny_run

import samecar
from samecar.config import load_recipe
from samecar.embedding.encoder import Encoder
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.saved import save_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def manifest(painted_source):
    return samecar.open_source(painted_source).of_split("query")


def pictures_of(manifest):
    return [Image.open(manifest.absolute_path(row)).convert("RGB") for row in range(len(manifest))]


def test_it_is_found_by_the_run_and_by_every_path_to_its_model(run):
    folder = run.folder
    model = folder / "model"
    for source in (run, folder, str(folder), model, str(model), model / "model.safetensors"):
        encoder = Encoder.open(source, device="cpu")
        assert encoder.digest == run.model_digest()
        assert encoder.preprocessing == run.load_model().preprocessing
    assert samecar.bound_model(run, on=samecar.machine("cpu", 0)).digest == run.model_digest()


def test_a_model_needs_nothing_of_the_run_around_it(run, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(run.folder / "model", alone)
    picture = Image.new("RGB", (50, 40), (200, 30, 90))
    expected = Encoder.open(run, device="cpu").embed([picture])
    np.testing.assert_array_equal(Encoder.open(alone, device="cpu").embed([picture]), expected)


def test_its_embeddings_are_those_of_the_network_at_length_one(run, manifest):
    given = embed(run.load_model(), manifest).matrix.astype(np.float64)
    expected = given / np.linalg.norm(given, axis=1, keepdims=True)
    found = Encoder.open(run, device="cpu").embed(pictures_of(manifest))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_holds_no_model_is_refused(run, tmp_path):
    unfinished, cut, other = (tmp_path / name for name in ("unfinished", "cut", "other"))
    for folder in (unfinished, cut):
        shutil.copytree(run.folder, folder)
    (unfinished / "model" / "model.safetensors").unlink()
    (cut / "model" / "model.json").unlink()
    other.mkdir()
    (other / "weights.pth").write_bytes(b"")
    for source, sentence in {
        tmp_path / "rnu": "rnu is not there; give a run folder, a folder with model.json and model.safetensors, or",
        unfinished: "unfinished has no trained model yet; finish it with `samecar train … --resume`",
        cut: "the model in .*model lacks model.json; put back the one that was saved with it",
        other: "folder .*other holds no model; give a run folder",
        other / "weights.pth": "weights.pth is no model.safetensors; give a run folder",
    }.items():
        with pytest.raises(SamecarError, match=sentence):
            Encoder.open(source)
    with pytest.raises(SamecarError, match="device is 'gpu'; it can be auto, cpu, cuda or cuda:N, such as cuda:0"):
        Encoder.open(run, device="gpu")


def test_a_model_that_its_description_does_not_fit_is_refused(run, tmp_path):
    folder = tmp_path / "model"
    save_model(build_embedder(load_recipe("report-baseline", TINY).model, 3), folder)
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**description, "vehicles": 4}))
    with pytest.raises(SamecarError, match=r"model\.safetensors belongs to another model"):
        Encoder.open(folder, device="cpu").embed([Image.new("RGB", (9, 9))])
