"""What similarities of a model mean: its calibration, fitted to vehicles that it was not trained on."""

from bisect import bisect_right
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samecar.calibration import CalibrationOptions
from samecar.calibration.fitting import (
    DEFAULT_OPTIONS,
    FEWEST_VEHICLES,
    Calibrated,
    Provenance,
    check_vehicles,
    fit_calibration,
    matchable_vehicles,
)
from samecar.data import Manifest, as_manifest
from samecar.data.copies import name_pictures
from samecar.embedding.embeddings import NOT_STATED
from samecar.errors import SamecarError
from samecar.experiment.composite import TrainedModel, as_model
from samecar.experiment.embed import embed_with
from samecar.files import write_file
from samecar.hardware import Machine, machine
from samecar.labels import Labels
from samecar.processes import take_part
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.gallery import CALIBRATION_FILE

MOST_PICTURES = 5000
"""Of larger sources, vehicles or pictures are drawn at random until there are so many: twelve million pairs are
enough."""


def calibrate(
    run: TrainedModel | str | Path,
    data: Manifest | str | Path,
    options: CalibrationOptions = DEFAULT_OPTIONS,
    *,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
    **changes: object,
) -> Calibrated:
    """Learns what similarities of a run's model mean, from vehicles that it was not trained on, and keeps it.

    In processes that `torchrun` has started, all of them call this and embed a share of the pictures; the first one
    alone fits and writes.

    Args:
        run: a finished run, a fused or reduced model, or its folder, into which `calibration.json` is written; or an
            exported model, beside which it is.
        data: a manifest, or a source such as `veri776:PATH`.
        options: how it is done.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.
        **changes: single options by their names in `CalibrationOptions`, such as `method="logistic"`, instead of what
            `options` say.

    Raises:
        SamecarError: the source has no vehicles, or too few, that the run was not trained on, or an option is unknown
            or not allowed.
    """
    if not isinstance(options, CalibrationOptions):
        raise SamecarError(f"options are {options!r}; give CalibrationOptions, or single options by their names")
    options = options.changed(**changes)
    model, manifest = as_model(run), as_manifest(data)
    chosen, kind = unseen_vehicles(model, manifest, options.test_vehicles)
    chosen = _draw_pictures(chosen, options.seed)
    labels = Labels(chosen.vehicle_id, chosen.camera_id)
    check_vehicles(labels)
    on = on or machine()
    with take_part(on) as processes, show_progress(progress if processes.first else silent) as report:
        embeddings = embed_with(model, chosen, on=on, progress=report, reference=True, keep=True)
        provenance = Provenance(embeddings.model, manifest.name, chosen.digest, kind)

        def fit() -> Calibrated:
            calibrated = fit_calibration(embeddings.matrix, labels, options, provenance=provenance, progress=report)
            with write_file(model.folder / CALIBRATION_FILE) as path:
                path.write_text(calibrated.calibration.to_json(), encoding="utf-8")
            return calibrated

        return processes.once(fit)


def unseen_vehicles(run: TrainedModel, manifest: Manifest, test_vehicles: bool = False) -> tuple[Manifest, str]:
    """The labelled pictures of vehicles that a run was not trained on, each once, and which vehicles these are.

    Of copies, by path or by content, the first is taken: a picture compared with itself says nothing.

    They are train vehicles: those that the run held out for validation, or all where the source is another one. Test
    vehicles are taken if it is asked for, or if the source holds nothing else.

    Raises:
        SamecarError: there are none.
    """
    unseen = manifest.labelled & ~np.isin(manifest.vehicle_id, run.data.vehicles)
    is_train = manifest.split == "train"
    testing = test_vehicles or not is_train.any()
    rows = np.flatnonzero(unseen & (is_train != testing))
    if not len(rows):
        others = len(np.unique(manifest.vehicle_id[unseen]))
        raise SamecarError(
            f"{manifest.source}:{manifest.root / manifest.file} has no {'test' if testing else 'train'} vehicles that "
            f"{Path(run)} was not trained on, and a calibration on others would lie; train with --validation 0.1, "
            "give another source"
            + (f", or take its {others:,} test vehicles with --test-vehicles" if others and not testing else "")
        )
    chosen = manifest.select(rows)
    chosen = chosen.select(np.unique(chosen.path, return_index=True)[1])  # queries may be in the gallery too
    chosen = chosen.select(np.sort(np.unique(name_pictures(chosen), return_index=True)[1]))
    if run.data.source == NOT_STATED:
        return chosen, f"{'test' if testing else 'train'} vehicles; what the model was trained on is not stated"
    if testing:
        return chosen, "test vehicles, not trained on"
    if manifest.select(np.flatnonzero(is_train)).digest == run.data.digest:
        return chosen, "train vehicles held out from training"
    return chosen, "train vehicles of a source that was not trained on"


def _draw_pictures(manifest: Manifest, seed: int) -> Manifest:
    """No more than `MOST_PICTURES`: whole vehicles, or some pictures of each where whole ones would be too few."""
    if len(manifest) <= MOST_PICTURES:
        return manifest
    generator = np.random.default_rng(seed)
    vehicles = generator.permutation(np.unique(manifest.vehicle_id))
    whole = _take_vehicles(manifest, vehicles)
    if len(_find_matchable(whole)) >= FEWEST_VEHICLES:
        return whole
    fewer = manifest.select(_draw_evenly(manifest, generator))
    matchable_first = vehicles[np.argsort(~np.isin(vehicles, _find_matchable(fewer)), kind="stable")]
    return _take_vehicles(fewer, matchable_first)


def _find_matchable(manifest: Manifest) -> NDArray[np.str_]:
    return matchable_vehicles(Labels(manifest.vehicle_id, manifest.camera_id))


def _take_vehicles(manifest: Manifest, vehicles: NDArray[np.str_]) -> Manifest:
    """Whole vehicles, one after the other, until the next one would make more than `MOST_PICTURES`."""
    names, counts = np.unique(manifest.vehicle_id, return_counts=True)
    taken = np.cumsum(counts[np.searchsorted(names, vehicles)]) <= MOST_PICTURES
    return manifest.select(np.flatnonzero(np.isin(manifest.vehicle_id, vehicles[taken])))


def _draw_evenly(manifest: Manifest, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows of as many pictures of each vehicle by each camera as fit into `MOST_PICTURES`, but two at least."""
    order = generator.permutation(len(manifest))
    keys = np.stack([manifest.vehicle_id, manifest.camera_id])[:, order]
    _, group, counts = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    grouped = np.argsort(group, kind="stable")  # pictures of a vehicle by a camera stand together, in drawn order
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    numbers = range(2, int(counts.max()) + 1)
    most = 1 + bisect_right(numbers, MOST_PICTURES, key=lambda number: int(np.minimum(counts, number).sum()))
    return np.sort(order[grouped[place < max(2, most)]])
