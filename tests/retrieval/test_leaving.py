"""What leaves a gallery: exports, and copies to other engines."""

import io
from dataclasses import replace

import numpy as np
import pytest
from conftest import paint_picture
from PIL import Image
from tiny_run import tiny_run

from samecar.data import Manifest, open_source
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.reading import read_split
from samecar.errors import SamecarError
from samecar.evaluation import find_protocol, score
from samecar.experiment.embed import bound_model
from samecar.retrieval.engine import all_entries
from samecar.retrieval.export import copy_gallery, export_embeddings, export_judgements, export_manifest
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming, incoming_of_manifest
from samecar.retrieval.records import Judgement, Sighting, picture_content

UPLOADED = "0f" * 32
"""Content of a query that is not in the gallery."""

WITHOUT_LANE = "a manifest has no column for these labels, which are left out: lane; `samecar gallery copy` keeps them"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return bound_model(tiny_run(tmp_path_factory.mktemp("tiny") / "run"))


@pytest.fixture
def crops(tmp_path):
    """Four vehicles by two cameras, with times and colours, and a picture without a place of its own."""
    rows = []
    for vehicle in range(4):
        for camera in range(2):
            name = f"crops/v{vehicle}_c{camera}.png"
            paint_picture(tmp_path / name, vehicle, camera, 0)
            known = {"vehicle_id": f"v{vehicle}", "camera_id": f"c{camera}", "split": "gallery"}
            rows.append({"path": name, **known, "time": str(100 * vehicle + camera), "colour": "red", "track_id": "t"})
    return Manifest.from_rows(tmp_path, rows)


def jpeg():
    content = io.BytesIO()
    Image.new("RGB", (20, 10), "blue").save(content, "JPEG")
    return content.getvalue()


@pytest.fixture
def gallery(tmp_path, model, crops):
    with Gallery.create(str(tmp_path / "gallery"), model) as made:
        made.add(
            [*incoming_of_manifest(crops), Incoming(jpeg(), Sighting("", address="upload.jpg", labels={"lane": "2"}))]
        )
        yield made


def test_an_exported_manifest_opens_as_a_source(gallery, crops, tmp_path):
    exported = export_manifest(gallery.engine, tmp_path / "out" / "gallery.csv")
    assert (exported.pictures, exported.warnings) == (9, (WITHOUT_LANE,))
    manifest = open_source(f"csv:{tmp_path}/out/gallery.csv")
    assert [manifest.absolute_path(row) for row in range(8)] == [crops.absolute_path(row) for row in range(8)]
    for name in ("vehicle_id", "camera_id", "track_id", "colour", "split"):
        assert manifest.column(name)[:8].tolist() == crops.column(name).tolist()
    assert manifest.time[0] == "1970-01-01T00:00:00Z"
    uploaded = Image.open(manifest.absolute_path(8))
    assert (uploaded.size, manifest.path[8]) == ((20, 10), f"gallery-pictures/{picture_content(jpeg())}.jpg")


def test_a_file_that_shows_something_else_by_now_is_not_exported_under_the_old_name(tmp_path, model):
    """A camera that overwrites its picture, added twice: both rows show what was added, neither the other one."""
    latest = tmp_path / "latest.png"
    with Gallery.create(str(tmp_path / "gallery"), model) as gallery:
        for vehicle in range(2):
            paint_picture(latest, vehicle, 0, 0)
            gallery.add([Incoming(latest, Sighting("", address=str(latest), vehicle_id=f"v{vehicle}"))])
        export_manifest(gallery.engine, tmp_path / "out.csv")
        exported = Manifest.read(tmp_path / "out.csv")
        paths = {vehicle: exported.absolute_path(row) for row, vehicle in enumerate(exported.vehicle_id.tolist())}
        assert paths["v1"] == latest
        assert paths["v0"].read_bytes() == gallery.engine.thumbnail(gallery.engine.listed()[0].id)


def test_a_manifest_brings_a_gallery_back(gallery, model, tmp_path):
    exported = export_manifest(gallery.engine, tmp_path / "gallery.csv")
    with Gallery.create(str(tmp_path / "again"), model) as again:
        again.add(incoming_of_manifest(open_source(f"csv:{tmp_path}/gallery.csv")))
        sightings = [entry.sighting for entry in again.engine.listed()]
    assert sightings[:8] == [entry.sighting for entry in gallery.engine.listed()][:8]
    assert (sightings[8].labels, exported.warnings) == ({}, (WITHOUT_LANE,))  # what is lost is told


