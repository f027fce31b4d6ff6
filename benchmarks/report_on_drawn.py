"""All of the report's distinct runs at a small size on drawn vehicles: every row trains, is scored and is shown.

    python benchmarks/report_on_drawn.py WORK-FOLDER [--seeds 1 2 3]

Draws a set, does what `samecar reproduce all` does, and writes results/report_on_drawn.json after each seed. What an
interrupted one has finished in WORK-FOLDER is not done again. The numbers show that the rows work, not how good they
are on VeRi-776: weights are random, pictures tiny, epochs few, vehicles drawn.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from results import write_results

from samecar.cli.console import say
from samecar.data import open_source
from samecar.drawing import draw_set
from samecar.embeddings import embed
from samecar.evaluation import default_protocol
from samecar.experiment import initial_model, machine, of_test, score_splits
from samecar.reproduce import Choices, Scale, all_rows, plan_runs, report_tables
from samecar.reproduce.results import table_results
from samecar.reproduce.running import Data, run_all

DRAWN: dict[str, Any] = {"vehicles": 130, "cameras": 6, "pictures": 3, "size": 64, "seed": 1}
SCALE = Scale(epochs=8, images=0.125)
CHANGES = ("model.weights=none",)
THREADS = 2
DIFFERING = ("table1", "table3", "table9")
"""Tables with rows whose published run had other settings than the report prints."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the drawn set and the runs; taken up again if it is there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    torch.set_num_threads(THREADS)

    pictures = options.work / "pictures"
    if not pictures.exists():
        draw_set(pictures, workers=len(os.sched_getaffinity(0)), **DRAWN)
    data = Data.of(SCALE.manifest(open_source(f"veri776:{pictures}")))
    for count in range(1, len(options.seeds) + 1):
        seeds = tuple(options.seeds[:count])
        printed = Choices(seeds, scale=SCALE, changes=CHANGES)
        as_run = Choices(seeds, as_run=True, scale=SCALE, changes=CHANGES)
        for choices in (printed, as_run):
            for outcome in run_all(plan_runs(choices, all_rows(), options.work), data, on=machine("cpu", workers=0)):
                name = f"{outcome.run.recipe.title}, seed {outcome.run.recipe.training.seed}"
                left = f"{outcome.seconds:.0f} s; about {outcome.seconds_left / 60:.0f} min left of this seed"
                say(f"{name}: {outcome.failure or 'done'} ({left})")
        say(f"Wrote {write_results('report_on_drawn', _content(printed, as_run, data, options.work))}")


def _content(printed: Choices, as_run: Choices, data: Data, work: Path) -> dict[str, Any]:
    return {
        "drawn": DRAWN,
        "train_vehicles": data.train_vehicles,
        "pictures": data.manifest.split_counts,
        "untrained": _untrained(printed, data),
        "tables": {table: table_results(table, printed, data, work) for table in report_tables()},
        "tables_as_run": {table: table_results(table, as_run, data, work) for table in DIFFERING},
    }


def _untrained(choices: Choices, data: Data) -> dict[str, float]:
    """Scores of the baseline's network before training: what numbers near it are worth."""
    model = initial_model(choices.recipe("table1/batch-64"), 0)
    scores = score_splits(embed(model, of_test(data.manifest), workers=0), default_protocol(data.manifest.source))
    return {"rank-1": 100 * scores.cmc[1], "mAP": 100 * scores.mean_average_precision}


if __name__ == "__main__":
    main()
