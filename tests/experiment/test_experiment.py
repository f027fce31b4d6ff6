import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from torch import nn

from samecar.config import load_recipe
from samecar.data import Manifest, open_source
from samecar.embedding.embeddings import FLIP, Embeddings
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation import Options, default_protocol, find_protocol, with_junk
from samecar.evaluation.records import compare_runs
from samecar.evaluation.test_sets import is_test_set, of_test, protocol_of, refuse_unscorable
from samecar.experiment.embed import embed_with
from samecar.experiment.evaluate import (
    evaluate,
    score_run,
    score_splits,
    telling_results,
    trained_vehicles,
)
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.preprocessing import Preprocessing
from samecar.similarity.expansion import AverageQueryExpansion
from samecar.similarity.reranking import KReciprocal

HERE = machine("cpu", 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory, painted_source):
    recipe = load_recipe("report-baseline", TINY)
    return train(recipe, painted_source, tmp_path_factory.mktemp("runs") / "run", on=HERE)


@pytest.fixture(scope="module")
def manifest(painted_source):
    return open_source(painted_source)


def rows(*pictures, source="csv"):
    """A manifest of (split, vehicle, camera)."""
    names = ("split", "vehicle_id", "camera_id")
    content = [dict(zip(names, row, strict=True), path=f"{number}.jpg") for number, row in enumerate(pictures)]
    return Manifest.from_rows(".", content, source=source)


# machines


def test_a_machine_is_chosen(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64), raising=False)
    assert machine() == machine("auto", 64)
    assert machine().device == machine("cpu", 64).device == torch.device("cpu")
    assert machine("cpu", 0).workers == 0
    with pytest.raises(SamecarError, match="torch finds no GPU here; use auto or cpu"):
        machine("cuda")
    with pytest.raises(SamecarError, match="device is 'cuda:1' but torch finds no GPU here; use auto or cpu"):
        machine("cuda:1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(3))
    assert machine().workers == machine("cuda", 3).workers == 3
    assert machine().device == machine("cuda").device == torch.device("cuda")


# from pictures to scores


class Oracle(nn.Module):
    """An encoder that knows each picture's vehicle, or nothing at all."""

    preprocessing = Preprocessing(8, 8, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor(matrix, dtype=torch.float32))
        self.embedding_size = self.matrix.shape[1]
        self.given = 0

    def forward(self, pictures):
        rows = self.matrix[self.given : self.given + len(pictures)]
        self.given += len(pictures)
        return rows


def scores_of(matrix, manifest):
    embeddings = embed(Oracle(matrix), of_test(manifest))
    return score_splits(embeddings, protocol_of(manifest))


def test_an_ideal_encoder_scores_one(manifest):
    vehicles = np.unique(of_test(manifest).vehicle_id, return_inverse=True)[1]
    scores = scores_of(np.eye(4)[vehicles], manifest)
    assert scores.mean_average_precision == scores.mean_inverse_negative_penalty == scores.cmc[1] == 1
    assert scores.card.queries_scored == 8


def test_a_random_encoder_scores_chance(manifest):
    generator = np.random.default_rng(0)
    drawn = [scores_of(generator.normal(size=(32, 16)), manifest) for _ in range(60)]
    chance = 3 / 21  # each query has 3 matches among 24 gallery pictures less 3 that are junk
    assert np.mean([scores.cmc[1] for scores in drawn]) == pytest.approx(chance, abs=0.04)


def test_a_trained_network_beats_the_same_one_untrained_and_chance(painted_source, manifest, tmp_path):
    changes = ["training.epochs=12", "augmentation.translation=0", "schedule.decay=none", "training.seed=3"]
    recipe = load_recipe("report-baseline", [*TINY, *changes])
    untrained = score_splits(embed(initial_model(recipe, 8), of_test(manifest)), protocol_of(manifest))
    trained = evaluate(train(recipe, painted_source, tmp_path / "run", on=HERE), painted_source, on=HERE)
    assert trained.mean_average_precision >= untrained.mean_average_precision
    assert trained.mean_average_precision > 0.9
    assert trained.card.epoch_choice == "last epoch"


def test_the_initial_model_is_the_one_that_training_begins_with(run):
    same, other = (initial_model(replace_seed(run.recipe, seed), 8).state_dict() for seed in (1, 2))
    again = initial_model(run.recipe, 8).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in same.items())
    assert not all(torch.equal(tensor, again[name]) for name, tensor in other.items())


