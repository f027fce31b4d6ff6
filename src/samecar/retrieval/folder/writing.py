"""One writer at a time, files that outlast a power cut, and what is said when the store cannot be used."""

import errno
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samecar.errors import SamecarError
from samecar.files import NO_ROOM, no_room_sentence, write_file

PATIENCE = 10.0
"""Seconds that a writer waits for another one; adding a batch takes less than one."""

_PAUSE = 0.02  # seconds between two attempts

_NO_ROOM_BESIDE = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP)

_DAMAGE: dict[int | None, str] = {
    sqlite3.SQLITE_INTERRUPT: "it takes more work than anything of its size can need",
    sqlite3.SQLITE_TOOBIG: "it holds a value that is larger than any that samecar writes",
}
"""What SQLite says where a limit of ours was passed, and how to say it."""

_PROCESS_DIGITS = 10  # the file keeps its length, so that a full disk is no hindrance

_LOCKED_BYTE = 1 << 10  # Windows locks single bytes, and lets nobody read them: this one lies behind the file's end


class DamagedCatalogueError(Exception):
    """What is wrong with a catalogue, said of "it"; `translate_errors` makes a sentence of it."""


class OtherWriterError(SamecarError):
    """Somebody else is writing to the gallery."""


class WriterLock:
    """Lets one engine write to a gallery at a time; may be taken again by the thread that holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    @contextmanager
    def held(self, patience: float = PATIENCE) -> Iterator[None]:
        """Holds the lock.

        Raises:
            OtherWriterError: another process holds it.
            SamecarError: it cannot be taken at all.
        """
        if not self._thread_lock.acquire(timeout=patience):
            raise self._refusal(os.getpid())
        try:
            if not self._depth:
                self._descriptor = self._take(patience)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    unlock_file(self._descriptor)
                    os.close(self._descriptor)
        finally:
            self._thread_lock.release()

    def _take(self, patience: float) -> int:
        with translate_errors(self._path.parent):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, file_mode(self._path.parent))
            try:
                self._wait(descriptor, time.monotonic() + patience)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, str(os.getpid()).ljust(_PROCESS_DIGITS).encode())
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor

    def _wait(self, descriptor: int, end: float) -> None:
        while True:
            try:
                return lock_file(descriptor)
            except BlockingIOError:
                if time.monotonic() >= end:
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    raise self._refusal(os.read(descriptor, _PROCESS_DIGITS).decode().strip()) from None
            time.sleep(_PAUSE)

    def _refusal(self, process: int | str) -> OtherWriterError:
        return OtherWriterError(
            f"{self._path.parent} is being written to by process {process}; wait until that is done"
        )


def lock_file(descriptor: int) -> None:
    """Locks an open file for this process alone; the lock ends with the process at the latest.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: files cannot be locked there.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK)) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock_file(descriptor: int) -> None:
    """Ends what `lock_file` began; where closing the file does so at once, it is left to that."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Does what `write_file` does with a file of a gallery, for those who may use its folder."""
    with translate_errors(path.parent), write_file(path, file_mode(path.parent)) as temporary:
        yield temporary


def file_mode(folder: Path) -> int:
    """The mode of files for those who may use the folder that they lie in."""
    return folder.stat().st_mode & 0o666


@contextmanager
def translate_errors(folder: Path) -> Iterator[None]:
    """Says in one sentence why a gallery's files cannot be used.

    Raises:
        SamecarError: the disk is full, a file is damaged, or the system refuses.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise SamecarError(_sqlite_sentence(folder, error)) from error
    except DamagedCatalogueError as error:
        raise SamecarError(_damaged_sentence(folder, str(error))) from error
    except UnicodeEncodeError as error:
        raise SamecarError(f"{error.object!r} is not valid text; give names that UTF-8 can write") from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SamecarError(no_room_sentence(folder, error.errno)) from error
        raise SamecarError(f"{folder} cannot be used: {error.strerror or error}") from error


def lacks_room(error: BaseException | None) -> bool:
    """Whether SQLite found no room for a file, be it one that it keeps beside a catalogue while that is read."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF == sqlite3.SQLITE_FULL or code in _NO_ROOM_BESIDE)


def _sqlite_sentence(folder: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF  # the higher bits tell details
    if lacks_room(error):
        return no_room_sentence(folder, errno.ENOSPC)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged_sentence(folder, str(error))
    if primary in _DAMAGE:
        return _damaged_sentence(folder, _DAMAGE[primary])
    return f"{folder / 'catalogue.sqlite'} cannot be used: {error}"


def _damaged_sentence(folder: Path, reason: str) -> str:
    return f"{folder / 'catalogue.sqlite'} is damaged ({reason}); put the gallery back from a backup"
