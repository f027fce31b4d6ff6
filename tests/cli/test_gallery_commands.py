"""The `samecar gallery` and `samecar search` commands, as a user meets them."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from command_line import done, refused, run, samecar_process
from conftest import paint_picture
from PIL import Image
from tiny_run import tiny_run

from samecar.cli import console
from samecar.data import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.retrieval.places import open_engine
from samecar.retrieval.records import Judgement

PATIENCE = 120
"""Seconds; a busy machine takes its time."""

BATCH = 32
"""Pictures that `add` keeps at a time."""


@pytest.fixture
def empty(tmp_path, trained):
    """The path of an empty gallery."""
    done("gallery", "create", tmp_path / "gallery", "--run", trained)
    return tmp_path / "gallery"


@pytest.fixture(scope="module")
def kept(tmp_path_factory, trained, crops):
    """The path of a gallery that no test changes."""
    path = tmp_path_factory.mktemp("kept") / "gallery"
    done("gallery", "create", path, "--run", trained)
    done("gallery", "add", path, f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png", "--time", "2024-05-01")
    return path


@pytest.fixture
def gallery(empty, crops):
    """The path of a gallery with two cameras' pictures."""
    done("gallery", "add", empty, f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png", "--time", "2024-05-01")
    return empty


def typed(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))


def information(gallery):
    return json.loads(done("gallery", "info", gallery, "--json"))


def test_a_gallery_from_its_making_to_an_answer(empty, crops):
    source = f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png"
    assert done("gallery", "add", empty, source) == f"{empty}: 12 pictures added, 0 known already, 0 unreadable\n"
    assert done("gallery", "add", empty, source) == f"{empty}: 0 pictures added, 12 known already, 0 unreadable\n"
    facts = information(empty)
    assert (facts["pictures"], facts["vehicles"], facts["judgements"], facts["calibrated"]) == (12, 6, 0, False)
    assert [camera["camera_id"] for camera in facts["cameras"]] == ["c1", "c2"]
    said = done("gallery", "info", empty)
    assert "12 pictures, 6 known vehicles, 0 judgements" in said
    assert facts["model"] in said
    assert done("gallery", "check", empty) == f"{empty}: nothing is wrong\n"

    answer = json.loads(done("search", empty, crops / "v3_c1.png", "--top", 3, "--json"))
    best = answer["results"][0]
    assert len(answer["results"]) == 3
    assert (best["vehicle_id"], best["camera_id"], best["address"]) == ("v3", "c1", str(crops / "v3_c1.png"))
    assert best["similarity"] == pytest.approx(1, abs=1e-3)
    names = ("in_gallery", "probability", "prior", "threshold", "false_alarm_rate")
    assert answer["verdict"] == dict.fromkeys(names)
    said = done("search", empty, f"id:{best['id']}", "--not-camera", "c1")
    assert "v3_c2.png" in said
    assert "v3_c1.png" not in said
    assert f"Addresses are below {crops}/" in said
    assert "`samecar calibrate`" in said


def test_options_filter_before_the_ranking(kept, crops):
    def found(*options):
        results = json.loads(done("search", kept, crops / "v0_c1.png", "--json", *options))["results"]
        return [(result["camera_id"], result["time"]) for result in results]

    assert found("--camera", "c2") == [("c2", "2024-05-01T00:00:00Z")] * 6
    assert len(found("--camera", "c1", "--camera", "c2", "--top", 7)) == 7
    assert found("--after", "2024-05-02") == []
    assert len(found("--before", "2024-05-02T00:00+01:00")) == 12
    assert found("--label", "lane=2") == []
    assert found("--type", "boat") == found("--colour", "red") == []
    assert done("search", kept, crops / "v0_c1.png", "--camera", "c9") == "No picture fits.\n"