def replace_seed(recipe, seed):
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": seed})})


# what an evaluation leaves behind


def test_an_evaluation_is_saved_with_its_card_and_a_report(run, painted_source, manifest):
    evaluation = evaluate(run, painted_source, on=HERE)
    card = evaluation.card
    assert card.model == run.model_digest()
    assert card.data_digest == of_test(manifest).digest
    assert (card.protocol, card.distance, card.seed, card.epoch_choice) == ("plain", "euclidean", 1, "last epoch")
    path = run.folder / "evaluations" / f"folder-plain-euclidean-{card.data_digest}.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(evaluation.as_dict()))
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert card.data_digest in page
    assert "same vehicle and same camera" in page


def test_the_card_tells_models_and_data_apart(run, manifest):
    fewer = manifest.select(np.flatnonzero(manifest.vehicle_id != "v11"))
    assert evaluate(run, fewer, on=HERE).card.data_digest != evaluate(run, manifest, on=HERE).card.data_digest
    weights = (run.folder / "model" / "model.safetensors").read_bytes()
    assert run.model_digest() == hashlib.sha256(weights).hexdigest()[:16]


def test_scores_of_before_training_stand_in_the_report(run, painted_source, manifest):
    embeddings = embed(initial_model(run.recipe, 8), of_test(manifest))
    untrained = score_splits(embeddings, protocol_of(manifest))
    evaluate(run, painted_source, untrained=untrained, on=HERE)
    assert "before training" in (run.folder / "report.html").read_text(encoding="utf-8").lower()


def test_other_rules_and_distances_may_be_given(run, painted_source):
    evaluation = evaluate(run, painted_source, protocol=find_protocol("no-junk"), distance="cosine", on=HERE)
    assert evaluation.cmc[1] == 1  # every query is in the gallery too
    assert (evaluation.card.junk_rule, evaluation.card.distance) == ("none", "cosine")


def test_embeddings_of_a_run_carry_its_digest(run, painted_source, manifest):
    embeddings = embed_with(run, painted_source, on=HERE)
    assert embeddings.model == run.model_digest()
    assert embeddings.manifest.digest == manifest.digest
    test = evaluate(run, manifest, on=HERE)
    again = score_splits(Embeddings(embeddings.matrix, embeddings.manifest, ""), protocol_of(manifest))
    assert again.mean_average_precision == pytest.approx(test.mean_average_precision)


# which rules, and whether they can be applied


def test_test_pictures_are_those_that_are_not_for_training(manifest):
    assert of_test(manifest).split_counts == {"train": 0, "query": 8, "gallery": 24}
    with pytest.raises(SamecarError, match="has no query and gallery pictures; `samecar data split` makes some"):
        of_test(manifest.of_split("train"))


def test_sets_without_cameras_and_queries_are_scored_as_vehicleid():
    drawn = rows(("gallery", "a", ""), ("gallery", "a", ""), ("train", "b", ""))
    assert protocol_of(drawn).name == "vehicleid"
    assert protocol_of(replace(drawn, source="vehicleid_1600")).name == "vehicleid"
    assert protocol_of(rows(("gallery", "a", "1"), ("gallery", "a", "2"))).name == "plain"
    assert protocol_of(rows(("gallery", "a", ""), ("query", "a", ""))).name == "plain"
    assert protocol_of(rows(("query", "a", "1"), source="veri776")) == default_protocol("veri776")


def test_a_test_set_has_what_its_protocol_scores(manifest):
    assert is_test_set(manifest)
    assert not is_test_set(manifest.of_split("train"))
    assert not is_test_set(manifest.of_split("gallery"))
    assert is_test_set(rows(("gallery", "a", ""), ("gallery", "a", "")))


