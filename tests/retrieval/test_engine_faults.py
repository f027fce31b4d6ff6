"""Whatever happens to a gallery in a folder, what it has acknowledged is there and nothing is wrong."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from faulty_process import FACTS, SIZE, addition, embedding
from older_catalogues import make_older

from samecar.errors import SamecarError
from samecar.retrieval.folder import schema
from samecar.retrieval.folder.catalogue import Catalogue
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.writing import WriterLock
from samecar.retrieval.records import Judgement

PROGRAM = Path(__file__).with_name("faulty_process.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery of 40 entries whose index file is written."""
    path = tmp_path / "gallery"
    with closing(FolderEngine.create(path, FACTS)) as engine:
        engine.add([addition(number) for number in range(40)])
    return path


@contextmanager
def process(*words: object) -> Iterator[subprocess.Popen[str]]:
    """The program beside this file, killed in the end."""
    with subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def told(started: subprocess.Popen[str]) -> dict:
    """The next line of the program."""
    assert started.stdout is not None
    return json.loads(started.stdout.readline())


def assert_sound(folder: Path, expected: dict[int, int], perhaps_removed: int | None) -> None:
    """Everything acknowledged is there, at most one batch beyond it, and search is exact."""
    with closing(FolderEngine.open(folder)) as engine:
        assert engine.check() == []
        contents = {entry.id: int(entry.sighting.content) for entry in engine.listed(limit=10**6)}
        missing = expected.keys() - contents.keys()
        assert missing <= {perhaps_removed}
        assert all(contents[number] == expected[number] for number in expected.keys() - missing)
        ids = np.array(list(contents))
        given = np.array([embedding(number) for number in contents.values()]).reshape(len(ids), SIZE)
        stored = engine.embeddings(ids.tolist())
        np.testing.assert_allclose(stored, given, atol=2**-11)
        assert all(engine.thumbnail(number) for number in ids[-5:].tolist())
        query = embedding(10**9)
        similarities = stored @ query
        found = engine.search(query[None], 10)[0]
        assert [match.id for match in found] == ids[np.lexsort([ids, -similarities])[:10]].tolist()
        expected.clear()
        expected.update(contents)


@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_points(tmp_path: Path, kills: int) -> None:
    folder = tmp_path / "gallery"
    FolderEngine.create(folder, FACTS).close()
    random = np.random.default_rng(0)
    expected: dict[int, int] = {}
    acknowledged = 0
    with process("add", folder) as started:
        assert started.stdin is not None
        for kill in range(kills):
            started.stdin.write(f"{10_000 * kill}\n")
            started.stdin.flush()
            victim = told(started)["process"]
            lines = [told(started) for _ in range(random.integers(0, 6))]
            time.sleep(random.uniform(0, 0.03))
            os.kill(victim, signal.SIGKILL)
            while "ended" not in (line := told(started)):
                lines.append(line)
            for line in lines:
                expected.update({int(number): content for number, content in line.get("added", {}).items()})
                expected.pop(line.get("removed"), None)
                acknowledged += len(line.get("added", {}))
            removing = lines[-1].get("removing") if lines else None
            assert_sound(folder, expected, removing)
    assert acknowledged > kills


