"""Cameras that are watched, several films, and the watch list, as a user meets them."""

import json
import signal
import subprocess
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
from calibrations import nearly_equal_calibration
from command_line import done, refused, run, samecar_process
from film_making import paint_vehicle, red_detector, road, write_film
from galleries import copy_gallery, painted, served, wait_until
from live_cameras import encoded, http_camera, in_time, passing, secrets_in
from PIL import Image
from tiny_run import tiny_run

from samecar.experiment.embed import bound_model
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.times import parse_time, time_text

EMPTY = [road(128, 256)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two films of a red car, a detector that finds it, the model of a gallery, and its calibration."""
    folder = tmp_path_factory.mktemp("watching")
    for name, lighter in (("gate_20261120_073000.mov", 0), ("gate_20261120_074000.mov", 20)):
        pictures = [road(128, 256) + np.uint8(lighter) for _ in range(20)]
        for i, picture in enumerate(pictures):
            paint_vehicle(picture, "car", 20 + 8 * i, 60)
        write_film(folder / name, pictures)
    (folder / "frames").mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture - np.uint8(10)).save(
            folder / "frames" / f"2026-11-21T08-00-{i // 10:02d}.{i % 10}00.png"
        )
    red_detector(folder / "red.onnx")
    model = bound_model(tiny_run(folder / "run"))
    (folder / "run" / "calibration.json").write_text(nearly_equal_calibration(model.digest).to_json())
    return folder


@pytest.fixture
def arguments(place, tmp_path, monkeypatch):
    """Options of `ingest`; the gallery is the test's own."""
    monkeypatch.chdir(place)
    gallery = tmp_path / "gallery"
    done("gallery", "create", gallery, "--run", "run")
    return ["--camera", "gate", "--gallery", gallery, "--detector", "red.onnx", "--minimum-size", 24]


def entries(gallery):
    with Gallery.open(str(gallery), device="cpu") as opened:
        return [entry.sighting for entry in opened.engine.listed()]


def test_several_films_and_a_folder_of_frames_are_ingested_with_their_times(arguments):
    films = ["gate_20261120_073000.mov", "gate_20261120_074000.mov"]
    lines = done("ingest", *films, *arguments, "--start", "name").splitlines()
    assert lines == [
        *(f"{film}: 10 frames of 1.9 seconds; vehicles followed: 1" for film in films),
        f"{arguments[3]}: 2 added, 0 known already",
    ]
    done("ingest", "frames", *arguments)
    times = [sighting.time for sighting in entries(arguments[3])]
    for time_, text in zip(times, ("2026-11-20T07:30", "2026-11-20T07:40", "2026-11-21T08:00"), strict=True):
        assert 0 <= time_ - parse_time(text) < 2
    assert [sighting.labels["film"] for sighting in entries(arguments[3])] == [*films, "frames"]
    report = json.loads(done("ingest", *films, *arguments, "--start", "name", "--json"))
    assert [film["known"] for film in report["films"]] == [1, 1]
    moments = ["--start", "2026-11-20T07:30:00", "--start", "2026-11-20T07:40:00"]
    assert run("ingest", *films, *arguments, *moments).errors == ""


def test_films_of_several_cameras_are_each_of_its_own(arguments):
    films = ["gate_20261120_073000.mov", "gate_20261120_074000.mov"]
    done("ingest", *films, *arguments, "--camera", "other", "--start", "name")
    assert [sighting.camera_id for sighting in entries(arguments[3])] == [arguments[1], "other"]


def test_frames_that_are_counted_take_a_rate(arguments, place, tmp_path):
    folder = tmp_path / "counted"
    folder.mkdir()
    for number, path in enumerate(sorted((place / "frames").iterdir())):
        (folder / f"{number:06d}.png").write_bytes(path.read_bytes())
    done("ingest", folder, *arguments, "--times", "10", "--start", "2026-11-20T07:30:00")
    (sighting,) = entries(arguments[3])
    assert 0 <= sighting.time - parse_time("2026-11-20T07:30:00Z") < 2
    assert "says no moment" in refused("ingest", folder, *arguments)


@pytest.mark.parametrize(
    ("films", "more", "sentence"),
    [
        (["red.onnx"], [], "film red.onnx cannot be opened"),
        (["gate_20261120_073000.mov", "none.mov"], [], "film none.mov is not there"),
        (["gate_20261120_073000.mov", "rtsp://a:geheim@b/"], [], "rtsp://b is given beside other films"),
        (["gate_20261120_073000.mov"] * 2, ["--start", "2026-11-20"], "--start is given 1 times for 2 films"),
        (
            ["gate_20261120_073000.mov"] * 3,
            ["--camera", "b"],
            "--camera is given 2 times for 3 films; say it once for all",
        ),
        (["gate_20261120_073000.mov"] * 2, ["--camera", " "], "--camera is empty"),
        (["red.onnx"], ["--start", "name"], "the name of red.onnx tells no moment, such as gate_20261120_073000.mp4"),
        (["frames"], ["--start", "2026-11-20"], "--start is given, and the frames of frames say themselves"),
        (["frames"], ["--times", "often"], "--times is 'often'; give name, modified"),
        (["gate_20261120_073000.mov"], ["--times", "25"], "--times is '25', and gate_20261120_073000.mov is no folder"),
        (["ftp://b/"], [], "the address of a camera begins with 'ftp://'"),
        (
            ["http://a:geheim@127.0.0.1:9/"],
            ["--start", "2026-11-20"],
            "--start is given, and times of http://127.0.0.1",
        ),
        (["http://a:geheim@127.0.0.1:9/"], [], "http://127.0.0.1:9 cannot be watched: connection refused"),
        (["frames"], ["--events", "-", "--json"], "--events is '-', and --json prints one object"),
        (["frames"], ["--webhook", "geheim"], "the address of a webhook has no scheme"),
        (["frames"], ["--same-passage-seconds", "-1"], "--same-passage-seconds is -1.0; give 0 or more"),
    ],
)
def test_bad_input_is_one_sentence_without_secrets(arguments, films, more, sentence):
    said = refused("ingest", *films, *arguments, *more)
    assert sentence in said
    assert secrets_in(said) == []
    assert entries(arguments[3]) == []


@pytest.mark.long  # half a minute each
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_camera_is_watched_until_it_is_told_to_end_and_what_was_seen_is_written(arguments, number):
    """The second car is still on its way when the command is told to end."""

    def script():
        cars = 15 * EMPTY + passing("car") + 15 * EMPTY + passing("car")[:14]
        yield from in_time(encoded(cars + 2400 * [passing("car")[14]]))

    with http_camera(script) as camera:
        began = time.time()
        address = camera.address("geheim", login="anna:geheim@")
        process = subprocess.Popen(
            [*samecar_process("ingest", address, *arguments, "--device", "cpu")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: entries(arguments[3]), 240)
            time.sleep(4)
            before = len(entries(arguments[3]))  # one or more: where frames are dropped, one car may be followed as two
            process.send_signal(number)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, errors) == (0, "")
    assert f"http://127.0.0.1:{camera.port}: " in out
    assert f"{arguments[3]}: {before + 1} added, 0 known already" in out
    found = entries(arguments[3])
    assert len(found) == before + 1
    assert all(began < sighting.time < time.time() for sighting in found)
    assert all(sighting.labels == {"type": "car", "film": f"http://127.0.0.1:{camera.port}"} for sighting in found)
    assert secrets_in(out + errors + "".join(map(str, found))) == []


# the watch list


@pytest.fixture
def watched(arguments, place):
    """A gallery that looks for the red car, by the crops that `ingest` makes of the first film."""
    gallery, crops = arguments[3], Path(arguments[3]).parent / "crops"
    done("ingest", "gate_20261120_073000.mov", *arguments, "--crops", crops, "--pool", 1)
    done("gallery", "remove", gallery, "--camera", "gate", "--yes")
    (crop,) = crops.iterdir()
    said = done("watch", "add", "stolen 1", crop, "--gallery", gallery, "--device", "cpu")
    assert said.splitlines()[0].startswith(f"stolen 1: {crop.name}, since 20")
    assert "seen is who has a similarity of 1.000 or more; of other vehicles' passages 5 % may reach it" in said
    return gallery


def test_an_uncalibrated_gallery_is_refused_with_the_line_to_type(painted_gallery, tmp_path):
    path = painted(tmp_path, 1, 0, 5)
    said = refused("watch", "add", "a", path, "--gallery", painted_gallery, "--device", "cpu")
    assert f"`samecar gallery calibrate {painted_gallery} --run RUN`" in said


def test_a_vehicle_of_the_list_is_told_when_a_film_shows_it(watched, arguments, tmp_path):
    events = tmp_path / "seen.jsonl"
    ingest = ["ingest", "gate_20261120_073000.mov", *arguments, "--pool", 1, "--start", "name"]
    finished = run(*ingest)
    assert finished.errors.startswith("seen: stolen 1 by camera gate at 2026-11-20T07:30:0")
    assert len(finished.errors.splitlines()) == 1
    assert run(*ingest, "--events", events).errors == ""  # it is known already
    assert events.read_text() == ""
    done("gallery", "remove", watched, "--camera", "gate", "--yes")
    finished = run(*ingest, "--events", "-")
    (line,) = finished.out.splitlines()
    told = json.loads(line)
    assert told["vehicle"] == "stolen 1"
    assert told["time"] == time_text(entries(watched)[0].time)
    assert "vehicles followed: 1" in finished.errors
    done("gallery", "remove", watched, "--camera", "gate", "--yes")
    assert json.loads(run(*ingest, "--events", events, "--json").out)["added"] == 1
    assert json.loads(events.read_text()) == {**told, "entry": told["entry"] + 1}


def test_pictures_that_are_added_are_compared_too(watched, tmp_path):
    (crop,) = (watched.parent / "crops").iterdir()
    Image.open(crop).save(tmp_path / "again.bmp")  # other bytes, the same picture
    events = tmp_path / "seen.jsonl"
    add = ["gallery", "add", watched, tmp_path / "again.bmp", "--camera", "yard", "--device", "cpu"]
    done(*add, "--events", events)
    assert json.loads(events.read_text())["camera_id"] == "yard"


def test_the_list_is_shown_changed_and_emptied(watched):
    told = json.loads(done("watch", "list", "--gallery", watched, "--json"))
    assert [vehicle["vehicle"] for vehicle in told["vehicles"]] == ["stolen 1"]
    assert (told["false_alarm_rate"], told["threshold"]) == (0.05, 0.9999)
    assert "0.1 % may reach it" in done("watch", "rate", "0.001", "--gallery", watched)
    assert "the rate of false alarms is 2.0; give a share" in refused("watch", "rate", "2", "--gallery", watched)
    assert "'other' is not in the watch list, which has 'stolen 1'" in refused(
        "watch", "remove", "other", "--gallery", watched
    )
    assert "give the NAME of a vehicle, or --all" in refused("watch", "remove", "--gallery", watched)
    assert "nobody is looked for" in done("watch", "remove", "stolen 1", "--gallery", watched)
    assert "nobody is looked for" in done("watch", "remove", "--all", "--gallery", watched)
    assert json.loads(done("watch", "list", "--gallery", watched, "--json"))["vehicles"] == []


def test_a_list_is_kept_on_a_server_too(arguments, place, postgres, tmp_path):
    on_server = ("--engine", postgres.address(postgres.new_database()))
    done("gallery", "create", "north", "--run", "run", *on_server)
    path = painted(tmp_path, 1, 0, 5)
    done("watch", "add", "a", path, "--gallery", "north", "--false-alarm-rate", "0.01", "--device", "cpu", *on_server)
    Image.open(path).save(tmp_path / "again.bmp")
    events = tmp_path / "seen.jsonl"
    add = ["gallery", "add", "north", tmp_path / "again.bmp", "--device", "cpu", "--events", events, *on_server]
    done(*add)
    assert json.loads(events.read_text())["false_alarm_rate"] == 0.01


@pytest.mark.slow
def test_a_service_tells_of_what_is_added_and_knows_a_list_that_changes_meanwhile(painted_gallery, tmp_path):
    gallery = copy_gallery(painted_gallery, tmp_path)
    with Gallery.open(str(gallery), device="cpu") as opened:
        opened.attach_calibration(nearly_equal_calibration(opened.facts.model).to_json().encode())
    one, two = painted(tmp_path, 3, 0, 9), painted(tmp_path, 4, 0, 9)
    done("watch", "add", "first", one, "--gallery", gallery, "--device", "cpu")
    events = tmp_path / "seen.jsonl"

    def send(port, path):
        content = path.with_suffix(".bmp")
        Image.open(path).save(content)
        answer = httpx2.post(
            f"http://127.0.0.1:{port}/api/pictures",
            files={"picture": content.read_bytes()},
            data={"camera_id": "gate"},
            timeout=60,
        )
        assert answer.status_code in (200, 201), answer.text

    with served(gallery, "--events", events) as (_, port):
        send(port, one)
        done("watch", "add", "second", two, "--gallery", gallery, "--device", "cpu")
        time.sleep(11)
        send(port, two)
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [event["vehicle"] for event in told] == ["first", "second"]
