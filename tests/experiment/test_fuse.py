"""Fused models: weights are chosen on vehicles that nobody has seen, and the folder is taken where a run is."""

import json
import shutil
from itertools import product

import numpy as np
import pytest
from command_line import done, refused
from conftest import paint_source
from tiny_run import tiny_run

import samecar
from samecar.data import as_manifest, make_test_set
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import find_protocol
from samecar.experiment.fuse import grid_of_weights
from samecar.hardware import machine
from samecar.training import RunData

HERE = machine("cpu", 0)
SEEN = [f"v{vehicle:02d}" for vehicle in range(8)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty train vehicles and ten test vehicles, all seen by two cameras."""
    return paint_source(tmp_path_factory.mktemp("crops"), train=20, test=10)


def make_run(folder, source, seed, vehicles=SEEN, *changes):
    manifest = as_manifest(source).of_split("train")
    return tiny_run(folder, seed, changes, RunData(manifest.name, manifest.digest, len(manifest), vehicles))


@pytest.fixture(scope="module")
def runs(source, tmp_path_factory):
    """Two runs that left the same twelve train vehicles out."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_run(folder / "first", source, 1),
        make_run(folder / "second", source, 2, SEEN, "model.pooling=max", "training.seed=2"),
    ]


@pytest.fixture(scope="module")
def fused(runs, source, tmp_path_factory):
    return samecar.fuse(runs, source, tmp_path_factory.mktemp("fused") / "fused", on=HERE)


def average_precision(similarities, right):
    """Walks down a ranking in which equally near wrong pictures come first."""
    order = sorted(range(len(similarities)), key=lambda row: (-similarities[row], right[row]))
    found, total = 0, 0.0
    for rank, row in enumerate(order, start=1):
        found += right[row]
        total += right[row] * found / rank
    return total / found


def mean_average_precision(matrix, manifest):
    """By loops: every query against the gallery, without pictures of its vehicle by its camera."""
    scores = []
    for query in np.flatnonzero(manifest.split == "query"):
        same_vehicle = manifest.vehicle_id == manifest.vehicle_id[query]
        kept = (manifest.split == "gallery") & ~(same_vehicle & (manifest.camera_id == manifest.camera_id[query]))
        scores.append(average_precision((matrix[kept] @ matrix[query]).tolist(), same_vehicle[kept].tolist()))
    return float(np.mean(scores))


def test_the_weights_are_the_best_on_vehicles_that_no_run_has_seen(fused, runs, source):
    train = as_manifest(source).of_split("train")
    unseen = make_test_set(train.select(np.flatnonzero(~np.isin(train.vehicle_id, SEEN))))
    alone = [samecar.embed_with(run, unseen, on=HERE).matrix.astype(np.float64) for run in runs]
    alone = [matrix / np.linalg.norm(matrix, axis=1, keepdims=True) for matrix in alone]

    def score(weight):
        return mean_average_precision(np.hstack([weight**0.5 * alone[0], (1 - weight) ** 0.5 * alone[1]]), unseen)

    chosen = fused.facts["chosen_on"]
    assert (chosen["vehicles"], chosen["digest"]) == (12, unseen.digest)
    assert set(unseen.vehicle_id) == {f"v{vehicle:02d}" for vehicle in range(8, 20)}
    first, second = fused.facts["parts"]
    assert first["mAP"] == pytest.approx(score(1.0), abs=1e-6)
    assert second["mAP"] == pytest.approx(score(0.0), abs=1e-6)
    best = max(score(step / 20) for step in range(21))
    assert chosen["mAP"] == pytest.approx(best, abs=1e-6)
    assert score(first["weight"]) == pytest.approx(best, abs=1e-6)
    assert first["weight"] + second["weight"] == pytest.approx(1)
    assert [part["digest"] for part in (first, second)] == [run.model_digest() for run in runs]


def test_the_card_says_what_was_fused_and_the_scores_are_those_of_its_embeddings(fused, source, runs):
    evaluation = samecar.evaluate(fused, source, distance="cosine", on=HERE)
    weights = " and ".join(f"{part['weight']:.3g}" for part in fused.facts["parts"])
    words = f"fusion of 2 models, weights {weights}, chosen on 12 held-out train vehicles"
    assert fused.composition == words
    assert evaluation.card.model == f"{fused.model_digest()}: {words}"
    assert evaluation.card.seed is None  # the seeds of training differ
    assert evaluation.card.epoch_choice == "untrained"
    test = as_manifest(source)
    test = test.select(np.flatnonzero(test.split != "train"))
    matrix = samecar.embed_with(fused, test, on=HERE).matrix
    assert evaluation.mean_average_precision == pytest.approx(mean_average_precision(matrix, test), abs=1e-6)
    scored = samecar.score(
        *(Embeddings(matrix, test).of_split(split) for split in ("query", "gallery")), find_protocol("plain")
    )
    assert evaluation.cmc[1] == scored.cmc[1]


