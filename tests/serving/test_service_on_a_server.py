"""A service over a gallery on a PostgreSQL server."""

import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import httpx2
import psycopg
import pytest
from galleries import painted, tiny_model, wait_until
from silent_proxy import Proxy
from starlette.testclient import TestClient

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.postgres import engine as store
from samecar.retrieval.records import Sighting
from samecar.serving.app import create_app, listen, make_server
from samecar.serving.settings import ServiceSettings


@pytest.fixture
def address(postgres, tmp_path):
    """Of a database with the gallery yard, which holds one picture."""
    address = postgres.address(postgres.new_database())
    with Gallery.create("yard", tiny_model(tmp_path / "model"), engine=address) as gallery:
        gallery.add([Incoming(painted(tmp_path, 2, 1, 0), Sighting("", address="a.png"))])
    return address


@contextlib.contextmanager
def another_writer(address):
    """Holds the gallery as everybody does who writes to it, for instance while an index is made."""
    with psycopg.connect(address) as connection:
        connection.execute("SELECT number FROM samecar.galleries FOR NO KEY UPDATE")
        yield


@contextlib.contextmanager
def serving(address):
    settings = ServiceSettings(host_names=("testserver",), rate=0)
    app = create_app(Gallery.open("yard", engine=address), settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        yield client


def test_another_writer_on_the_server_is_not_waited_for_without_end(address, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(store, "SECONDS_FOR_OTHERS", 1)
    sent = {"picture": ("q.png", painted(tmp_path, 2, 1, 7).read_bytes())}
    with serving(address) as client:
        with another_writer(address), caplog.at_level(logging.ERROR):
            answer = client.post("/api/pictures", files=sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "gallery_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert client.post("/api/search", files=sent).json()["results"][0]["id"] == 1
        assert "being written to by another, or its index is being made" in caplog.text
        assert client.post("/api/pictures", files=sent).status_code == 201


def test_what_is_told_of_another_writer_and_that_work_itself_may_take_longer(address, monkeypatch):
    monkeypatch.setattr(store, "SECONDS_FOR_OTHERS", 1)
    with Gallery.open("yard", engine=address) as gallery:
        told = r"'yard' on .* is being written to by another, or its index is being made, .* do it again"
        with another_writer(address), pytest.raises(SamecarError, match=told):
            gallery.engine.update(1, lambda sighting: sighting)
        gallery.engine.rebuild("hnsw")
        with psycopg.connect(address) as reader, ThreadPoolExecutor() as threads:
            reader.execute("SELECT count(*) FROM samecar.entries_1")  # the index that goes waits for this
            rebuilt = threads.submit(gallery.engine.rebuild, "exact")
            assert not wait([rebuilt], 2.5).done
            reader.rollback()
            assert rebuilt.result(20).kind == "exact"


@pytest.mark.parametrize("patience", [1, 60])
def test_a_silent_server_is_given_up_and_the_service_ends_when_it_is_told_to(patience, address, postgres):
    """Requests end after the time that is set; all that still wait end when the service ends."""
    with contextlib.closing(Proxy(postgres.port)) as proxy:
        gallery = Gallery.open("yard", engine=address.replace(f":{postgres.port}/", f":{proxy.port}/"))
        settings = ServiceSettings(port=0, rate=0, answer_seconds=patience)
        server = make_server(create_app(gallery, settings), settings)
        with listen(settings) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            running = threading.Thread(target=server.run, args=([listening],))
            running.start()
            wait_until(lambda: server.started)
            wait_until(lambda: httpx2.get(f"{url}/ready").status_code == 200)
            proxy.silent.set()
            began = time.monotonic()
            with ThreadPoolExecutor() as threads:
                asked = threads.submit(httpx2.get, f"{url}/api/pictures/1", timeout=30)
                if patience > 1:
                    time.sleep(0.5)
                    server.should_exit = True
                answer = asked.result()
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "gallery_unavailable")
            server.should_exit = True
            running.join(20)
            assert not running.is_alive()
            assert time.monotonic() - began < 15
