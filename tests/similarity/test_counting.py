"""Ranks of matches against plain loops in float64: exact, however the counting is done."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.similarity import counting
from samecar.similarity.counting import Work, count_in_distances, count_matches

KINDS = ("euclidean", "cosine")


def naive_distance(a, b, kind):
    a, b = [float(x) for x in a], [float(x) for x in b]
    if kind == "cosine":
        a, b = ([x / (sum(y * y for y in v) ** 0.5 or 1.0) for x in v] for v in (a, b))
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def as_lists(relevance):
    """What `count_matches` asks for, from a matrix (queries, gallery) of 1 match, 0 junk, -1 other."""
    return lambda query: (np.flatnonzero(relevance[query] == 1), np.flatnonzero(relevance[query] == 0))


def by_query(matches):
    """The ranks of each query's matches; empty where it has none."""
    return np.split(matches.ranks, matches.starts[1:-1]) if len(matches.starts) > 1 else []


def ranks_of(*sides, **options):
    return by_query(count_matches(*sides, **options))


@pytest.fixture
def rows():
    generator = np.random.default_rng(5)
    queries = generator.normal(size=(9, 6)).astype(np.float32)
    gallery = generator.normal(size=(31, 6)).astype(np.float32)
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(9, 31), p=[0.2, 0.2, 0.6])
    return queries, gallery, relevance


def fast_ranks(queries, gallery, relevance):
    """Brute force in float64 by direct differences, ties against the model."""
    result = []
    for query, relevant in zip(queries.astype(np.float64), relevance, strict=True):
        squares = np.array([np.sum((row - query) ** 2) for row in gallery.astype(np.float64)])
        near, others = np.sort(squares[relevant == 1]), squares[relevant == -1]
        result.append([place + int((others <= one).sum()) for place, one in enumerate(near, start=1)])
    return result


