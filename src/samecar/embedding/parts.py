"""Embeddings of a large set are kept on disk part by part, so that embedding goes on where it was stopped."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from samecar.data.copies import name_pictures
from samecar.data.manifest import Manifest
from samecar.embedding.embeddings import NOT_STATED, Embeddings
from samecar.errors import SamecarError
from samecar.files import clear_unfinished, contents, make_folder, read_json, sync, write_json
from samecar.progress import Progress

PART: Final = 4096
"""Pictures of a part; of all batches' usual sizes a multiple, so that parts change no batch."""

_MATRIX, _PROGRESS = "matrix.npy", "progress.json"


def embed_in_parts(
    manifest: Manifest,
    model: str,
    embed: Callable[[Manifest, Progress], Embeddings],
    folder: Path,
    progress: Progress,
    *,
    reference: bool = False,
) -> Embeddings:
    """Embeds a set of more than `PART` pictures part by part; memory holds the embeddings of one.

    Args:
        manifest: which pictures.
        model: the digest that the embeddings will name.
        embed: embeds some of the pictures.
        folder: keeps what is done. Where it holds parts of the same model and the same files, unchanged, the rest alone
            is embedded; other parts are replaced.
        progress: is told how far all of it is.
        reference: whether torch in float32 embeds, which then made all parts.

    Returns:
        Embeddings whose matrix lies in the folder, and is read as it is used.

    Raises:
        SamecarError: as `embed` does, or the folder cannot be written, or holds something else.
    """
    total = len(manifest)
    if total <= PART:
        return embed(manifest, progress)
    _refuse_others(folder)
    identity = _identify(manifest, model, reference)
    done, runtimes = _find_done(folder, identity)
    while done < total:
        part = embed(manifest.select(range(done, min(done + PART, total))), _of_all(progress, done, total))
        runtimes |= {part.runtime}
        try:
            done = _keep(folder, part, done, total)
            write_json(folder / _PROGRESS, {"embedded": identity, "rows": done, "runtimes": sorted(runtimes)})
        except OSError as error:
            raise SamecarError(f"{folder} cannot be written: {error.strerror}; give another name") from error
    matrix = np.load(folder / _MATRIX, mmap_mode="r")
    return Embeddings(matrix, manifest, model, name_pictures(manifest), " and ".join(sorted(runtimes)))


@contextmanager
def keep_parts_beside(path: Path) -> Iterator[Path]:
    """Gives a folder for the parts of a file, beside it; they are removed when the block ends without an error."""
    folder = path.with_name(f"{path.name}.parts")
    yield folder
    with suppress(OSError):  # the file is written, and what is left takes room alone
        _remove(folder)


def _refuse_others(folder: Path) -> None:
    """Refuses a folder in which something lies that is no part, and what is no folder."""
    if folder.exists() and not folder.is_dir():
        raise SamecarError(f"{folder} would keep what is embedded until it is written, and is a file; move it away")
    others = [path for path in contents(folder) if path.name not in (_MATRIX, _PROGRESS)] if folder.exists() else []
    if others:
        raise SamecarError(
            f"{folder} would keep what is embedded until it is written, and holds {others[0].name}; move it away, or "
            "write to another name"
        )


def _remove(folder: Path) -> None:
    """Removes parts, and their folder where nothing else lies in it."""
    if not folder.is_dir():
        return
    clear_unfinished(folder)
    for name in (_MATRIX, _PROGRESS):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _identify(manifest: Manifest, model: str, reference: bool) -> str:
    """What changes when the model, a file or the order of the files does; files are told by size and time."""
    told = hashlib.sha256(f"{model} {reference}".encode())
    for row in range(len(manifest)):
        path = manifest.absolute_path(row)
        try:
            found = path.stat()
            told.update(f"\n{path} {found.st_size} {found.st_mtime_ns}".encode())
        except (OSError, ValueError):  # whoever embeds it says so
            told.update(f"\n{path}".encode())
    return told.hexdigest()[:16]


def _find_done(folder: Path, identity: str) -> tuple[int, set[str]]:
    """How many rows a folder keeps of what is embedded, and what ran the model for them; none of a damaged one."""
    try:
        told = read_json(folder / _PROGRESS)
    except (OSError, SamecarError):
        return 0, set()
    known = isinstance(told, dict) and told.get("embedded") == identity and (folder / _MATRIX).is_file()
    return (int(told["rows"]), set(told.get("runtimes", [NOT_STATED]))) if known else (0, set())


def _keep(folder: Path, part: Embeddings, done: int, total: int) -> int:
    """Writes a part's rows behind the first ones; gives how many there are then."""
    path = folder / _MATRIX
    if not done:
        _remove(folder)
        make_folder(folder)
        matrix: Any = np.lib.format.open_memmap(path, "w+", part.matrix.dtype, (total, part.matrix.shape[1]))
    else:
        matrix = np.load(path, mmap_mode="r+")
    matrix[done : done + len(part)] = part.matrix
    matrix.flush()
    sync(path)
    return done + len(part)


def _of_all(progress: Progress, before: int, every: int) -> Progress:
    """Tells how far all is of how far a part is."""

    def tell(task: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG001 - of the part
        progress(task, before + done, every, note)

    return tell
