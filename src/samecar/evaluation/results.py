"""What scoring gives: scores, each query by itself, and the card that says what they depend on."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.config import digest
from samecar.embedding.embeddings import FLIP, FLIPPED, NOT_STATED, Embeddings
from samecar.errors import SamecarError
from samecar.evaluation.breakdown import GroupScore
from samecar.labels import LABELS, Labels
from samecar.notebook import html_table
from samecar.similarity.thresholds import OperatingPoint
from samecar.uncertainty import Scores

TIES = "a picture that is as near as a match comes before it"
UNSAID = ("embedding", "runtime")
"""Lines of the card that are left out where there is nothing to say."""

CONFIDENCE = "95 % over the choice of vehicles, with gallery and thresholds as they are"
NEIGHBOUR_TIES = "of equally near neighbours, those first in the order of queries and gallery are taken"
"""What is said besides where neighbours are averaged or compared, in which nothing tells for or against the model."""


@dataclass(frozen=True)
class ProtocolCard:
    """All that a number depends on besides the model's weights; printed and saved beside every result.

    `embedding` says which of a network's features was compared; it is None, and no line, where there is one alone.
    `runtime` says what ran the network, and the numbers that it computed with; it is None, and no line, on cards of
    before and where nobody says it.
    """

    protocol: str
    data: str
    data_digest: str
    model: str
    initial_weights: str
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
    embedding: str | None = None
    runtime: str | None = None

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of a heading and its value, to print."""
        return [
            (name.replace("_", " "), "–" if value is None else str(value)) for name, value in self.as_dict().items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """What is saved of it."""
        content = asdict(self)
        return {name: value for name, value in content.items() if value is not None or name not in UNSAID}


@dataclass(frozen=True)
class Provenance:
    """Where the embeddings that are scored came from; goes onto the card unchanged.

    Attributes:
        data: which pictures.
        data_digest: of their rows.
        model: its digest.
        initial_weights: what its training began with.
        side_information: what was read besides the pictures.
        epoch_choice: how the epoch was chosen.
        seed: of training.
        post_processing: what was done while embedding, such as averaging with the mirrored picture.
        embedding: which of the network's features was compared; None where there is one alone.
        runtime: what ran the network; None where nobody says it.
    """

    data: str = "embeddings"
    data_digest: str = "not stated"
    model: str = NOT_STATED
    initial_weights: str = NOT_STATED
    side_information: str = "none"
    epoch_choice: str = "not stated"
    seed: int | None = None
    post_processing: tuple[str, ...] = ()
    embedding: str | None = None
    runtime: str | None = None


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

    def __repr__(self) -> str:
        scores = f"mAP {100 * self.mean_average_precision:.1f}, rank-1 {100 * self.cmc[1]:.1f}"
        return f"{type(self).__name__}({scores}; {self.card.protocol}, {self.card.queries_scored:,} queries)"

    def interval_text(self, name: str) -> str:
        """Ends of a metric's interval in percent, such as "41.3 to 47.9"; "" where too few vehicles were scored."""
        low, high = self.intervals.get(name, (math.nan, math.nan))
        return "" if math.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"

    def _repr_html_(self) -> str:
        """What a notebook shows: scores with their intervals, and the card."""
        values = {"mAP": self.mean_average_precision, "mINP": self.mean_inverse_negative_penalty}
        values |= {f"rank-{rank}": value for rank, value in self.cmc.items()}
        scores = [(name, f"{100 * value:.1f}", self.interval_text(name)) for name, value in values.items()]
        headings = ("", "%", "95 % interval")
        return html_table("Scores", scores, headings) + html_table("Protocol card", self.card.lines())

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
            "protocol": self.card.as_dict(),
        }


def provenance_of(paths: tuple[Path, Path], sides: tuple[Embeddings, Embeddings]) -> Provenance:
    """What the card says of loaded embeddings.

    Args:
        paths: of the queries and of the gallery.
        sides: what was read from them; .npz files of `samecar embed` tell their model.

    Raises:
        SamecarError: two models made them.
    """
    models = [side.model for side in sides]
    known = sorted(set(models) - {NOT_STATED})
    if len(known) > 1:
        raise SamecarError(f"{paths[0]} was made by model {models[0]} and {paths[1]} by {models[1]}; embed both anew")
    model = known[0] if known else NOT_STATED
    return Provenance(
        data=f"{paths[0].name} against {paths[1].name}",
        data_digest=digest([[getattr(side.labels, name).tolist() for name in LABELS] for side in sides]),
        model=model,
        post_processing=(FLIP,) if model.endswith(FLIPPED) else (),
        runtime=" and ".join(sorted({side.runtime for side in sides} - {NOT_STATED})) or None,
    )
