"""The commands on a gallery that is spread over three servers do what they do in a folder."""

import json
import os
import re
import shlex
from pathlib import Path

import psycopg
import pytest
from command_line import done, refused, run
from conftest import paint_picture
from galleries import wait_until
from psycopg.conninfo import conninfo_to_dict
from spread_places import Databases
from starlette.testclient import TestClient

from samecar.data import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source(crops):
    return f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png"


def information(*arguments):
    return json.loads(done("gallery", "info", *arguments, "--json"))


def found(*arguments):
    """Cameras, vehicles and rounded similarities of what a search finds."""
    results = json.loads(done("search", *arguments, "--json"))["results"]
    return [(result["camera_id"], result["vehicle_id"], round(result["similarity"], 2)) for result in results]


def over(databases):
    return [part for address in databases.addresses for part in ("--over", address)]


def test_a_gallery_from_its_making_to_a_further_server(databases, trained, crops, source, tmp_path):
    head = ("--engine", databases.head)
    add = (source, "--time", "2024-05-01", "--label", "lane=2")
    done("gallery", "create", "city", "--run", trained, "--engine", databases.addresses[0])
    assert refused("gallery", "add", "city", source, *head).startswith(databases.head)
    assert done("gallery", "spread", "city", *head, *over(databases)) == "city: spread over 3 servers by content\n"
    assert done("gallery", "add", "city", *add, *head) == "city: 12 pictures added, 0 known already, 0 unreadable\n"
    assert done("gallery", "add", "city", *add, *head) == "city: 0 pictures added, 12 known already, 0 unreadable\n"
    told = information("city", *head)
    assert (told["pictures"], told["vehicles"], [camera["pictures"] for camera in told["cameras"]]) == (12, 6, [6, 6])
    assert [server["number"] for server in told["servers"]] == [1, 2, 3]
    assert sum(server["pictures"] for server in told["servers"]) == 12
    assert min(server["pictures"] for server in told["servers"]) > 0
    assert "missing" not in told
    printed = done("gallery", "info", "city", *head)
    assert all(f"server {number}, postgresql://postgres@127.0.0.1:" in printed for number in (1, 2, 3))

    # searched as in a folder
    folder = tmp_path / "folder"
    done("gallery", "create", folder, "--run", trained)
    done("gallery", "add", folder, *add)
    query = crops / "v3_c1.png"
    for options in (
        (),
        ("--camera", "c2", "--top", 3),
        ("--not-camera", "c1"),
        ("--after", "2024-05-02"),
        ("--label", "lane=2"),
    ):
        assert found("city", query, *options, *head) == found(folder, query, *options)
    best = json.loads(done("search", "city", query, "--top", 1, "--json", *head))["results"][0]
    assert len(found("city", f"id:{best['id']}", *head)) == 11
    assert "v3_c1.png" in done("search", "city", query, "--save", tmp_path / "found.png", *head)

    # by camera, moved, with a further server, indexed and checked
    fourth = databases.new()
    changed = done(
        "gallery", "spread", "city", *head, "--over", fourth, "--by", "camera", "--camera", "c2=4", "--others", 1
    )
    assert changed.startswith(
        "city: spread over 4 servers by camera (c2=4; others are on server 1)\nSome pictures lie on"
    )
    finished = run("gallery", "check", "city", *head)
    assert finished.status == 1
    assert "belong on other servers; move them with `samecar gallery spread --move`" in finished.errors
    before = found("city", query, "--camera", "c2", *head)
    said = done("gallery", "spread", "city", *head, "--move")
    assert said.startswith("city: ")
    assert said.endswith(" pictures moved\n")
    assert found("city", query, "--camera", "c2", *head) == before
    assert [server["pictures"] for server in information("city", *head)["servers"]] == [6, 0, 0, 6]
    assert done("gallery", "index", "city", "hnsw", *head).startswith("city: hnsw search, which finds ")
    assert done("gallery", "check", "city", *head) == "city: nothing is wrong\n"
    assert found("city", query, "--camera", "c2", *head) == before

    # written into files, removed, copied out and in
    table, numbers = tmp_path / "city.csv", tmp_path / "city.npz"
    done("gallery", "export", "city", "-o", table, *head)
    done("gallery", "export", "city", "-o", numbers, *head)
    assert len(Manifest.read(table)) == 12
    assert Embeddings.load(numbers).model == told["model"]
    assert done("gallery", "copy", "city", tmp_path / "back", *head) == f"{tmp_path}/back: 12 pictures copied\n"
    assert done("gallery", "remove", "city", "--id", best["id"], *head) == "city: 1 pictures removed\n"
    again = ("gallery", "copy", tmp_path / "back", "city", "--to-engine", databases.head, "--resume")
    assert done(*again) == "city: 1 pictures copied\n"
    assert found("city", query, *head) == found(folder, query)


