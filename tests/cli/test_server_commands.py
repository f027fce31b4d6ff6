"""The commands of galleries with `--engine`: on a PostgreSQL server they do what they do in a folder."""

import json
from contextlib import ExitStack

import pytest
from command_line import done, refused, run
from galleries import ask, served, wait_until
from starlette.testclient import TestClient

from samecar.data import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings


@pytest.fixture(scope="module")
def source(crops):
    return f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png"


@pytest.fixture
def address(postgres):
    """Of an empty database."""
    return postgres.address(postgres.new_database())


@pytest.fixture
def variable(address, monkeypatch):
    """Names the server in the environment."""
    monkeypatch.setenv("SAMECAR_ENGINE", address)


def information(*arguments):
    return json.loads(done("gallery", "info", *arguments, "--json"))


def found(*arguments):
    """Cameras, vehicles and rounded similarities of what a search finds."""
    results = json.loads(done("search", *arguments, "--json"))["results"]
    return [(result["camera_id"], result["vehicle_id"], round(result["similarity"], 2)) for result in results]


def test_a_gallery_on_a_server_from_its_making_to_its_copies(address, trained, crops, source, tmp_path):
    on_server = ("--engine", address)

    # made, filled, and filled again
    made = done("gallery", "create", "north", "--run", trained, *on_server)
    assert made.startswith("north: an empty gallery for model ")
    assert refused("gallery", "create", "north", "--run", trained, *on_server).startswith("gallery 'north' exists")
    add = ("gallery", "add", "north", source, "--time", "2024-05-01", "--label", "lane=2", *on_server)
    assert done(*add) == "north: 12 pictures added, 0 known already, 0 unreadable\n"
    assert done(*add) == "north: 0 pictures added, 12 known already, 0 unreadable\n"
    facts = information("north", *on_server)
    assert (facts["pictures"], facts["vehicles"], facts["judgements"]) == (12, 6, 0)
    assert [(camera["camera_id"], camera["pictures"]) for camera in facts["cameras"]] == [("c1", 6), ("c2", 6)]
    assert "12 pictures, 6 known vehicles" in done("gallery", "info", "north", *on_server)

    # searched and compared, as in a folder
    folder = tmp_path / "folder"
    done("gallery", "create", folder, "--run", trained)
    done("gallery", "add", folder, source, "--time", "2024-05-01", "--label", "lane=2")
    query = crops / "v3_c1.png"
    for options in (
        (),
        ("--camera", "c2", "--top", 3),
        ("--not-camera", "c1"),
        ("--after", "2024-05-02"),
        ("--before", "2024-05-02", "--label", "lane=2"),
        ("--label", "lane=3"),
    ):
        assert found("north", query, *options, *on_server) == found(folder, query, *options)
    assert found("north", query, "--top", 1, *on_server) == [("c1", "v3", 1.0)]
    assert len(found("north", "id:1", *on_server)) == 11
    assert "v3_c1.png" in done("search", "north", query, "--save", tmp_path / "found.png", *on_server)
    assert (tmp_path / "found.png").is_file()
    pair = ("compare", query, crops / "v3_c2.png", "--json")
    likeness = json.loads(done(*pair, "--gallery", "north", *on_server))
    assert likeness == json.loads(done(*pair, "--gallery", folder))

    # pictures removed, and the index made anew
    answer = json.loads(done("search", "north", query, "--top", 2, "--json", *on_server))
    first, second = (result["id"] for result in answer["results"])
    assert done("gallery", "remove", "north", "--id", first, "--id", second, *on_server) == (
        "north: 2 pictures removed\n"
    )
    assert found("north", query, "--top", 1, *on_server) != [("c1", "v3", 1.0)]
    indexed = done("gallery", "index", "north", "hnsw", *on_server)
    assert indexed.startswith("north: hnsw search, which finds ")
    assert information("north", *on_server)["index"]["kind"] == "hnsw"
    assert len(found("north", query, *on_server)) == 10
    assert done("gallery", "check", "north", *on_server) == "north: nothing is wrong\n"

    # written into files
    table, numbers = tmp_path / "north.csv", tmp_path / "north.npz"
    done("gallery", "export", "north", "-o", table, *on_server)
    done("gallery", "export", "north", "-o", numbers, *on_server)
    assert len(Manifest.read(table)) == 10
    assert Embeddings.load(numbers).model == information("north", *on_server)["model"]

    # copied out of the server, and into it again
    back = tmp_path / "back"
    assert done("gallery", "copy", "north", back, *on_server) == f"{back}: 10 pictures copied\n"
    assert done("gallery", "copy", back, "again", "--to-engine", address) == "again: 10 pictures copied\n"
    assert done("gallery", "copy", "again", "third", *on_server, "--to-engine", address) == (
        "third: 10 pictures copied\n"
    )
    expected = found("north", query, *on_server)
    assert found(back, query) == found("again", query, *on_server) == found("third", query, *on_server) == expected
    assert done("gallery", "check", back) == f"{back}: nothing is wrong\n"


