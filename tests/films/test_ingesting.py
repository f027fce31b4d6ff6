import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from film_making import ColourDetector, paint_vehicle, road, write_film
from PIL import Image
from tiny_run import tiny_run

from samecar.errors import SamecarError
from samecar.experiment.embed import bound_model
from samecar.films import Detections, FilmSettings, Frame, YoloxDetector, ingest, open_film, passages
from samecar.films.choosing import Crop
from samecar.films.sketching import Sketcher
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import track_content

START = 1_800_000_000.0
SETTINGS = FilmSettings(minimum_size=24, pool=4)


def traffic():
    """Five seconds: a car drives by, then a bus the other way; a truck stands at the border all the time."""
    for i in range(50):
        picture = road()
        paint_vehicle(picture, "truck", -5, 85)
        paint_vehicle(picture, "car", 12 * i - 40, 10)
        paint_vehicle(picture, "bus", 12 * (45 - i), 45, width=60, height=40)
        yield picture


class OtherLight:
    """Finds painted vehicles in pictures that were made half as strong and lighter."""

    def detect(self, picture, least):
        return ColourDetector().detect(2 * (np.clip(picture.astype(int), 60, 187) - 60), least)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "monday.mov", list(traffic()))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return bound_model(tiny_run(tmp_path_factory.mktemp("tiny") / "run"))


@pytest.fixture
def gallery(tmp_path, model):
    with Gallery.create(str(tmp_path / "gallery"), model) as made:
        yield made


def ingest_film(film, gallery, **options):
    return ingest(film, gallery, ColourDetector(), **{"camera": "north", "settings": SETTINGS, **options})


def by_kind(gallery):
    return {entry.sighting.labels["type"]: entry for entry in gallery.engine.listed()}


def test_each_vehicle_that_passes_becomes_one_entry(film, gallery):
    report = ingest_film(film, gallery, start=START)
    assert (report.film, report.frames, report.tracks) == ("monday.mov", 25, 3)
    assert (report.added, report.known, report.left_out, report.warnings) == (2, 0, 1, ())
    assert report.seconds == pytest.approx(4.9)
    entries = by_kind(gallery)
    assert entries.keys() == {"car", "bus"}
    car, bus = entries["car"].sighting, entries["bus"].sighting
    assert {car.camera_id, bus.camera_id} == {"north"}
    assert car.track_id.startswith("monday/")
    assert car.track_id != bus.track_id
    assert car.labels["film"] == "monday.mov"
    # The car enters from the left in the fourth frame and is whole in the fifth; it is at the border in frame 20.
    first, last = map(float, car.labels["seconds"].split("-"))
    assert first == pytest.approx(0.4, abs=0.3)
    assert last == pytest.approx(2.2, abs=0.3)
    assert first < car.time - START < last
    assert bus.time > car.time
    assert car.address == ""


def test_an_entry_is_the_mean_of_its_crops_brought_to_length_one(film, gallery, model, tmp_path):
    ingest_film(film, gallery, crops=tmp_path / "crops")
    for kind, entry in by_kind(gallery).items():
        stem, number, mark = entry.sighting.track_id.split("/")
        assert entry.sighting.content.startswith(mark)
        paths = sorted((tmp_path / "crops").glob(f"{stem}-{int(number):04d}-{kind}-{mark}-*.png"))
        assert 2 <= len(paths) <= 4
        assert entry.sighting.address == str(paths[0].resolve())
        mean = model.embed([Image.open(path).convert("RGB") for path in paths]).mean(axis=0)
        stored = gallery.engine.embeddings([entry.id])[0]
        assert stored @ mean / np.linalg.norm(mean) == pytest.approx(1, abs=1e-3)
        assert np.linalg.norm(stored) == pytest.approx(1, abs=1e-3)
        for path in paths:
            picture = np.asarray(Image.open(path))
            size = (44, 33) if kind == "car" else (66, 44)
            assert np.abs(np.array(picture.shape[1::-1]) - size).max() <= 2
    assert len(list((tmp_path / "crops").iterdir())) <= 8


def test_a_gallery_with_previews_keeps_the_pictures_of_a_passage_and_their_moments(film, model, tmp_path):
    with Gallery.create(tmp_path / "large", model, thumbnail=16, preview=320) as large:
        ingest_film(film, large, start=START, crops=tmp_path / "crops")
        for entry in large.engine.listed():
            previews = large.engine.previews(entry.id)
            sighting = entry.sighting
            crops = sorted(
                (tmp_path / "crops").glob(f"*-{sighting.content[:12]}-*.png"),
                key=lambda path: int(path.stem.rpartition("-")[2]),
            )
            assert len(previews) == len(crops) > 1
            for preview, path in zip(previews, crops, strict=True):
                with Image.open(io.BytesIO(preview.picture)) as kept, Image.open(path) as crop:
                    assert kept.size == crop.size
                    assert np.abs(np.asarray(kept, int) - np.asarray(crop, int)).mean() < 12  # as JPEG has it
            first, last = map(float, sighting.labels["seconds"].split("-"))
            seconds = [preview.seconds for preview in previews]
            assert seconds[0] == pytest.approx(sighting.time - START, abs=1e-6)
            assert len(set(seconds)) == len(seconds)
            assert first - 0.06 <= min(seconds) <= max(seconds) <= last + 0.06  # which the label rounds


