"""What every engine must do: a class of tests, to be inherited with a fixture `place` that says where galleries lie."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.retrieval.engine import FORMAT, NO_FILES, ContraryJudgementError, Engine, all_entries
from samecar.retrieval.records import (
    EVERYTHING,
    LISTED_VALUES,
    Addition,
    CameraSummary,
    Entry,
    Filter,
    GalleryFacts,
    Judgement,
    Match,
    Preview,
    Sighting,
    picture_content,
)
from samecar.retrieval.retention import remove_older

SIZE = 16
JPEG = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"
FACTS = GalleryFacts(format=FORMAT, model="0123456789abcdef", size=SIZE, thumbnail=160, created="2026-01-01T00:00:00Z")
CAMERAS = ("", "north", "south", "Tor 3 / Süd")
ROUNDING = 1e-3
"""By which similarities may differ where the query is compared in half precision too."""

BEYOND_NUMBERS = 2**70
"""No database knows so large a number."""


class Place(Protocol):
    """Where one gallery lies."""

    approximate: tuple[str, ...]
    """Kinds of index other than 'exact'."""

    in_one_place: bool
    """Whether numbers rise with every entry."""

    def create(self, facts: GalleryFacts, files: Mapping[str, bytes] = NO_FILES) -> Engine:
        """Makes the gallery."""
        ...

    def open(self) -> Engine:
        """Opens the gallery that was made, as another process would."""
        ...


def unit(matrix: np.ndarray) -> np.ndarray:
    """Rows of length one, in single precision."""
    return (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)


def random_embeddings(number: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((number, size)))


LOOKS: list[dict[str, str]] = [
    {},
    {"type": "car", "colour": "white"},
    {"type": "car", "colour": "red"},
    {"type": "van", "colour": "white"},
    {"type": "van"},
]
"""What additions are labelled with beside a lane, in turns: two labels that a filter has a condition of its own for."""


def random_additions(number: int, seed: int = 0, size: int = SIZE) -> list[Addition]:
    """Sightings of all sorts: with and without a time, a camera, a vehicle, labels, a thumbnail."""
    random = np.random.default_rng(seed)
    additions = []
    for row, embedding in enumerate(random_embeddings(number, size, seed)):
        sighting = Sighting(
            content=picture_content(f"{seed}-{row}".encode()),
            address=f"crops/{seed}/{row}.jpg",
            camera_id=str(random.choice(CAMERAS)),
            time=None if random.random() < 0.2 else float(random.integers(0, 50)),
            track_id=str(random.integers(0, 9)),
            vehicle_id=str(random.choice(["", "car 1", "car 2"])),
            labels=({"lane": str(random.integers(0, 3))} if random.random() < 0.7 else {}) | LOOKS[row % len(LOOKS)],
        )
        added = float(row * 37 % 50)
        additions.append(Addition(sighting, embedding, JPEG if random.random() < 0.5 else None, added=added))
    return additions


def _some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2).map(tuple)


_VALUES = st.sampled_from(["0", "1", "7", "car"]) | _some("0", "1", "7", "car")

LABELLED = {
    "labels": st.dictionaries(st.sampled_from(["lane", "note", "type"]), _VALUES, max_size=2),
    "types": _some("car", "van", "boat"),
    "colours": _some("white", "red", "blue"),
}
"""What a filter may ask of labels."""


def everything(engine: Engine) -> list[Entry]:
    return list(all_entries(engine, page=7))


def assert_nearest(engine: Engine, query: np.ndarray, top: int, allowed: Filter, found: Sequence[Match]) -> None:
    """Compares what was found with every allowed entry's similarity, computed one by one."""
    entries = [entry for entry in everything(engine) if allowed.allows(entry)]
    stored = engine.embeddings([entry.id for entry in entries]).astype(np.float64)
    similarity = {
        entry.id: float(np.clip(row @ query.astype(np.float64), -1, 1))
        for entry, row in zip(entries, stored, strict=True)
    }
    assert len({match.id for match in found}) == len(found) == min(top, len(entries))
    assert all(match.id in similarity for match in found)
    np.testing.assert_allclose(
        [match.similarity for match in found], [similarity[match.id] for match in found], atol=ROUNDING
    )
    best = sorted(similarity.values(), reverse=True)[:top]
    np.testing.assert_allclose([match.similarity for match in found], best, atol=ROUNDING)
    assert list(found) == sorted(found, key=lambda match: (-match.similarity, match.id))