def test_it_is_taken_wherever_a_run_is(fused, source, tmp_path):
    folder = shutil.copytree(fused.folder, tmp_path / "fused")
    source_of_one = source.partition("{")[0] + "gallery/v20_c1.png"
    picture = source_of_one.removeprefix("folder:")
    place = ("--device", "cpu", "--workers", "0")
    assert "fusion of 2 models" in " ".join(done("evaluate", folder, "--data", source, *place).split())
    assert (folder / "report.html").is_file()
    assert samecar.evaluate(folder, source, on=HERE).card.queries_scored == 10
    done("embed", folder, source, "-o", tmp_path / "all.npz", *place)
    assert samecar.Embeddings.load(tmp_path / "all.npz").model == fused.model_digest()
    assert "held out from training" in done("calibrate", folder, "--data", source, *place)
    assert "probability" in done("compare", picture, picture, "--run", folder, "--device", "cpu")
    garage = tmp_path / "garage"
    assert "calibrated" in done("gallery", "create", garage, "--run", folder)
    crops = source.replace("{split}", "gallery")
    done("gallery", "add", garage, crops, "--workers", "1")
    found = json.loads(done("search", garage, picture, "--top", "1", "--json"))
    assert "v20" in json.dumps(found)
    with samecar.Gallery.open(garage) as gallery:
        assert gallery.facts.model == fused.model_digest()


def test_figures_of_one_network_refuse_it(fused, source):
    assert "holds no run" in refused("plot", "activation", fused.folder, "--data", source)
    picture = source.removeprefix("folder:").partition("{")[0] + "gallery/v20_c1.png"
    assert "is several models or a reduced one" in refused("plot", "features", picture, "--run", fused.folder)


def test_a_model_that_does_not_help_is_left_out(runs, source, tmp_path, monkeypatch):
    third = make_run(tmp_path / "third", source, 3)

    def score(columns, pictures, progress):
        return {weights: weights[0] * weights[2] for weights in grid_of_weights(3)}

    monkeypatch.setattr("samecar.experiment.fuse._try_weights", score)
    fused = samecar.fuse([*runs, third], source, tmp_path / "fused", on=HERE)
    assert [part["weight"] for part in fused.facts["parts"]] == [0.5, 0.5]
    assert [part["folder"] for part in fused.facts["chosen_on"]["left_out"]] == [str(runs[1].folder)]
    assert len(fused.load_model().parts) == 2
    monkeypatch.setattr(
        "samecar.experiment.fuse._try_weights",
        lambda *given: {weights: weights[1] for weights in grid_of_weights(3)},
    )
    with pytest.raises(SamecarError, match=r"no fusion is better than .*second alone, with mAP 100.0"):
        samecar.fuse([*runs, third], source, tmp_path / "none", on=HERE)


def test_a_grid_of_weights_holds_every_way_to_share_twenty_steps():
    by_hand = {tuple(step / 20 for step in steps) for steps in product(range(21), repeat=3) if sum(steps) == 20} | {
        (1 / 3,) * 3
    }
    assert set(grid_of_weights(3)) == by_hand
    assert grid_of_weights(2)[0] == (0.5, 0.5)
    for models in (4, 5, 8, 20):
        grid = grid_of_weights(models)
        assert len(grid) <= 1001
        assert grid[0] == (1 / models,) * models
        assert all(sum(weights) == pytest.approx(1) for weights in grid)
        assert {tuple(map(float, row)) for row in np.eye(models)} <= set(grid)  # each alone


def test_what_cannot_be_fused_is_refused_with_the_way_that_works(runs, source, tmp_path):
    everything = [f"v{vehicle:02d}" for vehicle in range(20)]
    whole = [make_run(tmp_path / name, source, seed, everything) for seed, name in ((5, "a"), (6, "b"))]
    others = make_run(tmp_path / "c", source, 7, everything[8:])
    copy = shutil.copytree(runs[0].folder, tmp_path / "copy")
    (tmp_path / "used" / "file").mkdir(parents=True)
    out = tmp_path / "out"
    for given, sentence in (
        (runs[:1], "1 model is given to fuse"),
        ([], "0 model is given to fuse: none; give two or more"),
        ([runs[0], copy], "is the same model as"),
        (whole, "none of the models held out train vehicles of .* train each with the same --validation 0.1"),
        ([runs[0], others], r"share 0 held-out .* \(.*first has 12, .*c has 8\), and 2 are needed"),
    ):
        with pytest.raises(SamecarError, match=sentence):
            samecar.fuse(given, source, out, on=HERE)
    assert not out.exists()
    with pytest.raises(SamecarError, match="is not an empty folder"):
        samecar.fuse(runs, source, tmp_path / "used", on=HERE)
    assert "holds no run" in refused("fuse", tmp_path / "used", runs[0].folder, "--data", source, "-o", out)


def test_a_damaged_folder_is_refused(fused, tmp_path):
    for name, sentence in (("model.safetensors", "lacks model.safetensors"), ("model.json", "lacks model.json")):
        folder = shutil.copytree(fused.folder, tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(SamecarError, match=sentence):
            samecar.bound_model(folder)
    folder = shutil.copytree(fused.folder, tmp_path / "other")
    (folder / "composite.json").write_text("{}")
    with pytest.raises(SamecarError, match="describes no composite"):
        samecar.evaluate(folder, "csv:absent.csv")
    with pytest.raises(SamecarError, match="holds no fused or reduced model"):
        samecar.CompositeModel.open(tmp_path)


def test_the_command_prints_each_alone_and_what_was_chosen(runs, source, tmp_path):
    words = ("fuse", *(run.folder for run in runs), "--data", source, "--workers", "0", "--device", "cpu")
    shown = done(*words, "-o", tmp_path / "shown")
    assert "mAP on 12 held-out train vehicles" in shown
    assert "so it is optimistic" in " ".join(shown.split())
    facts = json.loads(done(*words, "-o", tmp_path / "json", "--json"))
    again = samecar.CompositeModel.open(tmp_path / "shown")
    assert facts["chosen_on"] == again.facts["chosen_on"]
    assert samecar.bound_model(tmp_path / "json").digest == again.model_digest()  # the same choice, the same bytes
