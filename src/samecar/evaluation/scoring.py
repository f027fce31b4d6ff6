"""From embeddings and a protocol to scores that carry their protocol card."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.evaluation.breakdown import GroupScore, by_camera_pair, by_label
from samecar.evaluation.metrics import Interpolation, average_precisions, first_ranks, inverse_negative_penalties
from samecar.evaluation.protocols import Protocol, Relevance
from samecar.labels import Labels
from samecar.similarity.counting import Matches, Relevant, Work, count_in_distances, count_matches
from samecar.similarity.expansion import (
    AverageQueryExpansion,
    DatabaseAugmentation,
    PostProcessing,
    average_query_expansion,
    database_augmentation,
)
from samecar.similarity.products import Distance, Matrix, check_embeddings
from samecar.similarity.reranking import KReciprocal, k_reciprocal_distances
from samecar.similarity.thresholds import FALSE_POSITIVE_RATES, OperatingPoint
from samecar.uncertainty import SAMPLES, Scores, confidence_intervals

CMC_RANKS = (1, 5, 10, 20)
TIES = "a picture that is as near as a match comes before it"


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
    ties: str
    interpolation: str
    precision: str
    post_processing: str
    side_information: str
    epoch_choice: str
    seed: int | None
    confidence: str
    queries_scored: int
    queries_skipped: int
    gallery_pictures: int
    published_size: str

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of a heading and its value, to print."""
        return [(name.replace("_", " "), "–" if value is None else str(value)) for name, value in asdict(self).items()]


