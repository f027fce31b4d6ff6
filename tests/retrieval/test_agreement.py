import json

import numpy as np
import pytest
from command_line import done
from tiny_run import tiny_run

import samecar
from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError
from samecar.retrieval.agreement import RUNTIME_FILE, check_runtime, note_runtime, sample_picture
from samecar.retrieval.export import copy_gallery
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import incoming_of_manifest
from samecar.retrieval.records import Sighting


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture
def gallery(run, tmp_path):
    with Gallery.create(tmp_path / "garage", Encoder.open(run, device="cpu")) as made:
        yield made


@pytest.fixture
def pictures(painted_source):
    return list(incoming_of_manifest(samecar.open_source(painted_source).of_split("query")))


def turn(encoder, angle):
    """Has a model give embeddings that are turned by an angle, in a plane."""
    embed = encoder.runtime.embed

    def turned(pictures):
        embeddings = embed(pictures)
        side = np.roll(embeddings, 1, axis=1)
        side -= (side * embeddings).sum(axis=1, keepdims=True) * embeddings
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        return np.cos(angle) * embeddings + np.sin(angle) * side

    encoder.runtime.embed = turned
    return encoder


def test_a_gallery_names_what_embedded_its_pictures(gallery, pictures, tmp_path):
    assert gallery.runtime == ""
    assert "runtime" not in json.loads(done("gallery", "info", tmp_path / "garage", "--json"))
    gallery.add(pictures)
    assert gallery.runtime == "torch, float32"
    assert json.loads(done("gallery", "info", tmp_path / "garage", "--json"))["runtime"] == gallery.runtime
    assert "embedded by torch, float32" in done("gallery", "info", tmp_path / "garage")
    noted = json.loads(gallery.engine.attached(RUNTIME_FILE))
    np.testing.assert_allclose(noted["embedding"], gallery.model.embed([sample_picture()])[0], atol=1e-6)
    assert gallery.check() == []


def test_a_pooled_entry_notes_it_too(gallery):
    gallery.add_pooled(Sighting("a" * 64), [sample_picture()])
    assert gallery.runtime == "torch, float32"


def test_copies_keep_what_is_noted(gallery, pictures, run, tmp_path):
    gallery.add(pictures)
    with Gallery.create(tmp_path / "copy", Encoder.open(run, device="cpu")) as other:
        copy_gallery(gallery.engine, other.engine)
        assert other.engine.attached(RUNTIME_FILE) == gallery.engine.attached(RUNTIME_FILE)


@pytest.mark.parametrize(("angle", "agrees"), [(0.03, True), (0.06, False)])  # cosines 0.99955 and 0.9982
def test_what_embeds_otherwise_adds_nothing(gallery, pictures, run, angle, agrees):
    gallery.add(pictures[:2])
    gallery._model = turn(Encoder.open(run, device="cpu"), angle)
    if agrees:
        assert gallery.add(pictures).added == len(pictures) - 2
        return
    sentence = r"embedded by torch, float32, and torch, float32 gives a .* is 0\.9982, below 0\.999; embed on"
    with pytest.raises(SamecarError, match=sentence):
        gallery.add(pictures)
    assert gallery.engine.summary().pictures == 2
    assert any("is 0.9982, below" in finding for finding in gallery.check())


def test_what_is_noted_may_be_damaged(gallery):
    note_runtime(gallery.engine, gallery.model)
    for content in (b"{", b"[]", b'{"runtime": "torch", "embedding": ["a"]}'):
        gallery.engine.attach(RUNTIME_FILE, content)
        with pytest.raises(SamecarError, match=r"runtime\.json, is damaged; remove it and add a picture"):
            check_runtime(gallery.engine, gallery.model)
