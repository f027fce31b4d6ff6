"""From embeddings to scores, against plain loops over sorted lists."""

import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from samecar.embedding.embeddings import FLIP, Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import Options, Provenance, Relevance, find_protocol, score, with_junk
from samecar.labels import Labels
from samecar.similarity import products
from samecar.similarity.counting import Work
from samecar.similarity.expansion import (
    AverageQueryExpansion,
    DatabaseAugmentation,
    average_query_expansion,
    database_augmentation,
)
from samecar.similarity.reranking import KReciprocal, k_reciprocal_distances

PLAIN, NO_JUNK, VEHICLE_ID = find_protocol("plain"), find_protocol("no-junk"), find_protocol("vehicleid")


def labelled(matrix, vehicles, cameras):
    return Embeddings(np.asarray(matrix, np.float32), Labels(np.array(vehicles, str), np.array(cameras, str)))


def rows_of(pictures):
    return zip(pictures.matrix.astype(np.float64), pictures.labels.vehicle_id, pictures.labels.camera_id, strict=True)


def naive_scores(query, gallery, *, junk=True):
    """mAP, mINP, CMC and skipped queries by sorting a list for each query."""
    precisions, penalties, firsts, skipped = [], [], [], 0
    for embedding, vehicle, camera in rows_of(query):
        listed = []
        for other, other_vehicle, other_camera in rows_of(gallery):
            same = vehicle == other_vehicle != ""
            if not (junk and same and camera == other_camera):
                listed.append((sum((embedding - other) ** 2), same))
        hits = [same for _, same in sorted(listed)]  # False sorts before True: a tie counts against the model
        if not any(hits):
            skipped += 1
            continue
        places = [place for place, hit in enumerate(hits, start=1) if hit]
        precisions.append(sum(found / place for found, place in enumerate(places, start=1)) / len(places))
        penalties.append(len(places) / places[-1])
        firsts.append(places[0])
    cmc = {rank: sum(first <= rank for first in firsts) / len(firsts) for rank in (1, 5, 10, 20)}
    return sum(precisions) / len(precisions), sum(penalties) / len(penalties), cmc, skipped


def assert_equal_scores(evaluation, expected):
    mean_average_precision, mean_inverse_negative_penalty, cmc, skipped = expected
    assert evaluation.mean_average_precision == pytest.approx(mean_average_precision)
    assert evaluation.mean_inverse_negative_penalty == pytest.approx(mean_inverse_negative_penalty)
    assert evaluation.cmc == pytest.approx(cmc)
    assert evaluation.card.queries_skipped == skipped


def random_problem(seed, queries=25, gallery=60, width=5, vehicles=7):
    generator = np.random.default_rng(seed)

    def pictures(count):
        return labelled(
            generator.normal(size=(count, width)),
            generator.integers(vehicles, size=count),
            generator.integers(3, size=count),
        )

    return pictures(queries), pictures(gallery)


