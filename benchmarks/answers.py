"""Is what a calibrated search says so? Members and strangers of galleries of real pictures.

    python benchmarks/answers.py PATH-OF-TWO-CAMERA

Of 507 vehicles, each seen once by cam1 and once by cam2, three in ten are held out for this test, and three in ten of
the others from training: on these a model is calibrated as `samecar calibrate` does it, and nothing is chosen by the
test vehicles. Then, many times, half of the test vehicles become a gallery, of what cam2 saw of them, and what cam1 saw
of all of them is searched in it: half are members and half are strangers, as is assumed where nobody states a prior.
Counted is what `samecar search` shows.

There are two models, one trained for one epoch and one as long as the recipe says, both on smaller pictures, so that it
takes minutes on two cores. Writes results/answers.json, which `python benchmarks/tables.py` draws.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import write_results

from samecar.calibration import Calibration
from samecar.cli.console import progress_bars, say
from samecar.config import load_recipe
from samecar.data import Manifest, open_source, split_by_identity
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.encoder import Encoder
from samecar.evaluation import find_protocol
from samecar.evaluation.test_sets import of_test
from samecar.experiment.calibrate import calibrate
from samecar.experiment.embed import bound_model, embed_with
from samecar.experiment.evaluate import score_splits
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.retrieval.answers import Answer
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import Addition, Sighting

PATTERN = "{vehicle_id}_{camera_id}.jpg"
HELD_OUT = VALIDATION = 0.3
SEED = 1
SIDE = 128
DRAWS = 40
TOP = 20
RESAMPLES = 2000
EDGES = np.array([0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 1])
"""Between bins of probabilities; the last bin holds one."""

MODELS = {"one epoch": 1, "eight epochs": 8}
SAID = ("probability", "pair_probability")

LOOKED_AT = ("in_gallery", "reaches_threshold", "likely", "pair_likely", "denied_likely", "denied_pair_likely")
"""Shares of searches: the vehicle is said to be there; the best reaches the threshold; a result is said to be likelier
than not, in the search, and as a pair alone; such a result stands below a headline that denies it, likewise."""


@dataclass
class Counts:
    """How often something was said, how sure it was, and how often it was so; (vehicles, bins) of each.

    Rows belong to the vehicles that were searched for, so that intervals can be over the choice of vehicles.
    """

    said: NDArray[np.float64]
    right: NDArray[np.float64]
    number: NDArray[np.float64]

    @classmethod
    def nothing(cls, vehicles: int) -> "Counts":
        """Before anything was said."""
        return cls(*(np.zeros((vehicles, len(EDGES) - 1)) for _ in range(3)))

    def add(self, vehicle: int, probability: float, right: bool) -> None:
        """Takes down that something was said with a probability, and whether it was so."""
        place = int(np.clip(np.searchsorted(EDGES, probability, side="right") - 1, 0, len(EDGES) - 2))
        self.said[vehicle, place] += probability
        self.right[vehicle, place] += right
        self.number[vehicle, place] += 1

    def bins(self) -> list[dict[str, Any]]:
        """What was said and what was so in each bin, with a 95 % bootstrap interval over vehicles."""
        vehicles = len(self.number)
        chosen = np.random.default_rng(0).integers(0, vehicles, (RESAMPLES, vehicles))
        times = np.stack([np.bincount(row, minlength=vehicles) for row in chosen])  # (resamples, vehicles)
        with np.errstate(invalid="ignore"):
            shares = (times @ self.right) / (times @ self.number)
        found = []
        for place in np.flatnonzero(self.number.sum(axis=0)):
            low, high = np.nanquantile(shares[:, place], [0.025, 0.975])
            total = self.number[:, place].sum()
            found.append(
                {
                    "from": float(EDGES[place]),
                    "to": float(EDGES[place + 1]),
                    "number": int(total),
                    "said": float(self.said[:, place].sum() / total),
                    "right": float(self.right[:, place].sum() / total),
                    "low": float(low),
                    "high": float(high),
                }
            )
        return found


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with images/train/TYPE_NNNN_camC.jpg")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, progress_bars() as progress:
        work = Path(temporary)
        source = open_source(f"folder:{options.folder}/images/train/{PATTERN}")
        split_by_identity(source, HELD_OUT, seed=SEED, query_cameras=("cam1",)).write(work / "split.csv")
        data = Manifest.read(work / "split.csv")
        models = {name: _measure(data, epochs, work, progress) for name, epochs in MODELS.items()}
    path = write_results(
        "answers",
        {
            "data": {"pictures": len(data), "digest": data.digest},
            "held_out": HELD_OUT,
            "validation": VALIDATION,
            "seed": SEED,
            "side": SIDE,
            "draws": DRAWS,
            "top": TOP,
            "models": models,
        },
    )
    say(f"Wrote {path}")


def _measure(data: Manifest, epochs: int, work: Path, progress: Any) -> dict[str, Any]:
    changes = [
        f"training.epochs={epochs}",
        f"training.seed={SEED}",
        f"training.validation={VALIDATION}",
        f"model.height={SIDE}",
        f"model.width={SIDE}",
    ]
    on = machine()
    run = train(load_recipe("small-set", changes), data, work / f"run-{epochs}", on=on, progress=progress)
    calibration = calibrate(run, data, on=on, progress=progress).calibration
    embeddings = embed_with(run, of_test(data), on=on, progress=progress, reference=True)
    score = score_splits(embeddings, find_protocol("plain"), distance="cosine")
    encoder = bound_model(run, on=on)
    older = calibration.model_copy(update={"search": None})
    ways = {
        "named": (calibration, True),
        "not named": (calibration, False),
        "named, calibration of before": (older, True),
    }
    return {
        "rank-1": score.cmc[1],
        "trained_on": len(run.data.vehicles),
        "calibrated_on": calibration.evidence.vehicles,
        "test_vehicles": len(np.unique(embeddings.labels.vehicle_id)),
        "ways": {
            name: _search(embeddings, encoder, *way, work / f"galleries-{epochs}-{number}")
            for number, (name, way) in enumerate(ways.items())
        },
    }


def _search(
    embeddings: Embeddings, encoder: Encoder, calibration: Calibration, named: bool, work: Path
) -> dict[str, Any]:
    """Searches many galleries of half of the test vehicles for all of them."""
    labels, matrix = embeddings.labels, embeddings.matrix / np.linalg.norm(embeddings.matrix, axis=1, keepdims=True)
    rows = {
        camera: dict(
            zip(labels.vehicle_id[labels.camera_id == camera], np.flatnonzero(labels.camera_id == camera), strict=True)
        )
        for camera in ("cam1", "cam2")
    }
    names = np.array(sorted(rows["cam1"].keys() & rows["cam2"].keys()))
    results = {said: Counts.nothing(len(names)) for said in SAID}
    headline = Counts.nothing(len(names))
    seen: dict[str, list[tuple[bool, ...]]] = {"members": [], "strangers": []}
    generator = np.random.default_rng(SEED)
    for draw in range(DRAWS):
        members = set(generator.permutation(names)[: len(names) // 2].tolist())
        additions = [
            Addition(Sighting(name, camera_id="cam2", vehicle_id=name if named else ""), matrix[rows["cam2"][name]])
            for name in sorted(members)
        ]
        with Gallery.create(
            work / str(draw), encoder, calibration=calibration.to_json().encode(), thumbnail=0
        ) as gallery:
            gallery.engine.add(additions)
            answers = gallery.search_embeddings(matrix[[rows["cam1"][name] for name in names]], TOP)
        for vehicle, (name, answer) in enumerate(zip(names.tolist(), answers, strict=True)):
            _take_down(answer, name, vehicle, results)
            headline.add(vehicle, float(answer.probability or 0), name in members)
            seen["members" if name in members else "strangers"].append(_look_at(answer))
    rates = {kind: dict(zip(LOOKED_AT, np.mean(each, axis=0).tolist(), strict=True)) for kind, each in seen.items()}
    return {
        "gallery": len(names) // 2,
        "searches": {kind: len(each) for kind, each in seen.items()},
        "rates": rates,
        "results": {said: counts.bins() for said, counts in results.items()},
        "headline": headline.bins(),
    }


def _take_down(answer: Answer, name: str, vehicle: int, results: dict[str, Counts]) -> None:
    for found in answer.found:
        for said, counts in results.items():
            counts.add(vehicle, getattr(found, said), found.entry.sighting.content == name)


def _look_at(answer: Answer) -> tuple[bool, ...]:
    """What a search said, as `LOOKED_AT` names it."""
    denied = not answer.in_gallery
    likely, alone = (any(getattr(found, said) > 0.5 for found in answer.found) for said in SAID)
    reaches = answer.found[0].similarity >= float(answer.threshold or 0)
    return not denied, reaches, likely, alone, denied and likely, denied and alone


if __name__ == "__main__":
    main()
