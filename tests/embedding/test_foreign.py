"""ONNX models of others, here made with onnx alone: the mean of each colour, times a matrix."""

import json

import numpy as np
import onnx
import pytest
from command_line import done, refused
from conftest import paint_source
from onnx import TensorProto, numpy_helper
from PIL import Image
from plain_onnx import MATRIX, write_model

import samecar
from samecar.embedding.encoder import Encoder
from samecar.embedding.foreign import state_preprocessing
from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "colours.onnx")


def by_hand(picture, mean, deviation):
    small = np.asarray(picture.resize((16, 24), Image.Resampling.BILINEAR)) / 255
    feature = ((small.mean(axis=(0, 1)) - mean) / deviation) @ MATRIX
    return feature / np.linalg.norm(feature)


@pytest.mark.parametrize(
    ("colours", "mean", "deviation"),
    [
        ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("half", [0.5] * 3, [0.5] * 3),
        ("none", [0.0] * 3, [1.0] * 3),
    ],
)
def test_it_embeds_as_was_stated(model, colours, mean, deviation):
    state_preprocessing(model, f"24x16:{colours}")
    assert json.loads(model.with_name("colours.onnx.json").read_text())["mean"] == mean
    rows = np.random.default_rng(1).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    pictures = [Image.fromarray(row) for row in rows]
    encoder = Encoder.open(model, device="cpu")
    expected = [by_hand(picture, np.array(mean), np.array(deviation)) for picture in pictures]
    np.testing.assert_allclose(encoder.embed(pictures), expected, atol=1e-5)
    assert (encoder.embedding_size, encoder.preprocessing.height) == (5, 24)


def test_another_preprocessing_is_another_model(model):
    digests = set()
    for colours in ("imagenet", "half", "none"):
        state_preprocessing(model, f"24x16:{colours}")
        digests.add(Encoder.open(model).digest)
    assert len(digests) == 3


def test_commands_take_it_and_a_gallery_keeps_what_was_stated(model, tmp_path):
    source = paint_source(tmp_path / "crops", 2, 6)
    sentence = "none that `samecar export` wrote; say how it takes pictures with --preprocessing"
    assert sentence in refused("evaluate", model, "--data", source, "--workers", 0)
    stated = ("--preprocessing", "24x16:imagenet")
    scores = json.loads(done("evaluate", model, "--data", source, "--workers", 0, "--json", *stated))
    assert scores["mAP"] > 0.3
    assert "ONNX model of others, file " in scores["protocol"]["model"]
    assert scores["protocol"]["initial_weights"] == "not stated"
    done("embed", model, source, "-o", tmp_path / "all.npz", "--workers", 0)  # which remembers it
    done("gallery", "create", tmp_path / "garage", "--run", model)
    with Gallery.open(tmp_path / "garage") as gallery:
        assert gallery.model.digest == Encoder.open(model).digest == samecar.Embeddings.load(tmp_path / "all.npz").model
        assert gallery.check() == []


def test_quick_reading_is_stated_too(model):
    state_preprocessing(model, "24x16:half")
    exact, digest = model.with_name("colours.onnx.json").read_text(), Encoder.open(model).digest
    assert "reading" not in exact
    state_preprocessing(model, "24x16:half:quick")
    encoder = Encoder.open(model, device="cpu")
    assert encoder.preprocessing.reading == "quick"
    assert encoder.digest != digest
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 40, 3), np.uint8))
    np.testing.assert_allclose(encoder.embed([picture])[0], by_hand(picture, [0.5] * 3, [0.5] * 3), atol=0.02)


@pytest.mark.parametrize(
    "text", ["", "24x16:half:slow", "24x16", "24:imagenet", "0x16:half", "24x16:caffe", "24x16:half "]
)
def test_what_means_nothing_is_refused(model, text):
    with pytest.raises(SamecarError, match=r"preprocessing is '.*'; give HEIGHTxWIDTH:COLOURS with colours"):
        state_preprocessing(model, text)
    assert not model.with_name("colours.onnx.json").exists()


def test_a_run_needs_none(trained):
    out = refused("gallery", "create", trained / "g", "--run", trained, "--preprocessing", "24x16:half")
    assert out.startswith("--preprocessing is '24x16:half', but ")
    assert out.endswith("is no .onnx file; a run knows its own")


@pytest.mark.parametrize(
    ("changes", "stated", "sentence"),
    [
        ({"batch": 1}, "24x16:half", r"takes tensor\(float\) \[1, 3, 24, 16\], and pictures of float32"),
        ({}, "24x24:half", r"takes tensor\(float\) \['n', 3, 24, 16\], and pictures of float32 \(batch, 3, 24, 24\)"),
        ({"kind": TensorProto.DOUBLE}, "24x16:half", r"takes tensor\(double\)"),
    ],
)
def test_a_model_of_another_form_is_refused(tmp_path, changes, stated, sentence):
    path = write_model(tmp_path / "other.onnx", **changes)
    with pytest.raises(SamecarError, match=sentence):
        state_preprocessing(path, stated)
    assert not path.with_name("other.onnx.json").exists()


def test_a_refused_statement_leaves_the_former_one(model):
    state_preprocessing(model, "24x16:half")
    former = model.with_name("colours.onnx.json").read_text()
    with pytest.raises(SamecarError, match="state another size"):
        state_preprocessing(model, "64x48:half")
    assert model.with_name("colours.onnx.json").read_text() == former


def test_of_what_samecar_has_exported_nothing_is_stated(model):
    session = onnx.load(model)
    session.metadata_props.add(key="samecar.format", value="1")
    onnx.save(session, model)
    with pytest.raises(SamecarError, match="says itself how it takes pictures; leave it out"):
        state_preprocessing(model, "24x16:half")
    assert not model.with_name("colours.onnx.json").exists()


def test_embeddings_that_are_no_numbers_are_not_written(model, tmp_path):
    broken = onnx.load(model)
    for tensor in broken.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, np.nan), tensor.name))
    onnx.save(broken, model)
    source = paint_source(tmp_path / "crops", 2, 6)
    out = tmp_path / "all.npz"
    sentence = refused("embed", model, source, "-o", out, "--workers", 0, "--preprocessing", "24x16:half")
    assert sentence.startswith("the model gives numbers that are not finite for 22 of 22 pictures, such as gallery/")
    assert not out.exists()


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"height": 24, "width": 16, "mean": [0, 0, 0], "deviation": [1, 1, 0]}', '{"height": 1}']
)
def test_a_damaged_statement_is_refused(model, content):
    model.with_name("colours.onnx.json").write_text(content)
    with pytest.raises(SamecarError, match="what is stated of the ONNX model is no height and width with three means"):
        Encoder.open(model)
