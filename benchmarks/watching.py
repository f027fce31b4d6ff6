"""Does a watch list raise as many false alarms as it states, and how many passages does it find?

    python benchmarks/watching.py [PATH-OF-TWO-CAMERA]

Vehicles of which the model knows nothing, and the calibration neither, pass cameras. Some of them, drawn anew many
times, are on a watch list, with the pictures of one passage; what is said of every other passage is counted. A vehicle
of the list is found if it is told, and told by its own name; a stranger that is told is a false alarm. Lists of several
lengths and several stated rates are tried, by the library's own list and threshold.

There are drawn vehicles, whose passages are pooled pictures, as of films, and with the folder's path real ones, of
which each camera took one picture. Models are trained for a few epochs on smaller pictures, so that it takes minutes on
two cores. Writes results/watching.json.
"""

import argparse
import base64
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from results import read_former, write_results

from samecar.calibration import Calibration
from samecar.cli.console import progress_bars, say
from samecar.config import load_recipe
from samecar.data import Manifest, open_source, split_by_identity
from samecar.drawn import draw_set
from samecar.embedding.embeddings import Embeddings
from samecar.evaluation.test_sets import of_test
from samecar.experiment.calibrate import calibrate
from samecar.experiment.embed import embed_with
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.retrieval.records import pool_embeddings
from samecar.watching import WatchedPicture, WatchList
from samecar.watching.watcher import compare_with_list, list_threshold

PATTERN = "{vehicle_id}_{camera_id}.jpg"
HELD_OUT = VALIDATION = 0.3
SEED = 1
SIDE = 96
VEHICLES, CAMERAS, PICTURES = 400, 3, 2
"""Of the drawn set, a quarter of whose vehicles are for the test."""

EPOCHS = {"drawn": 3, "two-camera": 8}
LENGTHS, RATES = (1, 10, 30), (0.05, 0.01, 0.002)
DRAWS = 200
RESAMPLES = 2000


class Passages(NamedTuple):
    """What cameras saw of vehicles.

    Attributes:
        vehicles: (passages,) numbers of vehicles, from 0.
        embeddings: (passages, size) pooled, of length one.
        pictures: of each passage, (pictures, size) of length one.
    """

    vehicles: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    pictures: list[NDArray[np.float32]]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder with images/train/TYPE_NNNN_camC.jpg")
    options = parser.parse_args()
    sets = read_former("watching", "sets")
    ways: dict[str, Callable[[Path], Manifest]] = {"drawn": _draw}
    if options.folder is not None:
        ways["two-camera"] = lambda work: _split(options.folder, work)
    for name, make in ways.items():
        with tempfile.TemporaryDirectory() as temporary, progress_bars() as progress:
            sets[name] = _measure(name, make(Path(temporary)), Path(temporary), progress)
        path = write_results("watching", {"draws": DRAWS, "side": SIDE, "seed": SEED, "sets": sets})
        say(f"{name}: wrote {path}")


def _draw(work: Path) -> Manifest:
    draw_set(work / "drawn", vehicles=VEHICLES, cameras=CAMERAS, pictures=PICTURES, size=SIDE, seed=SEED)
    return open_source(f"veri776:{work / 'drawn'}")


def _split(folder: Path, work: Path) -> Manifest:
    source = open_source(f"folder:{folder}/images/train/{PATTERN}")
    split_by_identity(source, HELD_OUT, seed=SEED, query_cameras=("cam1",)).write(work / "split.csv")
    return Manifest.read(work / "split.csv")


def _measure(name: str, data: Manifest, work: Path, progress: Any) -> dict[str, Any]:
    """Trains, calibrates, and watches the test vehicles."""
    changes = [
        f"training.epochs={EPOCHS[name]}",
        f"training.seed={SEED}",
        f"training.validation={VALIDATION}",
        f"model.height={SIDE}",
        f"model.width={SIDE}",
    ]
    on = machine()
    run = train(load_recipe("small-set", changes), data, work / "run", on=on, progress=progress)
    calibration = calibrate(run, data, on=on, progress=progress).calibration
    passages = _passages(embed_with(run, of_test(data), on=on, progress=progress, reference=True))
    return {
        "digest": data.digest,
        "epochs": EPOCHS[name],
        "trained_on": len(run.data.vehicles),
        "calibrated_on": calibration.evidence.vehicles,
        "calibrated_pictures": calibration.open_set.pictures[-1],
        "calibrated_rate": calibration.false_alarm_rate,
        "test_vehicles": int(passages.vehicles.max()) + 1,
        "test_passages": len(passages.vehicles),
        "pictures_per_passage": float(np.mean([len(pictures) for pictures in passages.pictures])),
        "lists": [_watch(passages, calibration, length, rate) for length in LENGTHS for rate in RATES],
    }