@dataclass(frozen=True)
class Provenance:
    """Where the embeddings that are scored came from; goes onto the card unchanged.

    Attributes:
        data: which pictures.
        data_digest: of their rows.
        model: its digest.
        side_information: what was read besides the pictures.
        epoch_choice: how the epoch was chosen.
        seed: of training.
        post_processing: what was done while embedding, such as averaging with the mirrored picture.
    """

    data: str = "embeddings"
    data_digest: str = "not stated"
    model: str = "not stated"
    side_information: str = "none"
    epoch_choice: str = "not stated"
    seed: int | None = None
    post_processing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What may be chosen besides protocol and distance; all that changes a number is on the card.

    Attributes:
        ranks: at which CMC is told; 1 always is.
        interpolation: of average precision, see `metrics.average_precision`.
        database_augmentation: done first, if at all.
        query_expansion: done on what that gives.
        rerank: done last.
        bootstrap: samples of vehicles behind the confidence intervals; 0 gives none.
        work: how ranks are counted; changes no number by more than rounding.

    Raises:
        SamecarError: a rank is not a whole number from 1, or there is none.
    """

    ranks: tuple[int, ...] = CMC_RANKS
    interpolation: Interpolation = "none"
    database_augmentation: DatabaseAugmentation | None = None
    query_expansion: AverageQueryExpansion | None = None
    rerank: KReciprocal | None = None
    bootstrap: int = SAMPLES
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        if not self.ranks or min(self.ranks) < 1:
            raise SamecarError(f"CMC was asked for at {list(self.ranks)}; give ranks from 1, such as 1,5,10")
        object.__setattr__(self, "ranks", tuple(sorted({1, *self.ranks})))

    @property
    def post_processing(self) -> list[PostProcessing]:
        """What is done to embeddings and distances, in this order."""
        steps = (self.database_augmentation, self.query_expansion, self.rerank)
        return [step for step in steps if step is not None]


class Labelled(NamedTuple):
    """Embeddings and who is seen on them."""

    matrix: Matrix  # (pictures, size)
    labels: Labels

    @property
    def rows(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def select(self, rows: NDArray[np.int64]) -> "Labelled":
        """Some of the pictures."""
        return Labelled(self.matrix[rows], self.labels.select(rows))


class QueryScores(NamedTuple):
    """Each query by itself; with several draws, one draw's queries after the other's.

    Attributes:
        labels: of the queries, (queries,).
        draw: (queries,) from 0.
        matches: (queries,) how many each has.
        first_match: (queries,) the rank of the first, NaN for a skipped query.
        metrics: by name: mAP, mINP, rank-1 and so on, TPR@FPR=0.0001 and so on.
    """

    labels: Labels
    draw: NDArray[np.int64]
    matches: NDArray[np.int64]
    first_match: NDArray[np.float64]
    metrics: dict[str, Scores]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record for each query, for a table; empty where it was skipped."""
        names = {"average_precision": "mAP", "inverse_negative_penalty": "mINP"}
        for query in range(len(self.labels)):
            scored = self.matches[query] > 0
            yield {
                "draw": int(self.draw[query]),
                "path": str(self.labels.path[query]) or f"query {query}",
                "vehicle_id": str(self.labels.vehicle_id[query]),
                "camera_id": str(self.labels.camera_id[query]),
                "matches": int(self.matches[query]),
                "first_match": int(self.first_match[query]) if scored else "",
                **{
                    column: repr(float(self.metrics[name].values[query])) if scored else ""
                    for column, name in names.items()
                },
            }


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one data set under one protocol.

    Attributes:
        mean_average_precision: mAP, from 0 to 1.
        mean_inverse_negative_penalty: mINP, from 0 to 1.
        cmc: share of queries with a match at or before a rank, by rank.
        card: what the numbers depend on.
        average_precisions: (queries,) the AP of each query, NaN for a skipped one; of the last draw, if several.
        cmc_curve: (ranks,) the share at every rank up to the largest that was asked for.
        deviation: standard deviation over the protocol's draws; empty where nothing is drawn.
        drawn: query and gallery rows of the last draw, counted in the pool of queries followed by gallery; None where
            nothing is drawn.
        intervals: of 95 % confidence, by metric; empty where too few vehicles were scored.
        verification: what one threshold for all pairs gives, by false positive rate; the mean of all draws.
        tables: scores by camera pair, type and colour, where these are known.
        queries: each query by itself, of all draws.
    """

    mean_average_precision: float
    mean_inverse_negative_penalty: float
    cmc: dict[int, float]
    card: ProtocolCard
    average_precisions: NDArray[np.float64] = field(repr=False)
    cmc_curve: NDArray[np.float64] = field(repr=False)
    deviation: dict[str, float] = field(default_factory=dict)
    drawn: tuple[NDArray[np.int64], NDArray[np.int64]] | None = field(default=None, repr=False)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    verification: dict[float, OperatingPoint] = field(default_factory=dict)
    tables: dict[str, list[GroupScore]] = field(default_factory=dict, repr=False)
    queries: QueryScores | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """What is saved and what `--json` prints."""
        return {
            "mAP": self.mean_average_precision,
            "mINP": self.mean_inverse_negative_penalty,
            "cmc": {str(rank): value for rank, value in self.cmc.items()},
            "queries": self.card.queries_scored,
            "skipped": self.card.queries_skipped,
            "deviation": self.deviation,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "verification": {
                f"{rate:g}": {
                    "TPR": point.true_positive_rate,
                    "distance": point.threshold if math.isfinite(point.threshold) else None,
                }
                for rate, point in self.verification.items()
            },
            "tables": {name: [row._asdict() for row in rows] for name, rows in self.tables.items()},
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
    options: Options | None = None,
) -> Evaluation:
    """Scores embeddings under a protocol.

    Args:
        query: embeddings (queries, size) and their labels.
        gallery: embeddings (gallery, size) and their labels. Under a protocol that draws its galleries, queries and
            gallery are one pool.
        protocol: the rules.
        distance: between embeddings.
        seed: of the protocol's random galleries, if it draws any, and of the confidence intervals.
        provenance: what the card says of data and model.
        options: what else may be chosen.

    Raises:
        SamecarError: there is no query or no gallery picture, no query has a match, or the embeddings of queries and
            gallery differ in width, are not as many as their labels, or hold NaN or infinite values.
    """
    provenance, options = provenance or Provenance(), options or Options()
    for name, side in (("query", query), ("gallery", gallery)):
        if len(side.matrix) != side.rows:
            raise SamecarError(f"{len(side.matrix)} {name} embeddings have {side.rows} labels; give one for each")
    results = []
    for rows, draw in _draws(query, gallery, protocol, seed):
        results.append(_score_once(*draw, protocol, distance, options))
        drawn, sizes = rows, (draw[0].rows, draw[1].rows)
    names = results[0].scores.keys()
    mean = {name: float(np.mean([result.scores[name] for result in results])) for name in names}
    queries = _joined([result.queries for result in results])
    skipped = int((results[-1].queries.matches == 0).sum())
    intervals = confidence_intervals(
        {name: queries.metrics[name] for name in _told(options)},
        queries.labels.vehicle_id,
        samples=options.bootstrap,
        seed=seed,
    )
    if protocol.gallery == "one per vehicle":
        gallery_rule = f"{protocol.gallery_rule}, mean of {len(results)} draws with seed {seed}"
        deviation = {
            name: float(np.std([result.scores[name] for result in results])) for name in _told(options, rates=())
        }
    else:
        gallery_rule, deviation = protocol.gallery_rule, {}
    steps = [*provenance.post_processing, *(step.describe() for step in options.post_processing)]
    return Evaluation(
        mean_average_precision=mean["mAP"],
        mean_inverse_negative_penalty=mean["mINP"],
        cmc={rank: mean[f"rank-{rank}"] for rank in options.ranks},
        card=ProtocolCard(
            protocol=protocol.name,
            data=provenance.data,
            data_digest=provenance.data_digest,
            model=provenance.model,
            junk_rule=protocol.junk,
            gallery_rule=gallery_rule,
            distance=distance,
            ties=TIES,
            interpolation=options.interpolation,
            precision=_precision(options),
            post_processing="; ".join(steps) or "none",
            side_information=provenance.side_information,
            epoch_choice=provenance.epoch_choice,
            seed=provenance.seed,
            confidence=f"95 %, {options.bootstrap:,} bootstrap samples of vehicles" if intervals else "none",
            queries_scored=sizes[0] - skipped,
            queries_skipped=skipped,
            gallery_pictures=sizes[1],
            published_size=_published(protocol, sizes),
        ),
        average_precisions=results[-1].queries.metrics["mAP"].values,
        cmc_curve=np.mean([result.curve for result in results], axis=0),
        deviation=deviation,
        drawn=drawn,
        intervals=intervals,
        verification={
            rate: OperatingPoint(
                mean[_rate_name(rate)], float(np.mean([result.thresholds[rate] for result in results]))
            )
            for rate in FALSE_POSITIVE_RATES
        },
        tables={
            name: rows
            for name, rows in (
                ("camera pair", results[-1].camera_pairs if drawn is None else []),
                ("type", by_label(queries.metrics, queries.labels.type)),
                ("colour", by_label(queries.metrics, queries.labels.colour)),
            )
            if rows
        },
        queries=queries,
    )


class _Result(NamedTuple):
    """What one gallery gives."""

    queries: QueryScores
    scores: dict[str, float]
    curve: NDArray[np.float64]
    thresholds: dict[float, float]
    camera_pairs: list[GroupScore]


def _score_once(
    query: Labelled, gallery: Labelled, protocol: Protocol, distance: Distance, options: Options
) -> _Result:
    if not query.rows or not gallery.rows:
        raise SamecarError(
            f"there are {query.rows} query and {gallery.rows} gallery pictures; both are needed to score, "
            "and `samecar data split` makes them"
        )
    tracks, units = gallery.labels.tracks() if protocol.ranked == "tracks" else (None, gallery.labels)
    relevant = Relevance(query.labels, units, protocol).of
    matches = _matches(query.matrix, gallery.matrix, relevant, tracks, distance, options)
    if not len(matches.ranks):
        raise SamecarError(
            f"none of {query.rows} queries has a match in the gallery under protocol {protocol.name!r} "
            f"(junk: {protocol.junk}); check vehicle and camera ids with `samecar data check`"
        )
    counts, ranks = matches.counts, matches.ranks
    first = first_ranks(ranks, counts)
    alike = np.ones(query.rows)
    metrics = {
        "mAP": Scores(average_precisions(ranks, counts, options.interpolation), alike),
        "mINP": Scores(inverse_negative_penalties(ranks, counts), alike),
        **{f"rank-{rank}": Scores(_within(first, rank), alike) for rank in options.ranks},
    }
    scores = {name: metric.mean for name, metric in metrics.items()}
    thresholds = {}
    assert matches.others is not None  # it was asked for
    for rate in FALSE_POSITIVE_RATES:
        point = matches.others.operating_point(matches.distances, rate)
        accepted = matches.others.accepted(matches.distances, point.threshold)
        found = np.bincount(np.repeat(np.arange(query.rows), counts), accepted, minlength=query.rows)
        shares = np.divide(found, counts, out=np.full(query.rows, np.nan), where=counts > 0)
        metrics[_rate_name(rate)] = Scores(shares, counts.astype(np.float64))
        scores[_rate_name(rate)] = point.true_positive_rate
        thresholds[rate] = _as_distance(point.threshold, distance, options)
    return _Result(
        QueryScores(query.labels, np.zeros(query.rows, np.int64), counts, first, metrics),
        scores,
        np.array([np.mean(first[counts > 0] <= rank) for rank in range(1, max(options.ranks) + 1)]),
        thresholds,
        by_camera_pair(matches, query.labels.camera_id, units.camera_id),
    )


def _matches(
    queries: Matrix,
    gallery: Matrix,
    relevant: Relevant,
    tracks: NDArray[np.int64] | None,
    distance: Distance,
    options: Options,
) -> Matches:
    if options.post_processing:
        check_embeddings(queries, gallery)
    if options.database_augmentation:
        gallery = database_augmentation(gallery, options.database_augmentation.count, distance=distance)
    if options.query_expansion:
        queries = average_query_expansion(queries, gallery, options.query_expansion.count, distance=distance)
    if options.rerank is None:
        return count_matches(
            queries, gallery, relevant, distance=distance, tracks=tracks, pairs=True, work=options.work
        )
    if tracks is not None:
        raise SamecarError("re-ranking is defined for pictures, and this protocol ranks tracks; leave one of them out")
    return count_in_distances(
        k_reciprocal_distances(queries, gallery, distance=distance, **asdict(options.rerank)), relevant, pairs=True
    )


def _within(first: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    return np.where(np.isnan(first), np.nan, first <= rank)


def _told(options: Options, rates: Sequence[float] = FALSE_POSITIVE_RATES) -> list[str]:
    """Names of the metrics that are told."""
    return ["mAP", "mINP", *(f"rank-{rank}" for rank in options.ranks), *map(_rate_name, rates)]


def _rate_name(rate: float) -> str:
    return f"TPR@FPR={rate:g}"


def _as_distance(value: float, distance: Distance, options: Options) -> float:
    """A threshold as people state it: the Euclidean distance, one minus the cosine, or the re-ranked distance."""
    if options.rerank is not None:
        return value
    return value / 2 if distance == "cosine" else math.sqrt(value)


def _precision(options: Options) -> str:
    if options.rerank is not None:
        return "float32"
    made = options.work.precision
    return made if made == "float64" else f"{made}, near ties decided in float64"


def _published(protocol: Protocol, sizes: tuple[int, int]) -> str:
    if protocol.published is None:
        return "–"
    queries, pictures = protocol.published
    stated = f"{queries:,} queries, {pictures:,} gallery pictures"
    return f"{stated}, as here" if sizes == protocol.published else f"{stated}, not as here"


def _joined(parts: list[QueryScores]) -> QueryScores:
    if len(parts) == 1:
        return parts[0]
    return QueryScores(
        Labels.concatenate([part.labels for part in parts]),
        np.concatenate([np.full(len(part.matches), draw) for draw, part in enumerate(parts)]),
        np.concatenate([part.matches for part in parts]),
        np.concatenate([part.first_match for part in parts]),
        {
            name: Scores(
                np.concatenate([part.metrics[name].values for part in parts]),
                np.concatenate([part.metrics[name].weights for part in parts]),
            )
            for name in parts[0].metrics
        },
    )


def _draws(
    query: Labelled, gallery: Labelled, protocol: Protocol, seed: int
) -> Iterator[tuple[tuple[NDArray[np.int64], NDArray[np.int64]] | None, tuple[Labelled, Labelled]]]:
    """Each draw's query and gallery rows, counted in the pool of queries followed by gallery, and what they hold.

    One draw is in memory at a time.
    """
    if protocol.gallery == "all":
        yield None, (query, gallery)
        return
    check_embeddings(query.matrix, gallery.matrix)
    matrix = np.concatenate([query.matrix, gallery.matrix]) if query.rows else gallery.matrix
    pool = Labelled(matrix, Labels.concatenate([query.labels, gallery.labels]))
    vehicles = pool.labels.vehicle_id
    labelled, distractors = np.flatnonzero(vehicles != ""), np.flatnonzero(vehicles == "")
    generator = np.random.default_rng(seed)
    for _ in range(protocol.draws):
        order = generator.permutation(labelled)
        one_of_each = order[np.unique(vehicles[order], return_index=True)[1]]
        drawn = np.union1d(one_of_each, distractors)
        rest = np.setdiff1d(labelled, one_of_each)
        yield (rest, drawn), (pool.select(rest), pool.select(drawn))