def test_types_and_colours_of_a_manifest_are_filtered(empty, crops, tmp_path):
    looks = ["car,white", "car,red", "van,white", "van,blue", ","]
    lines = [f"{crops}/v{row}_c1.png,v{row},c1,gallery,{look}" for row, look in enumerate(looks)]
    (tmp_path / "looks.csv").write_text("\n".join(["path,vehicle_id,camera_id,split,type,colour", *lines]))
    done("gallery", "add", empty, tmp_path / "looks.csv")

    def found(*options):
        results = json.loads(done("search", empty, crops / "v0_c2.png", "--json", *options))["results"]
        return sorted(result["vehicle_id"] for result in results)

    assert found("--type", "car") == ["v0", "v1"]
    assert found("--type", "car", "--type", "van", "--colour", "white") == ["v0", "v2"]
    assert found("--label", "colour=red", "--label", "colour=blue") == ["v1", "v3"]
    assert found("--label", "colour=red", "--type", "van") == []
    warned = run("search", empty, crops / "v0_c2.png", "--colour", "White")
    assert "value 'White' of label 'colour' is spelled 'white' in the gallery" in " ".join(warned.errors.split())
    assert "would be removed" in refused("gallery", "remove", empty, "--type", "van")
    done("gallery", "remove", empty, "--type", "van", "--yes")
    assert found() == ["v0", "v1", "v4"]


def test_names_that_only_look_like_the_gallerys_are_told(gallery, crops, tmp_path):
    picture = tmp_path / "new.png"
    paint_picture(picture, 9, 9, 9)
    added = run("gallery", "add", gallery, picture, "--camera", " C01 ", "--label", " lane = 1 ")
    assert "cameras are probably spelled in several ways, and count as different ones: 'C01' = 'c1'" in added.errors
    for option, sentence in {
        ("--camera", "C2"): "camera 'C2' is spelled 'c2' in the gallery; only what is given counts",
        ("--not-camera", "cam02"): "camera 'cam02' is spelled 'c2' in the gallery;",
        ("--camera", "c1"): "camera 'c1' is spelled 'C01' in the gallery too;",
        ("--camera", "c9"): "camera 'c9' is on no picture in the gallery; there are 'C01', 'c1', 'c2'",
        ("--label", "Lane=1"): "label 'Lane' is spelled 'lane' in the gallery;",
        ("--label", "lane=01"): "value '01' of label 'lane' is spelled '1' in the gallery;",
        ("--label", "lane=9"): "value '9' of label 'lane' is on no picture in the gallery; there are '1'",
        ("--label", "lane=1"): "",
        ("--camera", "c2"): "",
    }.items():
        said = run("search", gallery, crops / "v0_c1.png", *option).errors
        assert sentence in said
        assert bool(sentence) == bool(said)


def test_strange_names_neither_steer_the_terminal_nor_hide_columns(empty, crops, tmp_path, monkeypatch):
    cameras = ["[bold red]gate[/]", "\x1b[31mred", "two\nlines", "%d{x}", "a" * 100, "[link=x]"]
    rows = [{"path": f"{crops}/v{i}_c1.png", "camera_id": name, "time": "1938-04-24"} for i, name in enumerate(cameras)]
    typed(monkeypatch, "\n".join(map(json.dumps, rows)).encode())
    done("gallery", "add", empty, "-")
    found = done("search", empty, crops / "v0_c1.png", "--save", tmp_path / "found.png")
    for said in (done("gallery", "info", empty), found):
        assert "\x1b" not in said
        assert all(text in said.replace(" ", "") for text in ("[bold", "\\x1b[31m", "\\n", "%d{x}", "[link=x]"))
    assert "rank   like" in found
    assert found.count("1938-04-24 00:00:00") == 6
    refused = run("search", empty, "\x1b[31m.png")
    assert refused.errors.startswith("error: picture \\x1b[31m.png cannot be read")


def test_a_search_is_drawn(kept, tmp_path):
    said = done("search", kept, "id:1", "--top", 7, "--save", tmp_path / "found.png")
    assert f"Drawn: {tmp_path}/found.png" in said
    assert Image.open(tmp_path / "found.png").width > 1000