def test_pictures_with_neither_file_nor_thumbnail_are_left_out_aloud(tmp_path, model, crops):
    with Gallery.create(str(tmp_path / "bare"), model, thumbnail=0) as bare:
        bare.add([Incoming(jpeg(), Sighting("", address="upload.jpg")), *incoming_of_manifest(crops)])
        exported = export_manifest(bare.engine, tmp_path / "bare.csv")
    assert exported.pictures == 8
    assert exported.warnings == ("1 pictures are left out, since neither file nor thumbnail is there: upload.jpg",)


def test_exported_embeddings_are_scored_as_those_of_the_gallery(gallery, tmp_path):
    exported = export_embeddings(gallery.engine, tmp_path / "gallery.npz")
    assert (exported.pictures, exported.warnings) == (9, (WITHOUT_LANE,))
    embeddings = Embeddings.load(tmp_path / "gallery.npz")
    assert embeddings.model == gallery.facts.model
    ids = [entry.id for entry in all_entries(gallery.engine)]
    assert np.array_equal(embeddings.matrix, gallery.engine.embeddings(ids))
    sides = read_split(tmp_path / "gallery.npz", "gallery")
    evaluation = score(sides, sides, find_protocol("plain"), distance="cosine")
    assert evaluation.cmc[1] > 0


@pytest.mark.parametrize(("write", "suffix"), [(export_manifest, "csv"), (export_embeddings, "npz")])
def test_what_a_manifest_has_no_column_for_is_named(write, suffix, gallery, tmp_path, monkeypatch):
    gallery.engine.update(1, lambda sighting: replace(sighting, track_id="t1"))
    monkeypatch.setattr("samecar.retrieval.export.COLUMNS", ("path", "vehicle_id", "camera_id", "split"))
    (warning,) = write(gallery.engine, tmp_path / f"out.{suffix}").warnings
    assert "no column for these labels, which are left out: lane, track_id;" in warning


@pytest.mark.parametrize("write", [export_manifest, export_judgements, export_embeddings])
def test_there_must_be_something_to_export(write, model, tmp_path):
    suffix = "npz" if write is export_embeddings else "csv"
    with (
        Gallery.create(str(tmp_path / "empty"), model) as empty,
        pytest.raises(SamecarError, match=r"^(the gallery is empty|nothing was judged)"),
    ):
        write(empty.engine, tmp_path / f"out.{suffix}")
    assert not list(tmp_path.glob("out*"))


def judge_some(gallery):
    """An uploaded query is the vehicle of entries 1 and 2, and not that of entry 3; entry 9 is like entry 4's."""
    contents = {entry.id: entry.sighting.content for entry in gallery.engine.listed()}
    picture = jpeg()
    for judgement in (
        Judgement(UPLOADED, 1, True, picture),
        Judgement(UPLOADED, 2, True, picture),
        Judgement(UPLOADED, 3, False, picture),
        Judgement(contents[9], 4, True),
    ):
        gallery.engine.judge(judgement)
    return contents


def test_judgements_become_labels(gallery, tmp_path):
    contents = judge_some(gallery)
    exported = export_judgements(gallery.engine, tmp_path / "labels.csv")
    assert (exported.pictures, exported.warnings) == (6, (WITHOUT_LANE,))
    manifest = open_source(f"csv:{tmp_path}/labels.csv")
    found = {str(manifest.path[row]): str(manifest.vehicle_id[row]) for row in range(6)}
    assert found == {
        f"labels-pictures/{UPLOADED}.jpg": "v0",
        "crops/v0_c0.png": "v0",
        "crops/v0_c1.png": "v0",
        "crops/v1_c0.png": "v1",
        f"labels-pictures/{contents[9]}.jpg": "v1",
        "crops/v1_c1.png": "v1",
    }
    assert set(manifest.split) == {"train"}
    assert all(manifest.absolute_path(row).is_file() for row in range(6))


def test_contradictions_are_told_and_leave_known_vehicles_alone(gallery, tmp_path):
    gallery.engine.judge(Judgement(UPLOADED, 1, True, jpeg()))
    gallery.engine.judge(Judgement(UPLOADED, 5, True, jpeg()))
    exported = export_judgements(gallery.engine, tmp_path / "labels.parquet")
    assert "known as different vehicles (v0, v2)" in exported.warnings[0]
    manifest = Manifest.read(tmp_path / "labels.parquet")
    rows = dict(zip(manifest.path.tolist(), zip(manifest.vehicle_id, manifest.split, strict=True), strict=True))
    assert rows[f"labels-pictures/{UPLOADED}.jpg"] == ("", "gallery")
    assert rows["crops/v0_c0.png"] == ("v0", "train")


