"""Devices, pipes, deep nesting, huge numbers and acting signs in what commands are given."""

import grp
import hashlib
import io
import json
import os
import stat

import pytest
from command_line import done, refused, run
from conftest import paint_picture
from galleries import copy_gallery, make_gallery
from safetensors.torch import load_file, save_file

from samecar.config import load_recipe
from samecar.data import Manifest
from samecar.data.boxes.coco import read_coco
from samecar.data.inspecting import inspect_file
from samecar.errors import SamecarError

TURNED = "north\u202egnp.\x1b[31m\x9b"
SHOWN = r"north\u202egnp.\x1b[31m\x9b"
DIGITS = "9" * 5000
HEADER = "path,vehicle_id,camera_id,split\n"


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """A gallery of painted pictures."""
    return make_gallery(tmp_path_factory.mktemp("painted"))


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    return tmp_path / "pipe.jpg"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 50_000, "nested too deep"),
        ("[training]\nepochs = " + DIGITS, "4300 digits"),
        ("[training]\nepochs = 0x" + "f" * 50_000, "4300 digits"),
        ("[optimizer]\nlearning_rate = 1e999", "finite number"),
        ("[optimizer]\nlearning_rate = nan", "finite number"),
        (".".join("a" * 50_000) + " = 1", "more than 65,536 bytes"),
    ],
)
def test_recipes_of_others(tmp_path, text, said):
    (tmp_path / "other.toml").write_text(text)
    with pytest.raises(SamecarError) as raised:
        load_recipe(tmp_path / "other.toml")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [DIGITS, "[" * 50_000])
def test_changes_of_others(value):
    with pytest.raises(SamecarError, match=r"training\.epochs is"):
        load_recipe("small-set", [f"training.epochs={value}"])


def test_pipes_and_devices_are_no_pictures(yard, pipe, tmp_path):
    for path in (pipe, "/dev/zero"):
        assert inspect_file(str(path)).reason == "it is no file"
        assert refused("search", yard, path, "--device", "cpu") == f"picture {path} cannot be read: it is no file"
    (tmp_path / "list.csv").write_text(f"{HEADER}{pipe},v,c,train\n")
    assert run("data", "check", f"csv:{tmp_path / 'list.csv'}").status == 1


@pytest.mark.parametrize("text", ["[" * 100_000, f'{{"images": [{{"id": {DIGITS}}}], "annotations": []}}'])
def test_deep_boxes(tmp_path, text):
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(SamecarError, match=r"holds no boxes in COCO's form: (it is nested too deep|Exceeds)"):
        read_coco(tmp_path / "boxes.json")


def test_a_deep_line_of_standard_input(yard, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"path":' + "[" * 100_000))
    assert "line 1 of standard input is not JSON: it is nested too deep" in refused("gallery", "add", yard, "-")


def test_signs_that_act_are_written_out_in_the_terminal_and_stay_in_what_is_read(yard, tmp_path):
    yard = copy_gallery(yard, tmp_path)
    picture = tmp_path / "new.png"
    paint_picture(picture, 3, 1, 7)
    done("gallery", "add", yard, picture, "--camera", TURNED, "--label", f"note={TURNED}")
    for command in (("gallery", "info", yard), ("search", yard, picture, "--device", "cpu", "--top", "1")):
        assert "\u202e" not in done(*command)
        assert "\x1b[31m" not in done(*command)
    printed = done("gallery", "info", yard, "--json")
    assert not {"\u202e", "\x1b", "\x9b"} & set(printed)
    assert TURNED in [camera["camera_id"] for camera in json.loads(printed)["cameras"]]
    assert SHOWN in run("search", yard, picture, "--camera", f"{TURNED}x", "--device", "cpu").errors


@pytest.mark.parametrize("value", ["=1+1", "+x", "-x", "@sum", "'=1", "''@x", "-1", "+2.5", "'plain", "-", "a=b"])
def test_a_spreadsheet_executes_nothing_of_a_manifest(tmp_path, value):
    row = {"path": f"{value}.jpg", "vehicle_id": value, "camera_id": f"c{value}", "split": "train", "colour": value}
    manifest = Manifest.from_rows(tmp_path, [row])
    manifest.write(tmp_path / "pictures.csv")
    cells = (tmp_path / "pictures.csv").read_text().splitlines()[1].split(",")
    assert not [cell for cell in cells if cell[:1] in "=+-@" and not cell.lstrip("+-").replace(".", "").isdigit()]
    again = Manifest.read(tmp_path / "pictures.csv")
    assert again.rows() == manifest.rows()


def test_a_gallery_is_its_owners_alone_or_a_groups(yard, tmp_path):
    def modes(folder):
        return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}

    assert stat.S_IMODE(yard.stat().st_mode) == 0o700
    assert modes(yard) == {0o600}
    group = grp.getgrgid(os.getgid()).gr_name
    done("gallery", "copy", yard, tmp_path / "shared", "--group", group)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o2770
    assert modes(tmp_path / "shared") == {0o660}
    assert {path.stat().st_gid for path in (tmp_path / "shared").rglob("*")} == {os.getgid()}
    said = refused("gallery", "copy", yard, tmp_path / "other", "--group", "nobody-is-in-it")
    assert said.startswith("group 'nobody-is-in-it' cannot be given the files: there is none of that name")
    assert not (tmp_path / "other").exists()


def test_a_models_description_that_was_changed_is_noticed(yard, tmp_path):
    yard = copy_gallery(yard, tmp_path)
    description = yard / "model" / "model.json"
    description.write_text(description.read_text().replace('"pooling": "average"', '"pooling": "max"'))
    finished = run("gallery", "check", yard)
    assert finished.status == 1
    assert "the gallery's model is described otherwise than when the gallery was made" in finished.errors
    assert "is described otherwise" in refused("search", yard, tmp_path / "none.png", "--device", "cpu")


def test_tensors_that_are_not_finite_are_noticed(yard, tmp_path):
    yard = copy_gallery(yard, tmp_path)
    path = yard / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["backbone.model.bn1.weight"] *= float("nan")
    save_file(tensors, path)
    facts = json.loads((yard / "gallery.json").read_text())
    facts["model"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    (yard / "gallery.json").write_text(json.dumps(facts))
    assert "gives 96 numbers, 0 of them finite" in run("gallery", "check", yard).errors
