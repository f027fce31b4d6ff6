"""`samecar link`: journeys as labels, tables and a picture, and how well known vehicles are found."""

import csv
import json

import pytest
from command_line import done, refused
from road_galleries import additions_of, calibrated, make_gallery

from samecar.drawn.roads import RoadSettings, draw_sightings
from samecar.retrieval.engine import all_entries
from samecar.retrieval.gallery import Gallery

ROAD = RoadSettings(vehicles=90, cameras=4, noise=0.5, seed=8)


@pytest.fixture
def garage(tmp_path):
    """A folder with a calibrated gallery whose vehicles are known."""
    gallery = make_gallery(tmp_path / "garage", additions_of(draw_sightings(ROAD), named=True), calibrated(ROAD))
    gallery.close()
    return tmp_path / "garage"


def labels(garage):
    with Gallery.open(garage) as gallery:
        return {entry.id: entry.sighting.labels.get("journey") for entry in all_entries(gallery.engine)}


def test_a_gallery_is_linked_labelled_and_told_of(garage, tmp_path):
    told = json.loads(done("link", garage, "--out", tmp_path / "out", "--picture", tmp_path / "map.svg", "--json"))
    with (tmp_path / "out" / "journeys.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {int(row["id"]): row["journey"] for row in rows} == labels(garage)
    assert len({row["journey"] for row in rows}) == told["journeys"]
    assert told["pictures"] == told["sightings"] == told["searched"] == told["relabelled"] == len(rows)
    assert [name.rsplit("/", 1)[1] for name in told["written"]] == [
        *("journeys.csv", "travel_times.csv", "origin_destination.csv", "limits.csv", "map.svg")
    ]
    assert (tmp_path / "map.svg").read_text().count("<text") > 4
    again = done("link", garage)
    assert f"{told['pictures']} pictures, 0 searched with) make {told['journeys']:,} journeys" in again
    assert "Labels changed: 0" in again


def test_known_vehicles_say_how_well_they_are_found_and_nothing_is_labelled(garage):
    told = json.loads(done("link", garage, "--score", "--json"))
    assert set(told["scores"]) == {"pairwise", "b_cubed", "identity"}
    assert told["scores"]["identity"]["f1"] > 0.9
    assert set(labels(garage).values()) == {None}
    printed = done("link", garage, "--score")
    assert f"identities (IDF1): F1 {100 * told['scores']['identity']['f1']:.1f}" in printed


def test_tables_of_travel_times_are_taken_and_what_they_say_is_kept(garage, tmp_path):
    done("link", garage, "--out", tmp_path / "out", "--window", 1800)
    limits = tmp_path / "out" / "limits.csv"
    printed = done("link", garage, "--travel-times", limits, "--window", 1800)
    assert f"Travel times given: from camera to camera {len(limits.read_text().splitlines()) - 1}" in printed


def test_bad_input_is_a_sentence(garage, tmp_path):
    assert "no gallery" in refused("link", tmp_path / "absent")
    assert "--window is -1.0; give more than 0" in refused("link", garage, "--window", -1)
    assert "figure map.gif ends in .gif" in refused("link", garage, "--picture", "map.gif")
    sentence = refused("link", garage, "--travel-times", tmp_path / "absent.csv")
    assert sentence.startswith(f"table {tmp_path / 'absent.csv'} cannot be read")
    assert "--floor is 1.0; give" in refused("link", garage, "--floor", 1)


def test_a_score_needs_known_vehicles_and_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("samecar.linking.link", lambda *_, **__: pytest.fail("it was linked"))
    drawn = draw_sightings(ROAD)
    make_gallery(tmp_path / "garage", additions_of(drawn), calibrated(ROAD)).close()
    assert "no vehicle of the gallery is known by name" in refused("link", tmp_path / "garage", "--score")


def test_a_gallery_that_is_not_calibrated_is_refused_with_the_lines_to_type(tmp_path):
    make_gallery(tmp_path / "garage", additions_of(draw_sightings(ROAD)), None).close()
    assert f"`samecar gallery calibrate {tmp_path / 'garage'} --run RUN`" in refused("link", tmp_path / "garage")
