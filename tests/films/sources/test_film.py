import sys
import wave
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from costly_pictures import jpeg
from film_making import paint_vehicle, road, turn_film, write_film

from samecar.errors import SamecarError
from samecar.films import open_film
from samecar.films.sources.footage import Footage


def grey(*values):
    """Small pictures, each of one brightness."""
    return [np.full((32, 48, 3), value, np.uint8) for value in values]


def read(path, rate):
    with open_film(path) as film:
        frames = list(film.frames(rate))
    return film, frames


def test_frames_come_at_the_rate_that_is_asked_for(tmp_path):
    film, frames = read(write_film(tmp_path / "film.mov", grey(*range(0, 250, 10)), rate=10), 5)
    assert [frame.picture[0, 0, 0] for frame in frames] == list(range(0, 250, 20))
    assert np.allclose([frame.time for frame in frames], np.arange(0, 2.5, 0.2))
    assert film.given == 13
    assert film.reached == pytest.approx(2.4)
    assert film.warnings == []


def test_a_film_with_fewer_frames_gives_all_of_them(tmp_path):
    assert len(read(write_film(tmp_path / "film.mov", grey(*range(7)), rate=4), 25)[1]) == 7


def test_frames_are_chosen_by_their_time_where_the_rate_varies(tmp_path):
    times = [0, 0.1, 0.2, 1.0, 1.05, 2.0]
    frames = read(write_film(tmp_path / "film.mov", grey(0, 1, 2, 3, 4, 5), times=times), 5)[1]
    assert [frame.picture[0, 0, 0] for frame in frames] == [0, 2, 3, 5]
    assert np.allclose([frame.time for frame in frames], [0, 0.2, 1, 2])


def test_times_begin_with_the_first_frame(tmp_path):
    frames = read(write_film(tmp_path / "film.mov", grey(0, 1), times=[7, 8]), 5)[1]
    assert np.allclose([frame.time for frame in frames], [0, 1])


def test_a_clock_that_is_set_back_is_counted_on(tmp_path):
    """Two recordings of three seconds, one put behind the other as they are: the second begins at 0 again."""
    part = write_film(tmp_path / "part.ts", grey(*range(0, 240, 8)), rate=10, codec="libx264")
    path = tmp_path / "whole.ts"
    path.write_bytes(2 * part.read_bytes())
    film, frames = read(path, 5)
    assert len(frames) == 30
    assert np.allclose([frame.time for frame in frames], np.arange(0, 6, 0.2), atol=0.11)
    assert [int(frame.picture[0, 0, 0]) // 16 for frame in frames[:15]] == [
        int(frame.picture[0, 0, 0]) // 16 for frame in frames[15:]
    ]
    (warning,) = film.warnings
    assert "its clock is set back 1 times" in warning


def test_frames_out_of_order_are_no_restart(tmp_path, monkeypatch):
    stamps = [0, 0.1, 0.4, 0.3, 0.2, 0.5, 0.6]
    monkeypatch.setattr(Footage, "stamped", lambda _, frames: zip(frames, stamps, strict=True))
    film, frames = read(write_film(tmp_path / "film.mov", grey(*range(7)), rate=10), 10)
    assert [frame.time for frame in frames] == [0, 0.1, 0.4, 0.5, 0.6]
    assert film.warnings == []


def test_a_film_from_a_turned_camera_is_upright(tmp_path):
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :16] = 255  # upper left; clockwise it is upper right
    path = write_film(tmp_path / "film.mp4", [picture] * 3, codec="mpeg4")
    turn_film(path)
    upright = read(path, 5)[1][0].picture
    assert upright.shape == (64, 32, 3)
    assert upright[4:12, 20:28].mean() > 230
    assert upright[4:12, 4:12].mean() < 25


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = write_film(tmp_path / "film.avi", grey(0, 1), codec="mpeg4", pixel=Fraction(3, 2))
    assert read(path, 5)[1][0].picture.shape == (32, 72, 3)


def test_a_stream_without_times_is_taken_at_the_rate_that_it_declares(tmp_path):
    path = write_film(tmp_path / "film.h264", grey(*range(0, 200, 4)), rate=25, codec="libx264", clock=25)
    film, frames = read(path, 5)
    assert np.allclose([frame.time for frame in frames], np.arange(0, 2, 0.2))
    assert film.seconds == 0
    assert film.warnings == []


def test_a_stream_without_times_goes_by_the_rate_in_it_and_not_by_a_guess(tmp_path):
    pictures = grey(*range(0, 240, 10))  # 24 of them, 12 a second
    path = encode(tmp_path / "film.h264", pictures, "libx264", rate=12)
    film, frames = read(path, 4)
    assert np.allclose([frame.time for frame in frames], np.arange(0, 2, 0.25))
    assert film.warnings == []


