"""From embeddings and a protocol to scores that carry their protocol card."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.evaluation.metrics import average_precision, cumulative_matching, inverse_negative_penalty
from samecar.evaluation.protocols import Labels, Protocol, Relevance
from samecar.ranking import Distance, Matrix, match_ranks

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
        deviation: standard deviation over the protocol's draws; empty where it has one.
    """

    mean_average_precision: float
    mean_inverse_negative_penalty: float
    cmc: dict[int, float]
    card: ProtocolCard
    average_precisions: NDArray[np.float64] = field(repr=False)
    cmc_curve: NDArray[np.float64] = field(repr=False)
    deviation: dict[str, float] = field(default_factory=dict)

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
    query: tuple[Matrix, Labels],
    gallery: tuple[Matrix, Labels],
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
        SamecarError: there is no query or no gallery picture, or no query has a match.
    """
    provenance = provenance or Provenance()
    if protocol.gallery == "all":
        draws = [(query, gallery)]
    else:
        draws = _drawn_galleries(query, gallery, protocol.draws, seed)
    scored = [_ranks(*draw, protocol, distance) for draw in draws]
    results = [_reduce(ranks) for ranks in scored]
    names = results[0].keys()
    mean = {name: float(np.mean([result[name] for result in results])) for name in names}
    last = scored[-1]
    drawn = protocol.gallery != "all"
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
            gallery_pictures=len(draws[-1][1][1]),
        ),
        average_precisions=np.array([average_precision(ranks) if len(ranks) else np.nan for ranks in last]),
        cmc_curve=np.array([mean[f"rank-{rank}"] for rank in range(1, max(CMC_RANKS) + 1)]),
        deviation={name: float(np.std([result[name] for result in results])) for name in _headline(names)}
        if drawn
        else {},
    )


def _ranks(
    query: tuple[Matrix, Labels], gallery: tuple[Matrix, Labels], protocol: Protocol, distance: Distance
) -> list[NDArray[np.int64]]:
    if not len(query[1]) or not len(gallery[1]):
        raise SamecarError(
            f"there are {len(query[1])} query and {len(gallery[1])} gallery pictures; both are needed to score, "
            "and `samecar data split` makes them"
        )
    ranks = match_ranks(query[0], gallery[0], Relevance(query[1], gallery[1], protocol), distance=distance)
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


def _headline(names: Any) -> list[str]:
    wanted = {"mAP", "mINP", *(f"rank-{rank}" for rank in CMC_RANKS)}
    return [name for name in names if name in wanted]


def _drawn_galleries(
    query: tuple[Matrix, Labels], gallery: tuple[Matrix, Labels], draws: int, seed: int
) -> list[tuple[tuple[Matrix, Labels], tuple[Matrix, Labels]]]:
    matrix = np.concatenate([query[0], gallery[0]]) if len(query[1]) else gallery[0]
    labels = Labels(
        np.concatenate([query[1].vehicle_id, gallery[1].vehicle_id]),
        np.concatenate([query[1].camera_id, gallery[1].camera_id]),
    )
    generator = np.random.default_rng(seed)
    result = []
    for _ in range(draws):
        order = generator.permutation(len(labels))
        first = order[np.unique(labels.vehicle_id[order], return_index=True)[1]]  # one picture of each vehicle
        rest = np.setdiff1d(np.arange(len(labels)), first)
        result.append(((matrix[rest], labels.select(rest)), (matrix[first], labels.select(first))))
    return result
