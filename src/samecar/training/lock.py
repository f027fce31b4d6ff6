"""A run folder belongs to one process at a time; what a process holds is free again when the process ends."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from samecar.errors import SamecarError
from samecar.files import clear_unfinished, make_folder

LOCK_FILE = "training.lock"
"""Stands in a run folder while a process holds it, and names that process; a killed one leaves it behind, unlocked."""


class HeldError(SamecarError):
    """Another process, or another thread of this one, trains in the folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keeps everybody else from training in a folder, which is made if it is not there, for as long as the block lasts.

    The system ends the hold with the process, however that ends; processes that were forked meanwhile have no share in
    it. What killed ones left half-written there is removed. The thread that holds a folder may hold it again. Folders
    that were made for nothing are removed.

    Raises:
        HeldError: somebody else holds the folder; it is not waited for.
        SamecarError: it is no folder, or nothing can be written or locked there.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = _lock_of(folder)
    try:
        make_folder(folder)
        lock.acquire()
    except Timeout:
        raise HeldError(
            f"{folder} is being trained in by {_holder(folder)}; wait until that has ended, or choose another folder"
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise SamecarError(f"{folder} is not a folder; choose another one for the run") from None
    except OSError as error:
        raise SamecarError(f"{folder} cannot be locked for a run: {error.strerror}; choose another folder") from error
    try:
        with suppress(OSError):  # the words are a help, not the lock; Windows writes to no locked file
            (folder / LOCK_FILE).write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        for place in (folder, *filter(Path.is_dir, folder.iterdir())):
            clear_unfinished(place)
        yield
    finally:
        if lock.lock_counter == 1:
            _release(lock, folder)
        else:
            lock.release()
        for path in made:
            with suppress(OSError):  # as a rule there is a run in it
                path.rmdir()


def is_held(folder: Path) -> bool:
    """Whether somebody else trains in a folder; what a killed process left behind is removed."""
    lock = _lock_of(folder)
    if lock.lock_counter or not (folder / LOCK_FILE).exists():
        return False
    try:
        lock.acquire()
    except Timeout:
        return True
    except FileNotFoundError:  # the folder has just been removed
        return False
    _release(lock, folder)
    return False


def _lock_of(folder: Path) -> FileLock:
    """The one lock that this process has for a folder, by whatever name it is called."""
    return FileLock(folder.resolve() / LOCK_FILE, timeout=0, is_singleton=True, fallback_to_soft=False)


def _release(lock: FileLock, folder: Path) -> None:
    """Removes the file while it is still held: who waits for it notices, and makes a new one."""
    with suppress(OSError):  # Windows removes no open file
        (folder / LOCK_FILE).unlink()
    lock.release()


def _holder(folder: Path) -> str:
    try:
        return (folder / LOCK_FILE).read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"
