import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import done, refused, run
from conftest import paint_picture
from galleries import make_gallery
from PIL import Image
from plain_onnx import write_model

import samecar
from samecar.embedding.foreign import state_preprocessing
from samecar.errors import SamecarError
from samecar.retrieval.engine import all_entries
from samecar.retrieval.gallery import WATCH_FILE, Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.re_embedding import re_embed, switch_over
from samecar.retrieval.records import Judgement, Sighting, crop_content, picture_content, track_content
from samecar.watching import WatchedPicture, WatchList, read_watch_list


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery of which an entry is removed and the last one too, with a judgement, and a model of another size."""
    folder = tmp_path_factory.mktemp("made")
    make_gallery(folder)
    with Gallery.open(folder / "yard", device="cpu") as gallery:
        gallery.engine.remove([3, 12])
        gallery.engine.judge(Judgement("a" * 64, 5, True, b"jpeg"))
    state_preprocessing(write_model(folder / "second.onnx"), "24x16:half")
    return folder


@pytest.fixture
def place(made, tmp_path):
    """A folder with a copy of both; pictures lie where they were."""
    for name in ("yard", "second.onnx", "second.onnx.json"):
        copy = shutil.copytree if (made / name).is_dir() else shutil.copy
        copy(made / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def model(place):
    return samecar.load(place / "second.onnx")


def content_of(gallery):
    """All that a gallery says of its entries, but for their embeddings."""
    entries = list(all_entries(gallery.engine))
    return entries, [gallery.engine.thumbnail(entry.id) for entry in entries], gallery.engine.judgements(pictures=True)


def test_entries_keep_all_but_their_embeddings(place, model):
    with Gallery.open(place / "yard") as gallery:
        before = content_of(gallery)
    found = re_embed(place / "yard", model)
    assert (found.pictures, found.embedded, found.missing) == (10, 10, [])
    old = switch_over(place / "yard", model, found)
    assert old == str(place / "yard.before")
    assert sorted(path.name for path in place.glob("yard*")) == ["yard", "yard.before"]
    with Gallery.open(place / "yard") as gallery, Gallery.open(old) as kept:
        assert content_of(gallery) == content_of(kept) == before
        assert (gallery.facts.model, gallery.facts.size) == (model.digest, 5)
        assert gallery.runtime == "onnxruntime, float32"
        assert gallery.check() == []
        pictures = [Image.open(entry.sighting.address).convert("RGB") for entry in before[0]]
        numbers = [entry.id for entry in before[0]]
        np.testing.assert_allclose(gallery.engine.embeddings(numbers), model.embed(pictures), atol=1e-3)
        assert gallery.search(pictures[:1], 1)[0].found[0].entry.id == 1
        new = place / "new.png"
        paint_picture(new, 9, 1, 0)
        gallery.add([Incoming(new, Sighting("", address=str(new)))])
        assert max(entry.id for entry in all_entries(gallery.engine)) == 13  # that of the removed last stays its own
        assert kept.facts.size != 5
    assert (place / "yard").stat().st_mode & 0o777 == 0o700


def test_what_was_embedded_before_an_interruption_is_not_read_again(place, model, monkeypatch):
    first_reading = Incoming.read
    read = []

    def stop_later(incoming):
        read.append(incoming.name)
        if len(read) > 4:
            raise KeyboardInterrupt
        return first_reading(incoming)

    monkeypatch.setattr("samecar.retrieval.adding.BATCH_SIZE", 2)
    monkeypatch.setattr(Gallery.add, "__kwdefaults__", {**Gallery.add.__kwdefaults__, "batch_size": 2, "workers": 1})
    monkeypatch.setattr(Incoming, "read", stop_later)
    with pytest.raises(KeyboardInterrupt):
        re_embed(place / "yard", model, workers=1)
    kept = Gallery.open(place / "yard.re-embedding")
    held = kept.engine.summary().pictures
    kept.close()
    assert 0 < held < 10
    read.clear()
    monkeypatch.setattr(Incoming, "read", lambda incoming: read.append(incoming.name) or first_reading(incoming))
    assert re_embed(place / "yard", model).embedded == 10
    assert len(read) == 10 - held


def test_what_is_missing_is_named_and_left_out_only_if_that_is_allowed(place, model):
    moved = place / "own"
    with Gallery.open(place / "yard") as gallery:
        for number, change in ((1, "gone.png"), (2, "other.png"), (4, "")):
            sighting = gallery.engine.entries([number])[number].sighting
            address = str(moved / change) if change else ""
            gallery.engine.update(number, lambda known, address=address: Sighting(known.content, address=address))
        shutil.copytree(Path(sighting.address).parent, moved)
    paint_picture(moved / "other.png", 8, 8, 8)
    found = re_embed(place / "yard", model)
    assert (found.pictures, found.embedded) == (10, 7)
    assert sorted(found.missing) == [
        f"picture {moved}/gone.png (entry 1) cannot be read: no such file or directory",
        f"picture {moved}/other.png (entry 2) cannot be read: another picture lies there now",
        "picture without an address (entry 4) cannot be read: the gallery does not know where it lies",
    ]
    command = ("gallery", "re-embed", place / "yard", "--run", place / "second.onnx", "--device", "cpu")
    kept = run(*command, "--switch")
    assert kept.status == 2
    assert kept.errors.splitlines()[-1] == (
        "error: 3 entries would be left out; bring their pictures back, or say --allow-missing"
    )
    said = run(*command, "--switch", "--allow-missing")
    assert said.status == 0
    assert said.errors.count("warning: missing: picture") == 3
    with Gallery.open(place / "yard") as gallery:
        assert [entry.id for entry in all_entries(gallery.engine)] == [5, 6, 7, 8, 9, 10, 11]
        assert gallery.check() == []


def test_tracks_are_pooled_again_from_the_crops_that_were_written(place, model):
    crops = [np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8) for seed in range(3)]
    content = track_content([crop_content(crop) for crop in crops])
    stem = place / f"monday-0007-car-{content[:12]}"
    for number, crop in enumerate(crops, 1):
        Image.fromarray(crop).save(f"{stem}-{number}.png")
    unwritten = track_content([content])
    with Gallery.open(place / "yard", device="cpu") as gallery:
        pictures = [Image.fromarray(crop) for crop in crops]
        track = Sighting(content, address=f"{stem}-1.png", track_id=f"monday/7/{content[:12]}")
        number = gallery.add_pooled(track, pictures)
        gallery.add_pooled(Sighting(unwritten, track_id=f"monday/8/{unwritten[:12]}"), pictures)
    found = re_embed(place / "yard", model)
    (sentence,) = found.missing
    assert sentence.startswith(f"picture of track monday/8/{unwritten[:12]} (entry 14) cannot be read: no crops were")
    switch_over(place / "yard", model, found)
    mean = model.embed(pictures).astype(np.float64).mean(axis=0)
    with Gallery.open(place / "yard") as gallery:
        np.testing.assert_allclose(gallery.engine.embeddings([number])[0], mean / np.linalg.norm(mean), atol=1e-3)


def test_a_track_whose_crops_are_others_is_missing(place, model):
    Image.new("RGB", (40, 40)).save(place / f"yard-{'c' * 12}-1.png")
    with Gallery.open(place / "yard", device="cpu") as gallery:
        track = Sighting("c" * 64, address=str(place / f"yard-{'c' * 12}-1.png"))
        gallery.add_pooled(track, [Image.new("RGB", (40, 40))])
    (sentence,) = re_embed(place / "yard", model).missing
    assert sentence.endswith(f"its crops {place}/yard-{'c' * 12}-*.png are not those that it was made of")


def test_a_picture_whose_file_is_named_by_its_content_is_no_track(place, model):
    paint_picture(place / "new.png", 9, 1, 0)
    path = place / f"{picture_content((place / 'new.png').read_bytes())}.png"
    (place / "new.png").rename(path)
    with Gallery.open(place / "yard", device="cpu") as gallery:
        gallery.add([Incoming(path, Sighting("", address=str(path)))])
    found = re_embed(place / "yard", model)
    assert (found.embedded, found.missing) == (11, [])


def test_what_is_open_learns_of_the_switch(place, model):
    picture = place / "new.png"
    paint_picture(picture, 9, 1, 0)
    sentence = f"yard was switched over to model {model.digest} after it was opened; open it again, or start the ser"
    with Gallery.open(place / "yard", device="cpu") as gallery:
        gallery.search([Image.open(picture).convert("RGB")])
        switch_over(place / "yard", model, re_embed(place / "yard", model))
        for ask in (
            lambda: gallery.search([Image.open(picture).convert("RGB")]),
            lambda: gallery.add([Incoming(picture, Sighting("", address=str(picture)))]),
        ):
            with pytest.raises(SamecarError, match=sentence):
                ask()


def test_a_watch_list_of_the_old_model_is_not_lost_in_silence(place, model):
    with Gallery.open(place / "yard") as gallery:
        watched = WatchedPicture(vehicle="a", file="a.jpg", content="0", added="2026-01-01T00:00:00Z", embedding="ADw=")
        content = WatchList(model=gallery.facts.model, pictures=(watched,)).model_dump_json().encode()
        gallery.engine.attach(WATCH_FILE, content)
    switch_over(place / "yard", model, re_embed(place / "yard", model))
    with Gallery.open(place / "yard") as gallery, pytest.raises(SamecarError, match="the watch list is of model"):
        read_watch_list(gallery)


def test_another_index_is_made_again(place, model):
    with Gallery.open(place / "yard") as gallery:
        gallery.engine.rebuild("int8")
    switch_over(place / "yard", model, re_embed(place / "yard", model))
    with Gallery.open(place / "yard") as gallery:
        assert (gallery.facts.index.kind, gallery.facts.index.pictures, gallery.check()) == ("int8", 10, [])


def test_a_calibration_that_is_none_stops_the_switch(place, model):
    found = re_embed(place / "yard", model)
    with pytest.raises(SamecarError, match="calibration"):
        switch_over(place / "yard", model, found, calibration=b"{}")
    assert sorted(path.name for path in place.glob("yard*")) == ["yard", "yard.re-embedding"]


def test_pictures_that_were_added_meanwhile_stop_the_switch(place, model):
    found = re_embed(place / "yard", model)
    picture = place / "new.png"
    paint_picture(picture, 9, 1, 0)
    with Gallery.open(place / "yard", device="cpu") as gallery:
        gallery.add([Incoming(picture, Sighting("", address=str(picture)))])
    with pytest.raises(SamecarError, match="1 pictures were added meanwhile; end what adds them, and give the command"):
        switch_over(place / "yard", model, found)
    assert re_embed(place / "yard", model).embedded == 11


def test_the_command(place):
    command = ("gallery", "re-embed", place / "yard", "--run", place / "second.onnx", "--device", "cpu")
    digest = samecar.load(place / "second.onnx").digest
    said = done(*command)
    assert said.splitlines() == [
        f"{place}/yard: 10 of 10 pictures have embeddings of model {digest}, 0 are missing",
        f"Nothing is changed yet. End what uses {place}/yard, then give the same command with --switch",
    ]
    assert json.loads(done("gallery", "info", place / "yard", "--json"))["model"] != digest
    said = done(*command, "--switch")
    assert said.splitlines()[-1] == (
        f"{place}/yard: of model {digest} now, not calibrated; what it was before lies in {place}/yard.before"
    )
    assert json.loads(done("gallery", "info", place / "yard", "--json"))["model"] == digest
    assert refused(*command) == f"{place}/yard is of model {digest} already; name another one with --run"


def test_bad_input_is_one_sentence(place, model):
    command = ("gallery", "re-embed", place / "yard", "--run", place / "second.onnx", "--device", "cpu")
    done(*command)
    state_preprocessing(place / "second.onnx", "24x16:none")
    other = samecar.load(place / "second.onnx").digest
    assert refused(*command) == (
        f"{place}/yard.re-embedding holds embeddings of model {model.digest}, not of {other}; name that model, or "
        "remove the folder"
    )
    state_preprocessing(place / "second.onnx", "24x16:half")
    (place / "yard.before").mkdir()
    finished = run(*command, "--switch")
    assert finished.status == 2
    assert f"{place}/yard.before is there, from a switch before this one" in finished.errors
    assert "is no gallery" in refused("gallery", "re-embed", place / "none", "--run", place / "second.onnx")
    assert not (place / "none.re-embedding").exists()
