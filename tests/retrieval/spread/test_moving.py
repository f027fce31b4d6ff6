"""Servers that join, rules that change, and the pictures that move to where they belong."""

import threading
from contextlib import closing
from dataclasses import replace

import pytest
from engine_contract import FACTS, JPEG, everything, random_additions, random_embeddings
from spread_places import BY_CAMERA, SpreadPlace, bare

from samecar.errors import SamecarError
from samecar.retrieval.export import copy_gallery
from samecar.retrieval.postgres import PostgresEngine
from samecar.retrieval.records import Judgement
from samecar.retrieval.spread import moving
from samecar.retrieval.spread.joining import move_strangers, spread_gallery
from samecar.retrieval.spread.layout import Spreading


@pytest.fixture
def place(databases, request):
    return SpreadPlace(databases, name=request.node.name)


def state(engine):
    """All that a reader can see."""
    entries = everything(engine)
    ids = [entry.id for entry in entries]
    return (
        entries,
        engine.embeddings(ids).tolist(),
        [engine.thumbnail(number) for number in ids],
        engine.judgements(pictures=True),
        engine.search(random_embeddings(4), 500),
        engine.summary(),
    )


def fill(engine, number=120):
    additions = random_additions(number)
    ids = engine.add(additions)
    for turn, entry in enumerate(ids[:20]):
        engine.judge(Judgement(f"q{turn % 3}", entry, turn % 2 == 0, JPEG))
    return additions, ids


def test_a_server_joins_and_takes_its_share(place, databases):
    with closing(place.create(FACTS, {"model.json": b"{}"})) as engine:
        additions, _ = fill(engine)
        before = state(engine)
        fourth = databases.new()
        layout = place.spread(Spreading((fourth,)))
        assert list(layout.servers) == [1, 2, 3, 4]
        assert not layout.settled
        assert state(engine) == before
        wrong = [one for one in additions if layout.home(one.sighting) == 4]
        findings = engine.check()
        assert sum(int(finding.split(": ")[1].split()[0]) for finding in findings) == len(wrong) > 15
        assert all("belong on other servers" in finding for finding in findings)
        # what is added again meanwhile is known by its old number, wherever it lies
        assert engine.add(wrong[:3]) == [
            engine.known([one.sighting.content])[one.sighting.content] for one in wrong[:3]
        ]
        assert engine.summary().pictures == 120

        moved = move_strangers(engine)
        assert (moved.entries, moved.left) == (len(wrong), [])
        assert state(engine) == before
        assert engine.check() == []
        assert engine.coordinator.layout().settled
        with closing(PostgresEngine.open(fourth, place.name)) as part:
            assert part.attached("model.json") == b"{}"
            assert {entry.sighting.content for entry in part.listed()} == {one.sighting.content for one in wrong}
        assert move_strangers(engine).entries == 0


def test_a_rule_by_camera_moves_pictures_and_filters_follow(place):
    with closing(place.create(FACTS)) as engine:
        fill(engine)
        before = state(engine)
        layout = place.spread(BY_CAMERA)
        assert (layout.by, layout.settled) == ("camera", False)
        assert state(engine) == before
        assert move_strangers(engine).entries > 40
        assert state(engine) == before
        assert engine.coordinator.layout().settled
        with place.part(1) as part:
            assert {entry.sighting.camera_id for entry in part.listed()} == {"north"}
        layout = place.spread(Spreading(cameras={"north": 2}))
        assert layout.cameras == {"north": 2, "south": 2, "new": 3}
        move_strangers(engine)
        with place.part(1) as part:
            assert part.listed() == []
        assert state(engine) == before


