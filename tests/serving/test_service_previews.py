"""Larger pictures over HTTP: those that a gallery keeps, and originals, but nothing that lies elsewhere."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from galleries import service, serving, tiny_model
from PIL import Image

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import UNREAD, Addition, Sighting, picture_content


def photograph(path: Path, size=(1500, 900), seed=0) -> Path:
    """A picture of smooth colours, with a note that its file holds beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = Image.linear_gradient("L").resize(size)
    picture = Image.merge("RGB", (left, Image.new("L", size, 40 * seed), left.rotate(180)))
    noted = Image.Exif()
    noted[0x010E] = "where the photographer lives"
    picture.save(path, quality=95, exif=noted)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def yard(tmp_path, model):
    """A gallery with previews: two photographs, a small picture, and a vehicle of a film."""
    folder = tmp_path / "pictures"
    names = [photograph(folder / "one.jpg"), photograph(folder / "two.jpg", seed=1)]
    names.append(photograph(folder / "small.jpg", (120, 80)))
    with Gallery.create(tmp_path / "yard", model, preview=640) as gallery:
        gallery.add([Incoming(path, replace(UNREAD, address=str(path))) for path in names])
        crops = [Image.new("RGB", (200 + 100 * place, 150), (0, 80 * place, 0)) for place in range(3)]
        sighting = Sighting("f" * 64, track_id="monday/1/ffffffffffff", labels={"film": "monday.mp4"})
        gallery.add_pooled(sighting, crops, [12.5, 3.25, 20.0])
    return tmp_path / "yard"


