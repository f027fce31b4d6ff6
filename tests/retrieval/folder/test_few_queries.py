"""Few queries by FAISS against the search that does without it."""

import numpy as np
import pytest

from samecar.retrieval.folder.few_queries import SPARE, most_similar_of_few
from samecar.retrieval.folder.index import VectorIndex
from samecar.similarity.exact import most_similar

pytestmark = pytest.mark.light


def drawn(rows, size, spread=1.0, seed=0):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal(size) + spread * generator.standard_normal((rows + 3, size))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = np.sort(1 + generator.permutation(3 * rows)[:rows]).astype(np.int64)
    return matrix[:rows].astype(np.float16), ids, matrix[rows:].astype(np.float32)


def index_of(codes, ids):
    index = VectorIndex.fitted("exact", codes, len(codes))
    index.add(ids, codes)
    return index


def unexpected(queries):
    raise AssertionError("the proposals told nothing")


@pytest.mark.parametrize(("rows", "top"), [(1, 1), (50, 7), (50, 50), (3000, 20), (3000, 1)])
@pytest.mark.parametrize("queries", [1, 3])
def test_it_finds_what_is_found_without_it(rows, top, queries):
    codes, ids, asked = drawn(rows, 32)
    index = index_of(codes, ids)
    found = most_similar_of_few(index.faiss_index, codes, ids, asked[:queries], top, None, unexpected)
    for part, expected in zip(found, most_similar(codes, ids, asked[:queries], top), strict=True):
        np.testing.assert_array_equal(part, expected)
        assert part.dtype == expected.dtype


@pytest.mark.parametrize("share", [0.001, 0.2, 0.9])
def test_what_is_not_allowed_is_not_found(share):
    codes, ids, asked = drawn(2000, 16)
    allowed = np.random.default_rng(2).random(ids[-1] + 1) < share
    allowed[ids[0]] = True
    rows = allowed[ids]
    top = min(5, int(rows.sum()))
    index = index_of(codes, ids)
    found = most_similar_of_few(index.faiss_index, codes, ids, asked, top, allowed, unexpected)
    for part, expected in zip(found, most_similar(codes, ids, asked, top, rows), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_more_equal_embeddings_than_proposals_are_left_to_the_other_search():
    codes, ids, asked = drawn(3 * SPARE, 16)
    codes[:] = codes[0]
    seen = []
    index = index_of(codes, ids)
    most_similar_of_few(index.faiss_index, codes, ids, asked[:1], 5, None, seen.append)
    (left,) = seen
    np.testing.assert_array_equal(left, asked[:1])


@pytest.mark.parametrize("spread", [1.0, 1e-5])
def test_an_index_finds_the_same_alone_and_in_a_batch(spread):
    codes, ids, asked = drawn(1500, 64, spread)
    index = index_of(codes, ids)
    batch = index.search(np.concatenate([asked, asked]), 10)
    for number in range(3):
        alone = index.search(asked[number : number + 1], 10)
        np.testing.assert_array_equal(alone[0][0], batch[0][number])
        np.testing.assert_array_equal(alone[1][0], batch[1][number])
    nothing = index.search(asked[:1], 10, np.zeros(ids[-1] + 1, np.bool_))
    assert nothing[0].shape == nothing[1].shape == (1, 0)