def test_a_golden_matrix():
    # One number per picture; distances are differences.
    #
    #   gallery   g1     g2     g3     g4     g5     g6
    #   at        1      2      3      5      8      9
    #   vehicle   A      B      A      A      –      B
    #   camera    c1     c2     c2     c3     c1     c1
    #
    # Query 1: at 0, A from c1. g1 is junk. Order: g2 B, g3 A, g4 A, g5 –, g6 B.
    #   matches at 2, 3        AP = (1/2 + 2/3)/2 = 7/12     INP = 2/3    first 2
    # Query 2: at 10, B from c2. g2 is junk. Order: g6 B, g5 –, g4 A, g3 A, g1 A.
    #   match at 1             AP = 1                        INP = 1      first 1
    # Query 3: at 4, A from c4. No junk. Distances g1 3, g2 2, g3 1, g4 1, g5 4, g6 5.
    #   Order: g3 A, g4 A, g2 B, g1 A, g5 –, g6 B; matches at 1, 2, 4
    #                          AP = (1 + 1 + 3/4)/3 = 11/12  INP = 3/4    first 1
    # Query 4: at 0, C from c1: no match, skipped.
    #
    # mAP = (7/12 + 12/12 + 11/12)/3 = 30/36 = 5/6;  mINP = (8/12 + 12/12 + 9/12)/3 = 29/36;  rank-1 = 2/3.
    gallery = labelled(
        [[1], [2], [3], [5], [8], [9]], ["A", "B", "A", "A", "", "B"], ["c1", "c2", "c2", "c3", "c1", "c1"]
    )
    query = labelled([[0], [10], [4], [0]], ["A", "B", "A", "C"], ["c1", "c2", "c4", "c1"])
    evaluation = score(query, gallery, PLAIN)
    assert evaluation.mean_average_precision == pytest.approx(5 / 6)
    assert evaluation.mean_inverse_negative_penalty == pytest.approx(29 / 36)
    assert evaluation.cmc == pytest.approx({1: 2 / 3, 5: 1, 10: 1, 20: 1})
    np.testing.assert_allclose(evaluation.average_precisions, [7 / 12, 1, 11 / 12, np.nan])
    np.testing.assert_allclose(evaluation.cmc_curve, [2 / 3] + [1] * 19)
    assert (evaluation.card.queries_scored, evaluation.card.queries_skipped) == (3, 1)
    assert evaluation.card.gallery_pictures == 6
    assert evaluation.deviation == {}
    assert evaluation.drawn is None
    assert_equal_scores(evaluation, naive_scores(query, gallery))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("protocol", [PLAIN, NO_JUNK])
def test_scores_equal_plain_loops(seed, protocol):
    query, gallery = random_problem(seed)
    evaluation = score(query, gallery, protocol)
    assert_equal_scores(evaluation, naive_scores(query, gallery, junk=protocol is PLAIN))
    assert (np.diff(evaluation.cmc_curve) >= 0).all()
    assert {rank: evaluation.cmc_curve[rank - 1] for rank in evaluation.cmc} == evaluation.cmc


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_scores_with_ties_equal_plain_loops_in_any_gallery_order(seed, random):
    generator = np.random.default_rng(seed)

    def pictures(count):
        vehicles = generator.choice(["", "1", "2", "3"], size=count)
        return labelled(generator.integers(3, size=(count, 2)), vehicles, generator.integers(2, size=count))

    query, gallery = pictures(6), pictures(14)
    query = labelled([*query.matrix, [0, 0]], [*query.labels.vehicle_id, "9"], [*query.labels.camera_id, "7"])
    gallery = labelled([*gallery.matrix, [1, 1]], [*gallery.labels.vehicle_id, "9"], [*gallery.labels.camera_id, "8"])
    expected = naive_scores(query, gallery)
    assert_equal_scores(score(query, gallery, PLAIN), expected)
    order = np.array(random.sample(range(15), 15))
    moved = gallery.select(order)
    assert_equal_scores(score(query, moved, PLAIN), expected)


def test_average_precisions_equal_scikit_learn():
    query, gallery = random_problem(11)
    evaluation = score(query, gallery, NO_JUNK)
    distances = np.linalg.norm(query.matrix[:, None] - gallery.matrix, axis=-1)
    expected = [
        average_precision_score(gallery.labels.vehicle_id == vehicle, -row)
        for vehicle, row in zip(query.labels.vehicle_id, distances, strict=True)
    ]
    np.testing.assert_allclose(evaluation.average_precisions, expected)


def test_cosine_is_euclidean_on_unit_vectors():
    query, gallery = random_problem(3)
    units = [Embeddings(products.unit_length(side.matrix), side.labels) for side in (query, gallery)]
    cosine = score(query, gallery, PLAIN, distance="cosine")
    euclidean = score(*units, PLAIN)
    assert cosine.mean_average_precision == pytest.approx(euclidean.mean_average_precision)
    assert cosine.mean_average_precision != pytest.approx(score(query, gallery, PLAIN).mean_average_precision)
    assert cosine.card.distance == "cosine"


