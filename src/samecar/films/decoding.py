"""Reading films: upright frames at a steady rate, whatever the container, the frame rate and the state of the file."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.data.decoding_work import estimate_work
from samecar.data.pictures import PIXEL_LIMIT
from samecar.errors import SamecarError, missing_library
from samecar.files import as_path
from samecar.films.deinterlacing import deinterlace

if TYPE_CHECKING:
    from types import ModuleType

MISSING_SHARE = 0.05
"""A film that ends earlier than it declares by more than this share counts as truncated; less is rounding."""

ROUNDING = 1e-3
"""Share of the time between two wanted frames by which a frame may come too early: timestamps are rounded."""


RESTART = 1.0
"""Seconds by which a film's clock must be set back to count as started anew; less is frames out of order."""


LATE_FRAMES = 4
"""Frames by which the first one that can be decoded may come after the film's start; more mean that some are lost."""

ASSUMED_RATE = 25.0
"""Frames a second of a film that says neither when its frames were taken nor how many there are in a second."""

NO_TIMESTAMPS = 0x80
"""Flag of FFmpeg's formats (AVFMT_NOTIMESTAMPS) whose frames have no times: streams without a container."""

PLAYLISTS = frozenset({"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub", "webm_dash_manifest"})
"""FFmpeg's formats that are no film but name others, which may be anything, and without end."""

PICTURE_CODECS = ("bmp", "mjpeg", "png", "tiff", "webp")
"""Codecs whose frames are the files of pictures."""

WAITING_DECODERS = ("h264", "hevc", "vvc")
"""Codecs whose decoder gives nothing before a frame that is whole, which need not be a key frame."""


class Frame(NamedTuple):
    """A frame of a film.

    Attributes:
        time: seconds since the film began.
        picture: (height, width, 3) uint8, red, green, blue, upright.
    """

    time: float
    picture: NDArray[np.uint8]


