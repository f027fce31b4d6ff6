"""A paper's table and figures: three recipes, each with its intervals, as LaTeX; curves and ranked lists as PDF.

    python examples/paper.py veri776:VeRi report-resnet18 report-se-resnext50 veri-r50-ibn

Without arguments it draws vehicles and trains the demo's recipe, and that with one part taken away. It needs
`pip install ".[train]"` and a minute or two.
"""

import sys
import tempfile
from pathlib import Path

import samecar
from samecar.experiment.evaluate import score_run
from samecar.report.figures.curves import curves_figure
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure

COLUMN = 3.5
"""Inches, of a paper with two columns."""

ABLATION = {"all parts": [], "no IBN": ["model.instance_norm=none"], "no whitening": ["model.whitening=none"]}


def row(name: str, evaluation: samecar.Evaluation) -> str:
    """A line of the table: mAP and rank-1, each with its 95 % interval over the choice of vehicles."""
    cells = [name]
    for metric, value in (("mAP", evaluation.mean_average_precision), ("rank-1", evaluation.cmc[1])):
        low, high = evaluation.intervals[metric]
        cells.append(f"{100 * value:.1f} ({100 * low:.1f}--{100 * high:.1f})")
    return " & ".join(cells) + r" \\"


def main(source: str = "", *names: str) -> None:
    """Trains and scores each recipe, and writes what the paper shows."""
    folder = Path(tempfile.mkdtemp(prefix="samecar-"))
    recipes = {name: samecar.load_recipe(name) for name in names}
    if not source:
        samecar.draw_set(folder / "drawn", vehicles=80, cameras=4, pictures=2, size=64)
        source = f"veri776:{folder / 'drawn'}"
        recipes = {name: samecar.load_recipe("demo", ["training.epochs=6", *part]) for name, part in ABLATION.items()}

    runs = {name: samecar.train(recipe, source, folder / name) for name, recipe in recipes.items()}
    scored = {name: score_run(run, source) for name, run in runs.items()}
    lines = [r"\begin{tabular}{lrr}", r"\toprule", r"recipe & mAP & rank-1 \\", r"\midrule"]
    lines += [row(name, each.evaluation) for name, each in scored.items()]
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    (folder / "table.tex").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))

    first = next(iter(scored.values()))
    save_figure(curves_figure(runs, title="", width=COLUMN), folder / "curves.pdf")
    save_figure(ranks_figure(first.lists([0, 1], count=5), width=COLUMN), folder / "ranks.pdf")
    print(f"table.tex, curves.pdf and ranks.pdf lie in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