def test_the_service_over_a_gallery_that_is_spread(databases, trained, crops, source):
    head = ("--engine", databases.head)
    done("gallery", "create", "served", "--run", trained, "--engine", databases.addresses[0])
    done("gallery", "spread", "served", *head, *over(databases))
    done("gallery", "add", "served", source, *head)
    settings = ServiceSettings(name="served", host_names=("testserver",), rate=0)
    with TestClient(create_app(Gallery.open("served", engine=databases.head), settings)) as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        assert client.get("/api/gallery").json()["pictures"] == 12
        listed = client.get("/api/pictures").json()["pictures"]
        assert len(listed) == 12
        content = (crops / "v2_c1.png").read_bytes()
        best = client.post("/api/search", files={"picture": ("query.png", content)}).json()["results"][0]
        assert (best["vehicle_id"], best["camera_id"]) == ("v2", "c1")
        assert client.get(f"/api/pictures/{best['id']}").json()["id"] == best["id"]
        client.delete(f"/api/pictures/{best['id']}").raise_for_status()
        assert client.get(f"/api/pictures/{best['id']}").status_code == 404
        again = client.post("/api/pictures", files={"picture": ("v2_c1.png", content)}, data={"camera_id": "c1"})
        assert (again.status_code, again.json()["id"] % 1000) == (201, best["id"] % 1000)


def test_commands_of_a_gallery_whose_server_is_down(postgres, postgres_servers, trained, crops, source, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    query = crops / "v3_c1.png"
    with postgres.neighbour() as third:
        databases = Databases([postgres, postgres_servers[1], third])
        head = ("--engine", databases.head)
        done("gallery", "create", "town", "--run", trained, "--engine", databases.addresses[0])
        done("gallery", "spread", "town", *head, *over(databases))
        done("gallery", "add", "town", source, *head)
        lost = information("town", *head)["servers"][2]["pictures"]
        assert (
            json.loads(done("search", "town", query, "--json", *head)).keys()
            == json.loads(done("search", "town", query, "--json", "--partial", *head)).keys()
        )
    for command, offered in (
        (("search", "town", query), True),
        (("gallery", "info", "town"), True),
        (("gallery", "check", "town"), False),
        (("gallery", "add", "town", source), False),
    ):
        said = refused(*command, *head)
        assert said.startswith("server 3 (postgresql://postgres@127.0.0.1:")
        assert said.endswith("; or say --partial for what the other servers of town hold") == offered
    finished = run("search", "town", query, "--json", "--partial", *head)
    answer = json.loads(finished.out)
    assert len(answer["results"]) == 12 - lost
    assert answer["missing"][0].startswith("server 3 ")
    assert "server 3 " in finished.errors
    finished = run("search", "town", crops, "--partial", *head)
    assert finished.status == 0
    assert "server 3 " in finished.errors
    said = refused("search", "town", "id:4711", "--partial", *head)
    assert said == "town has no entry 4711; it may lie on a server that is missing"
    told = json.loads(run("gallery", "info", "town", "--json", "--partial", *head).out)
    assert (told["pictures"], len(told["servers"]), len(told["missing"])) == (12 - lost, 2, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "there is no gallery 'nothing' that is spread; name its servers with --over"),
        (("--over", "mysql://host/database"), "the engine's address begins with 'mysql://'"),
        (("--over", "host=here dbname=vehicles"), "the engine's address begins with 'no scheme'"),
        (("--over", "postgresql://me:secret@host/database"), "holds a password"),
        (("--camera", "gate"), "--camera is 'gate'; write NAME=SERVER"),
        (("--camera", "gate=two"), "--camera is 'gate=two'; write NAME=SERVER"),
        (("--camera", "gate=1", "--camera", "gate=2"), "--camera gives 'gate' two servers"),
        (("--by", "colour"), "--by is 'colour'; give content or camera"),
        (("--move",), "holds no gallery"),
    ],
)
def test_what_means_nothing_is_refused(databases, options, said):
    answer = refused("gallery", "spread", "nothing", "--engine", databases.head, *options)
    assert said in answer
    assert "secret" not in answer


