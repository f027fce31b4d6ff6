import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from live_cameras import free_port, secrets_in

from samecar.errors import SamecarError
from samecar.watching.events import Event
from samecar.watching.webhook import Webhook, WebhookSettings

QUICK = WebhookSettings(answer_seconds=1, first_pause=0.05, longest_pause=0.2, last_seconds=2)


def event(number=1):
    return Event(
        vehicle="stolen",
        picture="stolen.jpg",
        gallery="garage",
        entry=number,
        content=f"c{number}",
        camera_id="gate",
        time=None,
        track_id="",
        address="",
        labels={},
        similarity=0.9,
        threshold=0.8,
        false_alarm_rate=0.01,
        watched=1,
    )


class Receiver:
    """What a program at an address got, and the answers that it gives in turn; the last one again and again."""

    def __init__(self, answers):
        self.answers, self.got, self.headers, self.times = list(answers), [], [], []

    def entries(self):
        return [content["entry"] for content in self.got]


@contextmanager
def receiving(*answers, port=0, slow=0.0):
    receiver = Receiver(answers or [200])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            receiver.times.append(time.monotonic())
            time.sleep(slow)
            receiver.headers.append(dict(self.headers))
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            if answer == 200:
                receiver.got.append(content)
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        receiver.address = f"http://127.0.0.1:{server.server_address[1]}/hook/geheim"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def send_two(address):
    """Sends two events and waits until they are away; gives what was told."""
    told = []
    webhook = Webhook(address, told.append, QUICK)
    webhook.send(event(1))
    webhook.send(event(2))
    webhook.close()
    return told


def test_events_are_sent_as_json_in_their_order_with_the_login_of_the_address():
    with receiving() as receiver:
        told = []
        webhook = Webhook(receiver.address.replace("//", "//anna:gehe%20im@"), told.append, QUICK)
        for number in range(5):
            webhook.send(event(number))
        webhook.close()
    assert receiver.got == [event(number).fields() for number in range(5)]
    headers = receiver.headers[0]
    assert headers["Content-Type"] == "application/json"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"anna:gehe im"
    assert told == []


def test_an_event_is_sent_again_until_it_is_taken():
    with receiving(500, 503, 429, 200) as receiver:
        told = send_two(receiver.address)
    assert receiver.entries() == [1, 2]
    first, second, third = receiver.times[:3]
    assert second - first >= 0.05
    assert third - second >= 0.1
    assert len(told) == 2
    assert told[0].endswith("cannot be reached: it answers 500; events wait, and are sent again")
    assert told[1].endswith("is reached again")


def test_a_program_that_is_away_gets_its_events_when_it_is_back():
    port = free_port()
    told = []
    webhook = Webhook(f"http://127.0.0.1:{port}/geheim", told.append, QUICK)
    began = time.monotonic()
    webhook.send(event(1))
    assert time.monotonic() - began < 1
    time.sleep(0.4)
    with receiving(port=port) as receiver:
        webhook.close()
    assert receiver.entries() == [1]
    assert told[0] == (
        f"webhook http://127.0.0.1:{port} cannot be reached: connection refused; events wait, and are sent again"
    )


@pytest.mark.parametrize("answer", [400, 401, 404, 302])
def test_an_event_that_is_refused_is_not_sent_again_and_is_told(answer):
    with receiving(answer, 200) as receiver:
        told = send_two(receiver.address)
    assert receiver.entries() == [2]
    assert len(receiver.times) == 2
    assert f"does not take an event: it answers {answer}; look at its address and login" in told[0]
    assert "1 events were not taken" in told[-1]
    assert secrets_in("".join(told)) == []


def test_an_outage_after_a_refusal_is_told_and_so_is_its_end():
    with receiving(400, 500, 200) as receiver:
        told = send_two(receiver.address)
    assert receiver.entries() == [2]
    assert told[1].endswith("cannot be reached: it answers 500; events wait, and are sent again")
    assert told[2].endswith("is reached again")


def test_a_program_that_never_answers_holds_nobody_up_and_what_is_lost_is_told():
    settings = WebhookSettings(answer_seconds=0.2, first_pause=0.05, longest_pause=0.1, waiting=3, last_seconds=0.5)
    with receiving(200, slow=30) as receiver:
        told = []
        webhook = Webhook(receiver.address, told.append, settings)
        began = time.monotonic()
        for number in range(8):
            webhook.send(event(number))
        assert time.monotonic() - began < 2
        webhook.close()
        assert time.monotonic() - began < 15
    assert "3 events wait already; further ones are lost" in told[0]
    assert told[1].endswith("cannot be reached: no answer within 0.2 seconds; events wait, and are sent again")
    assert "8 events were not taken" in told[-1]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("hook/geheim", "the address of a webhook has no scheme; give one that begins with http:// or https://"),
        ("ftp://anna:geheim@host/", "the address of a webhook begins with 'ftp://'"),
        ("http://anna:ge heim@host/", "names no host that can be understood"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secrets(address, sentence):
    with pytest.raises(SamecarError) as raised:
        Webhook(address, print)
    assert sentence in str(raised.value)
    assert secrets_in(str(raised.value)) == []
