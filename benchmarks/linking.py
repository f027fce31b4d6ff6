"""Are sightings linked to journeys? On drawn roads, on real pictures of two cameras, and how long 100,000 take.

    python benchmarks/linking.py --two-camera PATH-OF-TWO-CAMERA

On drawn roads vehicles drive from camera to camera, and their embeddings are drawn, more or less noisy. The gallery
knows no vehicle; names are used to score alone. Beside `samecar link`, with and without times, stand a plain threshold
(whatever is alike is joined) and scikit-learn's agglomerative clustering with average linkage. Both need a number that
says from where on pictures are alike: it is the one with the best pairwise F1 on another drawn road with as many
vehicles, which is more than a user can know. `samecar link` is given a calibration on further vehicles and no setting.

Two cameras saw 507 real vehicles once each; a model is trained and calibrated on seven in ten of them, as in
benchmarks/answers.py, and the others are linked, by appearance alone, as nothing is known of times. There the others'
number is chosen on the vehicles that were calibrated on.

Parts that are not asked for stay as they were. Writes results/linking.json, which `python benchmarks/tables.py` draws.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import measured
from numpy.typing import NDArray
from results import read_former, write_results

from samecar.calibration import Calibration
from samecar.calibration.fitting import Provenance, fit_calibration
from samecar.cli.console import progress_bars, say
from samecar.config import load_recipe
from samecar.data import Manifest, open_source, split_by_identity
from samecar.drawn.roads import DrawnSightings, RoadSettings, draw_sightings
from samecar.evaluation.clusters import score_clusters
from samecar.evaluation.test_sets import of_test
from samecar.experiment.calibrate import calibrate, unseen_vehicles
from samecar.experiment.embed import embed_with
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.linking import Linking, LinkSettings, link
from samecar.retrieval.engine import FORMAT
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery
from samecar.retrieval.records import Addition, GalleryFacts, Sighting, picture_content

PARTS = ("drawn", "two_camera", "scale")
NOISE = {"easy": 0.6, "medium": 0.8, "hard": 1.0}
SEEDS = (1, 2, 3)
ROAD = RoadSettings(vehicles=400, cameras=8, seconds=4800)
LARGE = RoadSettings(vehicles=33_000, cameras=20, seconds=86_400, kilometres=8, size=256, noise=1.0, seed=1)
ADDED = 1000
"""Sightings that are added to the large gallery once it was linked."""

THRESHOLDS = np.linspace(0.2, 0.9, 15)
PATTERN = "{vehicle_id}_{camera_id}.jpg"
HELD_OUT = VALIDATION = 0.3
EPOCHS, SIDE, SEED = 8, 128, 1
MODEL = "0123456789abcdef"

Groups = NDArray[np.int64]
Grouping = Callable[[NDArray[np.float32], float], Groups]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--two-camera", type=Path, help="folder with images/train/TYPE_NNNN_camC.jpg")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of drawn roads")
    parser.add_argument("--picture", type=Path, help="draw an example into this file, and do nothing else")
    options = parser.parse_args()
    if options.picture is not None:
        _draw_example(options.picture)
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary, progress_bars() as progress:
        work = Path(temporary)
        if "drawn" in options.parts:
            found["drawn"] = [_measure_drawn(name, options.seeds, work, progress) for name in NOISE]
        if "two_camera" in options.parts:
            if options.two_camera is None:
                parser.error("give --two-camera, or leave it out of --parts")
            found["two_camera"] = _measure_two_camera(options.two_camera, work, progress)
        if "scale" in options.parts:
            found["scale"] = _measure_scale(work)
    parts = {part: found[part] if part in found else read_former("linking", part) for part in PARTS}
    path = write_results("linking", {"road": asdict(ROAD), "settings": LinkSettings().model_dump(mode="json"), **parts})
    say(f"Wrote {path}")


# drawn roads


def _measure_drawn(name: str, seeds: Sequence[int], work: Path, progress: Any) -> dict[str, Any]:
    runs = []
    for seed in seeds:
        road = replace(ROAD, noise=NOISE[name], seed=seed)
        test, choosing, fitted = (draw_sightings(replace(road, seed=seed + more)) for more in (0, 100, 200))
        calibration = _calibrate(fitted)
        ways: dict[str, Groups] = {}
        for way, timed in (("link", True), ("link, without times", False)):
            with _gallery(work / f"{name}-{seed}-{timed}", test, calibration, timed=timed) as gallery:
                ways[way] = _groups(link(gallery, label=False), len(test))
        for way, grouping in GROUPINGS.items():
            ways[way] = grouping(test.matrix, _best_threshold(grouping, choosing.matrix, choosing.labels.vehicle_id))
        runs.append({way: _scores(test.labels.vehicle_id, groups) for way, groups in ways.items()})
        progress(name, len(runs), len(seeds))
    return {
        "name": name,
        "noise": NOISE[name],
        "seeds": list(seeds),
        "sightings": len(test),
        "ways": _means(runs),
    }


def _calibrate(drawn: DrawnSightings) -> Calibration:
    return fit_calibration(drawn.matrix, drawn.labels, provenance=Provenance(MODEL)).calibration


def _gallery(
    folder: Path, drawn: DrawnSightings, calibration: Calibration, *, timed: bool = True, until: int | None = None
) -> Gallery:
    """A gallery of drawn sightings, or of the first ones, whose vehicles it does not know."""
    size = drawn.matrix.shape[1]
    facts = GalleryFacts(format=FORMAT, model=MODEL, size=size, thumbnail=0, created="2026-01-01T00:00:00Z")
    gallery = Gallery(FolderEngine.create(folder, facts, {CALIBRATION_FILE: calibration.to_json().encode()}))
    _add(gallery, drawn, range(len(drawn) if until is None else until), timed=timed)
    return gallery


def _add(gallery: Gallery, drawn: DrawnSightings, rows: range, *, timed: bool = True) -> None:
    cameras, times = drawn.labels.camera_id.tolist(), drawn.times.tolist()
    for first in range(rows.start, rows.stop, ADDED):
        gallery.engine.add(
            [
                Addition(
                    Sighting(
                        picture_content(str(row).encode()), camera_id=cameras[row], time=times[row] if timed else None
                    ),
                    drawn.matrix[row],
                )
                for row in range(first, min(first + ADDED, rows.stop))
            ]
        )


def _groups(linking: Linking, sightings: int) -> Groups:
    """The journey of each row; entries are numbered from 1 in the order of rows."""
    labels = linking.labels()
    return np.unique([labels[row + 1] for row in range(sightings)], return_inverse=True)[1]


def _scores(vehicles: NDArray[np.str_], groups: Groups) -> dict[str, float]:
    found = score_clusters(vehicles, groups)
    return {
        "precision": found.pairwise.precision,
        "recall": found.pairwise.recall,
        "pairwise": found.pairwise.f1,
        "b_cubed": found.b_cubed.f1,
        "idf1": found.identity.f1,
        "groups": float(groups.max() + 1),
    }


def _means(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        way: {metric: statistics.mean(run[way][metric] for run in runs) for metric in runs[0][way]} for way in runs[0]
    }


def _join_alike(matrix: NDArray[np.float32], least: float) -> Groups:
    """A plain threshold: whatever is alike is joined, also by way of others."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    groups: Groups = connected_components(csr_array(matrix @ matrix.T >= least), directed=False)[1]
    return groups


