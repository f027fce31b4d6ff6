import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.similarity import neighbours, products
from samecar.similarity.distances import nearest
from samecar.similarity.expansion import (
    AverageQueryExpansion,
    DatabaseAugmentation,
    average_query_expansion,
    database_augmentation,
)
from samecar.similarity.products import unit_length
from samecar.similarity.reranking import KReciprocal, k_reciprocal_distances

pytestmark = pytest.mark.light


def reranked(queries, gallery, **options):
    chunks = list(k_reciprocal_distances(queries, gallery, **options))
    assert [row for rows, _ in chunks for row in range(rows.start, rows.stop)] == list(range(len(queries)))
    return np.concatenate([distances for _, distances in chunks])


def vehicles(seed, *counts, size=16, spread=0.8):
    """Embeddings around a few centres, as a trained model gives them; one matrix for each count."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((max(2, sum(counts) // 8), size))
    chosen = centres[generator.integers(0, len(centres), sum(counts))]
    pictures = (chosen + spread * generator.standard_normal(chosen.shape)).astype(np.float32)
    return np.split(pictures, np.cumsum(counts)[:-1])


def dense_reference(queries, gallery, k1, k2, lambda_value):
    """The paper, section 3, in loops over dense float64 matrices; conventions as in the function's docstring."""
    pictures = np.concatenate([queries, gallery]).astype(np.float64)
    total = len(pictures)
    distance = np.array([[np.sum((one - other) ** 2) for other in pictures] for one in pictures])
    order = [sorted(range(total), key=lambda j, i=i: (j != i, distance[i, j], j)) for i in range(total)]

    def near(i, k):
        return set(order[i][: k + 1])

    def reciprocal(i, k):
        return {j for j in near(i, k) if i in near(j, k)}

    encoding = np.zeros((total, total))
    for i in range(total):
        expanded = set(reciprocal(i, k1))
        for j in reciprocal(i, k1):
            core = reciprocal(j, round(k1 / 2))
            if 3 * len(core & reciprocal(i, k1)) > 2 * len(core):
                expanded |= core
        for j in expanded:
            encoding[i, j] = np.exp(-distance[i, j] / (distance[i].max() or 1))
        encoding[i] /= encoding[i].sum()
    encoding = np.array([np.mean([encoding[j] for j in order[i][:k2]], axis=0) for i in range(total)])

    final = np.empty((len(queries), len(gallery)))
    for i in range(len(queries)):
        for j in range(len(gallery)):
            one, other = encoding[i], encoding[len(queries) + j]
            jaccard = 1 - np.minimum(one, other).sum() / np.maximum(one, other).sum()
            original = distance[i, len(queries) + j] / (distance[i].max() or 1)
            final[i, j] = (1 - lambda_value) * jaccard + lambda_value * original
    return final


@pytest.mark.parametrize(
    ("queries", "gallery", "k1", "k2", "lambda_value"),
    [
        (12, 90, 20, 6, 0.3),
        (30, 70, 6, 3, 0.3),
        (5, 60, 7, 1, 0.0),
        (20, 20, 1, 1, 0.5),
        (3, 40, 2, 9, 0.2),
        (10, 25, 100, 6, 0.3),
        (10, 25, 5, 100, 0.3),
        (1, 1, 20, 6, 0.3),
        (1, 2, 1, 2, 0.3),
    ],
)
def test_equals_the_paper(queries, gallery, k1, k2, lambda_value):
    embeddings = vehicles(k1, queries, gallery)
    found = reranked(*embeddings, k1=k1, k2=k2, lambda_value=lambda_value)
    np.testing.assert_allclose(found, dense_reference(*embeddings, k1, k2, lambda_value), atol=1e-5, rtol=0)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(1, 8),
    gallery=st.integers(1, 30),
    k1=st.integers(1, 12),
    k2=st.integers(1, 8),
    levels=st.integers(1, 4),
)
def test_equals_the_paper_among_ties_and_duplicates(seed, queries, gallery, k1, k2, levels):
    pictures = np.random.default_rng(seed).integers(0, levels, (queries + gallery, 3)).astype(np.float32)
    embeddings = pictures[:queries], pictures[queries:]
    found = reranked(*embeddings, k1=k1, k2=k2)
    np.testing.assert_allclose(found, dense_reference(*embeddings, k1, k2, 0.3), atol=1e-5, rtol=0)


def test_many_duplicates_and_pictures_that_are_all_alike():
    queries, gallery = vehicles(1, 6, 20)
    gallery = np.concatenate([gallery, np.repeat(gallery[:1], 60, axis=0)])
    found = reranked(queries, gallery, k1=10)
    np.testing.assert_allclose(found, dense_reference(queries, gallery, 10, 6, 0.3), atol=1e-5, rtol=0)
    queries, gallery = np.full((3, 8), 0.1, np.float32), np.full((50, 8), 0.1, np.float32)
    found = reranked(queries, gallery, k1=10)
    np.testing.assert_allclose(found, dense_reference(queries, gallery, 10, 6, 0.3), atol=1e-5, rtol=0)


