"""The whole way on drawn vehicles: draw, train, score before and after, report."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from samecar.config import load_recipe
from samecar.data import open_source
from samecar.drawn import draw_set
from samecar.errors import SamecarError
from samecar.evaluation import Evaluation
from samecar.experiment.trial import train_and_evaluate
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
    manifest, begun = open_source(f"veri776:{pictures}"), (folder / "run.json").exists()
    trial = train_and_evaluate(recipe, manifest, folder, resume=begun, on=on, progress=progress)
    assert trial.untrained is not None  # the demo begins with random weights, which can always be had
    return DemoResult(trial.untrained, trial.trained, pictures, folder / "report.html")