def test_standard_input(empty, crops, tmp_path, monkeypatch):
    typed(monkeypatch, f"{crops}/v0_c1.png\n{crops}/gone.png\n".encode())
    finished = run("gallery", "add", empty, "-", "--camera", "gate", "--label", "lane=2")
    assert finished.out == f"{empty}: 1 pictures added, 0 known already, 1 unreadable\n"
    gone = f"picture {crops}/gone.png cannot be read: no such file or directory"
    assert finished.errors == f"warning: left out: {gone}\n"
    typed(monkeypatch, f"path,camera_id,label:lane\n{crops}/v1_c1.png,north,3\n{crops}/v2_c1.png,,\n".encode())
    done("gallery", "add", empty, "-", "--camera", "gate", "--label", "lane=2")
    typed(monkeypatch, json.dumps({"path": str(crops / "v3_c1.png"), "vehicle_id": "v3"}).encode())
    done("gallery", "add", empty, "-")
    with closing(open_engine(str(empty))) as engine:
        sightings = [entry.sighting for entry in engine.listed()]
    assert [sighting.camera_id for sighting in sightings] == ["gate", "north", "gate", ""]
    assert [dict(sighting.labels) for sighting in sightings] == [{"lane": "2"}, {"lane": "3"}, {"lane": "2"}, {}]
    typed(monkeypatch, b"\xff\xfe\n")
    assert refused("gallery", "add", empty, "-").startswith("standard input is not UTF-8")
    typed(monkeypatch, b"\0\x10JFIF")
    assert refused("gallery", "add", empty, "-").startswith("standard input is no text, as a picture is not")


def test_embeddings_are_added_and_exported_and_scored(empty, trained, crops, tmp_path):
    source = f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png"
    done("embed", trained, source, "-o", tmp_path / "crops.npz", "--workers", 0)
    assert "12 pictures added" in done("gallery", "add", empty, tmp_path / "crops.npz")
    out = done("gallery", "export", empty, "-o", tmp_path / "again.npz")
    assert out == f"{tmp_path}/again.npz: 12 pictures. samecar score reads it\n"
    assert Embeddings.load(tmp_path / "again.npz").model == information(empty)["model"]
    done("gallery", "export", empty, "-o", tmp_path / "plain.npy")
    assert (Embeddings.load(tmp_path / "plain.npy").matrix == Embeddings.load(tmp_path / "again.npz").matrix).all()
    rows = "".join(f"{crops}/v{vehicle}_c1.png,v{vehicle},c1,query\n" for vehicle in range(6))
    (tmp_path / "queries.csv").write_text(f"path,vehicle_id,camera_id,split\n{rows}")
    done("embed", trained, f"csv:{tmp_path}/queries.csv", "-o", tmp_path / "queries.npz", "--workers", 0)
    files = ["--query", tmp_path / "queries.npz", "--gallery", tmp_path / "again.npz"]
    scored = json.loads(done("score", *files, "--json"))
    assert scored["queries"] == 6


def test_embeddings_of_another_model_are_refused(empty, crops, tmp_path):
    stranger = tiny_run(tmp_path / "stranger", seed=2)
    done("embed", stranger.folder, f"folder:{crops}", "-o", tmp_path / "crops.npz", "--workers", 0)
    said = refused("gallery", "add", empty, tmp_path / "crops.npy")
    assert said.endswith("crops.npy does not say which model made its embeddings; give them as .npz")
    said = refused("gallery", "add", empty, tmp_path / "crops.npz")
    assert stranger.model_digest() in said
    assert information(empty)["model"] in said
    assert information(empty)["pictures"] == 0


def test_removing(gallery):
    said = refused("gallery", "remove", gallery, "--camera", "c1")
    assert said == f"6 pictures of {gallery} would be removed; say --yes to remove them"
    removed = run("gallery", "remove", gallery, "--id", 1, "--id", 2, "--id", 999)
    assert (removed.status, removed.out) == (0, f"{gallery}: 2 pictures removed\n")
    assert removed.errors == f"warning: {gallery} has no picture 999\n"
    assert done("gallery", "remove", gallery, "--camera", "c1", "--yes") == f"{gallery}: 5 pictures removed\n"
    assert information(gallery)["pictures"] == 5
    assert "give either --id, or one of --camera" in refused("gallery", "remove", gallery, "--yes")
    assert "give either --id, or one of --camera" in refused("gallery", "remove", gallery, "--id", 1, "--camera", "c2")


