from itertools import combinations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar.linking.agglomeration import Compared, ScoredPairs, agglomerate


class Pairwise:
    """Rules that are told of each pair."""

    def __init__(self, apart=(), silent=()):
        self.apart, self.silent = {frozenset(pair) for pair in apart}, {frozenset(pair) for pair in silent}

    def compare(self, first, second):
        pairs = [frozenset(pair) for pair in product(first, second)]
        return Compared(any(pair in self.apart for pair in pairs), sum(pair not in self.silent for pair in pairs))


def scored(scores, floor):
    """Pairs above the floor, of a mapping."""
    kept = {pair: score for pair, score in scores.items() if score > floor}
    columns = np.array(list(kept), np.int64).reshape(-1, 2)
    return ScoredPairs(columns[:, 0], columns[:, 1], np.array(list(kept.values()), float), floor)


def naive(count, scores, floor, rules, together):
    """Average linkage by looking at all pairs of clusters again and again."""
    clusters = {number: {number} for number in range(count)}
    for group in together:
        for number in group:
            clusters[min(group)] |= clusters.pop(number) if number != min(group) else set()

    def mean(one, other):
        pairs = [pair for pair in product(clusters[one], clusters[other]) if frozenset(pair) not in rules.silent]
        values = [max(scores.get((min(pair), max(pair)), floor), floor) for pair in pairs]
        return np.mean(values) if values else -np.inf

    while True:
        means = {
            (one, other): mean(one, other)
            for one, other in combinations(sorted(clusters), 2)
            if not rules.compare(clusters[one], clusters[other]).apart
        }
        best = max(means, key=lambda pair: (round(means[pair], 9), -pair[0], -pair[1]), default=None)
        if best is None or means[best] <= 0:
            break
        clusters[best[0]] |= clusters.pop(best[1])
    return [min(members) for number in range(count) for members in clusters.values() if number in members]


@st.composite
def problems(draw):
    count = draw(st.integers(1, 7))
    pairs = list(combinations(range(count), 2))
    scores = {pair: draw(st.integers(-64, 64)) / 8 for pair in pairs}
    some = st.lists(st.sampled_from(pairs), max_size=5) if pairs else st.just([])
    apart, silent = draw(some), draw(some)
    scores = {pair: score for pair, score in scores.items() if pair not in silent and pair not in apart}
    together = [sorted(draw(st.sets(st.integers(0, count - 1), max_size=3)))]
    return count, scores, Pairwise(apart, silent), [group for group in together if len(group) > 1]


@given(problems())
@settings(max_examples=300, deadline=None)
def test_clusters_are_those_of_naive_average_linkage(problem):
    count, scores, rules, together = problem
    found = agglomerate(count, scored(scores, -4.0), rules, together)
    assert found.tolist() == naive(count, scores, -4.0, rules, together)


def test_a_pair_that_cannot_be_keeps_clusters_apart_however_alike_others_are():
    scores = {(0, 1): 5.0, (1, 2): 4.0, (0, 2): 3.0}
    assert agglomerate(3, scored(scores, -4.0), Pairwise()).tolist() == [0, 0, 0]
    assert agglomerate(3, scored({**scores, (0, 2): -9.0}, -4.0), Pairwise(apart=[(0, 2)])).tolist() == [0, 0, 2]


def test_a_chain_of_likenesses_is_not_joined_where_its_ends_are_unlike():
    """Single linkage would join all four: the mean of the three pairs across is (3 - 4 - 4) / 3."""
    scores = {(0, 1): 6.0, (1, 2): 3.0, (2, 3): 6.0}
    assert agglomerate(4, scored(scores, -4.0), Pairwise()).tolist() == [0, 0, 2, 2]


def test_of_equal_likenesses_the_lowest_numbers_come_first():
    assert agglomerate(3, scored({(0, 1): 2.0, (1, 2): 2.0}, -4.0), Pairwise()).tolist() == [0, 0, 2]


def test_nothing_to_cluster():
    assert agglomerate(0, scored({}, -4.0), Pairwise()).tolist() == []
    assert agglomerate(2, scored({}, -4.0), Pairwise(), [(0, 1)]).tolist() == [0, 0]
