"""What a study of recipes found: each trial in turn, which options mattered, and how each one did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from samecar.errors import SamecarError
from samecar.report.figures.style import (
    COLOURS,
    DASHES,
    INK,
    MUTED,
    WIDTH,
    add_caption,
    add_legend,
    drawing,
    fit_text,
    text_size,
)

COLUMNS = 2
"""Options beside each other."""

ROW = 0.3
"""Inches of a bar."""

LOG_TICKS = 3
"""Numbers below a logarithmic axis."""

STATES = {"complete": ("o", COLOURS[0]), "pruned": ("x", MUTED)}
"""How trials are drawn that have a score."""


@dataclass(frozen=True)
class TriedRecipe:
    """A trial of a study.

    Attributes:
        number: from 0, in the order in which they were begun.
        state: complete, pruned, failed or running.
        score: best mAP on the held-out vehicles, 0 to 1; of a pruned one the best until then; None without one.
        values: of the options that are searched, by their dotted paths.
        changes: of the recipe, as `--set` takes them.
        seconds: that it took.
        as_it_stands: whether it is the recipe without a change.
        error: why it failed.
    """

    number: int
    state: str
    score: float | None
    values: Mapping[str, str | float] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    seconds: float = 0.0
    as_it_stands: bool = False
    error: str | None = None


def history_figure(
    trials: Sequence[TriedRecipe],
    *,
    untrained: float | None = None,
    title: str = "Trials",
    width: float | None = None,
) -> Figure:
    """Draws the score of each trial, and the best until then.

    Args:
        trials: of a study.
        untrained: mAP of the recipe's network before training, 0 to 1.
        title: of the figure; an empty one is none.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: no trial has a score, or the width is out of range.
    """
    scored = _scored(trials)
    width = WIDTH if width is None else width
    with drawing(width, 0.55 * width, title) as figure:
        axes = figure.add_subplot()
        for state, (marker, colour) in STATES.items():
            points = [(trial.number, 100 * score) for trial, score in scored if trial.state == state]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=colour, label=f"{state} ({len(points)})")
        finished = [(trial.number, score) for trial, score in scored if trial.state == "complete"]
        if finished:
            numbers, scores = zip(*finished, strict=True)
            best = 100 * np.maximum.accumulate(scores)
            axes.step(numbers, best, where="post", color=INK, linewidth=1.2, label=f"best until then ({best[-1]:.1f})")
        own = next((score for trial, score in scored if trial.as_it_stands), None)
        for value, words, dash in ((own, "recipe as it stands", DASHES[1]), (untrained, "untrained", DASHES[2])):
            if value is not None:
                axes.axhline(100 * value, color=COLOURS[1], linestyle=dash, label=f"{words} ({100 * value:.1f})")
        axes.set_xlabel("trial")
        axes.set_ylabel("mAP, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
        add_legend(axes)
        add_caption(figure, "mAP on held-out train vehicles; the best of many trials is optimistic.")
    return figure


def importances_figure(
    importances: Mapping[str, float], *, title: str = "Which options mattered", width: float | None = None
) -> Figure:
    """Draws how much each option decides whether a trial is among the best.

    Args:
        importances: shares by option, which sum to 1, as `optuna.importance.PedAnovaImportanceEvaluator` gives them.
        title: of the figure; an empty one is none.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: there is none, or the width is out of range.
    """
    if not importances:
        raise SamecarError("no importances are known; they need some complete trials that differ")
    ranked = sorted(importances.items(), key=lambda item: (item[1], item[0]))
    width = WIDTH if width is None else width
    with drawing(width, 0.8 + ROW * len(ranked), title) as figure:
        axes = figure.add_subplot()
        points = text_size(width)
        names = [fit_text(name, 0.45 * width, points) for name, _ in ranked]
        bars = axes.barh(range(len(ranked)), [share for _, share in ranked], color=COLOURS[0], height=0.7)
        axes.set_yticks(range(len(ranked)), names)
        axes.bar_label(bars, [f"{100 * share:.0f} %" for _, share in ranked], padding=3, color=INK)
        axes.set_xlim(0, 1.2 * max(share for _, share in ranked) or 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        add_caption(figure, "Share of each option in what sets the best tenth of the trials apart (PED-ANOVA).")
    return figure


def slices_figure(
    trials: Sequence[TriedRecipe],
    *,
    logarithmic: Sequence[str] = (),
    title: str = "Scores by option",
    width: float | None = None,
) -> Figure:
    """Draws the scores of all trials over the values of each option.

    Args:
        trials: of a study.
        logarithmic: options that were tried over their logarithm.
        title: of the figure; an empty one is none.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: no trial has a score, or the width is out of range.
    """
    scored = _scored(trials)
    options = list(dict.fromkeys(option for trial, _ in scored for option in trial.values))
    if not options:
        raise SamecarError("no trial with a score has changed an option; let more of them end")
    width = WIDTH if width is None else width
    columns = min(COLUMNS if width >= WIDTH else 1, len(options))
    rows = -(-len(options) // columns)
    side = width / columns
    with drawing(width, rows * max(0.6 * side, 1.9), title) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(options):
                axes.set_visible(False)
                continue
            _draw_slice(axes, scored, options[place], options[place] in logarithmic, side)
            if place % columns == 0:
                axes.set_ylabel("mAP, %")
        add_caption(figure, "A point a trial; crosses were pruned.")
    return figure


def _draw_slice(
    axes: Axes, scored: Sequence[tuple[TriedRecipe, float]], option: str, logarithmic: bool, side: float
) -> None:
    told = [(trial.state, trial.values[option], 100 * score) for trial, score in scored if option in trial.values]
    texts = list(dict.fromkeys(value for _, value, _ in told if isinstance(value, str)))
    for state, (marker, colour) in STATES.items():
        points = [
            (texts.index(value) if isinstance(value, str) else value, score)
            for known, value, score in told
            if known == state
        ]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=colour)
    figure = axes.get_figure(root=True)
    assert figure is not None
    points_of_text = text_size(figure.get_figwidth())
    if texts:
        room = 0.7 * side / len(texts)
        axes.set_xticks(range(len(texts)), [fit_text(text, room, points_of_text) for text in texts])
        axes.set_xlim(-0.5, len(texts) - 0.5)
    elif logarithmic:
        numbers = [float(value) for _, value, _ in told]
        axes.set_xscale("log")
        ticks = sorted({float(f"{tick:.1g}") for tick in np.geomspace(min(numbers), max(numbers), LOG_TICKS)})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(fit_text(option, 0.75 * side, points_of_text))
    axes.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)


def _scored(trials: Sequence[TriedRecipe]) -> list[tuple[TriedRecipe, float]]:
    """The trials that have a score, in their order.

    Raises:
        SamecarError: there is none.
    """
    scored = [(trial, trial.score) for trial in trials if trial.score is not None and trial.state in STATES]
    if not scored:
        raise SamecarError("no trial has a score; let one of them end")
    return scored
