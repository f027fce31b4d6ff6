"""`samecar gallery retain`, as a user meets it."""

import json
import time
from datetime import UTC, datetime

import pytest
from command_line import done, refused, run

from samecar.retrieval.places import open_engine

DAY = 24 * 60 * 60


@pytest.fixture
def gallery(tmp_path, trained, crops):
    """A gallery with 6 pictures of 40 days ago, 3 of yesterday and 3 without a time."""
    path = tmp_path / "gallery"
    done("gallery", "create", path, "--run", trained)
    pictures = sorted(crops.glob("*.png"))
    assert len(pictures) == 12
    for place, days in ((slice(0, 6), 40), (slice(6, 9), 1), (slice(9, 12), None)):
        for picture in pictures[place]:
            at = [] if days is None else ["--time", datetime.fromtimestamp(time.time() - days * DAY, UTC).isoformat()]
            done("gallery", "add", path, picture, "--camera", "gate" if days else "", *at)
    return path


def numbers(gallery):
    engine = open_engine(str(gallery), None)
    entries = [entry.id for entry in engine.listed()]
    engine.close()
    return entries


def test_what_is_older_is_told_and_then_removed(gallery):
    said = done("gallery", "retain", gallery, "--days", "30", "--dry-run")
    assert "6 pictures from before " in said
    assert ", 30 days ago, would be removed (by camera: gate 6)" in said
    assert len(numbers(gallery)) == 12
    said = done("gallery", "retain", gallery, "--days", "30")
    assert ", 30 days ago, removed, with all that was kept of them (by camera: gate 6)" in said
    assert numbers(gallery) == [7, 8, 9, 10, 11, 12]
    assert "nothing is from before" in done("gallery", "retain", gallery, "--days", "30")
    assert done("gallery", "check", gallery) == f"{gallery}: nothing is wrong\n"


def test_pictures_without_a_time_are_removed_by_when_they_were_added(gallery):
    found = json.loads(done("gallery", "retain", gallery, "--days", "0.00000001", "--json", "--dry-run"))
    assert (found["removed"], found["found"], found["by_addition"]) == (0, 12, 3)
    assert found["cameras"] == {"": 3, "gate": 9}
    said = done("gallery", "retain", gallery, "--days", "0.00000001", "--full")
    assert "by camera: unknown 3, gate 9; 3 have no time of their own and were added before it" in said
    assert numbers(gallery) == []


def test_what_another_embedding_left_beside_is_told(gallery):
    before = gallery.with_name("gallery.before")
    before.mkdir()
    result = run("gallery", "retain", gallery, "--days", "30")
    assert result.status == 0
    assert f"{before} holds pictures of this gallery too and was left as it is" in " ".join(result.errors.split())


@pytest.mark.parametrize("days", ["0", "-3", "nan", "1000000"])
def test_days_that_are_none(gallery, days):
    assert "days cannot be kept; give a number above 0" in refused("gallery", "retain", gallery, "--days", days)
    assert len(numbers(gallery)) == 12