class EngineContract:
    """Inherit it as a class `Test…` with a fixture `place`."""

    @pytest.fixture
    def opened(self, place: Place) -> Iterator[Callable[[], Engine]]:
        """Opens the gallery once more; all are closed when the test ends."""
        with ExitStack() as stack:
            yield lambda: stack.enter_context(closing(place.open()))

    @pytest.fixture
    def engine(self, place: Place) -> Iterator[Engine]:
        """An empty gallery."""
        with closing(place.create(FACTS)) as engine:
            yield engine

    # --- what it is ---

    def test_an_empty_gallery_answers_everything(self, engine: Engine) -> None:
        assert engine.search(random_embeddings(3), 5) == [[], [], []]
        assert engine.search(np.empty((0, SIZE), np.float32), 5) == []
        assert engine.listed() == []
        assert engine.entries([1]) == {}
        assert engine.known(["0" * 64]) == {}
        assert engine.add([]) == []
        assert engine.remove([1]) == 0
        assert engine.embeddings([]).shape == (0, SIZE)
        assert engine.thumbnail(1) is None
        assert engine.judgements() == []
        summary = engine.summary()
        assert (summary.pictures, summary.vehicles, summary.judgements, summary.cameras) == (0, 0, 0, ())
        assert engine.check() == []

    def test_facts_outlast_it(self, place: Place, engine: Engine, opened: Callable[[], Engine]) -> None:
        assert engine.facts == FACTS
        engine.close()
        assert opened().facts == FACTS

    def test_a_second_gallery_of_the_same_name_is_refused(self, place: Place, engine: Engine) -> None:
        engine.add(random_additions(1))
        with pytest.raises(SamecarError, match="exists already"):
            place.create(FACTS)
        assert engine.summary().pictures == 1

    def test_attached_files_are_kept_and_replaced(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        other = opened()
        assert engine.attached("model.json") is None
        engine.attach("model.json", b"{}")
        assert other.attached("model.json") == b"{}"
        other.attach("model.json", b"\x00\xff" * 100_000)
        assert engine.attached("model.json") == b"\x00\xff" * 100_000
        engine.attach("empty", b"")
        assert other.attached("empty") == b""

    def test_files_are_attached_from_the_beginning(self, place: Place, opened: Callable[[], Engine]) -> None:
        files = {"model.json": b"{}", "tensors": b"\x00\xff" * 100_000}
        with closing(place.create(FACTS, files)) as engine:
            assert {name: engine.attached(name) for name in (*files, "other")} == {**files, "other": None}
        assert opened().attached("tensors") == files["tensors"]

    def test_closing_twice_does_no_harm(self, engine: Engine) -> None:
        engine.add(random_additions(3))
        engine.close()
        engine.close()

    # --- adding ---

    def test_what_was_added_is_there_after_opening_again(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(40)
        ids = engine.add(additions[:25]) + engine.add(additions[25:])
        assert len(set(ids)) == 40
        engine.close()
        again = opened()
        sightings = {number: addition.sighting for number, addition in zip(ids, additions, strict=True)}
        assert again.entries(ids) == {number: Entry(number, sighting) for number, sighting in sightings.items()}
        assert everything(again) == [Entry(number, sightings[number]) for number in sorted(ids)]
        assert again.known([sighting.content for sighting in sightings.values()]) == {
            sighting.content: number for number, sighting in sightings.items()
        }
        given = np.array([addition.embedding for addition in additions])
        np.testing.assert_allclose(again.embeddings(ids), given, atol=2**-11)
        assert [again.thumbnail(number) for number in ids] == [addition.thumbnail for addition in additions]
        assert again.check() == []

    def test_adding_again_changes_nothing(self, engine: Engine) -> None:
        additions = random_additions(10)
        ids = engine.add(additions)
        before = everything(engine)
        changed = [
            Addition(replace(addition.sighting, camera_id="another"), np.roll(addition.embedding, 1), JPEG)
            for addition in additions
        ]
        assert engine.add(changed[3:6]) == ids[3:6]
        assert everything(engine) == before
        assert engine.search(additions[3].embedding[None], 1)[0][0].id == ids[3]

    def test_the_same_content_twice_in_a_batch_is_one_entry(self, engine: Engine) -> None:
        first, second = random_additions(2)
        again = Addition(replace(first.sighting, address="elsewhere"), second.embedding)
        ids = engine.add([first, second, again])
        assert ids[0] == ids[2] != ids[1]
        assert engine.entries([ids[0]])[ids[0]].sighting == first.sighting
        assert engine.summary().pictures == 2

    @pytest.mark.parametrize(
        ("embedding", "word"),
        [
            (np.ones(SIZE, np.float32), "length"),
            (np.zeros(SIZE, np.float32), "length"),
            (np.full(SIZE, np.nan, np.float32), "finite"),
            (np.full(SIZE, np.inf, np.float32), "finite"),
            (random_embeddings(1, SIZE + 1)[0], f"{SIZE + 1} numbers"),
            (random_embeddings(1, SIZE - 1)[0], f"{SIZE - 1} numbers"),
        ],
    )
    def test_one_bad_embedding_and_nothing_is_added(self, engine: Engine, embedding: np.ndarray, word: str) -> None:
        good = random_additions(3)
        bad = Addition(Sighting(picture_content(b"bad")), embedding)
        with pytest.raises(SamecarError, match=word):
            engine.add([*good, bad])
        assert engine.summary().pictures == 0
        with pytest.raises(SamecarError, match=word):
            engine.search(embedding[None], 3)

    @pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf])
    def test_a_time_that_is_no_number_and_nothing_is_added(self, engine: Engine, time: float) -> None:
        good, bad = random_additions(2)
        with pytest.raises(SamecarError, match="time"):
            engine.add([good, replace(bad, sighting=replace(bad.sighting, time=time))])
        assert engine.summary().pictures == 0

    def test_texts_are_kept_as_they_are(self, engine: Engine) -> None:
        strange = "'; DROP TABLE entries; -- \"%_\\ Ü車🚗\n\t {}"
        sighting = Sighting(picture_content(b""), strange, strange, -1.5, strange, strange, {strange: strange, "": ""})
        (number,) = engine.add([Addition(sighting, random_embeddings(1)[0])])
        assert engine.entries([number])[number].sighting == sighting
        for allowed in (Filter(cameras=(strange,)), Filter(labels={strange: strange}), Filter(labels={"": ""})):
            assert [entry.id for entry in engine.listed(allowed)] == [number]

    # --- removing and updating ---

    def test_what_was_removed_is_gone_everywhere(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(20)
        ids = engine.add(additions)
        engine.judge(Judgement("q", ids[3], True))
        engine.search(additions[3].embedding[None], 1)
        assert engine.remove([ids[3], ids[4], ids[4], max(ids) + 1]) == 2
        assert engine.remove([ids[3]]) == 0
        for view in (engine, opened()):
            assert len(everything(view)) == 18
            assert view.entries([ids[3], ids[5]]).keys() == {ids[5]}
            assert view.known([additions[3].sighting.content]) == {}
            assert view.thumbnail(ids[3]) is None
            assert view.judgements() == []
            assert_nearest(
                view, additions[3].embedding, 20, EVERYTHING, view.search(additions[3].embedding[None], 20)[0]
            )
            assert view.check() == []
            with pytest.raises(SamecarError, match=str(ids[3])):
                view.embeddings([ids[5], ids[3]])

    def test_a_removed_picture_is_the_query_of_no_judgement(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(12)
        ids = engine.add(additions)
        contents = [addition.sighting.content for addition in additions]
        kept = [Judgement(contents[5], number, True) for number in ids[6:]]
        for judgement in kept:
            engine.judge(judgement)
        for number in ids[6:]:  # which lie on all servers, where there are several
            engine.judge(Judgement(contents[3], number, False))
        assert engine.remove([ids[3]]) == 1
        assert engine.judgements() == opened().judgements() == kept

    # --- ages and previews ---

    def test_when_an_entry_was_added_is_kept(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        given, now = random_additions(2)
        began = time.time()
        ids = engine.add([replace(given, added=1234.5), replace(now, added=None)])
        engine.update(ids[0], lambda before: replace(before, camera_id="other"))
        for view in (engine, opened()):
            entries = view.entries(ids)
            assert entries[ids[0]].added == 1234.5
            assert began - 1 <= entries[ids[1]].added <= time.time() + 1
            assert {entry.id: entry.added for entry in view.listed()} == {
                number: entry.added for number, entry in entries.items()
            }

    def test_what_is_too_old_is_removed_by_its_time_or_else_by_when_it_was_added(self, engine: Engine) -> None:
        kinds = [(10.0, 99.0), (30.0, 1.0), (None, 10.0), (None, 30.0), (20.0, 1.0), (None, 20.0)]
        ids = engine.add(
            [
                replace(addition, sighting=replace(addition.sighting, time=time, camera_id=f"c{row}"), added=added)
                for row, (addition, (time, added)) in enumerate(zip(random_additions(6), kinds, strict=True))
            ]
        )
        for dry_run in (True, False):
            found = remove_older(engine, 20.0, dry_run=dry_run)
            assert (found.entries, found.undated, dict(found.cameras)) == (2, 1, {"c0": 1, "c2": 1})
            left = ids if dry_run else [ids[1], *ids[3:]]
            assert sorted(entry.id for entry in everything(engine)) == sorted(left)
        assert remove_older(engine, 20.0).entries == 0
        assert engine.check() == []

    def test_more_than_a_page_is_removed_and_can_be_ended_between_pages(self, engine: Engine) -> None:
        additions = [
            Addition(Sighting(picture_content(b"%d" % row), time=float(row)), embedding)
            for row, embedding in enumerate(random_embeddings(2500))
        ]
        engine.add(additions)
        looks = iter([True, False])
        assert remove_older(engine, 2400.0, go_on=lambda: next(looks, False)).entries == 1000
        told: list[int] = []
        found = remove_older(engine, 2400.0, progress=lambda what, done, _: told.append(done), go_on=lambda: True)
        assert found.entries == 1400
        assert told[:2] == [1000, 1400]
        assert {entry.sighting.time for entry in everything(engine)} == {float(row) for row in range(2400, 2500)}

    def test_previews(self, place: Place, opened: Callable[[], Engine]) -> None:
        film = tuple(Preview(JPEG + b"%d" % place, 0.5 * place) for place in range(3))
        first, second, third = random_additions(3)
        with closing(place.create(FACTS.model_copy(update={"preview": 640}))) as engine:
            ids = engine.add([replace(first, previews=film), replace(second, previews=(Preview(JPEG),)), third])
            for view in (engine, opened()):
                assert view.facts.preview == 640
                assert view.previews(ids[0]) == list(film)
                assert view.previews(ids[1]) == [Preview(JPEG, None)]
                assert view.previews(ids[2]) == view.previews(max(ids) + 1) == view.previews(BEYOND_NUMBERS) == []
                assert view.check() == []
            assert engine.remove([ids[0]]) == 1
            assert engine.previews(ids[0]) == []
            assert engine.check() == []

    @pytest.mark.parametrize("full", [False, True])
    def test_compacting_changes_nothing_that_is_there(
        self, engine: Engine, opened: Callable[[], Engine], full: bool
    ) -> None:
        additions = random_additions(40)
        ids = engine.add(additions)
        query = random_embeddings(1, seed=3)
        engine.search(query, 5)
        engine.judge(Judgement("q", ids[9], True, JPEG))
        engine.remove(ids[::2])
        before = everything(engine), engine.search(query, 50), engine.judgements(pictures=True)
        told: list[tuple[int, int]] = []
        engine.compact(full=full, progress=lambda _, done, total: told.append((done, total)))
        assert told[-1][0] == told[-1][1] > 0
        for view in (engine, opened()):
            assert (everything(view), view.search(query, 50), view.judgements(pictures=True)) == before
            assert view.check() == []
        assert not set(engine.add(additions[:1])) & set(ids)

    def test_numbers_are_never_used_again(self, place: Place, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(6)
        ids = engine.add(additions)
        engine.remove(ids)
        engine.close()
        again = opened()
        new = again.add(additions)
        assert not set(new) & set(ids)
        if place.in_one_place:
            assert min(new) > max(ids)
        assert {match.id for match in again.search(random_embeddings(1), 99)[0]} == set(new)

    def test_an_update_is_followed_by_filters(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(12)
        ids = engine.add(additions)
        new = replace(
            additions[0].sighting, camera_id="new", time=1e9, labels={"lane": "9"}, vehicle_id="", address="there"
        )
        assert engine.update(ids[0], lambda _: new) == new
        for view in (engine, opened()):
            assert view.entries([ids[0]])[ids[0]].sighting == new
            for allowed in (Filter(cameras=("new",)), Filter(after=1e8), Filter(labels={"lane": "9"})):
                assert [entry.id for entry in view.listed(allowed)] == [ids[0]]
                assert [match.id for match in view.search(random_embeddings(1), 5, allowed)[0]] == [ids[0]]
        engine.update(ids[0], lambda before: replace(before, labels={}, time=None))
        assert engine.entries([ids[0]])[ids[0]].sighting == replace(new, labels={}, time=None)
        assert engine.listed(Filter(labels={"lane": "9"})) == []
        assert engine.listed(Filter(after=1e8)) == []

    def test_updates_at_the_same_time_undo_nothing(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        ids = engine.add(random_additions(1))
        views = [engine, opened(), opened()]

        def label(name: str) -> None:
            views[int(name) % 3].update(ids[0], lambda now: replace(now, labels={**now.labels, name: "told"}))

        engine.update(ids[0], lambda now: replace(now, labels={}))
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(label, map(str, range(24))))
        assert engine.entries(ids)[ids[0]].sighting.labels == dict.fromkeys(map(str, range(24)), "told")

    def test_an_update_keeps_the_picture(self, engine: Engine) -> None:
        first, second = random_additions(2)
        (number,) = engine.add([first])
        with pytest.raises(SamecarError, match=f"{number}"):
            engine.update(number, lambda _: second.sighting)
        assert engine.update(number + 1, lambda _: first.sighting) is None
        assert engine.entries([number])[number].sighting == first.sighting

    def test_a_label_is_set_and_taken_away_on_many_entries_at_once(
        self, engine: Engine, opened: Callable[[], Engine]
    ) -> None:
        additions = random_additions(6)
        ids = engine.add(additions)
        engine.update(ids[0], lambda now: replace(now, labels={"lane": "1", "journey": "old"}))
        engine.update(ids[1], lambda now: replace(now, labels={"journey": "old"}))
        before = {entry.id: entry.sighting for entry in everything(engine)}
        engine.set_labels("journey", {ids[0]: "new", ids[1]: "", ids[2]: "it's {new}", BEYOND_NUMBERS: "x", -1: "x"})
        expected = {
            **before,
            ids[0]: replace(before[ids[0]], labels={"lane": "1", "journey": "new"}),
            ids[1]: replace(before[ids[1]], labels={}),
            ids[2]: replace(before[ids[2]], labels={**before[ids[2]].labels, "journey": "it's {new}"}),
        }
        for view in (engine, opened()):
            assert {entry.id: entry.sighting for entry in everything(view)} == expected
            assert [entry.id for entry in view.listed(Filter(labels={"journey": "new"}))] == [ids[0]]
            assert view.listed(Filter(labels={"journey": "old"})) == []
        engine.set_labels("journey", {})

    def test_numbers_that_cannot_be_are_not_there(self, engine: Engine) -> None:
        engine.add(random_additions(2))
        for number in (0, -1, BEYOND_NUMBERS):
            assert engine.entries([number]) == {}
            assert engine.thumbnail(number) is None
            assert engine.remove([number]) == 0
            assert not engine.withdraw("q", number)
            with pytest.raises(SamecarError, match=str(number)):
                engine.judge(Judgement("q", number, True))
        assert engine.listed(beyond=BEYOND_NUMBERS) == []
        assert len(engine.listed(Filter(not_ids=(BEYOND_NUMBERS, -1)), beyond=-5, limit=BEYOND_NUMBERS)) == 2
        assert len(engine.search(random_embeddings(1), 5, Filter(not_ids=(BEYOND_NUMBERS, -1)))[0]) == 2

    # --- listing ---

    def test_embeddings_come_in_the_order_asked_for(self, engine: Engine) -> None:
        ids = engine.add(random_additions(5))
        once = engine.embeddings(ids)
        np.testing.assert_array_equal(engine.embeddings([ids[4], ids[0], ids[4]]), once[[4, 0, 4]])
        assert once.dtype == np.float32

    def test_pages_follow_each_other(self, engine: Engine) -> None:
        ids = sorted(engine.add(random_additions(30)))
        assert [entry.id for entry in engine.listed(limit=10)] == ids[:10]
        assert [entry.id for entry in engine.listed(beyond=ids[9], limit=100)] == ids[10:]
        assert engine.listed(beyond=ids[-1]) == []
        allowed = Filter(cameras=("north", "south"), after=3, before=40)
        assert list(all_entries(engine, allowed, page=3)) == [
            entry for entry in engine.listed() if allowed.allows(entry)
        ]

    # --- searching ---

    @pytest.mark.parametrize("top", [1, 10, 1000])
    def test_search_finds_the_nearest(self, engine: Engine, top: int) -> None:
        engine.add(random_additions(200))
        queries = random_embeddings(5, seed=1)
        together = engine.search(queries, top)
        for query, found in zip(queries, together, strict=True):
            assert_nearest(engine, query, top, EVERYTHING, found)
            assert engine.search(query[None], top) == [found]

    @settings(
        max_examples=60,
        database=None,  # an example that fails on one engine need not fail on the next
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_filters_come_before_the_ranking(self, filled: Engine, data: st.DataObject) -> None:
        cameras = st.lists(st.sampled_from([*CAMERAS, "unknown"]), max_size=3).map(tuple)
        moment = st.none() | st.integers(-5, 55).map(float)
        ids = st.lists(st.integers(1, 80), max_size=5).map(tuple)
        conditions = {
            "cameras": cameras,
            "not_cameras": cameras,
            "after": moment,
            "before": moment,
            "not_ids": ids,
            "older": moment,
        }
        allowed = data.draw(st.builds(Filter, **conditions, **LABELLED))
        top = data.draw(st.integers(1, 90))
        query = random_embeddings(1, seed=data.draw(st.integers(0, 99)))
        assert_nearest(filled, query[0], top, allowed, filled.search(query, top, allowed)[0])
        assert filled.listed(allowed) == [entry for entry in filled.listed() if allowed.allows(entry)]

    def test_types_colours_and_labels_are_filtered(self, engine: Engine) -> None:
        looks = [*LOOKS, {"type": "car", "lane": "1"}, {"Type": "car"}, {"type": "Car", "colour": ""}]
        embeddings = random_embeddings(len(looks))
        numbers = engine.add(
            [
                Addition(Sighting(picture_content(b"%d" % row), labels=labels), embeddings[row])
                for row, labels in enumerate(looks)
            ]
        )
        for allowed, rows in (
            (Filter(types=("car",)), [1, 2, 5]),
            (Filter(types=("car", "van")), [1, 2, 3, 4, 5]),
            (Filter(types=("van", "Car")), [3, 4, 7]),
            (Filter(colours=("white",)), [1, 3]),
            (Filter(types=("car",), colours=("white", "red")), [1, 2]),
            (Filter(types=("car",), labels={"lane": "1"}), [5]),
            (Filter(types=("car",), labels={"type": "van"}), []),
            (Filter(types=("car",), labels={"type": ("van", "car")}), [1, 2, 5]),
            (Filter(labels={"type": ("van", "car"), "colour": ("red", "blue")}), [2]),
            (Filter(labels={"colour": ""}), [7]),
            (Filter(labels={"lane": ()}), list(range(8))),  # as with cameras, none given allows all
            (Filter(types=("boat",)), []),
        ):
            expected = sorted(numbers[row] for row in rows)
            assert [entry.id for entry in engine.listed(allowed)] == expected, allowed
            assert sorted(match.id for match in engine.search(embeddings[:1], 8, allowed)[0]) == expected, allowed

    def test_values_of_labels_are_listed(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        assert engine.label_values() == {}
        looks = [*LOOKS, *({"note": f"{row:02d}", "lane": f"{row % LISTED_VALUES:02d}"} for row in range(51)), {"": ""}]
        additions = [
            Addition(Sighting(picture_content(b"%d" % row), labels=labels), embedding)
            for row, (labels, embedding) in enumerate(zip(looks, random_embeddings(len(looks)), strict=True))
        ]
        numbers = engine.add(additions)
        lanes = [("00", 2), *((f"{lane:02d}", 1) for lane in range(1, LISTED_VALUES))]
        expected = {
            "": [("", 1)],
            "colour": [("white", 2), ("red", 1)],
            "lane": lanes,
            "note": [],  # one more than are listed
            "type": [("car", 2), ("van", 2)],
        }
        assert opened().label_values() == expected
        assert list(opened().label_values()) == list(expected)
        engine.remove([numbers[-2]])
        assert [len(engine.label_values()[name]) for name in ("note", "lane")] == [50, 50]

    @pytest.fixture
    def filled(self, engine: Engine) -> Engine:
        engine.add(random_additions(80))
        return engine

    def test_equal_ones_stand_in_the_order_of_their_numbers(self, engine: Engine) -> None:
        embedding, other = random_embeddings(2)
        same = [Addition(Sighting(picture_content(b"%d" % row)), embedding) for row in range(100)]
        given = engine.add([Addition(Sighting(picture_content(b"other")), other), *same])
        engine.remove([given[17], given[40]])
        ids = [entry.id for entry in engine.listed() if entry.id != given[0]]
        assert set(ids) == {*given[1:17], *given[18:40], *given[41:]}
        for top in (1, 10, 60):
            found = engine.search(unit(embedding + 0.1 * random_embeddings(1)), top)[0]
            assert [match.id for match in found] == ids[:top]
            assert len({match.similarity for match in found}) == 1

    def test_similarity_is_a_cosine(self, engine: Engine) -> None:
        embedding = random_embeddings(1)
        engine.add([Addition(Sighting("a" * 64), embedding[0]), Addition(Sighting("b" * 64), -embedding[0])])
        found = engine.search(embedding, 2)[0]
        assert [match.similarity for match in found] == pytest.approx([1, -1], abs=1e-3)
        assert all(-1 <= match.similarity <= 1 for match in found)

    def test_recall_by_default(self, place: Place) -> None:
        with closing(place.create(FACTS.model_copy(update={"size": 128}))) as engine:
            additions = random_additions(2000, size=128)
            ids = np.array(engine.add(additions))
            queries = random_embeddings(100, 128, seed=5)
            exact = queries @ np.array([addition.embedding for addition in additions]).T
            nearest = ids[np.argsort(-exact, axis=1)[:, :10]]
            found = [[match.id for match in matches] for matches in engine.search(queries, 10)]
            assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(nearest.tolist(), found, strict=True)]) >= 0.999

    @pytest.mark.parametrize("top", [0, -1])
    def test_no_results_cannot_be_asked_for(self, engine: Engine, top: int) -> None:
        with pytest.raises(SamecarError, match=str(top)):
            engine.search(random_embeddings(1), top)

    def test_nothing_that_is_given_is_changed(self, engine: Engine) -> None:
        additions = random_additions(5)
        queries = random_embeddings(5, seed=9)
        kept = [addition.embedding.copy() for addition in additions], queries.copy()
        engine.add(additions)
        engine.search(queries, 2)
        np.testing.assert_array_equal([addition.embedding for addition in additions], kept[0])
        np.testing.assert_array_equal(queries, kept[1])

    # --- judgements and summary ---

    def test_judgements(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        other = opened()
        first, second, third = engine.add(random_additions(3))
        engine.judge(Judgement("q", first, True, JPEG))
        other.judge(Judgement("q", second, False))
        engine.judge(Judgement("r", first, False))
        kept = [Judgement("q", first, True, JPEG), Judgement("q", second, False), Judgement("r", first, False)]
        assert engine.judgements(pictures=True) == other.judgements(pictures=True) == kept
        assert engine.judgements("q", pictures=True) == kept[:2]
        bare = [replace(judgement, query_picture=None) for judgement in kept]  # pictures may be large
        assert (engine.judgements(), other.judgements("q")) == (bare, bare[:2])
        assert other.judgements("s") == []
        engine.judge(Judgement("q", second, True))
        assert sorted(other.judgements(), key=lambda judgement: (judgement.query, judgement.entry)) == [
            bare[0],
            Judgement("q", second, True),
            bare[2],
        ]
        assert engine.withdraw("q", first)
        assert not other.withdraw("q", first)
        assert not engine.withdraw("q", third)
        absent = max(first, second, third) + 1
        with pytest.raises(SamecarError, match=f"{absent}"):
            engine.judge(Judgement("q", absent, True))
        assert engine.summary().judgements == 2

    def test_of_two_judgements_the_later_does_not_win_silently(
        self, engine: Engine, opened: Callable[[], Engine]
    ) -> None:
        other = opened()
        [number] = engine.add(random_additions(1))
        assert engine.judge(Judgement("q", number, True), replaces=False) is None
        assert other.judge(Judgement("q", number, True), replaces=False) is True
        with pytest.raises(ContraryJudgementError, match=f"entry {number} and this query to be the same vehicle"):
            other.judge(Judgement("q", number, False), replaces=False)
        assert [judgement.same for judgement in engine.judgements("q")] == [True]
        assert other.judge(Judgement("q", number, False)) is True
        with pytest.raises(ContraryJudgementError, match=f"entry {number} and this query to be not the same"):
            engine.withdraw("q", number, True)
        assert [judgement.same for judgement in engine.judgements("q")] == [False]
        assert engine.withdraw("q", number, False)
        assert not engine.withdraw("q", number, True)  # there is nothing that could say otherwise
        assert engine.judge(Judgement("q", number, True)) is None

    def test_summary(self, engine: Engine) -> None:
        rows = [("b", 5.0, "x"), ("b", 1.0, "x"), ("", None, ""), ("B", 3.0, "y"), ("b", None, "")]
        engine.add(
            [
                Addition(Sighting(picture_content(b"%d" % row), "", camera, time, "", vehicle), embedding)
                for row, ((camera, time, vehicle), embedding) in enumerate(zip(rows, random_embeddings(5), strict=True))
            ]
        )
        summary = engine.summary()
        assert (summary.pictures, summary.vehicles, summary.judgements) == (5, 2, 0)
        assert summary.cameras == (
            CameraSummary("", 1, None, None),
            CameraSummary("B", 1, 3.0, 3.0),
            CameraSummary("b", 3, 1.0, 5.0),
        )

    # --- several at once ---

    def test_two_handles_see_each_other(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(30)
        other = opened()
        for step in range(10):
            writer, reader = (engine, other) if step % 2 else (other, engine)
            ids = writer.add(additions[3 * step : 3 * step + 3])
            query = additions[3 * step].embedding
            assert reader.search(query[None], 1)[0][0].id == ids[0]
            writer.remove(ids[1:2])
            assert reader.entries(ids).keys() == {ids[0], ids[2]}
            assert_nearest(reader, query, 50, EVERYTHING, reader.search(query[None], 50)[0])

    def test_threads(self, engine: Engine) -> None:
        additions = random_additions(160)
        start = threading.Barrier(8)

        def work(part: int) -> list[int]:
            start.wait()
            ids = []
            for row in range(part * 20, part * 20 + 20, 5):
                ids += engine.add(additions[row : row + 5])
                found = engine.search(additions[row].embedding[None], 3)[0]
                assert found[0].id == ids[-5]
                assert engine.known([additions[row].sighting.content]) == {additions[row].sighting.content: ids[-5]}
            return ids

        with ThreadPoolExecutor(8) as pool:
            ids = [number for part in pool.map(work, range(8)) for number in part]
        assert sorted(ids) == [entry.id for entry in everything(engine)]
        assert len(set(ids)) == 160
        assert engine.check() == []

    def test_random_work_matches_a_dictionary(self, engine: Engine, opened: Callable[[], Engine]) -> None:
        random = np.random.default_rng(3)
        additions = random_additions(60, seed=4)
        handles = [engine, opened()]
        expected: dict[int, Sighting] = {}
        for _ in range(120):
            handle = handles[random.integers(2)]
            chosen = [additions[row] for row in random.choice(60, random.integers(1, 5))]
            if random.random() < 0.6:
                known = {sighting.content: number for number, sighting in expected.items()}
                for number, addition in zip(handle.add(chosen), chosen, strict=True):
                    assert known.setdefault(addition.sighting.content, number) == number
                    expected.setdefault(number, addition.sighting)
            elif expected:
                gone = random.choice(list(expected), random.integers(1, 4)).tolist()
                assert handle.remove(gone) == len(set(gone))
                for number in set(gone):
                    del expected[number]
            query = random_embeddings(1, seed=int(random.integers(99)))
            found = handle.search(query, 100)[0]
            assert {match.id for match in found} == expected.keys()
        for handle in handles:
            assert everything(handle) == [Entry(number, expected[number]) for number in sorted(expected)]
            assert handle.check() == []

    # --- the index ---

    def test_every_kind_of_index(self, place: Place, engine: Engine, opened: Callable[[], Engine]) -> None:
        additions = random_additions(1500)
        engine.add(additions)
        other = opened()
        other.search(random_embeddings(1), 1)
        allowed = Filter(cameras=("north",), after=10)
        for kind in (*place.approximate, "exact"):
            built = engine.rebuild(kind)
            assert built.kind == kind
            if kind == "exact":
                assert (built.recall, built.pictures, built.fault(10**6)) == (None, 0, None)
            else:
                assert built.recall is not None
                assert 0.2 <= built.recall <= 1
                assert built.measured_on > 0
                assert (built.pictures, built.fault(3000)) == (1500, None)
                assert built.fault(3001) == "it was made of 1,500 pictures, and the gallery holds 3,001"
            assert engine.facts == other.facts == opened().facts == FACTS.model_copy(update={"index": built})
            (new,) = engine.add(random_additions(1, seed=sum(map(ord, kind))))
            (query,) = random_additions(1, seed=sum(map(ord, kind)))
            for view in (engine, other, opened()):
                assert view.search(query.embedding[None], 1)[0][0].id == new
                found = view.search(query.embedding[None], 2000, allowed)[0]
                assert_nearest(view, query.embedding, 2000, allowed, found)
                assert view.check() == []
            engine.remove([new])
            assert other.search(query.embedding[None], 1)[0][0].id != new

    def test_an_unknown_kind_of_index_is_refused(self, engine: Engine) -> None:
        with pytest.raises(SamecarError, match=r"'psychic'.*exact"):
            engine.rebuild("psychic")
        assert engine.facts == FACTS

    def test_an_index_of_nothing(self, place: Place, engine: Engine) -> None:
        additions = random_additions(40)
        for kind in (*place.approximate, "exact"):
            assert engine.rebuild(kind).kind == kind
            ids = engine.add(additions)
            query = additions[7].embedding
            assert_nearest(engine, query, 40, EVERYTHING, engine.search(query[None], 40)[0])
            engine.remove(ids)