def test_partial_is_refused_where_there_are_no_parts(databases, trained, crops, tmp_path):
    done("gallery", "create", tmp_path / "folder", "--run", trained)
    assert "--partial is given" in refused("gallery", "info", tmp_path / "folder", "--partial")
    done("gallery", "create", "alone", "--run", trained, "--engine", databases.addresses[1])
    said = refused("search", "alone", crops / "v3_c1.png", "--partial", "--engine", databases.addresses[1])
    assert said == "--partial is given, and gallery 'alone' lies on one server; leave it out"
    assert "--engine is not given" in refused("gallery", "spread", "city", "--over", databases.addresses[0])


def test_what_the_page_on_servers_shows_runs_on_three(databases, trained, tmp_path, monkeypatch):
    """Its commands in their order, and the foreign tables that it shows."""
    for vehicle in range(8):
        for camera in (1, 2):
            paint_picture(tmp_path / "crops" / f"car_{vehicle:04d}_cam{camera}.jpg", vehicle, camera, 0)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    text = page.partition("\n## Several servers")[2].partition("\n# ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    places = dict(
        zip(("head", "one", "two", "three"), (databases.new(), *(databases.new(n) for n in (1, 2, 3))), strict=True)
    )
    for host, address in places.items():
        blocks = [(kind, block.replace(f"postgresql://user@{host}/vehicles", address)) for kind, block in blocks]
    commands = [line for kind, block in blocks if kind == "bash" for line in block.replace("\\\n", " ").splitlines()]
    assert len(commands) == 10
    for program, *arguments in map(shlex.split, commands):
        finished = run(*arguments)
        assert (program, finished.status) == ("samecar", 0), (arguments, finished.errors)
    head = ("--engine", places["head"])
    assert [server["pictures"] for server in information("city", *head)["servers"]] == [8, 8, 0]

    (sql,) = [block for kind, block in blocks if kind == "sql"]
    for host in ("one", "two"):
        parts = conninfo_to_dict(places[host])
        sql = sql.replace(
            f"host '{host}', port '5432', dbname 'vehicles'",
            f"host '{parts['host']}', port '{parts['port']}', dbname '{parts['dbname']}'",
        )
    password = os.environ["PGPASSWORD"]
    with psycopg.connect(places["head"], autocommit=True) as connection:
        connection.execute(sql.replace("(user 'user', password '…')", f"(user 'postgres', password '{password}')"))
        assert connection.execute("SELECT count(*), count(DISTINCT camera_id) FROM city").fetchone() == (16, 2)
        best = json.loads(done("search", "city", "crops/car_0003_cam1.jpg", "--top", 5, "--json", *head))["results"]
        nearest = connection.execute(
            "SELECT id FROM city ORDER BY embedding <#> (SELECT embedding FROM city WHERE id = %s), id LIMIT 5",
            [best[0]["id"]],
        ).fetchall()
        assert [number for (number,) in nearest] == [result["id"] for result in best]
