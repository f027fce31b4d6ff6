"""What an earlier version saved is opened still, and gives the same numbers.

`saved/before.tar.xz` was made by `saved/make_saved.py` before modules moved; `saved/fixed.py` says what was computed.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import done
from PIL import Image
from saved import fixed

import samecar
from samecar.config import ModelSettings, shipped_recipes
from samecar.labels import Labels
from samecar.reproduce import Choices, all_rows, plan_runs
from samecar.retrieval.records import Filter
from samecar.similarity.counting import count_matches
from samecar.similarity.distances import nearest
from samecar.similarity.exact import most_similar
from samecar.similarity.expansion import average_query_expansion, database_augmentation
from samecar.similarity.products import distance_chunks
from samecar.similarity.reranking import k_reciprocal_distances

ARCHIVE = Path(__file__).parent / "saved" / "before.tar.xz"
HERE = ("--device", "cpu", "--workers", "0")
KINDS = ("exact", "int8", "ivf")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The network is so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """What was saved, for tests that leave it as it is; the pictures are painted anew."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # which Python has from 3.11.4 on
        tar.extractall(folder)
    fixed.paint_set(folder)
    return folder


@pytest.fixture(scope="module")
def told(unpacked) -> dict:
    """What the earlier version said of it."""
    return json.loads((unpacked / "told.json").read_text())


@pytest.fixture(scope="module")
def numbers():
    """The functions of today."""
    from samecar.retrieval.folder.screen import Screen, screened_most_similar

    return fixed.Numbers(
        distance_chunks=distance_chunks,
        nearest=nearest,
        count_matches=count_matches,
        k_reciprocal_distances=k_reciprocal_distances,
        average_query_expansion=average_query_expansion,
        database_augmentation=database_augmentation,
        most_similar=most_similar,
        screened_most_similar=screened_most_similar,
        Screen=Screen,
        Labels=Labels,
        Labelled=samecar.Embeddings,
        find_protocol=samecar.find_protocol,
        score=samecar.score,
    )


def copied(folder: Path, to: Path) -> Path:
    """A copy of something that was saved, which the test may change."""
    return Path(shutil.copytree(folder, to / folder.name))


def same(ours: object, theirs: object, tolerance: float = 1e-6) -> None:
    """Checks that two pieces of JSON agree."""
    sides = (without_later_lines(json.loads(json.dumps(side))) for side in (ours, theirs))
    assert fixed.differences(*sides, tolerance) == []


INTERVALS = {"intervals", "interval", "confidence"}
"""Came from a bootstrap, which was too narrow."""

RUNTIME = "runtime"
"""Is said since a model may be run by several."""

PREVIEW = "preview"
"""Is said since galleries may keep larger pictures."""


def without_later_lines(content: object) -> object:
    """Without intervals, and what cards did not say: that nothing is known of weights, and how neighbours are taken."""
    if isinstance(content, list):
        return [without_later_lines(item) for item in content]
    if isinstance(content, str):
        return content.partition("; of equally near neighbours")[0]
    if not isinstance(content, dict):
        return content
    kept = {name: value for name, value in content.items() if (name, value) != ("initial_weights", "not stated")}
    return {
        name: without_later_lines(value) for name, value in kept.items() if name not in {*INTERVALS, RUNTIME, PREVIEW}
    }


def as_before(recipe: samecar.Recipe) -> samecar.Recipe:
    """A recipe with the networks that the report's recipes had."""
    model = recipe.model
    changed = {"initialisation": "kaiming", "batch_norm_epsilon": None, "batch_norm_momentum": None}
    if model.weights.startswith(("torchvision:", "timm:")):
        changed["weights"] = "imagenet"
    if model.backbone == "legacy_seresnext50_32x4d":
        changed["backbone"] = "seresnext50_32x4d"
    if model.fusion == "global-chain":
        changed["fusion"] = "global"
    return recipe.model_copy(update={"model": model.model_copy(update=changed)})


# runs


