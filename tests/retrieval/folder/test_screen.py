"""Screened search against brute force in double precision, and what is known of the estimates against their errors."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from engine_contract import FACTS, EngineContract, assert_nearest, random_additions, random_embeddings, unit
from test_engine_contract import Folder

from samecar.retrieval.folder import index as index_module
from samecar.retrieval.folder import screen as screen_module
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.index import VectorIndex
from samecar.retrieval.folder.screen import Screen, screened_most_similar
from samecar.retrieval.folder.snapshot import read_description
from samecar.retrieval.records import EVERYTHING, Filter

PICTURES_OF_A_VEHICLE = 10


def vehicles(rows: int, size: int, *, decay: float = 0, seed: int = 0) -> np.ndarray:
    """Pictures of vehicles, one after the other; the larger `decay`, the fewer numbers tell them apart."""
    random = np.random.default_rng(seed)
    spread = np.exp(-decay * np.arange(size) / size)
    centres = random.standard_normal((-(-rows // PICTURES_OF_A_VEHICLE), size)) * spread
    noise = 0.6 * random.standard_normal((rows, size)) * spread
    return unit(np.repeat(centres, PICTURES_OF_A_VEHICLE, axis=0)[:rows] + noise)


def further_pictures(matrix: np.ndarray, queries: int) -> np.ndarray:
    random = np.random.default_rng(7)
    shown = matrix[random.choice(len(matrix), queries, replace=False)]
    return unit(shown + 0.3 * unit(random.standard_normal(shown.shape)))


def brute_force(codes, ids, queries, top, allowed=None) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(codes)) if allowed is None else np.flatnonzero(allowed)
    products = (queries.astype(np.float64) @ codes[rows].astype(np.float64).T).astype(np.float32)
    orders = np.array([np.lexsort((ids[rows], -line))[:top] for line in products])
    return ids[rows][orders], np.take_along_axis(products, orders, axis=1)


def assert_same(found, expected) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.fixture
def left(monkeypatch) -> list[int]:
    """How many queries were left to the search that looks at all, in each call of it."""
    calls = []
    looked = screen_module.most_similar

    def watched(codes, ids, queries, top, allowed=None):
        if allowed is None or allowed.dtype == bool:  # else these are one query's candidates
            calls.append(len(queries))
        return looked(codes, ids, queries, top, allowed)

    monkeypatch.setattr(screen_module, "most_similar", watched)
    return calls


def screened(matrix: np.ndarray) -> tuple[Screen, np.ndarray, np.ndarray]:
    codes = matrix.astype(np.float16)
    screen = Screen.empty(codes.shape[1])
    screen.follow(codes)
    return screen, codes, np.random.default_rng(2).permutation(3 * len(codes))[: len(codes)]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "few"), [(128, 400), (130, 5), (512, 400), (1100, 400)])
@pytest.mark.parametrize("queries", [1, 300])
def test_vehicles_of_the_gallery_are_settled_by_their_candidates(monkeypatch, left, size, few, queries):
    monkeypatch.setattr(screen_module, "FEW_CANDIDATES", few)
    matrix = vehicles(10_000, size)
    screen, codes, ids = screened(matrix)
    asked = further_pictures(matrix, queries)

    assert_same(screened_most_similar(screen, codes, ids, asked, 5), brute_force(codes, ids, asked, 5))
    assert sum(left) <= 0.05 * queries


@pytest.mark.parametrize("decay", [0, 20, 100])
def test_strangers_are_found_what_is_nearest_to_them(left, decay):
    matrix = vehicles(12_000, 256, decay=decay)
    screen, codes, ids = screened(matrix[:10_000])
    asked = matrix[10_000::10]

    assert_same(screened_most_similar(screen, codes, ids, asked, 10), brute_force(codes, ids, asked, 10))
    assert decay or left == [200]  # nothing stands out, as the first of them tell


def test_a_few_open_queries_do_not_keep_the_others(left):
    matrix = vehicles(10_000, 256)
    screen, codes, ids = screened(matrix)
    asked = further_pictures(matrix, 300)
    asked[3::4] = random_embeddings(75, 256, seed=9)

    assert_same(screened_most_similar(screen, codes, ids, asked, 5), brute_force(codes, ids, asked, 5))
    assert left == [75]


@pytest.mark.parametrize("share", [0.31, 0.6, 0.99])
def test_filters_come_before_the_ranking(left, share):
    matrix = vehicles(10_000, 256)
    screen, codes, ids = screened(matrix)
    asked = further_pictures(matrix, 100)
    allowed = np.random.default_rng(1).random(len(codes)) < share

    found = screened_most_similar(screen, codes, ids, asked, 5, allowed)
    assert_same(found, brute_force(codes, ids, asked, 5, allowed))
    assert sum(left) < 100


def test_nothing_allowed_and_nothing_asked():
    screen, codes, ids = screened(vehicles(10_000, 128))
    asked = codes[:3].astype(np.float32)

    assert screened_most_similar(screen, codes, ids, asked, 5, np.zeros(len(codes), bool)).ids.shape == (3, 0)
    assert screened_most_similar(screen, codes, ids, asked[:0], 5).ids.shape == (0, 5)


@pytest.mark.parametrize("top", [1, 25, 26, 9_999, 20_000])
def test_any_number_is_found(top):
    screen, codes, ids = screened(vehicles(10_000, 128))
    asked = further_pictures(codes.astype(np.float32), 4)

    assert_same(screened_most_similar(screen, codes, ids, asked, top), brute_force(codes, ids, asked, top))


def test_equal_embeddings_are_in_the_order_of_their_numbers(left):
    matrix = vehicles(10_000, 128)
    matrix[1000:1040] = matrix[0]  # fewer than candidates
    matrix[3000:5000] = matrix[1]  # more
    screen, codes, ids = screened(matrix)
    asked = matrix[:2]

    assert_same(screened_most_similar(screen, codes, ids, asked, 8), brute_force(codes, ids, asked, 8))
    assert left == [1]


def points_of(screen: Screen, matrix: np.ndarray) -> np.ndarray:
    """The points by which embeddings are replaced, rotated back."""
    rotated = screen._rotation.apply(matrix)
    return screen._rotation.reverse_transform(screen._blocks.sa_decode(screen._blocks.sa_encode(rotated)))


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 160])
@pytest.mark.parametrize("kind", ["drawn", "one number", "few numbers", "all of one sign"])
@pytest.mark.parametrize("similarity", [0.0, 0.5, 0.9])
def test_errors_have_the_stated_size_whatever_the_embeddings_are(size, kind, similarity):
    random = np.random.default_rng(4)
    matrix = random.standard_normal((20_000, size))
    if kind == "one number":
        matrix = np.repeat(np.vstack([np.eye(size), -np.eye(size)]), -(-20_000 // (2 * size)), axis=0)
    elif kind == "few numbers":
        matrix[:, 7:] = 0
    elif kind == "all of one sign":
        matrix = np.abs(matrix)
    matrix = unit(matrix)
    aside = random.standard_normal(matrix.shape)
    aside = unit(aside - np.vecdot(aside, matrix)[:, None] * matrix)
    queries = unit(similarity * matrix + np.sqrt(1 - similarity**2) * aside)
    screen = Screen.empty(size)

    products = np.vecdot(points_of(screen, matrix), queries)
    allowed = (screen._share * similarity - screen.least(np.float32([similarity]))[0]) / screen_module.CERTAINTY
    errors = (products - screen._share * similarity) / allowed
    assert abs(errors.mean()) < 0.5
    assert errors.std() < 1.3
    assert (errors < -3).mean() < 0.01
    assert errors.min() > -screen_module.CERTAINTY


@pytest.mark.parametrize("size", [128, 512, 2048])
def test_rounding_is_no_more_than_stated(size):
    """FAISS adds up whole numbers of 16 bits, also of queries that are stored, whose sums are the largest."""
    matrix = vehicles(160, size)
    screen, _, _ = screened(matrix)
    queries = np.vstack([matrix[:50], random_embeddings(50, size, seed=9)])

    rows, values, rounding = screen.estimates(queries, 160)
    points = screen._rotation.reverse_transform(screen._blocks.reconstruct_n(0, len(screen)))
    expected = np.take_along_axis(queries @ points.T, rows, axis=1)
    assert (np.abs(values - expected) <= rounding[:, None] + 1e-6).all()
    assert rounding.max() < 0.02


def test_least_estimates_rise_with_the_similarity():
    screen = Screen.empty(128)
    least = screen.least(np.linspace(-1, 1, 400, dtype=np.float32))

    assert (np.diff(least) > 0).all()


def test_embeddings_are_removed_and_others_follow():
    matrix = vehicles(10_000, 128)
    screen, codes, _ = screened(matrix[:9_000])
    gone = np.array([0, 31, 32, 4_500, 8_999])
    screen.remove(gone)
    assert len(screen) % 32 == 0
    kept = np.vstack([np.delete(codes, gone, axis=0), matrix[9_000:].astype(np.float16)])
    screen.follow(kept)

    rows, values, rounding = screen.estimates(matrix[::100], 200)
    points = points_of(screen, kept.astype(np.float32))
    expected = np.take_along_axis(matrix[::100] @ points.T, rows, axis=1)
    border = 0.03  # a block that is as near to two points may be replaced by either
    assert (np.abs(values - expected) <= rounding[:, None] + border).all()
    assert rows.max() > 9_000
    assert len(screen) == len(kept)


class TestIndex:
    """An exact index of many embeddings keeps a screen."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(index_module, "SCREENED_FROM", 200)
        monkeypatch.setattr(index_module, "SCREENED_SIZE", 16)
        monkeypatch.setattr(screen_module, "ROWS_PER_CANDIDATE", 10)
        monkeypatch.setattr(screen_module, "ROWS_PER_CANDIDATE_OF_MANY", 20)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A gallery of 400 entries whose index file is written."""
        path = tmp_path / "gallery"
        with closing(FolderEngine.create(path, FACTS)) as engine:
            engine.add(random_additions(400))
        return path

    def test_from_enough_embeddings_on(self):
        matrix = random_embeddings(300).astype(np.float16)
        index = VectorIndex.fitted("exact", matrix, 300)
        index.add(np.arange(199), matrix[:199])
        assert index.screen is None
        index.add(np.arange(199, 250), matrix[199:250])
        assert index.screen is not None
        assert len(index.screen) == 250
        index.remove(np.array([5, 7, 100_000]))
        index.add(np.arange(250, 300), matrix[250:])
        assert len(index.screen) == len(index) == 298

    @pytest.mark.parametrize("kind", ["int8", "ivf"])
    def test_of_no_other_kind(self, kind):
        matrix = random_embeddings(300).astype(np.float16)
        index = VectorIndex.fitted(kind, matrix, 300)
        index.add(np.arange(300), matrix)
        assert index.screen is None

    def test_small_embeddings_are_looked_at_as_they_are(self):
        matrix = random_embeddings(300, 15).astype(np.float16)
        index = VectorIndex.fitted("exact", matrix, 300)
        index.add(np.arange(300), matrix)
        assert index.screen is None

    def test_it_lies_in_the_index_file(self, folder, monkeypatch):
        def add_nothing(screen, codes):
            assert len(screen) == len(codes)

        assert read_description(folder / "index.faiss").screened
        monkeypatch.setattr(Screen, "follow", add_nothing)
        with closing(FolderEngine.open(folder)) as engine:
            for query in random_embeddings(5, seed=3):
                assert_nearest(engine, query, 4, EVERYTHING, engine.search(query[None], 4)[0])
            assert engine.check() == []

    def test_a_file_without_it_is_completed(self, folder, monkeypatch):
        monkeypatch.setattr(index_module, "SCREENED_FROM", 1000)
        with closing(FolderEngine.open(folder)) as engine:
            engine.rebuild("exact")
        assert not read_description(folder / "index.faiss").screened
        monkeypatch.setattr(index_module, "SCREENED_FROM", 200)
        with closing(FolderEngine.open(folder)) as engine:
            query = random_embeddings(1, seed=4)
            assert_nearest(engine, query[0], 4, EVERYTHING, engine.search(query, 4)[0])
        assert read_description(folder / "index.faiss").screened

    def test_it_follows_what_the_file_misses(self, folder):
        saved = (folder / "index.faiss").read_bytes()
        with closing(FolderEngine.open(folder)) as engine:
            engine.add(random_additions(30, seed=2))
            engine.remove([1, 2, 400, 401])
        (folder / "index.faiss").write_bytes(saved)
        with closing(FolderEngine.open(folder)) as engine:
            for allowed in (EVERYTHING, Filter(not_cameras=("north",)), Filter(cameras=("south",))):
                query = random_embeddings(1, seed=5)
                assert_nearest(engine, query[0], 5, allowed, engine.search(query, 5, allowed)[0])
            assert engine.check() == []

    @pytest.mark.parametrize("share", [0.2, 0.93, 0.99])
    def test_a_damaged_file_is_made_anew(self, folder, share):
        content = bytearray((folder / "index.faiss").read_bytes())
        content[int(share * (len(content) - 600))] ^= 0xFF
        (folder / "index.faiss").write_bytes(content)
        with closing(FolderEngine.open(folder)) as engine:
            assert "is damaged" in engine.check()[0]
            query = random_embeddings(1, seed=6)
            assert_nearest(engine, query[0], 4, EVERYTHING, engine.search(query, 4)[0])
        with closing(FolderEngine.open(folder)) as engine:
            assert engine.check() == []


class TestScreenedFolder(EngineContract):
    """All that a gallery must do, with a screen from the first entry on, however little it tells of so few numbers."""

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch) -> Folder:
        monkeypatch.setattr(index_module, "SCREENED_FROM", 1)
        monkeypatch.setattr(index_module, "SCREENED_SIZE", 1)
        monkeypatch.setattr(screen_module, "ROWS_PER_CANDIDATE", 1)
        monkeypatch.setattr(screen_module, "ROWS_PER_CANDIDATE_OF_MANY", 1)
        monkeypatch.setattr(screen_module, "FEW_CANDIDATES", 5)
        return Folder(tmp_path / "gallery")
