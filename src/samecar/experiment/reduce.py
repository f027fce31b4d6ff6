"""Shorter embeddings: principal components, with or without whitening, and what they cost in mAP."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from samecar.data import Manifest, as_manifest
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import is_test_set, of_test, protocol_of
from samecar.experiment.composite import (
    FEWEST_HELD_OUT,
    CompositeModel,
    HeldOut,
    TrainedModel,
    facts_of_part,
    finished_model,
    held_out_vehicles,
    refuse_used,
    save_composite,
    with_network,
)
from samecar.experiment.evaluate import score_splits
from samecar.files import as_path
from samecar.hardware import Machine, machine
from samecar.models.composite import CompositeEmbedder, without_classifier
from samecar.progress import Progress, show_progress, silent

SMALLEST_SHARE = 1e-6
"""Of the variance along the first component; a direction with less is rounding, and whitening would blow it up."""


class Components(NamedTuple):
    """Principal components of embeddings.

    Attributes:
        mean: (width,).
        directions: (size, width), of length one, the one with most variance first.
        variances: (size,), along each.
        kept: share of all variance that lies along them, 0 to 1.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]
    kept: float


def reduce(
    run: TrainedModel | str | Path,
    data: Manifest | str | Path,
    out: str | Path,
    *,
    size: int,
    whiten: bool = False,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
) -> CompositeModel:
    """Makes a model's embeddings shorter by principal components, and measures what that costs.

        >>> reduced = samecar.reduce("runs/first", "veri776:VeRi", "reduced", size=128)
        >>> reduced.facts["reduction"]["mAP"] - reduced.facts["reduction"]["mAP_before"]
        -0.004

    Components are fitted to the embeddings, at length one, of the pictures that the model was trained on. With
    whitening each is divided by its deviation there (Jégou and Chum, ECCV 2012). What comes out is at length one again.
    The mAP before and after is that of held-out train vehicles, or of the source's query and gallery pictures if the
    model held none out.

    Args:
        run: a finished run, or a fused model, or its folder.
        data: a manifest, or a source such as `veri776:PATH`: what it was trained on.
        out: folder to make, absent or empty.
        size: numbers in the embeddings afterwards.
        whiten: divide each component by its deviation.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.

    Raises:
        SamecarError: `size` is larger than the embeddings or than what the pictures allow, the source has no train
            pictures, or there is nothing to measure the mAP on.
    """
    folder = as_path(out, "out")
    refuse_used(folder)
    model, manifest = with_network(finished_model(run)), as_manifest(data)
    network = without_classifier(model.load_model())
    _refuse_size(size, network.embedding_size)
    fitting = _fitted_on(model, manifest)
    if size > len(fitting):
        raise SamecarError(f"size is {size}, but there are {len(fitting):,} train pictures; give at most so many")
    measuring = _measured_on(model, manifest)
    on = on or machine()
    whole = CompositeEmbedder([network], [1.0]).eval().to(on.device)
    with show_progress(progress) as report:
        matrix = embed(whole, fitting, workers=on.workers, progress=report).matrix
        components = principal_components(matrix, size)
        reduced = CompositeEmbedder([network], [1.0], size).eval().to(on.device)
        _fill(reduced, components, whiten=whiten)
        before, after = (_mean_average_precision(each, measuring.pictures, on, report) for each in (whole, reduced))
    reduction = {
        "size": size,
        "whiten": whiten,
        "width": network.embedding_size,
        "variance_kept": components.kept,
        "fitted_on": {"pictures": len(fitting), "data": fitting.name, "digest": fitting.digest},
        "measured_on": measuring.facts(),
        "mAP_before": before,
        "mAP": after,
    }
    part = {**facts_of_part(model), "weight": 1.0}
    return save_composite(folder, reduced.cpu(), [part], model.data, reduction=reduction)


def principal_components(matrix: NDArray[np.floating], size: int) -> Components:
    """The directions in which embeddings vary most; each with its largest number positive.

    Args:
        matrix: (pictures, width).
        size: how many directions.

    Raises:
        SamecarError: the embeddings vary in fewer directions.
    """
    embeddings = matrix.astype(np.float64)
    mean = embeddings.mean(axis=0)
    _, deviations, directions = np.linalg.svd(embeddings - mean, full_matrices=False)
    variances = deviations**2 / max(len(embeddings) - 1, 1)
    varied = int((variances > SMALLEST_SHARE * variances[0]).sum()) if variances[0] else 0
    if size > varied:
        raise SamecarError(
            f"size is {size}, but the embeddings of {len(matrix):,} train pictures vary in {varied} directions only; "
            f"give at most {varied}, or more pictures"
        )
    directions = directions[:size]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    kept = float(variances[:size].sum() / variances.sum())
    return Components(mean, directions * np.sign(largest), variances[:size], kept)


def _fill(model: CompositeEmbedder, components: Components, *, whiten: bool) -> None:
    directions = components.directions
    if whiten:
        directions = directions / np.sqrt(components.variances)[:, None]
    assert model.reduction is not None
    model.reduction.mean.copy_(torch.from_numpy(components.mean))
    model.reduction.components.copy_(torch.from_numpy(directions))


def _refuse_size(size: int, width: int) -> None:
    if not 1 <= size <= width:
        raise SamecarError(f"size is {size}; embeddings have {width:,} numbers, so give from 1 to {width}")


def _fitted_on(model: TrainedModel, manifest: Manifest) -> Manifest:
    """The train pictures of vehicles that the model was trained on; all of them if the source is another one."""
    train = manifest.of_split("train")
    if not len(train):
        raise SamecarError(f"{manifest.name} has no train pictures to fit components to; give what {model.folder} saw")
    known = np.flatnonzero(np.isin(train.vehicle_id, model.data.vehicles))
    return train.select(known) if len(known) else train


def _measured_on(model: TrainedModel, manifest: Manifest) -> HeldOut:
    """Held-out train vehicles that the components are not fitted to, or else the test set."""
    train = manifest.of_split("train")
    if np.isin(train.vehicle_id, model.data.vehicles).any():
        held_out = held_out_vehicles([model], manifest)
        if held_out.vehicles >= FEWEST_HELD_OUT:
            return held_out
    if is_test_set(manifest):
        test = of_test(manifest)
        return HeldOut(test, test.vehicle_count, "test vehicles")
    raise SamecarError(
        f"{manifest.name} has neither held-out train vehicles of {model.folder} nor query and gallery pictures, so the "
        "loss in mAP cannot be measured; train with --validation 0.1, or give a source with a test set"
    )


def _mean_average_precision(model: CompositeEmbedder, pictures: Manifest, on: Machine, progress: Progress) -> float:
    embeddings = embed(model, pictures, workers=on.workers, progress=progress)
    scored = score_splits(embeddings, protocol_of(pictures), distance="cosine")
    return scored.mean_average_precision