def near_ties(seed, width, queries=12, gallery=400, spread=1e-7):
    """Embeddings on shells around each query, so close to each other that float32 cannot tell them apart."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(queries, width)) + 3
    directions = generator.normal(size=(gallery, width))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = 1 + spread * generator.normal(size=(gallery, 1))
    shells = centres[generator.integers(queries, size=gallery)] + radii * directions
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(queries, gallery), p=[0.1, 0.1, 0.8])
    return centres.astype(np.float32), shells.astype(np.float32), relevance


def naive_ranks(query, gallery, relevance, kind="euclidean"):
    """Sort the whole gallery without junk, among equals the wrong pictures first; note where the matches are."""
    listed = sorted(
        (naive_distance(query, row, kind), relevant == 1)
        for row, relevant in zip(gallery, relevance, strict=True)
        if relevant != 0
    )
    return [rank for rank, (_, match) in enumerate(listed, start=1) if match]


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_equal_a_sorted_list(rows, kind):
    queries, gallery, relevance = rows
    found = ranks_of(queries, gallery, as_lists(relevance), distance=kind)
    expected = [naive_ranks(*of, kind) for of in zip(queries, [gallery] * 9, relevance, strict=True)]
    assert [ranks.tolist() for ranks in found] == expected


def test_ranks_of_a_worked_example():
    # One query at 0, gallery at 1 to 6, so the order is that of the columns.
    #   place       1      2     3      4      5     6
    #   relevance   other  junk  match  other  junk  match
    # Without junk: other 1, match 2, other 3, match 4.
    gallery = np.array([[1], [2], [3], [4], [5], [6]], np.float32)
    relevance = np.array([[-1, 0, 1, -1, 0, 1]], np.int8)
    (ranks,) = ranks_of(np.zeros((1, 1), np.float32), gallery, as_lists(relevance))
    assert ranks.tolist() == [2, 4]


def test_a_query_without_a_match_has_no_ranks():
    relevance = np.array([[-1, 0], [1, -1]], np.int8)
    ranks = ranks_of(np.zeros((2, 1), np.float32), np.array([[1], [2]], np.float32), as_lists(relevance))
    assert [query.tolist() for query in ranks] == [[], [1]]


def test_an_embedding_of_zeros_is_as_far_as_its_own_place():
    # From (1, 0): zeros are at a squared distance of 1, the match, on the other side, at 4.
    gallery = np.array([[0, 0], [-3, 0]], np.float32)
    (ranks,) = ranks_of(np.array([[2, 0]], np.float32), gallery, as_lists(np.array([[-1, 1]])), distance="cosine")
    assert ranks.tolist() == [2]


def test_ties_go_against_the_model():
    # Distances 1 1 1 2 2; matches in places 1 and 4: two wrong ones are as near as the first, one as the second.
    gallery = np.array([[1], [-1], [1], [2], [-2]], np.float32)
    relevance = np.array([[1, -1, -1, 1, -1]], np.int8)
    (ranks,) = ranks_of(np.zeros((1, 1), np.float32), gallery, as_lists(relevance))
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
    ranks = ranks_of(queries, np.repeat(row, 203, axis=0), as_lists(relevance), distance=kind)
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


@settings(max_examples=60)
@given(problems())
def test_ranks_with_many_ties_equal_a_sorted_list_and_ignore_the_gallery_order(problem):
    queries, gallery, relevance, order = problem
    found = [ranks.tolist() for ranks in ranks_of(queries, gallery, as_lists(relevance))]
    assert found == [naive_ranks(query, gallery, row) for query, row in zip(queries, relevance, strict=True)]
    moved = ranks_of(queries, gallery[order], as_lists(relevance[:, order]))
    assert [ranks.tolist() for ranks in moved] == found


@pytest.mark.parametrize("work", [Work(), Work("float64"), Work(threads=1), Work(device="cpu:0")])
@pytest.mark.parametrize("width", [1, 3, 64, 700])
def test_near_ties_are_decided_as_in_float64(width, work):
    queries, gallery, relevance = near_ties(width, width)
    gallery[::7] = gallery[3]  # and some are exact
    found = ranks_of(queries, gallery, as_lists(relevance), work=work)
    assert [ranks.tolist() for ranks in found] == fast_ranks(queries, gallery, relevance)


@pytest.mark.parametrize("offset", [0, 30, 1000])
def test_a_part_that_all_embeddings_share_does_no_harm(offset):
    generator = np.random.default_rng(offset)
    queries, gallery = ((generator.normal(size=(n, 128)) + offset).astype(np.float32) for n in (10, 300))
    relevance = generator.choice(np.array([1, -1], np.int8), size=(10, 300), p=[0.1, 0.9])
    found = ranks_of(queries, gallery, as_lists(relevance))
    assert [ranks.tolist() for ranks in found] == fast_ranks(queries, gallery, relevance)


def test_a_product_with_fewer_digits_gives_the_same_ranks(monkeypatch):
    """As a GPU makes it that may use TF32: ten bits of each number."""

    def coarse(gallery, *_):
        def multiply(rows, out):
            out[:] = rounded(rows) @ rounded(gallery).T

        return multiply

    def rounded(matrix):
        return (matrix.astype(np.float32).view(np.int32) & np.int32(-(2**13))).view(np.float32)

    generator = np.random.default_rng(8)
    queries, gallery = (generator.normal(size=(n, 96)).astype(np.float32) for n in (10, 500))
    relevance = generator.choice(np.array([1, -1], np.int8), size=(10, 500), p=[0.1, 0.9])
    monkeypatch.setattr(counting, "_product_with", coarse)
    found = ranks_of(queries, gallery, as_lists(relevance))
    assert [ranks.tolist() for ranks in found] == fast_ranks(queries, gallery, relevance)


def test_only_doubtful_pairs_are_computed_anew(monkeypatch):
    generator = np.random.default_rng(1)
    queries, gallery = (generator.normal(size=(n, 256)).astype(np.float32) for n in (20, 2000))
    relevance = generator.choice(np.array([1, -1], np.int8), size=(20, 2000), p=[0.01, 0.99])
    asked = []
    exact = counting._Counter.squared_distances

    def noted(self, query, units):
        asked.append(len(units))
        return exact(self, query, units)

    monkeypatch.setattr(counting._Counter, "squared_distances", noted)
    found = ranks_of(queries, gallery, as_lists(relevance))
    assert [ranks.tolist() for ranks in found] == fast_ranks(queries, gallery, relevance)
    assert sum(asked) < 200  # of 40,000


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
def test_very_small_and_very_large_embeddings_are_ranked_all_the_same(rows, scale):
    queries, gallery, relevance = rows
    plain = ranks_of(queries, gallery, as_lists(relevance))
    factor = np.float32(2.0 ** round(np.log2(scale)))
    scaled = ranks_of(queries * factor, gallery * factor, as_lists(relevance))
    assert [ranks.tolist() for ranks in scaled] == [ranks.tolist() for ranks in plain]


def test_chunks_and_threads_do_not_matter(monkeypatch):
    queries, gallery, relevance = near_ties(3, 24)
    expected = fast_ranks(queries, gallery, relevance)
    for elements, fewest, shared, threads in itertools.product([1, 2000], [1, 5], [1, 10**6], [1, 2, 3]):
        monkeypatch.setattr(counting, "CHUNK_ELEMENTS", elements)
        monkeypatch.setattr(counting, "FEWEST_ROWS", fewest)
        monkeypatch.setattr(counting, "SHARED_FROM", shared)
        found = ranks_of(queries, gallery, as_lists(relevance), work=Work(threads=threads))
        assert [ranks.tolist() for ranks in found] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_gallery_does_not_matter(kind):
    queries, gallery, relevance = near_ties(4, 40)
    gallery[::5] = gallery[1]
    found = ranks_of(queries, gallery, as_lists(relevance), distance=kind)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(gallery))
        moved = ranks_of(queries, gallery[order], as_lists(relevance[:, order]), distance=kind)
        assert [ranks.tolist() for ranks in moved] == [ranks.tolist() for ranks in found]


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.uint8, np.int64])
def test_other_types_are_taken_at_their_value(kind):
    generator = np.random.default_rng(2)
    queries, gallery = (generator.integers(0, 9, size=(n, 5)).astype(kind) for n in (8, 60))
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(8, 60))
    found = ranks_of(queries, gallery, as_lists(relevance))
    assert [ranks.tolist() for ranks in found] == fast_ranks(queries, gallery, relevance)


def test_float64_embeddings_that_float32_cannot_tell_apart_are_told_apart():
    queries, gallery = np.array([[1.0]]), np.array([[1 + 2e-12], [1 + 1e-12]])
    relevance = np.array([[1, -1]], np.int8)
    assert ranks_of(queries, gallery, as_lists(relevance))[0].tolist() == [2]
    assert ranks_of(queries, gallery[::-1], as_lists(relevance))[0].tolist() == [1]


def test_matches_come_with_their_rows_and_distances(rows):
    queries, gallery, relevance = rows
    found = count_matches(queries, gallery, as_lists(relevance))
    assert found.counts.tolist() == (relevance == 1).sum(axis=1).tolist()
    for query, start in enumerate(found.starts[:-1]):
        own = slice(start, found.starts[query + 1])
        squares = [naive_distance(queries[query], gallery[row], "euclidean") for row in found.rows[own]]
        assert sorted(found.rows[own]) == np.flatnonzero(relevance[query] == 1).tolist()
        assert squares == sorted(squares)
        np.testing.assert_allclose(found.distances[own], squares, rtol=1e-4)


def test_a_track_is_as_near_as_its_nearest_picture():
    generator = np.random.default_rng(7)
    queries, gallery = (generator.integers(-3, 4, size=(n, 3)).astype(np.float32) for n in (10, 60))
    tracks = generator.permutation(np.repeat(np.arange(15), 4))
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(10, 15))
    found = ranks_of(queries, gallery, as_lists(relevance), tracks=tracks)
    for query, relevant, ranks in zip(queries, relevance, found, strict=True):
        squares = ((gallery - query) ** 2).sum(axis=1)
        listed = sorted(
            (squares[tracks == track].min(), relevant[track] == 1) for track in range(15) if relevant[track]
        )
        assert ranks.tolist() == [place for place, (_, match) in enumerate(listed, start=1) if match]


def test_ranks_in_given_distances_equal_a_sorted_list():
    generator = np.random.default_rng(3)
    distances = generator.integers(0, 12, size=(9, 40)) / 12
    relevance = generator.choice(np.array([1, 0, -1], np.int8), size=(9, 40))
    relevance[4] = -1
    chunks = ((slice(start, start + 3), distances[start : start + 3].copy()) for start in (0, 3, 6))
    found = by_query(count_in_distances(chunks, as_lists(relevance)))
    for row, relevant, ranks in zip(distances, relevance, found, strict=True):
        listed = sorted((value, r == 1) for value, r in zip(row, relevant, strict=True) if r != 0)
        assert ranks.tolist() == [place for place, (_, match) in enumerate(listed, start=1) if match]


def test_a_threshold_beyond_what_a_sample_foresaw_is_found_all_the_same():
    """Of many pairs a sample tells how far to count. This one shows the near sixteenth alone; a tenth is asked for."""
    queries, gallery = np.zeros((600, 1), np.float32), np.full((4000, 1), 100, np.float32)
    gallery[np.linspace(0, 3999, 256).astype(np.int64), 0] = np.linspace(1, 2, 256)
    matches = count_matches(queries, gallery, lambda _: (np.array([5]), np.empty(0, np.int64)), pairs=True)
    point = matches.others.operating_point(matches.distances, 0.1)
    assert (point.true_positive_rate, float(gallery[5, 0])) == (0, 100)  # as far as all the others
    assert point.threshold == pytest.approx(100**2, rel=1e-3)


def test_nothing_is_written_into_the_inputs(rows):
    for array in rows:
        array.setflags(write=False)
    queries, gallery, relevance = rows
    for kind in KINDS:
        count_matches(queries, gallery, as_lists(relevance), distance=kind)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_values_that_are_no_numbers_are_refused_with_their_row(value, side):
    matrices = {"query": np.zeros((4, 2), np.float32), "gallery": np.zeros((4, 2), np.float32)}
    matrices[side][3, 1] = value
    with pytest.raises(SamecarError, match=f"{side} embedding 3 has a NaN or infinite value"):
        ranks_of(*matrices.values(), as_lists(np.ones((4, 4))))


@pytest.mark.parametrize(
    ("queries", "gallery", "message"),
    [
        (np.zeros((1, 8)), np.zeros((1, 9)), "8 wide and gallery embeddings 9"),
        (np.zeros(8), np.zeros((1, 8)), r"query embeddings have shape \(8,\)"),
        (np.zeros((1, 8)), np.zeros((0, 8)), "the gallery is empty"),
        (np.zeros((1, 8)), np.full((1, 8), 1e200), "squares are no numbers"),
        (np.zeros((1, 8), complex), np.zeros((1, 8)), "of type complex128; give real numbers"),
        (np.zeros((1, 8)), np.array([["a"] * 8]), "gallery embeddings are of type <U1"),
    ],
)
def test_embeddings_that_cannot_be_compared_are_refused(queries, gallery, message):
    with pytest.raises(SamecarError, match=message):
        ranks_of(queries, gallery, as_lists(np.ones((1, 1))))


def test_no_query_has_no_result():
    found = count_matches(np.zeros((0, 2)), np.zeros((3, 2)), as_lists(np.zeros((0, 3))), pairs=True)
    assert by_query(found) == []
    assert len(found.ranks) == len(found.rows) == 0


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_same_ranks(kind):
    queries, gallery, relevance = near_ties(5, 300)
    there, here = (
        ranks_of(queries, gallery, as_lists(relevance), distance=kind, work=Work(device=device))
        for device in ("cuda", "cpu")
    )
    assert [ranks.tolist() for ranks in there] == [ranks.tolist() for ranks in here]


@pytest.mark.parametrize("kind", ["euclidean", "cosine"])
@pytest.mark.parametrize("factor", [1e-140, 1e-45, 1e-13, 1e16, 1e45, 1e100, 1e148])
def test_ranks_and_thresholds_do_not_depend_on_the_unit(kind, factor):
    generator = np.random.default_rng(3)
    queries, gallery = generator.normal(size=(6, 8)), generator.normal(size=(40, 8))
    matches = [(np.flatnonzero(np.arange(40) % 4 == row % 4), np.empty(0, np.int64)) for row in range(6)]
    usual, scaled = (
        count_matches(queries * unit, gallery * unit, matches.__getitem__, distance=kind, pairs=True)
        for unit in (1, factor)
    )
    np.testing.assert_array_equal(scaled.ranks, usual.ranks)
    for rate in (0.01, 0.1):
        points = [found.others.operating_point(found.distances, rate) for found in (usual, scaled)]
        assert points[0].true_positive_rate == points[1].true_positive_rate
    assert np.isfinite(scaled.distances).all()


@pytest.mark.parametrize("kind", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    ("factor", "words"), [(2e153, "divide"), (1e154, "divide"), (1e300, "divide"), (1e-170, "multiply")]
)
def test_finite_embeddings_whose_squares_are_none_are_refused(kind, factor, words):
    embeddings = np.random.default_rng(0).normal(size=(40, 8)) * factor
    with pytest.raises(SamecarError, match=f"embeddings hold values whose squares are .*; {words} them all by a large"):
        count_matches(embeddings[:3], embeddings, lambda query: (np.array([5]), np.array([query])), distance=kind)
