"""A gallery on a PostgreSQL server is embedded anew as one in a folder is."""

import json

import numpy as np
import pytest
from command_line import done, refused, run
from conftest import paint_picture
from galleries import make_gallery
from PIL import Image
from plain_onnx import write_model
from spread_places import bare

import samecar
from samecar.embedding.foreign import state_preprocessing
from samecar.errors import SamecarError
from samecar.retrieval.engine import all_entries
from samecar.retrieval.export import copy_gallery
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.places import create_engine
from samecar.retrieval.re_embedding import re_embed, switch_over
from samecar.retrieval.records import Judgement, Sighting


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery in a folder, and a model of another size."""
    folder = tmp_path_factory.mktemp("made")
    make_gallery(folder)
    state_preprocessing(write_model(folder / "second.onnx"), "24x16:half")
    return folder


@pytest.fixture
def address(postgres):
    return postgres.address(postgres.new_database())


@pytest.fixture
def model(made):
    return samecar.load(made / "second.onnx")


@pytest.fixture
def yard(made, address):
    """The gallery on a server; an entry is removed, and the last one too, and there is a judgement."""
    with Gallery.open(made / "yard", device="cpu") as source:
        engine = create_engine("yard", address, source.facts)
        copy_gallery(source.engine, engine)
    engine.remove([3, 12])
    engine.judge(Judgement("a" * 64, 5, True, b"jpeg"))
    engine.judge(Judgement("a" * 64, 6, False, None))
    engine.close()
    return "yard"


def content_of(gallery):
    """All that a gallery says of its entries, but for their embeddings."""
    entries = list(all_entries(gallery.engine))
    return entries, [gallery.engine.thumbnail(entry.id) for entry in entries], gallery.engine.judgements(pictures=True)


def add_one(gallery, folder):
    picture = folder / "new.png"
    paint_picture(picture, 9, 1, 0)
    gallery.add([Incoming(picture, Sighting("", address=str(picture)))])


def test_entries_keep_all_but_their_embeddings(yard, address, model, tmp_path):
    with Gallery.open(yard, engine=address, device="cpu") as gallery:
        before = content_of(gallery)
        gallery.engine.rebuild("hnsw")
    found = re_embed(yard, model, engine=address)
    assert (found.pictures, found.embedded, found.missing) == (10, 10, [])
    assert re_embed(yard, model, engine=address) == found  # nothing is embedded twice
    assert switch_over(yard, model, found, engine=address) == "yard.before"
    with (
        Gallery.open(yard, engine=address) as gallery,
        Gallery.open("yard.before", engine=address) as kept,
    ):
        assert content_of(gallery) == content_of(kept) == before
        assert (gallery.facts.model, gallery.facts.size) == (model.digest, 5)
        assert gallery.facts.index.kind == "hnsw"
        assert gallery.facts.index.recall is not None
        assert gallery.runtime == "onnxruntime, float32"
        assert gallery.check() == kept.check() == []
        pictures = [Image.open(entry.sighting.address).convert("RGB") for entry in before[0]]
        numbers = [entry.id for entry in before[0]]
        np.testing.assert_allclose(gallery.engine.embeddings(numbers), model.embed(pictures), atol=1e-3)
        assert gallery.search(pictures[:1], 1)[0].found[0].entry.id == 1
        add_one(gallery, tmp_path)
        assert max(entry.id for entry in all_entries(gallery.engine)) == 13  # that of the removed last stays its own
        gallery.engine.judge(Judgement("b" * 64, 1, True, None))
        assert [judgement.query[0] for judgement in gallery.engine.judgements()] == ["a", "a", "b"]
        assert kept.facts.size != 5
    with pytest.raises(SamecarError, match=r"holds no gallery 'yard.re-embedding'; it holds 'yard', 'yard.before'"):
        Gallery.open("yard.re-embedding", engine=address)


def test_what_is_missing_is_left_out_with_its_judgements(yard, address, model):
    with Gallery.open(yard, engine=address, device="cpu") as gallery:
        gallery.engine.update(5, lambda known: Sighting(known.content, address=""))
    found = re_embed(yard, model, engine=address)
    assert found.missing == [
        "picture without an address (entry 5) cannot be read: the gallery does not know where it lies"
    ]
    switch_over(yard, model, found, engine=address)
    with Gallery.open(yard, engine=address) as gallery:
        assert [entry.id for entry in all_entries(gallery.engine)] == [1, 2, 4, 6, 7, 8, 9, 10, 11]
        assert [judgement.entry for judgement in gallery.engine.judgements()] == [6]
        assert gallery.check() == []


def test_whoever_has_it_open_learns_of_the_switch(yard, address, model, tmp_path):
    with Gallery.open(yard, engine=address, device="cpu") as gallery:
        switch_over(yard, model, re_embed(yard, model, engine=address), engine=address)
        with pytest.raises(SamecarError, match="was replaced; open it again"):
            gallery.search_embeddings(np.eye(1, gallery.engine._size, dtype=np.float32), 1)


def test_pictures_that_were_added_meanwhile_stop_the_switch_and_nothing_is_changed(yard, address, model, tmp_path):
    found = re_embed(yard, model, engine=address)
    with Gallery.open(yard, engine=address, device="cpu") as gallery:
        add_one(gallery, tmp_path)
        before = content_of(gallery)
        with pytest.raises(SamecarError, match="1 pictures were added meanwhile; end what adds them, and give"):
            switch_over(yard, model, found, engine=address)
        assert content_of(gallery) == before
    assert re_embed(yard, model, engine=address).embedded == 11


def test_the_command_says_what_it_did_and_refuses_a_second_switch(yard, address, made, model):
    command = ("gallery", "re-embed", yard, "--run", made / "second.onnx", "--device", "cpu", "--engine", address)
    assert "Nothing is changed yet. End what uses yard, then give the same command with --switch" in done(*command)
    said = done(*command, "--switch")
    assert said.splitlines()[-1] == (
        f"yard: of model {model.digest} now, not calibrated; what it was before lies in yard.before"
    )
    assert json.loads(done("gallery", "info", yard, "--json", "--engine", address))["model"] == model.digest
    assert refused(*command) == f"yard is of model {model.digest} already; name another one with --run"
    with Gallery.open(made / "yard") as source:
        for name in ("second", "second.before"):
            create_engine(name, address, source.facts).close()
    taken = run(*(text if text != yard else "second" for text in command), "--switch")
    assert taken.status == 2
    assert "error: gallery 'second.before' is there, from a switch before this one" in taken.errors
    with Gallery.open("second", engine=address) as gallery:
        assert gallery.facts.model != model.digest


def test_a_spread_gallery_and_its_parts_are_refused(postgres, yard, address, model, monkeypatch):
    head = postgres.address(postgres.new_database())
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    done("gallery", "spread", yard, "--engine", head, "--over", bare(address))
    with pytest.raises(SamecarError, match="gallery 'yard' is spread over servers, and cannot be embedded anew"):
        re_embed(yard, model, engine=head)
    found = re_embed(yard, model, engine=address)
    with pytest.raises(SamecarError, match="gallery 'yard' is a part of one that is spread over servers"):
        switch_over(yard, model, found, engine=address)
