import errno
import io
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from tiny_run import tiny_run

from samecar.calibration.fitting import Provenance, fit_calibration
from samecar.data import open_source, read_picture
from samecar.embedding.encoder import Encoder
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.experiment.embed import bound_model
from samecar.labels import Labels
from samecar.retrieval.answers import Prior
from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery
from samecar.retrieval.incoming import Incoming, incoming_of_manifest
from samecar.retrieval.records import EVERYTHING, Filter, Sighting, picture_content, track_content

HALF_PRECISION = 2e-3
"""By which similarities of embeddings in half precision may differ."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def model(run):
    return bound_model(run)


@pytest.fixture(scope="module")
def manifest(painted_folder):
    """24 pictures of four vehicles by two cameras, and four of them again as queries."""
    return open_source(f"folder:{painted_folder}/{{split}}/{{vehicle_id}}_{{camera_id}}_*.png").of_split("gallery")


@pytest.fixture
def gallery(tmp_path, model):
    with Gallery.create(str(tmp_path / "gallery"), model) as made:
        yield made


@pytest.fixture
def filled(gallery, manifest):
    gallery.add(incoming_of_manifest(manifest))
    return gallery


def contents(gallery):
    return {entry.sighting.content for entry in gallery.engine.listed()}


def incoming(*paths, **known):
    return [Incoming(Path(path), Sighting("", address=str(path), **known)) for path in paths]


# adding


def test_what_is_added_is_found_as_brute_force_finds_it(filled, run, manifest):
    embeddings = embed(run.load_model(), manifest).matrix
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarities = unit @ unit.T  # (pictures, pictures)
    pictures = [read_picture(manifest.absolute_path(row)) for row in range(len(manifest))]
    place = {str(manifest.absolute_path(row)): row for row in range(len(manifest))}
    for row, answer in enumerate(filled.search(pictures, top=5)):
        found = [found.similarity for found in answer.found]
        rows = [place[found.entry.sighting.address] for found in answer.found]
        np.testing.assert_allclose(found, similarities[row, rows], atol=HALF_PRECISION)
        np.testing.assert_allclose(found, np.sort(similarities[row])[::-1][:5], atol=HALF_PRECISION)
        assert (answer.threshold, answer.false_alarm_rate, answer.in_gallery) == (None, None, None)
        assert {found.probability for found in answer.found} == {None}


def test_what_is_known_of_a_picture_is_kept(gallery, manifest):
    picture = Incoming(manifest.absolute_path(0), Sighting("", "there", "north", 5.0, "t1", "v1", {"lane": "2"}))
    report = gallery.add([picture])
    (entry,) = gallery.engine.listed()
    content = picture_content(manifest.absolute_path(0).read_bytes())
    assert entry.sighting == Sighting(content, "there", "north", 5.0, "t1", "v1", {"lane": "2"})
    assert (report.added, report.known, report.unreadable) == (1, 0, [])


def test_adding_again_adds_what_is_new(gallery, manifest):
    every = list(incoming_of_manifest(manifest))
    assert gallery.add(every[:10]).added == 10
    report = gallery.add(every, batch_size=4)
    assert (report.added, report.known) == (len(every) - 10, 10)
    before = gallery.engine.listed()
    report = gallery.add(replace(picture, known=replace(picture.known, camera_id="changed")) for picture in every)
    assert (report.added, report.known) == (0, len(every))
    assert gallery.engine.listed() == before


def test_the_model_is_not_read_when_nothing_is_new(filled, manifest, tmp_path, monkeypatch):
    with Gallery.open(str(tmp_path / "gallery")) as again:
        monkeypatch.setattr(again.engine, "attached", lambda name: pytest.fail("the model was read"))
        assert again.add(incoming_of_manifest(manifest)).known == len(manifest)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_one_content_twice_is_added_once(gallery, manifest, tmp_path, batch_size):
    first, second = manifest.absolute_path(0), manifest.absolute_path(1)
    copy = tmp_path / "copy.png"
    copy.write_bytes(first.read_bytes())
    report = gallery.add(incoming(first, copy, second, first, copy), batch_size=batch_size)
    assert (report.added, report.known, report.done) == (2, 3, 5)
    assert [entry.sighting.address for entry in gallery.engine.listed()] == [str(first), str(second)]


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_unreadable_pictures_are_named_and_stop_nothing(gallery, manifest, tmp_path, batch_size):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "empty-too.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(manifest.absolute_path(0).read_bytes()[:200])
    names = ("gone.jpg", "empty.jpg", "empty-too.jpg", "text.jpg", "cut.png")
    good = manifest.absolute_path(0), manifest.absolute_path(1)
    seen = []
    report = gallery.add(
        incoming(good[0], *(tmp_path / name for name in names), good[1]),
        total=7,
        batch_size=batch_size,
        progress=lambda task, done, total, note="": seen.append((task, done, total)),
    )
    assert report.added == 2
    assert {Path(sentence.split()[1]).name for sentence in report.unreadable} == set(names)
    assert len(report.unreadable) == 5
    assert seen[-1] == ("adding", 7, 7)


def test_adding_nothing_is_nothing(gallery):
    report = gallery.add([])
    assert (report.added, report.known, report.done) == (0, 0, 0)


def test_an_interruption_keeps_what_was_told(gallery, manifest, tmp_path):
    told = []

    def interrupt(task, done, total, note=""):
        told.append(done)
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.add(incoming_of_manifest(manifest), batch_size=4, progress=interrupt)
    with Gallery.open(str(tmp_path / "gallery")) as again:
        assert len(contents(again)) == told[-1] == 8
    report = gallery.add(incoming_of_manifest(manifest), batch_size=4)
    assert (report.added, report.known) == (len(manifest) - 8, 8)


def test_a_source_that_fails_keeps_what_was_told(gallery, manifest):
    def failing():
        yield from list(incoming_of_manifest(manifest))[:8]
        raise SamecarError("line 9 is wrong")

    told = []
    with pytest.raises(SamecarError, match="line 9 is wrong"):
        gallery.add(failing(), batch_size=2, progress=lambda task, done, total, note="": told.append(done))
    assert len(contents(gallery)) >= told[-1] >= 4


@pytest.mark.parametrize("name", ["large.jpg", "large.png"])
def test_thumbnails_may_be_larger_than_what_the_model_sees(tmp_path, model, name):
    Image.effect_noise((1600, 1200), 50).convert("RGB").save(tmp_path / name)
    with Gallery.create(str(tmp_path / "gallery"), model, thumbnail=640) as gallery:
        gallery.add(incoming(tmp_path / name))
        assert Image.open(io.BytesIO(gallery.engine.thumbnail(1))).size == (640, 480)


def test_thumbnails_are_small_and_upright(tmp_path, model):
    picture = Image.new("RGB", (400, 200), "red")
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    with Gallery.create(str(tmp_path / "gallery"), model, thumbnail=40) as gallery:
        gallery.add(incoming(tmp_path / "turned.jpg", tmp_path / "small.png"))
        sizes = [Image.open(io.BytesIO(gallery.engine.thumbnail(number))).size for number in (1, 2)]
    assert sizes == [(20, 40), (30, 20)]
    with Gallery.create(str(tmp_path / "bare"), model, thumbnail=0) as gallery:
        gallery.add(incoming(tmp_path / "small.png"))
        assert gallery.engine.thumbnail(1) is None


def test_embeddings_made_before_are_as_good_as_pictures(gallery, filled, run, manifest, tmp_path, model):
    embeddings = embed(run.load_model(), manifest, model_digest=run.model_digest())
    with Gallery.create(str(tmp_path / "other"), model) as other:
        assert other.add_embedded(embeddings).added == len(manifest)
        ids = [entry.id for entry in other.engine.listed()]
        np.testing.assert_allclose(other.engine.embeddings(ids), filled.engine.embeddings(ids), atol=HALF_PRECISION)
        assert other.engine.thumbnail(ids[0]) == filled.engine.thumbnail(ids[0])


def test_embeddings_of_another_model_are_refused(gallery, run, manifest, tmp_path):
    stranger = tiny_run(tmp_path / "stranger", seed=2)
    for digest in (stranger.model_digest(), f"{run.model_digest()} with flip"):
        embeddings = embed(stranger.load_model(), manifest, model_digest=digest)
        with pytest.raises(SamecarError, match=f"of model {digest}, the gallery's of {run.model_digest()}; "):
            gallery.add_embedded(embeddings)
    assert contents(gallery) == set()


def test_a_track_is_pooled_to_one_entry(gallery, model, manifest):
    pictures = [read_picture(manifest.absolute_path(row)) for row in range(3)]
    content = track_content([picture_content(manifest.absolute_path(row).read_bytes()) for row in range(3)])
    number = gallery.add_pooled(Sighting(content, camera_id="north", track_id="t1"), pictures)
    mean = model.embed(pictures).mean(axis=0)
    (stored,) = gallery.engine.embeddings([number])
    np.testing.assert_allclose(stored, mean / np.linalg.norm(mean), atol=HALF_PRECISION)
    assert gallery.engine.thumbnail(number) is not None
    assert gallery.add_pooled(Sighting(content), pictures[:1]) == number
    with pytest.raises(SamecarError, match="track 't2' has no pictures"):
        gallery.add_pooled(Sighting("0" * 64, track_id="t2"), [])


# searching


def test_filters_come_before_the_ranking(filled, manifest):
    query = read_picture(manifest.absolute_path(0))  # of camera c0
    (answer,) = filled.search([query], 12, Filter(cameras=("c1",)))
    assert {found.entry.sighting.camera_id for found in answer.found} == {"c1"}
    assert len(answer.found) == 12
    (none,) = filled.search([query], 12, Filter(cameras=("nowhere",)))
    assert none.found == []


def test_a_stored_entry_does_not_find_itself(filled):
    number = filled.engine.listed()[3].id
    answer = filled.search_like(number, top=100)
    assert len(answer.found) == 23
    assert number not in {found.entry.id for found in answer.found}
    other = filled.search_like(number, top=100, allowed=Filter(not_ids=(1, 2)))
    assert {1, 2, number}.isdisjoint(found.entry.id for found in other.found)


def test_an_entry_that_is_not_there_cannot_be_searched_like(filled):
    with pytest.raises(SamecarError):
        filled.search_like(10_000)


def test_an_empty_gallery_finds_nothing(gallery, manifest):
    (answer,) = gallery.search([read_picture(manifest.absolute_path(0))])
    assert answer.found == []
    assert gallery.search([]) == []


def test_what_a_filter_allows_is_removed(filled):
    assert filled.remove(Filter(cameras=("c0",))) == 12
    assert {entry.sighting.camera_id for entry in filled.engine.listed()} == {"c1"}
    assert filled.remove(EVERYTHING) == 12
    assert filled.remove(EVERYTHING) == 0


@pytest.fixture(scope="module")
def calibration(model):
    """Of vehicles whose embeddings are drawn: 40 centres, and four pictures near each."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(40, 1, model.embedding_size))
    matrix = (centres + generator.normal(0, 0.8, (40, 4, model.embedding_size))).reshape(160, -1).astype(np.float32)
    labels = Labels(np.repeat(np.arange(40), 4).astype(str), np.tile(["c0", "c1"], 80))
    return fit_calibration(matrix, labels, provenance=Provenance(model.digest)).calibration


