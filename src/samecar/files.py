"""Writing files and folders so that nobody ever sees one half-written, not even after a power cut."""

import ctypes
import errno
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samecar.errors import SamecarError


def as_path(given: str | os.PathLike[str], name: str) -> Path:
    """A path that was given as a string or as a Path.

    Args:
        given: what was given.
        name: what to call it in errors.

    Raises:
        SamecarError: it is neither, or empty.
    """
    if not (text := as_text(given, name, "a path")):
        raise SamecarError(f"{name} is empty; give a path")
    return Path(text)


def as_text(given: str | os.PathLike[str], name: str, wanted: str) -> str:
    """The text of what was given as a string or as a Path; `wanted` is what to say in the error that it should be.

    Raises:
        SamecarError: it is neither.
    """
    if not isinstance(given, str | os.PathLike):
        raise SamecarError(f"{name} is of type {type(given).__name__}; give {wanted}, as a string or a Path")
    return os.fspath(given)


def expand_home(path: str) -> Path:
    """A path that `~` may begin; where nobody knows whose home that is, it stays as it is written."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Numbers of Linux's renameat2: paths go from the folder of the process, and both names stay in use."""

UNFINISHED = ".unfinished-"
"""Begins the names of folders in which something is written that has not got its name yet."""

LARGEST_FILE = 1 << 30
"""Bytes of a description, a list, a table or a picture that are read; none that is meant so comes near."""

LARGEST_MODEL = 1 << 32
"""Bytes of a model's file that are read: a billion numbers."""

MANY_FILES = 100
"""From so many on, one request for everything that the system has not written yet is quicker than one for each file."""


@contextmanager
def write_file(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Gives a temporary path in a folder beside `path`, and renames it to `path` when the block ends without an error.

    By then it is safe on the disk: after a power cut `path` is what it was before, or what was written.

    Args:
        path: of the file.
        mode: of the file; None gives it that of other files.

    Raises:
        SamecarError: nothing can be written there.
    """
    with _say_if_full(path), _unfinished_beside(path) as folder:
        temporary = folder / path.name
        temporary.touch()
        yield temporary
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)  # some libraries make files with one of their own
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)


@contextmanager
def write_folder(path: Path, mode: int | None = None, group: str | None = None) -> Iterator[Path]:
    """Gives a temporary folder, and renames it to `path`, which must not exist, when the block ends without an error.

    By then all that is in it is safe on the disk.

    Args:
        path: of the folder.
        mode: of the folder, and without the right to execute of the files in it; None gives them that of others.
        group: that they are to belong to, and what is written into them later too; None leaves it to the system.

    Raises:
        SamecarError: nothing can be written there, it is there already, or there is no such group of this user's.
    """
    with _say_if_full(path), _unfinished_beside(path) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        _set_modes(temporary, mode, group)
        _sync_all(temporary)
        try:
            temporary.rename(path)
        except OSError as error:  # a link, or where a disk is mounted, cannot be replaced, even if it is empty
            raise SamecarError(
                f"{path} cannot be made: {error.strerror}; name a new folder, such as {path / 'new'}"
            ) from error
        sync(path.parent)


def exchange_folders(first: Path, second: Path) -> None:
    """Gives two folders each other's names: on Linux in one step, elsewhere `first` is not there for a moment.

    Raises:
        OSError: the system refuses, and both have their names still.
    """
    if sys.platform == "linux":
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
        if not exchange(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE):
            sync(first.parent)
            return
        if (number := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS):  # else this disk cannot do it
            raise OSError(number, os.strerror(number), str(first))
    aside = second.with_name(f"{second.name}.exchanged")
    second.rename(aside)
    first.rename(second)
    aside.rename(first)
    sync(first.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder and those that it lies in, if they are not there, so that a power cut does not take them away."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are safe on the disk, where a system can be asked for it."""
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks know no such request
            raise
    finally:
        os.close(descriptor)


def clear_unfinished(folder: Path) -> None:
    """Removes what killed processes left behind while they wrote into a folder; what is being written now stays."""
    for unfinished in folder.glob(f"{UNFINISHED}*"):
        with _lock_folder(unfinished) as locked:
            if locked:
                shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _unfinished_beside(path: Path) -> Iterator[Path]:
    """A locked folder beside a path, which is removed in the end."""
    with _name_path(path):
        make_folder(path.parent)
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
    try:
        with _lock_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def contents(folder: Path, lock: str = "") -> list[Path]:
    """What a folder holds, but for a lock file of that name and what killed processes left half-written."""
    return [path for path in folder.iterdir() if path.name != lock and not path.name.startswith(UNFINISHED)]


@contextmanager
def _lock_folder(folder: Path) -> Iterator[bool]:
    """Locks a folder for this process, and tells whether that could be done; Windows does not lock folders."""
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it has just been removed
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody else has locked it, or nothing can be locked there
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _set_modes(folder: Path, mode: int | None, group: str | None) -> None:
    """Gives a new folder and all files in it a mode and a group."""
    given = 0o777 & ~_umask() if mode is None else mode
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        if group is not None:
            _give_to_group(path, group)
        inherited = stat.S_ISGID if group is not None and path.is_dir() else 0  # what is written into it has its group
        path.chmod(given | inherited if path.is_dir() else given & 0o666)


def _give_to_group(path: Path, group: str) -> None:
    try:
        shutil.chown(path, group=group)
    except (LookupError, OSError, ImportError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is none of that name"
        raise SamecarError(
            f"group {group!r} cannot be given the files: {reason}; name a group that this user is in"
        ) from error


def _sync_all(folder: Path) -> None:
    """Waits until a new folder and all files in it are safe on the disk."""
    written = [folder, *folder.rglob("*")]
    if len(written) >= MANY_FILES and hasattr(os, "sync"):
        os.sync()
        return
    for path in reversed(written):
        if not path.is_symlink():
            sync(path)


NO_ROOM = {
    errno.ENOSPC: "the disk that holds {path} is full",
    errno.EDQUOT: "no more may be stored on the disk that holds {path}",
    errno.EFBIG: "no file as large as {path} may be written",
}
"""What the system says where there is no room, and how to say it."""


def no_room_sentence(path: Path, number: int) -> str:
    """Says that there is no room for a file or folder, for a number of `NO_ROOM`."""
    return f"{NO_ROOM[number].format(path=path)}; free some space and do it again, what was stored before is safe"


@contextmanager
def _say_if_full(path: Path) -> Iterator[None]:
    """Says which path there is no room for."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise SamecarError(no_room_sentence(path, error.errno)) from error


@contextmanager
def _name_path(path: Path) -> Iterator[None]:
    """Says which path cannot be written, not which temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise SamecarError(f"{path} cannot be written: {error.strerror}; choose another place") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        SamecarError: the file is absent or damaged.
    """
    try:
        return parse_json(read_whole(path).decode())
    except OSError as error:
        raise SamecarError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SamecarError(f"{path} cannot be read: {error}") from error


def parse_json(text: str | bytes) -> Any:
    """Reads JSON as `json.loads` does.

    Raises:
        ValueError: it is none, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read_whole(path: Path, most: int = LARGEST_FILE) -> bytes:
    """The bytes of a file that others may have made.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, has more bytes, or is a pipe, a device or a folder, some of which never end.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # the system itself refuses a folder
        raise OSError(errno.EINVAL, "it is no file", str(path))
    if found.st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return path.read_bytes()


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with write_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
