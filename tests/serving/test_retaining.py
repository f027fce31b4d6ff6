"""A service that keeps nothing longer than it was told."""

import logging
import time
from dataclasses import replace

import pytest
from galleries import copy_gallery, make_gallery, serving, wait_until
from pydantic import ValidationError

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.serving import retaining
from samecar.serving.settings import ServiceSettings

DAY = 24 * 60 * 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_gallery(tmp_path_factory.mktemp("retaining"))


@pytest.fixture
def gallery(made, tmp_path):
    """A gallery, eight of whose twelve pictures are of today."""
    folder = copy_gallery(made, tmp_path)
    with Gallery.open(folder) as opened:
        for number in range(1, 9):
            opened.engine.update(number, lambda before: replace(before, time=time.time()))
    return folder


def pictures(client):
    return [picture["id"] for picture in client.get("/api/pictures").json()["pictures"]]


def test_old_pictures_are_removed_at_the_start_and_again_later(gallery, monkeypatch, caplog):
    monkeypatch.setattr(retaining, "PAUSE", 0.05)
    with serving(gallery, retain_days=1) as client:
        wait_until(lambda: pictures(client) == [1, 2, 3, 4, 5, 6, 7, 8])
        client.patch("/api/pictures/3", json={"time": str(time.time() - 2 * DAY)})
        wait_until(lambda: pictures(client) == [1, 2, 4, 5, 6, 7, 8])
    said = [record.getMessage() for record in caplog.records if record.name == retaining.__name__]
    assert said[0].startswith("removed 4 pictures from before ")
    assert ", 1 days ago, 0 of them by when they were added" in said[0]
    assert said[1].startswith("removed 1 pictures from before ")
    with Gallery.open(gallery) as opened:
        assert opened.check() == []


def test_errors_are_logged_and_it_is_tried_again(gallery, monkeypatch, caplog):
    monkeypatch.setattr(retaining, "PAUSE", 0.05)
    real, failures = retaining.remove_older, [SamecarError("the disk is full"), ZeroDivisionError("a fault")]

    def fail_first(*arguments, **options):
        if failures:
            raise failures.pop(0)
        return real(*arguments, **options)

    monkeypatch.setattr(retaining, "remove_older", fail_first)
    with serving(gallery, retain_days=1) as client:
        wait_until(lambda: len(pictures(client)) == 8)
    said = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == retaining.__name__]
    assert said[0] == (
        logging.ERROR,
        "what is older than 1 days was not removed, which is tried again: the disk is full",
    )
    assert said[1] == (logging.ERROR, "what is older than 1 days was not removed, which is tried again")
    assert said[2][1].startswith("removed 4 pictures")


def test_without_being_asked_it_removes_nothing(gallery):
    with serving(gallery) as client:
        assert len(pictures(client)) == 12


def test_a_service_ends_soon_although_it_removes(gallery, monkeypatch):
    with serving(gallery, retain_days=1):
        began = time.monotonic()
    assert time.monotonic() - began < 30


def test_a_service_that_only_reads_removes_nothing():
    with pytest.raises(
        ValidationError, match="a service that only reads removes nothing; leave out read-only or retain-days"
    ):
        ServiceSettings(read_only=True, retain_days=3)


@pytest.mark.parametrize("days", [0, -1])
def test_days_that_are_none(days):
    with pytest.raises(ValidationError, match="greater than 0"):
        ServiceSettings(retain_days=days)
