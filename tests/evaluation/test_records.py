"""Embeddings from files, saved scores, and runs compared."""

import csv
import json

import numpy as np
import pytest

from samecar.data import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.reading import read_split
from samecar.errors import SamecarError
from samecar.evaluation import find_protocol, score
from samecar.evaluation.records import SavedQueries, compare_runs, save_evaluation
from samecar.evaluation.results import provenance_of
from samecar.labels import Labels

PLAIN = find_protocol("plain")


def rows(count, seed=0, vehicles=8):
    generator = np.random.default_rng(seed)
    return {
        "embeddings": generator.normal(size=(count, 5)).astype(np.float32),
        "vehicle_id": generator.integers(vehicles, size=count),
        "camera_id": generator.choice(["c1", "c2"], size=count),
        "path": np.array([f"{place}.jpg" for place in range(count)]),
    }


def written(file, **columns):
    np.savez(file, **columns)
    return file


def test_an_npz_holds_embeddings_and_labels(tmp_path):
    given = rows(9)
    side = read_split(written(tmp_path / "q.npz", **given), "query")
    np.testing.assert_array_equal(side.matrix, given["embeddings"])
    assert side.labels.vehicle_id.tolist() == [str(vehicle) for vehicle in given["vehicle_id"]]
    assert side.labels.path.tolist() == given["path"].tolist()
    assert set(side.labels.colour.tolist()) == {""}


def test_one_file_may_hold_queries_and_gallery(tmp_path):
    given = rows(6) | {"split": np.array(["query", "gallery", "train"] * 2), "vehicle_id": np.array([b"a"] * 6)}
    path = written(tmp_path / "all.npz", **given)
    assert read_split(path, "gallery").labels.path.tolist() == ["1.jpg", "4.jpg"]
    assert read_split(path, "query").labels.vehicle_id.tolist() == ["a", "a"]
    path = written(tmp_path / "some.npz", **given | {"split": np.array(["train"] * 6)})
    with pytest.raises(SamecarError, match="no row of split 'query'; its splits are 'train'"):
        read_split(path, "query")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_has_its_embeddings_beside_it(tmp_path, suffix):
    given = rows(7)
    lines = [
        {"path": path, "vehicle_id": str(vehicle), "camera_id": camera, "split": "gallery", "colour": "red"}
        for path, vehicle, camera in zip(given["path"], given["vehicle_id"], given["camera_id"], strict=True)
    ]
    Manifest.from_rows(tmp_path, lines).write(tmp_path / f"g{suffix}")
    with pytest.raises(SamecarError, match=r"has no embeddings; put g.npy beside it"):
        read_split(tmp_path / f"g{suffix}", "gallery")
    np.save(tmp_path / "g.npy", given["embeddings"])
    for name in (f"g{suffix}", "g.npy"):
        side = read_split(tmp_path / name, "gallery")
        np.testing.assert_array_equal(side.matrix, given["embeddings"])
        assert side.labels.colour.tolist() == ["red"] * 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera_id": None}, "lacks camera_id; it needs embeddings, vehicle_id, camera_id"),
        ({"vehicle_id": np.arange(4)}, r"vehicle_id of shape \(4,\) for 5 embeddings"),
        ({"vehicle_id": np.arange(5) / 2}, "vehicle_id of type float64; give texts or whole numbers"),
        ({"embeddings": np.zeros(5)}, r"embeddings of shape \(5,\)"),
        ({"path": np.array([None] * 5)}, "cannot be read as .npz"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, changes, message):
    given = {name: value for name, value in (rows(5) | changes).items() if value is not None}
    with pytest.raises(SamecarError, match=message):
        read_split(written(tmp_path / "q.npz", **given), "query")


