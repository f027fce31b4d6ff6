"""Reduced models: their components are scikit-learn's, and what they cost is measured on vehicles not fitted to."""

import json

import numpy as np
import pytest
from command_line import done, refused
from conftest import paint_source
from sklearn.decomposition import PCA
from tiny_run import tiny_run

import samecar
from samecar.data import as_manifest
from samecar.errors import SamecarError
from samecar.experiment.reduce import _refuse_size, principal_components
from samecar.hardware import machine
from samecar.training import RunData

HERE = machine("cpu", 0)
SEEN = [f"v{vehicle:02d}" for vehicle in range(12)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty train vehicles and six test vehicles, all seen by two cameras."""
    return paint_source(tmp_path_factory.mktemp("crops"), train=20, test=6)


@pytest.fixture(scope="module")
def make_run(source, tmp_path_factory):
    """Makes a run that was trained on some of the vehicles."""
    manifest, folder = as_manifest(source).of_split("train"), tmp_path_factory.mktemp("runs")

    def make(name, seed, vehicles=SEEN):
        data = RunData(manifest.name, manifest.digest, len(manifest), vehicles)
        return tiny_run(folder / name, seed, ["model.distance=cosine"], data)

    return make


@pytest.fixture(scope="module")
def run(make_run):
    return make_run("run", 1)


def at_length_one(matrix):
    matrix = matrix.astype(np.float64)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.mark.parametrize("whiten", [False, True])
def test_it_is_scikit_learns_pca_of_the_train_pictures_that_the_run_saw(whiten, run, source, tmp_path):
    reduced = samecar.reduce(run, source, tmp_path / "reduced", size=6, whiten=whiten, on=HERE)
    everything = samecar.embed_with(run, source, on=HERE)
    train = np.isin(everything.manifest.vehicle_id, SEEN)
    matrix = at_length_one(everything.matrix)
    oracle = PCA(6, whiten=whiten, svd_solver="full").fit(matrix[train])
    expected = at_length_one(oracle.transform(matrix))
    found = at_length_one(samecar.embed_with(reduced, source, on=HERE).matrix)
    assert found.shape == (len(everything), 6)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)  # directions may be turned round
    facts = reduced.facts["reduction"]
    assert facts["variance_kept"] == pytest.approx(oracle.explained_variance_ratio_.sum(), abs=1e-5)
    assert facts["fitted_on"]["pictures"] == 24
    words = "reduced to 6 by PCA, whitened" if whiten else "reduced to 6 by PCA"
    assert reduced.composition == words
    card = samecar.evaluate(reduced, source, on=HERE).card
    assert card.model == f"{reduced.model_digest()}: {words}"
    assert (card.seed, card.initial_weights) == (1, "not stated")


def test_the_loss_is_measured_on_held_out_train_vehicles_or_else_on_the_test_set(run, make_run, source, tmp_path):
    measured = samecar.reduce(run, source, tmp_path / "held", size=2, on=HERE).facts["reduction"]["measured_on"]
    assert (measured["vehicles"], measured["kind"]) == (8, "held-out train vehicles")
    whole = make_run("whole", 2, [f"v{vehicle:02d}" for vehicle in range(20)])
    reduced = samecar.reduce(whole, source, tmp_path / "tested", size=2, on=HERE)
    facts = reduced.facts["reduction"]
    assert (facts["measured_on"]["vehicles"], facts["measured_on"]["kind"]) == (6, "test vehicles")
    for model, noted in ((whole, "mAP_before"), (reduced, "mAP")):
        scores = samecar.evaluate(model, source, distance="cosine", on=HERE)
        assert facts[noted] == pytest.approx(scores.mean_average_precision, abs=1e-6)


def test_all_components_keep_every_cosine_but_for_the_mean(run, source, tmp_path):
    matrix = np.random.default_rng(0).normal(size=(50, 7))
    found = principal_components(matrix, 7)
    centred = matrix - matrix.mean(axis=0)
    np.testing.assert_allclose(centred @ found.directions.T @ found.directions, centred, atol=1e-12)
    np.testing.assert_allclose(found.variances, np.sort(np.linalg.eigvalsh(np.cov(matrix.T)))[::-1], atol=1e-12)
    assert found.kept == pytest.approx(1)
    assert (np.take_along_axis(found.directions, np.abs(found.directions).argmax(1)[:, None], 1) > 0).all()


def test_a_reduction_composes_with_a_fusion(run, make_run, source, tmp_path):
    fused = samecar.fuse([run, make_run("second", 3)], source, tmp_path / "fused", on=HERE)
    reduced = samecar.reduce(fused, source, tmp_path / "reduced", size=4, on=HERE)
    assert reduced.composition == f"{fused.composition}; reduced to 4 by PCA"
    assert samecar.bound_model(reduced).embedding_size == 4
    assert reduced.data == fused.data
    wide, narrow = (at_length_one(samecar.embed_with(model, source, on=HERE).matrix) for model in (fused, reduced))
    train = np.isin(as_manifest(source).vehicle_id, SEEN)
    expected = at_length_one(PCA(4, svd_solver="full").fit(wide[train]).transform(wide))
    np.testing.assert_allclose(narrow @ narrow.T, expected @ expected.T, atol=2e-3)


def test_what_cannot_be_reduced_is_refused(run, make_run, source, tmp_path):
    out = tmp_path / "out"
    for size in (0, 97):
        with pytest.raises(SamecarError, match=f"size is {size}; embeddings have 96 numbers, so give from 1 to 96"):
            _refuse_size(size, 96)
    for size, sentence in (
        (25, "size is 25, but there are 24 train pictures; give at most so many"),
        (24, "size is 24, but the embeddings of 24 train pictures vary in 23 directions only; give at most 23"),
    ):
        with pytest.raises(SamecarError, match=sentence):
            samecar.reduce(run, source, out, size=size, on=HERE)
    whole = make_run("all", 4, [f"v{vehicle:02d}" for vehicle in range(20)])
    train = as_manifest(source).of_split("train")
    with pytest.raises(SamecarError, match=r"has neither held-out train vehicles of .* train with --validation 0.1"):
        samecar.reduce(whole, train, out, size=2, on=HERE)
    with pytest.raises(SamecarError, match="has no train pictures to fit components to"):
        samecar.reduce(run, as_manifest(source).of_split("gallery"), out, size=2, on=HERE)
    assert not out.exists()
    assert "give from 1 to 96" in refused("reduce", run.folder, "--data", source, "--size", "97", "-o", out)


def test_the_command_says_what_is_kept_and_what_it_costs(run, source, tmp_path):
    words = ("reduce", run.folder, "--data", source, "--workers", "0", "--size", "3")
    shown = " ".join(done(*words, "--whiten", "-o", tmp_path / "shown").split())
    assert "from 96 to 3 numbers by PCA, whitened, which keep" in shown
    assert "on 8 held-out train vehicles" in shown
    assert json.loads(done(*words, "-o", tmp_path / "json", "--json"))["reduction"]["size"] == 3
