"""Real pictures, no GPU, no hub: does fine-tuning beat ImageNet features on vehicles never seen?

    python benchmarks/two_camera.py PATH-OF-TWO-CAMERA

Does what a user would do with 1,014 pictures of 507 vehicles, each seen once by cam1 and once by cam2: convert, check,
hold vehicles out, train from ImageNet weights that come as a Python package, and search cam2 for what cam1 saw. Three
seeds; each seed holds other vehicles out. The untrained features and the fine-tuned ones are scored on the same
vehicles in the same run, and the seconds of training are kept, which count on an idle machine only. Writes
results/two_camera.json.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from results import write_results

from samecar.cli.console import progress_bars, say
from samecar.config import load_recipe
from samecar.data import Manifest, check, open_source, split_by_identity
from samecar.embedding.networks import embed
from samecar.evaluation import Evaluation, find_protocol
from samecar.evaluation.test_sets import of_test
from samecar.experiment.embed import embed_with
from samecar.experiment.evaluate import score_splits
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.similarity.products import Distance

PATTERN = "{vehicle_id}_{camera_id}.jpg"
HELD_OUT = 0.3
DISTANCES: tuple[Distance, ...] = ("euclidean", "cosine")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with images/train/TYPE_NNNN_camC.jpg")
    parser.add_argument("--recipe", default="small-set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()

    recipe = load_recipe(options.recipe)
    with tempfile.TemporaryDirectory() as temporary, progress_bars() as progress:
        work = Path(temporary)
        source = open_source(f"folder:{options.folder}/images/train/{PATTERN}")
        source.write(work / "pictures.csv")
        pictures = Manifest.read(work / "pictures.csv")
        found = check(pictures)
        runs = [_run(pictures, options.recipe, seed, work, progress) for seed in options.seeds]

    path = write_results(
        "two_camera",
        {
            "data": {
                "pictures": len(pictures),
                "vehicles": len(set(pictures.vehicle_id.tolist())),
                "digest": pictures.digest,
                "findings": {finding.kind: finding.count for finding in found.findings},
            },
            "held_out": HELD_OUT,
            "query": "cam1",
            "gallery": "cam2",
            "recipe": options.recipe,
            "recipe_digest": recipe.digest,
            "settings": recipe.model_dump(mode="json", exclude={"title", "description"}),
            "seeds": options.seeds,
            "runs": runs,
            "mean": {
                side: {
                    distance: {
                        metric: statistics.mean(run[side][distance][metric] for run in runs)
                        for metric in ("rank-1", "mAP")
                    }
                    for distance in DISTANCES
                }
                for side in ("untrained", "fine_tuned")
            },
        },
    )
    say(f"Wrote {path}")


def _run(pictures: Manifest, recipe_name: str, seed: int, work: Path, progress: Any) -> dict[str, Any]:
    """One seed: split, score the ImageNet features, fine-tune, score again."""
    split_by_identity(pictures, HELD_OUT, seed=seed, query_cameras=("cam1",)).write(work / f"split-{seed}.csv")
    data = Manifest.read(work / f"split-{seed}.csv")
    recipe = load_recipe(recipe_name, [f"training.seed={seed}"])
    on = machine()
    untrained = embed(initial_model(recipe, 0).to(on.device), of_test(data), workers=on.workers, progress=progress)
    began = time.perf_counter()
    run = train(recipe, data, work / f"run-{seed}", on=on, progress=progress)
    seconds = time.perf_counter() - began
    fine_tuned = embed_with(run, of_test(data), on=on, progress=progress)
    protocol = find_protocol("plain")
    sides = {"untrained": untrained, "fine_tuned": fine_tuned}
    scores = {
        side: {distance: score_splits(embeddings, protocol, distance=distance) for distance in DISTANCES}
        for side, embeddings in sides.items()
    }
    return {
        "seed": seed,
        "training_seconds": round(seconds, 1),
        "queries": scores["untrained"]["euclidean"].card.queries_scored,
        **{side: {distance: _numbers(scores[side][distance]) for distance in DISTANCES} for side in sides},
    }


def _numbers(evaluation: Evaluation) -> dict[str, float]:
    return {"rank-1": evaluation.cmc[1], "rank-5": evaluation.cmc[5], "mAP": evaluation.mean_average_precision}


if __name__ == "__main__":
    main()