def mounted(mount: str, folder: Path) -> list[object]:
    """The beginning of a command that runs behind a mount of its own; the test is skipped where none may be made."""
    beginning = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{mount} && "$@"', folder]
    if subprocess.run([*map(str, beginning), "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no user mount a file system of his own")
    return beginning


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'


@pytest.mark.slow
@pytest.mark.parametrize("used", [False, True], ids=["at rest", "while somebody else has it open"])
def test_a_folder_that_cannot_be_written_to_is_searched(folder: Path, used: bool) -> None:
    (folder / "index.faiss").unlink()
    command = [*mounted(READ_ONLY, folder), sys.executable, PROGRAM, "read", folder]
    with closing(FolderEngine.open(folder)) as engine:
        if used:
            engine.add([addition(40)])
        else:
            engine.close()
        finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        found, refused = map(json.loads, finished.stdout.splitlines())
    assert found == {"found": 4, "faults": [], "pictures": 41 if used else 40}
    assert "cannot be used: Read-only file system" in refused["sentence"]
    assert finished.stderr == ""  # nobody is told of an index that was not saved


@pytest.fixture
def unwritable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The gallery, for those who may not write to it."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    return folder


def change(folder: Path, number: int) -> None:
    """Somebody else removes an entry and adds others, which stand in the catalogue's own file then."""
    with closing(FolderEngine.open(folder)) as engine:
        engine.remove([number])
        engine.add([addition(1000 * number + row) for row in range(200)])


@pytest.mark.parametrize("damaged", [False, True], ids=["pages of both", "pages that do not fit together"])
def test_what_is_changed_while_it_is_read_is_read_again(unwritable: Path, damaged: bool) -> None:
    calls = []

    def work(connection: sqlite3.Connection) -> tuple[int, int]:
        (entries,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        calls.append(entries)
        if len(calls) < 3:
            change(unwritable, len(calls))
            if damaged:
                raise sqlite3.DatabaseError("database disk image is malformed")
        return entries, len(connection.execute("SELECT embedding FROM embeddings").fetchall())

    catalogue = Catalogue.open(unwritable / "catalogue.sqlite", WriterLock(unwritable / "writer.lock"), SIZE)
    with closing(catalogue):
        assert catalogue.read(work) == (438, 438)
    assert calls == [40, 239, 438]


def test_what_is_changed_whenever_it_is_read_is_given_up(unwritable: Path) -> None:
    calls: list[int] = []

    def work(connection: sqlite3.Connection) -> None:
        calls.append(connection.execute("SELECT count(*) FROM entries").fetchone()[0])
        change(unwritable, len(calls))

    catalogue = Catalogue.open(unwritable / "catalogue.sqlite", WriterLock(unwritable / "writer.lock"), SIZE)
    with closing(catalogue), pytest.raises(SamecarError, match="was changed by somebody else each time"):
        catalogue.read(work)
    assert 1 < len(calls) < 10


def test_an_index_takes_in_nothing_that_was_changed_meanwhile(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unwritable / "index.faiss").unlink()
    added = Catalogue.added
    changed = []

    def interrupted(catalogue: Catalogue, connection: sqlite3.Connection, beyond: int, rows: int = 8192) -> Iterator:
        for portion in added(catalogue, connection, beyond, 10):
            yield portion
            if not changed:
                changed.append(True)
                change(unwritable, 3)

    monkeypatch.setattr(Catalogue, "added", interrupted)
    with closing(FolderEngine.open(unwritable)) as engine:
        found = [match.id for match in engine.search(embedding(3)[None], 1000)[0]]
    assert len(found) == 239
    assert set(found) == {*range(1, 241)} - {3}


@pytest.mark.parametrize("limited", ["fill", "limit"])
def test_no_space_left(tmp_path: Path, limited: str) -> None:
    """On a small file system of its own that is full, and where files may not grow."""
    command = [sys.executable, PROGRAM, limited, tmp_path / "disk" / "gallery", 1_000_000]
    (tmp_path / "disk").mkdir()
    if limited == "fill":
        command = [*mounted('mount -t tmpfs -o size=3m none "$0"', tmp_path / "disk"), *command]
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    refused, *rebuild, after = map(json.loads, printed.splitlines())
    assert refused["pictures"] == refused["added"] > 0
    assert after == {"pictures": refused["added"] + 1, "stored": True, "faults": []}
    if limited == "fill":
        assert "is full; free some space" in refused["sentence"]
        assert all("is full; free some space" in line["rebuild"] for line in rebuild)
    else:
        assert "cannot be used" in refused["sentence"]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"\xff" * len(content),
        cut,
        flip,
        lambda content: content[: len(content) - 512],  # without what we write behind it
        lambda content: content[:-400] + b"x" * 400,
        lambda content: content.replace(b'"entry":40', b'"entry":41'),  # newer than the catalogue
        lambda content: content.replace(b'"kind":"exact"', b'"kind":"other"'),
    ],
)
@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_a_damaged_index_file_is_made_anew(
    folder: Path, kind: str, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with closing(FolderEngine.open(folder)) as engine:
        engine.rebuild(kind)
    path = folder / "index.faiss"
    content = path.read_bytes()
    damaged = damage(content.replace(b'"kind":"ivf"', b'"kind":"other"') if b"ivf" in damage(content) else content)
    path.write_bytes(damaged)
    expected = {number + 1: number for number in range(40)}
    with closing(FolderEngine.open(folder)) as engine:
        (fault,) = engine.check()
        assert f"{path} is damaged" in fault
        with caplog.at_level(logging.WARNING):
            assert engine.search(embedding(3)[None], 1)[0][0].id == 4
        assert "the index is made anew" in caplog.text
    assert_sound(folder, expected, None)


def test_a_missing_index_file_is_made_anew(folder: Path) -> None:
    (folder / "index.faiss").unlink()
    assert_sound(folder, {number + 1: number for number in range(40)}, None)
    assert (folder / "index.faiss").exists()


def test_an_index_that_differs_is_noticed(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE embeddings SET embedding = (SELECT embedding FROM embeddings WHERE id = 1) WHERE id = 7"
        )
    with closing(FolderEngine.open(folder)) as engine:
        (fault,) = engine.check()
        assert "does not hold what the catalogue does" in fault
        engine.rebuild("exact")
        assert engine.check() == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE embeddings SET embedding = zeroblob(64) WHERE id = 7", "embedding of entry 7 has not length one"),
        ("UPDATE embeddings SET embedding = x'00' WHERE id = 7", "embedding of entry 7 has not 32 numbers"),
        ("DELETE FROM embeddings WHERE id = 7", "entry 7 has no embedding"),
        ("UPDATE thumbnails SET thumbnail = x'89504e47' WHERE id = 7", "thumbnail of entry 7 is no JPEG"),
        ("DELETE FROM entries WHERE id = 7", "7 belongs to no entry"),
    ],
)
def test_what_is_wrong_in_the_catalogue_is_named(folder: Path, statement: str, words: str) -> None:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection, connection:
        connection.execute(statement)
    with closing(FolderEngine.open(folder)) as engine:
        assert any(words in fault for fault in engine.check())