def test_chunks_do_not_matter(monkeypatch):
    query, gallery = random_problem(4)
    before = score(query, gallery, PLAIN).as_dict()
    monkeypatch.setattr(products, "CHUNK_ELEMENTS", 7 * 60)
    assert score(query, gallery, PLAIN).as_dict() == before


def test_nothing_is_written_into_the_inputs():
    query, gallery = random_problem(6)
    for side in (query, gallery):
        for array in (side.matrix, side.labels.vehicle_id, side.labels.camera_id):
            array.setflags(write=False)
    for protocol in (PLAIN, VEHICLE_ID):
        score(query, gallery, protocol, distance="cosine")


def test_an_ideal_encoder_scores_one():
    vehicles = np.repeat(np.arange(8), 6)
    cameras = np.tile(np.arange(3), 16)
    ideal = labelled(np.eye(8)[vehicles], vehicles, cameras)
    for protocol in (PLAIN, NO_JUNK, VEHICLE_ID):
        evaluation = score(ideal, ideal, protocol)
        assert evaluation.mean_average_precision == evaluation.mean_inverse_negative_penalty == 1
        assert set(evaluation.cmc.values()) == {1.0}


def test_a_collapsed_encoder_scores_the_worst():
    # 3 matches behind all 9 others: AP = (1/10 + 2/11 + 3/12) / 3, INP = 3/12.
    same = np.random.default_rng(0).normal(size=(1, 64))
    gallery = labelled(np.repeat(same, 12, axis=0), [1] * 3 + [2] * 9, range(12))
    evaluation = score(labelled(same, [1], [99]), gallery, PLAIN)
    assert evaluation.mean_average_precision == pytest.approx((1 / 10 + 2 / 11 + 3 / 12) / 3)
    assert evaluation.mean_inverse_negative_penalty == 0.25
    assert evaluation.cmc == {1: 0, 5: 0, 10: 1, 20: 1}


def test_a_random_encoder_scores_chance():
    # 20 vehicles, one picture from each of 5 cameras; a query's own picture is junk, which leaves 4 matches in 99.
    vehicles, cameras = np.repeat(np.arange(20), 5), np.tile(np.arange(5), 20)
    generator = np.random.default_rng(1)
    found = [
        score(side, side, PLAIN)
        for side in (labelled(generator.normal(size=(100, 16)), vehicles, cameras) for _ in range(8))
    ]
    simulated = []
    for _ in range(3000):
        places = sorted(generator.permutation(99)[:4] + 1)
        simulated.append(sum(count / place for count, place in enumerate(places, start=1)) / 4)
    assert np.mean([each.mean_average_precision for each in found]) == pytest.approx(np.mean(simulated), abs=0.012)
    assert np.mean([each.cmc[1] for each in found]) == pytest.approx(4 / 99, abs=0.02)
    missed = math.comb(95, 10) / math.comb(99, 10)
    assert np.mean([each.cmc[10] for each in found]) == pytest.approx(1 - missed, abs=0.05)


def test_without_the_junk_rule_a_query_finds_itself():
    """Every VeRi-776 query picture is in the gallery too: a random encoder would reach a rank-1 of 100 %."""
    gallery = random_problem(8, gallery=200, vehicles=20, width=32)[1]
    query = gallery.select(np.arange(0, len(gallery), 5))
    assert score(query, gallery, NO_JUNK).cmc[1] == 1
    assert score(query, gallery, find_protocol("veri776")).cmc[1] < 0.3


def test_skipped_queries_are_counted_and_change_no_score():
    query, gallery = random_problem(9)
    alone = labelled(np.zeros((3, 5)), ["not there", "", "junk only"], ["1", "1", "1"])
    more = labelled(
        np.concatenate([query.matrix, alone.matrix]),
        [*query.labels.vehicle_id, *alone.labels.vehicle_id],
        [*query.labels.camera_id, *alone.labels.camera_id],
    )
    seen = labelled(
        np.concatenate([gallery.matrix, [[1e3] * 5]]),
        [*gallery.labels.vehicle_id, "junk only"],
        [*gallery.labels.camera_id, "1"],
    )
    without, evaluation = score(query, gallery, PLAIN), score(more, seen, PLAIN)
    assert evaluation.mean_average_precision == pytest.approx(without.mean_average_precision)
    assert evaluation.cmc == pytest.approx(without.cmc)
    assert np.isnan(evaluation.average_precisions[-3:]).all()
    assert evaluation.card.queries_scored == without.card.queries_scored
    assert evaluation.card.queries_skipped == without.card.queries_skipped + 3


