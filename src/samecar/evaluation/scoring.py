"""From embeddings and a protocol to scores that carry their protocol card."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError, check_seed
from samecar.evaluation.breakdown import GroupScore, by_camera_pair, by_label
from samecar.evaluation.metrics import average_precisions, first_ranks, inverse_negative_penalties
from samecar.evaluation.options import Options
from samecar.evaluation.protocols import Protocol, Relevance, refuse_trackless
from samecar.evaluation.results import (
    CONFIDENCE,
    NEIGHBOUR_TIES,
    TIES,
    Evaluation,
    ProtocolCard,
    Provenance,
    QueryScores,
)
from samecar.labels import Labels
from samecar.similarity.counting import Matches, Relevant, count_in_distances, count_matches
from samecar.similarity.expansion import average_query_expansion, database_augmentation
from samecar.similarity.products import Distance, Matrix, check_embeddings
from samecar.similarity.reranking import k_reciprocal_distances
from samecar.similarity.thresholds import FALSE_POSITIVE_RATES, OperatingPoint
from samecar.uncertainty import Scores, confidence_intervals


def score(
    query: Embeddings,
    gallery: Embeddings,
    protocol: Protocol,
    *,
    distance: Distance = "euclidean",
    seed: int = 1,
    provenance: Provenance | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Scores embeddings under a protocol.

    Args:
        query: embeddings (queries, size) with their labels.
        gallery: embeddings (gallery, size) with their labels. Under a protocol that draws its galleries, queries and
            gallery are one pool.
        protocol: the rules.
        distance: between embeddings: euclidean or cosine.
        seed: of random galleries, if the protocol draws any.
        provenance: what the card says of data and model.
        options: what else may be chosen.

    Raises:
        SamecarError: there is no query or no gallery picture, no query has a match, or the embeddings of queries and
            gallery differ in width, or hold NaN or infinite values.
    """
    provenance, options = provenance or Provenance(), options or Options()
    results = []
    for rows, draw in _draws(query, gallery, protocol, seed):
        results.append(_score_once(*draw, protocol, distance, options))
        drawn, sizes = rows, (len(draw[0]), len(draw[1]))
    last = results[-1]
    mean = {name: float(np.mean([result.scores[name] for result in results])) for name in last.scores}
    queries = _join_draws([result.queries for result in results])
    intervals = confidence_intervals(
        {name: queries.metrics[name] for name in _metric_names(options)},
        queries.labels.vehicle_id,
    )
    gallery_rule = protocol.gallery_rule
    deviation: dict[str, float] = {}
    if drawn is not None:
        gallery_rule += f", mean of {len(results)} draws with seed {seed}"
        names = _metric_names(options, rates=())
        deviation = {name: float(np.std([result.scores[name] for result in results])) for name in names}
    tables = {
        "camera pair": last.camera_pairs if drawn is None else [],
        "type": by_label(queries.metrics, queries.labels.type),
        "colour": by_label(queries.metrics, queries.labels.colour),
    }
    skipped = int((last.queries.matches == 0).sum())
    return Evaluation(
        mean_average_precision=mean["mAP"],
        mean_inverse_negative_penalty=mean["mINP"],
        cmc={rank: mean[f"rank-{rank}"] for rank in options.ranks},
        card=_card(
            protocol,
            provenance,
            options,
            distance=distance,
            gallery_rule=gallery_rule,
            confidence=CONFIDENCE if intervals else "none",
            sizes=sizes,
            skipped=skipped,
        ),
        average_precisions=last.queries.metrics["mAP"].values,
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
        tables={name: rows for name, rows in tables.items() if rows},
        queries=queries,
    )


def _card(
    protocol: Protocol,
    provenance: Provenance,
    options: Options,
    *,
    distance: Distance,
    gallery_rule: str,
    confidence: str,
    sizes: tuple[int, int],
    skipped: int,
) -> ProtocolCard:
    """The card of scores over so many queries and gallery pictures, of which some queries were skipped."""
    steps = [*provenance.post_processing, *(step.describe() for step in options.post_processing)]
    return ProtocolCard(
        protocol=protocol.name,
        data=provenance.data,
        data_digest=provenance.data_digest,
        model=provenance.model,
        initial_weights=provenance.initial_weights,
        junk_rule=protocol.junk,
        gallery_rule=gallery_rule,
        distance=distance,
        ties=f"{TIES}; {NEIGHBOUR_TIES}" if options.post_processing else TIES,
        interpolation=options.interpolation,
        precision=_precision(options),
        post_processing="; ".join(steps) or "none",
        side_information=provenance.side_information,
        epoch_choice=provenance.epoch_choice,
        seed=provenance.seed,
        confidence=confidence,
        queries_scored=sizes[0] - skipped,
        queries_skipped=skipped,
        gallery_pictures=sizes[1],
        published_size=_describe_published(protocol, sizes),
        embedding=provenance.embedding,
        runtime=provenance.runtime,
    )


