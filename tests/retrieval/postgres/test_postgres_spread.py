"""Galleries whose server has a replica, or whose entries lie in partitions, as docs/scaling.md says how."""

import re
import time
from contextlib import closing
from pathlib import Path

import pytest
from engine_contract import FACTS, EngineContract, random_additions

from samecar.errors import SamecarError
from samecar.retrieval.engine import NO_FILES
from samecar.retrieval.postgres import PostgresEngine
from samecar.retrieval.records import Filter

SCALING = Path(__file__).parents[3] / "docs" / "scaling.md"
PATIENCE = 30
"""Seconds that a replica may take."""


def scaling_sql(beginning):
    """The block of docs/scaling.md that begins so."""
    blocks = re.findall(r"^```sql\n(.*?)^```$", SCALING.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(beginning)]
    return block


@pytest.fixture
def address(postgres):
    return postgres.address(postgres.new_database())


def partitioned(postgres, address, by):
    """Puts the entries of gallery 1 into partitions."""
    statements = scaling_sql("BEGIN;")
    if by == "month":
        start, end = statements.index("CREATE TABLE samecar.entries_1 "), statements.index("INSERT INTO")
        statements = statements[:start] + scaling_sql("CREATE TABLE samecar.entries_1 ") + statements[end:]
    postgres.execute(statements, address.rpartition("/")[2])


class PartitionedPlace:
    """A gallery whose entries lie in partitions."""

    approximate = ("hnsw",)
    in_one_place = True

    def __init__(self, postgres, address, by):
        self.postgres, self.address, self.by = postgres, address, by

    def create(self, facts, files=NO_FILES):
        engine = PostgresEngine.create(self.address, "gallery", facts, files)
        partitioned(self.postgres, self.address, self.by)
        return engine

    def open(self):
        return PostgresEngine.open(self.address, "gallery")


@pytest.mark.slow
class TestPartitioned(EngineContract):
    @pytest.fixture(params=["camera", "month"])
    def place(self, postgres, address, request):
        return PartitionedPlace(postgres, address, request.param)


def test_a_filled_gallery_moves_into_partitions(postgres, address):
    database = address.rpartition("/")[2]
    additions = random_additions(200)
    queries = [addition.embedding[None] for addition in additions[:3]]
    with closing(PostgresEngine.create(address, "gallery", FACTS)) as engine:
        ids = engine.add(additions)
        before = [engine.search(query, 10) for query in queries]
        partitioned(postgres, address, "camera")
        assert [engine.search(query, 10) for query in queries] == before
        assert engine.rebuild("hnsw").recall > 0.9
        assert engine.check() == []
        engine.update(ids[0], lambda _: random_additions(1)[0].sighting)
        assert engine.remove(ids[:5]) == 5
        assert engine.summary().pictures == 195
    partitions = "SELECT count(*) FROM pg_indexes WHERE tablename LIKE 'entries_1_%' AND indexdef LIKE '%USING hnsw%'"
    assert postgres.execute(partitions, database) == [(3,)]
    plan = postgres.execute("EXPLAIN SELECT id FROM samecar.entries_1 WHERE camera_id = ANY ('{north}')", database)
    assert not any("others" in line or "south" in line for (line,) in plan)


@pytest.mark.long
def test_a_replica_answers_and_refuses_to_write(postgres, address):
    database = address.rpartition("/")[2]
    additions = random_additions(30)
    with closing(PostgresEngine.create(address, "gallery", FACTS)) as engine, postgres.replica() as replica:
        with closing(PostgresEngine.open(replica.address(database), "gallery")) as reader:
            ids = engine.add(additions)
            end = time.monotonic() + PATIENCE
            while len(reader.listed()) < 30:
                assert time.monotonic() < end
            query = additions[0].embedding[None]
            assert reader.search(query, 5) == engine.search(query, 5)
            assert reader.search(query, 5, Filter(cameras=("north",))) == engine.search(
                query, 5, Filter(cameras=("north",))
            )
            with pytest.raises(SamecarError, match="only reads, as replicas do"):
                reader.remove(ids)
            for statement in scaling_sql("ALTER SYSTEM SET synchronous_standby_names").split(";\n"):
                postgres.execute(statement)
            while postgres.execute("SHOW synchronous_commit") != [("remote_apply",)]:
                assert time.monotonic() < end
            for addition in random_additions(20, seed=1):
                assert reader.entries(engine.add([addition]))
            either = address.replace("@", f"@127.0.0.1:{replica.port},")
        reader = PostgresEngine.open(either + "?target_session_attrs=prefer-standby", "gallery")
        with closing(reader), pytest.raises(SamecarError, match="only reads, as replicas do"):
            reader.remove(ids)
        for name in ("synchronous_standby_names", "synchronous_commit"):
            postgres.execute(f"ALTER SYSTEM RESET {name}")
        postgres.execute("SELECT pg_reload_conf()")