def test_a_calibrated_gallery_gives_probabilities_and_a_verdict(filled, calibration, manifest, tmp_path):
    filled.attach_calibration(calibration.to_json().encode())
    query = read_picture(manifest.absolute_path(0))
    with Gallery.open(str(tmp_path / "gallery")) as again:
        assert again.calibration == calibration
        for allowed, searched in ((EVERYTHING, 24), (Filter(cameras=("c1",)), 12), (Filter(not_cameras=("c0",)), 12)):
            (answer,) = again.search([query], 5, allowed)
            similarities = [found.similarity for found in answer.found]
            pairs = calibration.probability(similarities).tolist()
            assert [found.pair_probability for found in answer.found] == pairs
            assert answer.threshold == calibration.open_set_threshold(searched)
            assert answer.in_gallery == (similarities[0] >= answer.threshold and answer.probability > 0.5)
            assert answer.false_alarm_rate == calibration.false_alarm_rate
            assert answer.prior == Prior(in_gallery=0.5, vehicles=4, source="labels", stated=False)
            together = {found.entry.sighting.vehicle_id: found.probability for found in answer.found}
            assert sum(together.values()) <= answer.probability + 1e-9
            stated = again.search([query], 5, allowed, prior=0.01)[0]
            assert (stated.threshold, stated.false_alarm_rate) == (None, None)
            assert (stated.prior.in_gallery, stated.prior.stated) == (0.01, True)
            assert stated.probability < answer.probability
        assert again.search([query])[0].in_gallery  # it is the very picture
        (nothing,) = again.search([query], 5, Filter(cameras=("nowhere",)))
        assert (nothing.found, nothing.in_gallery) == ([], False)