def test_an_interrupted_run_is_taken_up_again(tmp_path, unpacked, told):
    folder = copied(unpacked / "interrupted", tmp_path)
    assert len(samecar.Run.open(folder).metrics()) == 2
    command = ("train", unpacked / "recipe.toml", "--data", fixed.source(unpacked), "--out", folder)
    done(*command, "--resume", *HERE)
    run, expected = samecar.Run.open(folder), told["resumed"]
    facts = run.model_facts()
    settings = ModelSettings.model_validate(expected["facts"].pop("model"))  # options that came later at their default
    assert ModelSettings.model_validate(facts.pop("model")) == settings
    assert facts == expected["facts"]
    *before, last = run.metrics()
    *expected_before, expected_last = expected["metrics"]
    assert before == expected_before
    assert last.keys() == expected_last.keys()
    for name in ("epoch", "learning_rate", "unreadable"):
        assert last[name] == expected_last[name]
    for name in ("loss", "cross_entropy", "triplet"):
        assert last[name] == pytest.approx(expected_last[name], rel=1e-3)
    assert last["accuracy"] == pytest.approx(expected_last["accuracy"], abs=1 / 16)
    (evaluation,) = (run.folder / "evaluations").glob("*.json")
    assert evaluation.name in expected["evaluations"]
    score = expected["evaluations"][evaluation.name]["mAP"]
    assert json.loads(evaluation.read_text())["mAP"] == pytest.approx(score, abs=0.05)


def test_a_finished_run_is_what_it_was(unpacked, told):
    run = samecar.Run.open(unpacked / "finished")
    assert run.recipe.title == "Saved before"
    assert (run.model_digest(), run.recipe.digest) == (told["finished"]["model"], told["finished"]["recipe"])
    assert samecar.bound_model(run, on=samecar.machine("cpu", 0)).digest == told["finished"]["model"]
    assert len(run.metrics()) == 2


@pytest.mark.parametrize("options", [(), ("--distance", "cosine", "--flip")])
def test_a_finished_run_is_evaluated_the_same(options, tmp_path, unpacked):
    run = copied(unpacked / "finished", tmp_path)
    saved = {path.name: path.read_text() for path in (run / "evaluations").iterdir()}
    done("evaluate", run, "--data", fixed.source(unpacked), *options, *HERE)
    found = {path.name: path.read_text() for path in (run / "evaluations").iterdir()}
    assert found.keys() == saved.keys()
    for name in found:
        if name.endswith(".json"):
            same(json.loads(found[name]), json.loads(saved[name]), 1e-4)
        else:
            assert found[name] == saved[name]


def test_a_finished_run_embeds_the_same(tmp_path, unpacked):
    done("embed", unpacked / "finished", fixed.source(unpacked), "-o", tmp_path / "now.npz", *HERE)
    now, before = (samecar.Embeddings.load(path) for path in (tmp_path / "now.npz", unpacked / "embeddings.npz"))
    assert now.model == before.model
    assert now.manifest.digest == before.manifest.digest
    assert list(now.manifest.path) == list(before.manifest.path)
    np.testing.assert_allclose(now.matrix, before.matrix, rtol=0, atol=1e-5 * np.abs(before.matrix).max())


def test_a_calibration_means_the_same(unpacked, told):
    calibration = samecar.Calibration.from_json((unpacked / "finished" / "calibration.json").read_text())
    expected = told["finished"]["calibration"]
    similarities = np.array(expected["similarities"])
    same(calibration.probability(similarities).tolist(), expected["probabilities"])
    same(calibration.probability(similarities, prior=0.01).tolist(), expected["probabilities of one in a hundred"])
    same([calibration.open_set_threshold(size) for size in expected["sizes"]], expected["thresholds"])
    same(calibration.same_threshold, expected["same"])


def test_pictures_compare_the_same(unpacked, told):
    run, pictures = samecar.Run.open(unpacked / "finished"), dict(fixed.asked_pictures(unpacked))
    for names, expected in told["finished"]["compared"].items():
        first, second = names.split()
        same(vars(samecar.compare(pictures[first], pictures[second], run)), expected, 1e-5)


# scores