# copies


@pytest.fixture(params=["folder", "postgresql"])
def target(request, tmp_path, model):
    """Makes an empty gallery in another place."""
    if request.param == "folder":
        made = Gallery.create(str(tmp_path / "copy"), model)
    else:
        server = request.getfixturevalue("postgres")
        made = Gallery.create("copy", model, engine=server.address(server.new_database()))
    with made:
        yield made


def judged_contents(engine):
    """Judgements with their pictures, by contents in place of numbers."""
    judgements = engine.judgements(pictures=True)
    entries = engine.entries([judgement.entry for judgement in judgements])
    contents = [entries[judgement.entry].sighting.content for judgement in judgements]
    return [
        (each.query, content, each.same, each.query_picture) for each, content in zip(judgements, contents, strict=True)
    ]


def test_a_copy_holds_all_and_needs_no_model(gallery, target):
    judge_some(gallery)
    gallery.engine.remove([5])  # so that numbers change
    gallery.engine.attach("calibration.json", b"{}")
    told = []
    new = copy_gallery(gallery.engine, target.engine, progress=lambda task, done, total, note="": told.append(done))
    assert (new, told[-1]) == (8, 8)
    ours, theirs = gallery.engine.listed(), target.engine.listed()
    assert [entry.sighting for entry in ours] == [entry.sighting for entry in theirs]
    matrices = [part.engine.embeddings([entry.id for entry in part.engine.listed()]) for part in (gallery, target)]
    np.testing.assert_allclose(*matrices, atol=1e-3)
    for our, their in zip(ours, theirs, strict=True):
        assert gallery.engine.thumbnail(our.id) == target.engine.thumbnail(their.id)
    assert target.engine.attached("calibration.json") == b"{}"
    assert judged_contents(target.engine) == judged_contents(gallery.engine)
    assert copy_gallery(gallery.engine, target.engine) == 0
    assert target.engine.summary() == gallery.engine.summary()


def test_a_copy_that_was_begun_is_finished(gallery, target):
    entries = gallery.engine.listed()
    first = Incoming(jpeg(), Sighting("", address="changed"))
    target.add([first])
    assert copy_gallery(gallery.engine, target.engine) == len(entries) - 1
    contents = {entry.sighting.content: entry.sighting for entry in target.engine.listed()}
    assert contents[picture_content(jpeg())] == replace(entries[-1].sighting, address="changed", labels={})


def test_a_copy_that_is_finished_later_keeps_what_was_said_in_it_meanwhile(gallery, target):
    judge_some(gallery)
    gallery.engine.attach("calibration.json", b"{}")
    copy_gallery(gallery.engine, target.engine)
    first = target.engine.judgements()[0]
    target.engine.judge(replace(first, same=not first.same))
    target.engine.attach("calibration.json", b'{"newer": 1}')
    assert copy_gallery(gallery.engine, target.engine) == 0
    said = {(judgement.query, judgement.entry): judgement.same for judgement in target.engine.judgements()}
    assert said[first.query, first.entry] is not first.same
    assert target.engine.attached("calibration.json") == b'{"newer": 1}'


def test_a_judgement_on_what_came_too_late_is_left_out(gallery, target, monkeypatch):
    judgements = gallery.engine.judgements

    def later(query=None, *, pictures=False):
        if query is None:
            gallery.add([Incoming(jpeg() + b"later", Sighting("", address="later.jpg"))])
            gallery.engine.judge(Judgement(UPLOADED, gallery.engine.listed()[-1].id, True))
        return judgements(query, pictures=pictures)

    judge_some(gallery)
    before = judgements()
    monkeypatch.setattr(gallery.engine, "judgements", later)
    copy_gallery(gallery.engine, target.engine)
    assert [judgement.query for judgement in target.engine.judgements()] == [judgement.query for judgement in before]


def test_galleries_of_different_models_are_not_mixed(gallery, tmp_path):
    stranger = bound_model(tiny_run(tmp_path / "stranger", seed=2))
    with (
        Gallery.create(str(tmp_path / "other"), stranger) as other,
        pytest.raises(SamecarError, match=f"of model {gallery.facts.model}, the gallery's of {stranger.digest}"),
    ):
        copy_gallery(gallery.engine, other.engine)
