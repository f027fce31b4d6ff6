"""All of the report's distinct runs at a small size on drawn vehicles: every row trains, is scored and is shown.

    python benchmarks/report_on_drawn.py WORK-FOLDER

Draws a set, does what `samecar reproduce all` does, as printed and as run, and one table with several seeds, and writes
results/report_on_drawn.json. The report's networks begin with ImageNet's weights; here each begins with weights that it
has learned by telling type and colour of other drawn vehicles. What an interrupted run has finished in WORK-FOLDER is
not done again. The numbers show that the rows work, not how good they are on VeRi-776: pictures are small, epochs few,
vehicles drawn.
"""

import argparse
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import write_results
from safetensors.torch import save_file

from samecar.cli.console import say
from samecar.config import Recipe
from samecar.data import Manifest, open_source
from samecar.drawn import draw_set
from samecar.embedding.networks import embed
from samecar.evaluation import default_protocol
from samecar.evaluation.test_sets import of_test
from samecar.experiment.evaluate import score_splits
from samecar.experiment.train import initial_model, train
from samecar.files import write_file
from samecar.hardware import machine
from samecar.reproduce import Choices, Reproduction, Scale, all_rows, report_tables
from samecar.reproduce.rows import row_ids
from samecar.reproduce.runs import Data
from samecar.reproduce.tables import table_results

DRAWN: dict[str, Any] = {"vehicles": 130, "cameras": 6, "pictures": 3, "size": 112, "seed": 1}
SCALE = Scale(epochs=5, images=0.22)

START = "start"
"""Folder, in WORK-FOLDER, of the weights that rows begin with."""

STARTED_ON: dict[str, Any] = {"vehicles": 260, "cameras": 6, "pictures": 3, "size": 64, "seed": 2}
"""The other vehicles, on which those weights were learned."""

START_RECIPE: dict[str, dict[str, Any]] = {
    "model": {"weights": "none", "height": 48, "width": 48, "head": "fc-bn-fc", "embedding_size": 256},
    "augmentation": {"translation": 0.5, "flip": 0.5},
    "batch": {"size": 64, "pictures_per_vehicle": 4},
    "loss": {"triplet": 0.0},
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "schedule": {"decay": "cosine", "warmup_epochs": 1},
    "training": {"epochs": 10},
}
CHANGES = (f"model.weights={START}",)
THREADS = 1
REPEATED, SEEDS = "table8", (1, 2, 3)
"""A table that is run with several seeds, to tell how large chance is."""
DIFFERING = ("table1", "table3", "table9")
"""Tables with rows whose published run had other settings than the report prints."""


def main() -> None:
    """Runs the benchmark."""
    enter_work_folder(__doc__)
    data = Data.of(SCALE.manifest(drawn(Path("pictures"), DRAWN)))
    for backbone in sorted({Choices().recipe(row).model.backbone for row in all_rows()}):
        learn_start(backbone)
    printed = Choices(scale=SCALE, changes=CHANGES)
    as_run = replace(printed, as_run=True)
    repeated = replace(printed, seeds=SEEDS)
    for choices, rows in ((printed, all_rows()), (as_run, all_rows()), (repeated, row_ids(REPEATED))):
        for outcome in Reproduction(rows, data, Path(), choices).run(on=machine("cpu", workers=0)):
            name = f"{outcome.run.recipe.title}, seed {outcome.run.recipe.training.seed}"
            left = f"{outcome.seconds:.0f} s; about {outcome.seconds_left / 60:.0f} min left of this part"
            say(f"{name}: {outcome.failure or 'done'} ({left})")
    content = {
        "drawn": DRAWN,
        "started_on": STARTED_ON,
        "train_vehicles": data.train_vehicles,
        "pictures": data.manifest.split_counts,
        "untrained": _untrained(printed, data),
        "tables": {
            table: table_results(table, repeated if table == REPEATED else printed, data, Path())
            for table in report_tables()
        },
        "tables_as_run": {table: table_results(table, as_run, data, Path()) for table in DIFFERING},
    }
    say(f"Wrote {write_results('report_on_drawn', content)}")


def enter_work_folder(description: str | None) -> None:
    """Reads the command line, and goes to the folder that it names: recipes name the weights as they lie there."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the drawn set and the runs; taken up again if it is there")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    options.work.mkdir(parents=True, exist_ok=True)
    os.chdir(options.work)


def drawn(folder: Path, settings: dict[str, Any]) -> Manifest:
    """A drawn set; it is drawn if it is not there."""
    if not folder.exists():
        draw_set(folder, workers=len(os.sched_getaffinity(0)), **settings)
    return open_source(f"veri776:{folder}")


def learn_start(backbone: str) -> None:
    """Writes the weights that rows with this backbone begin with, unless they are there."""
    path = Path(START) / f"{backbone}.safetensors"
    if path.is_file():
        return
    others = drawn(Path("other-pictures"), STARTED_ON).of_split("train")
    kinds = np.char.add(np.char.add(others.colour, " "), others.type)  # (pictures,)
    run_folder = Path(START) / f"run-{backbone}"
    shutil.rmtree(run_folder, ignore_errors=True)  # of an interruption
    recipe = Recipe.model_validate({**START_RECIPE, "model": {**START_RECIPE["model"], "backbone": backbone}})
    run = train(recipe, replace(others, vehicle_id=kinds), run_folder, on=machine("cpu", workers=0))
    with write_file(path) as temporary:
        save_file(run.load_model().backbone.model.state_dict(), temporary)
    say(f"{path}: tells type and colour of {100 * run.metrics()[-1]['accuracy']:.0f} % of its train pictures")


def _untrained(choices: Choices, data: Data) -> dict[str, float]:
    """Scores of the baseline's network before training: what numbers near it are worth."""
    model = initial_model(choices.recipe("table1/batch-64"), 0)
    scores = score_splits(embed(model, of_test(data.manifest), workers=0), default_protocol(data.manifest.source))
    return {"rank-1": 100 * scores.cmc[1], "mAP": 100 * scores.mean_average_precision}


if __name__ == "__main__":
    main()