@pytest.mark.parametrize("name", fixed.SCORED)
def test_embeddings_are_scored_the_same(name, tmp_path, unpacked):
    sides = ("--query", unpacked / "embeddings.npz", "--gallery", unpacked / "embeddings.npz")
    done("score", *sides, *fixed.SCORED[name], "--out", tmp_path / f"{name}.json")
    saved = unpacked / "scores" / f"{name}.json"
    same(json.loads((tmp_path / saved.name).read_text()), json.loads(saved.read_text()))
    assert (tmp_path / f"{name}.queries.csv").read_text() == (unpacked / "scores" / f"{name}.queries.csv").read_text()


def test_saved_scores_compare_the_same(unpacked, told):
    paths = (unpacked / "scores" / "plain.json", unpacked / "scores" / "rerank.json")
    same(json.loads(done("compare-runs", *paths, "--json")), told["compared"])


# galleries


@pytest.mark.parametrize("kind", KINDS)
def test_a_gallery_is_what_it_was_and_finds_what_it_found(kind, unpacked, told):
    folder, expected = unpacked / "galleries" / kind, told["galleries"][kind]
    info = json.loads(done("gallery", "info", folder, "--json"))
    assert "runtime" not in info  # which is noted of galleries of now
    assert info["preview"] == 0
    same(info, expected["info"])
    asked, found = dict(fixed.asked_pictures(unpacked)), {}
    with samecar.Gallery.open(str(folder), device="cpu") as gallery:
        assert gallery.check() == []
        same([fixed.described(entry) for entry in gallery.engine.listed()], expected["entries"])
        same([fixed.judged(word) for word in gallery.engine.judgements(pictures=True)], expected["judgements"])
        assert fixed.thumbnails(gallery) == expected["thumbnails"]
        for name, conditions in fixed.ASKED.items():
            allowed = Filter(**conditions)
            found |= {f"{picture}, {name}": fixed.asked(gallery, path, allowed) for picture, path in asked.items()}
            found[f"id:2, {name}"] = fixed.answered(gallery.search_like(2, 5, allowed))
    same(in_decimals(found), in_decimals(expected["found"]), 1e-5)


def in_decimals(found: dict) -> dict:
    """The same answers with numbers in place of their hexadecimal digits."""
    return {
        name: {
            **answer,
            "found": [[number, *map(float.fromhex, values)] for number, *values in answer["found"]],
            "threshold": float.fromhex(answer["threshold"]),
        }
        for name, answer in found.items()
    }


def test_the_command_finds_it_too(unpacked, told):
    (name, path), *_ = fixed.asked_pictures(unpacked)
    out = done("search", unpacked / "galleries" / "exact", path, "--top", 5, "--device", "cpu", "--json")
    expected = told["galleries"]["exact"]["found"][f"{name}, everything"]
    assert [result["id"] for result in json.loads(out)["results"]] == [number for number, *_ in expected["found"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_gallery_takes_in_more(kind, tmp_path, unpacked):
    folder = copied(unpacked / "galleries" / kind, tmp_path)
    (_, path), *_ = fixed.asked_pictures(unpacked)
    said = done("gallery", "add", folder, path, "--camera", "new", "--device", "cpu")
    assert "1 pictures added, 0 known already" in said
    with samecar.Gallery.open(str(folder), device="cpu") as gallery:
        best = fixed.asked(gallery, path, Filter(cameras=("new",)))["found"][0]
        assert best[0] == 73
        assert float.fromhex(best[1]) == pytest.approx(1, abs=0.01)
        assert gallery.check() == []


# recipes


BETTER_NOW = ("demo", "small-set")
"""Recipes that were changed; a run of what they were goes on with `train --resume` without a recipe."""


def test_recipes_have_the_digests_that_they_had_but_for_the_networks_of_the_report(told):
    recipes = {name: samecar.load_recipe(name) for name in shipped_recipes()}
    known = told["reproduced"]["recipes"]
    before = {name: known[name] for name in known if name not in BETTER_NOW}
    assert {name: as_before(recipes[name]).digest for name in before} == before
    unchanged = {name for name in before if recipes[name].digest == before[name]}
    assert unchanged == {name for name in before if not name.startswith("report-")}


@pytest.mark.parametrize("name", ["nominal", "as run"])
def test_rows_of_the_report_are_the_runs_that_they_were_but_for_their_networks(name, told):
    choices = Choices(seeds=(3,), as_run=name == "as run")
    digests = {
        row: as_before(choices.recipe(row)).digest
        for run in plan_runs(choices, all_rows(), Path("out"))
        for row in run.rows
    }
    assert len(digests) == 46
    assert digests == {row: names[name]["digest"] for row, names in told["reproduced"]["rows"].items()}


# numbers


def test_numbers_are_what_they_were(numbers, unpacked):
    found = fixed.computed(numbers)
    with np.load(unpacked / "numbers.npz") as file:
        saved = dict(file)
    assert sorted(saved) == sorted(found)
    for numbers_of_one_time in (found, saved):
        order_equal_matches(numbers_of_one_time)
    for name, expected in saved.items():
        assert (found[name].shape, found[name].dtype) == (expected.shape, expected.dtype), name
        if expected.dtype.kind == "f":
            largest = np.abs(expected).max()
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6 * largest, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], expected, err_msg=name)