def test_what_is_no_file_of_embeddings_is_refused(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    np.save(tmp_path / "alone.npy", np.zeros((1, 1)))
    for name, message in {
        "absent.npz": "is not there",
        "broken.npz": "cannot be read as .npz",
        "alone.npy": "put alone.csv or alone.parquet beside it",
        "q.txt": "give .npz, .npy, .csv or .parquet",
    }.items():
        with pytest.raises(SamecarError, match=message):
            read_split(tmp_path / name, "query")


def test_the_card_says_which_model_made_the_embeddings(tmp_path):
    paths = [
        written(tmp_path / f"{name}.npz", **rows(5), model=np.array(model))
        for name, model in (("a", "m1"), ("b", "m1 with flip"), ("c", "m1 with flip"))
    ]
    sides = [read_split(path, "query") for path in paths]
    with pytest.raises(SamecarError, match=r"was made by model m1 and .* by m1 with flip; embed both anew"):
        provenance_of((paths[0], paths[1]), (sides[0], sides[1]))
    found = provenance_of((paths[1], paths[2]), (sides[1], sides[2]))
    assert found.model == "m1 with flip"
    assert "flip" in found.post_processing[0]
    assert found.data == "b.npz against c.npz"


def evaluation(noise, seed=0, queries=60):
    generator = np.random.default_rng(7)
    centres = generator.normal(size=(15, 8))
    parts = []
    for count in (queries, 150):
        vehicles = generator.integers(15, size=count)
        labels = Labels(
            vehicles.astype(str),
            generator.choice(["c1", "c2"], size=count),
            path=np.array([f"{place}.jpg" for place in range(count)]),
        )
        parts.append((centres[vehicles], labels))
    generator = np.random.default_rng(seed)
    sides = [Embeddings(centre + noise * generator.normal(size=centre.shape), labels) for centre, labels in parts]
    return score(*sides, PLAIN)


def test_what_is_saved_is_what_was_scored(tmp_path):
    scored = evaluation(1.0)
    save_evaluation(scored, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(scored.as_dict()))
    with (tmp_path / "a.queries.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["average_precision"]) for line in lines] == scored.average_precisions.tolist()
    assert [line["path"] for line in lines] == [f"{place}.jpg" for place in range(60)]
    with pytest.raises(SamecarError, match="give a name that ends so"):
        save_evaluation(scored, tmp_path / "a.txt")


def test_queries_without_paths_are_saved_by_their_number(tmp_path):
    side = Embeddings(np.eye(3), Labels(np.array(["a", "b", "c"]), np.array(["", "", ""])))
    save_evaluation(score(side, side, PLAIN), tmp_path / "a.json")
    with (tmp_path / "a.queries.csv").open(newline="") as file:
        assert [line["path"] for line in csv.DictReader(file)] == ["query 0", "query 1", "query 2"]


def test_spreadsheets_execute_no_name_among_saved_queries_and_runs_are_paired_all_the_same(tmp_path):
    paths = np.array(["=1+1.jpg", "@a.jpg", "c.jpg"])
    side = Embeddings(np.eye(3), Labels(np.array(["-a", "b", "c"]), np.array(["", "", ""]), path=paths))
    gallery = Embeddings(np.eye(3), Labels(np.array(["-a", "b", "c"]), np.array(["", "", ""])))
    save_evaluation(score(side, gallery, PLAIN), tmp_path / "a.json")
    with (tmp_path / "a.queries.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["path"] for line in lines] == ["'=1+1.jpg", "'@a.jpg", "c.jpg"]
    assert lines[0]["vehicle_id"] == "'-a"
    assert [path for _, path in SavedQueries.read([tmp_path / "a.json"]).keys] == sorted(paths.tolist())


def test_runs_are_told_apart_and_equal_ones_are_not(tmp_path):
    for name, noise, seed in (("good", 0.6, 0), ("bad", 2.5, 1), ("same", 0.6, 0)):
        save_evaluation(evaluation(noise, seed), tmp_path / name / "evaluations" / "plain.json")
    (found,) = compare_runs(tmp_path / "bad", tmp_path / "good")
    assert (found.queries, found.left_out) == (60, 0)
    assert found.metrics["mAP"].p_value < 0.01
    assert found.metrics["mAP"].difference > 0
    (found,) = compare_runs(tmp_path / "good", tmp_path / "same")
    assert {each.p_value for each in found.metrics.values()} == {1.0}
    assert found.differences == {}
    json.dumps(found.as_dict())


def test_a_file_of_scores_is_compared_with_that_of_its_name_in_a_run(tmp_path):
    save_evaluation(evaluation(1.0), tmp_path / "run" / "evaluations" / "plain.json")
    save_evaluation(evaluation(2.0), tmp_path / "run" / "evaluations" / "other.json")
    save_evaluation(evaluation(1.0), tmp_path / "plain.json")
    for pair in ((tmp_path / "plain.json", tmp_path / "run"), (tmp_path / "run", tmp_path / "plain.json")):
        (found,) = compare_runs(*pair)
        assert (found.name, found.queries, found.metrics["mAP"].difference) == ("plain", 60, 0)


def test_runs_without_a_common_query_are_refused(tmp_path):
    for name in ("a", "b"):
        save_evaluation(evaluation(1.0), tmp_path / f"{name}.json")
    queries = tmp_path / "b.queries.csv"
    queries.write_text(queries.read_text().replace(".jpg", ".png"))
    with pytest.raises(SamecarError, match="have no scored query in common; score both on the same pictures"):
        compare_runs(tmp_path / "a.json", tmp_path / "b.json")


def test_queries_are_paired_by_their_path(tmp_path):
    save_evaluation(evaluation(1.0), tmp_path / "a.json")
    text = (tmp_path / "a.queries.csv").read_text().splitlines(keepends=True)
    (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text())
    (tmp_path / "b.queries.csv").write_text(text[0] + "".join(reversed(text[3:])))
    (found,) = compare_runs(tmp_path / "a.json", tmp_path / "b.json")
    assert (found.queries, found.left_out) == (58, 2)
    assert found.metrics["mAP"].difference == 0


def test_runs_without_anything_in_common_are_refused(tmp_path):
    for run, name in (("a", "veri776"), ("b", "plain")):
        save_evaluation(evaluation(1.0), tmp_path / run / "evaluations" / f"{name}.json")
    with pytest.raises(SamecarError, match=r"no evaluation in common \(the one has veri776.json, the other plain.json"):
        compare_runs(tmp_path / "a", tmp_path / "b")
    with pytest.raises(SamecarError, match="holds no evaluations"):
        compare_runs(tmp_path / "a", tmp_path)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(SamecarError, match=r"has no c.queries.csv beside it"):
        compare_runs(tmp_path / "c.json", tmp_path / "c.json")


def test_queries_of_several_evaluations_have_the_mean_of_their_values(tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, seed in zip(files, (0, 1), strict=True):
        save_evaluation(evaluation(1.5, seed), file)
    saved = SavedQueries.read(files)
    tables = [list(csv.DictReader(file.with_suffix(".queries.csv").open())) for file in files]
    expected = {
        (first["draw"], first["path"]): (float(first["average_precision"]) + float(second["average_precision"])) / 2
        for first, second in zip(*tables, strict=True)
    }
    assert dict(zip(saved.keys, saved.metrics["mAP"].values.tolist(), strict=True)) == pytest.approx(expected)
    few = saved.select(saved.keys[:7])
    assert few.keys == saved.keys[:7]
    assert few.vehicle_id.tolist() == saved.vehicle_id[:7].tolist()
    assert saved.compare(few)["mAP"].difference == 0


def test_intervals_of_saved_queries_are_those_of_their_evaluation(tmp_path):
    scored = evaluation(1.5)
    save_evaluation(scored, tmp_path / "a.json")
    found = SavedQueries.read([tmp_path / "a.json"]).intervals()
    assert list(found) == ["mAP", "mINP", "rank-1", "rank-5"]
    for name, interval in found.items():
        assert interval == pytest.approx(scored.intervals[name])


def test_runs_that_were_scored_by_other_matches_are_told_apart(tmp_path):
    """As where one of them counted a picture as a match of itself."""
    save_evaluation(evaluation(1.0), tmp_path / "a.json")
    (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text())
    with (tmp_path / "a.queries.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    total = sum(int(line["matches"]) for line in lines)
    lines[0]["matches"] = str(int(lines[0]["matches"]) + 1)
    with (tmp_path / "b.queries.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    (found,) = compare_runs(tmp_path / "a.json", tmp_path / "b.json")
    assert found.differences == {"matches of these queries": (str(total), str(total + 1))}


def test_pictures_of_two_folders_are_two_pictures_though_their_names_are_equal(tmp_path):
    given = rows(4)
    here = read_split(written(tmp_path / "q.npz", **given, root=np.array("/sets/first")), "query")
    there = read_split(written(tmp_path / "g.npz", **given, root=np.array("/sets/second")), "gallery")
    again = read_split(written(tmp_path / "a.npz", **given, root=np.array("/sets/second/../first")), "gallery")
    assert here.labels.picture.tolist() == [f"/sets/first/{place}.jpg" for place in range(4)]
    assert not set(here.labels.picture.tolist()) & set(there.labels.picture.tolist())
    assert again.labels.picture.tolist() == here.labels.picture.tolist()
    named = read_split(written(tmp_path / "n.npz", **given, picture=np.array(["x", "x", "y", "z"])), "query")
    assert named.labels.picture.tolist() == ["x", "x", "y", "z"]
    assert read_split(written(tmp_path / "p.npz", **given), "query").labels.picture.tolist() == given["path"].tolist()