@pytest.mark.parametrize("damage", [lambda content: b"\xff" * len(content), lambda content: b"", cut])
def test_a_damaged_catalogue_is_told_in_a_sentence(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    path = folder / "catalogue.sqlite"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SamecarError, match=r"catalogue\.sqlite.*backup"):
        FolderEngine.open(folder).check()


def test_a_missing_catalogue_is_told_and_none_is_made(folder: Path) -> None:
    (folder / "catalogue.sqlite").unlink()
    with pytest.raises(SamecarError, match=r"catalogue\.sqlite cannot be used"):
        FolderEngine.open(folder)
    assert not (folder / "catalogue.sqlite").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_damaged_facts_are_told_in_a_sentence(folder: Path, content: str) -> None:
    (folder / "gallery.json").write_text(content)
    with pytest.raises(SamecarError, match=r"gallery\.json"):
        FolderEngine.open(folder)


def test_a_newer_gallery_is_refused(folder: Path) -> None:
    (folder / "gallery.json").write_text(FACTS.model_copy(update={"format": 99}).model_dump_json())
    with pytest.raises(SamecarError, match="form 99, made by a newer samecar"):
        FolderEngine.open(folder)


def test_a_newer_catalogue_is_refused(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(SamecarError, match=f"form {schema.VERSION + 1}, made by a newer samecar"):
        FolderEngine.open(folder)


@pytest.fixture
def older_folder(folder: Path) -> Path:
    """The gallery with a catalogue of the first version, from before there were judgements."""
    make_older(folder, 1)
    return folder


def test_an_older_catalogue_is_brought_up(older_folder: Path) -> None:
    with closing(FolderEngine.open(older_folder)) as engine:
        engine.judge(Judgement("q", 4, True))
        assert engine.judgements() == [Judgement("q", 4, True)]
        assert engine.add([addition(40)]) == [41]
    expected = {number + 1: number for number in range(41)}
    assert_sound(older_folder, expected, None)
    assert len(expected) == 41
    with closing(sqlite3.connect(older_folder / "catalogue.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_a_step_that_fails_leaves_the_older_catalogue(older_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", (*schema.STEPS, ("CREATE TABLE half (id)", "no SQL")))
        with pytest.raises(SamecarError, match="syntax error"):
            FolderEngine.open(older_folder)
    with closing(sqlite3.connect(older_folder / "catalogue.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('half', 'judgements')"
        ).fetchone() == (0,)
    assert_sound(older_folder, {number + 1: number for number in range(40)}, None)


def test_a_second_writer_is_told_who_writes_and_readers_go_on(folder: Path) -> None:
    with process("hold", folder, 60) as started, closing(FolderEngine.open(folder)) as engine:
        number = told(started)["holding"]
        with (
            pytest.raises(SamecarError, match=f"is being written to by process {number}; wait"),
            WriterLock(folder / "writer.lock").held(patience=0.1),
        ):
            pytest.fail("the lock is held by another")
        assert engine.search(embedding(3)[None], 1)[0][0].id == 4
        started.kill()
        started.wait()
        assert engine.add([addition(40)]) == [41]  # the lock of a killed process is free


def test_a_second_writer_waits_its_turn(folder: Path) -> None:
    with process("hold", folder, 1) as started, closing(FolderEngine.open(folder)) as engine:
        told(started)
        assert engine.add([addition(40)]) == [41]


def test_a_busy_gallery_is_closed_without_its_index(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "index.faiss").unlink()
    with process("hold", folder, 60) as started:
        told(started)
        with closing(FolderEngine.open(folder)) as engine:
            engine.search(embedding(3)[None], 1)
    assert caplog.text == ""  # whoever writes saves it
    assert not (folder / "index.faiss").exists()
