"""The table and the plot of results/answers.json: what a search says, beside what is so."""

from math import fsum
from pathlib import Path
from typing import Any

import numpy as np

from samecar.config import digest

ANSWERS = ("probability", "pair_probability")

SEEN = ("said", "right", "low", "high")


def answers(results: dict[str, Any]) -> str:
    """What a search says of results and of the gallery, beside what is so."""
    lines = [
        "| a result is said to be the vehicle | results | it is (95 % interval) | said of pairs alone | it is |",
        "|---|---:|---:|---:|---:|",
    ]
    for model, measured in results["models"].items():
        found = {said: _bins(bins) for said, bins in measured["ways"]["named"]["results"].items()}
        lines.append(f"| **{model}**, rank-1 {100 * measured['rank-1']:.1f} | | | | |")
        for name in dict.fromkeys(name for each in found.values() for name in each):
            now, alone = (found[said].get(name) for said in ANSWERS)
            cells = ["", ""] if now is None else [f"{now['number']:,}", _share(now)]
            cells += ["", ""] if alone is None else [f"{alone['number']:,}", _share(alone)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        (
            "| model and gallery | members said to be there | strangers said to be there | denied above a result of "
            "more than 50 %: in the search, as a pair alone | results above 50 %, and right |"
        ),
        "|---|---:|---:|---:|---:|",
    ]
    for model, measured in results["models"].items():
        for way, seen in measured["ways"].items():
            members, strangers = (seen["rates"][kind] for kind in ("members", "strangers"))
            denied = [(members[name] + strangers[name]) / 2 for name in ("denied_likely", "denied_pair_likely")]
            likely = [each for each in seen["results"]["probability"] if each["from"] >= 0.5]
            number = sum(each["number"] for each in likely)
            right = fsum(each["number"] * each["right"] for each in likely) / number
            lines.append(
                f"| {model}, {way} | {100 * members['in_gallery']:.1f} % | {100 * strangers['in_gallery']:.1f} % "
                f"| {100 * denied[0]:.1f} %, {100 * denied[1]:.1f} % | {number:,}, {100 * right:.1f} % |"
            )
    first = next(iter(results["models"].values()))
    lines += [
        "",
        (
            f"{first['ways']['named']['gallery']} vehicles in a gallery, {first['test_vehicles']} searched for, "
            f"{results['draws']} galleries; trained on {first['trained_on']} others, calibrated on "
            f"{first['calibrated_on']} others; pictures of {results['side']} × {results['side']} pixels."
        ),
    ]
    return "\n".join(lines) + "\n"


def _bins(bins: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Bins of probabilities by their names."""
    return {f"{100 * each['from']:g} to {100 * each['to']:g} %": each for each in bins}


def _share(each: dict[str, Any]) -> str:
    return f"{100 * each['right']:.1f} ({100 * each['low']:.1f}–{100 * each['high']:.1f}) %"


def draw_answers(results: dict[str, Any], path: Path) -> None:
    """Draws said probabilities against what is so."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "samecar", "font.size": 9}):
        figure = Figure((7.2, 3.6), layout="constrained")
        for axes, (model, measured) in zip(figure.subplots(1, 2), results["models"].items(), strict=True):
            seen = measured["ways"]["named"]
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":", label="what is said is so")
            for label, bins, style in (
                ("a result, in the search", seen["results"]["probability"], "o-"),
                ("the headline: it is in the gallery", seen["headline"], "s--"),
                ("a result, as a pair alone", seen["results"]["pair_probability"], "x:"),
            ):
                said, right, low, high = (np.array([each[name] for each in bins]) for name in SEEN)
                bars = [np.maximum(right - low, 0), np.maximum(high - right, 0)]
                axes.errorbar(said, right, bars, fmt=style, markersize=4, linewidth=1.2, capsize=2, label=label)
            axes.set(xlabel="said", ylabel="so", title=f"{model}, rank-1 {100 * measured['rank-1']:.1f}")
            axes.grid(alpha=0.3)
        figure.axes[0].legend(fontsize=7)
        figure.savefig(path, metadata={"Date": None, "Description": digest(results["models"])})
