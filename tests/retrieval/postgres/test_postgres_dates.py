"""Galleries on a server that were made before entries were kept with when they were added, and before previews."""

import time
from contextlib import closing
from dataclasses import replace

import pytest
from engine_contract import FACTS, random_additions, random_embeddings

from samecar.retrieval.postgres import PostgresEngine
from samecar.retrieval.records import Filter
from samecar.retrieval.retention import remove_older


@pytest.fixture
def address(postgres):
    return postgres.address(postgres.new_database())


@pytest.fixture
def ids(postgres, address):
    """Entries of a gallery as it was before: 5 with the time 10, 5 without one."""
    with closing(PostgresEngine.create(address, "g", FACTS.model_copy(update={"format": 2}))) as engine:
        made = engine.add(
            [
                replace(addition, sighting=replace(addition.sighting, time=10.0 if row < 5 else None))
                for row, addition in enumerate(random_additions(10))
            ]
        )
    database = address.rpartition("/")[2]
    postgres.execute("ALTER TABLE samecar.entries_1 DROP COLUMN added; DROP TABLE samecar.previews_1", database)
    return made


def test_it_is_read_searched_and_added_to_as_before(address, ids):
    with closing(PostgresEngine.open(address, "g")) as engine:
        assert [entry.added for entry in engine.listed()] == [None] * 10
        assert [entry.id for entry in engine.listed(Filter(older=11.0))] == ids[:5]
        assert {match.id for match in engine.search(random_embeddings(1), 99, Filter(older=11.0))[0]} == set(ids[:5])
        (new,) = engine.add(random_additions(1, seed=7))
        assert engine.previews(new) == []
        assert engine.check() == []
        assert engine.compact() != []


def test_what_has_no_time_counts_as_added_when_it_was_first_asked_for(address, ids):
    with closing(PostgresEngine.open(address, "g")) as engine, closing(PostgresEngine.open(address, "g")) as other:
        assert remove_older(engine, 11.0, dry_run=True).entries == 5
        assert engine.entries([ids[9]])[ids[9]].added is None
        began = time.time()
        assert remove_older(engine, 11.0).entries == 5
        assert began - 60 <= engine.entries([ids[9]])[ids[9]].added <= time.time() + 60
        (new,) = other.add([replace(random_additions(1, seed=7)[0], added=None)])  # which does not know of it
        for view in (engine, other):
            assert view.check() == []
        assert engine.entries([new])[new].added == pytest.approx(time.time(), abs=60)
        assert remove_older(other, time.time() + 100).entries == 6


def test_full_compacting_leaves_nothing_in_the_files_of_the_tables(postgres, address):
    database = address.rpartition("/")[2]
    with closing(PostgresEngine.create(address, "g", FACTS)) as engine:
        engine.add([replace(addition, thumbnail=bytes(range(256)) * 20) for addition in random_additions(300)])

        def size():
            query = (
                "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ('entries_1', 'thumbnails_1')"
            )
            return postgres.execute(query, database)[0][0]

        before = size()
        assert remove_older(engine, 1e9).entries == 300
        (sentence,) = engine.compact(full=True)
        assert "keeps its log of changes" in sentence
        assert size() < before / 3
        assert engine.check() == []
