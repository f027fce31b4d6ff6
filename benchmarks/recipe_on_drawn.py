"""Is a recipe of ours better than the report's best row, on drawn vehicles and with all else equal?

    python benchmarks/recipe_on_drawn.py WORK-FOLDER

The row is the one with the highest mAP of results/report_on_drawn.json; WORK-FOLDER may be that benchmark's. A recipe
takes over the row's backbone, the weights that it begins with, its picture size and at most as many pictures seen.
Which recipe, is decided on held-out train vehicles; row and recipe are then trained on all train vehicles with three
seeds and scored on the test vehicles in the same run. Writes results/recipe_on_drawn.json; what is in it of the same
recipes and vehicles is not measured again.
"""

import shutil
import statistics
from pathlib import Path
from typing import Any

from report_on_drawn import CHANGES, DRAWN, SCALE, START, STARTED_ON, drawn, enter_work_folder, learn_start
from results import read_results, write_results

from samecar.cli.console import say
from samecar.config import Recipe, change_recipe, load_recipe
from samecar.data import Manifest, split_by_identity
from samecar.experiment.evaluate import score_run
from samecar.experiment.timing import count_steps
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.reproduce import Choices

HELD_OUT = 0.3
SEEDS = (1, 2, 3)
CANDIDATES: dict[str, tuple[str, ...]] = {
    "small-set": ("augmentation.pad=2", "augmentation.blur_sigma=[0.1, 0.75]"),
    "demo": (),
    "demo in batches of 30": ("batch.size=30", "batch.pictures_per_vehicle=6"),
    "demo with a pyramid": ("model.fusion=pyramid",),
    "demo with a gated sum": ("model.fusion=gated-sum",),
    "veri-r50-ibn": ("augmentation.pad=2", "batch.pictures_per_vehicle=8", "training.freeze_backbone_epochs=0"),
    "veri-r50-ibn-sgd": ("augmentation.pad=2", "schedule.decay=cosine"),
}
"""Recipes, by their first word, with what the smaller pictures and the few epochs ask for, or with another part;
in batches of 30 five epochs show nearly as many pictures as the row's do."""


def main() -> None:
    """Runs the benchmark."""
    enter_work_folder(__doc__)
    data = SCALE.manifest(drawn(Path("pictures"), DRAWN))
    row = best_row()
    report = Choices(scale=SCALE, changes=CHANGES).recipe(row)
    learn_start(report.model.backbone)
    seen = pictures_seen(report, data)
    candidates = {name: like(report, name, seen, data) for name in CANDIDATES}

    held_out, known = split_by_identity(data.of_split("train"), HELD_OUT, seed=1), _known()
    choosing = {
        name: _measure(name, recipe, held_out, known, "held out")
        for name, recipe in {row: report, **candidates}.items()
    }
    chosen = max(CANDIDATES, key=lambda name: choosing[name]["mAP"])
    sides = {"report": (row, report), "recipe": (chosen, candidates[chosen])}
    runs: dict[str, list[dict[str, Any]]] = {}
    for side, (name, recipe) in sides.items():
        seeded = [change_recipe(recipe, [f"training.seed={seed}"]) for seed in SEEDS]
        runs[side] = [_measure(name, each, data, known, "test") for each in seeded]
    content = {
        "drawn": DRAWN,
        "started_on": STARTED_ON,
        "row": row,
        "recipe": chosen,
        "changes": [*_equal(report, candidates[chosen].training.epochs), *CANDIDATES[chosen]],
        "pictures_seen": {"report": seen, "recipe": pictures_seen(candidates[chosen], data)},
        "chosen_on_held_out": choosing,
        "seeds": SEEDS,
        "runs": runs,
        "mean": {
            side: {metric: statistics.mean(run[metric] for run in found) for metric in ("rank-1", "mAP")}
            for side, found in runs.items()
        },
    }
    say(f"Wrote {write_results('recipe_on_drawn', content)}")


def best_row() -> str:
    """The row of the report with the highest mAP on drawn vehicles, by its name."""
    rows = [row for table in read_results("report_on_drawn")["tables"].values() for row in table["rows"]]
    return str(max(rows, key=lambda row: statistics.mean(run["mAP"] for run in row["runs"]))["id"])


def pictures_seen(recipe: Recipe, data: Manifest) -> int:
    """Pictures that training shows to the network, over all epochs."""
    steps = count_steps(data.of_split("train"), recipe)
    return round(steps * recipe.batch.size * recipe.training.epochs)


def like(report: Recipe, name: str, seen: int, data: Manifest) -> Recipe:
    """A shipped recipe with the row's network, pictures and at most as many pictures seen."""
    epochs = report.training.epochs
    recipe = load_recipe(name.split()[0], [*_equal(report, epochs), *CANDIDATES[name]])
    while pictures_seen(recipe, data) > seen:
        epochs -= 1
        recipe = change_recipe(recipe, [f"training.epochs={epochs}"])
    return recipe


def _equal(report: Recipe, epochs: int) -> list[str]:
    model = report.model
    return [
        f"model.backbone={model.backbone}",
        f"model.weights={START}",
        f"model.height={model.height}",
        f"model.width={model.width}",
        "schedule.warmup_epochs=1",
        f"training.epochs={epochs}",
    ]


Known = dict[tuple[str, str], dict[str, Any]]
"""What was measured before, by the vehicles that it was scored on and the recipe's digest."""


def _known() -> Known:
    try:
        before = read_results("recipe_on_drawn")
    except FileNotFoundError:
        return {}
    if before["drawn"] != DRAWN:
        return {}
    runs = [*before["runs"]["report"], *before["runs"]["recipe"]]
    return {
        **{("held out", each["digest"]): each for each in before["chosen_on_held_out"].values()},
        **{("test", each["digest"]): each for each in runs},
    }


def _measure(name: str, recipe: Recipe, data: Manifest, known: Known, on_vehicles: str) -> dict[str, Any]:
    if (on_vehicles, recipe.digest) in known:
        return known[on_vehicles, recipe.digest]
    folder, on = Path("run-of-a-recipe"), machine("cpu", workers=0)
    shutil.rmtree(folder, ignore_errors=True)  # of an interruption
    run = train(recipe, data, folder, on=on)
    scores = score_run(run, data, on=on).evaluation
    say(f"{name}, seed {recipe.training.seed}: mAP {100 * scores.mean_average_precision:.1f}")
    return {
        "digest": recipe.digest,
        "seed": recipe.training.seed,
        "rank-1": 100 * scores.cmc[1],
        "mAP": 100 * scores.mean_average_precision,
        "queries": scores.card.queries_scored,
    }


if __name__ == "__main__":
    main()