@pytest.mark.parametrize(
    ("pictures", "protocol", "sentence"),
    [
        ([("query", "a", "1")], "plain", "has 1 query and 0 gallery pictures; protocol 'plain' needs both"),
        ([("gallery", "a", "1")], "veri776", "has 0 query and 1 gallery pictures; protocol 'veri776' needs both"),
        ([("query", "a", "1"), ("gallery", "a", "1")], "plain", "none of 1 queries .* under protocol 'plain'"),
        ([("query", "a", "1"), ("gallery", "b", "2")], "no-junk", "none of 1 queries"),
        ([("query", "", "1"), ("gallery", "", "2")], "plain", "none of 1 queries"),
        ([("gallery", "a", ""), ("gallery", "b", "")], "vehicleid", "no test vehicle .* has two pictures"),
        ([("gallery", "", ""), ("gallery", "", "")], "vehicleid", "no test vehicle .* has two pictures"),
    ],
)
def test_what_cannot_be_scored_is_refused(pictures, protocol, sentence):
    with pytest.raises(SamecarError, match=sentence):
        refuse_unscorable(rows(*pictures), find_protocol(protocol))


def test_what_can_be_scored_is_not_refused(manifest):
    refuse_unscorable(manifest, protocol_of(manifest))
    refuse_unscorable(rows(("gallery", "a", ""), ("query", "a", "")), find_protocol("vehicleid"))
    refuse_unscorable(rows(("query", "b", "1"), ("query", "a", "1"), ("gallery", "a", "2")), find_protocol("plain"))


def test_vehicles_that_a_run_was_trained_on_are_counted(run, manifest):
    assert trained_vehicles(run, manifest) == 0
    swapped = replace(manifest, split=np.where(manifest.split == "train", "gallery", "train"))
    assert trained_vehicles(run, swapped) == 8


def test_a_model_is_scored_before_its_pictures_are_looked_at(run, painted_source, monkeypatch):
    monkeypatch.setattr("samecar.embedding.networks.embed", None)
    with pytest.raises(SamecarError, match="no query and gallery pictures"):
        evaluate(run, open_source(painted_source).of_split("train"), on=HERE)


def test_a_relative_folder_has_a_name_too(run, painted_folder, monkeypatch):
    monkeypatch.chdir(painted_folder)
    source = "folder:{split}/{vehicle_id}_{camera_id}_*.png"
    assert evaluate(run, source, on=HERE).card.data == f"folder:{painted_folder.name}"


def test_the_card_of_an_evaluation_names_all_that_was_applied(run, manifest):
    usual = evaluate(run, manifest, on=HERE)
    options = Options(rerank=KReciprocal(4, 2, 0.3), query_expansion=AverageQueryExpansion(2), ranks=(2,))
    rules = with_junk(protocol_of(manifest), "none")
    changed = evaluate(run, manifest, options=options, flip=True, protocol=rules, on=HERE)
    assert usual.card.post_processing == "none"
    assert changed.card.post_processing == "; ".join(
        [FLIP, *(step.describe() for step in (options.query_expansion, options.rerank))]
    )
    assert changed.card.junk_rule == "none"
    assert set(changed.cmc) == {1, 2}
    saved = {suffix: len(list((run.folder / "evaluations").glob(f"*{suffix}"))) for suffix in (".json", ".queries.csv")}
    assert saved[".json"] == saved[".queries.csv"] >= 2
    (itself, *_) = compare_runs(run.folder, run.folder)
    assert itself.metrics["mAP"].p_value == 1


# a run scored for figures


@pytest.fixture
def without_cameras(manifest):
    """A set of gallery pictures alone, of which nobody says who took them."""
    gallery = manifest.of_split("gallery")
    return replace(gallery, camera_id=np.full(len(gallery), ""))


