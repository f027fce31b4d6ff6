import logging

import numpy as np
import pytest
import torch
from tiny_run import tiny_run

import samecar
from samecar.embedding import encoder as encoder_module
from samecar.embedding.encoder import Encoder
from samecar.embedding.exporting import sample_pictures
from samecar.embedding.networks import find_way
from samecar.embedding.runtimes import quickening
from samecar.embedding.runtimes.quickening import LEAST_COSINE
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import incoming_of_manifest

WAYS = dict(quickening.WAYS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture
def encoder(run):
    return Encoder.open(run, device="cpu")


def by_hand(network, pixels):
    mean, deviation = (np.array(getattr(network.preprocessing, name))[:, None, None] for name in ("mean", "deviation"))
    with torch.inference_mode():
        given = torch.tensor((np.stack(pixels) / 255 - mean) / deviation, dtype=torch.float32)
        found = network(given).numpy().astype(np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("name", WAYS)
def test_each_way_gives_the_embeddings_of_the_network_in_batches_of_any_size(encoder, monkeypatch, name):
    monkeypatch.setattr(quickening, "WAYS", {name: WAYS[name]})
    assert encoder.runtime.name == "torch, float32"
    encoder.quicken()
    assert encoder.runtime.name == name
    pixels = sample_pictures(encoder.preprocessing, 7, seed=9)
    expected = by_hand(encoder.runtime.network, pixels)
    for size in (1, 2, 7):
        np.testing.assert_allclose(encoder.embed_prepared(pixels[:size]), expected[:size], atol=2e-6)


def test_a_way_that_disagrees_or_fails_is_passed_over(encoder, monkeypatch, caplog):
    def turn(network, unit_length):
        return lambda pictures: np.roll(encoder.runtime._embed_as_it_is(pictures), 1, axis=1)

    def fail(network, unit_length):
        raise RuntimeError("no such operator\nat line 1")

    def lack(network, unit_length):
        raise ModuleNotFoundError("no module named 'swift'")

    monkeypatch.setattr(quickening, "WAYS", {"turned": turn, "failed": fail, "absent": lack})
    with caplog.at_level(logging.INFO, "samecar"):
        encoder.quicken()
        encoder.quicken()  # which does not try again
    assert encoder.runtime.name == "torch, float32"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("turned is not used: the cosine of its embeddings with torch's is ")
    assert said[0].endswith(f", below {LEAST_COSINE}")
    assert said[1] == "failed does not run this network: no such operator"


@pytest.mark.parametrize("flip", [False, True])
def test_a_set_is_embedded_by_the_quickest_way_unless_the_reference_is_asked_for(
    run, painted_source, monkeypatch, flip
):
    monkeypatch.setattr("samecar.experiment.embed.MANY", 4)
    options = {"on": samecar.machine("cpu", 2), "flip": flip}
    reference = samecar.embed_with(run, painted_source, **options, reference=True)
    quick = samecar.embed_with(run, painted_source, **options)
    assert quick.model == reference.model
    assert quick.labels.picture.tolist() == reference.labels.picture.tolist()
    assert not np.array_equal(quick.matrix, reference.matrix)
    np.testing.assert_allclose(quick.matrix, reference.matrix, atol=2e-5 * np.abs(reference.matrix).max())


def test_a_length_that_differs_is_a_disagreement(encoder, monkeypatch):
    network = encoder.runtime.network
    exported = WAYS["torch, frozen, float32"](network, False)
    monkeypatch.setattr(quickening, "WAYS", {"longer": lambda network, unit_length: lambda p: exported(p) * 1.001})
    assert find_way(network) is None
    monkeypatch.setattr(quickening, "WAYS", {"the same": lambda network, unit_length: exported})
    assert find_way(network).name == "the same"


def test_a_way_that_gives_no_numbers_is_not_taken(encoder, monkeypatch):
    network = encoder.runtime.network
    lost = {
        "lost": lambda network, unit_length: lambda p: np.full((len(p), network.embedding_size), np.nan, np.float32)
    }
    monkeypatch.setattr(quickening, "WAYS", lost)
    assert find_way(network) is None


def test_a_gallery_is_quickened_when_it_pays(run, painted_source, tmp_path, monkeypatch):
    pictures = incoming_of_manifest(samecar.open_source(painted_source).of_split("gallery"))
    monkeypatch.setattr(encoder_module, "MANY", 4)
    names = []
    with Gallery.create(tmp_path / "garage", Encoder.open(run, device="cpu")) as gallery:
        gallery.add(pictures, batch_size=2, progress=lambda *told: names.append(gallery.model.runtime.name))
        assert gallery.check() == []
    assert names[0] == "torch, float32"
    assert names[-1] == next(iter(WAYS))
