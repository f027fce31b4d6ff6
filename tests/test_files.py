import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from samecar.errors import SamecarError
from samecar.files import (
    MANY_FILES,
    clear_unfinished,
    exchange_folders,
    expand_home,
    make_folder,
    write_file,
    write_folder,
)


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_appears_whole_with_the_rights_that_others_get(tmp_path, umask):
    path = tmp_path / "new" / "file.txt"
    with write_file(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "all of it"
    assert mode(path) == 0o666 & ~umask
    assert list(path.parent.iterdir()) == [path]
    assert os.umask(umask) == umask


def test_a_folder_appears_whole_with_the_rights_that_others_get(tmp_path, umask):
    path = tmp_path / "new" / "folder"
    with write_folder(path) as temporary:
        (temporary / "part").write_text("1")
        assert not path.exists()
    assert (path / "part").read_text() == "1"
    assert mode(path) == 0o777 & ~umask
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the system, in order: to keep a file or folder safe, and to rename one."""
    calls = []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename

    def note_fsync(descriptor):
        calls.append(("sync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def noting(move):
        def note_move(path, target):
            calls.append(("move", path.stat().st_ino))
            return move(path, target)

        return note_move

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", noting(replace))
    monkeypatch.setattr(Path, "rename", noting(rename))
    return calls


def test_a_file_is_safe_on_the_disk_before_it_gets_its_name_and_then_the_name_is(tmp_path, asked):
    with write_file(tmp_path / "new" / "file") as temporary:
        temporary.write_text("all of it")
        asked.clear()
    file, folder = (tmp_path / "new" / "file").stat().st_ino, (tmp_path / "new").stat().st_ino
    assert asked == [("sync", file), ("move", file), ("sync", folder)]


@pytest.mark.parametrize("files", [3, MANY_FILES])
def test_all_that_is_in_a_folder_is_safe_before_it_gets_its_name(files, tmp_path, asked, monkeypatch):
    monkeypatch.setattr(os, "sync", lambda: asked.append(("sync", "all")), raising=False)
    with write_folder(tmp_path / "folder") as temporary:
        (temporary / "inner").mkdir()
        for number in range(files):
            (temporary / "inner" / str(number)).write_text("part")
        asked.clear()
    moved = asked.index(("move", (tmp_path / "folder").stat().st_ino))
    written = {path.stat().st_ino for path in (tmp_path / "folder", *(tmp_path / "folder").rglob("*"))}
    before = {what for _, what in asked[:moved]}
    assert before == ({"all"} if files >= MANY_FILES else written)
    assert asked[moved + 1 :] == [("sync", tmp_path.stat().st_ino)]


def test_folders_that_are_made_are_safe_in_those_that_they_lie_in(tmp_path, asked):
    make_folder(tmp_path / "a" / "b")
    assert asked == [("sync", place.stat().st_ino) for place in (tmp_path, tmp_path / "a")]
    make_folder(tmp_path / "a" / "b")
    assert len(asked) == 2


def test_files_that_a_library_keeps_for_their_owner_get_the_rights_of_others(tmp_path, umask):
    def write_secretly(path):
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    with write_file(tmp_path / "file") as temporary:
        write_secretly(temporary)
    with write_folder(tmp_path / "folder") as temporary:
        write_secretly(temporary / "part")
    assert mode(tmp_path / "file") == mode(tmp_path / "folder" / "part") == 0o666 & ~umask


KILLED = """
import sys
from pathlib import Path
from samecar.files import write_file, write_folder
with write_file(Path(sys.argv[1]) / "file") as file, write_folder(Path(sys.argv[1]) / "folder") as folder:
    file.write_text("half")
    (folder / "part").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    (tmp_path / ".mine").write_text("keep")
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        before = set(tmp_path.iterdir())
        clear_unfinished(tmp_path)
        assert set(tmp_path.iterdir()) == before
        assert len(before) == 3
        process.kill()
        process.wait()
    clear_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / ".mine"]


def fail_within(written, path, error):
    with written(path) as temporary:
        (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(error):
        fail_within(write_file, path, error)
    with pytest.raises(error):
        fail_within(write_folder, tmp_path / "folder", error)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_but_a_folder_is_not(tmp_path):
    (tmp_path / "file").write_text("before")
    with write_file(tmp_path / "file") as temporary:
        temporary.write_text("after")
    assert (tmp_path / "file").read_text() == "after"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("keep")
    with (
        pytest.raises(SamecarError, match=f"{tmp_path}/folder cannot be made: .*not empty; name a new folder"),
        write_folder(tmp_path / "folder") as temporary,
    ):
        (temporary / "part").write_text("1")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["mine"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("written", [write_file, write_folder])
def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path, written):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / "inside.txt"
    with pytest.raises(SamecarError, match=f"{path} cannot be written: .+; choose another place"), written(path):
        pass


def test_a_home_is_known_or_its_path_stays(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of-somebody")
    assert expand_home("~/a/~") == Path("/home/of-somebody/a/~")
    assert expand_home("~nobody-at-all/a") == Path("~nobody-at-all/a")


@pytest.mark.parametrize("system", [sys.platform, "darwin"])
def test_folders_are_given_each_others_names(system, tmp_path, monkeypatch):
    monkeypatch.setattr("samecar.files.sys.platform", system)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    exchange_folders(tmp_path / "first", tmp_path / "second")
    assert [(tmp_path / name / "file").read_text() for name in ("first", "second")] == ["second", "first"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("system", [sys.platform, "darwin"])
def test_folders_of_which_one_is_absent_keep_their_names(system, tmp_path, monkeypatch):
    monkeypatch.setattr("samecar.files.sys.platform", system)
    (tmp_path / "first").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange_folders(tmp_path / "first", tmp_path / "second")
    assert (tmp_path / "first").is_dir()
