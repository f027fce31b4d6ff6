import json

import pytest
from calibrations import nearly_equal_calibration
from galleries import painted
from test_webhook import event, receiving

from samecar.errors import SamecarError
from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import Sighting
from samecar.watching import EventSettings, announcing, change_watch_list, watch_pictures
from samecar.watching.events import EventFile


@pytest.fixture
def gallery(own_gallery, tmp_path):
    """A gallery that looks for the vehicle of one picture, which it does not hold yet."""
    with Gallery.open(str(own_gallery), device="cpu") as opened:
        opened.attach_calibration(nearly_equal_calibration(opened.facts.model).to_json().encode())
        pictures = watch_pictures(opened, "stolen", [painted(tmp_path, 3, 0, 9)])
        change_watch_list(opened, lambda old: old.with_pictures(pictures))
        yield opened


def add(gallery, tmp_path):
    wanted, other = painted(tmp_path, 3, 0, 9), painted(tmp_path, 4, 1, 9)
    known = Sighting("", camera_id="gate", track_id="t1")
    return gallery.add([Incoming(wanted, known), Incoming(other, Sighting("", camera_id="gate", track_id="t2"))])


def test_events_go_to_a_file_and_to_a_program(gallery, tmp_path, monkeypatch):
    path = tmp_path / "seen.jsonl"
    path.write_text("before\n")
    with receiving() as receiver:
        monkeypatch.setenv("SAMECAR_WEBHOOK", receiver.address)
        said = []
        with announcing(gallery, EventSettings(events=str(path)), tell=said.append, warn=said.append):
            add(gallery, tmp_path)
            before, line = path.read_text().splitlines()  # while pictures are still being added
    assert before == "before"
    told = json.loads(line)
    assert (told["vehicle"], told["camera_id"], told["track_id"], told["picture"]) == (
        "stolen",
        "gate",
        "t1",
        "v03_c0_9.png",
    )
    assert told["similarity"] > 0.9999
    assert receiver.got == [told]
    assert said == []


def test_without_either_a_person_is_told(gallery, tmp_path):
    said = []
    with announcing(gallery, tell=said.append, warn=said.append):
        add(gallery, tmp_path)
    (sentence,) = said
    assert sentence.startswith("seen: stolen by camera gate, entry 13 of ")


def test_a_list_without_a_calibration_is_refused(gallery, own_gallery, tmp_path):
    (own_gallery / "model" / CALIBRATION_FILE).unlink()
    with (
        Gallery.open(str(own_gallery), device="cpu") as again,
        pytest.raises(SamecarError, match=r"is not calibrated, so that nobody can say .*`samecar gallery calibrate"),
        announcing(again, tell=print, warn=print),
    ):
        pass


def test_a_file_that_cannot_be_written_is_refused_or_told_and_stops_nobody(gallery, tmp_path):
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(SamecarError, match=r"events is '.*folder', which cannot be written: is a directory"),
        announcing(gallery, EventSettings(events=str(tmp_path / "folder")), tell=print, warn=print),
    ):
        pass
    told = []
    full = EventFile("/dev/full", told.append)
    full.send(event(1))
    full.send(event(2))
    full.close()
    assert told == [
        "events cannot be written to /dev/full: no space left on device",
        "2 events could not be written to /dev/full",
    ]


def test_seconds_below_nought_are_refused():
    for wrong in (-1, float("nan")):
        with pytest.raises(SamecarError, match=r"same_passage_seconds is .*; give 0 or more"):
            EventSettings(same_passage_seconds=wrong)
