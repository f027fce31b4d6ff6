"""From embeddings and a protocol to scores that carry their protocol card."""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.evaluation.counting import count_matches
from samecar.evaluation.metrics import average_precision, cumulative_matching, inverse_negative_penalty
from samecar.evaluation.protocols import Labels, Protocol, Relevance
from samecar.ranking import Distance, Matrix, check_embeddings

CMC_RANKS = (1, 5, 10, 20)


@dataclass(frozen=True)
class ProtocolCard:
    """All that a number depends on besides the model's weights; printed and saved beside every result."""

    protocol: str
    data: str
    data_digest: str
    model: str
    junk_rule: str
    gallery_rule: str
    distance: str
    post_processing: str
    side_information: str
    epoch_choice: str
    seed: int | None
    queries_scored: int
    queries_skipped: int
    gallery_pictures: int

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of a heading and its value, to print."""
        return [(name.replace("_", " "), "–" if value is None else str(value)) for name, value in asdict(self).items()]


@dataclass(frozen=True)
class Provenance:
    """Where the embeddings that are scored came from; goes onto the card unchanged."""

    data: str = "embeddings"
    data_digest: str = "not stated"
    model: str = "not stated"
    side_information: str = "none"
    epoch_choice: str = "not stated"
    seed: int | None = None


class Labelled(NamedTuple):
    """Embeddings and who is seen on them."""

    matrix: Matrix  # (pictures, size)
    labels: Labels

    @property
    def rows(self) -> int:
        """Number of pictures."""
        return len(self.labels)


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one data set under one protocol.

    Attributes:
        mean_average_precision: mAP, from 0 to 1.
        mean_inverse_negative_penalty: mINP, from 0 to 1.
        cmc: share of queries with a match at or before a rank, by rank.
        card: what the numbers depend on.
        average_precisions: (queries,) the AP of each query, NaN for a skipped one; of the last draw, if several.
        cmc_curve: (20,) the share at every rank up to the largest.
        deviation: standard deviation over the protocol's draws; empty where nothing is drawn.
        drawn: query and gallery rows of the last draw, counted in the pool of queries followed by gallery; None where
            nothing is drawn.
    """

    mean_average_precision: float
    mean_inverse_negative_penalty: float
    cmc: dict[int, float]
    card: ProtocolCard
    average_precisions: NDArray[np.float64] = field(repr=False)
    cmc_curve: NDArray[np.float64] = field(repr=False)
    deviation: dict[str, float] = field(default_factory=dict)
    drawn: tuple[NDArray[np.int64], NDArray[np.int64]] | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """What is saved and what `--json` prints."""
        return {
            "mAP": self.mean_average_precision,
            "mINP": self.mean_inverse_negative_penalty,
            "cmc": {str(rank): value for rank, value in self.cmc.items()},
            "queries": self.card.queries_scored,
            "skipped": self.card.queries_skipped,
            "deviation": self.deviation,
            "protocol": asdict(self.card),
        }


