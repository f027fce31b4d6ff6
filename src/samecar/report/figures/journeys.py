"""Cameras and the journeys between them: who came from where, how many, and how long it took."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.linking.journeys import Journey
from samecar.linking.tables import TravelTime, measure_travel_times
from samecar.report.figures.style import (
    COLOURS,
    INK,
    MUTED,
    PAPER,
    SMALL,
    WIDTH,
    add_caption,
    drawing,
    fit_text,
    line_height,
    text_size,
    text_width,
)

NODE, SMALLEST_NODE = 0.13, 0.05
"""Radius of a camera, where cameras lie within one unit of the middle."""

WIDEST = 5.0
"""Points of the widest line."""

BEND = 0.16
"""Of a line, as a share of its length: both directions can be seen."""

HALF_WIDTH, HALF_HEIGHT = 1.35, 1.2
"""Of what is drawn, where cameras lie within one unit of the middle."""

ALONG = (0.34, 0.42, 0.5, 0.58, 0.66)
"""Where on a line its numbers may stand."""

MOST_TOLD = 12
"""Lines that have their numbers on them at most: the busiest, as far as there is room."""


def journeys_figure(
    journeys: Sequence[Journey],
    *,
    places: Mapping[str, tuple[float, float]] | None = None,
    title: str = "Journeys",
    width: float | None = None,
) -> Figure:
    """Draws cameras as nodes and moves from camera to camera as lines, which are as wide as vehicles are many.

    Args:
        journeys: of a gallery.
        places: where cameras lie, in any unit, x to the right and y up; default: evenly on a circle.
        title: of the figure; an empty one is none.
        width: in inches; by default 7.5.

    Raises:
        SamecarError: there is no camera, one has no place, or the width is out of range.
    """
    seen = Counter(camera for journey in journeys for camera in set(journey.cameras))
    cameras = sorted(seen)
    if not cameras:
        raise SamecarError("there are no journeys to draw; add pictures to the gallery first")
    at = _on_circle(cameras) if places is None else _scaled(cameras, places)
    moves = measure_travel_times(journeys)
    width = WIDTH if width is None else width
    with drawing(width, width * HALF_HEIGHT / HALF_WIDTH, title) as figure:
        axes = figure.add_subplot()
        radius = _node_radius(list(at.values()))
        most = max((move.moves for move in moves), default=1)
        busiest = sorted(moves, key=lambda move: (-move.moves, move.origin, move.target))[:MOST_TOLD]
        told = _place_words(busiest, at, radius, width)
        for move in moves:
            _draw_move(axes, move, at, radius, width, move.moves / most, known=move in told)
        for move, place in told.items():
            _write_words(axes, move, place, width)
        for camera in cameras:
            _draw_camera(axes, camera, at[camera], radius, width, seen[camera])
        axes.set_aspect("equal")
        axes.set_xlim(-HALF_WIDTH, HALF_WIDTH)
        axes.set_ylim(-HALF_HEIGHT, HALF_HEIGHT)
        axes.axis("off")
        add_caption(figure, _caption(journeys, moves, len(told)))
    return figure


Places = Mapping[str, NDArray[np.float64]]
"""Where cameras are drawn."""


def _on_circle(cameras: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(cameras)) / len(cameras)
    return {camera: np.array([np.cos(angle), np.sin(angle)]) for camera, angle in zip(cameras, angles, strict=True)}


def _scaled(cameras: Sequence[str], places: Mapping[str, tuple[float, float]]) -> dict[str, NDArray[np.float64]]:
    """Places that fill the square from -1 to 1."""
    if missing := [camera for camera in cameras if camera not in places]:
        raise SamecarError(f"camera {missing[0]!r} has no place; give one for each camera")
    given = np.array([places[camera] for camera in cameras], np.float64)
    middle = (given.max(axis=0) + given.min(axis=0)) / 2
    reach = float(np.abs(given - middle).max()) or 1.0
    return dict(zip(cameras, (given - middle) / reach, strict=True))


def _node_radius(places: Sequence[NDArray[np.float64]]) -> float:
    """The largest at which no camera covers another, as far as words still fit."""
    apart = [float(np.linalg.norm(one - other)) for place, one in enumerate(places) for other in places[:place]]
    return max(SMALLEST_NODE, min(NODE, min(apart, default=1.0) / 2.1))


def _draw_move(
    axes: Axes, move: TravelTime, at: Places, radius: float, width: float, share: float, *, known: bool
) -> None:
    """An arrow that bends to the right, so that both directions can be seen; pale where it has no words."""
    start, end = at[move.origin].tolist(), at[move.target].tolist()
    shrink = radius * 72 * width / (2 * HALF_WIDTH)
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=f"arc3,rad={BEND}",
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=shrink,
            shrinkB=shrink,
            linewidth=0.5 + WIDEST * share,
            alpha=0.75 if known else 0.3,
            color=COLOURS[0] if known else MUTED,
            zorder=1,
        )
    )


def _place_words(
    moves: Sequence[TravelTime], at: Places, radius: float, width: float
) -> dict[TravelTime, NDArray[np.float64]]:
    """Where on its line each move's words stand; moves whose words would cover others are left out."""
    points, unit = text_size(width, SMALL), 2 * HALF_WIDTH / width  # what an inch is in the drawing
    height = 0.6 * line_height(width, SMALL) * unit
    taken = [(place, radius, radius) for place in at.values()]
    found: dict[TravelTime, NDArray[np.float64]] = {}
    for move in moves:
        half = text_width(_words(move), points) * unit / 2 + 0.02
        for share in ALONG:
            place = _on_line(at[move.origin], at[move.target], share)
            if all((abs(place - other) > (half + wide, height + high)).any() for other, wide, high in taken):
                found[move] = place
                taken.append((place, half, height))
                break
    return found


def _on_line(start: NDArray[np.float64], end: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """A place on a bent line, from its start (0) to its end (1): on matplotlib's curve "arc3"."""
    along = end - start
    bend = (start + end) / 2 + BEND * np.array([along[1], -along[0]])
    place: NDArray[np.float64] = (1 - share) ** 2 * start + 2 * share * (1 - share) * bend + share**2 * end
    return place


def _write_words(axes: Axes, move: TravelTime, place: NDArray[np.float64], width: float) -> None:
    box = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.9}
    x, y = place.tolist()
    axes.text(x, y, _words(move), ha="center", va="center", size=text_size(width, SMALL), color=INK, bbox=box, zorder=2)


def _draw_camera(
    axes: Axes, camera: str, place: NDArray[np.float64], radius: float, width: float, journeys: int
) -> None:
    x, y = place.tolist()
    axes.add_patch(Circle((x, y), radius, facecolor=PAPER, edgecolor=INK, linewidth=1.2, zorder=3))
    room = 1.8 * radius * width / (2 * HALF_WIDTH)
    name = fit_text(camera or "unknown", room, text_size(width, SMALL))
    words = f"{name}\n{journeys:,}"
    axes.text(x, y, words, ha="center", va="center", size=text_size(width, SMALL), color=INK, zorder=4)


def _words(move: TravelTime) -> str:
    return f"{move.moves:,} · {_time_words(move.median)}"


def _time_words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _caption(journeys: Sequence[Journey], moves: Sequence[TravelTime], told: int) -> str:
    several = sum(len(journey.steps) > 1 for journey in journeys)
    busiest = "dark lines" if told < len(moves) else "lines"
    return (
        f"{len(journeys):,} journeys, {several:,} of two sightings or more. In each camera: journeys that it saw. "
        f"On {busiest}: moves from camera to camera, and their median time."
    )