def test_a_stream_that_knows_neither_times_nor_rate_is_assumed_to_have_25_frames_a_second(tmp_path):
    path = encode(tmp_path / "film.mjpeg", grey(*range(50)), "mjpeg", rate=12, pixels="yuvj420p")
    film, frames = read(path, 5)
    assert np.allclose([frame.time for frame in frames], np.arange(0, 2, 0.2))
    assert film.spacing(100) == 1 / 25
    (warning,) = film.warnings
    assert "does not say when its frames were taken: 25 a second are assumed" in warning
    assert "ffmpeg -framerate RATE -i film.mjpeg" in warning


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
@pytest.mark.parametrize("damage", ["lost", "broken"])
def test_a_beginning_that_is_lost_or_broken_is_left_out_and_moves_no_time(tmp_path, codec, damage):
    pictures = grey(*[200] * 12, *[100] * 24)  # a key frame is every twelfth
    film, frames = read(encode(tmp_path / "film.mp4", pictures, codec, first=damage), 25)
    assert {round(frame.picture.mean() / 10) for frame in frames} == {10}
    assert frames[0].time == pytest.approx(0.48 if damage == "broken" else 0.44, abs=0.01)
    assert len(frames) == 24
    assert any("its first 0." in sentence and "cannot be decoded" in sentence for sentence in film.warnings)
    assert not any("truncated" in sentence for sentence in film.warnings)


def test_a_broken_frame_is_left_out_and_counted(tmp_path, monkeypatch):
    whole = Footage._decode_all

    def with_a_broken_one(film):
        for number, frame in enumerate(whole(film)):
            yield SimpleNamespace(key_frame=frame.key_frame, is_corrupt=True) if number == 3 else frame

    monkeypatch.setattr(Footage, "_decode_all", with_a_broken_one)
    film, frames = read(write_film(tmp_path / "film.mov", grey(*range(6))), 10)
    assert [frame.picture[0, 0, 0] for frame in frames] == [0, 1, 2, 4, 5]
    assert film.warnings == [
        f"film {tmp_path / 'film.mov'} is damaged: broken frames that are left out: 1; those after them may be blurred"
    ]


def test_frames_without_a_stamp_are_counted_on_from_the_one_before(tmp_path):
    with open_film(write_film(tmp_path / "film.mov", grey(0, 1), rate=10, clock=10)) as film:
        times = [None, None, 3.0, None, None, 4.0]
        frames = [SimpleNamespace(time=time) for time in times]
        stamps = [stamp for _, stamp in film._footage.stamped(frames)]
    assert stamps == pytest.approx([0, 0.1, 3.0, 3.1, 3.2, 4.0])


@pytest.mark.parametrize("suffix", ["mpg", "h264"])
def test_of_an_interlaced_film_one_moment_of_each_frame_is_seen(tmp_path, suffix):
    pictures = []
    for left in range(10, 90, 8):
        picture = np.full((96, 160, 3), 60, np.uint8)
        picture[40:60:2, left : left + 30] = 240
        picture[41:60:2, left + 12 : left + 42] = 240  # where it is when the other lines are taken
        pictures.append(picture)
    path = encode(tmp_path / f"film.{suffix}", pictures, "libx264", options=INTERLACED)
    film, frames = read(path, 25)
    assert len(frames) == 10
    assert film.warnings == []
    for left, frame in zip(range(10, 90, 8), frames, strict=True):
        assert frame.picture.shape == (96, 160, 3)
        bright = frame.picture[44:56, :, 0] > 150
        assert (bright == bright[0]).all(), "lines of two moments"
        assert abs(int(np.flatnonzero(bright[0])[0]) - left) <= 2


INTERLACED = {"flags": "+ildct+ilme", "x264-params": "tff=1:qp=5"}


