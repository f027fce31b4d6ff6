"""Connections of a running service, with sockets of this machine."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time

import pytest
import uvicorn
from galleries import service, wait_until
from uvicorn.protocols.http import h11_impl
from uvicorn.server import ServerState

from samecar.serving.app import listen, make_server
from samecar.serving.connections import HEAD_BYTES
from samecar.serving.settings import ServiceSettings

REQUEST = b"GET /api/pictures/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.contextmanager
def running(gallery, **limits):
    """The server that samecar serve makes, with limits of one's own, once it is ready; and its port."""
    settings = ServiceSettings(port=0, rate=0, **limits)
    server = make_server(service(gallery, **limits), settings)
    with listen(settings) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            wait_until(lambda: status(port, "/ready") == 200)
            wait_until(lambda: not server.server_state.connections)
            yield server, port
        finally:
            server.should_exit = True
            thread.join()


def status(port, target="/api/pictures/1"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", target, headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def answered(sent):
    """Status of the next answer on a connection."""
    answer = http.client.HTTPResponse(sent)
    answer.begin()
    answer.read()
    return answer.status


def is_over(sent):
    """Whether the service has closed a connection, in a moment at most."""
    sent.settimeout(0.2)
    try:
        return sent.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def seconds_until_closed(sent, piece=b""):
    """Sends a piece again and again until the service hangs up."""
    began = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() - began < 20:
            sent.sendall(piece)
            if is_over(sent):
                break
    return time.monotonic() - began


def test_what_is_used_of_uvicorn_beside_its_public_interface():
    """A later uvicorn may change it: then samecar.serving.connections must be looked at, and the bound in pyproject."""
    loop = asyncio.new_event_loop()
    protocol = h11_impl.H11Protocol(uvicorn.Config(None), ServerState(), app_state={}, _loop=loop)
    loop.close()
    methods = ("connection_made", "data_received", "on_response_complete", "send_400_response", "shutdown")
    for name in (*methods, "pause_writing", "resume_writing", "connection_lost"):
        assert callable(getattr(protocol, name, None)), f"uvicorn's H11Protocol has no method {name}"
    for name in ("conn", "connections", "cycle", "loop", "transport"):
        assert hasattr(protocol, name), f"uvicorn's H11Protocol has no attribute {name}"
    for name in ("response_complete", "disconnected", "more_body", "message_event"):
        used = h11_impl.RequestResponseCycle.__init__.__code__.co_names
        assert name in used, f"uvicorn's RequestResponseCycle has no attribute {name}"


def test_a_connection_that_sends_nothing_is_closed(painted_gallery):
    with running(painted_gallery, head_seconds=1) as (server, port), connected(port) as silent:
        assert 0.5 < seconds_until_closed(silent) < 10
        wait_until(lambda: not server.server_state.connections)
        assert status(port) == 200


@pytest.mark.slow
@pytest.mark.parametrize("before", [b"", REQUEST])
def test_a_head_that_comes_too_slowly_is_not_waited_for(painted_gallery, before):
    """Nor that of a later request on a connection."""
    with running(painted_gallery, head_seconds=2) as (_, port), connected(port) as slow:
        if before:
            slow.sendall(before)
            assert answered(slow) == 200
        slow.sendall(REQUEST[:-2])
        assert 0.5 < seconds_until_closed(slow, b"X-More: 1\r\n") < 10


def test_a_head_without_end_is_not_kept(painted_gallery):
    with running(painted_gallery, head_seconds=60) as (_, port), connected(port) as endless:
        endless.sendall(REQUEST[:-2])
        assert seconds_until_closed(endless, b"X-More: " + bytes([120]) * (HEAD_BYTES // 8) + b"\r\n") < 10


@pytest.mark.slow
def test_requests_on_one_connection_one_after_the_other_and_sent_together(painted_gallery):
    with running(painted_gallery, head_seconds=3) as (_, port), connected(port) as patient:
        for _ in range(3):
            patient.sendall(REQUEST)
            assert answered(patient) == 200
            time.sleep(1.2)
        patient.sendall(REQUEST * 2 + REQUEST[:30])
        with patient.makefile("rb") as file:
            for _ in range(2):
                assert file.readline() == b"HTTP/1.1 200 OK\r\n"
                head = iter(file.readline, b"\r\n")
                file.read(next(int(line.split()[1]) for line in list(head) if line.startswith(b"content-length")))
        patient.sendall(REQUEST[30:])
        assert answered(patient) == 200


@pytest.mark.slow
def test_a_request_in_progress_may_take_longer_than_a_head(painted_gallery):
    app_seconds = 3.5
    with running(painted_gallery, head_seconds=2) as (server, port), connected(port) as client:
        engine = server.config.app.state.service.gallery.engine
        entries = engine.entries
        engine.entries = lambda ids: time.sleep(app_seconds) or entries(ids)
        client.sendall(REQUEST)
        assert answered(client) == 200


def test_silent_connections_keep_nobody_out(painted_gallery):
    """Many more than there may be: those that have been silent longest go, whoever asks is answered."""
    with running(painted_gallery, connections=20, head_seconds=60) as (server, port), contextlib.ExitStack() as stack:
        silent = []
        for _ in range(60):
            silent.append(stack.enter_context(connected(port)))
            wait_until(lambda: len(server.server_state.connections) <= 20)  # one more while a new one comes in
        assert status(port) == 200
        assert all(is_over(sent) for sent in silent[:40])
        assert not is_over(silent[-1])
        silent[-1].sendall(REQUEST)
        assert answered(silent[-1]) == 200


def test_where_all_connections_are_at_work_a_new_one_goes(painted_gallery):
    with running(painted_gallery, connections=2) as (server, port), contextlib.ExitStack() as stack:
        go_on, engine = threading.Event(), server.config.app.state.service.gallery.engine
        entries = engine.entries
        engine.entries = lambda ids: go_on.wait(20) and entries(ids)
        at_work = [stack.enter_context(connected(port)) for _ in range(2)]
        for client in at_work:
            client.sendall(REQUEST)
        wait_until(lambda: server.config.app.state.service.metrics.in_progress.collect()[0].samples[0].value == 2)
        assert seconds_until_closed(stack.enter_context(connected(port))) < 10
        go_on.set()
        assert [answered(client) for client in at_work] == [200, 200]


def unread(port, stack):
    """A connection whose client asks for much and reads none of it."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 600)
    return client


def test_answers_that_nobody_takes_are_given_up(painted_gallery):
    with running(painted_gallery, unread_seconds=1) as (server, port), contextlib.ExitStack() as stack:
        began = time.monotonic()
        unread(port, stack)
        wait_until(lambda: len(server.server_state.connections) == 1)
        wait_until(lambda: not server.server_state.connections)
        assert 0.9 < time.monotonic() - began < 15


def test_clients_that_take_no_answer_keep_nobody_out(painted_gallery):
    with running(painted_gallery, connections=3, unread_seconds=60) as (server, port), contextlib.ExitStack() as stack:
        for _ in range(3):
            unread(port, stack)
        wait_until(lambda: sum(c.transport.get_write_buffer_size() > 0 for c in server.server_state.connections) == 3)
        time.sleep(0.5)
        assert [status(port, "/health") for _ in range(5)] == [200] * 5


@pytest.mark.slow
def test_who_reads_late_gets_all_of_the_answer(painted_gallery):
    with running(painted_gallery, unread_seconds=3) as (_, port), contextlib.ExitStack() as stack:
        client = unread(port, stack)
        time.sleep(1)
        with client.makefile("rb") as file:
            for _ in range(600):
                assert file.readline() == b"HTTP/1.1 200 OK\r\n"
                lengths = [
                    line.split()[1] for line in iter(file.readline, b"\r\n") if line.startswith(b"content-length")
                ]
                file.read(int(lengths[0]))
        time.sleep(4)  # it is not given up later, either
        client.sendall(REQUEST)
        assert answered(client) == 200
