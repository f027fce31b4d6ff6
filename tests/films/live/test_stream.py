import threading
import time
import traceback
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from film_making import ColourDetector, road, write_film
from live_cameras import (
    PASSING,
    encoded,
    free_port,
    http_camera,
    in_time,
    motion_jpeg,
    passing,
    rtsp_camera,
    secrets_in,
)

from samecar.errors import SamecarError
from samecar.films import FilmSettings, open_stream, passages
from samecar.films.live import stream as stream_module
from samecar.films.live.stream import StreamSettings

QUICK = StreamSettings(silent_seconds=1.0, first_pause=0.1, longest_pause=0.4)
PATIENT = replace(QUICK, waiting=1000)
"""Leaves no frame out where the machine is busy."""

FILM = FilmSettings(minimum_size=24, frames_per_second=10)
LOGIN = "anna:geheim@"
EMPTY = [road(128, 256)]


def one_passage(kind="car"):
    return lambda: in_time(encoded(15 * EMPTY + passing(kind)))


def endless(rate=10):
    return lambda: in_time(encoded(600 * EMPTY), rate)


def h264(pictures):
    return encoded(pictures, codec="libx264")


MULTIPART = "multipart/x-mixed-replace;boundary=ffmpeg"


@contextmanager
def stopping(stream, seconds):
    """Stops the stream after so many seconds, if nothing else does."""
    timer = threading.Timer(seconds, stream.stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def watch(stream, kinds, seconds=30):
    """Passages until one of each kind was seen, and what was told meanwhile."""
    told, found = [], []
    with stopping(stream, seconds):
        for passage in passages(stream, ColourDetector(), FILM, notify=told.append):
            found.append(passage)
            if kinds <= {passage.kind for passage in found}:
                stream.stop()
    return found, told


def kinds_in_turn(found):
    """Kinds of vehicles in the order of their passages.

    Of frames without times that come all at once, as a busy machine reads them, most are left out; a vehicle that jumps
    is followed as two.
    """
    return [kind for kind, _ in groupby(passage.kind for passage in found)]


@pytest.mark.slow
@pytest.mark.parametrize("encode", [encoded, h264, motion_jpeg])
def test_a_vehicle_that_passes_a_camera_is_found_before_the_stream_ends(encode):
    kind = MULTIPART if encode is motion_jpeg else "video/mp2t"

    def script():
        yield from in_time(encode(15 * EMPTY + passing("car") + 60 * EMPTY))

    with http_camera(script, kind=kind) as camera, open_stream(camera.address(), None, PATIENT) as stream:
        began = time.time()
        found, told = watch(stream, {"car"})
        assert kinds_in_turn(found) == ["car"]
        assert len(found[0].crops) >= 3
        assert 0.5 < found[0].last - found[0].first < 3
        assert stream.moment(found[0].crops[0].time) == pytest.approx(began + 2, abs=2.5)
        assert (stream.dropped, stream.reconnections, told) == (0, 0, [])


@pytest.mark.slow
def test_a_stream_that_is_cut_is_found_again_and_what_passed_before_is_not_lost():
    with http_camera(one_passage("car"), one_passage("bus"), endless()) as camera:
        with open_stream(camera.address(login=LOGIN), None, PATIENT) as stream:
            found, told = watch(stream, {"car", "bus"})
        assert kinds_in_turn(found) == ["car", "bus"]
        assert stream.reconnections == 2
        assert told[0] == f"http://127.0.0.1:{camera.port}: the connection was lost; it is looked for again"
        assert "found again after" in told[1]
        assert found[-1].first > found[0].last


@pytest.mark.slow
def test_a_stream_that_stalls_counts_as_lost_and_its_vehicle_as_gone():
    go_on = threading.Event()

    def stalls():
        yield from in_time(encoded(15 * EMPTY + passing("car")[: PASSING // 2] + EMPTY))
        go_on.wait(30)

    with http_camera(stalls, one_passage("bus"), endless()) as camera:
        with open_stream(camera.address(), None, PATIENT) as stream:
            found, _ = watch(stream, {"car", "bus"})
        go_on.set()
        assert kinds_in_turn(found) == ["car", "bus"]
        assert camera.times[1] - camera.times[0] < 20
        assert stream.reconnections >= 1


@pytest.mark.slow
@pytest.mark.parametrize("encode", [encoded, motion_jpeg])
def test_a_stream_whose_pictures_change_size_is_watched_on(encode):
    """The car is on its way when the picture grows: its passage ends, and that of the bus, in large, is its own."""
    kind = MULTIPART if encode is motion_jpeg else "video/mp2t"

    def script():
        yield from in_time(encode(15 * EMPTY + passing("car")[:16]))
        yield from in_time(encode(passing("bus", 256, 512) + 30 * [road(256, 512)]))

    with http_camera(script, kind=kind) as camera, open_stream(camera.address(), None, PATIENT) as stream:
        found, _ = watch(stream, {"car", "bus"})
    assert kinds_in_turn(found) == ["car", "bus"]


@pytest.mark.slow
def test_frames_are_dropped_rather_than_looked_at_late(monkeypatch):
    """25 frames a second, of which each takes a fifth of a second to look at."""
    monkeypatch.setattr(stream_module, "TOLD_EVERY", 1.0)
    with http_camera(endless(rate=25)) as camera, open_stream(camera.address(), None, QUICK) as stream:
        late, told = [], []
        for frame in stream.frames(25):
            if frame is None:
                continue
            time.sleep(0.2)
            late.append(time.time() - stream.moment(frame.time))
            told += stream.notices()
            if len(late) == 30:
                stream.stop()
    assert max(late[5:]) < 0.2 * (QUICK.waiting + 1) + 2  # without dropping, the last would be 4.8 seconds late
    assert stream.dropped >= 5
    assert any("frames were left out in the last 1 seconds" in sentence for sentence in told)
    assert stream.given >= 30


@pytest.mark.slow
def test_pauses_grow_while_a_camera_is_away():
    with (
        http_camera(one_passage()) as camera,
        open_stream(camera.address(), None, QUICK) as stream,
        stopping(stream, 9),
    ):
        list(stream.frames(10))
    pauses = np.diff(camera.times[1:])
    assert len(pauses) >= 3
    assert pauses[0] > 0.15  # the first one, of 0.1 s, lies before the first new try
    assert (pauses[1:] > 0.35).all()
    assert pauses.min() < 1.5


@pytest.mark.slow
def test_a_camera_that_ends_each_connection_soon_is_not_asked_all_the_time():
    def short():
        yield from in_time(encoded(6 * EMPTY))

    with (
        http_camera(*20 * [short]) as camera,
        open_stream(camera.address(), None, QUICK) as stream,
        stopping(stream, 4),
    ):
        list(stream.frames(10))
    assert 3 <= len(camera.times) <= 8


@pytest.mark.slow
def test_a_stop_while_a_stream_is_away_or_silent_ends_it_soon():
    go_on = threading.Event()

    def silent():
        yield from in_time(encoded(passing()[:12]))
        go_on.wait(30)

    for scripts in ([silent], [one_passage()]):
        with http_camera(*scripts) as camera:
            with open_stream(camera.address(), None, StreamSettings(silent_seconds=20)) as stream:
                timer = threading.Timer(4, stream.stop)
                timer.start()
                began = time.monotonic()
                list(stream.frames(10))
            assert time.monotonic() - began < 15
    go_on.set()


@pytest.mark.slow
def test_rtsp_with_a_login_is_watched_and_found_again():
    with rtsp_camera(one_passage("car"), one_passage("bus"), endless(), login="anna:geheim") as camera:
        with open_stream(camera.address("ch1?token=1", "rtsp", LOGIN), None, PATIENT) as stream:
            assert stream.name == f"rtsp://127.0.0.1:{camera.port}"
            found, told = watch(stream, {"car", "bus"})
        assert kinds_in_turn(found) == ["car", "bus"]
        assert stream.reconnections >= 1
        assert secrets_in("".join(told)) == []
        with pytest.raises(SamecarError, match=r"rtsp://127.0.0.1:\d+ cannot be watched: .*401"):
            open_stream(camera.address("ch1", "rtsp", "anna:falsch@"), None, QUICK).__enter__()


def refusal(address):
    """The sentence of an address that cannot be watched; neither it nor a traceback says what may be secret."""
    with pytest.raises(SamecarError) as raised:
        open_stream(address, None, QUICK).__enter__()
    shown = "".join(traceback.format_exception(raised.value, limit=-1))
    assert secrets_in(str(raised.value)) == []
    assert secrets_in(shown.replace("open_stream(address", "")) == []
    return str(raised.value)


def test_an_address_that_cannot_be_watched_is_one_sentence_without_its_password(capfd):
    for scheme in ("http", "rtsp"):
        sentence = refusal(f"{scheme}://anna:geheim@127.0.0.1:{free_port()}/token?token=1")
        assert f"{scheme}://127.0.0.1:" in sentence
        assert "cannot be watched: connection refused" in sentence
    with http_camera() as camera:
        assert "cannot be watched" in refusal(camera.address("token", login=LOGIN))
    with http_camera(lambda: [b"<html>Hello</html>"], kind="text/html") as camera:
        assert "it must be a stream, no playlist or page" in refusal(camera.address("token", login=LOGIN))
    go_on = threading.Event()
    with http_camera(lambda: go_on.wait(20) or []) as camera:
        assert "cannot be watched: it sends nothing for 1 seconds; look" in refusal(
            camera.address("token", login=LOGIN)
        )
        go_on.set()
    assert secrets_in("".join(capfd.readouterr())) == []


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (
            "ftp://anna:geheim@camera/1",
            "the address of a camera begins with 'ftp://'; give one that begins with rtsp://",
        ),
        ("rtsp://anna:ge heim@camera/1", "names no host that can be understood; write rtsp://HOST:PORT/PATH"),
        ("rtsp://anna:geheim@camera:high/1", "names no host that can be understood"),
        ("http://", "names no host that can be understood"),
    ],
)
def test_an_address_that_is_none_is_refused(address, sentence):
    assert sentence in refusal(address)


def test_a_film_that_a_server_has_is_no_stream(tmp_path):
    content = write_film(tmp_path / "film.mov", 20 * EMPTY).read_bytes()
    with http_camera(lambda: [content], kind="video/quicktime") as camera:
        assert "gives a film of 1.9 seconds, no stream without end; download it" in refusal(camera.address())


def test_a_playlist_leads_nowhere(tmp_path):
    """It names a film on this machine, which a server must not have opened."""
    film = write_film(tmp_path / "film.ts", 20 * EMPTY, codec="mpeg2video", clock=10)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{film}\n#EXT-X-ENDLIST\n".encode()
    with http_camera(lambda: [playlist], kind="application/vnd.apple.mpegurl") as camera:
        assert "it must be a stream, no playlist" in refusal(camera.address("live.m3u8"))