@pytest.mark.parametrize("step", ["put_entries", "take_away"])
def test_a_move_that_is_interrupted_loses_nothing_and_is_ended_later(place, monkeypatch, step):
    monkeypatch.setattr(moving, "BATCH", 7)
    with closing(place.create(FACTS)) as engine:
        _, ids = fill(engine)
        before = state(engine)
        place.spread(BY_CAMERA)
        calls = []
        owner, name = (moving, step) if step == "put_entries" else (PostgresEngine, "take_away")
        work = getattr(owner, name)

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return work(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                move_strangers(engine)
        with closing(place.open()) as again:
            assert state(again) == before
            assert any("a move was interrupted" in finding for finding in again.check())
            # what is changed meanwhile is changed wherever the entry lies
            for number in again.layout.moving:
                again.update(number, lambda sighting: replace(sighting, track_id="seen"))
            gone = again.layout.moving[:2]
            assert again.remove(gone) == 2
            left = {entry.id for entry in everything(again)}
            assert left == set(ids) - set(gone)
            before = state(again)
            move_strangers(again)
            assert state(again) == before
            assert again.check() == []


def test_readers_miss_nothing_and_find_nothing_twice_while_entries_move(place, monkeypatch):
    monkeypatch.setattr(moving, "BATCH", 5)
    with closing(place.create(FACTS)) as engine, closing(place.open()) as reader:
        _, ids = fill(engine)
        query = random_embeddings(1)
        found = engine.search(query, 500)
        listed = engine.listed()
        finished = threading.Event()
        wrong = []

        def read():
            while not finished.is_set():
                if reader.search(query, 500) != found:
                    wrong.append("search")
                if reader.listed() != listed:
                    wrong.append("listed")
                if set(reader.entries(ids)) != set(ids):
                    wrong.append("entries")

        thread = threading.Thread(target=read)
        thread.start()
        for rule in (BY_CAMERA, Spreading(by="content")) * 2:
            place.spread(rule)
            move_strangers(engine)
        finished.set()
        thread.join()
        assert wrong == []
        assert engine.check() == []


def test_what_another_adds_while_entries_move_is_kept(place, monkeypatch):
    monkeypatch.setattr(moving, "BATCH", 5)
    more = random_additions(60, seed=8)
    with closing(place.create(FACTS)) as engine, closing(place.open()) as writer:
        fill(engine)
        place.spread(BY_CAMERA)
        thread = threading.Thread(target=lambda: [writer.add([one]) for one in more])
        thread.start()
        move_strangers(engine)
        thread.join()
        assert engine.summary().pictures == 180
        assert engine.check() == []


def test_a_picture_that_lies_on_two_servers_is_said_and_left(place):
    """Somebody added it to both servers themselves, past the rule."""
    (addition,) = random_additions(1)
    with closing(place.create(FACTS)) as engine:
        home = engine.layout.home(addition.sighting)
        other = home % 3 + 1
        with place.part(home) as right, place.part(other) as wrong:
            (first,), (second,) = right.add([addition]), wrong.add([addition])
        findings = engine.check()
        assert any("1 entries belong on other servers" in finding for finding in findings)
        pair = " and ".join(map(str, (first, second) if home < other else (second, first)))
        assert any(
            f"1 pictures lie on two servers under different numbers; remove one of each: {pair}" in one
            for one in findings
        )
        moved = move_strangers(engine)
        assert moved.entries == 0
        assert len(moved.left) == 1
        assert f"entry {second} stays where it is" in moved.left[0]
        assert not engine.coordinator.layout().settled
        engine.remove([second])
        assert move_strangers(engine).left == []
        assert engine.check() == []
        assert engine.coordinator.layout().settled


def test_a_filled_gallery_is_spread(place):
    with closing(PostgresEngine.create(place.addresses[0], place.name, FACTS, {"a": b"b"})) as one:
        _, ids = fill(one)
        assert ids == list(range(1, 121))
        before = state(one)
    place.spread(Spreading(tuple(place.addresses)))
    with closing(place.open()) as engine:
        assert state(engine) == before
        new = engine.add(random_additions(30, seed=5))
        assert not set(new) & set(ids)
        assert {number % 1000 for number in new} == {1, 2, 3}
        engine.remove(new)
        move_strangers(engine)
        assert [entry.sighting for entry in everything(engine)] == [entry.sighting for entry in before[0]]
        assert state(engine)[:5] == before[:5]
        assert engine.check() == []


def test_a_coordinator_that_is_lost_is_made_again(place, databases):
    with closing(place.create(FACTS)) as engine:
        fill(engine)
        before = state(engine)
        old = engine.layout
    place.head = databases.new(2)
    again = place.spread(Spreading(tuple(reversed(place.addresses))))
    assert again.servers == old.servers
    assert again.settled
    with closing(place.open()) as engine:
        assert state(engine) == before
        assert engine.check() == []


def test_a_server_gets_another_address(place):
    with closing(place.create(FACTS)) as engine:
        fill(engine, 30)
        other = place.addresses[1].replace("127.0.0.1", "localhost")
        layout = place.spread(Spreading((other,)))
        assert "host=localhost" in layout.servers[2]
        assert list(layout.servers) == [1, 2, 3]
        assert engine.summary().pictures == 30
        with pytest.raises(SamecarError, match=r"lies on server 2 .* already"):
            place.spread(Spreading((other,)))


def test_what_cannot_be_spread_is_refused(place, databases):
    one, two = place.addresses[:2]
    with pytest.raises(SamecarError, match=r"name its servers with --over"):
        place.spread(Spreading())
    with pytest.raises(SamecarError, match=r"make it on one of the servers with `samecar gallery create`"):
        place.spread(Spreading((one, two)))
    PostgresEngine.create(one, place.name, FACTS).close()
    with pytest.raises(SamecarError, match=r"holds a password") as caught:
        place.spread(Spreading((one, two.replace("postgres@", "postgres:secret@"))))
    assert "secret" not in str(caught.value)
    with pytest.raises(SamecarError, match="name one that does first"):
        place.spread(Spreading((two, one)))
    with pytest.raises(SamecarError, match="there is no server 7"):
        place.spread(Spreading((one,), by="camera", others=7))
    with pytest.raises(SamecarError, match="lies there itself"):
        spread_gallery(place.name, one, Spreading((two,)))
    place.spread(Spreading((one,)))
    with pytest.raises(SamecarError, match="name what to change"):
        place.spread(Spreading())
    with pytest.raises(SamecarError, match="exists already"):
        PostgresEngine.create(place.head, place.name, FACTS)
    with pytest.raises(SamecarError, match="is spread over other servers"):
        PostgresEngine.open(place.head, place.name)
    third = databases.new(3)
    PostgresEngine.create(third, place.name, FACTS.model_copy(update={"model": "another"})).close()
    with pytest.raises(SamecarError, match="has model 'another'"):
        place.spread(Spreading((third,)))
    with pytest.raises(SamecarError, match="named twice"):
        place.spread(Spreading((two, two.replace("127.0.0.1", "localhost"))))


def test_galleries_with_the_same_numbers_are_refused_and_copied_instead(place):
    one, two = place.addresses[:2]
    with (
        closing(PostgresEngine.create(one, place.name, FACTS)) as first,
        closing(PostgresEngine.create(two, place.name, FACTS)) as second,
    ):
        first.add(random_additions(20))
        second.add(random_additions(20, seed=1))
        with pytest.raises(
            SamecarError, match=r"has an entry 1, and another server an entry 1, of different pictures; copy"
        ):
            place.spread(Spreading((one, two)))
        place.spread(Spreading((one, place.addresses[2])))
        with closing(place.open()) as engine:
            assert copy_gallery(second, engine) == 20
            assert engine.summary().pictures == 40
            contents = {entry.sighting.content for entry in engine.listed()}
            assert contents == {entry.sighting.content for part in (first, second) for entry in part.listed()}
            move_strangers(engine)
            assert engine.check() == []


def test_a_gallery_of_another_spread_does_not_join(place, databases):
    place.create(FACTS).close()
    place.head = databases.new()
    first = databases.new()
    PostgresEngine.create(first, place.name, FACTS).close()
    place.spread(Spreading((first,)))
    with pytest.raises(SamecarError, match="it was spread with other servers before"):
        place.spread(Spreading((place.addresses[0],)))


def test_check_names_a_server_with_other_files_or_numbers(place, postgres_servers):
    with closing(place.create(FACTS, {"a": b"b"})) as engine:
        fill(engine, 20)
        with place.part(2) as part:
            part.attach("a", b"c")
        with place.part(3) as part:
            table = part.read(lambda _, tables: tables.number)
        database = place.addresses[2].rpartition("/")[2]
        postgres_servers[2].execute(f"ALTER TABLE samecar.contents_{table} ALTER COLUMN id SET START WITH 1", database)
        findings = engine.check()
        assert len(findings) == 2
        assert "server 3" in findings[0]
        assert "new entries end in 001, not in 003" in findings[0]
        assert "hold different files: a" in findings[1]


def test_an_ordinary_user_may_do_all_of_it(postgres_servers, databases):
    """Who owns the databases and is no administrator."""
    name, password = "keeper", postgres_servers[0].password
    addresses = []
    for server in (*postgres_servers, postgres_servers[0]):
        server.execute(
            f"DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD '{password}'; EXCEPTION WHEN duplicate_object THEN END $$"
        )
        database = server.new_database()
        server.execute(f"ALTER DATABASE {database} OWNER TO {name}")
        server.execute("CREATE EXTENSION IF NOT EXISTS vector", database)
        addresses.append(bare(server.address(database, name)))
    place = SpreadPlace(databases)
    *place.addresses, place.head = addresses
    with closing(place.create(FACTS)) as engine:
        fill(engine, 30)
        before = state(engine)
        place.spread(BY_CAMERA)
        move_strangers(engine)
        assert state(engine) == before
        assert engine.check() == []
