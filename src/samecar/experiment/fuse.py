"""Several runs become one model; how much each counts is chosen on train vehicles that none of them has seen."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samecar.data import Manifest, as_manifest
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import protocol_of
from samecar.experiment.composite import (
    FEWEST_HELD_OUT,
    CompositeModel,
    HeldOut,
    TrainedModel,
    facts_of_part,
    finished_model,
    held_out_vehicles,
    joint_data,
    refuse_used,
    save_composite,
    with_network,
)
from samecar.experiment.evaluate import score_splits
from samecar.files import as_path
from samecar.hardware import Machine, machine
from samecar.models.composite import CompositeEmbedder, without_classifier
from samecar.progress import Progress, show_progress, silent

MOST_TRIED = 1000
"""Weights that are tried, about; with more models the steps between them are wider."""

FINEST = 20
"""Steps between a weight of 0 and one of 1, at most."""

Weights = tuple[float, ...]


def fuse(
    runs: Sequence[TrainedModel | str | Path],
    data: Manifest | str | Path,
    out: str | Path,
    *,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
) -> CompositeModel:
    """Joins the models of several runs, with weights that give the best mAP on vehicles that none was trained on.

        >>> fused = samecar.fuse(["runs/first", "runs/second"], "veri776:VeRi", "fused")
        >>> samecar.evaluate(fused, "veri776:VeRi")
        Evaluation(mAP 71.2, rank-1 94.0; veri776, 1,678 queries)

    The vehicles are train vehicles, held out from all of the runs, as `training.validation` with one seed does; test
    vehicles are not looked at. The mAP that is noted of the fusion is the best of many on these vehicles, so it is
    optimistic. A model whose best weight is 0 is left out.

    Args:
        runs: finished runs, reduced models or fused ones, or their folders; two or more.
        data: a manifest, or a source such as `veri776:PATH`: what they were trained on.
        out: folder to make, absent or empty.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.

    Returns:
        The fused model; `facts` has the mAP of each alone and of all together, and which vehicles they are of.

    Raises:
        SamecarError: there are fewer than two models, one has not ended, the runs share no held-out vehicles, or no
            fusion is better than one model alone.
    """
    folder = as_path(out, "out")
    refuse_used(folder)
    models = [with_network(finished_model(run)) for run in runs]
    _refuse_few(models)
    manifest = as_manifest(data)
    held_out = _shared_vehicles(models, manifest)
    networks = [without_classifier(model.load_model()) for model in models]
    on = on or machine()
    even = CompositeEmbedder(networks, [1 / len(networks)] * len(networks)).eval().to(on.device)
    with show_progress(progress) as report:
        embeddings = embed(even, held_out.pictures, workers=on.workers, progress=report)
        columns = np.split(embeddings.matrix * math.sqrt(len(networks)), np.cumsum(even.widths)[:-1], axis=1)
        scores = _try_weights(columns, embeddings, report)
    alone = [scores[_only(number, len(models))] for number in range(len(models))]
    best = _choose(scores)
    kept = [number for number, weight in enumerate(best) if weight]
    if len(kept) == 1:
        raise SamecarError(
            f"no fusion is better than {models[kept[0]].folder} alone, with mAP {100 * alone[kept[0]]:.1f} on "
            f"{held_out.words}; use it alone, or fuse models that differ more"
        )
    fused = CompositeEmbedder([networks[number] for number in kept], [best[number] for number in kept]).eval().cpu()
    left_out = [
        {"folder": str(model.folder), "mAP": alone[number]} for number, model in enumerate(models) if number not in kept
    ]
    return save_composite(
        folder,
        fused,
        [{**facts_of_part(models[number]), "weight": best[number], "mAP": alone[number]} for number in kept],
        joint_data([models[number] for number in kept]),
        chosen_on={**held_out.facts(), "mAP": scores[best], "weights_tried": len(scores), "left_out": left_out},
    )


def grid_of_weights(models: int) -> list[Weights]:
    """Weights that sum to 1: equal ones, then all whole multiples of a step that leaves no more than about 1,000.

    Args:
        models: how many.
    """
    steps = max(count for count in range(1, FINEST + 1) if count == 1 or _grid_size(models, count) <= MOST_TRIED)
    return list(dict.fromkeys([(1 / models,) * models, *_grid(models, steps)]))


def _grid_size(models: int, steps: int) -> int:
    return math.comb(steps + models - 1, models - 1)


def _grid(models: int, steps: int) -> Iterator[Weights]:
    """Each way to share so many steps among the models: bars are put between stars."""
    for bars in combinations(range(steps + models - 1), models - 1):
        ends = (-1, *bars, steps + models - 1)
        yield tuple((after - before - 1) / steps for before, after in pairwise(ends))


def _only(number: int, models: int) -> Weights:
    return tuple(float(each == number) for each in range(models))


def _choose(scores: dict[Weights, float]) -> Weights:
    """The weights with the best mAP; of equally good ones those that are most alike."""
    return max(scores, key=lambda weights: (round(scores[weights], 9), -sum(weight**2 for weight in weights)))


def _try_weights(
    columns: Sequence[NDArray[np.float32]], joined: Embeddings, progress: Progress
) -> dict[Weights, float]:
    """The mAP of each of the weights on a grid.

    Args:
        columns: of each model, embeddings (pictures, size) of length one.
        joined: the embeddings of all models in one, of the same queries and gallery.
        progress: is told of all weights.
    """
    protocol = protocol_of(joined.manifest)
    scores = {}
    grid = grid_of_weights(len(columns))
    for weights in grid:
        parts = [math.sqrt(weight) * part for weight, part in zip(weights, columns, strict=True) if weight]
        embeddings = replace(joined, matrix=np.concatenate(parts, axis=1, dtype=np.float32))
        scored = score_splits(embeddings, protocol, distance="cosine")
        scores[weights] = scored.mean_average_precision
        progress("choosing weights", len(scores), len(grid))
    return scores


def _refuse_few(models: Sequence[TrainedModel]) -> None:
    folders = [str(model.folder) for model in models]
    if len(models) < 2:
        raise SamecarError(f"{len(models)} model is given to fuse: {', '.join(folders) or 'none'}; give two or more")
    digests = [model.model_digest() for model in models]
    for number, own in enumerate(digests):
        if own in digests[:number]:
            raise SamecarError(
                f"{folders[number]} is the same model as {folders[digests.index(own)]}; give each model once"
            )


def _shared_vehicles(models: Sequence[TrainedModel], manifest: Manifest) -> HeldOut:
    """The train vehicles that no model has seen, as a test set."""
    held_out = held_out_vehicles(models, manifest)
    if held_out.vehicles >= FEWEST_HELD_OUT:
        return held_out
    each = [held_out_vehicles([model], manifest).vehicles for model in models]
    mending = (
        "train each with the same --validation 0.1 and the same training.seed, so that all hold the same vehicles out"
    )
    if not max(each):
        raise SamecarError(
            f"none of the models held out train vehicles of {manifest.name}, and weights that are chosen on others "
            f"would be wrong; {mending}"
        )
    counts = ", ".join(f"{model.folder} has {count}" for model, count in zip(models, each, strict=True))
    raise SamecarError(
        f"the models share {held_out.vehicles} held-out train vehicles of {manifest.name} that two cameras saw "
        f"({counts}), and {FEWEST_HELD_OUT} are needed to choose weights; {mending}"
    )