def _agglomerate(matrix: NDArray[np.float32], least: float) -> Groups:
    """scikit-learn's agglomerative clustering."""
    from sklearn.cluster import AgglomerativeClustering

    clustering = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1 - least
    )
    groups: Groups = clustering.fit_predict(matrix)
    return groups


GROUPINGS: dict[str, Grouping] = {"threshold": _join_alike, "agglomerative": _agglomerate}


def _best_threshold(grouping: Grouping, matrix: NDArray[np.float32], vehicles: NDArray[np.str_]) -> float:
    """The similarity with the best pairwise F1 on other vehicles."""
    scores = [score_clusters(vehicles, grouping(matrix, least)).pairwise.f1 for least in THRESHOLDS.tolist()]
    return float(THRESHOLDS[int(np.argmax(scores))])


def _draw_example(path: Path) -> None:
    """Draws what is linked of a drawn road."""
    from samecar.report.figures.journeys import journeys_figure
    from samecar.report.figures.style import save_figure

    road = replace(ROAD, noise=NOISE["medium"], seed=SEEDS[0])
    drawn = draw_sightings(road)
    calibration = _calibrate(draw_sightings(replace(road, seed=road.seed + 200)))
    with tempfile.TemporaryDirectory() as temporary, _gallery(Path(temporary, "road"), drawn, calibration) as gallery:
        journeys = link(gallery, label=False).journeys
    save_figure(journeys_figure(journeys, title="A drawn road"), path)


