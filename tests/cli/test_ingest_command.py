import json
from pathlib import Path

import pytest
from command_line import done, refused
from film_making import paint_vehicle, red_detector, road, write_film
from tiny_run import tiny_run

from samecar.experiment.embed import bound_model
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.times import parse_time


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A film of a red car, a detector that finds it, and the model of a gallery."""
    folder = tmp_path_factory.mktemp("ingest")
    pictures = [road(128, 256) for _ in range(20)]
    for i, picture in enumerate(pictures):
        paint_vehicle(picture, "car", 20 + 8 * i, 60)
    write_film(folder / "yard.mov", pictures)
    red_detector(folder / "red.onnx")
    with Gallery.create(str(folder / "gallery"), bound_model(tiny_run(folder / "run"))):
        return folder


@pytest.fixture
def arguments(place, monkeypatch):
    monkeypatch.chdir(place)
    return ["ingest", "yard.mov", "--camera", "yard", "--gallery", "gallery", "--detector", "red.onnx"]


def replaced(arguments, option, value):
    """The arguments with this value for an option, which they may have or not."""
    if option not in arguments:
        return [*arguments, option, value]
    place = arguments.index(option) + 1
    return [*arguments[:place], value, *arguments[place + 1 :]]


def test_a_film_is_ingested_and_again_adds_nothing(arguments, place):
    out = done(
        *arguments,
        "--minimum-size",
        24,
        "--workers",
        2,
        "--device",
        "cpu",
        "--start",
        "2026-11-20T07:30:00",
        "--crops",
        "crops",
        "--draw",
        "drawn",
    )
    assert out.splitlines() == [
        "yard.mov: 10 frames of 1.9 seconds; vehicles followed: 1",
        "gallery: 1 added, 0 known already",
    ]
    report = json.loads(done(*arguments, "--minimum-size", 24, "--json"))
    assert (report["tracks"], report["added"], report["known"], report["warnings"]) == (1, 0, 1, [])
    with Gallery.open("gallery") as gallery:
        (entry,) = gallery.engine.listed()
    assert 0 <= entry.sighting.time - parse_time("2026-11-20T07:30:00Z") < 2
    assert entry.sighting.labels["type"] == "car"
    assert Path(entry.sighting.address).parent == place / "crops"
    assert Path(entry.sighting.address).is_file()
    assert (place / "drawn" / "yard-00001.00.png").is_file()


def test_a_film_is_ingested_into_a_gallery_on_a_server(arguments, postgres):
    on_server = ("--engine", postgres.address(postgres.new_database()))
    done("gallery", "create", "north", "--run", "run", *on_server)
    ingest = [*replaced(arguments, "--gallery", "north"), "--minimum-size", 24, "--json", *on_server]
    added = [json.loads(done(*ingest))["added"] for _ in range(2)]
    assert added == [1, 0]
    facts = json.loads(done("gallery", "info", "north", "--json", *on_server))
    assert [camera["camera_id"] for camera in facts["cameras"]] == ["yard"]


def test_what_is_left_out_is_told(arguments):
    assert "left out because always cut off, or smaller than 40 pixels: 1" in done(*arguments, "--minimum-size", 40)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["--detector", "none.onnx"], "detector none.onnx is not there"),
        (["--detector", "yard.mov"], "detector yard.mov is not an ONNX network"),
        (["--classes", "car,tank"], "--classes 'tank' is not a class of detector red.onnx"),
        (["--classes", "car,"], "--classes '' is not a class"),
        (["--frames-per-second", "0"], "--frames-per-second is 0.0; give a number from 0.1 to 120"),
        (["--minimum-confidence", "1.5"], "--minimum-confidence is 1.5; give a number above 0 and below 1"),
        (["--pool", "0"], "--pool is 0; give a number from 1"),
        (["--start", "yesterday"], "time 'yesterday' cannot be understood"),
        (["--camera", ""], "--camera is empty"),
        (["--gallery", "elsewhere"], "elsewhere"),
    ],
)
def test_bad_input_is_one_sentence(arguments, changes, sentence):
    assert sentence in refused(*replaced(arguments, *changes))


def test_a_film_that_is_none_is_one_sentence(arguments):
    assert "film red.onnx cannot be opened" in refused(arguments[0], "red.onnx", *arguments[2:])
    assert "film none.mov is not there" in refused(arguments[0], "none.mov", *arguments[2:])


def test_without_a_detector_the_option_is_named(arguments):
    assert "--detector" in refused(*arguments[:-2])
