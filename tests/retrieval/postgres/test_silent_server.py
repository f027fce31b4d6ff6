"""A server that is reached and says nothing, as behind a broken network."""

import threading
import time
from contextlib import closing, contextmanager

import numpy as np
import pytest
from silent_proxy import Proxy

from samecar.errors import SamecarError
from samecar.retrieval.postgres import PostgresEngine, connections
from samecar.retrieval.records import Addition, GalleryFacts, IndexSettings, Sighting

PATIENCE = 1
SIZE = 4


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


def test_a_server_that_is_waited_for_may_be_given_up_sooner(postgres, monkeypatch):
    """What is asked of it already as well; no other connection is tried, as it would hear no more."""
    with silent_after(postgres, monkeypatch) as (engine, silent):
        engine.limit_silence(60, 60)
        silent.set()
        threading.Timer(0.5, engine.limit_silence, (0.7, 0.7)).start()
        for ask in (engine.summary, lambda: engine.remove([1])):
            began = time.monotonic()
            with pytest.raises(SamecarError, match=r"has not answered for 0.7 s|lets nobody in"):
                ask()
            assert time.monotonic() - began < 10
