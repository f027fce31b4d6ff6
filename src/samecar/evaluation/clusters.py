"""How well groups of sightings agree with known vehicles: pairwise F1, B-cubed and IDF1."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samecar.errors import SamecarError


class Agreement(NamedTuple):
    """Precision, recall and F1, their harmonic mean; from 0 to 1."""

    precision: float
    recall: float
    f1: float


class ClusterScores(NamedTuple):
    """What three metrics say of the same groups.

    Attributes:
        pairwise: of pairs of sightings.
        b_cubed: of sightings, each by its own group.
        identity: of sightings, under the best matching of groups and vehicles; its F1 is IDF1.
    """

    pairwise: Agreement
    b_cubed: Agreement
    identity: Agreement


def score_clusters(vehicles: ArrayLike, groups: ArrayLike) -> ClusterScores:
    """Scores groups of sightings against known vehicles.

    - Pairwise: of pairs in one group, the share that is of one vehicle is the precision; of pairs of one vehicle, the
      share that is in one group is the recall. Without any such pair they are 1: nothing wrong was said, or nothing
      was there to be found.
    - B-cubed (Bagga and Baldwin, "Algorithms for scoring coreference chains", 1998): for each sighting the share of its
      group that is of its vehicle, and the share of its vehicle that is in its group; the means over sightings.
    - IDF1 (Ristani et al., "Performance measures and a data set for multi-target, multi-camera tracking", 2016):
      groups and vehicles are matched one to one so that the most sightings lie in matched ones. As every sighting is in
      one group and of one vehicle, precision and recall are both the share of these sightings.

    Args:
        vehicles: (sightings,) the known vehicle of each; no name is a placeholder here.
        groups: (sightings,) the group that each was put into.

    Raises:
        SamecarError: there is no sighting, or both are not equally long.
    """
    one, other = np.asarray(vehicles), np.asarray(groups)
    if one.ndim != 1 or one.shape != other.shape or not len(one):
        raise SamecarError(
            f"{one.shape} vehicles and {other.shape} groups were given; give one of each for every sighting, "
            "and one sighting at least"
        )
    vehicle, group, together = _count_together(one, other)
    by_vehicle, by_group = (np.bincount(names, together).astype(np.float64) for names in (vehicle, group))
    matched = _match(vehicle, group, together) / len(one)
    return ClusterScores(
        pairwise=_score_pairs(together, by_vehicle, by_group),
        b_cubed=_agreement(
            float((together**2 / by_group[group]).sum() / len(one)),
            float((together**2 / by_vehicle[vehicle]).sum() / len(one)),
        ),
        identity=_agreement(matched, matched),
    )


Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _count_together(vehicles: NDArray[np.generic], groups: NDArray[np.generic]) -> Columns:
    """Vehicle and group of each pair of both that share sightings, and how many they share."""
    _, vehicle = np.unique(vehicles, return_inverse=True)
    names, group = np.unique(groups, return_inverse=True)
    cells, together = np.unique(vehicle.astype(np.int64) * len(names) + group, return_counts=True)
    return cells // len(names), cells % len(names), together.astype(np.int64)


def _score_pairs(
    together: NDArray[np.int64], by_vehicle: NDArray[np.float64], by_group: NDArray[np.float64]
) -> Agreement:
    right, in_groups, of_vehicles = (float((many * (many - 1)).sum()) for many in (together, by_group, by_vehicle))
    return _agreement(right / in_groups if in_groups else 1.0, right / of_vehicles if of_vehicles else 1.0)


def _agreement(precision: float, recall: float) -> Agreement:
    both = precision + recall
    return Agreement(precision, recall, 2 * precision * recall / both if both else 0.0)


def _match(vehicle: NDArray[np.int64], group: NDArray[np.int64], together: NDArray[np.int64]) -> int:
    """The most sightings that lie in vehicles and groups which are matched one to one."""
    from scipy.optimize import linear_sum_assignment  # takes long to import, and only this needs it

    total = 0
    for cells in _components(vehicle, group):
        rows, row = np.unique(vehicle[cells], return_inverse=True)
        columns, column = np.unique(group[cells], return_inverse=True)
        if len(rows) == 1 or len(columns) == 1:
            total += int(together[cells].max())
            continue
        table = np.zeros((len(rows), len(columns)), np.int64)
        table[row, column] = together[cells]
        total += int(table[linear_sum_assignment(table, maximize=True)].sum())
    return total


def _components(vehicle: NDArray[np.int64], group: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Cells whose vehicles and groups hang together; each can be matched for itself."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    vehicles = int(vehicle.max()) + 1
    both = vehicles + int(group.max()) + 1
    shared = coo_array((np.ones(len(vehicle), np.bool_), (vehicle, vehicles + group)), shape=(both, both))
    label = connected_components(shared, directed=False)[1][vehicle]
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
