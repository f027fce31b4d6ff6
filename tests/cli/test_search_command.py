"""`samecar search` with several pictures: each for itself, or as views of one vehicle."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_line import done, refused, run
from galleries import painted
from PIL import Image
from plain_onnx import write_model

from samecar.retrieval.gallery import Gallery


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    """A folder with a picture each of v01, v02 and v03 that the gallery does not hold, and with what is none."""
    folder = tmp_path_factory.mktemp("queries")
    for vehicle in (1, 2, 3):
        painted(folder, vehicle, 1, 7)
    (folder / "readme.txt").write_text("about")
    return folder


@pytest.fixture
def typed(monkeypatch):
    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))


def asked(*arguments):
    return json.loads(done("search", *arguments, "--json", "--device", "cpu"))


def pictures(folder):
    return sorted(folder.glob("*.png"))


def test_several_pictures_are_separate_queries_in_their_order(painted_gallery, queries):
    given = [*reversed(pictures(queries)), "id:4"]
    answers = asked(painted_gallery, *given, "--top", 3)
    assert answers.keys() == {"queries"}
    assert [answer["query"] for answer in answers["queries"]] == [str(each) for each in given]
    for each, answer in zip(given, answers["queries"], strict=True):
        assert answer == asked(painted_gallery, each, "--top", 3)


def test_a_folder_and_standard_input_name_the_same_pictures(painted_gallery, queries, typed, tmp_path):
    expected = asked(painted_gallery, *pictures(queries), "--top", 2)
    assert asked(painted_gallery, queries, "--top", 2) == expected
    typed("".join(f"{path}\r\n\n" for path in pictures(queries)))
    assert asked(painted_gallery, "-", "--top", 2) == expected
    typed("id:4\n")
    assert [answer["query"] for answer in asked(painted_gallery, "-", "--top", 1)["queries"]] == ["id:4"]
    shutil.copy(pictures(queries)[0], tmp_path)
    assert len(asked(painted_gallery, tmp_path)["queries"]) == 1  # a folder is several queries, if only of one


def test_more_pictures_than_a_batch_are_answered_each(painted_gallery, queries):
    given = pictures(queries) * 12
    found = [answer["results"][0]["vehicle_id"] for answer in asked(painted_gallery, *given, "--top", 1)["queries"]]
    assert found == found[:3] * 12


def test_each_answer_is_printed_below_its_query_and_notes_once(painted_gallery, queries):
    said = done("search", painted_gallery, *pictures(queries), "--top", 1)
    lines = said.splitlines()
    assert [line for line in lines if line.endswith("_7.png")] == [str(path) for path in pictures(queries)]
    assert said.count("Addresses are below") == 3
    assert said.count("`samecar calibrate`") == 1
    assert "`samecar calibrate`" in lines[-1]
    assert done("search", painted_gallery, *pictures(queries), "--camera", "c9").count("No picture fits.") == 3


def test_what_cannot_be_read_is_named_and_stops_nothing(painted_gallery, queries, tmp_path):
    fault = f"picture {tmp_path}/gone.png cannot be read: no such file or directory"
    finished = run("search", painted_gallery, tmp_path / "gone.png", *pictures(queries), "--json", "--device", "cpu")
    assert (finished.status, finished.errors) == (0, f"warning: left out: {fault}\n")
    told = json.loads(finished.out)["queries"]
    assert told[0] == {"query": str(tmp_path / "gone.png"), "error": fault}
    assert told[1:] == asked(painted_gallery, *pictures(queries))["queries"]
    none = run("search", painted_gallery, tmp_path / "gone.png", tmp_path / "lost.png", "--json")
    assert (none.status, none.out) == (2, "")
    assert none.errors.endswith("error: no picture can be read; the warnings say why\n")


def test_several_answers_are_drawn_into_a_folder(painted_gallery, queries, tmp_path):
    said = done("search", painted_gallery, *pictures(queries)[:2], "id:3", "--top", 1, "--save", tmp_path / "new" / "s")
    assert said.endswith(f"Drawn: one .png for each query in {tmp_path}/new/s\n")
    drawn = sorted((tmp_path / "new" / "s").iterdir())
    assert [path.name for path in drawn] == ["0001-v01_c1_7.png", "0002-v02_c1_7.png", "0003-id-3.png"]
    assert all(Image.open(path).format == "PNG" for path in drawn)


def test_views_of_one_vehicle_are_one_query(painted_gallery, queries, tmp_path):
    first, second, _ = pictures(queries)
    answer = asked(painted_gallery, first, second, "id:5", "--same", "--top", 11)
    with Gallery.open(str(painted_gallery), device="cpu") as gallery:
        opened = [Image.open(path).convert("RGB") for path in (first, second)]
        rows = np.concatenate([gallery.model.embed(opened), gallery.engine.embeddings([5])]).astype(np.float64)
        mean = rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
        others = [number for number in range(1, 13) if number != 5]
        products = gallery.engine.embeddings(others).astype(np.float64) @ mean
        views = gallery.search_views(opened, 3)
    order = np.argsort(-products)
    assert answer["query"] == [str(first), str(second), "id:5"]
    assert [result["id"] for result in answer["results"]] == [others[place] for place in order]
    assert [result["similarity"] for result in answer["results"]] == pytest.approx(products[order].tolist(), abs=1e-3)
    alone = asked(painted_gallery, first, second, "--same", "--top", 3)
    assert [result["id"] for result in alone["results"]] == [found.entry.id for found in views.found]
    assert asked(painted_gallery, queries, "--same", "--top", 1)["query"] == [str(path) for path in pictures(queries)]
    said = done("search", painted_gallery, first, second, "--same", "--save", tmp_path / "found.png")
    assert said.endswith(f"Drawn: {tmp_path}/found.png\n")


def test_a_view_that_cannot_be_read_is_left_out(painted_gallery, queries, tmp_path):
    first, second, _ = pictures(queries)
    finished = run("search", painted_gallery, first, tmp_path / "gone.png", second, "--same", "--json")
    assert finished.status == 0
    assert finished.errors.startswith("warning: left out: picture ")
    assert json.loads(finished.out) == asked(painted_gallery, first, second, "--same")
    assert refused("search", painted_gallery, tmp_path / "gone.png", "--same") == (
        f"no view can be read: picture {tmp_path}/gone.png cannot be read: no such file or directory"
    )


def test_a_number_that_is_not_there_is_left_out_as_a_file_is(painted_gallery, queries):
    first, second, _ = pictures(queries)
    fault = f"{painted_gallery} has no entry 4711; list its entries"
    finished = run("search", painted_gallery, first, "id:4711", second, "--json")
    assert (finished.status, finished.errors) == (0, f"warning: left out: {fault}\n")
    answers = json.loads(finished.out)["queries"]
    assert answers[1] == {"query": "id:4711", "error": fault}
    assert [answers[0], answers[2]] == asked(painted_gallery, first, second)["queries"]
    finished = run("search", painted_gallery, first, "id:4711", second, "--same", "--json")
    assert (finished.status, finished.errors) == (0, f"warning: left out: {fault}\n")
    assert json.loads(finished.out) == asked(painted_gallery, first, second, "--same")


def test_bad_input_is_one_sentence(painted_gallery, queries, typed, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    path = pictures(queries)[0]
    typed("")
    for arguments, sentence in (
        (["-"], "standard input names no picture to search with; give a picture, a folder of them, or id:42"),
        ([tmp_path / "empty"], f"folder {tmp_path}/empty holds no picture to search with; give a picture, a folder"),
        ([path, "id:x"], "picture 'id:x' names no stored picture; write its number, as in id:42"),
        (["id:4711"], f"{painted_gallery} has no entry 4711; list its entries"),
        (["id:4711", "--same"], f"no view can be read: {painted_gallery} has no entry 4711; list its entries"),
        (
            [path, path, "--save", "x.png"],
            "--save is x.png, and there are several queries; name a folder, or say --same",
        ),
        ([path, path, "--same", "--save", "x"], "--save is x; its name must end in .png"),
        ([path, path, "--save", tmp_path / "file"], f"{tmp_path}/file: File exists; choose another place"),
    ):
        assert sentence in refused("search", painted_gallery, *arguments, "--json", "--device", "cpu")


LIBRARIES = ("torch", "torchvision", "timm", "scipy", "matplotlib", "tensorboard", "huggingface_hub", "imagehash")
ROOMS = ("config.recipe", "data.sources.opening", "retrieval.incoming", "report.sheets")
NEEDLESS = (*LIBRARIES, *(f"samecar.{room}" for room in ROOMS))
"""What takes long to load, and a search with an exported model does not need."""


def test_a_search_with_an_exported_model_loads_nothing_that_it_does_not_need(queries, tmp_path):
    model = write_model(tmp_path / "colours.onnx")
    done("gallery", "create", tmp_path / "yard", "--run", model, "--preprocessing", "24x16:none")
    done("gallery", "add", tmp_path / "yard", queries)
    program = (
        "import sys; from samecar.cli.main import app\n"
        f"try: app(args={['search', str(tmp_path / 'yard'), str(pictures(queries)[0]), '--json']!r})\n"
        f"finally: print([name for name in {NEEDLESS!r} if name in sys.modules], file=sys.stderr)"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stderr == "[]\n"
    assert json.loads(finished.stdout)["results"][0]["address"] == str(pictures(queries)[0])