def test_distractors_make_it_harder_and_match_nothing():
    query, gallery = random_problem(10)
    crowd = labelled(
        np.concatenate([gallery.matrix, query.matrix]),
        [*gallery.labels.vehicle_id, *[""] * 25],
        [*gallery.labels.camera_id, *["9"] * 25],
    )
    evaluation = score(query, crowd, PLAIN)
    assert evaluation.cmc[1] == 0  # each query's own picture stands first, unlabelled
    assert_equal_scores(evaluation, naive_scores(query, crowd))


def pool(generator, vehicles=12, pictures=5, width=4):
    matrix = generator.normal(size=(vehicles * pictures, width))
    return labelled(matrix, np.repeat(np.arange(vehicles), pictures), np.zeros(vehicles * pictures, int))


def empty(width=4):
    return labelled(np.zeros((0, width)), [], [])


def test_vehicleid_draws_one_picture_of_each_vehicle():
    everything = pool(np.random.default_rng(0))
    evaluation = score(empty(), everything, VEHICLE_ID)
    query_rows, gallery_rows = evaluation.drawn
    vehicles = everything.labels.vehicle_id
    assert sorted(vehicles[gallery_rows]) == sorted(set(vehicles))
    assert sorted([*query_rows, *gallery_rows]) == list(range(60))
    assert (evaluation.card.queries_scored, evaluation.card.gallery_pictures) == (48, 12)
    assert evaluation.card.queries_skipped == 0
    assert (len(evaluation.queries.labels), sorted(set(evaluation.queries.draw))) == (480, list(range(10)))
    assert "one per vehicle" in evaluation.card.gallery_rule
    assert "10 draws" in evaluation.card.gallery_rule
    # With one match for each query, AP is 1/rank and so is INP.
    assert evaluation.mean_average_precision == pytest.approx(evaluation.mean_inverse_negative_penalty)


def test_vehicleid_scores_are_the_mean_of_its_draws_whoever_is_in_query_or_gallery():
    everything = pool(np.random.default_rng(1))
    evaluation = score(empty(), everything, VEHICLE_ID, seed=3)
    split = [everything.select(rows) for rows in (np.arange(20), np.arange(20, len(everything)))]
    assert score(*split, VEHICLE_ID, seed=3).as_dict() == evaluation.as_dict()
    means, galleries = [], set()
    for draws in range(1, 11):
        drawn = score(empty(), everything, dataclasses.replace(VEHICLE_ID, draws=draws), seed=3).drawn
        galleries.add(tuple(drawn[1]))
        sides = [everything.select(rows) for rows in drawn]
        means.append(naive_scores(*sides, junk=False))
    assert len(galleries) == 10
    assert evaluation.mean_average_precision == pytest.approx(np.mean([each[0] for each in means]))
    assert evaluation.cmc[1] == pytest.approx(np.mean([each[2][1] for each in means]))
    assert evaluation.deviation["rank-1"] == pytest.approx(np.std([each[2][1] for each in means]))
    assert set(evaluation.deviation) == {"mAP", "mINP", "rank-1", "rank-5", "rank-10", "rank-20"}


def test_vehicleid_draws_are_seeded():
    everything = pool(np.random.default_rng(2))
    first, again, other = (score(empty(), everything, VEHICLE_ID, seed=seed) for seed in (5, 5, 6))
    assert first.as_dict() == again.as_dict()
    assert first.drawn[1].tolist() == again.drawn[1].tolist() != other.drawn[1].tolist()


