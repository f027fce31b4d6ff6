"""An approximate index is made of pictures and measured on them, or what is amiss with it is said."""

import json
from contextlib import closing

import pytest
from command_line import done, refused, run
from conftest import paint_picture

from samecar.retrieval.places import open_engine
from samecar.retrieval.records import IndexSettings

NOT_MEASURED = "how many of the nearest it finds was not measured"


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Twelve pictures, of which three lie in a folder of their own."""
    folder = tmp_path_factory.mktemp("crops")
    for vehicle in range(6):
        for camera in range(2):
            few = "few" if vehicle < 1 or (vehicle, camera) == (1, 0) else "rest"
            paint_picture(folder / few / f"v{vehicle}_c{camera}.png", vehicle, camera, 0)
    return folder


@pytest.fixture
def gallery(tmp_path, trained):
    """The path of an empty gallery."""
    done("gallery", "create", tmp_path / "gallery", "--run", trained)
    return tmp_path / "gallery"


def index_of(gallery):
    return json.loads(done("gallery", "info", gallery, "--json"))["index"]


def test_a_new_gallery_is_exact_and_offers_no_other_index(gallery, trained, tmp_path):
    assert index_of(gallery)["kind"] == "exact"
    said = refused("gallery", "create", tmp_path / "new", "--run", trained, "--index", "int8")
    assert said.startswith("no such option: --index")
    said = refused("gallery", "copy", gallery, tmp_path / "new", "--index", "hnsw")
    assert said == "a gallery in a folder has no index 'hnsw'; known are exact, int8, ivf"
    assert not (tmp_path / "new").exists()


def test_a_copy_is_measured_when_it_is_full(gallery, crops, tmp_path):
    copy = tmp_path / "copy"
    assert "has no index 'magic'" in refused("gallery", "copy", gallery, copy, "--index", "magic")
    assert not copy.exists()
    done("gallery", "add", gallery, crops)
    counted, stated = done("gallery", "copy", gallery, copy, "--index", "ivf").splitlines()
    assert counted == f"{copy}: 12 pictures copied"
    assert stated.startswith(f"{copy}: ivf search, which finds ")
    settings = index_of(copy)
    assert (settings["kind"], settings["measured_on"], settings["pictures"]) == ("ivf", 12, 12)
    assert settings["recall"] > 0
    done("gallery", "copy", gallery, copy, "--resume")
    assert index_of(copy) == settings


def test_an_outgrown_index_is_called_so(gallery, crops):
    done("gallery", "add", gallery, crops / "few")
    done("gallery", "index", gallery, "int8")
    assert run("gallery", "info", gallery).errors == ""
    assert index_of(gallery)["pictures"] == 3
    said = (
        "warning: make the index int8 anew: it was made of 3 pictures, and the gallery holds 12; run `samecar gallery "
        f"index {gallery} int8`\n"
    )
    assert run("gallery", "add", gallery, crops / "rest").errors == said
    assert run("gallery", "info", gallery).errors == said
    done("gallery", "index", gallery, "int8")
    assert run("gallery", "info", gallery).errors == ""
    assert run("gallery", "add", gallery, crops / "rest").errors == ""


def test_an_index_that_was_not_measured_is_called_so(gallery, crops):
    said = done("gallery", "index", gallery, "ivf")
    assert said == f"{gallery}: ivf search; {NOT_MEASURED}\n"
    for command in (("info", gallery), ("add", gallery, crops)):
        finished = run("gallery", *command)
        advice = f"run `samecar gallery index {gallery} ivf`"
        assert finished.errors == f"warning: make the index ivf anew: {NOT_MEASURED}; {advice}\n"
    with closing(open_engine(str(gallery))) as engine:
        assert engine.facts.index == IndexSettings(kind="ivf")
