"""Catalogues that somebody else has changed: one sentence in time, and `check` names what is wrong."""

import os
import resource
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from samecar.errors import SamecarError
from samecar.files import UNFINISHED
from samecar.retrieval.engine import FORMAT
from samecar.retrieval.folder import connecting
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.records import Addition, Filter, GalleryFacts, Sighting, picture_content

SIZE = 8
FACTS = GalleryFacts(format=FORMAT, model="0123456789abcdef", size=SIZE, thumbnail=64, created="2026-01-01T00:00:00Z")
ENDLESS = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery of twelve sightings."""
    engine = FolderEngine.create(tmp_path / "yard", FACTS)
    vectors = np.random.default_rng(0).standard_normal((12, SIZE))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    engine.add(
        [
            Addition(
                Sighting(picture_content(b"%d" % row), f"/p/{row}.jpg", "c0", 60.0 * row, labels={"lane": "1"}),
                vector.astype(np.float32),
                b"\xff\xd8\xff",
            )
            for row, vector in enumerate(vectors)
        ]
    )
    engine.close()
    return tmp_path / "yard"


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "catalogue.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def everything(folder: Path) -> list[object]:
    """What somebody would ask of a gallery."""
    engine = FolderEngine.open(folder)
    try:
        query = np.eye(1, SIZE, dtype=np.float32)
        found = engine.search(query, 3, Filter(cameras=("c0",), labels={"lane": "1"}))
        return [found, engine.listed(), engine.summary(), engine.judgements(pictures=True)]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            ["CREATE TRIGGER evil AFTER INSERT ON entries BEGIN DELETE FROM labels; END"],
            "has added the trigger 'evil'",
        ),
        (["DROP TRIGGER removal"], "lacks the trigger 'removal'"),
        (
            ["DROP VIEW sightings", f"CREATE VIEW sightings AS {ENDLESS} SELECT x AS id FROM c WHERE x < 0"],
            "view 'sightings' is not the one",
        ),
        (["CREATE TABLE more (x)"], "table 'more'"),
        (["CREATE INDEX evil ON entries (length(content))"], "index 'evil'"),
        (["ALTER TABLE entries ADD COLUMN more TEXT DEFAULT 'x'"], "table 'entries' is not the one"),
    ],
)
def test_what_is_not_samecars_does_not_run(folder, statements, said):
    change(folder, *statements)
    with pytest.raises(SamecarError, match=said) as raised:
        FolderEngine.open(folder)
    assert str(raised.value).startswith(f"{folder / 'catalogue.sqlite'} is damaged (")


def test_notes_that_sqlite_makes_of_values_are_no_damage(folder):
    change(folder, "ANALYZE")
    assert len(everything(folder)[1]) == 12


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entries SET time = 'yesterday' WHERE id = 3", "time of entry 3 lies in no year"),
        ("UPDATE entries SET time = x'00' WHERE id = 3", "time of entry 3"),
        ("UPDATE entries SET time = 1e300 WHERE id = 3", "time of entry 3"),
        ("UPDATE entries SET time = 9e999 WHERE id = 3", "time of entry 3"),
        ("UPDATE entries SET camera_id = x'ff00' WHERE id = 3", "entry 3 knows something that is no text"),
        ("UPDATE entries SET content = x'00ff' WHERE id = 3", "entry 3 knows something that is no text"),
        ("UPDATE labels SET value = x'ff' WHERE entry = 3", "a label of entry 3 is no text"),
        (
            "UPDATE embeddings SET embedding = 'aaaaaaaaaaaaaaaa' WHERE id = 3",
            "the embedding of entry 3 has not 8 numbers",
        ),
        (
            "INSERT INTO judgements (query, entry, same) VALUES (x'00', 3, 1)",
            "judgement on entry 3 says neither yes nor no",
        ),
        (
            "INSERT INTO judgements (query, entry, same, query_picture) VALUES ('q', 3, 1, 'text')",
            "picture of a judgement on entry 3 is none",
        ),
        ("UPDATE sqlite_sequence SET seq = 20000000000 WHERE name = 'entries'", "the last that was given is 20,000,0"),
        ("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'entries'", "the last that was given is 2"),
        ("UPDATE sqlite_sequence SET seq = 'many' WHERE name = 'entries'", "in what is no number"),
        ("DELETE FROM sqlite_sequence", "the last that was given is 0"),
        ("INSERT INTO removals (entry) VALUES ('x')", "something else stands where numbers"),
    ],
)
def test_values_of_another_kind(folder, statement, said):
    change(folder, statement)
    engine = FolderEngine.open(folder)
    try:
        fault, *_ = engine.check()
    except SamecarError as error:
        fault = str(error)
    finally:
        engine.close()
    assert said in fault
    (folder / "index.faiss").unlink(missing_ok=True)
    with pytest.raises(SamecarError) as raised:
        everything(folder)
    assert "\n" not in str(raised.value)
    assert str(folder / "catalogue.sqlite") in str(raised.value)


def test_a_content_that_leads_elsewhere_is_a_finding(folder):
    change(folder, "UPDATE entries SET content = '../../elsewhere' WHERE id = 3")
    engine = FolderEngine.open(folder)
    assert engine.check() == ["the content of entry 3 is no SHA-256; remove it and add its picture again"]
    engine.close()


def test_huge_values_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(connecting, "LARGEST_VALUE", 100_000)
    change(folder, "UPDATE thumbnails SET thumbnail = zeroblob(1000000) WHERE id = 3")
    engine = FolderEngine.open(folder)
    with pytest.raises(SamecarError, match="larger than any that samecar writes"):
        engine.thumbnail(3)
    engine.close()


def test_work_without_end_ends(folder, monkeypatch):
    monkeypatch.setattr(connecting, "_LEAST_STEPS", 1_000_000)
    connection = connecting.connect(folder / "catalogue.sqlite", "mode=ro")
    connecting.limit_work(connection, folder / "catalogue.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        connection.execute(ENDLESS + "SELECT max(x) FROM c").fetchall()
    connection.close()


def test_leftovers_of_killed_writers_go_at_the_next_opening(folder):
    for place in (folder, folder / "model"):
        (place / f"{UNFINISHED}left").mkdir()
        (place / f"{UNFINISHED}left" / "model.safetensors").write_bytes(bytes(1000))
    FolderEngine.open(folder).close()
    assert not list(folder.rglob(f"{UNFINISHED}*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not copy processes")
@pytest.mark.parametrize("index", [True, False])
def test_without_room_a_gallery_is_still_read(folder, index):
    if not index:
        (folder / "index.faiss").unlink()
    before = everything(folder)
    process = os.fork()
    if not process:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            engine = FolderEngine.open(folder)
            fine = engine.check() == [] and everything(folder) == before
            with pytest.raises(SamecarError, match=r"free some space and do it again"):
                engine.remove([3])
            os._exit(0 if fine else 2)
        finally:
            os._exit(1)
    assert os.waitpid(process, 0)[1] == 0
    assert everything(folder) == before