def test_vehicleid_keeps_unlabelled_pictures_as_distractors():
    everything = pool(np.random.default_rng(3))
    crowd = labelled(
        np.concatenate([everything.matrix, np.zeros((7, 4))]), [*everything.labels.vehicle_id, *[""] * 7], [0] * 67
    )
    evaluation = score(empty(), crowd, VEHICLE_ID)
    assert evaluation.card.gallery_pictures == 12 + 7
    assert (evaluation.card.queries_scored, evaluation.card.queries_skipped) == (48, 0)


def test_vehicleid_with_pools_of_different_width_is_refused():
    with pytest.raises(SamecarError, match="5 wide and gallery embeddings 4"):
        score(labelled(np.zeros((2, 5)), [1, 1], [1, 1]), pool(np.random.default_rng(0)), VEHICLE_ID)


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_score_is_refused(counts):
    sides = [labelled(np.zeros((count, 2)), ["1"] * count, ["1"] * count) for count in counts]
    with pytest.raises(SamecarError, match=rf"there are {counts[0]} query and {counts[1]} gallery pictures"):
        score(*sides, PLAIN)


def test_an_empty_pool_is_refused():
    with pytest.raises(SamecarError, match="both are needed"):
        score(empty(), empty(), VEHICLE_ID)


def test_a_data_set_without_matches_is_refused():
    query, gallery = labelled([[0]], ["1"], ["c1"]), labelled([[0], [1]], ["1", "2"], ["c1", "c2"])
    with pytest.raises(SamecarError, match=r"none of 1 queries has a match .* 'plain'"):
        score(query, gallery, PLAIN)


def test_as_many_labels_as_embeddings():
    with pytest.raises(SamecarError, match="3 embeddings have 2 labels; give one for each"):
        score(labelled(np.zeros((3, 1)), ["1", "2"], ["1", "1"]), labelled([[0]], ["1"], ["2"]), PLAIN)


def test_the_card_names_everything():
    query, gallery = random_problem(12)
    provenance = Provenance(
        data="veri776:VeRi",
        data_digest="d1",
        model="m1",
        side_information="times",
        epoch_choice="last epoch",
        seed=7,
    )
    evaluation = score(query, gallery, PLAIN, distance="cosine", provenance=provenance)
    assert dict(evaluation.card.lines()) == {
        "protocol": "plain",
        "data": "veri776:VeRi",
        "data digest": "d1",
        "model": "m1",
        "initial weights": "not stated",
        "junk rule": "same vehicle and same camera",
        "gallery rule": "all pictures",
        "distance": "cosine",
        "ties": "a picture that is as near as a match comes before it",
        "interpolation": "none",
        "precision": "float32, near ties decided in float64",
        "post processing": "none",
        "side information": "times",
        "epoch choice": "last epoch",
        "seed": "7",
        "confidence": "95 % over the choice of vehicles, with gallery and thresholds as they are",
        "queries scored": "25",
        "queries skipped": "0",
        "gallery pictures": "60",
        "published size": "–",
    }
    saved = json.loads(json.dumps(evaluation.as_dict()))
    assert saved["protocol"]["data_digest"] == "d1"
    assert saved["cmc"]["1"] == evaluation.cmc[1]
    assert dict(score(query, gallery, PLAIN).card.lines())["seed"] == "–"


EVERYTHING = Options(
    ranks=(3, 7),
    interpolation="trapezoid",
    database_augmentation=DatabaseAugmentation(2),
    query_expansion=AverageQueryExpansion(3),
    rerank=KReciprocal(6, 3, 0.4),
)