def _passages(embeddings: Embeddings) -> Passages:
    """Pictures of one vehicle by one camera, each once: drawn queries are copies of pictures of the gallery."""
    labels = embeddings.labels
    matrix = (embeddings.matrix / np.linalg.norm(embeddings.matrix, axis=1, keepdims=True)).astype(np.float32)
    names = {vehicle: number for number, vehicle in enumerate(np.unique(labels.vehicle_id).tolist())}
    seen: dict[tuple[str, str], dict[bytes, NDArray[np.float32]]] = {}
    for vehicle, camera, row in zip(labels.vehicle_id.tolist(), labels.camera_id.tolist(), matrix, strict=True):
        seen.setdefault((vehicle, camera), {})[row.round(3).tobytes()] = row
    pictures = [np.stack(list(rows.values())) for rows in seen.values()]
    return Passages(
        np.array([names[vehicle] for vehicle, _ in seen]),
        np.stack([pool_embeddings(rows) for rows in pictures]),
        pictures,
    )


def _watch(passages: Passages, calibration: Calibration, length: int, rate: float) -> dict[str, Any]:
    """Draws many lists of so many vehicles, and counts what is told of all passages but those of their pictures."""
    vehicles = int(passages.vehicles.max()) + 1
    told, found, strangers, members = (np.zeros(vehicles) for _ in range(4))
    generator = np.random.default_rng(SEED)
    for _ in range(DRAWS):
        chosen = generator.choice(vehicles, length, replace=False)
        shown = [int(generator.choice(np.flatnonzero(passages.vehicles == vehicle))) for vehicle in chosen]
        watch_list = _make_list(passages, shown, rate)
        threshold, _ = list_threshold(calibration, watch_list)
        others = np.setdiff1d(np.arange(len(passages.vehicles)), shown)
        answers = compare_with_list(passages.embeddings[others], watch_list.matrix, threshold)
        for passage, answer in zip(others.tolist(), answers, strict=True):
            vehicle = int(passages.vehicles[passage])
            if vehicle in chosen:
                members[vehicle] += 1
                found[vehicle] += answer.is_seen and watch_list.pictures[answer.picture].vehicle == str(vehicle)
            else:
                strangers[vehicle] += 1
                told[vehicle] += answer.is_seen
    return {
        "vehicles": length,
        "stated": rate,
        "false_alarms": _share(told, strangers),
        "strangers": int(strangers.sum()),
        "found": _share(found, members),
        "members": int(members.sum()),
    }


def _make_list(passages: Passages, shown: list[int], rate: float) -> WatchList:
    pictures = [
        WatchedPicture(
            vehicle=str(passages.vehicles[passage]),
            file="",
            content=f"{passage}/{number}",
            added="",
            embedding=base64.b64encode(row.astype("<f2").tobytes()).decode(),
        )
        for passage in shown
        for number, row in enumerate(passages.pictures[passage])
    ]
    return WatchList(model="", false_alarm_rate=rate, pictures=tuple(pictures))


def _share(counted: NDArray[np.float64], number: NDArray[np.float64]) -> dict[str, float]:
    """A share with a 95 % bootstrap interval over vehicles."""
    chosen = np.random.default_rng(0).integers(0, len(number), (RESAMPLES, len(number)))
    with np.errstate(invalid="ignore"):
        shares = counted[chosen].sum(axis=1) / number[chosen].sum(axis=1)
    low, high = np.nanquantile(shares, [0.025, 0.975])
    return {"share": float(counted.sum() / number.sum()), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    main()
