import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import psycopg
import pytest
from engine_contract import EngineContract

from samecar.errors import SamecarError
from samecar.retrieval.engine import NO_FILES
from samecar.retrieval.postgres import PostgresEngine, searching
from samecar.retrieval.records import Addition, Filter, GalleryFacts, IndexSettings, Judgement, Sighting

SIZE = 16

HOSTILE = [
    "'; DROP TABLE samecar.galleries; --",
    'x"; DROP SCHEMA samecar CASCADE; --',
    "%s %(query)s {entries} {} %",
    "\\'); SELECT pg_sleep(10); --",
    "$1 $$ 漢字 🚗 \n\t",
]


@pytest.fixture(scope="module")
def database(postgres):
    """A database with pgvector that the tests of this module share, each with a gallery of its own."""
    return postgres.new_database()


@pytest.fixture
def address(postgres, database):
    return postgres.address(database)


@pytest.fixture
def name(request):
    return request.node.name


@pytest.fixture
def engine(address, name):
    engine = PostgresEngine.create(address, name, facts())
    yield engine
    engine.close()


def facts(kind="exact", size=SIZE):
    return GalleryFacts(
        format=1, model="abc", size=size, thumbnail=0, created="2026-01-01T00:00:00Z", index=IndexSettings(kind=kind)
    )


class Server:
    """A gallery on a server."""

    approximate = ("hnsw",)
    in_one_place = True

    def __init__(self, address, name):
        self.address, self.name = address, name

    def create(self, facts, files=NO_FILES):
        return PostgresEngine.create(self.address, self.name, facts, files)

    def open(self):
        return PostgresEngine.open(self.address, self.name)


class TestPostgres(EngineContract):
    @pytest.fixture
    def place(self, address, name):
        return Server(address, name)