def size(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == "JPEG"
        return picture.size


def test_larger_pictures_are_listed_and_given(yard):
    with serving(yard) as client:
        facts = client.get("/api/pictures/1").json()
        assert facts["previews"] == "/api/pictures/1/previews"
        address = "/api/pictures/1/previews/0"
        listed = {"previews": [{"address": address, "seconds": None}], "film": "", "original": None}
        assert client.get(facts["previews"]).json() == listed
        assert size(client.get(facts["thumbnail"])) == (160, 96)
        given = client.get(address)
        assert size(given) == (640, 384)
        assert given.headers["cache-control"] == "private, no-cache"
        assert client.get(address, headers={"If-None-Match": given.headers["etag"]}).status_code == 304
        assert client.get("/api/pictures/3/previews").json()["previews"] == []  # its thumbnail shows as much
        for missing in ("/api/pictures/3/previews/0", "/api/pictures/1/previews/1", "/api/pictures/99/previews"):
            assert client.get(missing).status_code == 404
        assert client.get("/api/pictures/1/original").status_code == 404
        found = client.get("/api/pictures/1/similar").json()["results"]
        assert {result["previews"] for result in found} == {f"/api/pictures/{number}/previews" for number in (2, 3, 4)}


def test_a_vehicle_of_a_film_has_its_pictures_with_their_moments(yard):
    with serving(yard) as client:
        listed = client.get("/api/pictures/4/previews").json()
        assert listed["film"] == "monday.mp4"
        assert [preview["seconds"] for preview in listed["previews"]] == [12.5, 3.25, 20.0]
        sizes = [size(client.get(preview["address"])) for preview in listed["previews"]]
        assert sizes == [(200, 150), (300, 150), (400, 150)]


def test_a_gallery_without_larger_pictures_names_none(painted_gallery):
    with serving(painted_gallery) as client:
        assert client.get("/api/pictures/1").json()["previews"] is None
        assert client.get("/api/pictures/1/previews").json()["previews"] == []


def test_an_original_is_given_without_what_its_file_tells_beside_it(yard, tmp_path):
    with serving(yard, originals=tmp_path / "pictures") as client:
        assert client.get("/api/pictures/1/previews").json()["original"] == "/api/pictures/1/original"
        given = client.get("/api/pictures/1/original")
        assert size(given) == (1500, 900)
        assert b"photographer" in (tmp_path / "pictures" / "one.jpg").read_bytes()
        assert b"photographer" not in given.content
        assert client.get("/api/pictures/4/previews").json()["original"] is None  # of a film there is no file
        assert client.get("/api/pictures/4/original").status_code == 404


def test_crops_of_a_vehicle_of_a_film_are_no_original(yard, tmp_path):
    content = "c" * 64
    first = photograph(tmp_path / "pictures" / f"tuesday-0001-car-{content[:12]}-1.png")
    with Gallery.open(tmp_path / "yard") as gallery:
        passage = Sighting(content, address=str(first), track_id=f"tuesday/1/{content[:12]}")
        number = gallery.add_pooled(passage, [Image.new("RGB", (600, 400))])
    with serving(yard, originals=tmp_path / "pictures") as client:
        facts = client.get(f"/api/pictures/{number}/previews").json()
        assert (len(facts["previews"]), facts["original"]) == (1, None)
        assert code(client, number) == (404, "not_found")


def code(client, number=1):
    answer = client.get(f"/api/pictures/{number}/original")
    return answer.status_code, answer.json()["error"]["code"]


def test_an_original_that_changed_or_has_gone_is_told(yard, tmp_path):
    file = tmp_path / "pictures" / "one.jpg"
    with serving(yard, originals=tmp_path / "pictures", bytes=200_000) as client:
        photograph(file, seed=2)
        assert file.stat().st_size < 200_000
        assert code(client) == (409, "changed")
        file.unlink()
        assert code(client) == (404, "not_found")
        file.write_bytes(bytes(300_000))
        assert code(client) == (413, "too_large")
        file.unlink()
        os.mkfifo(file)
        assert code(client) == (404, "not_found")


@pytest.fixture
def secret(tmp_path):
    """A picture beside the folder whose files may be shown."""
    return photograph(tmp_path / "private" / "secret.jpg", seed=3)


@pytest.mark.parametrize(
    "address",
    [
        "{tmp}/private/secret.jpg",
        "{tmp}/pictures/../private/secret.jpg",
        "{tmp}/pictures/link.jpg",
        "{tmp}/pictures/folder/secret.jpg",
        "{tmp}/picturesque/secret.jpg",
        "private/secret.jpg",
        "file://{tmp}/private/secret.jpg",
        "{tmp}/pictures",
        "{tmp}/pictures/circle",
        "",
    ],
)
def test_nothing_outside_of_the_folder_is_shown(yard, secret, tmp_path, address, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    (pictures / "link.jpg").symlink_to(secret)
    (pictures / "folder").symlink_to(secret.parent)
    (pictures / "circle").symlink_to(pictures / "circle")
    (tmp_path / "picturesque").mkdir()
    (tmp_path / "picturesque" / "secret.jpg").write_bytes(secret.read_bytes())
    with Gallery.open(yard) as gallery:  # an entry that says to be that picture, as in a gallery of somebody else
        named = Sighting(picture_content(secret.read_bytes()), address=address.format(tmp=tmp_path))
        (number,) = gallery.engine.add([Addition(named, gallery.engine.embeddings([1])[0])])
    with serving(yard, originals=pictures) as client:
        assert code(client, number) == (404, "not_found")
        assert client.get("/api/pictures/1/original").status_code == 200


def test_links_within_the_folder_are_followed(yard, tmp_path):
    pictures = tmp_path / "pictures"
    (pictures / "one.jpg").rename(pictures / "moved.jpg")
    (pictures / "one.jpg").symlink_to("moved.jpg")
    (tmp_path / "also").symlink_to(pictures)
    with serving(yard, originals=tmp_path / "also") as client:
        assert client.get("/api/pictures/1/previews").json()["original"] == "/api/pictures/1/original"
        assert size(client.get("/api/pictures/1/original")) == (1500, 900)


def test_a_part_that_becomes_a_link_meanwhile_is_not_followed(yard, secret, tmp_path, monkeypatch):
    """Somebody who may write below the folder swaps a file for a link after its name was followed."""
    content = (tmp_path / "pictures" / "one.jpg").read_bytes()
    resolved = Path.resolve

    def swap_after(path, strict=False):
        found = resolved(path, strict=strict)
        if found.name == "one.jpg":
            secret.write_bytes(content)  # which would pass for the picture
            found.unlink()
            found.symlink_to(secret)
        return found

    with serving(yard, originals=tmp_path / "pictures") as client:
        monkeypatch.setattr(Path, "resolve", swap_after)
        assert code(client) == (404, "not_found")


@pytest.mark.parametrize("name", ["absent", "a-file"])
def test_a_folder_that_is_none_is_refused(painted_gallery, tmp_path, name):
    (tmp_path / "a-file").write_text("no folder")
    with pytest.raises(SamecarError, match=r"--originals .* (folder|is there)"):
        service(painted_gallery, originals=tmp_path / name)
