"""All of the report's distinct runs at a small size on drawn vehicles: every row trains, is scored and is shown.

    python benchmarks/report_on_drawn.py WORK-FOLDER [--seeds 1 2 3]

Draws a set, runs what `samecar reproduce all` runs, and writes results/report_on_drawn.json after each seed. What an
interrupted one has finished in WORK-FOLDER is not done again. The numbers show that the rows work, not how good they
are on VeRi-776: weights are random, pictures tiny, epochs few, vehicles drawn.
"""

import argparse
from pathlib import Path

import torch

from samecar.cli.console import say
from samecar.data import open_source
from samecar.drawing import draw_set
from samecar.experiment import machine
from samecar.reproduce.planning import Choices, all_rows, plan_runs
from samecar.reproduce.running import Data, run_all
from samecar.reproduce.scaling import Scale

VEHICLES, CAMERAS, PICTURES, SIZE, SEED = 130, 6, 3, 64, 1
SCALE = Scale(epochs=8, images=0.125)
CHANGES = ("model.weights=none",)
THREADS = 2


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the drawn set and the runs; taken up again if it is there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    torch.set_num_threads(THREADS)

    pictures = options.work / "pictures"
    if not pictures.exists():
        draw_set(pictures, vehicles=VEHICLES, cameras=CAMERAS, pictures=PICTURES, size=SIZE, seed=SEED, workers=THREADS)
    data = Data.of(SCALE.manifest(open_source(f"veri776:{pictures}")))
    for count in range(1, len(options.seeds) + 1):
        choices = Choices(seeds=tuple(options.seeds[:count]), scale=SCALE, changes=CHANGES)
        runs = plan_runs(choices, all_rows(), options.work)
        for outcome in run_all(runs, data, on=machine("cpu", workers=0)):
            say(
                f"{outcome.run.recipe.title}, seed {outcome.run.recipe.training.seed}: {outcome.failure or 'done'} "
                f"({outcome.seconds:.0f} s; about {outcome.seconds_left / 60:.0f} min left of this seed)"
            )


if __name__ == "__main__":
    main()
