"""What does training as quickly as this machine can change, on drawn vehicles and with all else equal?

    python benchmarks/fast_on_drawn.py WORK-FOLDER

Trains rows of the report with three seeds, at the size of report_on_drawn.py and with the weights that it begins with,
as the reference and with what `samecar reproduce --fast` chooses here, and scores them; WORK-FOLDER may be that
benchmark's. Writes results/fast_on_drawn.json row by row; runs that are finished in WORK-FOLDER are not done again.
"""

from pathlib import Path
from typing import Any

from report_on_drawn import CHANGES, DRAWN, SCALE, SEEDS, drawn, enter_work_folder, learn_start
from results import write_results

from samecar.cli.console import say
from samecar.data import Manifest
from samecar.experiment.evaluate import score_run
from samecar.hardware import REFERENCE, Machine, machine
from samecar.reproduce import Choices
from samecar.reproduce.fast import describe_speed, go_fast
from samecar.reproduce.runs import Data, perform, plan_runs, saved_scores
from samecar.training import Run

ROWS = ("table8/adam", "table2/resnet18")


def main() -> None:
    """Runs the benchmark."""
    enter_work_folder(__doc__)
    data = SCALE.manifest(drawn(Path("pictures"), DRAWN))
    asked = Choices(seeds=SEEDS, scale=SCALE, changes=CHANGES)
    here = machine("cpu", workers=0)
    choices, quick = go_fast(asked, here)
    rows: dict[str, Any] = {}
    for row in ROWS:
        learn_start(asked.recipe(row).model.backbone)
        rows[row] = {
            "reference": measure(asked, row, data, here.used_as(REFERENCE), Path("reference")),
            "fast": measure(choices, row, data, quick, Path("fast")),
            "fast_is": describe_fast(choices, row),
        }
        content = {
            "drawn": DRAWN,
            "scale": f"{SCALE.epochs} epochs, pictures at {SCALE.images} of their size",
            "seeds": SEEDS,
            "rows": rows,
        }
        say(f"Wrote {write_results('fast_on_drawn', content)}")


def measure(choices: Choices, row: str, data: Manifest, on: Machine, out: Path) -> list[dict[str, Any]]:
    """Trains a row with each seed, and scores it."""
    found = []
    for planned in plan_runs(choices, [row], out):
        of_data = Data.of(data)
        if saved_scores(planned.folder, of_data) is None:
            perform(planned, of_data, on, lambda *_: None)
        run = Run.open(planned.folder)
        evaluation = score_run(run, data, on=on).evaluation
        assert evaluation.queries is not None
        seconds = sum(record["seconds"] for record in run.metrics())
        say(f"{out}, {planned.recipe.title}, seed {run.recipe.training.seed}: {seconds:.0f} s")
        found.append(
            {
                "seed": run.recipe.training.seed,
                "seconds": round(seconds, 1),
                "mAP": evaluation.mean_average_precision,
                "average_precisions": [round(float(value), 4) for value in evaluation.queries.metrics["mAP"].values],
                "vehicles": evaluation.queries.labels.vehicle_id.tolist(),
            }
        )
    return found


def describe_fast(choices: Choices, row: str) -> str:
    """How the quick runs of a row were trained."""
    told = describe_speed(planned.folder for planned in plan_runs(choices, [row], Path("fast")))
    return (told or "as the reference").removeprefix("trained fast: ")


if __name__ == "__main__":
    main()
