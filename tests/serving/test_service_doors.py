"""What clients can do to a running service with connections, heads and bodies, and what they are told."""

import asyncio
import contextlib
import http.client
import io
import json
import re
import threading
import time
from pathlib import Path

import httpx2
import pytest
from galleries import asking, painted, service, serving, wait_until
from PIL import Image
from test_service_connections import connected, is_over, running, status

from samecar.serving import decoding as decoding_module
from samecar.serving.uploads import LARGE_PIXELS

UNREAD_ANSWERS = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 120
HALF_SENT = (
    b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: 1000\r\n\r\n--x"
)
LINES = b"".join(b"X%06d: 1\r\n" % number for number in range(5000))
MOST_TAKEN = 12_000_000
"""Bytes that the system's own buffers may take of a client before it has to wait: a few million."""


@pytest.fixture(scope="module")
def door(painted_gallery):
    """A running service, and its port."""
    with running(painted_gallery, bytes=200_000, upload_seconds=20) as (server, port):
        yield server, port


@pytest.fixture
def query(tmp_path):
    return painted(tmp_path, 2, 1, 7).read_bytes()


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"GET / HTTP/1.1\r\n", LINES),
        (b"GET /", b"x" * 60_000),
        (b"POST /health HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", LINES),
        (b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000),
    ],
    ids=["head", "address", "trailers", "requests"],
)
def test_behind_answers_that_are_not_read_nothing_without_end_is_kept(door, begun, piece):
    server, port = door
    with connected(port) as client:
        client.sendall(UNREAD_ANSWERS + begun)
        client.settimeout(0.5)
        taken = 0
        with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
            while taken < 3 * MOST_TAKEN:
                taken += client.send(piece)
        assert taken < MOST_TAKEN
        kept = [len(each.conn.trailing_data[0]) for each in server.server_state.connections]
        assert max(kept, default=0) < 1_000_000
        assert status(port, "/health") == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        HALF_SENT.replace(b"Content-Length: 1000\r\n\r\n--x", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 65_536,
    ],
    ids=["no HTTP", "no host", "length", "chunk", "large head"],
)
def test_what_is_no_request_is_answered_as_every_error_is(door, request_bytes):
    with connected(door[1]) as client:
        client.sendall(request_bytes)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        error = json.loads(answer.read())["error"]
        assert (answer.status, error["code"]) == (400, "bad_request")
        assert re.fullmatch(r"[^\n]{20,}", error["message"])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert is_over(client)