def _draws(
    query: Embeddings, gallery: Embeddings, protocol: Protocol, seed: int
) -> Iterator[tuple[tuple[NDArray[np.int64], NDArray[np.int64]] | None, tuple[Embeddings, Embeddings]]]:
    """Each draw's query and gallery rows, counted in the pool of queries followed by gallery, and what they hold.

    One draw is in memory at a time.
    """
    if protocol.gallery == "all":
        yield None, (query, gallery)
        return
    check_embeddings(query.matrix, gallery.matrix)
    matrix = np.concatenate([query.matrix, gallery.matrix]) if len(query) else gallery.matrix
    pool = Embeddings(matrix, Labels.concatenate([query.labels, gallery.labels]))
    vehicles, known = pool.labels.vehicle_id, pool.labels.labelled
    labelled, distractors = np.flatnonzero(known), np.flatnonzero(~known)
    generator = np.random.default_rng(check_seed(seed))
    for _ in range(protocol.draws):
        order = generator.permutation(labelled)
        one_of_each = order[np.unique(vehicles[order], return_index=True)[1]]
        drawn = np.union1d(one_of_each, distractors)
        rest = np.setdiff1d(labelled, one_of_each)
        yield (rest, drawn), (pool.select(rest), pool.select(drawn))


class _Result(NamedTuple):
    """What one gallery gives."""

    queries: QueryScores
    scores: dict[str, float]
    curve: NDArray[np.float64]
    thresholds: dict[float, float]
    camera_pairs: list[GroupScore]


def _score_once(
    query: Embeddings, gallery: Embeddings, protocol: Protocol, distance: Distance, options: Options
) -> _Result:
    if not len(query) or not len(gallery):
        raise SamecarError(
            f"there are {len(query)} query and {len(gallery)} gallery pictures; both are needed to score, "
            "and `samecar data split` makes them"
        )
    refuse_trackless(gallery.labels.track_id, protocol)
    tracks = gallery.labels.tracks() if protocol.ranked == "tracks" else None
    track_of, units = tracks or (None, gallery.labels)
    relevant = Relevance(query.labels, gallery.labels, protocol, tracks).of
    matches = _matches(query.matrix, gallery.matrix, relevant, track_of, distance, options)
    if not len(matches.ranks):
        raise SamecarError(
            f"none of {len(query)} queries has a match in the gallery under protocol {protocol.name!r} "
            f"(junk: {protocol.junk}); check vehicle and camera ids with `samecar data check`"
        )
    counts, ranks = matches.counts, matches.ranks
    first = first_ranks(ranks, counts)
    alike = np.ones(len(query))
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
        found = np.bincount(np.repeat(np.arange(len(query)), counts), accepted, minlength=len(query))
        shares = np.divide(found, counts, out=np.full(len(query), np.nan), where=counts > 0)
        metrics[_rate_name(rate)] = Scores(shares, counts.astype(np.float64))
        scores[_rate_name(rate)] = point.true_positive_rate
        thresholds[rate] = _as_distance(point.threshold, distance, options)
    return _Result(
        QueryScores(query.labels, np.zeros(len(query), np.int64), counts, first, metrics),
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


def _join_draws(parts: list[QueryScores]) -> QueryScores:
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


def _within(first: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    return np.where(np.isnan(first), np.nan, first <= rank)


def _metric_names(options: Options, rates: Sequence[float] = FALSE_POSITIVE_RATES) -> list[str]:
    """Names of the metrics that an evaluation gives."""
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


def _describe_published(protocol: Protocol, sizes: tuple[int, int]) -> str:
    if protocol.published is None:
        return "–"
    queries, pictures = protocol.published
    stated = f"{queries:,} queries, {pictures:,} gallery pictures"
    return f"{stated}, as here" if sizes == protocol.published else f"{stated}, not as here"
