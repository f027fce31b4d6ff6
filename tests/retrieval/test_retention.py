"""What is too old is gone from every file of a gallery, and galleries of before are kept by the same rules."""

import re
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from engine_contract import FACTS, JPEG, random_embeddings
from older_catalogues import make_older

from samecar.errors import SamecarError
from samecar.retrieval.folder.catalogue import Catalogue
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.records import Addition, Filter, Judgement, Preview, Sighting, picture_content
from samecar.retrieval.retention import SECONDS_A_DAY, days_ago, remove_older

OLD, NEW = 1000.0, 2000.0


def marked(number: int, seen: float | None) -> Addition:
    """An entry all of whose parts name it, so that a file that holds one of them can be told."""
    mark = f"entry-{number}."
    return Addition(
        Sighting(
            picture_content(mark.encode()), f"{mark}address", f"{mark}camera", seen, labels={"note": f"{mark}label"}
        ),
        random_embeddings(1, seed=number)[0],
        JPEG + f"{mark}thumbnail".encode() + bytes(9000),
        (Preview(JPEG + f"{mark}preview".encode() + bytes(40_000), 1.0),),
        added=seen,
    )


def traces(folder: Path, additions: list[Addition]) -> dict[str, set[str]]:
    """By file, what can be found of each entry in its bytes."""
    found = {}
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        names = {mark.decode() for mark in re.findall(MARK, content)}
        for addition in additions:
            mark = addition.sighting.address.partition(".")[0]
            if addition.embedding.astype("<f2").tobytes() in content:
                names.add(f"{mark}.embedding")
            if addition.sighting.content.encode() in content:
                names.add(f"{mark}.content")
        found[file.name] = names
    return found


MARK = re.compile(rb"entry-\d+\.(?:address|camera|label|thumbnail|preview|query)")

KEPT_IN = {
    "catalogue.sqlite": {"address", "camera", "label", "thumbnail", "preview", "embedding", "content"},
    "index.faiss": {"embedding"},
}
"""What each file keeps of an entry."""

MORE = {"catalogue.sqlite": {"entry-3.query"}, "index.faiss": {"entry-39.content"}}
"""And beside that: of a judgement, and of the last entry."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery with 30 old entries and 10 new ones, and an index file."""
    place = tmp_path / "gallery"
    with closing(FolderEngine.create(place, FACTS.model_copy(update={"preview": 640}))) as engine:
        engine.add([marked(number, OLD if number < 30 else NEW) for number in range(40)])
        engine.judge(Judgement(picture_content(b"a query"), 4, True, JPEG + b"entry-3.query"))
        engine.search(random_embeddings(1), 1)
    return place


def test_nothing_of_what_was_removed_is_in_any_file(folder: Path) -> None:
    additions = [marked(number, OLD) for number in range(40)]
    before = traces(folder, additions)
    for file, parts in KEPT_IN.items():
        expected = {f"entry-{number}.{part}" for number in range(40) for part in parts}
        assert before[file] == expected | MORE[file]
    with closing(FolderEngine.open(folder)) as engine:
        found = remove_older(engine, NEW)
        assert (found.entries, found.remains) == (30, ())
        while_open = traces(folder, additions)
    for seen in (while_open, traces(folder, additions)):
        for file, names in seen.items():
            left = KEPT_IN.get(file, set())
            more = MORE.get(file, set()) - {"entry-3.query"}
            assert names == {f"entry-{number}.{part}" for number in range(30, 40) for part in left} | more, file


def test_full_compacting_takes_away_what_was_not_overwritten(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:  # as versions of before removed
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM entries WHERE id <= 30")
        connection.commit()
    size = (folder / "catalogue.sqlite").stat().st_size
    additions = [marked(number, OLD) for number in range(40)]
    assert "entry-5.preview" in traces(folder, additions)["catalogue.sqlite"]
    with closing(FolderEngine.open(folder)) as engine:
        assert remove_older(engine, NEW).entries == 0
        assert "entry-5.preview" in traces(folder, additions)["catalogue.sqlite"]
        assert remove_older(engine, NEW, full=True).remains == ()
        assert engine.check() == []
    left = {name.partition(".")[0] for names in traces(folder, additions).values() for name in names}
    assert left == {f"entry-{number}" for number in range(30, 40)}
    assert (folder / "catalogue.sqlite").stat().st_size < size / 2


def test_what_a_reader_still_sees_remains_and_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samecar.retrieval.folder.connecting.PATIENCE", 0.1)
    with (
        closing(FolderEngine.open(folder)) as engine,
        closing(sqlite3.connect(folder / "catalogue.sqlite", isolation_level=None)) as reader,
    ):
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (40,)
        (sentence,) = remove_older(engine, NEW).remains
        assert "catalogue.sqlite-wal holds what was removed until those who read now are done" in sentence
        reader.execute("COMMIT")
        assert engine.compact() == []
    additions = [marked(number, OLD) for number in range(40)]
    assert "entry-5.thumbnail" not in traces(folder, additions)["catalogue.sqlite"]


def test_searches_go_on_while_old_entries_are_removed(folder: Path) -> None:
    query = random_embeddings(1, seed=35)
    with closing(FolderEngine.open(folder)) as engine, closing(FolderEngine.open(folder)) as other:
        ended = threading.Event()
        found: list[int] = []

        def search() -> None:
            while not ended.is_set():
                found.append(other.search(query, 1)[0][0].id)

        thread = threading.Thread(target=search)
        thread.start()
        remove_older(engine, NEW)
        ended.set()
        thread.join()
        assert set(found) == {36}


def test_entries_of_a_gallery_of_before_count_as_added_when_it_is_first_opened(folder: Path) -> None:
    with closing(FolderEngine.open(folder)) as engine:
        engine.update(40, lambda before: replace(before, time=None))
    make_older(folder, 2)
    began = time.time()
    with closing(FolderEngine.open(folder)) as engine:
        assert began - 1 <= engine.entries([40])[40].added <= time.time() + 1
        assert engine.check() == []
        assert remove_older(engine, NEW).entries == 30
        assert remove_older(engine, began - 2, dry_run=True).undated == 0
        assert remove_older(engine, time.time() + 1, dry_run=True).undated == 1


def test_a_gallery_of_before_that_cannot_be_written_to_is_read_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(folder, 2)

    def refuse(self: Catalogue, patience: float = 0) -> None:
        raise SamecarError("this disk is only read")

    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "writing", refuse)
        engine = FolderEngine.open(folder)
        query = random_embeddings(1, seed=35)
        assert engine.entries([1])[1].added is None
        assert len(engine.listed(Filter(older=NEW))) == 30
        assert engine.search(query, 1, Filter(older=NEW + 1))[0][0].id == 36
        assert engine.previews(36) == []
        assert engine.check() == []
        with pytest.raises(SamecarError, match="only read"):
            remove_older(engine, NEW)
    (number,) = engine.add([marked(40, NEW)])  # which brings it to the present form
    assert len(engine.previews(number)) == 1
    assert engine.entries([number])[number].added == NEW
    engine.close()


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), 1e9])
def test_days_that_are_none(days: float) -> None:
    with pytest.raises(SamecarError, match=r"days cannot be kept; give a number above 0"):
        days_ago(days)


def test_days_are_counted_from_now() -> None:
    assert days_ago(1.5) == pytest.approx(time.time() - 1.5 * SECONDS_A_DAY, abs=5)
