from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import homogeneity_score
from sklearn.metrics.cluster import pair_confusion_matrix

from samecar.errors import SamecarError
from samecar.evaluation.clusters import score_clusters

COLUMNS = st.integers(1, 7).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 3), min_size=size, max_size=size)] * 2)
)


def test_scores_of_a_set_that_was_worked_out_by_hand():
    """Vehicle a has 3 sightings, of which 2 are in group 1; group 2 holds one of a and both of b; c is alone."""
    vehicles = ["a", "a", "a", "b", "b", "c"]
    groups = [1, 1, 2, 2, 2, 3]
    found = score_clusters(vehicles, groups)
    assert found.pairwise == (0.5, 0.5, 0.5)  # pairs in groups: 1 + 3, of vehicles: 3 + 1, both: 1 + 1
    precision = (1 + 1 + 1 / 3 + 2 / 3 + 2 / 3 + 1) / 6
    recall = (2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1) / 6
    assert found.b_cubed == pytest.approx((precision, recall, 2 * precision * recall / (precision + recall)))
    assert found.identity == pytest.approx([5 / 6] * 3)  # a with 1, b with 2, c with 3: five of six sightings


def test_nothing_joined_is_right_as_far_as_it_goes():
    found = score_clusters(["a", "a", "b"], [1, 2, 3])
    assert found.pairwise == (1, 0, 0)
    assert found.b_cubed[:2] == pytest.approx((1, 2 / 3))
    assert found.identity.f1 == pytest.approx(2 / 3)


def test_where_no_vehicle_was_seen_twice_only_joining_is_wrong():
    assert score_clusters(["a", "b"], [1, 2]).pairwise == (1, 1, 1)
    assert score_clusters(["a", "b"], [1, 1]).pairwise == (0, 1, 0)


@given(COLUMNS)
@settings(max_examples=150, deadline=None)
def test_scores_are_those_of_naive_loops(columns):
    vehicles, groups = columns
    found, many = score_clusters(vehicles, groups), range(len(vehicles))
    pairs = list(combinations(many, 2))
    same_vehicle = {pair for pair in pairs if vehicles[pair[0]] == vehicles[pair[1]]}
    same_group = {pair for pair in pairs if groups[pair[0]] == groups[pair[1]]}
    both = len(same_vehicle & same_group)
    assert found.pairwise.precision == pytest.approx(both / len(same_group) if same_group else 1)
    assert found.pairwise.recall == pytest.approx(both / len(same_vehicle) if same_vehicle else 1)
    precisions, recalls = [], []
    for one in many:
        group = [other for other in many if groups[other] == groups[one]]
        vehicle = [other for other in many if vehicles[other] == vehicles[one]]
        shared = len(set(group) & set(vehicle))
        precisions.append(shared / len(group))
        recalls.append(shared / len(vehicle))
    assert found.b_cubed[:2] == pytest.approx((np.mean(precisions), np.mean(recalls)))
    names, numbers = sorted(set(vehicles)), sorted(set(groups))
    numbers += [-1 - place for place in range(len(names))]  # a vehicle may stay without a group
    most = max(
        sum(groups[place] == dict(zip(names, chosen, strict=True))[vehicles[place]] for place in many)
        for chosen in permutations(numbers, len(names))
    )
    assert found.identity.f1 == pytest.approx(most / len(vehicles))


def test_pairs_are_those_of_another_library():
    generator = np.random.default_rng(3)
    vehicles, groups = generator.integers(0, 40, 500), generator.integers(0, 50, 500)
    (_, apart), (split, both) = pair_confusion_matrix(vehicles, groups)
    found = score_clusters(vehicles, groups).pairwise
    assert (found.precision, found.recall) == pytest.approx((both / (both + apart), both / (both + split)))
    assert homogeneity_score(vehicles, vehicles) == score_clusters(vehicles, vehicles).b_cubed.f1 == 1


@pytest.mark.parametrize(("vehicles", "groups"), [([], []), (["a"], ["b", "c"]), ([["a"]], [["b"]])])
def test_what_cannot_be_compared_is_refused(vehicles, groups):
    with pytest.raises(SamecarError, match="one of each for every sighting"):
        score_clusters(vehicles, groups)
