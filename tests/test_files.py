import os
import stat

import pytest

from samecar.errors import SamecarError
from samecar.files import write_file, write_folder


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
