import json
import re
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from command_line import refused, samecar_process
from galleries import ask, listening, painted, served, service, wait_until
from PIL import Image

import samecar
from samecar.data.manifest import Manifest
from samecar.retrieval.gallery import Gallery
from samecar.serving.settings import warn_of_token

TOKEN = "a-token-of-sufficient-length"


def add(port, file):
    files = {"picture": ("q.png", file)}
    return httpx2.post(f"http://127.0.0.1:{port}/api/pictures", files=files, timeout=60)


@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_lost_when_it_is_told_to_end(own_gallery, tmp_path):
    """Many clients add while SIGTERM comes: what was answered 201 is in the gallery, the rest was never promised."""
    files = [painted(tmp_path, vehicle, 3, index).read_bytes() for vehicle in range(8) for index in range(10)]
    acknowledged = []

    def adding(port, files):
        for file in files:
            try:
                answer = add(port, file)
            except httpx2.TransportError:  # it has ended
                return
            if answer.status_code == 201:
                acknowledged.append(answer.json()["id"])

    with served(own_gallery, "--rate", 0) as (process, port):
        clients = [threading.Thread(target=adding, args=(port, files[first::8])) for first in range(8)]
        for client in clients:
            client.start()
        wait_until(lambda: len(acknowledged) >= 8)
        process.terminate()
        for client in clients:
            client.join()
        process.wait(120)
    assert 8 <= len(acknowledged) < len(files)
    with Gallery.open(str(own_gallery)) as gallery:
        assert gallery.engine.entries(acknowledged).keys() == set(acknowledged)
        assert gallery.engine.check() == []
        (answer,) = gallery.search_embeddings(gallery.engine.embeddings(acknowledged[:1]), 1)
        assert answer.found[0].similarity == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_it_answers_before_the_model_is_loaded_and_asks_for_its_token(painted_gallery, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    early = []

    def watch(port):
        began = time.monotonic()
        early.extend([ask(port, "/health"), ask(port, "/ready"), ask(port, "/api/gallery")])
        early.append(time.monotonic() - began)

    options = ("--host", "0.0.0.0", "--token-file", tmp_path / "token", "--read-only", "--max-top", 7)
    with served(painted_gallery, *options, watch=watch) as (_, port):
        (health, _), (readiness, told), (unknown, _), seconds = early
        assert (health, readiness, unknown) == (200, 503, 401)
        assert json.loads(told)["error"]["code"] == "not_ready"
        assert seconds < 10
        assert ask(port, "/api/gallery")[0] == 401
        status, content = ask(port, "/api/gallery", {"Authorization": f"Bearer {TOKEN}"})
        facts = json.loads(content)
        assert (status, facts["name"], facts["limits"]["top"], facts["writable"]) == (200, "yard", 7, False)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux lets others set a process's limits")
def test_a_full_disk_is_told_and_searches_go_on(own_gallery, tmp_path):
    """No file may grow beyond a size, which fails in the midst of a write as a full disk does."""
    files = [painted(tmp_path, 2, 1, index).read_bytes() for index in (7, 8)]

    def search(port):
        sent = {"picture": ("q.png", files[0])}
        return httpx2.post(f"http://127.0.0.1:{port}/api/search", files=sent, timeout=60)

    room = 33_000  # what SQLite needs to read, and less than it needs to add
    reason = r"POST /api/pictures: .*catalogue.sqlite cannot be used: disk I/O error\n"
    with served(own_gallery, said=f"({reason}){{2}}") as (process, port):
        found = search(port).json()["results"]
        before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, before[1]))
        for _ in range(2):
            refused = add(port, files[0])
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "gallery_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            assert str(own_gallery) not in refused.text
            again = search(port).json()["results"]
            assert [entry["id"] for entry in again] == [entry["id"] for entry in found]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
        assert [add(port, file).json() for file in files] == [{"id": 13, "added": True}, {"id": 14, "added": True}]
        assert {13, 14} <= {result["id"] for result in search(port).json()["results"]}
    with Gallery.open(str(own_gallery)) as gallery:
        assert (gallery.engine.check(), gallery.engine.summary().pictures) == ([], 14)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_that_the_page_of_the_service_shows(own_gallery, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("curl ")]
    assert len(lines) == 18
    painted(tmp_path, 2, 1, 7).rename(tmp_path / "car.jpg")
    painted(tmp_path, 2, 1, 8).rename(tmp_path / "rear.jpg")
    with Gallery.open(str(own_gallery)) as gallery:
        embedding = gallery.engine.embeddings([3])[0].tolist()
        (tmp_path / "query.json").write_text(json.dumps({"model": gallery.facts.model, "embedding": embedding}))
    with listening(service(own_gallery)) as port:
        wait_until(lambda: ask(port, "/ready")[0] == 200)
        for line in lines:
            words = shlex.split(line.replace(":8000/", f":{port}/"))
            finished = subprocess.run(
                [*words, "-sS", "--fail-with-body"], cwd=tmp_path, capture_output=True, check=False
            )
            assert finished.returncode == 0, (line, finished)
    assert Image.open(tmp_path / "thumbnail.jpg").format == "JPEG"
    assert len(Manifest.read(tmp_path / "judgements.csv")) == 3