def test_neighbours_are_those_of_float64_where_float32_cannot_tell_them_apart():
    generator = np.random.default_rng(5)
    pictures = generator.standard_normal((120, 64))
    pictures[1:] = pictures[:1] + unit_length(pictures[1:]) * (1 + 1e-6 * generator.permutation(119))[:, None]
    pictures = np.concatenate([pictures, 30 + generator.standard_normal((20, 64))])
    queries, gallery = pictures[:10], pictures[10:]
    found = reranked(queries, gallery, k1=12)
    np.testing.assert_allclose(found, dense_reference(queries, gallery, 12, 6, 0.3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("move", [0.0, 1e4])
@pytest.mark.parametrize("stretch", [1e-15, 1.0, 1e15])
def test_place_and_size_of_the_cloud_do_not_matter(move, stretch):
    queries, gallery = vehicles(2, 8, 40)
    found = reranked((queries.astype(np.float64) + move) * stretch, (gallery.astype(np.float64) + move) * stretch)
    np.testing.assert_allclose(found, dense_reference(queries, gallery, 20, 6, 0.3), atol=1e-5, rtol=0)


def test_tiles_and_chunks_do_not_matter(monkeypatch):
    queries, gallery = vehicles(3, 40, 300)
    whole = reranked(queries, gallery)
    monkeypatch.setattr(neighbours, "TILE", 32)
    monkeypatch.setattr(products, "CHUNK_ELEMENTS", 500)
    chunks = list(k_reciprocal_distances(queries, gallery))
    assert len(chunks) == 40
    np.testing.assert_allclose(np.concatenate([distances for _, distances in chunks]), whole, atol=1e-6, rtol=0)


def test_short_lists_that_cannot_decide_are_made_anew(monkeypatch):
    monkeypatch.setattr(neighbours, "SPARE", 0)
    monkeypatch.setattr(neighbours, "UNIT_ROUNDOFF", 1e-3)
    queries, gallery = vehicles(4, 10, 60)
    found = reranked(queries, gallery, k1=8)
    np.testing.assert_allclose(found, dense_reference(queries, gallery, 8, 6, 0.3), atol=1e-5, rtol=0)


def test_order_of_the_gallery_does_not_matter():
    queries, gallery = vehicles(6, 15, 80)
    order = np.random.default_rng(0).permutation(80)
    np.testing.assert_allclose(
        reranked(queries, gallery[order]), reranked(queries, gallery)[:, order], atol=1e-6, rtol=0
    )


def test_all_of_lambda_is_the_original_ranking():
    queries, gallery = vehicles(7, 15, 80)
    found = np.argsort(reranked(queries, gallery, lambda_value=1), axis=1, kind="stable")
    np.testing.assert_array_equal(found, nearest(queries, gallery, 80).indices)


def test_a_gallery_may_be_asked_for_its_own_pictures():
    (pictures,) = vehicles(17, 60)
    np.testing.assert_array_equal(reranked(pictures, pictures), reranked(pictures, pictures.copy()))


def test_cosine_is_euclidean_at_unit_length():
    queries, gallery = vehicles(8, 10, 50)
    expected = reranked(unit_length(queries), unit_length(gallery))
    np.testing.assert_allclose(reranked(queries, gallery, distance="cosine"), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [np.float16, np.int8, np.uint8, np.int64, np.float64])
def test_other_types_mean_their_values(kind):
    queries, gallery = ((20 * matrix + 100).astype(kind) for matrix in vehicles(9, 8, 50))
    found = reranked(queries, gallery)
    np.testing.assert_allclose(found, dense_reference(queries, gallery, 20, 6, 0.3), atol=1e-5, rtol=0)
    plain = queries.astype(np.float64), gallery.astype(np.float64)
    np.testing.assert_allclose(average_query_expansion(queries, gallery), average_query_expansion(*plain), rtol=1e-6)
    np.testing.assert_allclose(database_augmentation(gallery), database_augmentation(plain[1]), rtol=1e-6)


def naive_means(pictures, others, count, distance, *, skip_own):
    if distance == "cosine":
        pictures, others = unit_length(pictures), unit_length(others)
    means = []
    for row, picture in enumerate(pictures.astype(np.float64)):
        far = [np.sum((picture - other) ** 2) for other in others.astype(np.float64)]
        order = [column for column in np.argsort(far, kind="stable") if not (skip_own and column == row)]
        means.append(np.mean([picture, *others[order[:count]]], axis=0))
    return unit_length(np.array(means)) if distance == "cosine" else np.array(means)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("count", [1, 5, 1000])
def test_expansion_and_augmentation_equal_plain_loops(count, distance):
    queries, gallery = vehicles(10, 12, 70)
    gallery[30:40] = gallery[3]
    queries[5] = gallery[3]
    np.testing.assert_allclose(
        average_query_expansion(queries, gallery, count, distance=distance),
        naive_means(queries, gallery, count, distance, skip_own=False),
        atol=1e-5,
    )
    np.testing.assert_allclose(
        database_augmentation(gallery, count, distance=distance),
        naive_means(gallery, gallery, count, distance, skip_own=True),
        atol=1e-5,
    )


def test_five_pictures_are_averaged_by_default():
    queries, gallery = vehicles(11, 12, 70)
    expected = naive_means(queries, gallery, 5, "euclidean", skip_own=False)
    np.testing.assert_allclose(average_query_expansion(queries, gallery), expected, atol=1e-5)
    expected = naive_means(gallery, gallery, 5, "euclidean", skip_own=True)
    np.testing.assert_allclose(database_augmentation(gallery), expected, atol=1e-5)


def test_queries_may_be_far_smaller_than_the_gallery():
    queries, gallery = vehicles(12, 8, 60)
    queries *= np.float32(1e-20)
    gallery *= np.float32(1e10)
    found, expected = reranked(queries, gallery), dense_reference(queries, gallery, 20, 6, 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_inputs_stay_as_they_are():
    queries, gallery = vehicles(11, 10, 40)
    before = queries.copy(), gallery.copy()
    for matrix in (queries, gallery):
        matrix.flags.writeable = False
    for distance in ("euclidean", "cosine"):
        reranked(queries, gallery, distance=distance)
        average_query_expansion(queries, gallery, distance=distance)
        database_augmentation(gallery, distance=distance)
    np.testing.assert_array_equal(queries, before[0])
    np.testing.assert_array_equal(gallery, before[1])
    alone = gallery[:1]
    assert database_augmentation(alone) is not alone


@pytest.mark.parametrize("value", [0.0, 1e-45, 3e38])
def test_the_smallest_and_the_largest_numbers_are_no_special_case(value):
    pictures = np.random.default_rng(16).choice(np.array([0, value], np.float32), (40, 6))
    plain = (pictures > 0).astype(np.float32)
    expected = reranked(plain[:5], plain[5:])
    np.testing.assert_allclose(reranked(pictures[:5], pictures[5:]), expected, atol=1e-6, rtol=0)


def test_without_queries_there_is_nothing():
    _, gallery = vehicles(12, 1, 10)
    assert list(k_reciprocal_distances(gallery[:0], gallery)) == []
    assert average_query_expansion(gallery[:0], gallery).shape == (0, 16)


BAD_INPUT = [
    (lambda queries, gallery: (queries, gallery[:0]), "the gallery has no embedding"),
    (lambda queries, gallery: (queries[:, :8], gallery), "query embeddings are 8 wide and gallery embeddings 16"),
    (lambda queries, gallery: (np.where(queries > 9, 0, np.nan), gallery), "query embedding 0 has a NaN or infinite"),
    (lambda queries, gallery: (queries, np.where(gallery > 9, 0, np.inf)), "gallery embedding 0 has a NaN or infinite"),
    (lambda queries, gallery: (queries[0], gallery), "give a matrix"),
    (lambda queries, gallery: (queries, gallery.astype(str)), "gallery embeddings are of type"),
    (lambda queries, gallery: (queries.astype(complex), gallery), "query embeddings are of type complex128"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_INPUT)
@pytest.mark.parametrize("function", [k_reciprocal_distances, average_query_expansion])
def test_bad_embeddings_are_refused_at_the_call(function, spoil, message):
    with pytest.raises(SamecarError, match=message):
        function(*spoil(*vehicles(13, 5, 30)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1 0; give a whole number"),
        ({"k1": 2.5}, "k1 2.5; give a whole number"),
        ({"k2": 0}, "k2 0; give a whole number"),
        ({"lambda_value": 1.5}, "from 0 to 1"),
        ({"lambda_value": float("nan")}, "from 0 to 1"),
        ({"distance": "manhattan"}, "unknown distance"),
    ],
)
def test_bad_parameters_are_refused_at_the_call(options, message):
    with pytest.raises(SamecarError, match=message):
        k_reciprocal_distances(*vehicles(14, 5, 30), **options)


@pytest.mark.parametrize(
    ("gallery", "message"),
    [
        (np.ones(30), "gallery embeddings have shape"),
        (np.full((30, 4), np.nan), "gallery embedding 0 has a NaN"),
        (np.ones((30, 4), complex), "gallery embeddings are of type complex128"),
        (np.ones((0, 4)), "the gallery has no embedding"),
    ],
)
def test_augmentation_speaks_of_the_gallery(gallery, message):
    with pytest.raises(SamecarError, match=message):
        database_augmentation(gallery)


def test_counts_below_one_are_refused():
    queries, gallery = vehicles(15, 5, 30)
    with pytest.raises(SamecarError, match="average query expansion was given count 0"):
        average_query_expansion(queries, gallery, 0)
    with pytest.raises(SamecarError, match="database-side augmentation was given count True"):
        database_augmentation(gallery, True)


def test_the_card_says_what_was_done_and_what_it_looked_at():
    assert KReciprocal().describe() == (
        "k-reciprocal re-ranking (k1 20, k2 6, lambda_value 0.3); looks at the whole test set"
    )
    assert AverageQueryExpansion(3).describe() == "average query expansion (count 3); looks at the whole test set"
    assert DatabaseAugmentation(3).transductive