def test_how_many_are_shown_does_not_change_what_is_said_of_them(filled, calibration, manifest):
    filled.attach_calibration(calibration.to_json().encode())
    query = read_picture(manifest.absolute_path(5))
    every, one = filled.search([query], 24)[0], filled.search([query], 1)[0]
    assert len(one.found) == 1
    assert one == replace(every, found=every.found[:1])
    assert filled.search_like(6, 3, prior=0.9).prior.in_gallery == 0.9
    assert filled.search_views([query], 3, prior=0.9).prior.stated
    assert filled.search_embeddings(filled.engine.embeddings([6]), 3)[0].probability is not None


def test_a_vehicle_has_one_probability_however_many_pictures_show_it(filled, calibration, manifest):
    filled.attach_calibration(calibration.to_json().encode())
    (answer,) = filled.search([read_picture(manifest.absolute_path(0))], 24)
    said = {}
    for found in answer.found:
        said.setdefault(found.entry.sighting.vehicle_id, set()).add(found.probability)
    assert len(said) == 4
    assert all(len(each) == 1 for each in said.values())


@pytest.mark.parametrize(
    ("prior", "calibrated", "sentence"),
    [
        (
            0.3,
            False,
            "prior is 0.3, and the gallery is not calibrated, so that it can say no probability; leave it out",
        ),
        (1.0, True, "prior is 1.0; give a probability above 0 and below 1 that the gallery has the vehicle"),
        (0.0, True, "prior is 0.0; give a probability above 0 and below 1"),
    ],
)
def test_a_prior_that_cannot_be_used_is_refused(prior, calibrated, sentence, filled, calibration, manifest):
    if calibrated:
        filled.attach_calibration(calibration.to_json().encode())
    with pytest.raises(SamecarError, match=sentence):
        filled.search([read_picture(manifest.absolute_path(0))], prior=prior)


