"""A vehicle ready to be drawn: its triangles and the texture that they take their colours from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from drawncars.identity import Vehicle, make_vehicle
from drawncars.mesh import Mesh, Profile
from drawncars.paintwork import GLASS, MATT, METAL, PAINT, Canvas, Sheet, paint_wheel
from drawncars.palette import Shade, mix
from drawncars.shapes import Body
from drawncars.shells import Places, SheetPlace, build_mesh
from drawncars.sides import paint_cabin_side, paint_cargo_side
from drawncars.tops import paint_cabin_top, paint_cargo_top

Texture = npt.NDArray[np.float32]
_Placer = Callable[[str, tuple[float, float], tuple[float, float], float, int], Sheet]

_MARGIN: Final = 0.15
_PATCH: Final = 4


@dataclass(frozen=True)
class Model:
    """A vehicle as triangles and texture.

    Attributes:
        vehicle: What it was made from.
        mesh: Its triangles, in its own frame.
        texture: Colours in linear light and gloss, 0 to 1; (rows, columns, 4).
    """

    vehicle: Vehicle
    mesh: Mesh
    texture: Texture


@lru_cache(maxsize=24)
def build_model(seed: int, number: int, kind: str, colour: str, size: int) -> Model:
    """Make a vehicle, as fine as pictures of ``size`` pixels need it."""
    vehicle = make_vehicle(seed, number, kind, colour)
    scale = min(max(60.0 * size / 128, 40.0), 160.0) * (0.75 if kind == "bus" else 1.0)
    sheets: dict[str, SheetPlace] = {}
    painted: list[Texture] = []
    row = 0

    def place(name: str, along: tuple[float, float], across: tuple[float, float], by: float, flip: int) -> Sheet:
        nonlocal row
        width, height = (int(np.ceil((high - low) * by)) + 1 for low, high in (along, across))
        top = across[1] if flip < 0 else across[0]
        sheets[name] = SheetPlace(0.0, float(row), by, along[0], top, flip)
        row += height
        return Sheet(Canvas(width, height), SheetPlace(0.0, 0.0, by, along[0], top, flip))

    shells = [("cabin", vehicle.shape.cabin)]
    if vehicle.shape.cargo is not None:
        shells.append(("cargo", vehicle.shape.cargo))
    for name, body in shells:
        painted += _shell_sheets(name, body, vehicle, scale, place)
    for name in ("wheel", "wheel bare"):
        sheet = place(name, (-1.05, 1.05), (-1.05, 1.05), 0.4 * scale, -1)
        paint_wheel(sheet, vehicle, bare=name != "wheel")
        painted.append(sheet.canvas.finish())
    patches, flat = _patches(vehicle, row)
    painted.append(flat)
    texture = np.zeros((row + _PATCH, max(part.shape[1] for part in painted), 4), dtype=np.float32)
    first = 0
    for part in painted:
        texture[first : first + part.shape[0], : part.shape[1]] = part
        first += part.shape[0]
    mesh = build_mesh(vehicle, Places(sheets, patches))
    single = Mesh(*(part.astype(np.float32) for part in (mesh.corners, mesh.normals, mesh.texture)))
    return Model(vehicle, single, texture)


def _shell_sheets(name: str, body: Body, vehicle: Vehicle, scale: float, place: _Placer) -> list[Texture]:
    profile = Profile(body)
    painted = []
    for side in ("left", "right"):
        along, across = (body.start - _MARGIN, body.end + _MARGIN), (body.clearance - 0.2, body.height + _MARGIN)
        sheet = place(f"{name} {side}", along, across, scale, -1)
        (paint_cabin_side if name == "cabin" else paint_cargo_side)(sheet, profile, vehicle, side)
        painted.append(sheet.canvas.finish())
    half = body.width / 2 + 0.05
    sheet = place(f"{name} top", (-_MARGIN, float(profile.way[-1]) + _MARGIN), (-half, half), scale, 1)
    (paint_cabin_top if name == "cabin" else paint_cargo_top)(sheet, profile, vehicle)
    painted.append(sheet.canvas.finish())
    return painted


def _patches(vehicle: Vehicle, row: int) -> tuple[dict[str, tuple[float, float]], Texture]:
    """Flat colours for what has no sheet of its own, and where each lies."""
    floor: Shade = mix(vehicle.cargo if vehicle.shape.cargo else vehicle.paint, (50, 48, 46), 0.75)
    colours: dict[str, tuple[Shade, int]] = {
        "rubber": ((24, 24, 25), MATT),
        "dark": ((9, 9, 10), 0),
        "bed": (mix(vehicle.paint, (30, 30, 31), 0.55), MATT),
        "floor": (floor, MATT),
        "mirror": (vehicle.bumpers, PAINT),
        "trim": (vehicle.trim, METAL),
        "load": (vehicle.load_paint, PAINT),
        "second load": (mix(vehicle.load_paint, (90, 70, 50), 0.7), MATT),
        "spoiler": (mix(vehicle.paint, (0, 0, 0), 0.25), PAINT),
        "frame": ((58, 59, 62), MATT * 3),
        "pane": (vehicle.glass, GLASS),
    }
    flat = np.zeros((_PATCH, _PATCH * len(colours), 4), dtype=np.float32)
    places = {}
    for position, (name, (paint, gloss)) in enumerate(colours.items()):
        columns = slice(position * _PATCH, (position + 1) * _PATCH)
        flat[:, columns, :3] = (np.array(paint, dtype=np.float32) / 255) ** 2.2
        flat[:, columns, 3] = gloss / 255
        places[name] = ((position + 0.5) * _PATCH, row + 0.5 * _PATCH)
    return places, flat