def test_whoever_sends_all_of_a_refused_body_first_sees_the_answer(door):
    """As many clients do; the system's buffers hold only a part of it."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for target, headers, told in (("/api/search", form, "too_large"), ("/api/nothing", {}, "not_found")):
        connection = http.client.HTTPConnection("127.0.0.1", door[1], timeout=20)
        connection.request("POST", target, bytes(1_900_000), headers)
        answer = connection.getresponse()
        assert json.loads(answer.read())["error"]["code"] == told
        assert answer.headers["connection"] == "close"
        connection.close()


def test_a_refused_body_without_end_is_not_read_without_end(door):
    with connected(door[1]) as client:
        client.sendall(b"POST /api/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 100_000_000:
                sent += client.send(bytes(100_000))
        assert sent < 50_000_000


def test_every_method_that_an_address_takes_is_allowed(door):
    for target, methods in (
        ("/api/pictures", {"GET", "POST"}),
        ("/api/pictures/1", {"GET", "PATCH", "DELETE"}),
        ("/api/judgements", {"GET", "PUT", "DELETE"}),
        ("/api/search", {"POST"}),
        ("/health", {"GET"}),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", door[1], timeout=20)
        connection.request("TRACE", target)
        answer = connection.getresponse()
        assert (answer.status, set(answer.headers["allow"].split(", "))) == (405, methods)
        connection.close()


def test_half_sent_bodies_keep_nobody_out(painted_gallery, query):
    """More of them than requests may be in progress, and than connections may be open."""
    limits = {"waiting": 4, "uploads": 0, "connections": 30, "upload_seconds": 60}
    with running(painted_gallery, **limits) as (server, port), contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(port)).sendall(HALF_SENT)
        sending = server.config.app.state.admission.sending
        wait_until(lambda: sending.total() >= 25)
        sent = {"picture": ("q.png", query)}
        answer = httpx2.post(f"http://127.0.0.1:{port}/api/search", files=sent, timeout=20)
        assert answer.status_code == 200
    assert sending == {}


def test_one_address_sends_only_so_many_bodies_at_a_time(painted_gallery, query):
    with running(painted_gallery, uploads=3) as (_, port), contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(port)) for _ in range(3)]
        for client in held:
            client.sendall(HALF_SENT)
        url, sent = f"http://127.0.0.1:{port}/api/search", {"picture": ("q.png", query)}
        wait_until(lambda: httpx2.post(url, files=sent, timeout=20).status_code == 429)
        refused = httpx2.post(url, files=sent, timeout=20)
        assert (refused.json()["error"]["code"], refused.headers["retry-after"]) == ("too_many_requests", "1")
        assert status(port) == 200
        held.pop().close()
        wait_until(lambda: httpx2.post(url, files=sent, timeout=20).status_code == 200)


def test_told_to_end_it_waits_for_no_client_that_sends_or_takes_nothing(painted_gallery):
    with running(painted_gallery) as (server, port), contextlib.ExitStack() as stack:
        stack.enter_context(connected(port)).sendall(HALF_SENT)
        stack.enter_context(connected(port)).sendall(UNREAD_ANSWERS * 5)
        refused = b"POST /api/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        stack.enter_context(connected(port)).sendall(refused)
        wait_until(lambda: len(server.server_state.connections) == 3)
        time.sleep(0.3)
        server.should_exit = True
        began = time.monotonic()
        wait_until(lambda: not server.server_state.connections)
        assert time.monotonic() - began < 10


def test_a_body_without_a_file_is_small(own_gallery):
    """Ten million bytes of empty lists would take a parser hundreds of millions."""
    lists = b"[" + b"[]," * 400_000 + b"[]]"
    with serving(own_gallery) as client:
        sent = {"Content-Type": "application/json"}
        answer = client.patch("/api/pictures/1", content=lists, headers=sent)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert "500,000 bytes" in answer.json()["error"]["message"]
        labels = {f"{number:0256}": "\U0001f697" * 1000 for number in range(32)}
        answer = client.patch("/api/pictures/1", content=json.dumps({"labels": labels}), headers=sent)
        assert (answer.status_code, answer.json()["labels"]) == (200, labels)


def test_the_description_states_the_limits_and_a_default_keeps_to_them(painted_gallery):
    with serving(painted_gallery, top=7, bytes=123_456) as client:
        description = client.get("/openapi.json").json()
        listed = description["paths"]["/api/pictures"]
        (limit,) = (each["schema"] for each in listed["get"]["parameters"] if each["name"] == "limit")
        top = description["components"]["schemas"]["SearchForm"]["properties"]["top"]
        searched = description["paths"]["/api/search"]["post"]["requestBody"]
        told = searched["content"]["application/json"]["schema"]["properties"]["top"]
        assert [(each["maximum"], each["default"]) for each in (limit, top, told)] == [(7, 7)] * 3
        assert searched["description"].endswith("; as application/json at most 123,456 bytes")
        assert "123,456 bytes" in listed["post"]["requestBody"]["description"]
        assert len(client.get("/api/pictures").json()["pictures"]) == 7
        assert client.get("/api/pictures", params={"limit": 8}).status_code == 422
    other = service(painted_gallery).openapi()["paths"]["/api/search"]["post"]["requestBody"]["content"]
    assert other["application/json"]["schema"]["properties"]["top"]["maximum"] == 100  # they share nothing of it


def heavy_picture(side):
    buffer = io.BytesIO()
    Image.new("RGBA", (side, side), (10, 20, 30, 128)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def ask_for_heavy(client, number, content):
    """A search, an addition or a judgement with a heavy picture."""
    content += bytes([number])  # behind a PNG's end, which makes it another file
    if number % 3 == 0:
        return client.post("/api/search", files={"picture": ("q.png", content)})
    if number % 3 == 1:
        return client.post("/api/pictures", files={"picture": ("q.png", content)})
    return client.put("/api/judgements", files={"query": ("q.png", content)}, data={"entry": "1", "same": "true"})


def test_of_heavy_pictures_one_is_decoded_at_a_time_and_others_do_not_wait(own_gallery, query, monkeypatch):
    go_on, decoding, most = threading.Event(), 0, 0
    open_upload = decoding_module.open_upload

    def open_slowly(file, crop, size):
        nonlocal decoding, most
        if len(file) == len(query):
            return open_upload(file, crop, size)
        decoding += 1
        most = max(most, decoding)
        assert go_on.wait(20)
        decoding -= 1
        return open_upload(file, crop, size)

    async def main():
        async with asking(service(own_gallery)) as client:
            monkeypatch.setattr(decoding_module, "open_upload", open_slowly)
            content = heavy_picture(1500)
            heavy = [asyncio.create_task(ask_for_heavy(client, 3 * number, content)) for number in range(6)]
            await asyncio.sleep(0.5)
            small = await client.post("/api/search", files={"picture": ("q.png", query)})
            go_on.set()
            return small, await asyncio.gather(*heavy)

    small, heavy = asyncio.run(main())
    assert LARGE_PIXELS < 1500 * 1500
    assert (small.status_code, [each.status_code for each in heavy], most) == (200, [200] * 6, 1)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's largest memory")
def test_memory_has_the_ceiling_that_the_page_states(own_gallery):
    """Two heavy pictures are decoded at a time, one to search or judge and one to add, of 28 bytes a pixel.

    As much again is left for memory that is free but in pieces, which the command line lets the system take back.
    """
    side = 1600
    content = heavy_picture(side)

    def largest_memory():
        text = Path("/proc/self/status").read_text(encoding="ascii")
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) * 1024

    async def main():
        async with asking(service(own_gallery)) as client:
            for number in range(3):
                await ask_for_heavy(client, 100 + number, painted_bytes)
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # which forgets the largest
            before = largest_memory()
            answers = await asyncio.gather(*(ask_for_heavy(client, number, content) for number in range(9)))
            return [each.status_code for each in answers], largest_memory() - before

    painted_bytes = heavy_picture(200)
    statuses, grown = asyncio.run(main())
    assert set(statuses) <= {200, 201}
    assert grown < 2 * 2 * 28 * side * side
