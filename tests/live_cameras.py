"""Cameras on this machine: servers whose streams are made on the fly, and are cut, stall or change as a test says."""

import base64
import contextlib
import io
import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import av
import numpy as np
from film_making import paint_vehicle, road
from numpy.typing import NDArray
from PIL import Image

Script = Callable[[], Iterable[bytes]]
"""What one connection sends, piece by piece; it ends with it."""

HEIGHT, WIDTH = 128, 256
PASSING = 24
"""Pictures in which a painted car passes."""


def passing(kind: str = "car", height: int = HEIGHT, width: int = WIDTH) -> list[NDArray[np.uint8]]:
    """Pictures of a vehicle that passes from left to right, with an empty road before and after."""
    pictures = [road(height, width) for _ in range(PASSING)]
    step = (width + 80) // (PASSING - 4)
    for place, picture in enumerate(pictures):
        paint_vehicle(picture, kind, step * (place - 2) - 40, height // 2)
    return pictures


class _Bytes:
    """What a muxer writes into."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, content: bytes) -> int:
        self.written += content
        return len(content)


def encoded(pictures: Sequence[NDArray[np.uint8]], codec: str = "mpeg2video", rate: int = 10) -> Iterator[bytes]:
    """The bytes of each picture in turn, as a camera sends them in MPEG-TS."""
    out = _Bytes()
    with av.open(out, "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        stream.gop_size = rate
        if codec == "libx264":
            stream.options = {"tune": "zerolatency"}
        for place, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
            yield bytes(out.written)
            out.written.clear()
        container.mux(stream.encode())
        yield bytes(out.written)


def motion_jpeg(pictures: Sequence[NDArray[np.uint8]]) -> Iterator[bytes]:
    """The same as parts of multipart/x-mixed-replace, each a JPEG file."""
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=95)
        content = file.getvalue()
        yield b"--ffmpeg\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content) + content + b"\r\n"


def in_time(pieces: Iterable[bytes], rate: float = 10) -> Iterator[bytes]:
    """The pieces, so many a second."""
    began = time.monotonic()
    for place, piece in enumerate(pieces):
        time.sleep(max(0.0, began + place / rate - time.monotonic()))
        yield piece


class Camera:
    """A camera that is being served.

    Attributes:
        port: where.
        times: when each connection was made, by the monotonic clock.
        requests: the first line of each request.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.times: list[float] = []
        self.requests: list[str] = []

    def address(self, path: str = "live", scheme: str = "http", login: str = "") -> str:
        return f"{scheme}://{login}127.0.0.1:{self.port}/{path}"


@contextlib.contextmanager
def _serving(handle: Callable[[Camera, socketserver.StreamRequestHandler], None]) -> Iterator[Camera]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            camera.times.append(time.monotonic())
            with contextlib.suppress(OSError):
                handle(camera, self)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        camera = Camera(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield camera
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def http_camera(*scripts: Script, kind: str = "video/mp2t") -> Iterator[Camera]:
    """A camera over HTTP: each connection gets the next script; those after the last are refused."""

    def handle(camera: Camera, request: socketserver.StreamRequestHandler) -> None:
        number = len(camera.times) - 1
        camera.requests.append(request.rfile.readline().decode().strip())
        while request.rfile.readline().strip():
            pass
        if number >= len(scripts):
            request.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        request.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
        for piece in scripts[number]():
            request.wfile.write(piece)
            request.wfile.flush()

    with _serving(handle) as camera:
        yield camera


@contextlib.contextmanager
def rtsp_camera(*scripts: Script, login: str = "") -> Iterator[Camera]:
    """A camera over RTSP (RFC 2326) that sends MPEG-TS in RTP packets (RFC 2250) within the connection itself.

    Each PLAY gets the next script. With a login, such as user:password, others are turned away.
    """
    plays: list[int] = []

    def handle(camera: Camera, request: socketserver.StreamRequestHandler) -> None:
        while line := request.rfile.readline().decode().strip():
            camera.requests.append(line)
            headers = {}
            while header := request.rfile.readline().decode().strip():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            method, target = line.split()[:2]
            wanted = "Basic " + base64.b64encode(login.encode()).decode()
            if login and headers.get("authorization") != wanted:
                _answer(request, headers, "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"')
            elif method == "OPTIONS":
                _answer(request, headers, "200 OK", "Public: DESCRIBE, SETUP, PLAY, TEARDOWN")
            elif method == "DESCRIBE":
                body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                body += "m=video 0 RTP/AVP 33\r\na=control:track1\r\n"
                _answer(
                    request, headers, "200 OK", f"Content-Base: {target}/", "Content-Type: application/sdp", body=body
                )
            elif method == "SETUP":
                _answer(request, headers, "200 OK", "Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            elif method == "PLAY":
                _answer(request, headers, "200 OK", "Session: 1")
                plays.append(1)
                if len(plays) <= len(scripts):
                    _send_rtp(request, scripts[len(plays) - 1]())
                return
            else:
                _answer(request, headers, "200 OK")

    with _serving(handle) as camera:
        yield camera


def _answer(
    request: socketserver.StreamRequestHandler, headers: dict[str, str], status: str, *lines: str, body: str = ""
) -> None:
    head = [f"RTSP/1.0 {status}", f"CSeq: {headers['cseq']}", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    request.wfile.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())


def _send_rtp(request: socketserver.StreamRequestHandler, pieces: Iterable[bytes]) -> None:
    number, packets = 0, 7 * 188  # bytes of transport stream in a packet
    for piece in pieces:
        for first in range(0, len(piece), packets):
            payload = piece[first : first + packets]
            head = struct.pack("!BBHII", 0x80, 33, number % 65536, int(time.monotonic() * 90_000) % 2**32, 7)
            request.wfile.write(struct.pack("!cBH", b"$", 0, len(head) + len(payload)) + head + payload)
            number += 1
        request.wfile.flush()


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def secrets_in(text: str) -> list[str]:
    """Words of the logins that these tests use which stand in a text."""
    return re.findall(r"geheim|anna|token", text)