def score(
    query: Labelled,
    gallery: Labelled,
    protocol: Protocol,
    *,
    distance: Distance = "euclidean",
    seed: int = 1,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Scores embeddings under a protocol.

    Args:
        query: embeddings (queries, size) and their labels.
        gallery: embeddings (gallery, size) and their labels. Under a protocol that draws its galleries, queries and
            gallery are one pool.
        protocol: the rules.
        distance: between embeddings.
        seed: of the protocol's random galleries, if it draws any.
        provenance: what the card says of data and model.

    Raises:
        SamecarError: there is no query or no gallery picture, no query has a match, or the embeddings of queries and
            gallery differ in width, are not as many as their labels, or hold NaN or infinite values.
    """
    provenance = provenance or Provenance()
    for name, side in (("query", query), ("gallery", gallery)):
        if len(side.matrix) != side.rows:
            raise SamecarError(f"{len(side.matrix)} {name} embeddings have {side.rows} labels; give one for each")
    drawn = _draw_galleries(query, gallery, protocol, seed)
    draws = [(query, gallery)] if drawn is None else _pooled(query, gallery, drawn)
    scored = [_ranks(*draw, protocol, distance) for draw in draws]
    results = [_reduce(ranks) for ranks in scored]
    names = results[0].keys()
    mean = {name: float(np.mean([result[name] for result in results])) for name in names}
    last = scored[-1]
    skipped = sum(len(ranks) == 0 for ranks in last)
    return Evaluation(
        mean_average_precision=mean["mAP"],
        mean_inverse_negative_penalty=mean["mINP"],
        cmc={rank: mean[f"rank-{rank}"] for rank in CMC_RANKS},
        card=ProtocolCard(
            protocol=protocol.name,
            data=provenance.data,
            data_digest=provenance.data_digest,
            model=provenance.model,
            junk_rule=protocol.junk,
            gallery_rule=f"{protocol.gallery}, mean of {len(draws)} draws with seed {seed}"
            if drawn
            else "all pictures",
            distance=distance,
            post_processing="none",
            side_information=provenance.side_information,
            epoch_choice=provenance.epoch_choice,
            seed=provenance.seed,
            queries_scored=len(last) - skipped,
            queries_skipped=skipped,
            gallery_pictures=draws[-1][1].rows,
        ),
        average_precisions=np.array([average_precision(ranks) if len(ranks) else np.nan for ranks in last]),
        cmc_curve=np.array([mean[f"rank-{rank}"] for rank in range(1, max(CMC_RANKS) + 1)]),
        deviation={
            name: float(np.std([result[name] for result in results]))
            for name in ("mAP", "mINP", *(f"rank-{rank}" for rank in CMC_RANKS))
        }
        if drawn
        else {},
        drawn=drawn[-1] if drawn else None,
    )


def _ranks(query: Labelled, gallery: Labelled, protocol: Protocol, distance: Distance) -> list[NDArray[np.int64]]:
    if not query.rows or not gallery.rows:
        raise SamecarError(
            f"there are {query.rows} query and {gallery.rows} gallery pictures; both are needed to score, "
            "and `samecar data split` makes them"
        )
    relevance = Relevance(query.labels, gallery.labels, protocol)
    ranks = count_matches(query.matrix, gallery.matrix, relevance.of, distance=distance).by_query()
    if not any(len(query_ranks) for query_ranks in ranks):
        raise SamecarError(
            f"none of {len(ranks)} queries has a match in the gallery under protocol {protocol.name!r} "
            f"(junk: {protocol.junk}); check vehicle and camera ids with `samecar data check`"
        )
    return ranks


def _reduce(ranks: list[NDArray[np.int64]]) -> dict[str, float]:
    scored = [query for query in ranks if len(query)]
    curve = cumulative_matching(scored, range(1, max(CMC_RANKS) + 1))
    return {
        "mAP": float(np.mean([average_precision(query) for query in scored])),
        "mINP": float(np.mean([inverse_negative_penalty(query) for query in scored])),
        **{f"rank-{rank}": value for rank, value in curve.items()},
    }


def _draw_galleries(
    query: Labelled, gallery: Labelled, protocol: Protocol, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]] | None:
    """Query and gallery rows of each draw, counted in the pool of queries followed by gallery."""
    if protocol.gallery == "all":
        return None
    vehicles = np.concatenate([query.labels.vehicle_id, gallery.labels.vehicle_id])
    labelled, distractors = np.flatnonzero(vehicles != ""), np.flatnonzero(vehicles == "")
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(protocol.draws):
        order = generator.permutation(labelled)
        one_of_each = order[np.unique(vehicles[order], return_index=True)[1]]
        drawn = np.union1d(one_of_each, distractors)
        draws.append((np.setdiff1d(labelled, one_of_each), drawn))
    return draws


def _pooled(
    query: Labelled, gallery: Labelled, draws: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> list[tuple[Labelled, Labelled]]:
    check_embeddings(query.matrix, gallery.matrix)
    matrix = np.concatenate([query.matrix, gallery.matrix])
    labels = Labels(
        np.concatenate([query.labels.vehicle_id, gallery.labels.vehicle_id]),
        np.concatenate([query.labels.camera_id, gallery.labels.camera_id]),
    )
    return [
        (Labelled(matrix[rest], labels.select(rest)), Labelled(matrix[one_of_each], labels.select(one_of_each)))
        for rest, one_of_each in draws
    ]
