"""Opening whatever gives frames: a film, a folder of frames, or a camera's address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samecar.addresses import is_address, shown_address
from samecar.errors import SamecarError
from samecar.files import as_path
from samecar.films.live.stream import open_stream
from samecar.films.sources.base import FrameSource
from samecar.films.sources.film import open_film
from samecar.films.sources.folder import BY_NAME, FrameFolder, FrameTimes


@contextmanager
def open_frames(
    given: str | Path, start: float | None = None, times: FrameTimes = BY_NAME, threads: int | None = None
) -> Iterator[FrameSource]:
    """Opens a film, a folder of frames, or a camera's stream for the block.

    Args:
        given: path of a film or a folder, or an address such as rtsp://camera/1.
        start: when it begins, in seconds since 1970-01-01 UTC; None where nobody knows, or where frames say it.
        times: where the times of a folder's frames stand.
        threads: that decode video; None leaves their number to the decoder.

    Raises:
        SamecarError: there is nothing to read there, or something was given that it does not need.
    """
    if isinstance(given, str) and is_address(given):
        if start is not None or times != BY_NAME:
            name = "times" if start is None else "start"
            raise SamecarError(
                f"{name} is given, and times of {shown_address(given)} are those at which frames come; leave it out"
            )
        with open_stream(given, threads) as stream:
            yield stream
        return
    path = as_path(given, "film")
    if path.is_dir():
        yield FrameFolder(path, times, start)
        return
    if times != BY_NAME:
        raise SamecarError(f"times is {times.times!r}, and {path} is no folder of frames; leave it out")
    with open_film(path, threads, start) as film:
        yield film
