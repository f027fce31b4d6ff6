"""The whole way on drawn vehicles: draw, train, score before and after, report."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from samecar.config import Recipe, load_recipe
from samecar.data import Manifest, open_source
from samecar.drawn import draw_set
from samecar.embedding.encoder import embed
from samecar.errors import SamecarError
from samecar.evaluation import Evaluation, Provenance, default_protocol
from samecar.evaluation.test_sets import of_test
from samecar.experiment.evaluate import evaluate, score_splits
from samecar.experiment.train import initial_model, train
from samecar.hardware import Machine, machine
from samecar.progress import Progress, silent

VEHICLES, CAMERAS, PICTURES, SIZE = 160, 6, 4, 96


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        untrained: scores of the network before training.
        trained: scores of the same network after it.
        pictures: folder of the drawn set.
        report: the page to look at.
    """

    untrained: Evaluation
    trained: Evaluation
    pictures: Path
    report: Path


def run_demo(out: Path, *, seed: int = 1, on: Machine | None = None, progress: Progress = silent) -> DemoResult:
    """Runs the demo; what an interrupted one has finished is not done again.

    Args:
        out: folder to write into: absent, empty, or of a demo with the same seed.
        seed: of drawing and training.
        on: the machine.
        progress: is told how far the work is.

    Raises:
        SamecarError: the folder holds something else.
    """
    on = on or machine()
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= {"pictures", "run"}):
        raise SamecarError(f"{out} holds something else than a demo; choose another folder with --out")
    pictures, folder = out / "pictures", out / "run"
    if not pictures.exists():
        draw_set(
            pictures,
            vehicles=VEHICLES,
            cameras=CAMERAS,
            pictures=PICTURES,
            size=SIZE,
            seed=seed,
            workers=max(1, on.workers),
            progress=partial(progress, "drawing"),
        )
    recipe = load_recipe("demo", [f"training.seed={seed}"])
    manifest = open_source(f"veri776:{pictures}")
    untrained = _score_untrained(recipe, manifest, on, progress)
    run = train(recipe, manifest, folder, resume=(folder / "run.json").exists(), on=on, progress=progress)
    trained = evaluate(run, manifest, untrained=untrained, on=on, progress=progress)
    return DemoResult(untrained, trained, pictures, folder / "report.html")


def _score_untrained(recipe: Recipe, manifest: Manifest, on: Machine, progress: Progress) -> Evaluation:
    vehicles = len(np.unique(manifest.of_split("train").vehicle_id))
    model = initial_model(recipe, vehicles).to(on.device)
    embeddings = embed(model, of_test(manifest), workers=on.workers, progress=progress)
    provenance = Provenance(epoch_choice="before training", seed=recipe.training.seed)
    return score_splits(embeddings, default_protocol(manifest.source), provenance=provenance)