def order_equal_matches(content: dict[str, np.ndarray]) -> None:
    """Puts a query's matches of the same rank and distance in the order of their rows, which no promise fixes."""
    for distance in ("euclidean", "cosine"):
        starts, rows, distances = (content[f"{distance} matches {name}"] for name in ("starts", "rows", "distances"))
        queries = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        content[f"{distance} matches rows"] = rows[np.lexsort((rows, distances.round(5), queries))]


def test_scores_are_what_they_were_under_every_protocol(numbers, told):
    """A vehicle called -1 counted as one; here it has another name, and `market`, which knows it, stands apart."""

    def labels(vehicle_id, **columns):
        return Labels(vehicle_id=np.where(vehicle_id == "-1", "!1", vehicle_id), **columns)

    found = fixed.scored(numbers._replace(Labels=labels))
    same(
        {name: scores for name, scores in found.items() if not name.startswith("market")},
        {name: scores for name, scores in told["scored"].items() if not name.startswith("market")},
    )


# drawn pictures


@pytest.fixture(scope="module")
def to_the_byte(told) -> bool:
    """Whether drawn pictures must be the same bytes: other processors and libraries may round a last bit otherwise."""
    return fixed.drawn_with() == told["drawn with"]


@pytest.mark.parametrize("name", fixed.VEHICLES)
def test_a_vehicle_is_drawn_the_same(name, unpacked, told, to_the_byte):
    picture = samecar.draw_vehicle(**fixed.VEHICLES[name])
    look_the_same(picture, unpacked / "drawn" / f"{name}.png")
    if to_the_byte:
        assert fixed.digest_of(picture.tobytes()) == told["drawn"]["vehicles"][name]


def test_a_set_is_drawn_the_same(tmp_path, unpacked, told, to_the_byte):
    options = [part for name, value in fixed.DRAWN.items() for part in (f"--{name}", value)]
    done("draw", tmp_path / "set", *options)
    saved, expected = unpacked / "drawn" / "set", dict(told["drawn"]["files"])
    digests = {name: fixed.digest_of(path.read_bytes()) for name, path in fixed.files_of(tmp_path / "set").items()}
    assert digests.keys() == expected.keys()
    card, saved_card = (json.loads((folder / "drawn.json").read_text()) for folder in (tmp_path / "set", saved))
    assert {**card, "drawn_by": ""} == {**saved_card, "drawn_by": ""}  # the renderer's own name may change
    for name in digests.keys() - {"drawn.json"}:
        if name.endswith(".jpg"):
            look_the_same(Image.open(tmp_path / "set" / name), saved / name)
        if to_the_byte or not name.endswith(".jpg"):
            assert digests[name] == expected[name], name


def look_the_same(picture: Image.Image, saved: Path) -> None:
    """Checks that a picture is a saved one but for rounding."""
    ours, theirs = (np.asarray(one).astype(np.float64) for one in (picture, Image.open(saved)))
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 0.5