def encode(path, pictures, codec, rate=25, pixels="yuv420p", first="", options=None):
    """A film whose every twelfth frame is a key frame; its `first` part may be `lost` or `broken`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = 0
        frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures]
        packets = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        if first == "broken":
            packets[0] = broken(packets[0])
        container.mux(packets[1:] if first == "lost" else packets)
    return path


def broken(packet):
    """The same packet whose data is something else but for its head."""
    content = bytes(packet)
    noise = np.random.default_rng(5).integers(0, 256, len(content), np.uint8).tobytes()
    head = max(4, len(content) // 4)
    wrong = av.Packet(content[:head] + noise[head:])
    for name in ("pts", "dts", "time_base", "stream", "is_keyframe"):
        setattr(wrong, name, getattr(packet, name))
    return wrong


def test_colours_are_red_green_blue(tmp_path):
    picture = road()
    paint_vehicle(picture, "car", 60, 40)
    assert (read(write_film(tmp_path / "film.mov", [picture]), 5)[1][0].picture == picture).all()


def test_half_a_film_gives_what_it_holds_and_says_so(tmp_path):
    path = write_film(
        tmp_path / "film.mov", [np.random.default_rng(i).integers(0, 255, (32, 48, 3), np.uint8) for i in range(30)]
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    film, frames = read(path, 10)
    assert 10 <= len(frames) <= 16
    assert [
        sentence for sentence in film.warnings if "truncated: it ends after 1." in sentence and "of 2.9" in sentence
    ]


def test_damaged_parts_are_left_out_and_counted(tmp_path):
    path = write_film(tmp_path / "film.mov", grey(*range(10)))
    content = path.read_bytes()
    parts = content.split(b"\x89PNG")
    for part in (4, 5):
        parts[part] = bytes(len(parts[part]) - 20) + parts[part][-20:]
    path.write_bytes(b"\x89PNG".join(parts))
    film, frames = read(path, 10)
    assert [frame.picture[0, 0, 0] for frame in frames] == [0, 1, 2, 5, 6, 7, 8, 9]
    assert film.warnings == [f"film {path} is damaged: 2 of its parts cannot be decoded"]


def test_a_film_whose_every_part_is_damaged_is_refused(tmp_path):
    path = write_film(tmp_path / "film.mov", grey(1, 2))
    path.write_bytes(path.read_bytes().replace(b"\x89PNG", b"none"))
    with pytest.raises(SamecarError, match="holds no frame that can be decoded"):
        read(path, 5)


def test_a_film_without_its_table_of_contents_is_refused(tmp_path):
    path = write_film(tmp_path / "film.mp4", grey(*range(20)), codec="mpeg4")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    with pytest.raises(SamecarError, match="cannot be opened"):
        read(path, 5)


@pytest.mark.parametrize("content", [b"", b"not a film\n" * 100])
def test_what_is_no_film_is_refused(tmp_path, content):
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(SamecarError, match=r"cannot be opened: .*: give another copy of it"):
        read(tmp_path / "film.mp4", 5)


def test_a_film_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SamecarError, match="is not there; give the path of a file"):
        read(tmp_path / "film.mp4", 5)
    with pytest.raises(SamecarError, match="is not there"):
        read(tmp_path, 5)


def test_sound_alone_is_refused(tmp_path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with pytest.raises(SamecarError, match="has no pictures, only sound or data"):
        read(tmp_path / "sound.wav", 5)


def test_too_large_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("samecar.films.sources.footage.PIXEL_LIMIT", 1000)
    with pytest.raises(SamecarError, match="has frames of 48 × 32 pixels; at most 1,000 pixels are allowed"):
        read(write_film(tmp_path / "film.mov", grey(1)), 5)


def test_frames_that_grow_or_are_drawn_out_beyond_what_is_allowed_are_refused(tmp_path, monkeypatch):
    write_film(tmp_path / "film.mov", grey(1), pixel=Fraction(4))
    monkeypatch.setattr("samecar.films.sources.footage.PIXEL_LIMIT", 48 * 32 * 2)
    with pytest.raises(SamecarError, match="has frames of 192 × 32 pixels; at most 3,072 pixels are allowed"):
        read(tmp_path / "film.mov", 5)


def test_a_frame_of_too_many_scans_is_refused_before_it_is_decoded(tmp_path):
    assert len(read(film_of(tmp_path / "film.avi", jpeg(160, 160, 12)), 5)[1]) == 1
    with pytest.raises(SamecarError, match="has a frame that takes too much work to decode, as it has too many scans"):
        read(film_of(tmp_path / "film.avi", jpeg(4000, 4000, 200)), 5)


def film_of(path, frame):
    """A film whose only frame is a JPEG file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 160, "yuvj444p"
        packet = av.Packet(frame)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 5)
        container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{film}\n"),
        ("list.txt", "ffconcat version 1.0\n" + "file {film}\n" * 3),
    ],
)
def test_a_list_of_films_is_none(tmp_path, name, content):
    write_film(tmp_path / "film.mov", grey(1))
    (tmp_path / name).write_text(content.format(film="film.mov"))
    with pytest.raises(SamecarError, match=r"cannot be opened: .*it is no film, only a list of films"):
        read(tmp_path / name, 5)


def test_without_pyav_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SamecarError, match=r'films need PyAV, .* run `pip install "\.\[films\]"`'):
        read(tmp_path / "film.mov", 5)


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    write_film(tmp_path / "film.mov", grey(1, 2)).rename(tmp_path / "cam:1.mov")
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("cam:1.mov"), 5)[1]) == 1
