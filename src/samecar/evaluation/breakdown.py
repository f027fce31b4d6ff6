"""Scores of parts of a test set: by type and colour of the vehicle, and by pair of cameras."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.evaluation.metrics import average_precisions, first_ranks, places_within
from samecar.similarity.counting import Matches
from samecar.uncertainty import Scores

SHOWN = ("mAP", "rank-1")


class GroupScore(NamedTuple):
    """One row of a table.

    Attributes:
        group: what the queries share; two cameras, the query's and the match's, in the table of camera pairs.
        queries: how many were scored.
        scores: by metric.
    """

    group: tuple[str, ...]
    queries: int
    scores: dict[str, float]


def by_label(metrics: Mapping[str, Scores], labels: NDArray[np.str_]) -> list[GroupScore]:
    """Scores of the queries of each label, in the labels' order; nothing where no label is known.

    Args:
        metrics: by name.
        labels: (queries,) such as the vehicle's colour; "" is unknown.
    """
    rows = []
    for label in np.unique(labels) if (labels != "").any() else []:
        chosen = {name: metrics[name].select(labels == label) for name in SHOWN}
        queries = int(np.isfinite(chosen["mAP"].values).sum())
        if queries:
            scores = {name: scores.mean for name, scores in chosen.items()}
            rows.append(GroupScore((str(label) or "unknown",), queries, scores))
    return rows


def by_camera_pair(
    matches: Matches, query_camera: NDArray[np.str_], gallery_camera: NDArray[np.str_]
) -> list[GroupScore]:
    """How well the pictures of one camera are found for queries of another, among all of the gallery.

    For a pair of cameras, the matches of a query in other cameras are taken out of its ranking, as junk is; pictures
    of other vehicles stay, whichever camera took them. Nothing where fewer than two cameras are known.

    Args:
        matches: of all queries.
        query_camera: (queries,).
        gallery_camera: (gallery,).
    """
    cameras, codes = np.unique(np.concatenate([query_camera, gallery_camera]), return_inverse=True)
    if (cameras != "").sum() < 2 or not len(matches.rows):
        return []
    query = np.repeat(np.arange(len(query_camera)), matches.counts)
    ahead = matches.ranks - places_within(matches.counts)  # pictures of other vehicles
    key = query * len(cameras) + codes[len(query_camera) :][matches.rows]
    order = np.argsort(key, kind="stable")
    groups, counts = np.unique(key[order], return_counts=True)  # each a query and a camera of the gallery
    ranks = ahead[order] + places_within(counts)
    values = {"mAP": average_precisions(ranks, counts), "rank-1": (first_ranks(ranks, counts) == 1).astype(np.float64)}
    asked, found = np.divmod(groups, len(cameras))
    pairs, which = np.unique(codes[asked] * len(cameras) + found, return_inverse=True)
    queries = np.bincount(which)
    means = {name: np.bincount(which, value) / queries for name, value in values.items()}
    return [
        GroupScore(
            tuple(str(cameras[camera]) or "unknown" for camera in divmod(int(pair), len(cameras))),
            int(queries[place]),
            {name: float(mean[place]) for name, mean in means.items()},
        )
        for place, pair in enumerate(pairs)
    ]
