"""How figures look, and how they are written: PNG to look at, SVG and PDF to print.

A figure may be as wide as a page or as a column of a paper. What it shows keeps its proportions; its text becomes but a
little smaller and breaks where a line is full, and the figure is as much higher.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, font_scalings
from matplotlib.textpath import TextToPath

from samecar.errors import SamecarError
from samecar.files import write_file

INK, MUTED, PAPER = "#1c1f23", "#5b636b", "#ffffff"
COLOURS = ("#1f5f8b", "#c65d21", "#2f7d4f", "#8a4fa3", "#8f7a1a", "#b03a5b")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (10, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""Lines and points are told apart by these as well as by colour, so that a grey print can be read."""

SUFFIXES = (".pdf", ".svg", ".png")
"""Of the files that a figure can be written to."""

WIDTH = 7.5
"""Inches of a figure of which nothing else is said."""

WIDTHS = (3.0, 36.0)
"""The narrowest and the widest figure in inches; in a narrower one words collide."""

DOTS = (30, 1200)
"""The fewest and the most dots per inch."""

DOTS_PER_INCH = 200

TEXT_WIDTHS, TEXT_SIZES = (3.5, 7.0), (7.5, 10.0)
"""Points of text on a sheet of so many inches: a paper's column, and a page. In between they grow evenly."""

SMALL = "small"
"""Size of captions: five sixths of the text's, so 6.25 points in a column."""

LINE_SPACING = 1.25
"""Height of a line of text over its points."""

STYLE: dict[Any, Any] = {
    "axes.titlesize": "medium",
    "figure.titlesize": "large",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "image.composite_image": False,
    "pdf.fonttype": 42,  # TrueType; many publishers refuse the Type 3 that is matplotlib's default
    "savefig.bbox": "standard",
    "svg.hashsalt": "samecar",
    "svg.fonttype": "none",
}

UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": None}
"""What is said of a file, so that the same figure gives the same bytes."""


@dataclass(frozen=True)
class Sheet:
    """What a figure is drawn on.

    Attributes:
        width: of the figure in inches, such as 3.5 for a column of a paper; its height follows; default: what suits it
        title: above the figure; an empty one leaves it out; default: what is shown
        dpi: dots per inch of a .png, and of pictures inside of a .pdf or .svg

    Raises:
        SamecarError: a number is out of range.
    """

    width: float | None = None
    title: str | None = None
    dpi: int = DOTS_PER_INCH

    def __post_init__(self) -> None:
        if self.width is not None:
            _check_width(self.width)
        _check_dots(self.dpi)

    def settings(self, title: str | None = None) -> dict[str, Any]:
        """Width and title as a figure's function takes them.

        Args:
            title: of a sheet that has none of its own; without it the function's.
        """
        chosen = title if self.title is None else self.title
        return {"width": self.width} | ({} if chosen is None else {"title": chosen})


@contextmanager
def style(width: float = WIDTH) -> Iterator[None]:
    """Draws in the house's style, on so many inches, and leaves matplotlib's settings as they were."""
    with mpl.rc_context(STYLE | {"font.size": text_size(width)}):
        yield


def text_size(width: float, size: str = "medium") -> float:
    """Points of a figure's text, by the figure's width in inches and by one of matplotlib's words for sizes."""
    return float(np.interp(width, TEXT_WIDTHS, TEXT_SIZES)) * font_scalings[size]


def line_height(width: float, size: str = "medium") -> float:
    """Inches that a line of text takes in a figure of such a width."""
    return LINE_SPACING * text_size(width, size) / 72


def new_figure(width: float, height: float, *, arranged: bool = True) -> Figure:
    """An empty figure of so many inches, which no window shows; `arranged` leaves the places of its parts to it.

    Raises:
        SamecarError: the width is out of range.
    """
    _check_width(width)
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained" if arranged else None)
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def drawing(width: float, height: float, title: str = "", *, arranged: bool = True) -> Iterator[Figure]:
    """A figure to draw on in the house's style, with its title.

    Args:
        width: in inches.
        height: of what is drawn, in inches; title, caption and legend come in addition.
        title: at its top; an empty one is none.
        arranged: leaves the places of its parts to matplotlib.

    Raises:
        SamecarError: the width is out of range.
    """
    with style(width):
        figure = new_figure(width, height, arranged=arranged)
        if title:
            text = figure.suptitle(_broken(figure, title, "large"), x=0.01, ha="left")
            if not arranged:
                text.set_y(1 - TITLE_TOP / figure.get_figheight())
        yield figure


