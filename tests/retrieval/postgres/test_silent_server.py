"""A server that is reached and says nothing, as behind a broken network."""

import select
import socket
import threading
import time
from contextlib import closing, contextmanager

import numpy as np
import pytest

from samecar.errors import SamecarError
from samecar.retrieval.postgres import PostgresEngine, connections
from samecar.retrieval.records import Addition, GalleryFacts, IndexSettings, Sighting

PATIENCE = 1
SIZE = 4


class Proxy:
    """Passes on what it is sent until it falls silent; it never closes a connection by itself."""

    def __init__(self, port: int) -> None:
        self.silent = threading.Event()
        self._port, self._ended = port, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        pairs = {}
        while not self._ended.is_set():
            waiting = [self._listener] if self.silent.is_set() else [self._listener, *pairs]
            for ready in select.select(waiting, [], [], 0.05)[0]:
                if ready is self._listener:
                    near, far = self._listener.accept()[0], socket.create_connection(("127.0.0.1", self._port))
                    pairs |= {near: far, far: near}
                elif ready in pairs and not self.silent.is_set():
                    self._pass_on(ready, pairs)
        for each in (self._listener, *pairs):
            each.close()

    def _pass_on(self, ready, pairs) -> None:
        try:
            content = ready.recv(65536)
            pairs[ready].sendall(content)
        except (ConnectionResetError, BrokenPipeError):  # who gave up has closed its end
            content = b""
        if not content:
            other = pairs.pop(ready)
            pairs.pop(other)
            ready.close()
            other.close()

    def close(self) -> None:
        self._ended.set()


@contextmanager
def silent_after(postgres, monkeypatch):
    """An engine whose server can fall silent, and what makes it so."""
    database = postgres.new_database()
    with closing(Proxy(postgres.port)) as proxy:
        address = postgres.address(database).replace(f":{postgres.port}/", f":{proxy.port}/")
        facts = GalleryFacts(
            format=1,
            model="abc",
            size=SIZE,
            thumbnail=0,
            created="2026-01-01T00:00:00Z",
            index=IndexSettings(kind="exact"),
        )
        with closing(PostgresEngine.create(f"{address}?connect_timeout=2", "cars", facts)) as engine:
            engine.add([Addition(Sighting("a" * 64), np.ones(SIZE, np.float32) / 2)])
            monkeypatch.setattr(connections, "SECONDS_TO_ANSWER", PATIENCE)
            yield engine, proxy.silent


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: engine.search(np.ones((1, SIZE), np.float32) / 2, 1),
        lambda engine: engine.add([Addition(Sighting("b" * 64), np.ones(SIZE, np.float32) / 2)]),
        lambda engine: engine.summary(),
    ],
    ids=["search", "add", "summary"],
)
def test_a_server_that_falls_silent_is_given_up(ask, postgres, monkeypatch):
    with silent_after(postgres, monkeypatch) as (engine, silent):
        silent.set()
        began = time.monotonic()
        with pytest.raises(SamecarError, match=r"has not answered for 1 s|lets nobody in"):
            ask(engine)
        assert time.monotonic() - began < 20
        silent.clear()
        assert len(engine.listed()) == 1


def test_a_server_that_answers_slowly_is_waited_for(postgres, monkeypatch):
    with silent_after(postgres, monkeypatch) as (engine, _):
        asked = engine._connections
        slowly = "SELECT pg_sleep(0.4) FROM generate_series(1, 5)"
        with pytest.raises(SamecarError, match="has not answered for 1 s"):
            asked.read(lambda cursor: cursor.execute(slowly).fetchall())
        assert len(asked.read(lambda cursor: cursor.execute(slowly).fetchall(), long=True)) == 5
        rows = asked.read(lambda cursor: [cursor.execute("SELECT pg_sleep(0.4)").fetchall() for _ in range(5)])
        assert len(rows) == 5
