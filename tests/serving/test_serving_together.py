"""`samecar serve --processes N`: several processes answer at one address as one service."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from command_line import refused, samecar_process
from galleries import ask, painted, served, wait_until

from samecar.cli import serving_together
from samecar.cli.launching import LaunchedError
from samecar.serving.settings import ServiceSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="connections are shared out on Linux alone"),
]

TOGETHER = ("--processes", 2, "--rate", 0)


@pytest.fixture
def query(tmp_path):
    """A picture that the gallery does not hold."""
    return painted(tmp_path, 2, 1, 7).read_bytes()


def children(process):
    """Numbers of the processes that serve."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status, line = (folder / "status").read_text(), (folder / "cmdline").read_text()
        except OSError:
            continue
        if f"PPid:\t{process.pid}\n" in status and "spawn_main" in line:
            found.append(int(folder.name))
    return found


def search(port, content):
    """Searches over a connection of its own, and gives the answer."""
    answer = httpx2.post(f"http://127.0.0.1:{port}/api/search", files={"picture": ("q.png", content)}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def results_of(answer):
    """Which entries were found, and how similar they are, as a page shows it."""
    return [(each["id"], round(each["similarity"], 2)) for each in answer["results"][:4]]


def count_of(port, name):
    """A number that the service tells."""
    text = ask(port, "/metrics")[1].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))


def test_all_processes_answer_as_one_does_and_count_together(own_gallery, query):
    with served(own_gallery) as (_, port):
        expected = search(port, query)
    with served(own_gallery, *TOGETHER) as (process, port):
        parts = children(process)
        assert len(parts) == 2
        taken, cores = [os.sched_getaffinity(part) for part in parts], os.sched_getaffinity(0)
        assert set.union(*taken) == cores
        assert len(cores) < 2 or not set.intersection(*taken)  # each has its part of the cores
        before = [processor_seconds(part) for part in parts]
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: search(port, query), range(80)))
        assert {tuple(results_of(answer)) for answer in answers} == {tuple(results_of(expected))}
        assert all(processor_seconds(part) > earlier for part, earlier in zip(parts, before, strict=True))
        assert count_of(port, 'samecar_requests_total{method="POST",route="/api/search",status="200"}') == 80
        assert count_of(port, "samecar_requests_in_progress") == count_of(port, "samecar_queue_pictures") == 0
        assert count_of(port, "samecar_gallery_pictures") == 12


def processor_seconds(number):
    fields = (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_what_one_adds_all_find(own_gallery, tmp_path):
    content = painted(tmp_path, 3, 0, 9).read_bytes()
    with served(own_gallery, *TOGETHER) as (_, port):
        added = httpx2.post(f"http://127.0.0.1:{port}/api/pictures", files={"picture": ("n.png", content)}, timeout=60)
        assert added.status_code == 201
        found = [search(port, content)["results"][0]["id"] for _ in range(20)]
    assert found == [added.json()["id"]] * 20


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (signal.SIGKILL, "was ended by SIGKILL, often because memory is full, and the others with it"),
        pytest.param(signal.SIGTERM, "was told to end, and the others with it", marks=pytest.mark.long),
    ],
)
def test_if_one_process_ends_all_do_with_a_sentence(own_gallery, number, sentence):
    process = started(own_gallery)
    try:
        first, other = children(process)
        os.kill(first, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2
    (line,) = errors.splitlines()
    assert re.search(r"^error: process [01] of 2 \(numbered from 0\) " + sentence, line)
    wait_until(lambda: not Path(f"/proc/{other}").exists())


def started(gallery):
    """The process that starts the others, once they are ready."""
    command = samecar_process("serve", gallery, "--port", 0, "--device", "cpu", *TOGETHER)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = int(re.search(r"http://.*:(\d+)/", process.stdout.readline())[1])
    wait_until(lambda: process.poll() is not None or ask(port, "/ready")[0] == 200, 120)
    return process


@pytest.mark.long
def test_processes_end_with_the_one_that_started_them(own_gallery):
    process = started(own_gallery)
    parts = children(process)
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{part}").exists() for part in parts), 30)


@pytest.mark.long
def test_an_address_that_is_taken_is_refused_also_by_several(own_gallery):
    with served(own_gallery, *TOGETHER) as (_, port):
        for options in ((), TOGETHER):
            assert f"--port {port} cannot be listened on" in refused(
                "serve", own_gallery, "--port", port, "--device", "cpu", *options
            )


@pytest.mark.long
def test_a_model_that_cannot_be_loaded_is_told_once(own_gallery):
    for path in own_gallery.glob("model*"):
        (path / "model.safetensors" if path.is_dir() else path).write_bytes(b"damaged")
    command = samecar_process("serve", own_gallery, "--port", 0, "--device", "cpu", *TOGETHER)
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "Traceback" not in finished.stderr


def test_a_failure_that_a_process_has_printed_is_no_success():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    context = multiprocessing.get_context("spawn")
    parts = [context.Process(target=sys.exit, args=(1,)), context.Process(target=time.sleep, args=(60,))]
    try:
        with pytest.raises(LaunchedError) as raised:
            serving_together._see_through(parts)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert raised.value.status == 1
    parts[1].join(30)
    assert parts[1].exitcode == -signal.SIGTERM


def test_only_the_first_process_keeps_to_the_days(monkeypatch, own_gallery):
    seen = []
    monkeypatch.setattr(serving_together, "run_service", lambda _, settings, *__: seen.append(settings.retain_days))
    monkeypatch.setattr(serving_together, "_take_cores", lambda *_: None)
    monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
    monkeypatch.setattr(serving_together, "end_with", lambda _: None)
    settings = ServiceSettings(retain_days=30)
    made = serving_together.Served(str(own_gallery), None, {}, settings, serving_together.EventSettings())
    for number in range(3):
        serving_together._serve_part(made, number, 3, None, None, None)
    assert seen == [30, None, None]


def test_without_a_way_to_share_connections_out_it_is_refused(own_gallery, monkeypatch):
    monkeypatch.setattr("samecar.serving.app.sys.platform", "darwin")
    assert "--processes needs Linux" in refused("serve", own_gallery, *TOGETHER)