def add_caption(figure: Figure, text: str) -> None:
    """Writes a small text below all else."""
    figure.supxlabel(_broken(figure, text, SMALL), x=0.01, ha="left", size=SMALL, color=MUTED)


def add_legend(axes: Axes, title: str = "") -> None:
    """Puts a legend above the axes, where it covers nothing, in as many columns as fit."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width = figure.get_figwidth()
    points = text_size(width, SMALL)
    labels = axes.get_legend_handles_labels()[1]
    column = max((text_width(label, points) for label in labels), default=0) + LEGEND_SIGN * points / 72
    columns = max(1, min(len(labels), int((width - LEGEND_LEFT * points / 72) / column)))
    _grow(figure, math.ceil(len(labels) / columns) + bool(title) + 1, SMALL)
    axes.legend(
        title=title or None,
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        borderpad=0,
        ncols=columns,
        handlelength=3,
        columnspacing=1.5,
        labelspacing=LINE_SPACING - 1,
    )


TITLE_TOP = 0.04
"""Inches above a title."""

LEGEND_SIGN = 5.5
"""What a legend's entry takes beside its words: the sign and the gaps, in heights of its text."""

LEGEND_LEFT = 6
"""What stands at the left of a legend: the axis and its words."""


def text_width(text: str, points: float) -> float:
    """Inches that a line of text takes."""
    width, _, _ = TextToPath().get_text_width_height_descent(text, FontProperties(size=points), ismath=False)
    return float(width) / 72


def fit_text(text: str, width: float, points: float) -> str:
    """The text in one line; of one that is wider than so many inches the end is left, in which names differ."""
    text = " ".join(text.split())
    if text_width(text, points) <= width:
        return text
    while text and text_width(f"…{text}", points) > width:
        text = text[1:]
    return f"…{text}"


def break_lines(text: str, width: float, points: float) -> str:
    """Breaks a text between words so that no line is wider than so many inches; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, points) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return "\n".join(lines)


def figure_files(path: Path) -> list[Path]:
    """The files that a figure is written to.

    Args:
        path: with one of `SUFFIXES` it is the only one; without a suffix, a PNG and an SVG are named after it.

    Raises:
        SamecarError: the suffix is another one.
    """
    if path.suffix.lower() in SUFFIXES:
        return [path]
    if re.match(r"\.[a-z]", path.suffix, re.IGNORECASE):  # but the .6 of curves-0.6 is none
        raise SamecarError(
            f"figure {path} ends in {path.suffix}; give {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, or no suffix for "
            ".png and .svg"
        )
    return [path.with_name(f"{path.name}{suffix}") for suffix in (".png", ".svg")]


def save_figure(figure: Figure, path: str | Path, *, dpi: int = DOTS_PER_INCH) -> list[Path]:
    """Writes a figure, each file whole or not at all. The same figure gives the same bytes; a PDF has its fonts in it.

    Args:
        figure: to write.
        path: ends in .pdf, .svg or .png; without a suffix both a PNG and an SVG are written.
        dpi: dots per inch of a PNG, and of pictures inside of a PDF or SVG.

    Returns:
        What was written.

    Raises:
        SamecarError: the suffix is another one, the dots are out of range, or the files cannot be written.
    """
    _check_dots(dpi)
    paths = figure_files(Path(path))
    for target in paths:
        suffix = target.suffix.lower()
        with write_file(target) as temporary, style(figure.get_figwidth()):
            figure.savefig(temporary, format=suffix[1:], metadata=UNDATED[suffix], dpi=dpi)
    return paths


def _broken(figure: Figure, text: str, size: str) -> str:
    """A text in lines that the figure holds; the figure is made higher by them."""
    width = figure.get_figwidth()
    broken = break_lines(text, 0.97 * width, text_size(width, size))
    _grow(figure, broken.count("\n") + 1, size)
    return broken


def _grow(figure: Figure, lines: int, size: str) -> None:
    figure.set_figheight(figure.get_figheight() + lines * line_height(figure.get_figwidth(), size))


def _check_width(width: float) -> None:
    low, high = WIDTHS
    if not low <= width <= high:
        raise SamecarError(f"width is {width:g}; give inches, {low:g} or more and at most {high:g}")


def _check_dots(dpi: int) -> None:
    low, high = DOTS
    if not low <= dpi <= high:
        raise SamecarError(f"dpi is {dpi}; give dots per inch, {low} or more and at most {high}")