def test_the_card_names_all_that_was_applied():
    query, gallery = random_problem(13)
    provenance = Provenance(post_processing=(FLIP,))
    card = score(query, gallery, PLAIN, options=EVERYTHING, provenance=provenance).card
    assert card.post_processing == (
        "flip (mean with the mirrored picture); looks at one picture at a time; "
        "database-side augmentation (count 2); looks at the whole test set; "
        "average query expansion (count 3); looks at the whole test set; "
        "k-reciprocal re-ranking (k1 6, k2 3, lambda_value 0.4); looks at the whole test set"
    )
    assert card.interpolation == "trapezoid"
    for step in ("database_augmentation", "query_expansion", "rerank"):
        one = dataclasses.replace(Options(), **{step: getattr(EVERYTHING, step)})
        assert score(query, gallery, PLAIN, options=one).card.post_processing == getattr(EVERYTHING, step).describe()
    assert score(query, gallery, PLAIN, options=Options(work=Work("float64"))).card.precision == "float64"
    assert score(query, gallery, with_junk(PLAIN, "none")).card.junk_rule == "none"
    veri = score(query, gallery, find_protocol("veri776")).card
    assert veri.published_size == "1,678 queries, 11,579 gallery pictures, not as here"


def test_each_step_changes_the_scores_as_when_it_is_done_by_hand():
    query, gallery = random_problem(14)
    moved = dataclasses.replace(gallery, matrix=database_augmentation(gallery.matrix, 2))
    asked = dataclasses.replace(query, matrix=average_query_expansion(query.matrix, moved.matrix, 3))
    both = dataclasses.replace(EVERYTHING, rerank=None, interpolation="none")
    by_hand = score(asked, moved, PLAIN)
    assert score(query, gallery, PLAIN, options=both).mean_average_precision == by_hand.mean_average_precision
    reranked = score(query, gallery, PLAIN, options=Options(rerank=KReciprocal(6, 3, 0.4)))
    distances = np.concatenate(
        [rows for _, rows in k_reciprocal_distances(query.matrix, gallery.matrix, k1=6, k2=3, lambda_value=0.4)]
    )
    relevance = Relevance(query.labels, gallery.labels, PLAIN)(slice(None))
    expected = [
        average_precision_score(relevant[relevant != 0] == 1, -row[relevant != 0])
        for row, relevant in zip(distances, relevance, strict=True)
        if (relevant == 1).any()
    ]
    assert reranked.mean_average_precision == pytest.approx(np.mean(expected))


def test_cmc_is_told_at_any_rank():
    query, gallery = random_problem(15)
    evaluation = score(query, gallery, PLAIN, options=Options(ranks=(40, 3)))
    assert list(evaluation.cmc) == [1, 3, 40]
    assert len(evaluation.cmc_curve) == 40
    for ranks in ((), (0, 1)):
        with pytest.raises(SamecarError, match="give ranks from 1, such as 1,5,10"):
            Options(ranks=ranks)


@pytest.mark.parametrize("kind", ["euclidean", "cosine"])
def test_float64_and_float32_agree(kind):
    query, gallery = random_problem(16, queries=40, gallery=300, width=64)
    found = [
        score(query, gallery, PLAIN, distance=kind, options=Options(work=Work(precision, threads=threads)))
        for precision, threads in (("float32", 1), ("float32", 2), ("float64", 2))
    ]
    assert len({evaluation.mean_average_precision for evaluation in found}) == 1
    assert len({tuple(evaluation.cmc.values()) for evaluation in found}) == 1


def test_images_are_scored_against_tracks():
    query, gallery = random_problem(17, queries=30, gallery=80)
    names = np.char.add(gallery.labels.vehicle_id, gallery.labels.camera_id)
    gallery = dataclasses.replace(gallery, rows=dataclasses.replace(gallery.labels, track_id=names))
    evaluation = score(query, gallery, find_protocol("veri776-track"))
    precisions = []
    for embedding, vehicle, camera in zip(query.matrix, query.labels.vehicle_id, query.labels.camera_id, strict=True):
        squares = ((gallery.matrix - embedding) ** 2).sum(axis=1)
        listed = sorted(
            (min(squares[names == track]), track == f"{vehicle}{other}")
            for track in set(names)
            for other in [track[-1]]
            if track != f"{vehicle}{camera}"
        )
        places = [place for place, (_, hit) in enumerate(listed, start=1) if hit]
        if places:
            precisions.append(np.mean([found / place for found, place in enumerate(places, start=1)]))
    assert evaluation.mean_average_precision == pytest.approx(np.mean(precisions))
    assert evaluation.card.gallery_rule == "all tracks"
    with pytest.raises(SamecarError, match="re-ranking is defined for pictures"):
        score(query, gallery, find_protocol("veri776-track"), options=Options(rerank=KReciprocal()))


