import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import paint_picture

from samecar.data import check, open_source
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError

SYSTEM_SENTENCE = "folders of a network disk or a system, such as thumbnails, are left out"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(folder):
    warnings = []
    return list(picture_names(folder, warnings)), warnings


def test_linked_folders_are_followed_each_once(tmp_path):
    crops = touch(tmp_path / "crops", "cam1/a.jpg", "cam1/deep/b.jpg")
    touch(tmp_path / "disk", "cam2/c.jpg", "cam2/more/d.jpg")
    (crops / "cam2").symlink_to("../disk/cam2")
    (crops / "again").symlink_to(tmp_path / "disk" / "cam2" / "more")
    (crops / "circle").symlink_to("..")
    (crops / "cam1" / "self").symlink_to(crops)
    (crops / "first").symlink_to("cam1")
    names, warnings = found(crops)
    assert names == ["again/d.jpg", "cam1/a.jpg", "cam1/deep/b.jpg", "cam2/c.jpg"]
    assert len(warnings) == 1
    assert warnings[0] == (
        "4 linked folders are left out, since they are read already by another name or hold the folder itself: "
        "cam1/self, cam2/more, circle and 1 more"
    )


def test_a_circle_on_the_other_side_of_a_link_ends(tmp_path):
    crops = touch(tmp_path / "crops", "a.jpg")
    touch(tmp_path / "disk", "b.jpg")
    (crops / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(crops)
    (tmp_path / "disk" / "own").symlink_to(".")
    names, warnings = found(crops)
    assert names == ["a.jpg", "link/b.jpg"]
    assert len(warnings) == 1


def test_a_linked_root_and_linked_pictures_are_read(tmp_path):
    touch(tmp_path / "disk", "a.jpg")
    (tmp_path / "disk" / "b.jpg").symlink_to("a.jpg")
    (tmp_path / "disk" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "root").symlink_to("disk")
    assert found(tmp_path / "root") == (["a.jpg", "b.jpg", "gone.jpg"], [])


def test_a_linked_camera_counts_in_check(tmp_path):
    for vehicle in (1, 2):
        paint_picture(tmp_path / "crops" / "cam1" / f"car{vehicle}.png", vehicle, 1, 0)
        paint_picture(tmp_path / "disk" / f"car{vehicle}.png", vehicle, 2, 0)
    (tmp_path / "crops" / "cam2").symlink_to(tmp_path / "disk")
    result = check(f"folder:{tmp_path}/crops/{{camera_id}}/{{vehicle_id}}.png", workers=0)
    assert (result.splits["train"].pictures, result.splits["train"].cameras) == (4, 2)
    assert not [finding for finding in result.findings if finding.kind == "source"]


def test_what_is_left_out_is_counted_and_named(tmp_path):
    touch(
        tmp_path,
        *("a.jpg", "notes.txt", "labels.json", "Thumbs.db", ".DS_Store", "._a.jpg", "__MACOSX/._a.jpg"),
        *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "sub/@eaDir/b.png", "#recycle/c.jpg"),
        *(".hidden.jpg", ".cache/deep/d.jpg", ".git/config"),
        *("film.mp4", "e.heic", "sub/archive.zip"),
    )
    (tmp_path / "broken").symlink_to("nowhere")
    names, warnings = found(tmp_path)
    assert names == ["a.jpg"]
    assert sorted(warnings) == [
        "1 links lead nowhere and are left out: broken",
        "2 hidden pictures are left out: .cache/deep/d.jpg, .hidden.jpg",
        "3 files are left out, since their names do not end as those of pictures: e.heic, film.mp4, sub/archive.zip",
        f"3 pictures in {SYSTEM_SENTENCE}: #recycle/c.jpg, @eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg, sub/@eaDir/b.png",
    ]


def test_a_folder_of_nothing_but_others_says_what_it_holds(tmp_path):
    touch(tmp_path, "a.heic", "@eaDir/b.jpg")
    with pytest.raises(SamecarError, match=r"holds no pictures; .*; found were only: 1 files are left out.*a.heic; 1 "):
        open_source(f"folder:{tmp_path}")


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    touch(tmp_path, "a/b.jpg", "c/d.jpg", "lost+found/e.jpg")
    scandir = os.scandir

    def deny(folder):
        if Path(folder).name in ("c", "lost+found"):
            raise PermissionError(13, "Permission denied")
        return nullcontext(list(scandir(folder)))

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(SamecarError, match=r"folder .*/c cannot be read: permission denied; change who may read it"):
        found(tmp_path)
    (tmp_path / "c" / "d.jpg").unlink()
    (tmp_path / "c").rmdir()
    assert found(tmp_path) == (["a/b.jpg"], [])
