"""A connection to a camera, which ends when the camera says nothing any more."""

from typing import Any

from samecar.errors import SamecarError
from samecar.films.sources.footage import PLAYLISTS, Footage, pyav

PROTOCOLS = {
    "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
    "http": "http,https,httpproxy,tcp,tls,crypto",
}
"""What FFmpeg may use for an address: a server must not lead it to files of this machine."""

WITHOUT_CLOCK = ("mpjpeg",)
"""FFmpeg's formats whose frames are counted as 25 a second, however many there are."""

ANALYSED = "3000000"
"""Microseconds of a stream that are looked at to find out what it is."""


class Connection:
    """A connection to a camera.

    Args:
        address: of the camera.
        name: what of it may be shown.
        threads: that decode it.
        silent_seconds: how long it may send nothing.

    Raises:
        SamecarError: it cannot be made, or gives no stream.
    """

    def __init__(self, address: str, name: str, threads: int | None, silent_seconds: float) -> None:
        self._container = _open(address, name, silent_seconds)
        try:
            self.footage = Footage(f"stream {name}", self._container, threads)
            _refuse_film(self.footage, name)
        except BaseException:
            self.close()
            raise
        self._has_clock = self.footage.has_clock and self._container.format.name not in WITHOUT_CLOCK

    @property
    def spacing(self) -> float:
        """Seconds that lie between two frames, as declared; 0 where that is not known."""
        return 1 / self.footage.rate if self._has_clock and self.footage.rate else 0.0

    def stamp(self, decoded: Any) -> float | None:
        """When a frame was taken, in seconds on the stream's own clock; None where it has none."""
        return None if decoded.time is None or not self._has_clock else float(decoded.time)

    def close(self) -> None:
        """Ends it."""
        self._container.close()


def _refuse_film(footage: Footage, name: str) -> None:
    if footage.seconds:
        raise SamecarError(
            f"{name} gives a film of {footage.seconds:.1f} seconds, no stream without end; download it, and give "
            "the file"
        )


def _open(address: str, name: str, silent_seconds: float) -> Any:
    """PyAV's container of a stream."""
    av = pyav()
    kind = "rtsp" if name.startswith("rtsp") else "http"
    formats = {"rtsp"} if kind == "rtsp" else av.formats_available - PLAYLISTS
    options = {
        "protocol_whitelist": PROTOCOLS[kind],
        "format_whitelist": ",".join(sorted(formats)),
        "analyzeduration": ANALYSED,
        "fpsprobesize": "0",  # no frames are held back to count how many come a second
        **({"rtsp_transport": "tcp"} if kind == "rtsp" else {}),
    }
    try:
        return av.open(address, timeout=silent_seconds, options=options)
    except av.error.ExitError:  # the time was up
        reason = f"it sends nothing for {silent_seconds:g} seconds"
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "it cannot be understood").lower()
    # Outside of the block, since PyAV's error names the whole address, which may hold a password.
    raise SamecarError(
        f"{name} cannot be watched: {reason}; look whether the camera is reached from this machine, and whether name, "
        "password and path in the address are right (it must be a stream, no playlist or page)"
    )