def test_where_no_track_is_known_none_is_ranked():
    with pytest.raises(SamecarError, match="'veri776-track' ranks tracks, and no gallery picture has a track_id"):
        score(*random_problem(17, queries=30, gallery=80), find_protocol("veri776-track"))


def test_a_seed_below_nought_is_refused():
    with pytest.raises(SamecarError, match="seed is -1; give a whole number, 0 or more"):
        score(*random_problem(17, queries=30, gallery=80), find_protocol("vehicleid"), seed=-1)


def test_each_query_and_each_pair_is_in_the_result():
    query, gallery = random_problem(18)
    evaluation = score(query, gallery, PLAIN)
    metrics = evaluation.queries.metrics
    np.testing.assert_array_equal(metrics["mAP"].values, evaluation.average_precisions)
    assert metrics["mINP"].mean == evaluation.mean_inverse_negative_penalty
    assert metrics["rank-5"].mean == evaluation.cmc[5]
    for rate, point in evaluation.verification.items():
        assert metrics[f"TPR@FPR={rate:g}"].mean == pytest.approx(point.true_positive_rate)
    assert set(evaluation.intervals) == {"mAP", "mINP", *(f"rank-{rank}" for rank in (1, 5, 10, 20))} | {
        f"TPR@FPR={rate:g}" for rate in evaluation.verification
    }
    low, high = evaluation.intervals["mAP"]
    assert low < evaluation.mean_average_precision < high


def veri776_problem(folder, width=128):
    """The real lists with seeded embeddings that are correlated within a vehicle."""
    generator = np.random.default_rng(776)
    centres = {}
    sides = []
    for name in ("name_query.txt", "name_test.txt"):
        parts = [line.split("_") for line in (folder / name).read_text().split()]
        for part in parts:
            centres.setdefault(part[0], generator.normal(size=width))
        matrix = np.stack([centres[part[0]] for part in parts]) + 3 * generator.normal(size=(len(parts), width))
        sides.append(labelled(matrix, [part[0] for part in parts], [part[1] for part in parts]))
    return sides


@pytest.mark.real_data
def test_veri776_scores_equal_brute_force_over_its_own_lists():
    folder = Path(os.environ.get("SAMECAR_TEST_DATA", "")) / "veri776-lists"
    if not folder.is_dir():
        pytest.skip("set SAMECAR_TEST_DATA to a folder that holds veri776-lists")
    query, gallery = veri776_problem(folder)
    lists = [
        [np.array(line.split(), int) - 1 for line in (folder / name).read_text().splitlines()]
        for name in ("gt_index.txt", "jk_index.txt")
    ]
    precisions, penalties, firsts = [], [], []
    exact = gallery.matrix.astype(np.float64)
    for embedding, matches, junk in zip(query.matrix.astype(np.float64), *lists, strict=True):
        squares = ((exact - embedding) ** 2).sum(axis=1)
        squares[junk] = np.inf
        hit = np.zeros(len(exact), bool)
        hit[matches] = True
        places = np.flatnonzero(hit[np.lexsort((hit, squares))]) + 1
        precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
        penalties.append(len(places) / places[-1])
        firsts.append(places[0])
    for precision in ("float32", "float64"):
        evaluation = score(query, gallery, find_protocol("veri776"), options=Options(work=Work(precision)))
        assert evaluation.mean_average_precision == pytest.approx(np.mean(precisions), abs=1e-9)
        assert evaluation.mean_inverse_negative_penalty == pytest.approx(np.mean(penalties), abs=1e-9)
        for rank, share in evaluation.cmc.items():
            assert share == pytest.approx(np.mean(np.array(firsts) <= rank), abs=1e-9)
        assert evaluation.card.published_size.endswith("as here")