def test_the_variable_names_the_server_and_an_empty_engine_a_folder(variable, address, trained, source, tmp_path):
    folder = tmp_path / "folder"
    done("gallery", "create", "north", "--run", trained)
    done("gallery", "create", folder, "--run", trained, "--engine", "")
    done("gallery", "add", folder, source, "--engine", "")
    assert information("north")["pictures"] == 0
    assert information(folder, "--engine", "")["pictures"] == 12
    # What is copied is sought on the server; where the copy goes the variable does not say.
    said = refused("gallery", "copy", folder, "south", "--to-engine", address)
    assert f"holds no gallery {str(folder)!r}" in said
    assert done("gallery", "copy", folder, "south", "--engine", "", "--to-engine", address) == (
        "south: 12 pictures copied\n"
    )
    assert done("gallery", "copy", "south", tmp_path / "second") == f"{tmp_path}/second: 12 pictures copied\n"
    assert information(tmp_path / "second", "--engine", "")["pictures"] == 12


def test_an_empty_variable_is_none(monkeypatch, trained, tmp_path):
    monkeypatch.setenv("SAMECAR_ENGINE", "")
    done("gallery", "create", tmp_path / "folder", "--run", trained)
    assert information(tmp_path / "folder")["pictures"] == 0


def test_a_server_that_cannot_be_reached_is_one_sentence_without_its_password(postgres):
    elsewhere = postgres.address("no_such_database")
    said = refused("gallery", "info", "north", "--engine", elsewhere)
    assert "no_such_database" in said
    assert postgres.password not in said
    finished = run("gallery", "info", "north", "--engine", postgres.address(password="wrong-secret"))
    assert finished.status == 2
    assert "wrong-secret" not in finished.errors


def test_two_services_over_one_gallery_see_what_the_other_adds(address, trained, crops):
    done("gallery", "create", "north", "--run", trained, "--engine", address)
    settings = ServiceSettings(name="north", host_names=("testserver",), rate=0)
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(TestClient(create_app(Gallery.open("north", engine=address), settings)))
            for _ in range(2)
        )
        for client in (first, second):
            wait_until(lambda client=client: client.get("/ready").status_code == 200)
        for writer, reader, name in ((first, second, "v0_c1.png"), (second, first, "v1_c2.png")):
            content = (crops / name).read_bytes()
            added = writer.post("/api/pictures", files={"picture": (name, content)}, data={"camera_id": "gate"})
            assert added.status_code == 201
            answer = reader.post("/api/search", files={"picture": ("query.png", content)}).json()
            best = answer["results"][0]
            assert best["id"] == added.json()["id"]
            assert best["similarity"] == pytest.approx(1, abs=1e-3)
            again = reader.post("/api/pictures", files={"picture": (name, content)})
            assert (again.status_code, again.json()) == (200, {"id": added.json()["id"], "added": False})
        assert first.get("/api/pictures").json() == second.get("/api/pictures").json()
        assert first.get("/api/gallery").json()["pictures"] == second.get("/api/gallery").json()["pictures"] == 2
        first.delete(f"/api/pictures/{added.json()['id']}").raise_for_status()
        assert second.get(f"/api/pictures/{added.json()['id']}").status_code == 404


def test_the_command_serves_a_gallery_on_a_server(address, trained, source):
    done("gallery", "create", "north", "--run", trained, "--engine", address)
    done("gallery", "add", "north", source, "--engine", address)
    with served("north", "--engine", address) as (_, port):
        status, body = ask(port, "/api/gallery")
        assert status == 200
        assert (json.loads(body)["name"], json.loads(body)["pictures"]) == ("north", 12)
        status, body = ask(port, "/api/pictures/1/similar?top=3")
        assert [result["similarity"] for result in json.loads(body)["results"]] == [
            pytest.approx(similarity, abs=0.01)
            for _, _, similarity in found("north", "id:1", "--top", 3, "--engine", address)
        ]