def test_the_same_film_again_adds_nothing(film, gallery):
    ingest_film(film, gallery)
    before = gallery.engine.listed()
    report = ingest_film(film, gallery)
    assert (report.tracks, report.added, report.known, report.left_out) == (3, 0, 2, 1)
    assert gallery.engine.listed() == before


def test_another_camera_or_time_is_not_taken_over_in_silence(film, gallery):
    ingest_film(film, gallery, start=START)
    before = gallery.engine.listed()
    for changed in ({"start": START + 3600}, {"camera": "south", "start": START}, {"camera": "south"}):
        report = ingest_film(film, gallery, **changed)
        assert (report.added, report.known, report.kept_otherwise) == (0, 2, 2)
        (warning,) = report.warnings
        assert "2 known already are kept with another camera or time" in warning
        assert "--label film=monday.mov" in warning
    assert gallery.engine.listed() == before
    assert ingest_film(film, gallery, start=START).warnings == ()
    assert ingest_film(film, gallery).warnings == ()  # who says no time contradicts none


def test_an_interruption_keeps_what_has_passed_and_the_rest_is_added_later(film, gallery, tmp_path, model):
    def interrupt(task, done, total, note=""):
        if gallery.engine.summary().pictures:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_film(film, gallery, progress=interrupt)
    assert by_kind(gallery).keys() == {"car"}
    report = ingest_film(film, gallery)
    assert (report.added, report.known) == (1, 1)
    with Gallery.create(str(tmp_path / "whole"), model) as whole:
        ingest_film(film, whole)
        assert [e.sighting for e in whole.engine.listed()] == [e.sighting for e in gallery.engine.listed()]


def test_films_of_one_name_keep_their_crops_and_tracks_apart(film, gallery, tmp_path):
    """The same cars in another light, filmed in another folder: same numbers, same kinds, other pictures."""
    other = write_film(tmp_path / "monday.mov", [picture // 2 + 60 for picture in traffic()])
    crops = tmp_path / "crops"
    ingest_film(film, gallery, crops=crops)
    before = {path.name: path.read_bytes() for path in crops.iterdir()}
    ingest_film(film, gallery, crops=crops, settings=FilmSettings(minimum_size=24, pool=2))
    ingest(other, gallery, OtherLight(), camera="south", settings=SETTINGS, crops=crops)
    sightings = [entry.sighting for entry in gallery.engine.listed()]
    assert len(sightings) == 6
    assert len({sighting.track_id for sighting in sightings}) == 6
    assert len({sighting.address for sighting in sightings}) == 6
    assert {name: (crops / name).read_bytes() for name in before} == before
    for sighting in sightings:
        paths = crops.glob(Path(sighting.address).name.replace("-1.png", "-*.png"))
        digests = [Crop(0, 0, np.asarray(Image.open(path))).content for path in paths]
        assert track_content(digests) == sighting.content


def test_crops_that_are_written_later_are_found_by_their_entries(film, gallery, tmp_path):
    ingest_film(film, gallery)
    assert {entry.sighting.address for entry in gallery.engine.listed()} == {""}
    assert ingest_film(film, gallery, crops=tmp_path / "crops").known == 2
    written = {str(path.resolve()) for path in (tmp_path / "crops").glob("*-1.png")}
    assert {entry.sighting.address for entry in gallery.engine.listed()} == written
    ingest_film(film, gallery, crops=tmp_path / "again")
    assert {entry.sighting.address for entry in gallery.engine.listed()} == written  # these are still there


def test_a_file_that_is_no_crop_of_the_film_is_not_overwritten(film, gallery, tmp_path):
    ingest_film(film, gallery, crops=tmp_path / "crops")
    best = Path(by_kind(gallery)["car"].sighting.address)
    written = best.stat().st_mtime_ns
    assert ingest_film(film, gallery, crops=tmp_path / "crops").known == 2
    assert best.stat().st_mtime_ns == written
    for content in (b"a note", None):
        if content is None:
            Image.new("RGB", (44, 33)).save(best)
        else:
            best.write_bytes(content)
        there = best.read_bytes()
        with pytest.raises(SamecarError, match=f"{best.name} is there already and is not this crop; choose another"):
            ingest_film(film, gallery, crops=tmp_path / "crops")
        assert best.read_bytes() == there


def test_progress_tells_frames_of_all_frames(film, gallery):
    told = []
    ingest_film(film, gallery, progress=lambda task, done, total, note="": told.append((task, done, total)))
    assert told[0] == ("frames", 1, 25)
    assert told[-1] == ("frames", 25, 25)


def test_drawn_frames_show_a_box_around_each_vehicle(film, gallery, tmp_path):
    ingest_film(film, gallery, draw=tmp_path / "drawn")
    paths = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in paths] == [f"monday-{second:08.2f}.png" for second in range(5)]
    with open_film(film) as opened:
        frames = list(opened.frames(1))
    drawn = np.asarray(Image.open(paths[1]))
    changed = (drawn != frames[1].picture).any(axis=2)
    left, top = 12 * 10 - 40, 10  # of the car after one second
    assert changed[top, left : left + 40].all()
    assert changed[top : top + 30, left].all()
    assert not changed[45:65, :100].any()  # between the car and the truck's name, which stands above its box


def test_a_pause_is_not_made_up_for_with_drawings(tmp_path):
    sketch = Sketcher(tmp_path, "film", sure=0.4)
    nothing = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), ())
    for time in (0, 0.5, 1.2, 1.8, 2.1, 600, 600.2, 600.4, 601.1):
        sketch(Frame(time, np.zeros((40, 60, 3), np.uint8)), nothing, {})
    drawn = sorted(float(path.stem.rpartition("-")[2]) for path in tmp_path.iterdir())
    assert drawn == [0, 1.2, 2.1, 600, 601.1]


