import json
import re

import numpy as np
import onnx
import pytest
import torch
from conftest import TINY
from PIL import Image
from tiny_run import tiny_run
from torch import nn

import samecar
from samecar.config import load_recipe
from samecar.data import evaluation_transform
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import ExportFacts, TrainedOn
from samecar.embedding.exporting import lowest_cosine, quantise, sample_pictures, write_facts, write_onnx
from samecar.embedding.runtimes import onnx as onnx_runtime
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.composite import CompositeEmbedder, describe_model


def shake(network):
    """Gives every layer a say: a network begins with parts that are multiplied by nought."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            module.weight.data = 0.5 + torch.rand(module.weight.shape, generator=generator)
            module.bias.data = torch.rand(module.bias.shape, generator=generator)
            module.running_mean.copy_(torch.rand(module.running_mean.shape, generator=generator))
    return network.eval()


def tiny_network(*changes):
    torch.manual_seed(3)
    return shake(build_embedder(load_recipe("report-baseline", [*TINY, *changes]).model, 3))


def facts_of(network, **changes):
    return ExportFacts(
        samecar="0.1.0",
        torch=torch.__version__,
        model="0123456789abcdef",
        composition="",
        recipe=None,
        precision="fp32",
        calibrated_on=None,
        preprocessing=network.preprocessing,
        embedding_size=network.embedding_size,
        licence="apache-2.0",
        initial_weights="none",
        epoch_choice="last epoch",
        seed=1,
        trained_on=TrainedOn(source="veri776:VeRi", digest="0" * 16, pictures=6, vehicles=("a", "ö")),
        scores=(),
        **changes,
    )


def write(network, path, **changes):
    write_onnx(network, path)
    write_facts(path, facts_of(network, **changes))
    return path


def by_hand(network, pixels):
    """Embeddings by the network itself, normalised here, one picture at a time."""
    mean, deviation = (np.array(getattr(network.preprocessing, name))[:, None, None] for name in ("mean", "deviation"))
    rows = []
    for picture in pixels:
        given = torch.tensor((picture / 255 - mean) / deviation, dtype=torch.float32)
        with torch.inference_mode():
            embedding = network(given[None])[0].numpy().astype(np.float64)
        rows.append(embedding / np.linalg.norm(embedding))
    return np.stack(rows)


@pytest.fixture(scope="module")
def network():
    return tiny_network("model.height=48", "model.head=fc-bn-relu-fc", "model.embedding_size=16")


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    return write(network, tmp_path_factory.mktemp("exported") / "tiny.onnx")


def test_a_file_takes_pictures_as_they_are_and_gives_what_the_network_gives(network, file):
    encoder = Encoder.open(file, device="cpu")
    assert (encoder.preprocessing, encoder.embedding_size) == (network.preprocessing, 16)
    rows = np.random.default_rng(0).integers(0, 256, (36, 60, 50, 3), dtype=np.uint8)
    pictures = [Image.fromarray(row) for row in rows]
    expected = by_hand(network, [encoder.prepare(picture) for picture in pictures])
    for first, size in ((0, 1), (1, 3), (4, 32)):
        found = encoder.embed(pictures[first : first + size])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[first : first + size], atol=2e-6)
    assert encoder.embed([]).shape == (0, 16)


def test_its_pictures_are_resized_as_in_evaluation(network, file):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8))
    expected = evaluation_transform(network.preprocessing).prepare(picture).pixels
    np.testing.assert_array_equal(Encoder.open(file, device="cpu").prepare(picture), expected)


def test_any_other_program_reads_the_file(file, network):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    (taken,), (given,) = model.graph.input, model.graph.output
    sides = [side.dim_param or side.dim_value for side in taken.type.tensor_type.shape.dim]
    assert (taken.name, sides, taken.type.tensor_type.elem_type) == (
        "pictures",
        ["batch", 3, 48, 32],
        onnx.TensorProto.UINT8,
    )
    assert given.name == "embeddings"
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["samecar.licence"] == "apache-2.0"
    assert told["samecar.trained_on"]["vehicles"] == ["a", "ö"]
    assert told["samecar.preprocessing"] == {"height": 48, "width": 32, "mean": [0.5] * 3, "deviation": [0.5] * 3}


def test_its_facts_come_back(file, network):
    assert Encoder.open(file, device="cpu").runtime.facts == facts_of(network)


def test_models_of_different_sizes_are_one_file(tmp_path):
    parts = [tiny_network(), tiny_network("model.height=64", "model.width=48")]
    fused = CompositeEmbedder(parts, [0.4, 0.6], 16)
    nn.init.normal_(fused.reduction.components, generator=torch.Generator().manual_seed(2))
    encoder = Encoder.open(write(fused.eval(), tmp_path / "fused.onnx"), device="cpu")
    pixels = sample_pictures(fused.preprocessing, 4)
    found, expected = encoder.embed_prepared(pixels), by_hand(fused, pixels)
    assert (found * expected).sum(axis=1).min() > 0.99999


def test_int8_is_smaller_and_near(network, tmp_path, file):
    pixels = sample_pictures(network.preprocessing, 36)
    small = tmp_path / "int8.onnx"
    quantise(file, small, pixels)
    write_facts(small, facts_of(network))
    assert small.stat().st_size < 0.6 * file.stat().st_size
    found = Encoder.open(small, device="cpu").embed_prepared(pixels)
    cosines = (found * by_hand(network, pixels)).sum(axis=1)
    assert 0.9 < cosines.min() < 0.999999
    assert {node.op_type for node in onnx.load(small).graph.node} >= {"QuantizeLinear", "DequantizeLinear"}


def test_the_lowest_cosine_is_that_of_the_worst_picture(file, network, tmp_path):
    other = write(
        tiny_network("model.height=48", "model.head=fc-bn-relu-fc", "model.embedding_size=16"), tmp_path / "o.onnx"
    )
    ours = Encoder.open(file, device="cpu")
    assert lowest_cosine(ours, Encoder.open(other, device="cpu"), sample_pictures(network.preprocessing, 36)) > 0.999999

    class Damaged:
        def embed_prepared(self, pixels):
            rows = ours.embed_prepared(pixels).copy()
            if len(rows) == 32:
                rows[-1] = -rows[-1]
            return rows

    assert lowest_cosine(ours, Damaged(), sample_pictures(network.preprocessing, 36)) == pytest.approx(-1)

    class Empty:
        def embed_prepared(self, pixels):
            return np.full((len(pixels), 16), np.nan, np.float32)

    assert np.isnan(lowest_cosine(ours, Empty(), sample_pictures(network.preprocessing, 36)))


def test_how_pictures_are_read_goes_with_the_model_and_into_the_file(file, tmp_path):
    told = {each.key: each.value for each in onnx.load(file).metadata_props}
    assert "reading" not in told["samecar.preprocessing"]
    quick = tiny_network("model.reading=quick")
    assert Encoder.open(write(quick, tmp_path / "quick.onnx")).preprocessing == quick.preprocessing
    assert quick.preprocessing.reading == "quick"
    assert Encoder.open(file).preprocessing.reading == "exact"
    assert "reading" not in describe_model(tiny_network())["model"]
    assert describe_model(quick)["model"]["reading"] == "quick"
    for others, reading in (([quick], "quick"), ([quick, tiny_network()], "exact")):
        assert CompositeEmbedder(others, [1 / len(others)] * len(others)).preprocessing.reading == reading


def test_whole_manifests_are_embedded_with_the_mirrored_picture_too(file, network, painted_source):
    encoder = Encoder.open(file, device="cpu")
    manifest = samecar.open_source(painted_source).of_split("query")
    pictures = [Image.open(manifest.absolute_path(row)).convert("RGB") for row in range(len(manifest))]
    plain = encoder.embed_manifest(manifest, batch_size=3)
    assert plain.model == encoder.digest
    np.testing.assert_allclose(plain.matrix, by_hand(network, [encoder.prepare(each) for each in pictures]), atol=2e-6)
    flipped = encoder.embed_manifest(manifest, flip=True)
    assert flipped.model == f"{encoder.digest} with flip"
    mirrored = [encoder.prepare(each)[..., ::-1] for each in pictures]
    np.testing.assert_allclose(flipped.matrix, (plain.matrix + by_hand(network, mirrored)) / 2, atol=2e-6)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda model: model.metadata_props.clear(), "the ONNX file is none that `samecar export` wrote; say how it"),
        (lambda model: _tell(model, "format", 3), "the ONNX file has format 3 and this samecar knows 2; take a newer"),
        (lambda model: _tell(model, "format", "x"), "what the ONNX file says of itself is damaged; export it again"),
        (lambda model: _tell(model, "embedding_size", 17), "the network in the ONNX file is another one than its meta"),
        (lambda model: _tell(model, "precision", "fp64"), "what the ONNX file says of itself is damaged"),
    ],
)
def test_a_file_that_says_something_else_is_refused(file, tmp_path, damage, sentence):
    model = onnx.load(file)
    damage(model)
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(SamecarError, match=sentence):
        Encoder.open(tmp_path / "damaged.onnx", device="cpu").load()


def _tell(model, name, value):
    (entry,) = [entry for entry in model.metadata_props if entry.key == f"samecar.{name}"]
    entry.value = json.dumps(value)


def test_what_is_no_onnx_is_refused(file, tmp_path):
    for name, content in (("cut.onnx", file.read_bytes()[:1000]), ("text.onnx", b"hello"), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SamecarError, match=r"the model cannot be read as ONNX.*; export it again"):
            Encoder.open(tmp_path / name, device="cpu").load()
    with pytest.raises(SamecarError, match=re.escape("gone.onnx is not there; give a run folder")):
        Encoder.open(tmp_path / "gone.onnx")
    with pytest.raises(SamecarError, match="device is 'gpu'; it can be auto, cpu, cuda or cuda:N"):
        Encoder.open(file, device="gpu").load()


def test_a_run_without_batch_norms_agrees_too(tmp_path):
    run = tiny_run(tmp_path / "run")
    path = write(run.load_model(), tmp_path / "run.onnx")
    pixels = sample_pictures(run.load_model().preprocessing, 36)
    assert lowest_cosine(Encoder.open(run, device="cpu"), Encoder.open(path, device="cpu"), pixels) > 0.999999


def test_a_gpu_is_taken_where_onnxruntime_has_it_and_else_a_warning_given(caplog):
    one, processor = ["CPUExecutionProvider"], "CPUExecutionProvider"
    both = ["CUDAExecutionProvider", processor]
    assert onnx_runtime._find_providers("cpu", both) == one
    assert onnx_runtime._find_providers(torch.device("cuda", 1), both) == [
        ("CUDAExecutionProvider", {"device_id": 1}),
        processor,
    ]
    assert not caplog.messages
    assert onnx_runtime._find_providers(torch.device("cuda"), one) == one
    (warning,) = caplog.messages
    assert "cannot use the GPU" in warning


def test_a_driver_that_onnxruntime_cannot_use_is_told_of(monkeypatch, caplog):
    processor = ["CPUExecutionProvider"]
    monkeypatch.setattr(onnx_runtime, "has_gpu_driver", lambda: False)
    assert onnx_runtime._find_providers("auto", processor) == processor
    assert not caplog.messages
    monkeypatch.setattr(onnx_runtime, "has_gpu_driver", lambda: True)
    assert onnx_runtime._find_providers("auto", processor) == processor
    (warning,) = caplog.messages
    assert "cannot use the GPU" in warning


def test_a_gpu_that_was_asked_for_by_name_is_not_replaced():
    with pytest.raises(SamecarError, match="device is 'cuda:0' but the onnxruntime that is installed runs on the proc"):
        onnx_runtime._find_providers("cuda:0", ["CPUExecutionProvider"])
