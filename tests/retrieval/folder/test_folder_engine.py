"""What a gallery in a folder does beyond the contract of engines: its files, its index, how it is opened."""

import errno
import inspect
import json
import logging
import os
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from engine_contract import FACTS, SIZE, assert_nearest, random_additions, random_embeddings, unit

from samecar.errors import SamecarError
from samecar.files import UNFINISHED
from samecar.retrieval.engine import Engine
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.following import measure_recall
from samecar.retrieval.folder.index import KINDS, VectorIndex
from samecar.retrieval.folder.writing import WriterLock
from samecar.retrieval.records import EVERYTHING, Addition, Filter, IndexSettings, Match, Sighting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery of 50 entries whose index file is written."""
    path = tmp_path / "gallery"
    with closing(FolderEngine.create(path, FACTS)) as engine:
        engine.add(random_additions(50))
    return path


def test_its_files(folder: Path) -> None:
    with closing(FolderEngine.open(folder)) as engine:
        engine.attach("model.json", b"{}")
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert names == {"gallery.json", "catalogue.sqlite", "index.faiss", "writer.lock", "model", "model/model.json"}
    assert json.loads((folder / "gallery.json").read_text()) == FACTS.model_dump()


def test_faiss_itself_reads_the_index_file(folder: Path) -> None:
    index = faiss.read_index(str(folder / "index.faiss"))
    _, found = index.search(random_additions(50)[7].embedding[None], 1)
    assert found.tolist() == [[8]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_gallery_is_made_with_any_index(tmp_path: Path, kind: str) -> None:
    facts = FACTS.model_copy(update={"index": IndexSettings(kind=kind)})
    with closing(FolderEngine.create(tmp_path / "gallery", facts)) as engine:
        assert engine.facts.index == IndexSettings(kind=kind)
        engine.add(random_additions(30))
        query = random_embeddings(1, seed=3)
        assert_nearest(engine, query[0], 30, EVERYTHING, engine.search(query, 30)[0])


def test_an_unknown_index_makes_no_gallery(tmp_path: Path) -> None:
    facts = FACTS.model_copy(update={"index": IndexSettings(kind="hnsw")})
    with pytest.raises(SamecarError, match="no index 'hnsw'; known are exact, int8, ivf"):
        FolderEngine.create(tmp_path / "gallery", facts)
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize("content", ["a file", "a full folder"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "gallery"
    if content == "a file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    with pytest.raises(SamecarError, match="exists already"):
        FolderEngine.create(path, FACTS)


def test_no_gallery_is_opened_where_none_is(tmp_path: Path) -> None:
    with pytest.raises(SamecarError, match=r"is no gallery.*samecar gallery create"):
        FolderEngine.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad\udcff"
    for attempt in (lambda: FolderEngine.create(path, FACTS), lambda: FolderEngine.open(path)):
        with pytest.raises(SamecarError, match="is not valid text; give names that UTF-8 can write"):
            attempt()
    assert not path.exists()


@pytest.mark.parametrize("name", ["a?b#c%41 d", "-dash", "two\nlines", "ü[bold]"])
def test_a_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    with closing(FolderEngine.create(tmp_path / name, FACTS)) as engine:
        engine.add(random_additions(3))
    with closing(FolderEngine.open(tmp_path / name)) as engine:
        assert len(engine.search(random_embeddings(1, seed=3), 3)[0]) == 3
        assert engine.check() == []


def test_a_closed_gallery_says_so(folder: Path) -> None:
    engine = FolderEngine.open(folder)
    engine.close()
    with pytest.raises(SamecarError, match="was closed"):
        engine.known(["a"])


@pytest.mark.parametrize("name", ["../gallery.json", "a/b", "", ".", "..", "/etc/passwd", ".hidden"])
def test_attached_files_stay_in_their_folder(folder: Path, name: str) -> None:
    with closing(FolderEngine.open(folder)) as engine:
        with pytest.raises(SamecarError, match="plain file name"):
            engine.attach(name, b"")
        with pytest.raises(SamecarError, match="plain file name"):
            engine.attached(name)


def test_without_faiss_a_sentence_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SamecarError, match=r"needs faiss, .* run `pip install \.`"):
        FolderEngine.open(folder)


class FakeLocks:
    """What Windows offers in msvcrt, as far as galleries use it: locks on single bytes, which end with the file."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        self.locked: dict[tuple[int, int], int] = {}

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        assert count == 1
        byte = os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR)
        if mode == self.LK_UNLCK:
            assert self.locked.pop(byte) == descriptor
        elif byte in self.locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        else:
            self.locked[byte] = descriptor


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeLocks:
    """Lets the lock and the folder's safety believe that this is Windows, which has no fcntl and opens no folders."""
    locks = FakeLocks()
    for module in ("samecar.retrieval.folder.writing", "samecar.files"):
        monkeypatch.setattr(f"{module}.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setitem(sys.modules, "msvcrt", locks)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    return locks


def test_on_windows_one_writer_at_a_time_holds_a_byte_that_nobody_reads(windows: FakeLocks, tmp_path: Path) -> None:
    with WriterLock(tmp_path / "writer.lock").held():
        ((_, byte),) = windows.locked
        assert byte > (tmp_path / "writer.lock").stat().st_size
        with (
            pytest.raises(SamecarError, match=f"is being written to by process {os.getpid()}; wait"),
            WriterLock(tmp_path / "writer.lock").held(patience=0.05),
        ):
            pass
    assert not windows.locked
    with WriterLock(tmp_path / "writer.lock").held(patience=0):
        assert windows.locked


def test_a_gallery_is_kept_without_what_windows_lacks(windows: FakeLocks, tmp_path: Path) -> None:
    additions = random_additions(5)
    with closing(FolderEngine.create(tmp_path / "gallery", FACTS)) as engine:
        ids = engine.add(additions)
    with closing(FolderEngine.open(tmp_path / "gallery")) as engine:
        assert [entry.sighting for entry in engine.listed()] == [addition.sighting for addition in additions]
        assert engine.search(additions[0].embedding[None], 1)[0][0].id == ids[0]
    assert not windows.locked


def test_the_lock_is_imported_wherever_there_is_no_fcntl() -> None:
    program = "import sys; sys.modules['fcntl'] = None; import samecar.retrieval.folder.engine"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_methods_are_described_by_the_contract() -> None:
    for name in (name for name in vars(Engine) if not name.startswith("_")):
        assert inspect.getdoc(getattr(FolderEngine, name)) == inspect.getdoc(getattr(Engine, name))


@pytest.mark.parametrize("portion", [7, 8192])
def test_recall_counts_what_is_as_near_as_the_nearest(tmp_path: Path, portion: int) -> None:
    """Of a search that loses every third entry, compared with similarities worked out one by one."""
    matrix = unit(np.random.default_rng(3).standard_normal((60, SIZE)))
    with closing(FolderEngine.create(tmp_path / "gallery", FACTS)) as engine:
        engine.add([Addition(Sighting(f"{row:064d}"), embedding) for row, embedding in enumerate(matrix)])
        stored = engine.embeddings(range(1, 61)).astype(np.float64)
        catalogue = engine._catalogue

        def search(queries: np.ndarray, top: int) -> list[list[Match]]:
            products = stored @ queries.astype(np.float64).T
            kept = [[Match(row + 1, products[row, query]) for row in range(60) if row % 3] for query in range(60)]
            return [sorted(row, key=lambda match: -match.similarity)[:top] for row in kept]

        catalogue.added = partial(catalogue.added, rows=portion)
        measured = catalogue.read(lambda connection: measure_recall(catalogue, connection, "ivf", search))
    found = 0
    for query in range(60):
        others = sorted((row for row in range(60) if row != query), key=lambda row: -(stored[row] @ stored[query]))
        found += sum(row % 3 > 0 for row in others[:10])
    assert measured == IndexSettings(kind="ivf", recall=found / 600, measured_on=60, pictures=60)


def test_adding_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from engine_contract import FACTS, random_additions;"
        "from samecar.retrieval.folder.engine import FolderEngine;"
        f"FolderEngine.create(Path({str(tmp_path / 'gallery')!r}), FACTS).add(random_additions(3));"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert printed.stdout == "False\n"


def test_similarity_is_that_of_the_stored_embedding(folder: Path) -> None:
    query = random_embeddings(1, seed=8)
    with closing(FolderEngine.open(folder)) as engine:
        for kind in KINDS:
            engine.rebuild(kind)
            found = engine.search(query, 50)[0]
            exact = engine.embeddings([match.id for match in found]).astype(np.float64) @ query[0].astype(np.float64)
            np.testing.assert_allclose([match.similarity for match in found], exact, atol=1e-7)


def test_the_index_file_is_only_written_when_it_misses_much(folder: Path) -> None:
    def written() -> int:
        return (folder / "index.faiss").stat().st_mtime_ns

    before = written()
    with closing(FolderEngine.open(folder)) as engine:
        engine.search(random_embeddings(1), 3)
        engine.add(random_additions(2, seed=1))
    assert written() == before
    with closing(FolderEngine.open(folder)) as engine:
        assert engine.search(random_additions(2, seed=1)[0].embedding[None], 1)[0][0].id == 51
        assert engine.check() == []
    with closing(FolderEngine.open(folder)) as engine:
        engine.remove(range(1, 21))
    assert written() > before


def test_an_index_file_is_followed_by_additions_and_removals(folder: Path) -> None:
    saved = (folder / "index.faiss").read_bytes()
    additions = random_additions(40, seed=2)
    with closing(FolderEngine.open(folder)) as engine:
        ids = engine.add(additions)
        engine.remove([1, 2, 50, ids[0], ids[-1]])
    (folder / "index.faiss").write_bytes(saved)
    with closing(FolderEngine.open(folder)) as engine:
        query = random_embeddings(1, seed=5)
        assert_nearest(engine, query[0], 100, EVERYTHING, engine.search(query, 100)[0])
        assert engine.check() == []


def test_an_index_file_of_another_state_of_the_catalogue_is_not_believed(folder: Path) -> None:
    """A catalogue is put back to what it was, and as much added as the index file knows of."""
    before = (folder / "catalogue.sqlite").read_bytes()
    with closing(FolderEngine.open(folder)) as engine:
        engine.add(random_additions(10, seed=1))
    (folder / "catalogue.sqlite").write_bytes(before)
    added = random_additions(12, seed=2)
    with closing(FolderEngine.open(folder)) as engine:
        ids = engine.add(added)
        for number, addition in zip(ids, added, strict=True):
            assert engine.search(addition.embedding[None], 1)[0][0].id == number
    with closing(FolderEngine.open(folder)) as engine:
        assert engine.check() == []


def test_an_index_file_that_is_replaced_while_it_is_read_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process adds and closes between the checksum and the reading."""
    read_index, times = faiss.read_index, []

    def replaced_before(path: str) -> faiss.Index:
        times.append(path)
        if len(times) == 1:
            with closing(FolderEngine.open(folder)) as other:
                other.add(random_additions(10, seed=1))
        return read_index(path)

    monkeypatch.setattr(faiss, "read_index", replaced_before)
    with closing(FolderEngine.open(folder)) as engine:
        ids = [match.id for match in engine.search(random_embeddings(1), 100)[0]]
        assert len(set(ids)) == len(ids) >= 50
        assert len(engine.search(random_embeddings(1), 100)[0]) == 60
    assert len(times) >= 2


def test_another_handle_takes_up_a_rebuilt_index(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(FolderEngine.open(folder)) as engine, closing(FolderEngine.open(folder)) as other:
        other.search(random_embeddings(1), 1)
        with caplog.at_level(logging.WARNING):
            settings = engine.rebuild("int8")
            assert other.facts.index == settings
            assert len(other.search(random_embeddings(1), 50)[0]) == 50
        assert caplog.records == []


@pytest.mark.parametrize("kind", ["int8", "ivf"])
def test_recall_is_what_brute_force_says(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((40, 32))
    matrix = unit(centres[random.integers(0, 40, 1500)] + 0.5 * random.standard_normal((1500, 32)))
    with closing(FolderEngine.create(tmp_path / "gallery", FACTS.model_copy(update={"size": 32}))) as engine:
        engine.add([Addition(Sighting(f"{row:064d}"), embedding) for row, embedding in enumerate(matrix)])
        settings = engine.rebuild(kind)
        ids = range(1, 1501)
        stored = engine.embeddings(ids)
        similarities = stored @ stored.T
        np.fill_diagonal(similarities, -np.inf)
        nearest = np.argsort(-similarities, axis=1)[:, :10] + 1
        found = engine.search(stored, 11)
    hits = [
        len(set(row) & {match.id for match in matches}) for row, matches in zip(nearest.tolist(), found, strict=True)
    ]
    assert settings.measured_on == 500
    assert settings.recall == pytest.approx(np.mean(hits) / 10, abs=0.03)
    assert settings.recall > 0.9


def test_filtered_search_in_lists_finds_as_many_as_there_are(tmp_path: Path) -> None:
    """Also those in lists that a search without a filter would not look into."""
    additions = random_additions(2000)
    with closing(FolderEngine.create(tmp_path / "gallery", FACTS)) as engine:
        ids = engine.add(additions)
        assert engine.rebuild("ivf").recall < 1
        for allowed in (Filter(cameras=("north",), after=48), Filter(not_ids=tuple(ids[5:]))):
            expected = sum(map(allowed.allows, engine.listed(limit=3000)))
            assert expected > 0
            assert len(engine.search(random_embeddings(1), 500, allowed)[0]) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_found_by_number(kind: str) -> None:
    matrix = random_embeddings(300).astype(np.float16)
    ids = np.arange(10, 310)
    index = VectorIndex.fitted(kind, matrix, 300)
    assert len(index) == 0
    assert index.ids.tolist() == []
    index.add(ids[:200], matrix[:200])
    index.add(ids[200:], matrix[200:])
    index.remove(np.array([12, 300, 9999]))
    kept = np.delete(ids, [2, 290])
    assert sorted(index.ids.tolist()) == kept.tolist()
    found, similarities = index.search(matrix[kept - 10].astype(np.float32), 1)
    assert found[:, 0].tolist() == kept.tolist()
    np.testing.assert_allclose(similarities, 1, atol=0.02)
    if kind == "exact":
        np.testing.assert_array_equal(index.codes, matrix[kept - 10])
        assert index.codes.base is not None  # a view, not a copy


def test_embeddings_lie_in_half_precision(folder: Path) -> None:
    """Files take little more than two bytes for each number."""
    with closing(FolderEngine.open(folder)) as engine:
        engine.add(random_additions(5000, seed=9))
    assert (folder / "index.faiss").stat().st_size < 5050 * (2 * SIZE + 8) + 2000


def test_an_empty_folder_becomes_a_gallery(tmp_path: Path) -> None:
    with closing(FolderEngine.create(tmp_path, FACTS)) as engine:
        assert engine.facts == FACTS


def test_what_a_killed_process_was_writing_is_removed(folder: Path) -> None:
    unfinished = folder / f"{UNFINISHED}abc"
    unfinished.mkdir()
    (unfinished / "index.faiss").write_bytes(b"half an index")
    with closing(FolderEngine.open(folder)) as engine:
        engine.rebuild("exact")
    assert not unfinished.exists()