def test_the_client_that_the_page_of_the_service_shows(own_gallery, tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "urlopen" in block)
    painted(tmp_path, 2, 1, 7).rename(tmp_path / "car.jpg")
    monkeypatch.chdir(tmp_path)
    with listening(service(own_gallery)) as port:
        wait_until(lambda: ask(port, "/ready")[0] == 200)
        block = block.replace(":8000/", f":{port}/")
        with Gallery.open(str(own_gallery)) as gallery:
            monkeypatch.setattr(samecar, "load", lambda _: gallery.model)
            exec(compile(block, "docs/service.md", "exec"), {})
            picture = Image.open(tmp_path / "car.jpg").convert("RGB")
            expected = gallery.search([picture], 5)[0].found
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        str(found.entry.id) for found in expected
    ]


def test_what_cannot_be_served(painted_gallery, tmp_path, monkeypatch):
    monkeypatch.delenv("SAMECAR_TOKEN", raising=False)
    assert "needs a token" in refused("serve", painted_gallery, "--host", "0.0.0.0")
    assert "cannot be read" in refused("serve", painted_gallery, "--token-file", tmp_path / "absent")
    (tmp_path / "short").write_text("abc")
    assert "at least 16" in refused("serve", painted_gallery, "--token-file", tmp_path / "short")
    monkeypatch.setenv("SAMECAR_TOKEN", "abc")
    assert "SAMECAR_TOKEN" in refused("serve", painted_gallery)


@pytest.mark.slow
def test_a_gallery_that_is_not_there_and_a_port_that_is_taken(painted_gallery, tmp_path):
    def ended(*arguments):
        command = samecar_process("serve", *arguments)
        finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert finished.returncode == 2, finished
        assert finished.stdout == "", "it says that it serves what it does not"
        (line,) = finished.stderr.splitlines()
        assert line.startswith("error: ")
        return line

    assert "absent" in ended(tmp_path / "absent", "--port", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in ended(painted_gallery, "--port", port)


def test_a_model_that_cannot_be_loaded_ends_the_service_with_one_sentence(painted_gallery):
    """The model is refused before torch is imported, so that nothing slow happens first."""
    code = """
from samecar.cli.main import main
from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery

def refuse(gallery):
    raise SamecarError("the model lacks a file; put it back")

Gallery.model = property(refuse)
main()
"""
    command = [sys.executable, "-c", code, "serve", str(painted_gallery), "--port", "0"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 2, finished
    assert "Serving" in finished.stdout
    assert finished.stderr.splitlines() == ["error: the model lacks a file; put it back"]


def test_a_token_that_everybody_can_read_is_a_warning(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o644)
    assert "can be read by everybody on this machine" in warn_of_token(tmp_path / "token")
    (tmp_path / "token").chmod(0o640)
    assert warn_of_token(tmp_path / "token") is None
    assert warn_of_token(None) is None
