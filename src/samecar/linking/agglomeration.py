"""Which sightings are one vehicle: agglomeration of a sparse graph of log-odds, with pairs that may not be joined.

Clusters are joined as long as two of them speak for each other: the mean log-odds over their pairs is above nought.
The two with the highest mean come first. This is average linkage (Sokal and Michener, "A statistical method for
evaluating systematic relationships", 1958) over a signed graph with cannot-link constraints, the member "average" of
the family that Bailoni et al. describe in "GASP, a generalized framework for agglomerative clustering of signed graphs
and its application to instance segmentation" (CVPR 2022). Each step raises the objective of correlation clustering
(Bansal, Blum and Chawla, "Correlation clustering", 2004), so that no number of clusters has to be known.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Compared(NamedTuple):
    """What rules say of the pairs between two clusters.

    Attributes:
        apart: whether a pair cannot be one vehicle.
        pairs: how many pairs say something by their appearance.
    """

    apart: bool
    pairs: int


class PairRules(Protocol):
    """Says which sightings may be one vehicle."""

    def compare(self, first: Sequence[int], second: Sequence[int]) -> Compared:
        """Looks at all pairs of a sighting of the first cluster with one of the second."""
        ...


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Pairs of sightings that are more alike than most.

    Attributes:
        first: (pairs,) the lower number of each pair.
        second: (pairs,) the higher one; no pair stands twice.
        scores: (pairs,) log-odds of being one vehicle, above the floor.
        floor: log-odds of all other pairs.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    scores: NDArray[np.float64]
    floor: float

    def among(self, chosen: NDArray[np.bool_]) -> "ScoredPairs":
        """Some of the pairs."""
        return ScoredPairs(self.first[chosen], self.second[chosen], self.scores[chosen], self.floor)


@dataclass
class _Edge:
    """What two clusters say of each other: by how much their pairs' scores exceed the floor in all, and the pairs."""

    excess: float
    pairs: int

    def mean(self, floor: float) -> float:
        return floor + self.excess / self.pairs


def agglomerate(
    sightings: int, pairs: ScoredPairs, rules: PairRules, together: Sequence[Sequence[int]] = ()
) -> NDArray[np.int64]:
    """Clusters sightings.

    Of equally high means that of the clusters with the lowest numbers comes first, so that numbers that follow from
    what the sightings are make the result independent of the order in which they came.

    Args:
        sightings: how many there are; they are numbered from 0.
        pairs: what appearance says of them.
        rules: which pairs may not be joined, and which say something.
        together: groups that are one vehicle whatever rules and appearance say; no sighting stands in two.

    Returns:
        (sightings,) the lowest number in each one's cluster.
    """
    leaders = np.arange(sightings)
    for group in together:
        leaders[list(group)] = min(group)
    near = _join_components(leaders, pairs)
    graph = _Graph(leaders, pairs.among(near[pairs.first] == near[pairs.second]), rules)
    graph.join_all()
    return graph.numbers()


def _join_components(leaders: NDArray[np.int64], pairs: ScoredPairs) -> NDArray[np.int64]:
    """The component of each sighting in the graph of positive scores: no cluster reaches beyond one."""
    found = leaders.tolist()

    def lead(number: int) -> int:
        while found[number] != number:
            found[number] = found[found[number]]
            number = found[number]
        return number

    positive = pairs.scores > 0
    for one, other in zip(pairs.first[positive].tolist(), pairs.second[positive].tolist(), strict=True):
        low, high = sorted((lead(one), lead(other)))
        found[high] = low
    return np.array([lead(number) for number in range(len(found))], np.int64)


class _Graph:
    """Clusters and what they say of each other."""

    def __init__(self, leaders: NDArray[np.int64], pairs: ScoredPairs, rules: PairRules) -> None:
        self._rules, self._floor = rules, pairs.floor
        self._members: dict[int, list[int]] = {}
        for number, leader in enumerate(leaders.tolist()):
            self._members.setdefault(leader, []).append(number)
        self._edges: dict[int, dict[int, _Edge]] = {leader: {} for leader in self._members}
        self._waiting: list[tuple[float, int, int]] = []
        excess: dict[tuple[int, int], float] = {}
        ends = zip(leaders[pairs.first].tolist(), leaders[pairs.second].tolist(), strict=True)
        for (one, other), score in zip(ends, (pairs.scores - pairs.floor).tolist(), strict=True):
            if one != other:
                key = (one, other) if one < other else (other, one)
                excess[key] = excess.get(key, 0.0) + score
        for (one, other), above in excess.items():
            compared = rules.compare(self._members[one], self._members[other])
            if not compared.apart and compared.pairs:
                self._connect(one, other, _Edge(above, compared.pairs))

    def join_all(self) -> None:
        """Joins clusters, the most alike first, until none speak for each other."""
        while self._waiting:
            negative, one, other = heapq.heappop(self._waiting)
            edge = self._edges.get(one, {}).get(other)
            if edge is not None and -edge.mean(self._floor) == negative:
                self._join(one, other)

    def numbers(self) -> NDArray[np.int64]:
        """The lowest number in each sighting's cluster."""
        found = np.empty(sum(map(len, self._members.values())), np.int64)
        for members in self._members.values():
            found[members] = min(members)
        return found

    def _connect(self, one: int, other: int, edge: _Edge) -> None:
        self._edges[one][other] = self._edges[other][one] = edge
        if (mean := edge.mean(self._floor)) > 0:
            heapq.heappush(self._waiting, (-mean, min(one, other), max(one, other)))

    def _join(self, kept: int, gone: int) -> None:
        """Joins the cluster with the higher number to the other."""
        ours, theirs = self._edges[kept], self._edges.pop(gone)
        del ours[gone], theirs[kept]
        joined: dict[int, _Edge] = {}
        for near in sorted(ours.keys() | theirs.keys()):
            mine, other = ours.get(near), theirs.get(near)
            if mine is not None and other is not None:
                joined[near] = _Edge(mine.excess + other.excess, mine.pairs + other.pairs)
                continue
            known, unknown = (mine, gone) if mine is not None else (other, kept)
            compared = self._rules.compare(self._members[unknown], self._members[near])
            if known is not None and not compared.apart:
                joined[near] = _Edge(known.excess, known.pairs + compared.pairs)
        for near in ours.keys() | theirs.keys():
            self._edges[near].pop(gone, None)
            self._edges[near].pop(kept, None)
        self._members[kept] += self._members.pop(gone)
        self._edges[kept] = {}
        for near, edge in joined.items():
            self._connect(kept, near, edge)
