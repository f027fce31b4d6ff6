import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from costly_pictures import chunk, jpeg, png
from galleries import ask, painted, served, serving, wait_until

from samecar.hardware import available_cores
from samecar.serving.decoding import FEWEST_THREADS
from samecar.serving.uploads import open_upload

SECONDS = 30
"""Beyond what a slow machine needs, and far below what one picture took that was not refused."""

PIXELS = 1_000_000
"""That pictures may have: the most costly one that is allowed then takes a fraction of a second."""

REFUSED = {"scans": jpeg(1000, 1000, 2000), "chunks": png(4, 4, before=chunk(b"abCd") * 50_000)}
ALLOWED = jpeg(1000, 1000, 28)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_much_work_is_refused_wherever_pictures_come_in(own_gallery, name):
    with serving(own_gallery, pixels=PIXELS) as client:
        for method, target, field, data in (
            ("POST", "/api/search", "picture", {}),
            ("POST", "/api/pictures", "picture", {}),
            ("PUT", "/api/judgements", "query", {"entry": 1, "same": "true"}),
        ):
            answer = client.request(method, target, files={field: ("a.jpg", REFUSED[name])}, data=data)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_much_work")
            assert "takes too much work, as it has too many scans" in answer.json()["error"]["message"]
        assert client.get("/api/gallery").json()["pictures"] == 12


def test_a_costly_picture_is_searched_and_added_as_any_other(own_gallery):
    with serving(own_gallery, pixels=PIXELS) as client:
        sent = {"picture": ("a.jpg", ALLOWED)}
        assert client.post("/api/search", files=sent).status_code == 200
        assert [client.post("/api/pictures", files=sent).status_code for _ in range(2)] == [201, 200]
        assert client.post("/api/search", files=sent).json()["results"][0]["similarity"] == pytest.approx(1, abs=1e-3)


def test_a_service_whose_decoders_are_all_at_work_is_not_ready(own_gallery, tmp_path, monkeypatch):
    monkeypatch.setattr("samecar.serving.decoding.SOON", 0.2)
    query = painted(tmp_path, 2, 1, 7).read_bytes()
    decoders = max(FEWEST_THREADS, available_cores())
    begun, go_on = threading.Semaphore(0), threading.Event()

    def wait_and_open(*given):
        begun.release()
        go_on.wait(SECONDS)
        return open_upload(*given)

    with serving(own_gallery) as client, ThreadPoolExecutor() as clients:
        monkeypatch.setattr("samecar.serving.decoding.open_upload", wait_and_open)
        sent = {"files": {"picture": ("q.png", query)}}
        searches = [clients.submit(client.post, "/api/search", **sent) for _ in range(decoders)]
        assert all(begun.acquire(timeout=SECONDS) for _ in searches)
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert "retry-after" in answer.headers
        assert client.get("/health").status_code == 200
        go_on.set()
        assert {search.result().status_code for search in searches} == {200}
        assert client.get("/ready").status_code == 200


@pytest.mark.slow
def test_while_costly_pictures_are_decoded_others_are_answered_and_the_service_ends_when_told_to(own_gallery, tmp_path):
    """A real process, which gets more of the most costly pictures than may wait."""
    query = painted(tmp_path, 2, 1, 7).read_bytes()
    answered = []

    def ask_for_much(port):
        try:
            for _ in range(20):
                answered.append(search(port, ALLOWED))
                time.sleep(0.5 if answered[-1][0] == 503 else 0)
        except httpx2.TransportError:  # it has ended
            return

    with served(own_gallery, "--max-pixels", PIXELS, "--rate", 0) as (process, port):
        clients = [threading.Thread(target=ask_for_much, args=(port,)) for _ in range(12)]
        for client in clients:
            client.start()
        wait_until(lambda: any(status == 503 for status, _ in answered))  # as many wait as may
        began = time.monotonic()
        assert search(port, query)[0] == 200
        assert (ask(port, "/ready")[0], ask(port, "/health")[0]) == (200, 200)
        assert search(port, REFUSED["scans"])[0] == 413
        assert time.monotonic() - began < SECONDS
        process.terminate()
        assert process.wait(SECONDS) == 0
        for client in clients:
            client.join()
    assert {status for status, _ in answered} == {200, 503}
    assert all(json.loads(body)["error"]["code"] == "busy" for status, body in answered if status == 503)


def search(port, file):
    answer = httpx2.post(f"http://127.0.0.1:{port}/api/search", files={"picture": ("q.png", file)}, timeout=60)
    return answer.status_code, answer.content