def test_a_calibration_by_another_process_is_noticed(filled, calibration, manifest, tmp_path, monkeypatch):
    query = read_picture(manifest.absolute_path(0))
    assert filled.search([query])[0].in_gallery is None
    with Gallery.open(str(tmp_path / "gallery")) as other:
        other.attach_calibration(calibration.to_json().encode())
    monkeypatch.setattr("samecar.retrieval.gallery.RECENT_SECONDS", 3600)
    assert filled.search([query])[0].in_gallery is None
    monkeypatch.setattr("samecar.retrieval.gallery.RECENT_SECONDS", 0)
    assert filled.search([query])[0].in_gallery
    assert filled.calibration is filled.calibration  # not read again while its file is the same


def test_a_gallery_is_made_with_its_calibration_or_not_at_all(model, calibration, tmp_path):
    other = calibration.model_copy(update={"model": "f" * 16})
    with pytest.raises(SamecarError, match="the calibration belongs to model ffff"):
        Gallery.create(str(tmp_path / "gallery"), model, calibration=other.to_json().encode())
    assert not list(tmp_path.iterdir())
    with Gallery.create(str(tmp_path / "gallery"), model, calibration=calibration.to_json().encode()) as made:
        assert made.calibration == calibration


def test_a_gallery_whose_model_cannot_be_written_is_not_there(model, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as broken:
        broken.setattr("samecar.retrieval.folder.engine.replaced_file", full)
        with pytest.raises(SamecarError, match="is full; free some space"):
            Gallery.create(str(tmp_path / "gallery"), model)
    assert not list(tmp_path.iterdir())
    Gallery.create(str(tmp_path / "gallery"), model).close()


def test_a_calibration_of_another_model_is_refused(gallery, calibration):
    other = calibration.model_copy(update={"model": "f" * 16})
    with pytest.raises(SamecarError, match="the calibration belongs to model ffff"):
        gallery.attach_calibration(other.to_json().encode())
    with pytest.raises(SamecarError, match=f"{CALIBRATION_FILE} is no calibration"):
        gallery.attach_calibration(b"{}")
    assert gallery.calibration is None


# the model and what its similarities mean


def test_a_bound_model_is_that_of_the_run(model, run):
    assert model.digest == run.model_digest()
    assert model.preprocessing == run.load_model().preprocessing
    assert (model.preprocessing.height, model.preprocessing.width) == (32, 32)
    assert model.embedding_size == run.load_model().embedding_size


def test_an_embedding_does_not_depend_on_its_batch_mates_or_on_threads(model, manifest):
    pictures = [read_picture(manifest.absolute_path(row)) for row in range(6)]
    together = model.embed(pictures)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    apart = {}
    threads = [Thread(target=lambda row=row: apart.update({row: model.embed([pictures[row]])[0]})) for row in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose([apart[row] for row in range(6)], together, atol=1e-5)
    assert model.embed([]).shape == (0, model.embedding_size)


def test_a_gallery_brings_its_model(filled, tmp_path, model):
    with Gallery.open(str(tmp_path / "gallery")) as again:
        assert again.model.digest == again.facts.model == model.digest


def test_another_model_in_the_gallery_is_noticed(filled, tmp_path):
    stranger = bound_model(tiny_run(tmp_path / "stranger", seed=2))
    filled.engine.attach("model.safetensors", stranger.files["model.safetensors"])
    with (
        Gallery.open(str(tmp_path / "gallery")) as again,
        pytest.raises(SamecarError, match=f"the model that lies in it is {stranger.digest}"),
    ):
        again.search([Image.new("RGB", (9, 9))])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.json": None}, "the model lacks model.json; it needs model.json and model.safetensors"),
        ({"model.json": b"{}"}, "model.json is no description of a model"),
        ({"model.json": b"\xff"}, "model.json is no description of a model"),
        ({"model.safetensors": b"damaged"}, "model.safetensors cannot be read"),
    ],
)
def test_a_damaged_model_is_named(model, changes, sentence):
    files = {name: content for name, content in {**model.files, **changes}.items() if content is not None}
    with pytest.raises(SamecarError, match=sentence):
        Encoder(files).load()
