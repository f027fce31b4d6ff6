"""Distances, nearest rows and ranks of matches against plain loops in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar import ranking
from samecar.errors import SamecarError
from samecar.ranking import distance_chunks, find_distance, match_ranks, nearest, unit_length

KINDS = ("euclidean", "cosine")


def naive_distance(a, b, kind):
    a, b = [float(x) for x in a], [float(x) for x in b]
    if kind == "euclidean":
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
    lengths = [sum(x * x for x in v) ** 0.5 or 1.0 for v in (a, b)]
    halves = sum((x / lengths[0] - y / lengths[1]) ** 2 for x, y in zip(a, b, strict=True))
    return halves / 2


def naive_ranks(query, gallery, relevance, kind="euclidean"):
    """Sort the whole gallery without junk, among equals the wrong pictures first; note where the matches are."""
    listed = sorted(
        (naive_distance(query, row, kind), relevant == 1)
        for row, relevant in zip(gallery, relevance, strict=True)
        if relevant != 0
    )
    return [rank for rank, (_, match) in enumerate(listed, start=1) if match]


def whole(queries, gallery, kind, **options):
    """All chunks as one matrix (queries, gallery)."""
    return np.concatenate([squares for _, squares in distance_chunks(queries, gallery, kind, **options)])


def of_rows(relevance):
    return lambda rows: relevance[rows]


@pytest.fixture
def rows():
    generator = np.random.default_rng(5)
    queries = generator.normal(size=(9, 6)).astype(np.float32)
    gallery = generator.normal(size=(31, 6)).astype(np.float32)
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(9, 31), p=[0.2, 0.2, 0.6])
    return queries, gallery, relevance


@pytest.mark.parametrize("exact_ties", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_distances_equal_a_plain_loop(rows, kind, exact_ties):
    queries, gallery, _ = rows
    squares = whole(queries, gallery, kind, exact_ties=exact_ties)
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


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_equal_a_sorted_list(rows, kind):
    queries, gallery, relevance = rows
    found = match_ranks(queries, gallery, of_rows(relevance), distance=kind)
    expected = [naive_ranks(*of, kind) for of in zip(queries, [gallery] * 9, relevance, strict=True)]
    assert [ranks.tolist() for ranks in found] == expected


def test_ranks_of_a_worked_example():
    # One query at 0, gallery at 1 to 6, so the order is that of the columns.
    #   place       1      2     3      4      5     6
    #   relevance   other  junk  match  other  junk  match
    # Without junk: other 1, match 2, other 3, match 4.
    gallery = np.array([[1], [2], [3], [4], [5], [6]], np.float32)
    relevance = np.array([[-1, 0, 1, -1, 0, 1]], np.int8)
    (ranks,) = match_ranks(np.zeros((1, 1), np.float32), gallery, of_rows(relevance))
    assert ranks.tolist() == [2, 4]


def test_a_query_without_a_match_has_no_ranks():
    relevance = np.array([[-1, 0], [1, -1]], np.int8)
    ranks = match_ranks(np.zeros((2, 1), np.float32), np.array([[1], [2]], np.float32), of_rows(relevance))
    assert [query.tolist() for query in ranks] == [[], [1]]


def test_ties_go_against_the_model():
    # Distances 1 1 1 2 2; matches in places 1 and 4: two wrong ones are as near as the first, one as the second.
    gallery = np.array([[1], [-1], [1], [2], [-2]], np.float32)
    relevance = np.array([[1, -1, -1, 1, -1]], np.int8)
    (ranks,) = match_ranks(np.zeros((1, 1), np.float32), gallery, of_rows(relevance))
    assert ranks.tolist() == [3, 5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [7, 64, 100, 576])
def test_a_collapsed_model_is_ranked_last_wherever_its_matches_stand(width, kind):
    """Equal rows must have equal distances, though a matrix product rounds its edges differently."""
    generator = np.random.default_rng(width)
    row = generator.normal(size=(1, width)).astype(np.float32)
    queries = np.concatenate([row, 10 * generator.normal(size=(4, width)).astype(np.float32)])
    relevance = np.full((5, 203), -1, np.int8)
    for query, place in enumerate((0, 7, 101, 198, 202)):
        relevance[query, place] = 1
    ranks = match_ranks(queries, np.repeat(row, 203, axis=0), of_rows(relevance), distance=kind)
    assert [query.tolist() for query in ranks] == [[203]] * 5


cells = st.integers(-3, 3)


@st.composite
def problems(draw):
    width, queries, gallery = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 12))
    matrix = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=gallery, max_size=gallery))
    asked = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=queries, max_size=queries))
    some = st.lists(st.sampled_from([1, 0, -1]), min_size=gallery, max_size=gallery)
    relevance = draw(st.lists(some, min_size=queries, max_size=queries))
    order = draw(st.permutations(range(gallery)))
    return np.array(asked, np.float32), np.array(matrix, np.float32), np.array(relevance, np.int8), list(order)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_ranks_with_many_ties_equal_a_sorted_list_and_ignore_the_gallery_order(problem):
    queries, gallery, relevance, order = problem
    found = [ranks.tolist() for ranks in match_ranks(queries, gallery, of_rows(relevance))]
    assert found == [naive_ranks(query, gallery, row) for query, row in zip(queries, relevance, strict=True)]
    moved = match_ranks(queries, gallery[order], of_rows(relevance[:, order]))
    assert [ranks.tolist() for ranks in moved] == found


@pytest.mark.parametrize("elements", [1, 40, 31 * 4, 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_do_not_matter(rows, monkeypatch, elements, kind):
    queries, gallery, relevance = rows
    before = match_ranks(queries, gallery, of_rows(relevance), distance=kind), nearest(queries, gallery, 5)
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", elements)
    after = match_ranks(queries, gallery, of_rows(relevance), distance=kind), nearest(queries, gallery, 5)
    assert [ranks.tolist() for ranks in after[0]] == [ranks.tolist() for ranks in before[0]]
    np.testing.assert_array_equal(after[1].indices, before[1].indices)
    np.testing.assert_allclose(after[1].distances, before[1].distances, rtol=1e-5)


def test_a_chunk_holds_no_more_than_allowed(rows, monkeypatch):
    queries, gallery, _ = rows
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", 2 * len(gallery) + 1)
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
        match_ranks(queries, gallery, of_rows(relevance), distance=kind)
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
    assert match_ranks(np.zeros((0, 2)), np.zeros((3, 2)), lambda rows: np.zeros((0, 3), np.int8)) == []


def test_distances_have_names():
    assert [find_distance(name) for name in KINDS] == list(KINDS)
    with pytest.raises(SamecarError, match="unknown distance 'manhattan'; known are euclidean, cosine"):
        find_distance("manhattan")
