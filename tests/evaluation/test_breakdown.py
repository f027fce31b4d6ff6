"""Scores of parts of a test set against scoring these parts alone."""

import numpy as np
import pytest

from samecar.embedding.embeddings import Embeddings
from samecar.evaluation import find_protocol, score
from samecar.labels import Labels

PLAIN = find_protocol("plain")


def pictures(generator, count):
    vehicles = generator.integers(6, size=count)
    labels = Labels(
        vehicles.astype(str),
        generator.choice(["c1", "c2", "c3"], size=count),
        type=np.array(["suv", "van"])[vehicles % 2],
        colour=generator.choice(["", "red"], size=count),
    )
    return Embeddings(generator.normal(size=(count, 4)).astype(np.float32), labels)


@pytest.fixture
def sides():
    generator = np.random.default_rng(4)
    return pictures(generator, 40), pictures(generator, 90)


def test_a_label_is_scored_as_its_queries_alone(sides):
    query, gallery = sides
    evaluation = score(query, gallery, PLAIN)
    for name, labels in (("type", query.labels.type), ("colour", query.labels.colour)):
        assert [row.group for row in evaluation.tables[name]] == [(label or "unknown",) for label in np.unique(labels)]
        for row in evaluation.tables[name]:
            label = row.group[0].replace("unknown", "")
            alone = score(query.select(np.flatnonzero(labels == label)), gallery, PLAIN)
            assert row.queries == alone.card.queries_scored
            assert row.scores["mAP"] == pytest.approx(alone.mean_average_precision)
            assert row.scores["rank-1"] == pytest.approx(alone.cmc[1])


def test_a_camera_pair_is_scored_as_if_other_cameras_had_not_seen_the_vehicle(sides):
    query, gallery = sides
    table = {row.group: row for row in score(query, gallery, PLAIN).tables["camera pair"]}
    assert set(table) == {(one, other) for one in ("c1", "c2", "c3") for other in ("c1", "c2", "c3") if one != other}
    for (asked, found), row in table.items():
        precisions, firsts = [], []
        for embedding, vehicle, camera in zip(
            query.matrix, query.labels.vehicle_id, query.labels.camera_id, strict=True
        ):
            same = gallery.labels.vehicle_id == vehicle
            kept = ~same | (gallery.labels.camera_id == found)
            if camera != asked or not (same & kept).any():
                continue
            squares = ((gallery.matrix[kept] - embedding) ** 2).sum(axis=1)
            hits = same[kept][np.argsort(squares)]
            places = np.flatnonzero(hits) + 1
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
            firsts.append(hits[0])
        assert row.queries == len(precisions)
        assert row.scores["mAP"] == pytest.approx(np.mean(precisions))
        assert row.scores["rank-1"] == pytest.approx(np.mean(firsts))


def test_two_known_cameras_are_enough_for_a_table(sides):
    query, gallery = (side.select(np.flatnonzero(side.labels.camera_id != "c3")) for side in sides)
    table = score(query, gallery, PLAIN).tables["camera pair"]
    assert [row.group for row in table] == [("c1", "c2"), ("c2", "c1")]


def test_there_are_no_tables_of_what_is_not_known(sides):
    bare = [Embeddings(side.matrix, Labels(side.labels.vehicle_id, np.full(len(side), ""))) for side in sides]
    assert score(*bare, PLAIN).tables == {}
