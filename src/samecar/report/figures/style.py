"""How figures look, and how they are written: PNG to look at, SVG to print."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from samecar.files import write_file

INK, MUTED, PAPER = "#1c1f23", "#5b636b", "#ffffff"
COLOURS = ("#1f5f8b", "#c65d21", "#2f7d4f", "#8a4fa3", "#8f7a1a", "#b03a5b")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (10, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""Lines and points are told apart by these as well as by colour, so that a grey print can be read."""

DOTS_PER_INCH = 200

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "svg.hashsalt": "samecar",
    "svg.fonttype": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """Draws in the house's style within the block, and leaves matplotlib's settings as they were."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(width: float, height: float, *, arranged: bool = True, dots_per_inch: int = DOTS_PER_INCH) -> Figure:
    """An empty figure of so many inches, which no window shows; `arranged` leaves the places of its parts to it."""
    figure = Figure(figsize=(width, height), dpi=dots_per_inch, layout="constrained" if arranged else None)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Writes a figure as PNG and as SVG, each whole or not at all.

    Args:
        figure: to write.
        path: without suffix; one of .png and .svg is taken away.

    Raises:
        SamecarError: the files cannot be written.
    """
    stem = path.with_suffix("") if path.suffix.lower() in {".png", ".svg"} else path
    paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".png", ".svg")]
    for target in paths:
        with write_file(target) as temporary, style():
            metadata = {"Date": None} if target.suffix == ".svg" else None
            figure.savefig(temporary, format=target.suffix[1:], metadata=metadata)
    return paths
