"""One look at every file: is it readable, how large is it, which bytes does it hold, what does it look like."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from samecar.data.pictures import FIRST_OF_SEVERAL, GREY_BITS_TAKEN, UnreadablePictureError, decode_picture
from samecar.errors import naming_extra
from samecar.files import read_whole
from samecar.hardware import available_cores, process_pool
from samecar.progress import Progress, silent

FEATURELESS_DEVIATION: Final = 4.0
"""A thumbnail whose grey values (0-255) deviate less than this shows nothing that a hash could tell apart."""

_CHUNK: Final = 64
_WORTH_PROCESSES: Final = 512


@dataclass(frozen=True)
class Inspection:
    """What one file is.

    Attributes:
        missing: there is no such file.
        reason: why no picture can be read from it; "" if one can.
        digest: SHA-256 of its bytes; "" if it is missing.
        width: in pixels, upright; 0 if unreadable.
        height: in pixels, upright; 0 if unreadable.
        look: 64-bit perceptual hash; None if unreadable or featureless.
        grey_bits: bits that its grey values seem to have, where it is fewer than the file's; None otherwise.
        first_of_several: whether the file holds more frames or pages.
    """

    missing: bool = False
    reason: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    look: int | None = None
    grey_bits: int | None = None
    first_of_several: bool = False


def inspect_files(paths: Sequence[Path], workers: int | None = None, progress: Progress = silent) -> list[Inspection]:
    """Looks at files, in order.

    Args:
        paths: what to look at; need not exist.
        workers: processes; as many as there are cores if not given, 0 or 1 for none but this one.
        progress: is told how far the work is.

    Raises:
        SamecarError: a worker process ended before its work was done.
    """
    if not paths:
        return []
    texts = [str(path) for path in paths]
    processes = min(available_cores() if workers is None else workers, -(-len(paths) // _CHUNK))
    if processes <= 1 or len(paths) < _WORTH_PROCESSES:
        return list(_report_progress(map(inspect_file, texts), len(paths), progress))
    with process_pool(processes, "reads pictures") as pool:
        return list(_report_progress(pool.map(inspect_file, texts, chunksize=_CHUNK), len(paths), progress))


def inspect_file(path: str) -> Inspection:
    """Reads a file once and tells what it is."""
    try:
        content = read_whole(Path(path))
    except FileNotFoundError:
        return Inspection(missing=True)
    except (OSError, ValueError) as error:  # ValueError: the name holds a null byte
        return Inspection(reason=(getattr(error, "strerror", None) or str(error)).lower())
    digest = hashlib.sha256(content).hexdigest()
    try:
        picture = decode_picture(content, path)
    except UnreadablePictureError as error:
        return Inspection(reason=error.reason, digest=digest)
    return Inspection(
        digest=digest,
        width=picture.width,
        height=picture.height,
        look=_look(picture),
        grey_bits=picture.info.get(GREY_BITS_TAKEN),
        first_of_several=picture.info[FIRST_OF_SEVERAL],
    )


def _look(picture: Image.Image) -> int | None:
    grey = picture.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    if np.asarray(grey).std() < FEATURELESS_DEVIATION:
        return None
    with naming_extra("near copies need"):
        import imagehash

    return int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes(), "big")


def _report_progress(inspections: Iterator[Inspection], total: int, progress: Progress) -> Iterator[Inspection]:
    for done, inspection in enumerate(inspections, start=1):
        yield inspection
        if done % _CHUNK == 0 or done == total:
            progress("reading", done, total)