@pytest.mark.real_data
def test_vehicleid_sizes_are_those_that_papers_state():
    folder = Path(os.environ.get("SAMECAR_TEST_DATA", "")) / "vehicleid-lists"
    if not folder.is_dir():
        pytest.skip("set SAMECAR_TEST_DATA to a folder that holds vehicleid-lists")
    vehicles = [line.split()[1] for line in (folder / "test_list_800.txt").read_text().splitlines()]
    matrix = np.random.default_rng(0).normal(size=(len(vehicles), 4))
    evaluation = score(empty(), labelled(matrix, vehicles, [""] * len(vehicles)), VEHICLE_ID)
    assert (evaluation.card.queries_scored, evaluation.card.gallery_pictures) == (5693, 800)
    assert evaluation.cmc[1] < 0.02


@pytest.mark.parametrize("protocol", [PLAIN, NO_JUNK, VEHICLE_ID])
def test_a_picture_in_queries_and_gallery_is_scored_as_if_it_were_taken_out(protocol):
    """Each vehicle has one picture that is query and gallery, and so its own nearest, and one other."""
    generator = np.random.default_rng(8)
    matrix, vehicles = generator.normal(size=(12, 4)), np.arange(12).astype(str)
    paths = np.array([f"{vehicle}.jpg" for vehicle in vehicles])
    own = Labels(vehicles, np.full(12, ""), path=paths)
    query = Embeddings(matrix, own)
    with pytest.raises(SamecarError, match=r"none of .* queries has a match"):
        score(query, query, protocol)
    others = Labels(vehicles, np.full(12, ""), path=np.char.add("other-", paths))
    gallery = Embeddings(np.concatenate([matrix, generator.normal(size=(12, 4))]), Labels.concatenate([own, others]))
    if protocol is not VEHICLE_ID:  # which draws its gallery from both
        found = score(query, gallery, protocol)
        ranks = []
        for row, embedding in enumerate(matrix):
            squares = ((gallery.matrix - embedding) ** 2).sum(axis=1)
            wrong = np.delete(squares, [row, row + 12])
            ranks.append(1 + (wrong <= squares[row + 12]).sum())
        assert found.mean_average_precision == pytest.approx(np.mean(1 / np.array(ranks)))
        assert found.cmc[1] == np.mean(np.array(ranks) == 1)


def test_the_card_says_how_ties_among_neighbours_fall():
    pictures = labelled(np.eye(6), [1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 3])
    expanded = score(pictures, pictures, PLAIN, options=Options(query_expansion=AverageQueryExpansion(2)))
    assert expanded.card.ties.endswith("those first in the order of queries and gallery are taken")
    assert score(pictures, pictures, PLAIN).card.ties == "a picture that is as near as a match comes before it"


@pytest.mark.parametrize(
    "steps", [{"query_expansion": AverageQueryExpansion(3)}, {"database_augmentation": DatabaseAugmentation(3)}]
)
def test_a_collapsed_model_scores_the_worst_with_expansion_too(steps):
    vehicles, cameras = np.repeat(np.arange(8), 3), np.tile([1, 2, 3], 8)
    pictures = labelled(np.full((24, 5), 0.1), vehicles, cameras)
    worst = score(pictures, pictures, PLAIN).mean_average_precision
    assert worst == pytest.approx((1 / 22 + 2 / 23) / 2)  # 21 pictures of others come before both matches
    assert score(pictures, pictures, PLAIN, options=Options(**steps)).mean_average_precision == worst


def test_the_accepted_share_of_a_query_counts_by_its_matches():
    """One match, of which one is accepted; two matches, of which one is; none."""

    def side(places, vehicles):
        names = np.array(vehicles)
        return Embeddings(np.array(places, float)[:, None], Labels(names, np.full(len(names), "")))

    queries, gallery = side([0, 100, 200], ["a", "b", "c"]), side([1, 101, 250, 150], ["a", "b", "b", "d"])
    shares = score(queries, gallery, PLAIN).queries.metrics["TPR@FPR=0.0001"]
    np.testing.assert_array_equal(shares.values, [1, 0.5, np.nan])
    assert shares.mean == pytest.approx(2 / 3)
