"""How often do 95 % intervals hold the truth when vehicles are few?

    python benchmarks/intervals.py [--sets N]

Draws many sets of vehicles of one kind as embeddings of two models, scores and compares them and calibrates the first.
The truth is the mean over four times as many other sets of the same size. A percentile bootstrap over vehicles, as many
would write it, is measured on the same sets. Writes results/intervals.json.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from results import write_results

from samecar.calibration import MeasuredRate
from samecar.calibration.fitting import fit_calibration
from samecar.cli.console import say
from samecar.embedding.embeddings import Embeddings
from samecar.evaluation import find_protocol, score
from samecar.evaluation.results import Evaluation
from samecar.labels import Labels
from samecar.uncertainty import CHANCE, Comparison, compare

CAMERAS, QUERY_CAMERAS, SIZE = 4, 2, 12
SHARED = 0.8
"""What two models have in common of a picture's deviation; the second deviates `WORSE` times as much."""
WORSE = 1.2
SAMPLES = 1000
"""Of the bootstrap."""

SCORES = ("mAP", "mINP", "rank-1", "TPR@FPR=0.01")
COMPARED = ("mAP", "mINP", "rank-1")
RATES = ("false_alarm", "detection", "identification")
Ends = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """Vehicles of one kind.

    Attributes:
        vehicles: in a set.
        noise: how far a vehicle's pictures lie from each other; high scores have little.
    """

    vehicles: int
    noise: float


KINDS = (Kind(8, 0.4), Kind(20, 0.3), Kind(20, 0.8), Kind(60, 0.3), Kind(60, 0.8))
CALIBRATED = (Kind(20, 0.8), Kind(40, 0.8))


class Models(NamedTuple):
    """Two models' embeddings of the same pictures, which all are gallery pictures."""

    first: Embeddings
    second: Embeddings


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400, help="drawn of each kind")
    sets = parser.parse_args().sets
    kinds = []
    for kind in KINDS:
        say(f"{kind.vehicles} vehicles, noise {kind.noise}: scores and differences")
        kinds.append({**vars(kind), "scores": cover_scores(kind, sets), "differences": cover_differences(kind, sets)})
    for kind in CALIBRATED:
        say(f"{kind.vehicles} vehicles, noise {kind.noise}: calibrations")
        kinds.append({**vars(kind), "calibrations": cover_calibrations(kind, sets)})
    say(f"Wrote {write_results('intervals', {'sets': sets, 'kinds': kinds})}")


def cover_scores(kind: Kind, sets: int) -> dict[str, Any]:
    """How often intervals of scores hold the truth, and how wide they are."""
    truth = _mean(_values(_evaluate(each.first)) for each in draw(kind, 4 * sets, seed=2))
    evaluations = [_evaluate(each.first) for each in draw(kind, sets, seed=1)]
    bootstrapped = [percentiles(evaluation) for evaluation in evaluations]
    return {
        name: {
            "truth": truth[name],
            "samecar": _coverage([each.intervals[name] for each in evaluations], truth[name]),
            "percentile bootstrap": _coverage([ends[name] for ends in bootstrapped], truth[name]),
        }
        for name in SCORES
    }


def cover_differences(kind: Kind, sets: int) -> dict[str, Any]:
    """The same of differences between two models, and how many intervals contradict their p-value."""
    truth = _mean(_differences(each) for each in draw(kind, 4 * sets, seed=2))
    found = [_compare(each) for each in draw(kind, sets, seed=1)]
    return {
        name: {
            "truth": truth[name],
            "samecar": _coverage([each[name].interval for each in found], truth[name]),
            "contradicting": sum(_contradicts(each[name]) for each in found),
        }
        for name in COMPARED
    }


def cover_calibrations(kind: Kind, sets: int) -> dict[str, Any]:
    """The same of a calibration's rates."""
    truth = _mean({name: rate.rate for name, rate in _calibrate(each).items()} for each in draw(kind, sets, seed=2))
    found = [_calibrate(each) for each in draw(kind, sets, seed=1)]
    return {
        name: {
            "truth": truth[name],
            "samecar": _coverage([(each[name].low or 0.0, each[name].high or 0.0) for each in found], truth[name]),
        }
        for name in RATES
    }


def draw(kind: Kind, sets: int, *, seed: int) -> Iterator[Models]:
    """So many sets; vehicles differ in how far their pictures lie from each other."""
    vehicles = np.repeat(np.arange(kind.vehicles), CAMERAS).astype(np.str_)
    labels = Labels(vehicles, np.tile(np.arange(CAMERAS), kind.vehicles).astype(np.str_))
    for number in range(sets):
        generator = np.random.default_rng([seed, number])
        centres = generator.standard_normal((kind.vehicles, 1, SIZE))
        spread = kind.noise * np.exp(0.5 * generator.standard_normal((kind.vehicles, 1, 1)))
        common, first, second = generator.standard_normal((3, kind.vehicles, CAMERAS, SIZE))
        pictures = [
            centres + times * spread * (SHARED * common + np.sqrt(1 - SHARED**2) * own)
            for own, times in ((first, 1.0), (second, WORSE))
        ]
        yield Models(*(Embeddings(each.reshape(-1, SIZE).astype(np.float32), labels) for each in pictures))


def percentiles(evaluation: Evaluation) -> dict[str, Ends]:
    """A percentile bootstrap over vehicles."""
    assert evaluation.queries is not None
    _, vehicles = np.unique(evaluation.queries.labels.vehicle_id, return_inverse=True)
    count = int(vehicles.max()) + 1
    drawn = np.random.default_rng(0).integers(count, size=(SAMPLES, count))
    ends = {}
    for name in SCORES:
        total, weight = evaluation.queries.metrics[name].by_vehicle(vehicles)
        low, high = np.quantile(total[drawn].sum(axis=1) / weight[drawn].sum(axis=1), [0.025, 0.975]).tolist()
        ends[name] = (low, high)
    return ends


def _evaluate(gallery: Embeddings) -> Evaluation:
    queries = gallery.select(np.flatnonzero(gallery.labels.camera_id < str(QUERY_CAMERAS)))
    return score(queries, gallery, find_protocol("plain"))


def _values(evaluation: Evaluation) -> dict[str, float]:
    assert evaluation.queries is not None
    return {name: evaluation.queries.metrics[name].mean for name in SCORES}


def _differences(models: Models) -> dict[str, float]:
    first, second = (_values(_evaluate(embeddings)) for embeddings in models)
    return {name: second[name] - first[name] for name in COMPARED}


def _compare(models: Models) -> dict[str, Comparison]:
    first, second = (_evaluate(embeddings).queries for embeddings in models)
    assert first is not None
    assert second is not None
    return {
        name: compare(first.metrics[name], second.metrics[name], first.labels.vehicle_id, samples=2000)
        for name in COMPARED
    }


def _contradicts(comparison: Comparison) -> bool:
    low, high = comparison.interval
    return (low <= 0 <= high) != (comparison.p_value >= CHANCE)


def _calibrate(models: Models) -> dict[str, MeasuredRate]:
    quality = fit_calibration(models.first.matrix, models.first.labels).calibration.quality
    return {name: getattr(quality, name) for name in RATES}


def _mean(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    every = list(found)
    return {name: float(np.mean([each[name] for each in every])) for name in every[0]}


def _coverage(intervals: list[Ends], truth: float) -> dict[str, float]:
    low, high = np.array(intervals).T
    return {"holds": float(np.mean((low <= truth) & (truth <= high))), "width": float(np.mean(high - low))}


if __name__ == "__main__":
    main()