# real pictures


def _measure_two_camera(folder: Path, work: Path, progress: Any) -> dict[str, Any]:
    source = open_source(f"folder:{folder}/images/train/{PATTERN}")
    split_by_identity(source, HELD_OUT, seed=SEED, query_cameras=("cam1",)).write(work / "split.csv")
    data = Manifest.read(work / "split.csv")
    changes = [
        *(f"training.epochs={EPOCHS}", f"training.seed={SEED}", f"training.validation={VALIDATION}"),
        *(f"model.height={SIDE}", f"model.width={SIDE}"),
    ]
    on = machine()
    run = train(load_recipe("small-set", changes), data, work / "run", on=on, progress=progress)
    calibration = calibrate(run, data, on=on, progress=progress).calibration
    test, choosing = of_test(data), unseen_vehicles(run, data)[0]
    matrix, other = (
        embed_with(run, rows, on=on, progress=progress, reference=True).matrix for rows in (test, choosing)
    )
    unit, unit_other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (matrix, other))
    drawn = DrawnSightings(unit, _labels(test), np.zeros(len(test)), np.zeros((0, 2)))
    of_model = calibration.model_copy(update={"model": MODEL})
    ways: dict[str, Groups] = {}
    with _gallery(work / "two-camera", drawn, of_model, timed=False) as gallery:
        ways["link, without times"] = _groups(link(gallery, label=False), len(test))
    for way, grouping in GROUPINGS.items():
        ways[way] = grouping(unit, _best_threshold(grouping, unit_other, choosing.vehicle_id))
    return {
        "pictures": len(test),
        "vehicles": len(np.unique(test.vehicle_id)),
        "calibrated_on": calibration.evidence.vehicles,
        "epochs": EPOCHS,
        "side": SIDE,
        "ways": {way: _scores(test.vehicle_id, groups) for way, groups in ways.items()},
    }


def _labels(rows: Manifest) -> Any:
    from samecar.labels import Labels

    return Labels(rows.vehicle_id, rows.camera_id)


# scale


def _measure_scale(work: Path) -> dict[str, Any]:
    drawn = draw_sightings(LARGE)
    calibration = _calibrate(draw_sightings(replace(LARGE, vehicles=600, seconds=3600, seed=LARGE.seed + 200)))
    first = len(drawn) - ADDED
    with _gallery(work / "large", drawn, calibration, until=first) as gallery:
        _, spent = measured(lambda: link(gallery))
        _add(gallery, drawn, range(first, len(drawn)))
        more, again = measured(lambda: link(gallery))
    return {
        "sightings": first,
        "cameras": LARGE.cameras,
        "numbers": LARGE.size,
        "journeys": len(more.journeys),
        "seconds": spent.seconds,
        "processor_seconds": spent.processor_seconds,
        "megabytes": spent.megabytes,
        "added": ADDED,
        "again_seconds": again.seconds,
        "again_processor_seconds": again.processor_seconds,
        "scores": _scores(drawn.labels.vehicle_id, _groups(more, len(drawn))),
    }


if __name__ == "__main__":
    main()
