"""Two recipes on the same pictures, and whether one is better by more than chance.

    python examples/compare_recipes.py veri776:VeRi report-resnet18 small-set

Without arguments it draws vehicles, and trains the demo's recipe with and without its augmentations. It needs
`pip install ".[train]"` and a minute.
"""

import sys
import tempfile
from pathlib import Path

import samecar
from samecar.evaluation import compare_runs

PLAIN = ["augmentation.translation=0", "augmentation.jitter=false", "augmentation.erasing=0"]
SHORT = ["training.epochs=8"]


def main(source: str = "", *names: str) -> None:
    """Trains and scores both, and compares them query by query."""
    folder = Path(tempfile.mkdtemp(prefix="samecar-"))
    if source:
        recipes = {name: samecar.load_recipe(name) for name in names}
    else:
        samecar.draw_set(folder / "drawn", vehicles=80, cameras=4, pictures=2, size=64)
        source = f"veri776:{folder / 'drawn'}"
        recipes = {
            "plain": samecar.load_recipe("demo", SHORT + PLAIN),
            "augmented": samecar.load_recipe("demo", SHORT),
        }
    if len(recipes) != 2:
        sys.exit("give a source and the names of two recipes that differ")

    runs = []
    for name, recipe in recipes.items():
        run = samecar.train(recipe, source, folder / name)
        print(f"{name:>12}: {samecar.evaluate(run, source)}")
        runs.append(run)

    (comparison,) = compare_runs(*runs)  # pairs the queries of both, as `samecar compare-runs` does
    print(f"{comparison.queries} queries of {comparison.vehicles} vehicles, second less first:")
    for metric, found in comparison.metrics.items():
        low, high = found.interval
        verdict = "more than chance" if found.p_value < 0.05 else "may be chance"
        print(
            f"{metric:>8} {100 * found.difference:+6.1f}  "
            f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}  p {found.p_value:.4f}, {verdict}"
        )
    print("One training of each says nothing of the chance between seeds: repeat it with training.seed=2 and 3.")
    print(f"Runs and reports lie in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
