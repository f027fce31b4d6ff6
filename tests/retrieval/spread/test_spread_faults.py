"""A gallery over three servers of which one is down: a sentence, or what the others hold and what is missing."""

import threading
import time
from contextlib import ExitStack, closing

import psycopg
import pytest
from engine_contract import FACTS, random_additions, random_embeddings
from spread_places import CONTENT, Databases, SpreadPlace

from samecar.errors import SamecarError
from samecar.retrieval.postgres import connections
from samecar.retrieval.records import Judgement
from samecar.retrieval.spread import parts
from samecar.retrieval.spread.engine import SpreadEngine

SECONDS = 15
"""In which somebody who waits is told, also on a busy machine."""


class Third:
    """A server that can be stopped and started again on its data."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.stack = ExitStack()
        self.server = self.stack.enter_context(postgres.neighbour())

    def stop(self):
        self.stack.close()

    def start(self):
        self.stack.enter_context(self.postgres.neighbour(self.server.data, self.server.port))


@pytest.fixture
def third(postgres):
    third = Third(postgres)
    yield third
    third.stop()


@pytest.fixture
def place(postgres, postgres_servers, third, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    monkeypatch.setattr(parts, "SECONDS_UNTIL_TRIED_AGAIN", 0)
    return SpreadPlace(Databases([postgres, postgres_servers[1], third.server]), CONTENT)


def test_a_server_that_is_down(place, third):
    additions = random_additions(60)
    query = random_embeddings(1)
    with closing(place.create(FACTS)) as engine, closing(place.open(partial=True)) as partial:
        ids = engine.add(additions)
        there = [number for number in ids if number % 1000 != 3]
        whole = engine.search(query, 60)[0]
        assert partial.search(query, 60)[0] == whole
        assert partial.missing() == []
        third.stop()

        # a sentence within seconds: for what is open, and for who opens it
        for ask in (lambda: engine.search(query, 5), engine.summary, lambda: engine.entries(ids), place.open):
            began = time.monotonic()
            with pytest.raises(SamecarError, match=r"^server 3 \(.*\) of gallery 'city' is missing: ") as caught:
                ask()
            assert time.monotonic() - began < SECONDS
            assert third.server.password not in str(caught.value)

        # or what the others hold, and what is missing
        assert partial.search(query, 60)[0] == [match for match in whole if match.id in there]
        assert [entry.id for entry in partial.listed()] == sorted(there)
        assert partial.summary().pictures == len(there)
        assert len(partial.missing()) == 1
        assert partial.missing()[0].startswith("server 3 ")
        with closing(place.open(partial=True)) as late:
            assert late.search(query, 60) == partial.search(query, 60)
            assert late.missing()[0].startswith("server 3 ")

        # adding, removing and judging are refused, also where a part is missing
        more = random_additions(20, seed=1)
        for writer in (engine, partial):
            with pytest.raises(SamecarError, match="server 3"):
                writer.add(more)
            with pytest.raises(SamecarError, match="server 3"):
                writer.remove(ids[:1])
            with pytest.raises(SamecarError, match="server 3"):
                writer.judge(Judgement("q", ids[0], True))
        kept = partial.known([one.sighting.content for one in more])
        homes = [engine.layout.home(one.sighting) for one in more]
        assert len(kept) == sum(home != 3 for home in homes)

        third.start()
        again = engine.add(more)
        assert {number % 1000 for number in again} == {1, 2, 3}
        assert set(kept.values()) <= set(again)
        assert engine.summary().pictures == 80
        assert partial.summary().pictures == 80
        assert engine.check() == []


def test_a_server_goes_down_in_the_middle_of_a_search(place, third):
    query = random_embeddings(1)
    with closing(place.create(FACTS)) as engine, closing(place.open(partial=True)) as partial:
        ids = engine.add(random_additions(30))
        for reader in (engine, partial):
            with place.part(3) as part:
                table = part.read(lambda _, tables: tables.number)
            answers = []

            def search(reader=reader, answers=answers):
                try:
                    answers.append(reader.search(query, 30)[0])
                except SamecarError as error:
                    answers.append(str(error))

            blocker = psycopg.connect(place.addresses[2])
            blocker.execute(f"LOCK TABLE samecar.entries_{table}")
            thread = threading.Thread(target=search)
            thread.start()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while third.server.execute(waiting) != [(1,)]:
                assert thread.is_alive()
            third.stop()
            blocker.close()
            thread.join(SECONDS)
            assert not thread.is_alive()
            third.start()
            (answer,) = answers
            if reader is engine:
                assert answer.startswith("server 3 ")
            else:
                assert {match.id for match in answer} == {number for number in ids if number % 1000 != 3}
                assert partial.missing()[0].startswith("server 3 ")


def test_a_coordinator_that_is_down(place, third, postgres_servers, monkeypatch):
    """What is open reads on where parts are enough; nobody writes past it."""
    query = random_embeddings(1)
    databases = Databases([third.server, *postgres_servers[:2]])
    place = SpreadPlace(databases)
    place.addresses = [databases.new(2), databases.new(3)]
    with closing(place.create(FACTS)) as engine, closing(place.open(partial=True)) as partial:
        engine.add(random_additions(20))
        whole = engine.search(query, 20)
        third.stop()
        with pytest.raises(SamecarError, match="lets nobody in"):
            engine.search(query, 20)
        assert partial.search(query, 20) == whole
        assert "whether further servers belong to gallery 'city' is not known" in partial.missing()[0]
        with pytest.raises(SamecarError, match="lets nobody in"):
            partial.add(random_additions(1, seed=4))
        with pytest.raises(SamecarError, match="lets nobody in"):
            SpreadEngine.open(place.head, place.name, partial=True)
        third.start()
        assert engine.search(query, 20) == whole


def test_a_server_that_just_let_nobody_in_is_not_asked_again_at_once(place, third, monkeypatch):
    monkeypatch.setattr(parts, "SECONDS_UNTIL_TRIED_AGAIN", 60)
    with closing(place.create(FACTS)) as engine:
        engine.add(random_additions(10))
    third.stop()
    tried = []
    connect = connections.Connections._connect

    def count(self):
        tried.append(self.server)
        return connect(self)

    monkeypatch.setattr(connections.Connections, "_connect", count)
    with closing(place.open(partial=True)) as engine:
        for _ in range(3):
            engine.search(random_embeddings(1), 5)
    assert sum(f":{third.server.port}/" in server for server in tried) == 1


def test_what_is_closed_says_so(place):
    engine = place.create(FACTS)
    engine.close()
    engine.close()
    for ask in (engine.summary, lambda: engine.add(random_additions(1))):
        with pytest.raises(SamecarError, match="was closed; open it again"):
            ask()
