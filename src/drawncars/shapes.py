"""The outlines of vehicles: for each type a side profile with its windows, doors and wheels, in several models.

Lengths are metres. ``d`` counts from the front bumper backwards, ``z`` from the road upwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MODELS_PER_TYPE: Final = 4
"""Vehicles of one type come in this many models, as they do on the road."""

_MODEL_STREAM = 201


@dataclass(frozen=True)
class Body:
    """One closed shell: a side profile drawn out to a width, with rounded edges and a narrower roof.

    Attributes:
        profile: Corners ``(d, z)`` from the front's lower edge over the roof to the rear's lower edge.
        marks: Positions in ``profile`` of the bonnet's edge, the foot and the head of the windscreen, and the head and
            the foot of the rear window, in this order. A shell without windows has none.
        width: At the widest place.
        clearance: Height of the sill over the road.
        belt: Height of the lower edge of the side windows at the front, and its rise towards the rear.
        tumblehome: How much narrower each side is at the roof than at the belt.
        pillars: Middle ``d`` and width of the posts between the side windows.
        glazed: First and last ``d`` of the side windows.
        seams: ``d`` of the edges of the doors.
        axles: ``d`` of the wheel arches.
        bed: First and last ``d`` of an open loading bed, and the height of its floor.
        edge: Radius of the edge between side and top.
        bow: How far the corners of front and rear lie behind their middles.
    """

    profile: tuple[tuple[float, float], ...]
    marks: tuple[int, ...]
    width: float
    clearance: float
    belt: tuple[float, float]
    tumblehome: float
    pillars: tuple[tuple[float, float], ...] = ()
    glazed: tuple[float, float] = (0.0, 0.0)
    seams: tuple[float, ...] = ()
    axles: tuple[float, ...] = ()
    bed: tuple[float, float, float] | None = None
    edge: float = 0.06
    bow: float = 0.16
    rounding: float = 0.14

    @property
    def start(self) -> float:
        """The foremost ``d``."""
        return min(d for d, _ in self.profile)

    @property
    def end(self) -> float:
        """The rearmost ``d``."""
        return max(d for d, _ in self.profile)

    @property
    def height(self) -> float:
        """The highest ``z``."""
        return max(z for _, z in self.profile)


@dataclass(frozen=True)
class Shape:
    """A model of vehicle.

    Attributes:
        type: VeRi-776's name of its type.
        cabin: The shell with the windscreen.
        cargo: A second shell behind it: a truck's box or the sides of its bed.
        cargo_kind: ``box``, ``flatbed`` or ``tarpaulin``; empty without ``cargo``.
        axles: ``d`` of each pair of wheels.
        wheel_radius: Of the tyre.
    """

    type: str
    cabin: Body
    axles: tuple[float, ...]
    wheel_radius: float
    cargo: Body | None = None
    cargo_kind: str = ""

    @property
    def length(self) -> float:
        """From bumper to bumper."""
        return (self.cargo or self.cabin).end

    @property
    def height(self) -> float:
        """Of the highest point of the shells."""
        return max(self.cabin.height, self.cargo.height if self.cargo else 0.0)


def round_corners(profile: tuple[tuple[float, float], ...], radius: float) -> Floats:
    """A profile with its corners rounded; (points, 2)."""
    points = np.asarray(profile, dtype=np.float64)
    curve = [points[0]]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        reach_in = min(radius, 0.42 * float(np.hypot(*(before - corner))))
        reach_out = min(radius, 0.42 * float(np.hypot(*(after - corner))))
        first = corner + (before - corner) / np.hypot(*(before - corner)) * reach_in
        last = corner + (after - corner) / np.hypot(*(after - corner)) * reach_out
        curve += [first, 0.25 * first + 0.5 * corner + 0.25 * last, last]
    return np.array([*curve, points[-1]])


def _sedan(rng: np.random.Generator) -> Shape:
    back = rng.uniform(-0.12, 0.12)
    profile = (
        (0.14, 0.2), (0.0, 0.4), (0.02, 0.6), (0.16, 0.74), (1.2, 0.95), (1.98, 1.4), (2.6, 1.46), (3.3 + back, 1.38),
        (3.98 + back, 1.06), (4.5, 1.02), (4.6, 0.86), (4.58, 0.45), (4.46, 0.24),
    )  # fmt: skip
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.8, 0.2, (0.93, 0.05), 0.2, ((2.42, 0.09), (3.3, 0.1)), (1.45, 3.82 + back),
        (1.32, 2.42, 3.38), (0.86, 3.62),
    )  # fmt: skip
    return Shape("sedan", body, (0.86, 3.62), 0.32)


def _suv(rng: np.random.Generator) -> Shape:
    square = rng.uniform(0.0, 0.2)
    profile = (
        (0.16, 0.3), (0.0, 0.48), (0.02, 0.8), (0.14, 0.96), (1.22 - square / 3, 1.1), (1.85 - square, 1.6),
        (2.5, 1.7), (4.05 + square / 2, 1.64), (4.44, 1.14), (4.54, 1.02), (4.56, 0.55), (4.44, 0.32),
    )  # fmt: skip
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.88, 0.29, (1.06, 0.05), 0.17, ((2.32, 0.09), (3.28, 0.1), (3.98, 0.1)),
        (1.42 - square / 2, 4.3), (1.3, 2.32, 3.32), (0.88, 3.6), edge=0.07,
    )  # fmt: skip
    return Shape("suv", body, (0.88, 3.6), 0.37)


def _van(rng: np.random.Generator) -> Shape:
    panel = rng.random() < 0.4
    profile = (
        (0.12, 0.26), (0.0, 0.42), (0.02, 0.78), (0.12, 0.96), (0.6, 1.12), (1.25, 1.82), (1.8, 1.94), (4.72, 1.92),
        (4.86, 1.2), (4.9, 1.0), (4.9, 0.5), (4.8, 0.3),
    )  # fmt: skip
    pillars = ((1.95, 0.1), (3.15, 0.1), (4.1, 0.1))
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.75, 0.27, (1.12, 0.02), 0.1, pillars[:1] if panel else pillars,
        (0.8, 1.92 if panel else 4.7), (0.98, 1.95, 3.15), (0.84, 3.78), edge=0.08,
    )  # fmt: skip
    return Shape("van", body, (0.84, 3.78), 0.33)


def _hatchback(rng: np.random.Generator) -> Shape:
    slope = rng.uniform(-0.12, 0.1)
    profile = (
        (0.14, 0.21), (0.0, 0.4), (0.02, 0.62), (0.15, 0.78), (1.0, 0.99), (1.72, 1.43), (2.3, 1.5),
        (3.4 + slope, 1.42), (3.82, 1.05), (3.94, 0.92), (3.97, 0.5), (3.86, 0.26),
    )  # fmt: skip
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.72, 0.2, (0.97, 0.07), 0.18, ((2.2, 0.09), (3.05, 0.14)), (1.22, 3.5 + slope),
        (1.12, 2.2, 3.12), (0.8, 3.3),
    )  # fmt: skip
    return Shape("hatchback", body, (0.8, 3.3), 0.31)


def _mpv(rng: np.random.Generator) -> Shape:
    rise = rng.uniform(0.0, 0.12)
    profile = (
        (0.14, 0.22), (0.0, 0.42), (0.02, 0.64), (0.16, 0.8), (0.9, 1.03), (1.95, 1.58 + rise), (2.7, 1.68 + rise),
        (4.32, 1.6 + rise), (4.6, 1.1), (4.7, 0.94), (4.72, 0.5), (4.6, 0.28),
    )  # fmt: skip
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.82, 0.22, (1.0, 0.06), 0.16, ((1.62, 0.07), (2.55, 0.09), (3.55, 0.1)),
        (1.15, 4.45), (1.5, 2.55, 3.55), (0.9, 3.72), edge=0.07,
    )  # fmt: skip
    return Shape("mpv", body, (0.9, 3.72), 0.33)


def _pickup(rng: np.random.Generator) -> Shape:
    double = rng.random() < 0.6
    back = 3.35 if double else 2.75
    profile = (
        (0.15, 0.36), (0.0, 0.52), (0.02, 0.84), (0.14, 0.98), (1.25, 1.1), (1.85, 1.64), (2.4, 1.72),
        (back - 0.12, 1.66), (back, 1.08), (5.18, 1.08), (5.22, 0.98), (5.22, 0.56), (5.12, 0.42),
    )  # fmt: skip
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.84, 0.36, (1.06, 0.02), 0.17, ((2.3, 0.09),) if double else (),
        (1.45, back - 0.1), (1.32, 2.3, 3.25) if double else (1.32, 2.6), (0.92, 4.1), (back + 0.06, 5.14, 0.7),
    )  # fmt: skip
    return Shape("pickup", body, (0.92, 4.1), 0.38)


def _bus(rng: np.random.Generator) -> Shape:
    length = float(rng.choice([7.2, 8.6, 10.2]))
    height = 2.7 if length < 8 else 2.95
    profile = (
        (0.08, 0.32), (0.0, 0.5), (0.02, 1.12), (0.04, 1.16), (0.22, height - 0.35), (0.5, height - 0.02),
        (length - 0.25, height), (length - 0.1, height - 0.4), (length - 0.04, 1.5), (length, 0.6),
        (length - 0.06, 0.34),
    )  # fmt: skip
    pillars = tuple((float(d), 0.09) for d in np.arange(1.75, length - 0.7, 1.3))
    axles = (2.0 if length > 8 else 1.6, length - (2.5 if length > 8 else 1.9))
    body = Body(
        profile, (2, 3, 4, 7, 8), 2.4, 0.32, (1.3, 0.0), 0.06, pillars, (0.45, length - 0.4),
        (0.62, 1.6), axles, edge=0.1, bow=0.14, rounding=0.22,
    )  # fmt: skip
    return Shape("bus", body, axles, 0.46)


def _truck(rng: np.random.Generator) -> Shape:
    length = float(rng.choice([5.4, 6.2, 7.4]))
    kind = str(rng.choice(["box", "flatbed", "tarpaulin"], p=[0.45, 0.3, 0.25]))
    top = {"box": 2.75, "flatbed": 1.55, "tarpaulin": 2.6}[kind]
    cab = (
        (0.08, 0.38), (0.0, 0.52), (0.0, 1.2), (0.03, 1.25), (0.3, 2.02), (0.5, 2.2), (1.6, 2.24), (1.72, 2.1),
        (1.76, 1.3), (1.76, 0.6), (1.74, 0.46),
    )  # fmt: skip
    cabin = Body(
        cab, (2, 3, 4, 7, 8), 2.0, 0.42, (1.28, 0.0), 0.1, (), (0.2, 1.35), (0.28, 1.42), (0.95,), edge=0.08,
        bow=0.12,
    )  # fmt: skip
    load = (
        (1.92, 0.86), (1.92, 0.9), (1.92, top), (length - 0.02, top), (length, top - 0.05), (length, 0.9),
        (length, 0.86),
    )  # fmt: skip
    bed = (2.0, length - 0.08, 1.1) if kind == "flatbed" else None
    cargo = Body(load, (), 2.1, 0.86, (5.0, 0.0), 0.0, bed=bed, edge=0.03, bow=0.0, rounding=0.05)
    axles = (0.95, length - 1.25) if length < 7 else (0.95, length - 2.0, length - 1.05)
    return Shape("truck", cabin, axles, 0.42, cargo, kind)


def _estate(rng: np.random.Generator) -> Shape:
    slope = rng.uniform(-0.12, 0.08)
    profile = (
        (0.14, 0.2), (0.0, 0.4), (0.02, 0.6), (0.16, 0.75), (1.22, 0.96), (2.0, 1.41), (2.65, 1.48),
        (4.15 + slope, 1.42), (4.52, 1.04), (4.66, 0.92), (4.68, 0.5), (4.56, 0.25),
    )  # fmt: skip
    body = Body(
        profile, (3, 4, 5, 7, 8), 1.8, 0.2, (0.94, 0.05), 0.19, ((2.42, 0.09), (3.35, 0.1)), (1.46, 4.3 + slope),
        (1.32, 2.42, 3.4), (0.87, 3.66),
    )  # fmt: skip
    return Shape("estate", body, (0.87, 3.66), 0.32)


_BUILDERS: Final[dict[str, Callable[[np.random.Generator], Shape]]] = {
    "sedan": _sedan,
    "suv": _suv,
    "van": _van,
    "hatchback": _hatchback,
    "mpv": _mpv,
    "pickup": _pickup,
    "bus": _bus,
    "truck": _truck,
    "estate": _estate,
}


def model_shape(kind: str, model: int) -> Shape:
    """The shape of one model of a type.

    Args:
        kind: One of VeRi-776's types.
        model: 0 to ``MODELS_PER_TYPE - 1``. The models are the same whatever a set's seed is.
    """
    rng = np.random.default_rng([_MODEL_STREAM, list(_BUILDERS).index(kind), model])
    shape = _BUILDERS[kind](rng)
    along, up, across = rng.uniform(0.96, 1.04), rng.uniform(0.97, 1.04), rng.uniform(0.98, 1.02)
    return replace(
        shape,
        cabin=_stretch(shape.cabin, along, up, across),
        cargo=_stretch(shape.cargo, along, up, across) if shape.cargo else None,
        axles=tuple(d * along for d in shape.axles),
    )


def _stretch(body: Body, along: float, up: float, across: float) -> Body:
    return replace(
        body,
        profile=tuple((d * along, z * up) for d, z in body.profile),
        width=body.width * across,
        belt=(body.belt[0] * up, body.belt[1]),
        pillars=tuple((d * along, width) for d, width in body.pillars),
        glazed=(body.glazed[0] * along, body.glazed[1] * along),
        seams=tuple(d * along for d in body.seams),
        axles=tuple(d * along for d in body.axles),
        bed=(body.bed[0] * along, body.bed[1] * along, body.bed[2] * up) if body.bed else None,
    )
