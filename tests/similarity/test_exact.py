"""Exact search against brute force in double precision over the same half-precision values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar.similarity import exact
from samecar.similarity.exact import Nearest, most_similar

pytestmark = pytest.mark.light


def brute_force(codes, ids, queries, top, allowed=None):
    rows = np.arange(len(codes))
    if allowed is not None:
        rows = rows[allowed]
    products = (queries.astype(np.float64) @ codes.astype(np.float64).T).astype(np.float32)
    orders = [sorted(rows, key=lambda row: (-line[row], ids[row]))[:top] for line in products]
    count = min(top, len(rows))
    return (
        np.array([[ids[row] for row in order] for order in orders], np.int64).reshape(len(queries), count),
        np.array(
            [[line[row] for row in order] for line, order in zip(products, orders, strict=True)], np.float32
        ).reshape(len(queries), count),
    )


def assert_same(found: Nearest, expected) -> None:
    np.testing.assert_array_equal(found.ids, expected[0])
    np.testing.assert_array_equal(found.similarities, expected[1])
    assert found.ids.dtype == np.int64
    assert found.similarities.dtype == np.float32


def drawn(rows, size, queries, seed=0, spread=1.0):
    """Embeddings of length one around a common centre; ids in no order and with gaps."""
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal(size) + spread * generator.standard_normal((rows + queries, size))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = generator.permutation(3 * rows)[:rows].astype(np.int64)
    return matrix[:rows].astype(np.float16), ids, matrix[rows:].astype(np.float32)


@pytest.mark.parametrize(("rows", "size", "queries", "top"), [(1, 4, 1, 5), (100, 8, 6, 10), (3000, 64, 20, 20)])
@pytest.mark.parametrize("spread", [3.0, 0.05, 1e-4])
def test_the_most_similar_are_those_of_brute_force(rows, size, queries, top, spread):
    codes, ids, asked = drawn(rows, size, queries, spread=spread)

    assert_same(most_similar(codes, ids, asked, top), brute_force(codes, ids, asked, top))


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 255, 256, 257, 512, 1000])
@pytest.mark.parametrize("queries", [1, 3, 4, 9])
def test_borders_of_chunks_hide_nothing(monkeypatch, rows, queries):
    monkeypatch.setattr(exact, "WIDENED_BYTES", 4 * 16 * 40)
    monkeypatch.setattr(exact, "CHUNK_QUERIES", 8)
    monkeypatch.setattr(exact, "PRODUCT_BYTES", 4 * 4 * 128)
    codes, ids, asked = drawn(rows, 16, queries, seed=rows)

    assert_same(most_similar(codes, ids, asked, 7), brute_force(codes, ids, asked, 7))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.29, 0.31, 0.99, 1.0])
def test_filters_come_before_the_ranking(monkeypatch, share):
    monkeypatch.setattr(exact, "PRODUCT_BYTES", 4 * 5 * 128)
    codes, ids, queries = drawn(1500, 32, 5)
    mask = np.random.default_rng(1).random(1500) < share
    expected = brute_force(codes, ids, queries, 10, mask)

    assert_same(most_similar(codes, ids, queries, 10, mask), expected)
    assert_same(most_similar(codes, ids, queries, 10, np.flatnonzero(mask)), expected)


def test_rows_side_by_side_and_all_but_one():
    codes, ids, queries = drawn(500, 16, 4)
    for rows in (np.arange(100, 300), np.delete(np.arange(500), 250)):
        assert_same(most_similar(codes, ids, queries, 10, rows), brute_force(codes, ids, queries, 10, rows))


def test_equal_embeddings_are_in_the_order_of_their_numbers(monkeypatch):
    monkeypatch.setattr(exact, "PRODUCT_BYTES", 64)
    codes, ids, queries = drawn(800, 16, 5)
    codes[100:700] = codes[0]
    queries[1] = codes[0].astype(np.float32)

    for top in (1, 5, 650, 800):
        assert_same(most_similar(codes, ids, queries, top), brute_force(codes, ids, queries, top))


def test_nothing_but_equal_embeddings():
    codes = np.zeros((3000, 8), np.float16)
    codes[:, 0] = 1
    ids = np.arange(3000, 0, -1)
    found = most_similar(codes, ids, np.ones((5, 8), np.float32), 4)

    np.testing.assert_array_equal(found.ids, [[1, 2, 3, 4]] * 5)
    np.testing.assert_array_equal(found.similarities, 1)


def test_a_query_finds_the_same_alone_and_in_a_batch():
    codes, ids, queries = drawn(5000, 48, 40)
    batch = most_similar(codes, ids, queries, 10)

    for number in range(len(queries)):
        alone = most_similar(codes, ids, queries[number : number + 1], 10)
        np.testing.assert_array_equal(alone.ids[0], batch.ids[number])
        np.testing.assert_array_equal(alone.similarities[0], batch.similarities[number])


@pytest.mark.parametrize(("queries", "spread"), [(8, 1e-5), (1, 1e-6)])
def test_products_that_tell_nothing_apart_are_settled_on_the_way(monkeypatch, queries, spread):
    monkeypatch.setattr(exact, "PRODUCT_BYTES", 4 * queries * 512)
    settled = []
    settle = exact._Search._settle
    monkeypatch.setattr(exact._Search, "_settle", lambda search: settled.append(settle(search)))
    codes, ids, asked = drawn(4000, 64, queries, spread=spread)

    assert_same(most_similar(codes, ids, asked, 5), brute_force(codes, ids, asked, 5))
    assert len(settled) > 1


@pytest.mark.parametrize("queries", [0, 1, 5])
@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_stored_nothing_allowed_nothing_asked(rows, queries):
    codes, ids = np.zeros((rows, 4), np.float16), np.arange(rows)
    asked = np.ones((queries, 4), np.float32)

    assert most_similar(codes, ids, asked, 2).ids.shape == (queries, min(2, rows))
    for allowed in (np.zeros(rows, bool), np.empty(0, np.int64)):
        found = most_similar(codes, ids, asked, 2, allowed)
        assert found.ids.shape == found.similarities.shape == (queries, 0)


def test_arguments_stay_as_they_are():
    codes, ids, queries = drawn(300, 8, 5)
    mask = ids % 2 == 0
    before = [array.copy() for array in (codes, ids, queries, mask)]
    most_similar(codes, ids, queries, 3, mask)

    for array, copy in zip((codes, ids, queries, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)


numbers = st.integers(min_value=-8, max_value=8).map(lambda number: number / 32)
"""Few different values, so that many products are equal, and short enough that vectors are no longer than one."""


@settings(max_examples=60)
@given(data=st.data())
def test_any_small_gallery(data):
    rows, size, queries = (data.draw(st.integers(1, most)) for most in (90, 6, 6))
    matrix = np.array(data.draw(st.lists(numbers, min_size=rows * size, max_size=rows * size)))
    codes = matrix.astype(np.float16).reshape(rows, size)
    asked = np.array(data.draw(st.lists(numbers, min_size=queries * size, max_size=queries * size)), np.float32)
    asked = asked.reshape(queries, size)
    ids = np.array(data.draw(st.lists(st.integers(0, 10**12), min_size=rows, max_size=rows, unique=True)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    top = data.draw(st.integers(1, 100))

    assert_same(most_similar(codes, ids, asked, top), brute_force(codes, ids, asked, top))
    assert_same(most_similar(codes, ids, asked, top, mask), brute_force(codes, ids, asked, top, mask))