def test_exports_open_as_sources(gallery, crops, tmp_path):
    said = done("gallery", "export", gallery, "-o", tmp_path / "gallery.csv")
    assert said == f"{tmp_path}/gallery.csv: 12 pictures. Use it as csv:{tmp_path}/gallery.csv\n"
    done("data", "check", f"csv:{tmp_path}/gallery.csv", "--workers", 0)
    with closing(open_engine(str(gallery))) as engine:
        query = engine.entries([1])[1].sighting.content
        engine.judge(Judgement(query, 3, False))
        engine.judge(Judgement(query, 2, True))
    done("gallery", "export", gallery, "--judgements", "-o", tmp_path / "labels.csv")
    manifest = Manifest.read(tmp_path / "labels.csv")
    assert sorted(manifest.vehicle_id.tolist()) == ["v0", "v0", "v1"]


def test_copying_and_another_index(gallery, tmp_path):
    copy = tmp_path / "copy"
    assert done("gallery", "copy", gallery, copy) == f"{copy}: 12 pictures copied\n"
    assert refused("gallery", "copy", gallery, copy).startswith(f"{copy} exists already")
    assert done("gallery", "copy", gallery, copy, "--resume") == f"{copy}: 0 pictures copied\n"
    assert {**information(copy), "created": ""} == {**information(gallery), "created": ""}
    said = done("gallery", "index", copy, "int8")
    assert said.startswith(f"{copy}: int8 search, which finds ")
    assert information(copy)["index"]["kind"] == "int8"
    assert done("gallery", "index", copy, "exact") == f"{copy}: exact search\n"


def test_something_wrong_is_status_1(gallery):
    with sqlite3.connect(gallery / "catalogue.sqlite") as catalogue:
        catalogue.execute("UPDATE thumbnails SET thumbnail = x'00' WHERE id = 3")
    catalogue.close()
    finished = run("gallery", "check", gallery)
    assert (finished.status, finished.out) == (1, "")
    assert finished.errors.startswith("error: the thumbnail of entry 3 is no JPEG")


def test_a_gallery_without_its_model_is_wrong(gallery):
    (gallery / "model" / "model.json").unlink()
    (gallery / "model" / "calibration.json").write_text("{}")
    finished = run("gallery", "check", gallery)
    assert finished.status == 1
    lacking, calibration = finished.errors.splitlines()
    assert lacking.startswith("error: the model lacks model.json")
    assert calibration.startswith("error: calibration.json is no calibration")


