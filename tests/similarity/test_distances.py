"""Distances and nearest rows against plain loops in float64."""

import numpy as np
import pytest

from samecar.errors import SamecarError
from samecar.similarity import products
from samecar.similarity.distances import find_distance, nearest
from samecar.similarity.products import distance_chunks, unit_length

pytestmark = pytest.mark.light

KINDS = ("euclidean", "cosine")


def naive_distance(a, b, kind):
    a, b = [float(x) for x in a], [float(x) for x in b]
    if kind == "euclidean":
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
    lengths = [sum(x * x for x in v) ** 0.5 or 1.0 for v in (a, b)]
    halves = sum((x / lengths[0] - y / lengths[1]) ** 2 for x, y in zip(a, b, strict=True))
    return halves / 2


def whole(queries, gallery, kind, **options):
    """All chunks as one matrix (queries, gallery)."""
    return np.concatenate([squares for _, squares in distance_chunks(queries, gallery, kind, **options)])


@pytest.fixture
def rows():
    generator = np.random.default_rng(5)
    queries = generator.normal(size=(9, 6)).astype(np.float32)
    gallery = generator.normal(size=(31, 6)).astype(np.float32)
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(9, 31), p=[0.2, 0.2, 0.6])
    return queries, gallery, relevance


@pytest.mark.parametrize("kind", KINDS)
def test_distances_equal_a_plain_loop(rows, kind):
    queries, gallery, _ = rows
    squares = whole(queries, gallery, kind)
    distances = squares / 2 if kind == "cosine" else np.sqrt(squares)
    expected = [[naive_distance(query, row, kind) for row in gallery] for query in queries]
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-5)


def test_cosine_is_one_minus_the_cosine_and_euclidean_of_unit_vectors(rows):
    queries, gallery, _ = rows
    cosine = whole(queries, gallery, "cosine")
    units = unit_length(queries), unit_length(gallery)
    np.testing.assert_allclose(cosine / 2, 1 - units[0] @ units[1].T, atol=1e-6)
    np.testing.assert_allclose(cosine, whole(*units, "euclidean"), atol=1e-6)


def test_a_row_of_zeros_has_no_direction_but_a_distance():
    zeros = np.zeros((1, 3), np.float32)
    np.testing.assert_array_equal(unit_length(zeros), zeros)
    assert whole(zeros, np.eye(3, dtype=np.float32), "cosine").tolist() == [[1, 1, 1]]


def test_distances_are_never_negative():
    row = np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32) * 100
    assert (whole(row, np.repeat(row, 40, axis=0), "euclidean") >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [np.float16, np.float32, np.float64])
def test_large_values_of_any_precision_do_not_overflow(kind, precision):
    generator = np.random.default_rng(2)
    queries, gallery = (generator.normal(size=(n, 600)).astype(precision) * precision(100) for n in (3, 20))
    found = nearest(queries, gallery, 20, distance=kind)
    expected = [sorted(naive_distance(query, row, kind) for row in gallery) for query in queries]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-3)


@pytest.mark.parametrize("elements", [1, 40, 31 * 4, 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_do_not_matter(rows, monkeypatch, elements, kind):
    queries, gallery, _ = rows
    before = nearest(queries, gallery, 5, distance=kind)
    monkeypatch.setattr(products, "CHUNK_ELEMENTS", elements)
    after = nearest(queries, gallery, 5, distance=kind)
    np.testing.assert_array_equal(after.indices, before.indices)
    np.testing.assert_allclose(after.distances, before.distances, rtol=1e-4)


def test_a_chunk_holds_no_more_than_allowed(rows, monkeypatch):
    queries, gallery, _ = rows
    monkeypatch.setattr(products, "CHUNK_ELEMENTS", 2 * len(gallery) + 1)
    chunks = [(rows, squares.shape) for rows, squares in distance_chunks(queries, gallery, "euclidean")]
    assert [rows for rows, _ in chunks] == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8), slice(8, 9)]
    assert {shape[1] for _, shape in chunks} == {len(gallery)}


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_equals_a_sorted_list(rows, kind):
    queries, gallery, _ = rows
    found = nearest(queries, gallery, 7, distance=kind)
    for query, indices, distances in zip(queries, *found, strict=True):
        expected = sorted((naive_distance(query, row, kind), place) for place, row in enumerate(gallery))[:7]
        assert indices.tolist() == [place for _, place in expected]
        np.testing.assert_allclose(distances, [distance for distance, _ in expected], rtol=1e-4)


def test_nearest_puts_the_lower_of_equal_rows_first_and_finds_no_more_than_there_are():
    found = nearest(np.zeros((1, 1), np.float32), np.array([[2], [1], [-1], [1]], np.float32), 99)
    assert found.indices.tolist() == [[1, 2, 3, 0]]
    assert found.distances.tolist() == [[1, 1, 1, 2]]
    many = nearest(np.zeros((1, 1), np.float32), np.resize(np.array([[1], [2]], np.float32), (200, 1)), 200)
    assert many.indices.tolist() == [[*range(0, 200, 2), *range(1, 200, 2)]]


def test_nearest_leaves_out_what_is_excluded(rows):
    queries, gallery, relevance = rows
    found = nearest(queries, gallery, len(gallery), excluded=lambda rows: relevance[rows] == 0)
    for relevant, indices, distances in zip(relevance, *found, strict=True):
        allowed = np.isfinite(distances)
        assert set(indices[allowed].tolist()) == set(np.flatnonzero(relevant != 0).tolist())


def test_nothing_is_written_into_the_inputs(rows):
    for array in rows:
        array.setflags(write=False)
    queries, gallery, relevance = rows
    for kind in KINDS:
        nearest(queries, gallery, 3, distance=kind, excluded=lambda rows: relevance[rows] == 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_values_that_are_no_numbers_are_refused_with_their_row(value, side):
    matrices = {"query": np.zeros((4, 2), np.float32), "gallery": np.zeros((4, 2), np.float32)}
    matrices[side][3, 1] = value
    with pytest.raises(SamecarError, match=f"{side} embedding 3 has a NaN or infinite value"):
        nearest(matrices["query"], matrices["gallery"], 1)


def test_embeddings_of_two_models_are_refused():
    with pytest.raises(SamecarError, match=r"8 wide and gallery embeddings 9; embed both with one model"):
        nearest(np.zeros((1, 8), np.float32), np.zeros((1, 9), np.float32), 1)


def test_what_is_no_matrix_is_refused():
    with pytest.raises(SamecarError, match=r"query embeddings have shape \(8,\)"):
        nearest(np.zeros(8, np.float32), np.zeros((1, 8), np.float32), 1)


def test_no_query_has_no_result():
    found = nearest(np.zeros((0, 2), np.float32), np.zeros((3, 2), np.float32), 2)
    assert found.indices.shape == found.distances.shape == (0, 2)


def test_distances_have_names():
    assert [find_distance(name) for name in KINDS] == list(KINDS)
    with pytest.raises(SamecarError, match="unknown distance 'manhattan'; known are euclidean, cosine"):
        find_distance("manhattan")
