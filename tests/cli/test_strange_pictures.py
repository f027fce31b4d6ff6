"""Pictures as they come from phones, scanners and broken disks, through every command that reads some."""

import json
import os
import shutil
import struct
import sys
import zlib

import numpy as np
import pytest
from command_line import done, refused, run, tiny
from conftest import paint_picture
from PIL import ExifTags, Image

from samecar.embedding.embeddings import Embeddings
from samecar.training import Run

LABELS = "{vehicle_id}_{camera_id}_*.*"


def in_mode(mode, suffix):
    def save(picture, path):
        picture.convert(mode).save(path.with_suffix(suffix))

    return save


def lying_on_its_side(picture, path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".tif"), exif=exif)


STRANGE = {
    "cmyk": in_mode("CMYK", ".jpg"),
    "grey": in_mode("L", ".jpg"),
    "alpha": in_mode("RGBA", ".png"),
    "palette": in_mode("P", ".png"),
    "sixteen": in_mode("I;16", ".png"),
    "rotated": lying_on_its_side,
}


def bomb():
    """A picture of a few bytes that claims to have 3.6 billion pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")


def truncated(folder):
    paint_picture(folder / "whole.png", 1, 0, 0)
    content = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    return content[: len(content) // 2]


BROKEN = {
    "empty": (lambda _: b"", "the file is empty"),
    "text": (lambda _: b"<html>404</html>", "it is not a picture of a known format"),
    "truncated": (truncated, "it is truncated or corrupt"),
    "bomb": (lambda _: bomb(), "it has more than the 80,000,000 pixels allowed"),
}


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Six vehicles, each in another kind of picture."""
    folder = tmp_path_factory.mktemp("strange")
    for vehicle, (name, save) in enumerate(STRANGE.items()):
        for camera in range(2):
            for index in range(2):
                path = folder / f"{name}_{camera}_{index}.png"
                paint_picture(path, vehicle, camera, index)
                with Image.open(path) as picture:
                    picture.load()
                path.unlink()
                save(picture, path)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, strange):
    """A run on strange pictures."""
    out = tmp_path_factory.mktemp("trained") / "run"
    options = tiny("training.epochs=1")
    done("train", "report-baseline", "--data", f"folder:{strange}/{LABELS}", "--out", out, *options)
    return out


def test_strange_pictures_are_trained_on(trained):
    assert Run.open(trained).unreadable() == []
    assert Run.open(trained).metrics()[0]["unreadable"] == 0


def test_strange_pictures_are_in_order(strange):
    content = json.loads(done("data", "check", f"folder:{strange}/{LABELS}", "--json"))
    assert content["splits"]["train"]["pictures"] == 24
    assert {finding["severity"] for finding in content["findings"]} <= {"note", "warning"}


def test_strange_pictures_are_embedded_upright(trained, strange, tmp_path):
    done("embed", trained, f"folder:{strange}/{LABELS}", "-o", tmp_path / "strange.npz", "--workers", 0)
    embeddings = Embeddings.load(tmp_path / "strange.npz")
    assert np.isfinite(embeddings.matrix).all()
    paint_picture(tmp_path / "upright.png", list(STRANGE).index("rotated"), 1, 1)
    done("embed", trained, f"folder:{tmp_path}", "-o", tmp_path / "upright.npz", "--workers", 0)
    (row,) = np.flatnonzero(embeddings.manifest.path == "rotated_1_1.tif")
    np.testing.assert_allclose(
        embeddings.matrix[row], Embeddings.load(tmp_path / "upright.npz").matrix[0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.filterwarnings("error")
def test_broken_pictures_are_named_with_the_reason(trained, tmp_path, kind):
    make, reason = BROKEN[kind]
    for vehicle in range(4):
        for index in range(2):
            paint_picture(tmp_path / "set" / f"v{vehicle}_{index}_0.png", vehicle, index, 0)
    broken = tmp_path / "set" / "v0_2_0.png"
    broken.write_bytes(make(tmp_path))
    source = f"folder:{tmp_path}/set/{LABELS}"

    checked = run("data", "check", source, "--json")
    assert checked.status == 1
    (found,) = [finding for finding in json.loads(checked.out)["findings"] if finding["kind"] == "unreadable"]
    assert found["examples"][0].startswith(f"v0_2_0.png ({reason}")

    assert f"picture {broken} cannot be read: {reason}" in refused(
        "embed", trained, source, "-o", tmp_path / "e.npz", "--workers", 0
    )
    assert not (tmp_path / "e.npz").exists()

    command = ["train", "report-baseline", "--data", source, "--out", tmp_path / "run", *tiny("batch.size=4")]
    sentence = refused(*command)
    assert f"1 of 9 training pictures cannot be read, more than 1%: v0_2_0.png ({reason}" in sentence
    assert "mend or remove them (see samecar data check)" in sentence


def test_one_broken_picture_of_many_is_left_out_and_named(tmp_path):
    for vehicle in range(4):
        for index in range(26):
            paint_picture(tmp_path / "set" / f"v{vehicle}_{index % 2}_{index}.png", vehicle, index % 2, index)
    (tmp_path / "set" / "v1_1_5.png").write_bytes(b"")
    source = f"folder:{tmp_path}/set/{LABELS}"
    finished = run("train", "report-baseline", "--data", source, "--out", tmp_path / "run", *tiny("batch.size=4"))
    assert finished.status == 0
    assert finished.errors == "warning: left out of training: v1_1_5.png (the file is empty)\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a b;$(c)", "ü 中", "-dash", "[bold]", "new\nline", "{brace", "%s"])
def test_strange_names_of_folders_are_kept(trained, strange, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    rows = ["path,vehicle_id,camera_id,split"]
    for path in strange.glob("cmyk_*"):
        (folder / path.name).write_bytes(path.read_bytes())
        rows.append(f"{path.name},v1,{path.name[5]},{'query' if path.name[5] == '0' else 'gallery'}")
    (folder / "pictures.csv").write_text("\n".join(rows))
    printed = done("evaluate", trained, "--data", f"csv:{folder}/pictures.csv", "--workers", 0)
    assert "csv:pictures.csv" in printed
    (folder / "pictures.csv").rename(folder / f"{name}.csv")
    printed = done("evaluate", trained, "--data", f"csv:{folder}/{name}.csv", "--workers", 0)
    assert f"csv:{name}".splitlines()[0] in printed
    (folder / f"{name}.csv").rename(folder / "pictures.csv")
    done("data", "convert", f"csv:{folder}/pictures.csv", "-o", tmp_path / "copy.csv")
    assert json.loads(done("data", "check", f"csv:{tmp_path}/copy.csv", "--json"))["splits"]["query"]["pictures"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_name_that_is_no_text_is_named(strange, tmp_path):
    (tmp_path / "whole.jpg").write_bytes(next(strange.glob("cmyk_*")).read_bytes())
    (tmp_path / "whole.jpg").rename(os.fsdecode(os.fsencode(tmp_path) + b"/v\xff.jpg"))
    for command in (["check"], ["convert", "-o", tmp_path / "new.csv"]):
        sentence = refused("data", command[0], f"folder:{tmp_path}", *command[1:])
        assert sentence == rf"no picture in {tmp_path} has a name that is UTF-8: 'v\udcff.jpg'; rename the files"
    shutil.copy(next(strange.glob("cmyk_*")), tmp_path / "café.jpg")
    printed = done("data", "check", f"folder:{tmp_path}")
    assert r"left out because their names are not UTF-8: 'v\udcff.jpg'; rename the files" in printed
