import logging
import shutil

import numpy as np
import pytest
from PIL import Image

import samecar
from samecar.embedding import kept
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.kept import embed_once
from samecar.errors import SamecarError
from samecar.progress import silent

COUNT = 6


def set_in(folder, pattern="{vehicle_id}_{camera_id}"):
    return samecar.open_source(f"folder:{folder}/{pattern}.png")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(COUNT):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / f"v{number}_c1.png")
    return folder


class Reddest:
    """Embeds a picture as its red and its square; counts the sets that it was given."""

    def __init__(self, size=2):
        self.sets, self.size = 0, size

    def __call__(self, manifest, progress):
        self.sets += 1
        reds = []
        for row in range(len(manifest)):
            try:
                reds.append(Image.open(manifest.absolute_path(row)).getpixel((0, 0))[0])
            except OSError as error:
                raise SamecarError(f"{manifest.path[row]} cannot be read") from error
        matrix = np.array([[red, red**2, *[0] * (self.size - 2)] for red in reds], np.float32)
        progress("embedding", len(reds), len(reds))
        return Embeddings(matrix, manifest, "a model", runtime="a runtime")


def test_a_set_is_embedded_once(pictures, tmp_path):
    embed, told = Reddest(), []
    first = embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    again = embed_once(set_in(pictures), "one", embed, tmp_path / "kept", lambda *said: told.append(said))
    assert embed.sets == 1
    np.testing.assert_array_equal(again.matrix, [[40 * number, (40 * number) ** 2] for number in range(COUNT)])
    assert again.matrix.dtype == np.float32
    assert (again.model, again.runtime) == (first.model, first.runtime) == ("a model", "a runtime")
    assert again.labels.vehicle_id.tolist() == [f"v{number}" for number in range(COUNT)]
    assert told == [("embedding", COUNT, COUNT, "kept from before")]


def test_the_same_bytes_elsewhere_and_other_labels_are_not_embedded_again(pictures, tmp_path):
    embed = Reddest()
    embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    shutil.copytree(pictures, tmp_path / "elsewhere")
    moved = embed_once(
        set_in(tmp_path / "elsewhere", "{camera_id}_{vehicle_id}"), "one", embed, tmp_path / "kept", silent
    )
    assert embed.sets == 1
    assert moved.labels.vehicle_id.tolist() == ["c1"] * COUNT
    assert str(moved.manifest.root).endswith("elsewhere")


@pytest.mark.parametrize("what", ["picture", "order", "fewer", "model"])
def test_whatever_changes_an_embedding_has_the_set_embedded_anew(pictures, tmp_path, what):
    embed = Reddest()
    manifest, identity = set_in(pictures), "one"
    embed_once(manifest, identity, embed, tmp_path / "kept", silent)
    if what == "picture":
        Image.new("RGB", (8, 8), (7, 0, 0)).save(pictures / "v3_c1.png")
    elif what == "order":
        manifest = manifest.select([*reversed(range(COUNT))])
    elif what == "fewer":
        manifest = manifest.select([*range(COUNT - 1)])
    else:
        identity = "another"
    found = embed_once(manifest, identity, embed, tmp_path / "kept", silent)
    assert embed.sets == 2
    np.testing.assert_array_equal(found.matrix, Reddest()(manifest, silent).matrix)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", None])
def test_damaged_ones_are_made_anew(pictures, tmp_path, caplog, damage):
    embed = Reddest()
    embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:200] if damage is None else damage)
    found = embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    assert embed.sets == 2
    assert found.matrix[1].tolist() == [40, 1600]
    assert f"{file.name} is damaged" in caplog.text
    embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    assert embed.sets == 2


def test_what_was_not_asked_for_longest_goes_first(pictures, tmp_path, monkeypatch):
    embed = Reddest(size=5000)  # 120,000 bytes a set
    for name in ("one", "two"):
        embed_once(set_in(pictures), name, embed, tmp_path / "kept", silent)
    monkeypatch.setattr(kept, "MOST_BYTES", 300_000)
    embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    embed_once(set_in(pictures), "three", embed, tmp_path / "kept", silent)
    assert (embed.sets, len([*(tmp_path / "kept").iterdir()])) == (3, 2)
    embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    assert embed.sets == 3  # two is the one that went
    embed_once(set_in(pictures), "two", embed, tmp_path / "kept", silent)
    assert embed.sets == 4


def test_a_set_that_is_too_large_is_not_kept(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 47)
    embed_once(set_in(pictures), "one", Reddest(), tmp_path / "kept", silent)
    assert not (tmp_path / "kept").exists()


def test_a_picture_that_cannot_be_read_is_named_by_whoever_embeds(pictures, tmp_path):
    manifest = set_in(pictures)
    (pictures / "v2_c1.png").unlink()
    with pytest.raises(SamecarError, match=r"v2_c1\.png cannot be read"):
        embed_once(manifest, "one", Reddest(), tmp_path / "kept", silent)
    assert not (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_written_is_said_and_nothing_else(pictures, tmp_path, caplog):
    (tmp_path / "kept").write_text("a file")
    embed = Reddest()
    with caplog.at_level(logging.WARNING):
        found = embed_once(set_in(pictures), "one", embed, tmp_path / "kept", silent)
    assert len(found) == COUNT
    assert "does not keep the embeddings" in caplog.text
