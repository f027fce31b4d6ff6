"""What is found in a gallery that is spread over three servers is what one gallery finds."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from engine_contract import CAMERAS, FACTS, LABELLED, SIZE, random_additions, random_embeddings, unit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spread_places import BY_CAMERA, CONTENT, SpreadPlace

from samecar.errors import SamecarError
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.postgres import recall
from samecar.retrieval.records import Addition, Filter, Judgement, Sighting, picture_content
from samecar.retrieval.spread.layout import Spreading

EXACTLY = 1e-6
"""By which similarities of the same stored embedding may differ between two kinds of servers."""


@pytest.fixture(scope="module", params=[CONTENT, BY_CAMERA], ids=["content", "camera"])
def both(databases, tmp_path_factory, request):
    """The same hundred pictures in a folder and over three servers."""
    folder = FolderEngine.create(tmp_path_factory.mktemp("one") / "gallery", FACTS)
    place = SpreadPlace(databases, request.param, f"both by {request.param.by}")
    with closing(folder), closing(place.create(FACTS)) as spread:
        additions = random_additions(100)
        folder.add(additions)
        spread.add(additions)
        counts = [server.pictures for server in spread.servers()]
        assert min(counts) > 10
        assert sum(counts) == 100
        yield folder, spread


def found_contents(engine, query, top, allowed):
    matches = engine.search(query, top, allowed)[0]
    entries = engine.entries([match.id for match in matches])
    return {entries[match.id].sighting.content: match.similarity for match in matches}


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(data=st.data())
def test_the_same_is_found_as_in_one_folder(both, data):
    folder, spread = both
    cameras = st.lists(st.sampled_from([*CAMERAS, "unknown"]), max_size=3).map(tuple)
    moment = st.none() | st.integers(-5, 55).map(float)
    allowed = data.draw(
        st.builds(Filter, cameras=cameras, not_cameras=cameras, after=moment, before=moment, **LABELLED)
    )
    top = data.draw(st.integers(1, 110))
    query = random_embeddings(1, seed=data.draw(st.integers(0, 99)))
    one, several = (found_contents(engine, query, top, allowed) for engine in both)
    every = found_contents(folder, query, 1000, allowed)
    assert list(several.values()) == pytest.approx(list(one.values()), abs=EXACTLY)
    assert list(several.values()) == sorted(several.values(), reverse=True)
    assert {name: every[name] for name in several} == pytest.approx(several, abs=EXACTLY)
    assert {entry.sighting.content for entry in spread.listed(allowed)} == {
        entry.sighting.content for entry in folder.listed(allowed)
    }


def test_the_same_is_known_as_in_one_folder(both):
    folder, spread = both
    contents = [addition.sighting.content for addition in random_additions(100)]
    numbers = {content: (folder.known(contents)[content], spread.known(contents)[content]) for content in contents}
    assert folder.summary() == spread.summary()
    for content, (one, other) in numbers.items():
        assert folder.entries([one])[one].sighting == spread.entries([other])[other].sighting
        assert folder.thumbnail(one) == spread.thumbnail(other)
        assert folder.known([content]) == {content: one}
    ids = np.array(list(numbers.values()))
    np.testing.assert_array_equal(folder.embeddings(ids[:, 0].tolist()), spread.embeddings(ids[:, 1].tolist()))


@pytest.fixture
def place(databases, request):
    return SpreadPlace(databases, name=request.node.name)


@pytest.fixture
def by_camera(databases, request):
    return SpreadPlace(databases, BY_CAMERA, request.node.name)


def test_equal_ones_of_several_servers_stand_in_the_order_of_their_numbers(place):
    embedding = random_embeddings(1)[0]
    with closing(place.create(FACTS)) as engine:
        ids = engine.add([Addition(Sighting(picture_content(b"%d" % row)), embedding) for row in range(30)])
        assert {number % 1000 for number in ids} == {1, 2, 3}
        found = engine.search(unit(embedding + 0.1 * random_embeddings(1)), 12)[0]
        assert [match.id for match in found] == sorted(ids)[:12]
        assert len({match.similarity for match in found}) == 1
        assert [entry.id for entry in engine.listed(beyond=sorted(ids)[3], limit=5)] == sorted(ids)[4:9]


def test_each_server_holds_an_ordinary_gallery(place):
    additions = random_additions(30)
    with closing(place.create(FACTS, {"model.json": b"{}"})) as engine:
        ids = engine.add(additions)
        by_number = dict(zip(ids, additions, strict=True))
        held = 0
        for number in (1, 2, 3):
            with place.part(number) as part:
                assert part.attached("model.json") == b"{}"
                assert part.check() == []
                entries = part.listed()
                held += len(entries)
                assert {entry.id % 1000 for entry in entries} == {number}
                assert all(by_number[entry.id].sighting == entry.sighting for entry in entries)
        assert held == 30


def test_what_is_added_to_a_server_itself_has_a_number_of_its_own(place):
    additions = random_additions(60)
    with closing(place.create(FACTS)) as engine:
        ids = engine.add(additions[:30])
        own = [one for one in additions[30:] if engine.layout.home(one.sighting) == 2]
        with place.part(2) as part:
            new = part.add(own)
        assert len(new) == len(own) > 3
        assert {number % 1000 for number in new} == {2}
        assert not set(new) & set(ids)
        assert len(engine.listed()) == 30 + len(own)
        assert engine.check() == []


def test_only_the_servers_that_can_answer_are_asked(by_camera, monkeypatch):
    with closing(by_camera.create(FACTS)) as engine:
        engine.add(random_additions(40))
        asked = []
        ask = engine.ask

        def note(parts, work, **options):
            asked.extend(part.number for part in parts)
            return ask(parts, work, **options)

        monkeypatch.setattr(engine, "ask", note)
        query = random_embeddings(1)
        assert len(engine.search(query, 5, Filter(cameras=("north",)))[0]) == 5
        assert asked == [1]
        assert engine.search(query, 5, Filter(cameras=("north", "south")))[0]
        assert asked == [1, 1, 2]
        engine.listed(Filter(not_cameras=("south",)))
        assert asked == [1, 1, 2, 1, 3]


def test_the_same_picture_by_two_cameras_is_one_entry(by_camera):
    """Also where several clients add it at once, each by the camera of another server."""
    cameras = ("north", "south", "new")
    additions = random_additions(12)
    with closing(by_camera.create(FACTS)) as engine:
        others = [engine, by_camera.open(), by_camera.open()]
        start = threading.Barrier(3)

        def add(turn):
            start.wait()
            camera = cameras[turn]
            return [
                others[turn].add([replace(one, sighting=replace(one.sighting, camera_id=camera))])[0]
                for one in additions
            ]

        with ThreadPoolExecutor(3) as pool:
            given = list(pool.map(add, range(3)))
        assert given[0] == given[1] == given[2]
        assert engine.summary().pictures == len({*given[0]}) == 12
        assert engine.check() == []
        for other in others[1:]:
            other.close()


def test_clients_that_add_at_once_lose_nothing(place):
    additions = random_additions(90)
    with closing(place.create(FACTS)) as engine, closing(place.open()) as other:
        batches = [additions[first : first + 10] for first in range(0, 90, 10)]

        def add(pair):
            return pair[0].add(pair[1])

        with ThreadPoolExecutor(6) as pool:
            tasks = [(one, batch) for batch in batches for one in (engine, other)]
            given = list(pool.map(add, tasks))
        assert given[::2] == given[1::2]
        assert engine.summary().pictures == 90
        assert engine.check() == []


def test_an_update_that_changes_the_camera_is_found_by_the_new_one(by_camera):
    (addition,) = random_additions(1)
    addition = replace(addition, sighting=replace(addition.sighting, camera_id="north"))
    with closing(by_camera.create(FACTS)) as engine, closing(by_camera.open()) as other:
        (number,) = engine.add([addition])
        assert engine.layout.settled
        engine.update(number, lambda before: replace(before, camera_id="south"))
        for view in (engine, other):
            assert [match.id for match in view.search(addition.embedding[None], 3, Filter(cameras=("south",)))[0]] == [
                number
            ]
            assert view.search(addition.embedding[None], 3, Filter(cameras=("north",))) == [[]]
        assert not engine.layout.settled
        (finding,) = engine.check()
        assert "server 1" in finding
        assert "1 entries belong on other servers" in finding


def test_a_camera_that_no_server_was_named_for_is_refused(databases, request):
    place = SpreadPlace(databases, Spreading(by="camera", cameras={"north": 1, "south": 2}), request.node.name)
    north, yard = random_additions(2)
    north = replace(north, sighting=replace(north.sighting, camera_id="north"))
    yard = replace(yard, sighting=replace(yard.sighting, camera_id="yard"))
    with closing(place.create(FACTS)) as engine:
        with pytest.raises(SamecarError, match="no server was named for pictures of camera 'yard'"):
            engine.add([north, yard])
        assert engine.summary().pictures == 0
        (number,) = engine.add([north])
        with pytest.raises(SamecarError, match="camera 'yard'"):
            engine.update(number, lambda before: replace(before, camera_id="yard"))
        assert engine.entries([number])[number].sighting == north.sighting
        assert engine.search(north.embedding[None], 3, Filter(cameras=("yard",))) == [[]]


def test_judgements_of_all_servers_stand_in_their_order(place):
    with closing(place.create(FACTS)) as engine, closing(place.open()) as other:
        ids = engine.add(random_additions(12))
        for turn, number in enumerate(ids):
            (engine, other)[turn % 2].judge(Judgement("q", number, turn % 3 == 0))
        assert [judgement.entry for judgement in engine.judgements()] == ids
        engine.judge(Judgement("q", ids[0], False))
        assert [judgement.entry for judgement in other.judgements("q")] == [*ids[1:], ids[0]]
        assert engine.summary().judgements == 12


def ten_of_each():
    """Embeddings of ten pictures of each of sixty vehicles."""
    random = np.random.default_rng(2)
    centres = np.repeat(random.normal(size=(60, SIZE)), 10, axis=0)
    return unit(centres + 0.3 * random.normal(size=centres.shape))


def numbered_additions(matrix):
    return [Addition(Sighting(picture_content(b"%d" % number)), row) for number, row in enumerate(matrix)]


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_an_index_on_each_server(place, kind):
    matrix = ten_of_each()
    with closing(place.create(FACTS)) as engine:
        ids = engine.add(numbered_additions(matrix))
        settings = engine.rebuild(kind)
        assert settings.kind == kind == engine.facts.index.kind
        similarity = matrix.astype(np.float16).astype(np.float64) @ matrix[:20].T.astype(np.float64)
        for query, found in enumerate(engine.search(matrix[:20], 10)):
            best = sorted(range(600), key=lambda row: (-similarity[row, query], ids[row]))[:10]
            assert [match.id for match in found] == [ids[row] for row in best]
        assert engine.check() == []
        assert [server.index.kind for server in engine.servers()] == [kind] * 3


def test_recall_is_that_of_the_whole_gallery(place, monkeypatch):
    """An index that finds four on each server finds most of a vehicle's ten pictures, and few of each server's ten."""

    def four_of_each(*asked):
        return [matches[:4] for matches in search_by_index(*asked)]

    search_by_index = recall.search_by_index
    monkeypatch.setattr(recall, "search_by_index", four_of_each)
    matrix = ten_of_each()
    with closing(place.create(FACTS)) as engine:
        engine.add(numbered_additions(matrix))
        settings = engine.rebuild("hnsw")
        assert settings == engine.facts.index
        assert 200 <= settings.measured_on <= 202
        assert settings.recall > 0.7
        assert [server.index.recall for server in engine.servers()] == pytest.approx(3 * [settings.recall])
        with place.part(2) as part:
            assert part.rebuild("hnsw").recall < 0.5


def test_servers_that_are_searched_otherwise_are_noticed(place):
    with closing(place.create(FACTS)) as engine:
        engine.add(random_additions(30))
        with place.part(2) as part:
            part.rebuild("hnsw")
        index = engine.facts.index
        assert (index.kind, index.recall) == ("hnsw", None)
        assert index.fault(30) == "how many of the nearest it finds was not measured"
        assert engine.rebuild("hnsw").recall is not None