def test_figures_are_drawn_of_the_scores_that_evaluate_gives(run, manifest, without_cameras):
    for data, name in ((manifest, "plain"), (without_cameras, "vehicleid")):
        scored = score_run(run, data, on=HERE)
        assert scored.protocol.name == name
        assert scored.evaluation.as_dict() == evaluate(run, data, on=HERE).as_dict()
        assert len(scored.query) == len(scored.evaluation.average_precisions)


def test_a_set_without_cameras_has_all_that_figures_show(run, without_cameras):
    scored = score_run(run, without_cameras, on=HERE)
    assert sorted(scored.gallery.labels.vehicle_id) == ["v08", "v09", "v10", "v11"]  # one picture of each is drawn
    assert len(scored.query) == len(without_cameras) - 4
    assert len(scored.pictures()) == len(without_cameras)
    ranked = scored.ranked(None, 4)
    assert [result.correct for result in ranked.results].count(True) == 1
    assert ranked.results[ranked.first_match - 1].correct
    assert len(telling_results(ranked)) == 2


def test_the_rows_of_a_drawn_gallery_are_those_of_its_pictures(run, without_cameras):
    scored = score_run(run, without_cameras, on=HERE)
    every = embed_with(run, without_cameras, on=HERE)
    rows = {path: row for row, path in enumerate(every.manifest.path)}
    for side in (scored.query, scored.gallery):
        np.testing.assert_array_equal(side.matrix, every.matrix[[rows[path] for path in side.manifest.path]])


def test_a_figure_of_a_set_with_one_scored_query_shows_that_query(run, manifest):
    gallery = manifest.of_split("gallery")
    lonely = gallery.vehicle_id == "v08"
    query = manifest.select(np.flatnonzero((manifest.split == "query") & np.isin(manifest.vehicle_id, ["v08", "v09"])))
    other = np.flatnonzero(gallery.vehicle_id == "v10")
    match = np.flatnonzero(lonely & (gallery.camera_id == "c0"))
    data = type(manifest).concatenate([query, gallery.select(np.concatenate([match[:1], other]))])
    scored = score_run(run, data, on=HERE)
    assert scored.evaluation.card.queries_scored == 1
    assert scored.ranked(None, 3).vehicle_id == "v08"


def test_what_cannot_be_scored_is_refused_before_it_is_embedded_for_a_figure(run, without_cameras, monkeypatch):
    monkeypatch.setattr("samecar.embedding.networks.embed", None)
    vehicles = np.arange(len(without_cameras)).astype(str)
    with pytest.raises(SamecarError, match=r"no test vehicle of .* has two pictures, query and match"):
        score_run(run, replace(without_cameras, vehicle_id=vehicles), on=HERE)


def test_scores_calibration_and_figures_embed_a_set_once(run, painted_source, tmp_path, monkeypatch):
    copied = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("embeddings"))
    embedded = []

    def counting(model, manifest, **options):
        embedded.append(len(manifest))
        return embed(model, manifest, **options)

    monkeypatch.setattr("samecar.embedding.networks.embed", counting)
    first = evaluate(copied, painted_source, on=HERE)
    again = score_run(copied, painted_source, on=HERE)
    assert len(embedded) == 1
    assert again.evaluation.as_dict() == first.as_dict()
    assert first.card.runtime == "torch, float32"
    evaluate(copied, painted_source, flip=True, on=HERE)
    assert len(embedded) == 2
    description = copied / "model" / "model.json"
    description.write_text(description.read_text().replace("report-baseline", "something else") + "\n")
    score_run(copied, painted_source, on=HERE)  # whatever the description says, it may decide an embedding
    assert len(embedded) == 3


def test_a_model_that_is_told_cameras_keeps_no_embeddings(painted_source, tmp_path):
    """They would be found again for pictures of the same bytes by other cameras."""
    recipe = load_recipe(
        "report-baseline",
        [*TINY, "model.backbone=test_vit", "model.height=160", "model.width=160", "model.side_information=camera"],
    )
    told = train(recipe, painted_source, tmp_path / "run", on=HERE)
    evaluate(told, painted_source, on=HERE)
    assert not (told.folder / "embeddings").exists()
