import numpy as np
import pytest
from calibrations import nearly_equal_calibration
from galleries import painted
from PIL import Image

from samecar.errors import SamecarError
from samecar.retrieval.export import copy_gallery
from samecar.retrieval.gallery import WATCH_FILE, Gallery
from samecar.watching import (
    WatchList,
    change_watch_list,
    clear_watch_list,
    read_watch_list,
    watch_pictures,
)
from samecar.watching.watch_list import MOST_PICTURES, parse_watch_list


@pytest.fixture
def gallery(own_gallery):
    with Gallery.open(str(own_gallery), device="cpu") as opened:
        opened.attach_calibration(nearly_equal_calibration(opened.facts.model).to_json().encode())
        yield opened


def add(gallery, vehicle, *paths):
    pictures = watch_pictures(gallery, vehicle, paths)
    return change_watch_list(gallery, lambda old: old.with_pictures(pictures))


def test_a_list_is_kept_with_the_gallery_and_holds_what_its_model_makes_of_the_pictures(gallery, tmp_path):
    paths = [painted(tmp_path, 1, 0, 5), painted(tmp_path, 1, 1, 6)]
    add(gallery, " stolen ", *paths)
    with Gallery.open(gallery.name, device="cpu") as again:
        found = read_watch_list(again)
    assert list(found.vehicles) == ["stolen"]
    assert [picture.file for picture in found.pictures] == [path.name for path in paths]
    expected = gallery.model.embed([Image.open(path).convert("RGB") for path in paths])
    assert np.abs(found.matrix - expected).max() < 2e-3
    assert np.linalg.norm(found.matrix, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert found.model == gallery.facts.model
    assert found.false_alarm_rate is None


def test_pictures_are_added_to_a_vehicle_once_and_vehicles_are_removed(gallery, tmp_path):
    one, two, three = (painted(tmp_path, vehicle, 0, 5) for vehicle in (1, 2, 3))
    add(gallery, "a", one)
    add(gallery, "b", three)
    found = add(gallery, "a", one, two, two)
    assert {name: len(pictures) for name, pictures in found.vehicles.items()} == {"a": 2, "b": 1}
    left = change_watch_list(gallery, lambda old: old.without("a"))
    assert list(left.vehicles) == list(read_watch_list(gallery).vehicles) == ["b"]
    with pytest.raises(SamecarError, match="'a' is not in the watch list, which has 'b'"):
        change_watch_list(gallery, lambda old: old.without("a"))


def test_one_picture_is_not_that_of_two_vehicles(gallery, tmp_path):
    path = painted(tmp_path, 1, 0, 5)
    add(gallery, "a", path)
    with pytest.raises(SamecarError, match="is a picture of 'a' in the watch list already"):
        add(gallery, "b", path)


def test_the_rate_is_that_of_the_list(gallery):
    assert change_watch_list(gallery, lambda old: old.with_rate(0.001)).false_alarm_rate == 0.001
    for wrong in (0, 1, -1, float("nan")):
        with pytest.raises(SamecarError, match=r"the rate of false alarms is .*; give a share above 0 and below 1"):
            change_watch_list(gallery, lambda old, wrong=wrong: old.with_rate(wrong))
    assert read_watch_list(gallery).false_alarm_rate == 0.001


def test_a_gallery_that_is_not_calibrated_is_refused_with_the_line_to_type(own_gallery, tmp_path):
    with Gallery.open(str(own_gallery), device="cpu") as gallery, pytest.raises(SamecarError) as raised:
        add(gallery, "a", painted(tmp_path, 1, 0, 5))
    assert f"type `samecar calibrate RUN --data SOURCE` and then `samecar gallery calibrate {own_gallery}" in str(
        raised.value
    )


def test_a_list_of_another_model_or_a_damaged_one_is_refused_and_can_be_cleared(gallery):
    for content, sentence in (
        (WatchList(model="another").model_dump_json().encode(), "the watch list is of model another, and the gallery"),
        (b"{}", "is no watch list of this version of samecar"),
        (b"\xff", "is no watch list of this version of samecar"),
    ):
        gallery.engine.attach(WATCH_FILE, content)
        with pytest.raises(SamecarError, match=sentence) as raised:
            read_watch_list(gallery)
        assert "samecar watch remove --all --gallery GALLERY" in str(raised.value)
    clear_watch_list(gallery)
    assert read_watch_list(gallery).pictures == ()


def test_embeddings_that_are_cut_off_are_a_damaged_list(gallery, tmp_path):
    found = add(gallery, "a", painted(tmp_path, 1, 0, 5), painted(tmp_path, 2, 0, 5))
    cut = found.pictures[0].model_copy(update={"embedding": "AAAA"})
    broken = found.model_copy(update={"pictures": (cut, found.pictures[1])})
    with pytest.raises(SamecarError, match="is no watch list"):
        parse_watch_list(broken.model_dump_json().encode(), gallery.facts.model)


def test_too_many_pictures_are_refused(gallery, tmp_path):
    (picture,) = watch_pictures(gallery, "a", [painted(tmp_path, 1, 0, 5)])
    many = [picture.model_copy(update={"content": str(number)}) for number in range(MOST_PICTURES)]
    full = WatchList(model="m").with_pictures(many)
    with pytest.raises(SamecarError, match="would have 10,001 pictures; at most 10,000 are allowed"):
        full.with_pictures([picture])


def test_what_is_no_name_or_no_picture_is_refused(gallery, tmp_path):
    (tmp_path / "note.jpg").write_text("a note")
    with pytest.raises(SamecarError, match="the vehicle's name is empty"):
        watch_pictures(gallery, " ", [painted(tmp_path, 1, 0, 5)])
    with pytest.raises(SamecarError, match="there is no picture of 'a'"):
        watch_pictures(gallery, "a", [])
    with pytest.raises(SamecarError, match=r"note.jpg cannot be read: it is not a picture"):
        watch_pictures(gallery, "a", [tmp_path / "note.jpg"])
    with pytest.raises(SamecarError, match=r"none.jpg cannot be read: no such file"):
        watch_pictures(gallery, "a", [tmp_path / "none.jpg"])


def test_a_copy_of_a_gallery_has_its_list(gallery, tmp_path):
    add(gallery, "a", painted(tmp_path, 1, 0, 5))
    with Gallery.create(str(tmp_path / "copy"), gallery.model) as other:
        copy_gallery(gallery.engine, other.engine)
        assert list(read_watch_list(other).vehicles) == ["a"]
