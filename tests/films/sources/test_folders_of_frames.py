import os

import numpy as np
import pytest
from PIL import Image

from samecar.errors import SamecarError
from samecar.films import FrameFolder, FrameTimes, open_frames
from samecar.retrieval.times import parse_time


def frames_in(folder, *names, size=(48, 32)):
    """Pictures, each brighter than the one before by 10."""
    folder.mkdir(exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", size, (10 * place,) * 3).save(folder / name)
    return folder


def read(folder, rate=50, **how):
    source = FrameFolder(folder, **how)
    frames = list(source.frames(rate))
    return source, [(round(frame.time, 3), int(frame.picture[0, 0, 0])) for frame in frames]


def test_frames_come_in_the_order_of_the_times_in_their_names(tmp_path):
    folder = frames_in(
        tmp_path / "gate", "gate_20240501_123001_500.png", "gate_20240501_123000.png", "gate_20240501_123003.png"
    )
    (folder / "notes.txt").write_text("not a frame")
    source, frames = read(folder)
    assert frames == [(0, 10), (1.5, 0), (3, 20)]
    assert source.moment(1.5) == parse_time("2024-05-01T12:30:01.5Z")
    assert (source.name, source.seconds, source.given, source.reached) == ("gate", 3, 3, 3)
    assert source.spacing(5) == 1.5
    assert source.warnings == []


def test_times_may_be_those_at_which_files_were_written(tmp_path):
    folder = frames_in(tmp_path / "gate", "b.jpg", "a.jpg")
    os.utime(folder / "b.jpg", (1e9, 1e9))
    os.utime(folder / "a.jpg", (1e9 + 0.5, 1e9 + 0.5))
    source, frames = read(folder, times=FrameTimes("modified"))
    assert [time for time, _ in frames] == [0, 0.5]
    assert source.moment(0) == 1e9


def test_times_may_stand_in_a_table(tmp_path):
    folder = frames_in(tmp_path / "gate", "b.png", "a.png", "other.png")
    table = tmp_path / "times.csv"
    table.write_text("path;time\nb.png;2024-05-01T12:30:02Z\na.png;2024-05-01T12:30:00+00:00\n")
    source, frames = read(folder, times=FrameTimes(str(table)))
    assert frames == [(0, 10), (2, 0)]
    assert source.moment(2) == parse_time("2024-05-01T12:30:02Z")
    assert source.warnings == [f"folder {folder}: 1 frames are not in {table} and are left out"]


def test_frames_that_are_only_counted_need_a_rate_and_may_have_a_start(tmp_path):
    folder = frames_in(tmp_path / "gate", *(f"{number:06d}.png" for number in range(5)))
    source, frames = read(folder, times=FrameTimes("10"), start=1e9)
    assert frames == [(0, 0), (0.1, 10), (0.2, 20), (0.3, 30), (0.4, 40)]
    assert source.moment(0.4) == 1e9 + 0.4
    assert FrameFolder(folder, FrameTimes("10")).moment(0.4) is None
    with pytest.raises(SamecarError, match=r"frame .*000000.png says no moment, .*--times modified, --times TABLE.csv"):
        FrameFolder(folder)


def test_so_many_frames_a_second_are_looked_at(tmp_path):
    folder = frames_in(tmp_path / "gate", *(f"{number:06d}.png" for number in range(10)))
    assert [place for _, place in read(folder, rate=5, times=FrameTimes("10"))[1]] == [0, 20, 40, 60, 80]


def test_frames_that_cannot_be_read_are_left_out_and_named(tmp_path):
    folder = frames_in(tmp_path / "gate", "1.png", "2.png", "3.png")
    (folder / "2.png").write_bytes(b"broken")
    source, frames = read(folder, times=FrameTimes("1"))
    assert frames == [(0, 0), (2, 20)]
    assert source.warnings == [
        f"folder {folder}: 1 frames cannot be read and are left out: 2.png (it is not a picture of a known format)"
    ]
    for name in ("1.png", "3.png"):
        (folder / name).write_bytes(b"broken")
    with pytest.raises(SamecarError, match=r"holds no frame that can be read: 1.png"):
        read(folder, times=FrameTimes("1"))


def test_of_frames_of_one_time_the_first_by_name_is_taken(tmp_path):
    folder = frames_in(tmp_path / "gate", "20240501_123000_a.png", "20240501_123000_b.png", "20240501_123001.png")
    source, frames = read(folder)
    assert frames == [(0, 0), (1, 20)]
    assert source.warnings == [f"folder {folder}: 1 frames have the time of another one and are left out"]


@pytest.mark.parametrize("source", ["yesterday", "0", "-5", "nan", "inf", ""])
def test_times_that_mean_nothing_are_refused(source):
    with pytest.raises(SamecarError, match=r"times is .*; give name, modified, a table that ends in .csv or .parquet"):
        FrameTimes(source)


def test_bad_input_is_one_sentence(tmp_path):
    folder = frames_in(tmp_path / "gate", "20240501_123000.png")
    table = tmp_path / "times.csv"
    with pytest.raises(SamecarError, match="has no frames: no file in it is called as a picture"):
        FrameFolder(frames_in(tmp_path / "empty"))
    with pytest.raises(SamecarError, match=r"start is given, and the frames of .* say themselves when they were taken"):
        FrameFolder(folder, start=1e9)
    table.write_text("path,when\na.png,1\n")
    with pytest.raises(SamecarError, match=r"times.csv has the columns path, when; it needs path and time"):
        FrameFolder(folder, FrameTimes(str(table)))
    table.write_text("path,time\na.png,soon\n")
    with pytest.raises(SamecarError, match=r"times.csv, frame a.png: time 'soon' cannot be understood"):
        FrameFolder(folder, FrameTimes(str(table)))
    table.write_text("path,time\na.png,1.5\na.png,2.5\n")
    with pytest.raises(SamecarError, match=r"gives frame a.png two times"):
        FrameFolder(folder, FrameTimes(str(table)))


def test_what_is_opened_goes_by_what_is_given(tmp_path):
    folder = frames_in(tmp_path / "gate", "20240501_123000.png")
    with open_frames(folder) as source:
        assert isinstance(source, FrameFolder)
        assert np.array_equal(next(source.frames(5)).picture[0, 0], [0, 0, 0])
    with pytest.raises(SamecarError, match=r"film .*none.mov is not there"), open_frames(tmp_path / "none.mov"):
        pass
    (tmp_path / "film.mov").write_bytes(b"no film")
    with (
        pytest.raises(SamecarError, match=r"times is 25, and .*film.mov is no folder|times is '25', and .*film.mov"),
        open_frames(tmp_path / "film.mov", times=FrameTimes("25")),
    ):
        pass
    for more in ({"start": 1.0}, {"times": FrameTimes("25")}):
        with (
            pytest.raises(SamecarError, match=r"is given, and times of rtsp://camera are those at which frames come"),
            open_frames("rtsp://anna:geheim@camera/1", **more),
        ):
            pass
