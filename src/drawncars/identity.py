"""What makes one vehicle an individual: its model, its paint, and everything stuck on, fitted, dented or missing."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from drawncars.palette import COLOURS, SHADES, TYPES, Shade, luminance
from drawncars.shapes import MODELS_PER_TYPE, Shape, model_shape

_IDENTITY_STREAM = 301

STICKER_PAINTS: Final[tuple[Shade, ...]] = (
    (238, 238, 234),
    (226, 40, 40),
    (250, 208, 20),
    (30, 120, 210),
    (30, 158, 84),
    (24, 52, 104),
    (240, 120, 20),
    (170, 60, 170),
)
ROOF_PAINTS: Final[tuple[Shade, ...]] = (
    (236, 236, 232),
    (26, 27, 30),
    (168, 172, 176),
    (92, 24, 28),
    (26, 52, 96),
    (226, 196, 96),
)
STICKER_FORMS: Final = ("disc", "square", "triangle", "slash", "diamond", "ring")
STICKER_PLACES: Final = ("left", "right", "both", "bonnet", "roof", "rear")
RACKS: Final = ("", "rails", "bars", "box", "luggage", "sign")
TRIMS: Final[tuple[Shade, ...]] = ((40, 41, 43), (205, 207, 210), (228, 228, 224), (150, 30, 30))


@dataclass(frozen=True)
class Sticker:
    """Something stuck on.

    Attributes:
        place: One of :data:`STICKER_PLACES`.
        along: Where from front (0) to rear (1); for ``rear`` from left to right.
        up: Where from low (0) to high (1); for ``roof`` and ``bonnet`` from right to left.
        size: Across, in metres.
        form: One of :data:`STICKER_FORMS`.
        paint: Its colour.
    """

    place: str
    along: float
    up: float
    size: float
    form: str
    paint: Shade


@dataclass(frozen=True)
class Stripe:
    """A band along the sides (``waist``, ``sill``, ``wedge``) or over the top (``centre``, ``twin``, ``offset``)."""

    place: str
    width: float
    paint: Shade


@dataclass(frozen=True)
class Dent:
    """A dent in a side: ``left`` or ``right``, where from front to rear and low to high (0 to 1), and its radius."""

    place: str
    along: float
    up: float
    radius: float


@dataclass(frozen=True)
class Vehicle:
    """One vehicle.

    Attributes:
        shape: Its model.
        paint: Of the body.
        roof: Paint of the roof; the body's unless it is two-tone.
        lower: Paint of the lower body, where that differs.
        cargo: Paint of a truck's box, sides or tarpaulin.
        bumpers: Paint of the bumpers and mirrors.
        trim: Paint of the grille's bars, handles and roof bars.
        glass: Colour of the windows, from clear to tinted.
        wheel_style: Design of the wheels, 0 to 4.
        wheel_paint: Their colour.
        missing_cap: The wheel that lost its hub cap (left and right of the first axle, then of the next), or -1.
        rack: One of :data:`RACKS`.
        load_paint: Colour of what is on the roof or in the bed.
        lamps: Design of the lamps, 0 to 2.
        plate: Colour of the number plates.
        odd_door: Which door was replaced by one of another colour, or -1, and that colour.
        sunroof: Whether there is one.
        spoiler: Whether there is one.
        cladding: Whether the wheel arches and sills have black cladding.
        stripes: Bands of paint.
        stickers: What is stuck on.
        dents: What was run into.
        lettering: Colour of the writing on the sides, or ``None``.
        dirt: How dirty the lower body is, 0 to 1.
    """

    shape: Shape
    paint: Shade
    roof: Shade
    lower: Shade | None
    cargo: Shade
    bumpers: Shade
    trim: Shade
    glass: Shade
    wheel_style: int
    wheel_paint: Shade
    missing_cap: int
    rack: str
    load_paint: Shade
    lamps: int
    plate: Shade
    odd_door: tuple[int, Shade]
    sunroof: bool
    spoiler: bool
    cladding: bool
    stripes: tuple[Stripe, ...]
    stickers: tuple[Sticker, ...]
    dents: tuple[Dent, ...]
    lettering: Shade | None
    dirt: float


def make_vehicle(seed: int, number: int, kind: str, colour: str) -> Vehicle:
    """The vehicle of a number; the same one wherever and however often it is asked for.

    Args:
        seed: The set's seed.
        number: The vehicle's number.
        kind: One of VeRi-776's types.
        colour: One of VeRi-776's colours.
    """
    rng = np.random.default_rng([_IDENTITY_STREAM, seed, number, TYPES.index(kind), COLOURS.index(colour)])
    shape = model_shape(kind, int(rng.integers(MODELS_PER_TYPE)))
    paint = _vary(SHADES[colour][int(rng.integers(len(SHADES[colour])))], 5, rng)
    # Between two and four things that can be seen from afar; the rest of the details come on top.
    chosen = set(rng.choice(_FEATURES[kind if kind in _FEATURES else ""], int(rng.integers(2, 5)), replace=False))
    if {"roof", "lower"} <= chosen:  # one of them leaves enough of the vehicle's own colour
        chosen.remove("lower")
    contrast = _contrast(paint, rng, ROOF_PAINTS)
    cargo = _cargo_paint(paint, rng)
    if cargo != paint and shape.cargo is not None:
        chosen.discard("roof")
    trim = TRIMS[int(rng.choice(3, p=[0.45, 0.4, 0.15]))]
    wheel_paint = ((196, 199, 203), (150, 152, 156), (62, 63, 66), (222, 222, 220))[int(rng.integers(4))]
    plain_bumpers = paint if rng.random() < 0.7 else ((44, 45, 47), (120, 122, 124))[int(rng.integers(2))]
    return Vehicle(
        shape=shape,
        paint=paint,
        roof=contrast if "roof" in chosen else paint,
        lower=_contrast(paint, rng) if "lower" in chosen else None,
        cargo=cargo,
        bumpers=plain_bumpers,
        trim=trim,
        glass=((34, 42, 48), (22, 27, 32), (48, 60, 64), (14, 16, 19))[int(rng.integers(4))],
        wheel_style=int(rng.integers(5)),
        wheel_paint=wheel_paint,
        missing_cap=int(rng.integers(2 * len(shape.axles))) if rng.random() < 0.3 else -1,
        rack=str(rng.choice(RACKS[1:])) if "rack" in chosen else "",
        load_paint=_vary(STICKER_PAINTS[int(rng.integers(len(STICKER_PAINTS)))], 18, rng),
        lamps=int(rng.integers(3)),
        plate=((28, 62, 160), (236, 190, 40), (232, 232, 228), (110, 190, 130))[int(rng.integers(4))],
        odd_door=(int(rng.integers(3)), _contrast(paint, rng, ROOF_PAINTS)) if "door" in chosen else (-1, paint),
        sunroof="sunroof" in chosen,
        spoiler="spoiler" in chosen,
        cladding=bool(rng.random() < (0.6 if kind in ("suv", "pickup") else 0.12)),
        stripes=_stripes(paint, rng) if "stripe" in chosen else (),
        stickers=_stickers(paint, rng, 3 if "stickers" in chosen else 1),
        dents=_dents(rng, 2 if "dents" in chosen else int(rng.random() < 0.25)),
        lettering=_contrast(paint, rng) if "lettering" in chosen else None,
        dirt=float(rng.uniform(0, 0.5) ** 2 * 2),
    )


_FEATURES: Final[dict[str, tuple[str, ...]]] = {
    "": ("roof", "lower", "rack", "door", "sunroof", "spoiler", "stripe", "stickers", "dents"),
    "bus": ("lower", "stripe", "stickers", "lettering", "dents", "door"),
    "truck": ("roof", "stripe", "stickers", "lettering", "dents", "door"),
    "van": ("roof", "lower", "rack", "door", "stripe", "stickers", "dents", "lettering"),
    "pickup": ("roof", "lower", "rack", "door", "stripe", "stickers", "dents"),
}


def _vary(paint: Shade, spread: int, rng: np.random.Generator) -> Shade:
    red, green, blue = (int(np.clip(part + rng.integers(-spread, spread + 1), 0, 255)) for part in paint)
    return red, green, blue


def _contrast(paint: Shade, rng: np.random.Generator, among: tuple[Shade, ...] = STICKER_PAINTS) -> Shade:
    """A colour that stands out from the paint."""
    apart = [
        other
        for other in among
        if abs(luminance(other) - luminance(paint)) > 60
        or sum(abs(a - b) for a, b in zip(other, paint, strict=True)) > 240
    ]
    return apart[int(rng.integers(len(apart)))]


def _cargo_paint(paint: Shade, rng: np.random.Generator) -> Shade:
    others: tuple[Shade, ...] = ((226, 227, 226), (196, 199, 202), paint, paint, paint)
    return others[int(rng.integers(len(others)))]


def _stripes(paint: Shade, rng: np.random.Generator) -> tuple[Stripe, ...]:
    places = ("waist", "sill", "wedge", "centre", "twin", "offset")
    count = 1 + int(rng.random() < 0.35)
    chosen = rng.choice(places, count, replace=False)
    return tuple(Stripe(str(place), float(rng.uniform(0.09, 0.2)), _contrast(paint, rng)) for place in chosen)


def _stickers(paint: Shade, rng: np.random.Generator, most: int) -> tuple[Sticker, ...]:
    count = int(rng.integers(most == 3, most + 1)) + (most == 3)
    return tuple(
        Sticker(
            place=str(rng.choice(STICKER_PLACES)),
            along=float(rng.uniform(0.1, 0.9)),
            up=float(rng.uniform(0.15, 0.9)),
            size=float(rng.uniform(0.22, 0.48)),
            form=str(rng.choice(STICKER_FORMS)),
            paint=_contrast(paint, rng),
        )
        for _ in range(count)
    )


def _dents(rng: np.random.Generator, count: int) -> tuple[Dent, ...]:
    return tuple(
        Dent(
            place=str(rng.choice(["left", "right"])),
            along=float(rng.uniform(0.12, 0.88)),
            up=float(rng.uniform(0.2, 0.8)),
            radius=float(rng.uniform(0.14, 0.26)),
        )
        for _ in range(count)
    )
