"""Galleries of real pictures and real films, made with the commands, as a user would make them.

The model is one that nobody trained on vehicles: ImageNet weights that come as a Python package.
"""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from command_line import done

from samecar.config import load_recipe
from samecar.data.pictures import read_picture
from samecar.experiment.train import initial_model
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.places import open_engine
from samecar.training import Run, RunData

pytestmark = pytest.mark.real_data

TIMES_CHANCE = 20
"""How much better than by chance vehicles must be found, at least."""

BATCH = 64


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("SAMECAR_TEST_DATA")
    if not folder:
        pytest.skip("set SAMECAR_TEST_DATA to a folder that holds two-camera, films and detector")
    return Path(folder)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A run folder whose model has ImageNet weights."""
    recipe = load_recipe("small-set")
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", recipe, RunData("none", "0" * 16, 6, ["a", "b"]))
    run.save_model(initial_model(recipe, 2), "model", epoch=0, epoch_choice="untrained")
    return run.folder


def test_vehicles_that_one_camera_saw_are_found_among_those_of_another(data, untrained, tmp_path):
    pictures = data / "two-camera" / "images" / "train"
    gallery = tmp_path / "second"
    done("gallery", "create", gallery, "--run", untrained)
    source = f"folder:{pictures}/{{vehicle_id}}_cam2.jpg"
    assert "507 pictures added" in done("gallery", "add", gallery, source, "--camera", "cam2")
    assert done("gallery", "check", gallery) == f"{gallery}: nothing is wrong\n"

    queries = sorted(pictures.glob("*_cam1.jpg"))
    assert len(queries) == 507
    right = []
    with Gallery.open(str(gallery)) as opened:
        for start in range(0, len(queries), BATCH):
            paths = queries[start : start + BATCH]
            answers = opened.search([read_picture(path) for path in paths], 1)
            best = [answer.found[0].entry.sighting for answer in answers]
            right += [sighting.vehicle_id == path.stem[:-5] for path, sighting in zip(paths, best, strict=True)]
    rank_1, chance = sum(right) / len(right), 1 / 507
    print(f"rank-1 of {len(right)} queries: {rank_1:.3f}, {rank_1 / chance:.0f} times chance")
    assert rank_1 >= TIMES_CHANCE * chance

    found = queries[right.index(True)]
    answer = json.loads(done("search", gallery, found, "--top", 5, "--json"))
    assert [answer["results"][0][name] for name in ("vehicle_id", "camera_id")] == [found.stem[:-5], "cam2"]


@pytest.mark.parametrize(
    ("name", "classes", "vehicles"),
    [
        ("ahmetozlu_input_video.mp4", "car,bus,truck", 8),
        ("intel_car-detection.mp4", "car,bus,truck,67", 4),  # seen from above, cars are taken for telephones
        ("udacity_test_video.mp4", "car,bus,truck", 2),
    ],
)
def test_a_film_is_ingested_once(name, classes, vehicles, data, untrained, tmp_path):
    gallery, crops = tmp_path / "gallery", tmp_path / "crops"
    done("gallery", "create", gallery, "--run", untrained)
    arguments = ("ingest", data / "films" / name, "--camera", "north", "--gallery", gallery)
    arguments += ("--detector", data / "detector" / "yolox_nano.onnx", "--classes", classes, "--json")
    first = json.loads(done(*arguments, "--crops", crops, "--draw", tmp_path / "drawn"))
    print(f"{name}: {first}")
    assert (first["added"], first["known"], first["warnings"]) == (vehicles, 0, [])
    with closing(open_engine(str(gallery))) as engine:
        sightings = [entry.sighting for entry in engine.listed()]
    assert len(sightings) == vehicles
    assert {Path(sighting.address) for sighting in sightings} == set(crops.glob("*-1.png"))
    assert len(list(crops.iterdir())) > vehicles
    assert len(list((tmp_path / "drawn").iterdir())) == pytest.approx(first["seconds"], abs=2)
    written = {path: path.stat().st_mtime_ns for path in crops.iterdir()}
    second = json.loads(done(*arguments, "--crops", crops))
    assert (second["added"], second["known"]) == (0, vehicles)
    assert {path: path.stat().st_mtime_ns for path in crops.iterdir()} == written
    answer = json.loads(done("search", gallery, sightings[0].address, "--json"))
    assert len(answer["results"]) == vehicles
    assert answer["results"][0]["address"] == sightings[0].address
