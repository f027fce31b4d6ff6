"""Writing files and folders so that nobody ever sees one half-written."""

import json
import os
import shutil
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


@contextmanager
def write_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, and renames it to `path` when the block ends without an error.

    Raises:
        SamecarError: nothing can be written there.
    """
    with _name_path(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path`, and renames it to `path`, which must not exist, when the block ends.

    Raises:
        SamecarError: nothing can be written there, or it is there already.
    """
    with _name_path(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    temporary.chmod(0o777 & ~_umask())
    try:
        yield temporary
        try:
            temporary.rename(path)
        except OSError as error:  # a link, or where a disk is mounted, cannot be replaced, even if it is empty
            raise SamecarError(
                f"{path} cannot be made: {error.strerror}; name a new folder, such as {path / 'new'}"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _name_path(path: Path) -> Iterator[None]:
    """Says which path cannot be written, not which temporary one."""
    try:
        yield
    except OSError as error:
        raise SamecarError(f"{path} cannot be written: {error.strerror}; choose another place") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        SamecarError: the file is absent or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SamecarError(f"{path} cannot be read: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with write_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
