"""All of the report's distinct runs at a small size on drawn vehicles: every row trains, is scored and is shown.

    python benchmarks/report_on_drawn.py WORK-FOLDER

Draws a set, does what `samecar reproduce all` does, as printed and as run, and one table with several seeds, and writes
results/report_on_drawn.json. What an interrupted one has finished in WORK-FOLDER is not done again. The numbers show
that the rows work, not how good they are on VeRi-776: weights are random, pictures tiny, epochs few, vehicles drawn.
"""

import argparse
import os
from dataclasses import replace
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
from samecar.reproduce.rows import row_ids
from samecar.reproduce.running import Data, run_all

DRAWN: dict[str, Any] = {"vehicles": 130, "cameras": 6, "pictures": 3, "size": 64, "seed": 1}
SCALE = Scale(epochs=8, images=0.125)
CHANGES = ("model.weights=none",)
THREADS = 2
REPEATED, SEEDS = "table8", (1, 2, 3)
"""A table that is run with several seeds, to tell how large chance is."""
DIFFERING = ("table1", "table3", "table9")
"""Tables with rows whose published run had other settings than the report prints."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the drawn set and the runs; taken up again if it is there")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)

    pictures = options.work / "pictures"
    if not pictures.exists():
        draw_set(pictures, workers=len(os.sched_getaffinity(0)), **DRAWN)
    data = Data.of(SCALE.manifest(open_source(f"veri776:{pictures}")))
    printed = Choices(scale=SCALE, changes=CHANGES)
    as_run = replace(printed, as_run=True)
    repeated = replace(printed, seeds=SEEDS)
    for choices, rows in ((printed, all_rows()), (as_run, all_rows()), (repeated, row_ids(REPEATED))):
        for outcome in run_all(plan_runs(choices, rows, options.work), data, on=machine("cpu", workers=0)):
            name = f"{outcome.run.recipe.title}, seed {outcome.run.recipe.training.seed}"
            left = f"{outcome.seconds:.0f} s; about {outcome.seconds_left / 60:.0f} min left of this part"
            say(f"{name}: {outcome.failure or 'done'} ({left})")
    content = {
        "drawn": DRAWN,
        "train_vehicles": data.train_vehicles,
        "pictures": data.manifest.split_counts,
        "untrained": _untrained(printed, data),
        "tables": {
            table: table_results(table, repeated if table == REPEATED else printed, data, options.work)
            for table in report_tables()
        },
        "tables_as_run": {table: table_results(table, as_run, data, options.work) for table in DIFFERING},
    }
    say(f"Wrote {write_results('report_on_drawn', content)}")


def _untrained(choices: Choices, data: Data) -> dict[str, float]:
    """Scores of the baseline's network before training: what numbers near it are worth."""
    model = initial_model(choices.recipe("table1/batch-64"), 0)
    scores = score_splits(embed(model, of_test(data.manifest), workers=0), default_protocol(data.manifest.source))
    return {"rank-1": 100 * scores.cmc[1], "mAP": 100 * scores.mean_average_precision}


if __name__ == "__main__":
    main()