def test_unsure_detections_that_belong_to_no_track_are_not_drawn(tmp_path):
    boxes = np.array([[20, 20, 60, 50], [100, 20, 140, 50]], np.float32)
    found = Detections(boxes, np.array([0.5, 0.3], np.float32), ("car", "car"))
    Sketcher(tmp_path, "road", 0.4)(Frame(0, road()), found, {})
    drawn = np.asarray(Image.open(tmp_path / "road-00000.00.png"))
    assert (drawn[20, 20:60] != road()[20, 20:60]).any(axis=1).all()
    assert (drawn[:, 90:] == road()[:, 90:]).all()


def test_names_stay_within_the_frame(tmp_path):
    boxes = np.array([[225, 0, 240, 20]], np.float32)
    Sketcher(tmp_path, "road", 0.4)(Frame(0, road()), Detections(boxes, np.array([0.9], np.float32), ("bus",)), {})
    changed = (np.asarray(Image.open(tmp_path / "road-00000.00.png")) != road()).any(axis=2)
    assert changed.any(axis=0)[200:].all()
    assert changed.any(axis=0).sum() < 60


def test_a_truncated_film_gives_what_it_holds_and_says_so(film, gallery, tmp_path):
    half = tmp_path / "half.mov"
    content = film.read_bytes()
    half.write_bytes(content[: len(content) * 6 // 10])
    report = ingest_film(half, gallery)
    assert report.added >= 1
    (sentence,) = report.warnings
    assert re.search(r"half.mov is truncated: it ends after [23]\.\d of 4.9 seconds", sentence)


def test_a_film_without_vehicles_adds_nothing(gallery, tmp_path):
    report = ingest_film(write_film(tmp_path / "empty.mov", [road()] * 10), gallery)
    assert (report.frames, report.tracks, report.added) == (5, 0, 0)


def test_a_camera_without_a_name_is_refused(film, gallery):
    with pytest.raises(SamecarError, match="--camera is empty"):
        ingest_film(film, gallery, camera=" ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames_per_second", 0),
        ("frames_per_second", float("nan")),
        ("minimum_confidence", 1),
        ("minimum_size", 0),
        ("pool", 0),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(SamecarError, match=f"{name} is {value}; give "):
        FilmSettings(**{name: value})


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "classes", "vehicles"),
    [
        ("ahmetozlu_input_video.mp4", ("car", "bus", "truck"), 8),
        ("intel_car-detection.mp4", ("car", "bus", "truck", "67"), 4),  # seen from above, cars are taken for telephones
        ("udacity_test_video.mp4", ("car", "bus", "truck"), 2),
    ],
)
def test_real_films_give_one_passage_for_each_vehicle_that_one_can_see(name, classes, vehicles):
    data = Path(os.environ["SAMECAR_TEST_DATA"])
    detector = YoloxDetector.open(data / "detector" / "yolox_nano.onnx", classes)
    with open_film(data / "films" / name) as film:
        found = [passage for passage in passages(film, detector) if passage.crops]
    assert len(found) == vehicles
    assert film.warnings == []
