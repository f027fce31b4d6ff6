"""Decoding video of any container: whole frames, the time that they show, and upright pictures."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samecar.data.decoding_work import estimate_work
from samecar.data.pictures import PIXEL_LIMIT
from samecar.errors import SamecarError, missing_library
from samecar.films.sources.deinterlacing import deinterlace

if TYPE_CHECKING:
    from types import ModuleType

NO_TIMESTAMPS = 0x80
"""Flag of FFmpeg's formats (AVFMT_NOTIMESTAMPS) whose frames have no times: streams without a container."""

ASSUMED_RATE = 25.0
"""Frames a second of what says neither when its frames were taken nor how many there are in a second."""

PLAYLISTS = frozenset({"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub", "webm_dash_manifest"})
"""FFmpeg's formats that are no film but name others, which may be anything, and without end."""

PICTURE_CODECS = ("bmp", "mjpeg", "png", "tiff", "webp")
"""Codecs whose frames are the files of pictures."""

WAITING_DECODERS = ("h264", "hevc", "vvc")
"""Codecs whose decoder gives nothing before a frame that is whole, which need not be a key frame."""


class Footage:
    """The video of an open container.

    Args:
        name: what sentences call it, such as "film monday.mp4".
        container: PyAV's.
        threads: that decode it; None leaves their number to the decoder.

    Attributes:
        has_clock: whether frames say when they were taken.
        rate: frames a second as declared; None where that is not known.
        warnings: a sentence for each thing that could not be read, complete when the frames have been read.

    Raises:
        SamecarError: it has no video, or its frames are too large.
    """

    def __init__(self, name: str, container: Any, threads: int | None = None) -> None:
        self._name = name
        self.warnings: list[str] = []
        self._container = container
        if not container.streams.video:
            raise SamecarError(f"{name} has no pictures, only sound or data; give one with a video stream")
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        if threads is not None:
            self._stream.codec_context.thread_count = threads
        self._stream.codec_context.options = {"max_pixels": str(PIXEL_LIMIT)}  # frames may grow later on
        self.has_clock = not container.format.flags & NO_TIMESTAMPS
        self.rate = self._declared_rate()
        self._refuse_large(self._stream.width, self._stream.height)

    @property
    def begin(self) -> float | None:
        """What its clock shows where it begins, as declared; None where that is not known."""
        start = self._stream.start_time
        return None if start is None or not self.has_clock else float(start * self._stream.time_base)

    @property
    def seconds(self) -> float:
        """How long it is, as declared; 0 where that is not known."""
        if not self.has_clock:
            return 0.0
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1_000_000 if self._container.duration else 0.0  # it counts microseconds

    def whole_frames(self) -> Iterator[Any]:
        """PyAV's frames but those that are broken, and those before the first from which others can be made.

        A frame of an interlaced film shows one moment.
        """
        return deinterlace(self._whole_frames())

    def stamped(self, frames: Iterable[Any]) -> Iterator[tuple[Any, float]]:
        """Frames with seconds on their own clock; by the rate from the last stamp on where frames have none."""
        last, since = 0.0, 0  # the last stamp, and how many frames came since
        for decoded in frames:
            if self.has_clock and decoded.time is not None:
                last, since = float(decoded.time), 0
            yield decoded, last + since / (self.rate or ASSUMED_RATE)
            since += 1

    def upright(self, decoded: Any) -> NDArray[np.uint8]:
        """The picture of a frame: pixels made square, and turned as the camera was held."""
        shape = self._stream.sample_aspect_ratio or 1
        width = round(decoded.width * shape)
        self._refuse_large(width, decoded.height)
        picture = decoded.to_ndarray(format="rgb24", width=width, height=decoded.height)
        return np.ascontiguousarray(np.rot90(picture, round(decoded.rotation / 90)))

    def _whole_frames(self) -> Iterator[Any]:
        broken, begun = 0, self._stream.codec_context.name in WAITING_DECODERS
        for decoded in self._decode_all():
            begun = begun or (decoded.key_frame and not decoded.is_corrupt)
            if begun and not decoded.is_corrupt:
                yield decoded
            else:
                broken += 1
        if broken:
            self.warnings.append(
                f"{self._name} is damaged: broken frames that are left out: {broken}; those after them may be blurred"
            )

    def _decode_all(self) -> Iterator[Any]:
        """Every frame that can be decoded; damaged parts are left out and told in a warning."""
        av = pyav()
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
            self.warnings.append(f"{self._name} is damaged: {damaged} of its parts cannot be decoded")

    def _refuse_costly(self, packet: Any) -> None:
        """Refuses a frame that would keep its decoder longer than any ordinary picture."""
        if packet.stream.codec_context.name not in PICTURE_CODECS:
            return
        if estimate_work(bytes(packet), PIXEL_LIMIT).exceeds(PIXEL_LIMIT):
            raise SamecarError(
                f"{self._name} has a frame that takes too much work to decode, as it has too many scans, chunks, "
                "tags, strips or run lengths; encode it anew (ffmpeg -i FILM film.mp4)"
            )

    def _refuse_large(self, width: int, height: int) -> None:
        if width * height > PIXEL_LIMIT:
            raise SamecarError(
                f"{self._name} has frames of {width} × {height} pixels; at most {PIXEL_LIMIT:,} pixels are "
                "allowed, so make it smaller"
            )

    def _declared_rate(self) -> float | None:
        if self.has_clock:
            rate = self._stream.average_rate or self._stream.guessed_rate
        else:  # what is said of the stream is then FFmpeg's own guess
            rate = self._stream.codec_context.framerate
        return float(rate) if rate else None


def pyav() -> "ModuleType":
    """PyAV.

    Raises:
        SamecarError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise missing_library("films need", "PyAV", "films") from error
    module: ModuleType = av
    return module