def vectors(number, size=SIZE, seed=0):
    """(number, size) of length one, in clusters of ten as pictures of vehicles are."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.normal(size=(-(-number // 10), size)), 10, axis=0)[:number]
    matrix = centres + 0.5 * random.normal(size=(number, size))
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def content_of(prefix, row):
    return sha256(f"{prefix} {row}".encode()).hexdigest()


def additions(matrix, prefix="picture"):
    return [
        Addition(Sighting(content_of(prefix, row), camera_id=f"cam{row % 4}", time=float(row)), embedding)
        for row, embedding in enumerate(matrix)
    ]


def brute_force(matrix, query, rows, top):
    """Numbers of the most similar rows, kept in half precision as the server does."""
    similarities = matrix.astype(np.float16).astype(np.float64) @ query
    return sorted(rows, key=lambda row: (-similarities[row], row))[:top]


def test_two_services_share_a_gallery(engine, address, name):
    matrix = vectors(40)
    other = PostgresEngine.open(address, name)
    with ThreadPoolExecutor(4) as threads:
        batches = [additions(matrix[i : i + 10], f"part {i // 20}") for i in range(0, 40, 10)]
        given = list(threads.map(lambda pair: pair[0].add(pair[1]), zip([engine, other] * 2, batches, strict=True)))
    assert given[0] == given[1]
    assert given[2] == given[3]
    assert len({*given[0], *given[2]}) == 20
    assert [entry.id for entry in engine.listed()] == [entry.id for entry in other.listed()]
    other.remove(given[0][:1])
    assert engine.entries(given[0][:1]) == {}
    other.close()


def test_creation_at_once_leaves_one_gallery_of_each_name(postgres):
    address = postgres.address(postgres.new_database())
    names = ["same", "same", "a", "b", "c", "d"]
    together = threading.Barrier(len(names))

    def create(name):
        together.wait()
        try:
            PostgresEngine.create(address, name, facts()).close()
        except SamecarError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(names)) as threads:
        answers = list(threads.map(create, names))
    assert answers[2:] == [None] * 4
    assert sorted(answers[:2], key=bool)[0] is None
    assert "gallery 'same' exists already" in sorted(answers[:2], key=bool)[1]


def test_exact_search_is_brute_force_with_ties_by_number(engine):
    matrix = vectors(300)
    matrix[200:210] = matrix[0]
    ids = engine.add(additions(matrix))
    queries = vectors(5, seed=1)
    found = engine.search(np.vstack([queries, matrix[:1]]), 20)
    for query, matches in zip([*queries, matrix[0]], found, strict=True):
        expected = brute_force(matrix, query, range(300), 20)
        assert [match.id for match in matches] == [ids[row] for row in expected]
        assert [match.similarity for match in matches] == pytest.approx(matrix[expected] @ query, abs=1e-3)


def test_exact_search_does_not_use_an_index_that_somebody_made(engine, postgres, database):
    matrix = vectors(2000)
    ids = engine.add(additions(matrix))
    table = table_of(engine)
    postgres.execute(
        f"CREATE INDEX ON {table} USING hnsw (embedding halfvec_ip_ops) WITH (m = 2, ef_construction = 4)", database
    )
    postgres.execute(f"ANALYZE {table}", database)
    for query, matches in zip(matrix[:50], engine.search(matrix[:50], 10), strict=True):
        assert [match.id for match in matches] == [ids[row] for row in brute_force(matrix, query, range(2000), 10)]


def table_of(engine, table="entries"):
    return f"samecar.{table}_{engine._tables.number}"


@pytest.fixture(scope="module")
def indexed(postgres, database):
    """A gallery with an HNSW index, and its embeddings; entry i + 1 is row i."""
    matrix = vectors(3000)
    engine = PostgresEngine.create(postgres.address(database), "indexed", facts())
    assert engine.add(additions(matrix)) == list(range(1, 3001))
    engine.rebuild("hnsw")
    yield engine, matrix
    engine.close()


def test_hnsw_states_the_recall_that_was_measured(indexed, address):
    engine, matrix = indexed
    settings = engine.facts.index
    assert settings.kind == "hnsw"
    assert settings.measured_on == 200
    found = engine.search(matrix[:200], 10)
    right = [brute_force(matrix, query, range(3000), 10) for query in matrix[:200]]
    recall = np.mean(
        [len({m.id - 1 for m in matches} & set(rows)) / 10 for matches, rows in zip(found, right, strict=True)]
    )
    assert settings.recall == pytest.approx(recall, abs=0.03)
    assert settings.recall > 0.95
    other = PostgresEngine.open(address, "indexed")
    assert other.facts.index == settings
    other.close()
    assert engine.check() == []


def test_hnsw_answers_by_its_index(indexed, postgres, database):
    engine, _ = indexed
    with psycopg.connect(postgres.address(database)) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute(
            f"EXPLAIN SELECT id FROM {table_of(engine)} "
            f"ORDER BY embedding <#> (SELECT embedding FROM {table_of(engine)} WHERE id = 1), id LIMIT 10"
        ).fetchall()
    assert any("hnsw" in line for (line,) in plan)


@pytest.mark.parametrize(
    ("allowed", "rows"),
    [
        (Filter(cameras=("cam1",)), range(1, 3000, 4)),
        (Filter(after=2990.0), range(2990, 3000)),
        (Filter(cameras=("cam2",), before=60.0), range(2, 60, 4)),
        (Filter(cameras=("nowhere",)), []),
        (Filter(not_ids=tuple(range(1, 2999))), [2998, 2999]),
    ],
)
@pytest.mark.parametrize("few", [0, 5000])
def test_hnsw_fills_a_filtered_search(indexed, allowed, rows, few, monkeypatch):
    monkeypatch.setattr(searching, "FEW", few)
    engine, matrix = indexed
    for query, matches in zip(matrix[:3], engine.search(matrix[:3], 20, allowed), strict=True):
        assert len(matches) == min(20, len(rows))
        assert {match.id - 1 for match in matches} <= set(rows)
        assert [m.similarity for m in matches] == sorted((m.similarity for m in matches), reverse=True)
        if len(rows) <= max(20, few):
            assert [match.id - 1 for match in matches] == brute_force(matrix, query, rows, 20)


def test_an_index_can_be_changed_both_ways(engine):
    ids = engine.add(additions(vectors(50)))
    assert engine.rebuild("hnsw") == engine.facts.index
    assert engine.facts.index.recall == 1.0
    assert engine.facts.index.measured_on == 50
    assert engine.rebuild("exact") == IndexSettings()
    assert engine.facts.index == IndexSettings()
    assert engine.check() == []
    assert [match.id for match in engine.search(vectors(50)[:1], 1)[0]] == ids[:1]
    with pytest.raises(SamecarError, match="index 'ivf' is unknown to PostgreSQL; choose one of exact, hnsw"):
        engine.rebuild("ivf")


def test_no_more_than_all_of_the_nearest_are_found(engine):
    """Of as many equal ones the eleven that are found need not hold the query itself."""
    engine.add(additions(np.repeat(vectors(1), 30, axis=0)))
    settings = engine.rebuild("hnsw")
    assert (settings.recall, settings.pictures) == (1.0, 30)


def test_an_empty_gallery_has_no_recall_yet(address):
    engine = PostgresEngine.create(address, "empty", facts("hnsw"))
    assert engine.facts.index == IndexSettings(kind="hnsw")
    assert engine.rebuild("hnsw") == IndexSettings(kind="hnsw")
    assert engine.search(vectors(1), 5) == [[]]
    ids = engine.add(additions(vectors(30)))
    assert [match.id for match in engine.search(vectors(30)[4:5], 1)[0]] == ids[4:5]
    assert engine.check() == []
    engine.close()


def test_check_names_what_is_wrong(engine, postgres, database):
    ids = engine.add(additions(vectors(3)))
    engine.rebuild("hnsw")
    postgres.execute(f"DROP INDEX {table_of(engine)}_hnsw", database)
    postgres.execute(f"DELETE FROM {table_of(engine)} WHERE id = {ids[0]}", database)
    zeros = "[" + ",".join(["0"] * SIZE) + "]"
    postgres.execute(f"UPDATE {table_of(engine)} SET embedding = '{zeros}' WHERE id = {ids[1]}", database)
    problems = engine.check()
    assert len(problems) == 3
    assert "not of kind 'hnsw'" in problems[0]
    assert "1 numbers have lost their entries" in problems[1]
    assert "1 embeddings are not of length one" in problems[2]


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("contents", "content = 'abc'", "1 contents are no SHA-256"),
        ("entries", "time = 'NaN'", "1 times lie in no year"),
        ("entries", "time = -1e12", "1 times lie in no year"),
        ("entries", "labels = '[1]'", "1 entries have labels that are no texts"),
        ("entries", """labels = '{"lane": {"of": 1}}'""", "1 entries have labels that are no texts"),
        ("thumbnails", "picture = 'GIF89a'", "1 thumbnails are no JPEG"),
    ],
)
def test_check_notices_values_that_nobody_adds(engine, postgres, database, table, change, said):
    ids = engine.add([replace(addition, thumbnail=b"\xff\xd8\xff") for addition in additions(vectors(2))])
    assert engine.check() == []
    postgres.execute(f"UPDATE {table_of(engine, table)} SET {change} WHERE id = {ids[0]}", database)
    (problem,) = engine.check()
    assert said in problem
    assert "put it back from a backup" in problem


def test_connections_that_the_server_ended_are_made_again(engine, postgres, database):
    matrix = vectors(8)
    engine.add(additions(matrix[:4]))
    for call in (
        lambda: engine.search(matrix[:1], 1),
        lambda: engine.add(additions(matrix)),
        lambda: engine.summary(),
    ):
        end_connections(postgres, database)
        call()
    assert len(engine.listed()) == 8


def end_connections(postgres, database, state="TRUE"):
    return postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND pid <> pg_backend_pid() AND {state}"
    )


def test_a_read_is_done_again_when_the_connection_ends_in_its_midst(engine, postgres, database):
    ids = engine.add(additions(vectors(3)))
    times = []

    def interrupted(cursor):
        times.append(1)
        if len(times) == 1:
            end_connections(postgres, database)
        return cursor.execute("SELECT 1").fetchone()

    assert engine._connections.read(interrupted) == (1,)
    assert len(times) == 2
    with pytest.raises(SamecarError, match="ended the connection"):
        engine._write(lambda cursor: (end_connections(postgres, database), cursor.execute("SELECT 1")))
    assert list(engine.entries(ids)) == ids


def test_a_batch_whose_client_is_killed_is_added_whole_or_not_at_all(address, name, engine, postgres, database):
    """The client is killed while the server waits in the midst of its transaction."""
    matrix = vectors(50)
    engine.add(additions(matrix[:1], "before"))
    with psycopg.connect(postgres.address(database)) as blocker:
        blocker.execute(f"LOCK TABLE samecar.thumbnails_{engine._tables.number} IN EXCLUSIVE MODE")
        program = (
            "import sys; sys.path[:0] = sys.argv[1].split(':')\n"
            "from dataclasses import replace\n"
            "from test_postgres import additions, vectors, PostgresEngine\n"
            "engine = PostgresEngine.open(sys.argv[2], sys.argv[3])\n"
            "print('ready', flush=True)\n"
            "engine.add([replace(a, thumbnail=b'jpeg') for a in additions(vectors(50))])\n"
        )
        folders = f"{Path(__file__).parent}:{Path(__file__).parents[2]}"
        client = subprocess.Popen([sys.executable, "-c", program, folders, address, name], stdout=subprocess.PIPE)
        assert client.stdout.readline() == b"ready\n"
        waiting = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'"
        while not postgres.execute(waiting):
            assert client.poll() is None
        client.send_signal(signal.SIGKILL)
        client.wait()
        client.stdout.close()
    while end_connections(postgres, database, "state = 'active'"):
        pass
    assert [entry.sighting.content for entry in engine.listed()] == [content_of("before", 0)]
    assert engine.check() == []
    assert len(engine.add(additions(matrix))) == 50


def test_hostile_texts_are_only_texts(address, postgres):
    engine = PostgresEngine.create(address, HOSTILE[0] + HOSTILE[2], facts())
    matrix = vectors(len(HOSTILE))
    batch = [
        Addition(Sighting(text, text, text, 1.0, text, text, {text: text}), embedding)
        for text, embedding in zip(HOSTILE, matrix, strict=True)
    ]
    ids = engine.add(batch)
    assert engine.known(HOSTILE) == dict(zip(HOSTILE, ids, strict=True))
    for number, text, addition in zip(ids, HOSTILE, batch, strict=True):
        assert engine.entries([number])[number].sighting == addition.sighting
        for allowed in (Filter(cameras=(text,)), Filter(labels={text: text})):
            assert [entry.id for entry in engine.listed(allowed)] == [number]
            assert [match.id for match in engine.search(matrix[:1], 9, allowed)[0]] == [number]
        assert number not in [match.id for match in engine.search(matrix[:1], 9, Filter(not_cameras=(text,)))[0]]
        engine.attach(text, text.encode())
        assert engine.attached(text) == text.encode()
        engine.judge(Judgement(text, number, True))
        assert engine.withdraw(text, number)
    assert PostgresEngine.open(address, HOSTILE[0] + HOSTILE[2]).facts == facts()
    engine.close()


@pytest.mark.parametrize("text", ["a\0b", "\udc80"])
def test_texts_that_the_server_cannot_keep_are_refused(engine, text):
    embedding = vectors(1)[0]
    for sighting in (Sighting(text), Sighting("x", camera_id=text), Sighting("x", labels={"lane": text})):
        with pytest.raises(SamecarError, match="keep"):
            engine.add([Addition(sighting, embedding)])
    assert engine.listed() == []


def test_ids_beyond_the_server_s_numbers_are_not_there(engine):
    assert engine.entries([2**80, -1]) == {}
    assert engine.thumbnail(2**80) is None
    assert engine.remove([2**80]) == 0
    assert engine.listed(beyond=2**80) == []
    assert not engine.withdraw("query", 2**80)


def refusal(address, name="gallery"):
    with pytest.raises(SamecarError) as caught:
        PostgresEngine.open(address, name)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_errors_name_the_server_and_never_its_password(postgres, address, database):
    wrong = postgres.address(database, password="not-the-password")
    unreachable = "postgresql://somebody:secret-word@127.0.0.1:1/gallery"
    assert "password authentication failed" in refusal(wrong)
    assert "not-the-password" not in refusal(wrong)
    assert "postgresql://somebody@127.0.0.1:1/gallery" in refusal(unreachable)
    assert "secret-word" not in refusal(unreachable)
    several = "postgresql://127.0.0.1:1,127.0.0.1:2/gallery?connect_timeout=2"
    assert refusal(several).startswith("postgresql://127.0.0.1:1,127.0.0.1:2/gallery lets nobody in: ")
    assert 'database "absent" does not exist' in refusal(postgres.address("absent"))
    for malformed in ("postgresql://u:se@cret@host/d", "postgresql://u:se:c/ret@host/d", "postgresql://h/d?secret=1"):
        assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in refusal(malformed)
    for text in (refusal(address, "absent"), refusal(postgres.address())):
        assert postgres.password not in text


def test_absent_galleries_are_answered_with_those_there_are(postgres):
    empty = postgres.address(postgres.new_database())
    assert "lacks the extension vector" in refusal(empty)
    PostgresEngine.create(empty, "north gate", facts()).close()
    assert "holds no gallery 'gallery'; it holds 'north gate'" in refusal(empty)
    with_vectors = postgres.new_database()
    postgres.execute("CREATE EXTENSION vector", with_vectors)
    assert "holds no gallery; make one first" in refusal(postgres.address(with_vectors))


def test_a_newer_format_is_refused(engine, address, name, postgres, database):
    postgres.execute(
        f"""UPDATE samecar.galleries SET format = 4, facts = facts || '{{"format": 4, "unheard_of": 1}}'
        WHERE name = '{name}'""",
        database,
    )
    assert "is of format 4, this samecar reads up to 3" in refusal(address, name)


def test_who_may_not_make_the_extension_is_told_who_may(postgres):
    database = postgres.new_database()
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    with pytest.raises(SamecarError, match="ask who runs the server to run CREATE EXTENSION vector"):
        PostgresEngine.create(postgres.address(database, "guest", "guest"), "gallery", facts())
    PostgresEngine.create(postgres.address(database), "gallery", facts()).close()
    assert "permission denied for schema samecar; ask who runs" in refusal(postgres.address(database, "guest", "guest"))


def test_a_reader_without_the_right_to_write_can_search(engine, address, name, postgres, database):
    engine.add(additions(vectors(3)))
    reader = PostgresEngine.open(address + "?options=-c%20default_transaction_read_only%3Don", name)
    assert len(reader.search(vectors(1), 5)[0]) == 3
    reader.close()
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    postgres.execute("GRANT USAGE ON SCHEMA samecar TO reader", database)
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA samecar TO reader", database)
    reader = PostgresEngine.open(postgres.address(database, "reader", "reader"), name)
    assert len(reader.search(vectors(1), 5)[0]) == 3
    with pytest.raises(SamecarError, match="permission denied"):
        reader.remove([1])
    reader.close()


def test_what_was_closed_says_so(engine):
    engine.close()
    engine.close()
    with pytest.raises(SamecarError, match="was closed; open it again"):
        engine.summary()


@pytest.mark.parametrize(("kind", "size", "word"), [("exact", 16_001, "16,000"), ("hnsw", 4_001, "4,000")])
def test_embeddings_that_pgvector_cannot_take_are_refused(address, kind, size, word):
    with pytest.raises(SamecarError, match=word):
        PostgresEngine.create(address, "large", facts(kind, size))


def test_large_embeddings_lie_in_their_rows(address, postgres, database):
    engine = PostgresEngine.create(address, "wide", facts(size=2048))
    engine.add(additions(vectors(20, 2048)))
    table = table_of(engine)
    (size,) = postgres.execute(
        f"SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = '{table}'::regclass", database
    )[0]
    assert size == 0
    engine.close()


def test_a_gallery_that_was_removed_or_replaced_says_so(engine, address, name, postgres, database):
    postgres.execute(f"DELETE FROM samecar.galleries WHERE name = '{name}'", database)
    with pytest.raises(SamecarError, match="holds no gallery"):
        engine.facts  # noqa: B018
    with pytest.raises(SamecarError, match="was removed"):
        engine.remove([1])
    PostgresEngine.create(address, name, facts()).close()
    with pytest.raises(SamecarError, match="was replaced"):
        engine.search(vectors(1), 1)
    postgres.execute(f"DROP TABLE {table_of(engine)} CASCADE", database)
    with pytest.raises(SamecarError, match="is damaged"):
        engine.listed()