def test_a_name_that_is_no_text_is_printed_all_the_same(kept, crops, tmp_path):
    query = tmp_path / os.fsdecode(b"caf\xe9.png")
    shutil.copy(crops / "v0_c1.png", query)
    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    with contextlib.redirect_stdout(strict):
        console.print_json({"query": str(query)})
        console.out.file = strict
        try:
            console.say(f"Drawn: {query}")
        finally:
            console.out.file = None
    strict.seek(0)
    found, drawn = strict.read().rsplit("Drawn: ", 1)
    assert json.loads(found) == {"query": f"{tmp_path}/caf?.png"}
    assert drawn == f"{tmp_path}/caf\\udce9.png\n"
    assert json.loads(done("search", kept, query, "--json"))["query"] == f"{tmp_path}/caf?.png"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gallery", "info", "no/such"], "no/such is no gallery"),
        (["gallery", "create", "GALLERY", "--run", "RUN"], "GALLERY exists already"),
        (["gallery", "create", "new", "--run", "no/run"], "run folder no/run is not there"),
        (
            ["gallery", "create", "new", "--run", "RUN", "--engine", "mysql://me:secret@host/db"],
            "begins with 'mysql://'",
        ),
        (["gallery", "calibrate", "GALLERY", "--run", "RUN"], "calibration.json is not there; make it with `samecar"),
        (["gallery", "add", "GALLERY", "no/such"], "source 'no/such'"),
        (["gallery", "add", "GALLERY", "CROPS", "--time", "noon"], "--time: time 'noon' cannot be understood"),
        (["gallery", "add", "GALLERY", "CROPS", "--label", "lane"], "--label is 'lane'; write NAME=VALUE"),
        (["search", "GALLERY", "CROPS/v0_c1.png", "--device", "gpu"], "device is 'gpu'"),
        (["gallery", "index", "GALLERY", "magic"], "magic"),
        (["gallery", "export", "GALLERY", "-o", "out.txt"], "--out is out.txt; its name must end in .csv or .parquet"),
        (
            ["gallery", "export", "GALLERY", "-o", "out.npz", "--judgements"],
            "--out is out.npz; its name must end in .csv",
        ),
        (["gallery", "export", "GALLERY", "-o", "out.csv", "--judgements"], "nothing was judged"),
        (["search", "GALLERY", "no/such.jpg"], "picture no/such.jpg cannot be read: no such file"),
        (["search", "GALLERY", "RUN/run.json"], "it is not a picture of a known format"),
        (["search", "GALLERY", "id:x"], "picture 'id:x' names no stored picture; write its number, as in id:42"),
        (["search", "GALLERY", "id:4711"], "4711"),
        (["search", "GALLERY", "id:1", "--after", "noon"], "--after: time 'noon' cannot be understood"),
        (
            ["search", "GALLERY", "id:1", "--before", "2024"],
            "--before: time '2024' may be a date or seconds since 1970",
        ),
        (["gallery", "add", "GALLERY", "CROPS", "--time", "20240501"], "--time: time '20240501' may be a date"),
        (["search", "GALLERY", "id:1", "--save", "x.pdf"], "--save is x.pdf; its name must end in .png"),
        (["search", "GALLERY", "id:1", "--top", "0"], "nvalid value for '--top'"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, kept, trained, crops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"GALLERY": str(kept), "RUN": str(trained), "CROPS": str(crops)}
    for word, place in places.items():
        arguments = [argument.replace(word, place) for argument in arguments]
        sentence = sentence.replace(word, place)
    said = refused(*arguments)
    assert sentence in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("module", "installed", "engine"),
    [("faiss", ".", ()), ("psycopg", '".[postgres]"', ("--engine", "postgresql://x/y"))],
)
def test_a_missing_library_is_named(module, installed, engine, kept, monkeypatch):
    for name in [name for name in sys.modules if name.startswith((f"{module}.", "samecar.retrieval.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert f"which is not installed; run `pip install {installed}`" in refused("gallery", "info", kept, *engine)


# processes that end early


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More pictures than fit into a few batches."""
    folder = tmp_path_factory.mktemp("many")
    for vehicle in range(6 * BATCH):
        paint_picture(folder / f"v{vehicle}.png", vehicle, 0, 0)
    return folder


def wait_for(gallery, pictures, process):
    """Waits until a reader sees so many pictures; gives how many it saw."""
    deadline = time.monotonic() + PATIENCE
    with closing(open_engine(str(gallery))) as engine:
        while (seen := engine.summary().pictures) < pictures:
            assert process.poll() is None, "adding ended before it was interrupted"
            assert time.monotonic() < deadline, "adding did not begin"
            time.sleep(0.01)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_add_keeps_what_others_saw_and_is_taken_up_again(how, empty, many):
    process = subprocess.Popen(
        samecar_process("gallery", "add", empty, "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    paths = sorted(many.iterdir())
    process.stdin.write("".join(f"{path}\n" for path in paths[: 3 * BATCH]))  # and then it waits for more
    process.stdin.flush()
    seen = wait_for(empty, 2 * BATCH, process)
    process.send_signal(how)
    out, errors = process.communicate(timeout=PATIENCE)
    if how is signal.SIGINT:
        assert (process.returncode, out) == (130, "")
        assert errors == "error: interrupted; what was added is kept, and the same command adds the rest\n"
    assert information(empty)["pictures"] >= seen
    done("gallery", "check", empty)
    done("gallery", "add", empty, many)
    assert information(empty)["pictures"] == len(paths)


@pytest.mark.slow
def test_an_add_killed_at_random_moments_is_taken_up_again(empty, many):
    moments = random.Random(1)
    seen = 0
    for _ in range(8):
        process = subprocess.Popen(samecar_process("gallery", "add", empty, many), stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=moments.uniform(1, 6))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        now = information(empty)["pictures"]
        assert now >= seen
        seen = now
        done("gallery", "check", empty)
    done("gallery", "add", empty, many)
    assert information(empty)["pictures"] == 6 * BATCH