class Film:
    """A film that is open.

    Attributes:
        path: the file.
        seconds: how long it is as its file declares; 0 where it does not.
        given: number of frames that were given.
        reached: time of the last frame that was decoded.
        warnings: a sentence for each thing that could not be read, complete when the frames have been read.
    """

    def __init__(self, path: Path, container: Any, threads: int | None = None) -> None:
        self.path = path
        self.given = 0
        self.reached = 0.0
        self.warnings: list[str] = []
        self._container = container
        if not container.streams.video:
            raise SamecarError(f"film {path} has no pictures, only sound or data; give a file with a video stream")
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        if threads is not None:
            self._stream.codec_context.thread_count = threads
        self._stream.codec_context.options = {"max_pixels": str(PIXEL_LIMIT)}  # frames may grow later on
        self._has_clock = not container.format.flags & NO_TIMESTAMPS
        self._rate = self._declared_rate()
        self._frame_seconds = 1 / self._rate
        self._refuse_large(self._stream.width, self._stream.height)
        self.seconds = _declared_seconds(container, self._stream) if self._has_clock else 0.0

    def spacing(self, rate: float) -> float:
        """Seconds that commonly lie between two of the frames that are given at a rate."""
        return max(1 / rate, self._frame_seconds)

    def frames(self, rate: float) -> Iterator[Frame]:
        """Frames at `rate` a second or, where the film has fewer, all of them, chosen by their time.

        A frame of an interlaced film shows one moment.

        Raises:
            SamecarError: not one frame can be decoded.
        """
        last_slot = -1
        restarts = 0
        begin: float | None = None  # what the film's clock showed at time 0
        for decoded, stamp in self._stamped(deinterlace(self._whole_frames())):
            begin = self._find_begin(stamp) if begin is None else begin
            if stamp - begin < self.reached - RESTART:
                restarts += 1
                begin = stamp - self.reached - self._frame_seconds
            self.reached = max(self.reached, stamp - begin)
            slot = math.floor(self.reached * rate + ROUNDING)
            if slot > last_slot:
                last_slot = slot
                self.given += 1
                yield Frame(self.reached, self._turn_upright(decoded))
        if restarts:
            self.warnings.append(
                f"film {self.path} is put together: its clock is set back {restarts} times, so times after that are "
                "counted on from the frame before and may be wrong"
            )
        if begin is None:
            raise SamecarError(f"film {self.path} holds no frame that can be decoded; give another copy of it")
        if self.seconds and self.reached < self.seconds * (1 - MISSING_SHARE) - 1 / rate:
            self.warnings.append(
                f"film {self.path} is truncated: it ends after {self.reached:.1f} of {self.seconds:.1f} seconds"
            )

    def _find_begin(self, first: float) -> float:
        """What the film's clock shows at time 0, given what it shows at the first frame that can be decoded."""
        start = self._stream.start_time
        if start is None or not self._has_clock:
            return first
        began = float(start * self._stream.time_base)
        lost = first - began
        if lost <= LATE_FRAMES * self._frame_seconds:
            return first
        self.warnings.append(f"film {self.path}: its first {lost:.1f} seconds cannot be decoded and are left out")
        return began

    def _stamped(self, frames: Iterable[Any]) -> Iterator[tuple[Any, float]]:
        """Frames with seconds on the film's own clock; by its rate from the last stamp on where frames have none."""
        last, since = 0.0, 0  # the last stamp, and how many frames came since
        for decoded in frames:
            if self._has_clock and decoded.time is not None:
                last, since = float(decoded.time), 0
            yield decoded, last + since / self._rate
            since += 1

    def _whole_frames(self) -> Iterator[Any]:
        """Frames but those that are broken, and those before the first from which others can be made."""
        broken, begun = 0, self._stream.codec_context.name in WAITING_DECODERS
        for decoded in self._decode_all():
            begun = begun or (decoded.key_frame and not decoded.is_corrupt)
            if begun and not decoded.is_corrupt:
                yield decoded
            else:
                broken += 1
        if broken:
            self.warnings.append(
                f"film {self.path} is damaged: broken frames that are left out: {broken}; "
                "those after them may be blurred"
            )

    def _decode_all(self) -> Iterator[Any]:
        """Every frame that can be decoded; damaged parts are left out and told in a warning."""
        av = _pyav()
        damaged, packets = 0, self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                self._refuse_costly(packet)
                yield from packet.decode()
            except StopIteration:
                break
            except av.error.FFmpegError:
                damaged += 1
        if damaged:
            self.warnings.append(f"film {self.path} is damaged: {damaged} of its parts cannot be decoded")

    def _refuse_costly(self, packet: Any) -> None:
        """Refuses a frame that would keep its decoder longer than any ordinary picture."""
        if packet.stream.codec_context.name not in PICTURE_CODECS:
            return
        if estimate_work(bytes(packet), PIXEL_LIMIT).exceeds(PIXEL_LIMIT):
            raise SamecarError(
                f"film {self.path} has a frame that takes too much work to decode, as it has too many scans, chunks, "
                "tags, strips or run lengths; encode the film anew (ffmpeg -i FILM film.mp4)"
            )

    def _refuse_large(self, width: int, height: int) -> None:
        if width * height > PIXEL_LIMIT:
            raise SamecarError(
                f"film {self.path} has frames of {width} × {height} pixels; at most {PIXEL_LIMIT:,} pixels are "
                "allowed, so make it smaller"
            )

    def _declared_rate(self) -> float:
        """Frames a second; what the film does not declare is assumed, with a warning."""
        if self._has_clock:
            rate = self._stream.average_rate or self._stream.guessed_rate
        else:  # what is said of the stream is then FFmpeg's own guess
            rate = self._stream.codec_context.framerate
        if rate:
            return float(rate)
        self.warnings.append(
            f"film {self.path} does not say when its frames were taken: {ASSUMED_RATE:g} a second are assumed, and "
            "times are wrong if they are not; put it into a container with its rate (ffmpeg -framerate RATE -i "
            f"{self.path.name} -c copy film.mp4)"
        )
        return ASSUMED_RATE

    def _turn_upright(self, decoded: Any) -> NDArray[np.uint8]:
        """Pixels made square, and turned as the camera was held."""
        shape = self._stream.sample_aspect_ratio or 1
        width = round(decoded.width * shape)
        self._refuse_large(width, decoded.height)
        picture = decoded.to_ndarray(format="rgb24", width=width, height=decoded.height)
        return np.ascontiguousarray(np.rot90(picture, round(decoded.rotation / 90)))


@contextmanager
def open_film(path: str | Path, threads: int | None = None) -> Iterator[Film]:
    """Opens a film for the block.

    Args:
        path: of the film.
        threads: that decode it; None leaves their number to the decoder.

    Raises:
        SamecarError: the file is missing, no film but a list of others, has no video stream or too large frames.
    """
    av = _pyav()
    path = as_path(path, "film")
    if not path.is_file():
        raise SamecarError(f"film {path} is not there; give the path of a file such as MP4, AVI or Matroska")
    try:
        container = av.open(  # absolute, so that no colon in a name reads as a protocol
            str(path.resolve()),
            options={"format_whitelist": ",".join(sorted(av.formats_available - PLAYLISTS))},
        )
    except (av.error.FFmpegError, OSError) as error:
        reason = (error.strerror or str(error)).lower()
        raise SamecarError(
            f"film {path} cannot be opened: {reason}; it is no film, only a list of films, or its beginning or end is "
            "missing: give another copy of it"
        ) from error
    with container:
        yield Film(path, container, threads)


def _declared_seconds(container: Any, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else 0.0  # the container counts microseconds


def _pyav() -> "ModuleType":
    try:
        import av
    except ImportError as error:
        raise missing_library("films need", "PyAV", "films") from error
    module: ModuleType = av
    return module
