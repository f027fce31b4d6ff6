"""A vehicle's triangles: its shells, its wheels and what is fitted to it, each with its place in the texture."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from drawncars.identity import Vehicle
from drawncars.mesh import Mesh, Profile, flat_sided, grid, half_width, join_meshes, smooth_sided
from drawncars.shapes import Body, Floats

TYRE_WIDTH: Final = 0.22
ARCH_GAP: Final = 0.05


@dataclass(frozen=True)
class SheetPlace:
    """Where a sheet lies in the texture.

    Attributes:
        column: Of its first texel.
        row: Of its first texel.
        scale: Texels to a metre.
        left: What the sheet's left edge stands for, in metres.
        top: What its upper edge stands for, in metres.
        flip: -1 where the second coordinate goes up as the rows go down, else 1.
    """

    column: float
    row: float
    scale: float
    left: float
    top: float
    flip: int

    def texels(self, along: Floats, across: Floats) -> Floats:
        """Column and row of points given in the sheet's own metres; (..., 2)."""
        return np.stack(
            [
                self.column + (along - self.left) * self.scale,
                self.row + (across - self.top) * self.flip * self.scale,
            ],
            axis=-1,
        )


class Places:
    """The places of all sheets and flat patches of a vehicle's texture, by name."""

    def __init__(self, sheets: dict[str, SheetPlace], patches: dict[str, tuple[float, float]]) -> None:
        self.sheets = sheets
        self.patches = patches


def build_mesh(vehicle: Vehicle, places: Places) -> Mesh:
    """All triangles of a vehicle, in its own frame."""
    shape = vehicle.shape
    parts = _shell(shape.cabin, "cabin", places, shape.wheel_radius)
    if shape.cargo is not None:
        parts += _shell(shape.cargo, "cargo", places, shape.wheel_radius)
    parts += _underbody(vehicle, places)
    for number, axle in enumerate(shape.axles):
        for side in (1, -1):
            bare = vehicle.missing_cap == 2 * number + (side < 0)
            parts.append(_wheel(vehicle, axle, side, places, bare))
    parts += _fittings(vehicle, places)
    mesh = join_meshes(parts)
    # From d, counted backwards from the front, to x, counted forwards from the middle.
    mesh.corners[:, :, 0] = shape.length / 2 - mesh.corners[:, :, 0]
    mesh.normals[:, :, 0] *= -1
    return Mesh(mesh.corners[:, ::-1], mesh.normals[:, ::-1], mesh.texture[:, ::-1])


def _shell(body: Body, name: str, places: Places, wheel_radius: float) -> list[Mesh]:
    profile = Profile(body)
    pieces = [_side(profile, places.sheets[f"{name} {side}"], side, wheel_radius) for side in ("left", "right")]
    pieces += _over_the_top(profile, places.sheets[f"{name} top"])
    corners = np.concatenate([piece[0] for piece in pieces])
    meshes = [smooth_sided(_bow(corners, body), np.concatenate([piece[1] for piece in pieces]))]
    if body.bed is not None:
        meshes.append(_bed(profile, places))
    return meshes


def _bow(corners: Floats, body: Body) -> Floats:
    """Draw the corners of front and rear back behind their middles."""
    bent = corners.copy()
    out = (corners[:, :, 1] / (body.width / 2)) ** 2
    reach = 1.1
    bent[:, :, 0] += body.bow * out * np.clip(1 - (corners[:, :, 0] - body.start) / reach, 0, 1)
    bent[:, :, 0] -= 0.7 * body.bow * out * np.clip(1 - (body.end - corners[:, :, 0]) / reach, 0, 1)
    return bent


def _side(profile: Profile, place: SheetPlace, side: str, wheel_radius: float) -> tuple[Floats, Floats]:
    body, sign = profile.body, 1.0 if side == "left" else -1.0
    d = profile.columns(wheel_radius + ARCH_GAP)
    top = profile.top(d)
    low = np.minimum(profile.bottom(d, wheel_radius + ARCH_GAP, wheel_radius), top)
    shoulder = np.maximum(top - body.edge, low)
    belt = np.clip(body.belt[0], low, shoulder)
    rows = [low + (belt - low) * share for share in (0.0, 0.3, 0.6, 0.85, 1.0)]
    rows += [belt + (shoulder - belt) * share for share in (0.35, 0.7, 1.0)]
    z = np.stack([*rows, top])  # (rows, columns)
    across = np.broadcast_to(d, z.shape)
    y = half_width(body, across, z)
    y[-1] -= body.edge
    # Under the bumpers the outline is the end of the strip over the top, which is narrower by the edge.
    (first, _), (last, _) = body.profile[0], body.profile[-1]
    y[0] -= body.edge * np.clip(1 - np.minimum(d - first, last - d) / 0.12, 0, 1)
    points = np.stack([across, sign * y, z], axis=2)
    # At the very front and rear the side turns to face forwards and backwards.
    outward = np.zeros_like(points)
    outward[:, :, 0] = 0.5 * ((2 * across - body.start - body.end) / (body.end - body.start)) ** 15
    outward[:, :, 1] = sign
    return grid(points, place.texels(across, z), outward)


def _over_the_top(profile: Profile, place: SheetPlace) -> list[tuple[Floats, Floats]]:
    body = profile.body
    way = np.unique(np.concatenate([profile.way, np.arange(0, profile.way[-1], 0.4)]))
    d, z = (np.interp(way, profile.way, profile.points[:, axis]) for axis in (0, 1))
    stretches = [np.ones(len(way), dtype=bool)]
    if body.bed is not None:
        upper = z > body.bed[2] + 0.1
        way = np.sort(np.concatenate([way, np.interp(body.bed[:2], d[upper], way[upper])]))
        d, z = (np.interp(way, profile.way, profile.points[:, axis]) for axis in (0, 1))
        upper = z > body.bed[2] + 0.1
        stretches = [~upper & (d < body.bed[0]) | upper & (d <= body.bed[0] + 1e-6)]
        stretches.append(~stretches[0] & ~(upper & (d < body.bed[1] - 1e-6)))
    across = np.linspace(-1, 1, 9)
    pieces = []
    for stretch in stretches:
        here, up = d[stretch, None], z[stretch, None]
        y = (half_width(body, here, up) - body.edge) * across
        crown = 0.035 * (1 - across**2) * np.clip((up - 0.6) / 0.4, 0, 1) * (body.bow > 0)
        points = np.stack([np.broadcast_to(here, y.shape), y, up + crown], axis=2)
        middle = np.array([(body.start + body.end) / 2, 0.0, 0.55 * body.height])
        outward = points - middle
        outward[:, :, 1] = 0
        texture = place.texels(np.broadcast_to(way[stretch, None], y.shape), y)
        pieces.append(grid(points, texture, outward))
    return pieces


def _bed(profile: Profile, places: Places) -> Mesh:
    """The inside of an open loading bed."""
    body = profile.body
    assert body.bed is not None
    first, last, floor = body.bed
    d = np.linspace(first, last, 5)
    top = profile.top(d)
    inner = half_width(body, d, top) - body.edge
    pieces = []
    patch = np.array(places.patches["bed"])
    for sign in (1.0, -1.0):
        upper = np.stack([d, sign * inner, top], axis=1)
        lower = np.stack([d, sign * (inner - 0.02), np.full_like(d, floor)], axis=1)
        pieces.append(_flat(np.stack([upper, lower]), patch, np.array([0.0, -sign, 0.0])))
    for at, sign in ((0, 1.0), (-1, -1.0)):
        ends = [[[d[at], side * inner[at], z] for side in (1, -1)] for z in (top[at], floor)]
        pieces.append(_flat(np.array(ends), patch, np.array([sign, 0.0, 0.0])))
    edges = [np.stack([d, sign * inner, np.full_like(d, floor)], axis=1) for sign in (1.0, -1.0)]
    pieces.append(_flat(np.stack(edges), np.array(places.patches["floor"]), np.array([0.0, 0.0, 1.0])))
    return join_meshes(pieces)


def _flat(points: Floats, patch: Floats, outward: Floats) -> Mesh:
    texture = np.broadcast_to(patch, (*points.shape[:2], 2))
    return flat_sided(*grid(points, texture, outward))


def box(centre: tuple[float, float, float], size: tuple[float, float, float], patch: tuple[float, float]) -> Mesh:
    """A box in one colour; ``centre`` and ``size`` as ``d``, ``y``, ``z``."""
    corners = np.array(centre) + _UNIT_BOX * (np.array(size) / 2)
    return flat_sided(corners, np.broadcast_to(np.array(patch), (*corners.shape[:2], 2)))


def _unit_box() -> Floats:
    """The triangles of a box from -1 to 1 along each axis; (12, 3, 3)."""
    faces = []
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        for sign in (1.0, -1.0):
            corner = np.zeros((2, 2, 3))
            corner[:, :, axis] = sign
            corner[0, :, first], corner[1, :, first] = -1, 1
            corner[:, 0, second], corner[:, 1, second] = -1, 1
            faces.append(grid(corner, np.zeros((2, 2, 2)), corner)[0])
    return np.concatenate(faces)


_UNIT_BOX: Final = _unit_box()


def _underbody(vehicle: Vehicle, places: Places) -> list[Mesh]:
    """The dark inside behind the wheels, so that nobody looks through the vehicle."""
    shape, dark = vehicle.shape, places.patches["dark"]
    body = shape.cabin
    low, high = body.clearance + 0.04, shape.wheel_radius * 2 + 0.1
    inside = [
        box(
            ((body.start + body.end) / 2, 0.0, (low + high) / 2),
            (body.end - body.start - 0.5, body.width - 0.52, high - low),
            dark,
        )
    ]
    for axle in body.axles:  # the ends of the wheel housings
        for side in (1, -1):
            for toward in (-1, 1):
                d = axle + toward * (shape.wheel_radius + ARCH_GAP + 0.02)
                place = (d, side * (body.width / 2 - 0.21), (low + high) / 2)
                inside.append(box(place, (0.02, 0.22, high - low), dark))
    if shape.cargo is not None:
        start, end = body.end - 0.3, shape.length
        bottom = shape.cargo.clearance
        inside.append(box(((start + end) / 2, 0.0, bottom - 0.16), (end - start - 0.1, 0.9, 0.3), dark))
        for side in (1, -1):  # a tank between the axles, and a bar at the rear
            place = (shape.axles[0] + 1.3, side * 0.72, 0.62)
            inside.append(box(place, (0.8, 0.4, 0.34), places.patches["frame"]))
        inside.append(box((end - 0.1, 0.0, 0.56), (0.08, 1.8, 0.12), places.patches["frame"]))
    return inside


def _wheel(vehicle: Vehicle, axle: float, side: int, places: Places, bare: bool) -> Mesh:
    """A tyre with its disc, its middle at ``axle``; ``bare`` without its hub cap."""
    radius = vehicle.shape.wheel_radius
    body = vehicle.shape.cabin
    if vehicle.shape.cargo is not None and axle > body.end:
        body = vehicle.shape.cargo
    width = TYRE_WIDTH * (1.8 if vehicle.shape.type in ("bus", "truck") and axle > 1.8 else 1.0)
    outer = body.width / 2 - 0.045
    turn = np.linspace(0, 2 * np.pi, 21)
    sheet = places.sheets["wheel bare" if bare else "wheel"]
    rings = np.array([0.0, 0.3, 0.58, 0.64, 0.9, 1.0])
    depths = np.array([0.045, 0.035, 0.045, 0.0, 0.0, 0.03])
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)  # (turns, 2)
    flat = rings[:, None, None] * circle  # (rings, turns, 2)
    y = np.broadcast_to(outer - depths[:, None], flat.shape[:2])
    points = np.stack([axle + radius * flat[:, :, 0], side * y, radius + radius * flat[:, :, 1]], axis=2)
    disc = grid(points, sheet.texels(flat[:, :, 0], flat[:, :, 1]), np.array([0.0, side, 0.0]))
    rims = np.stack([outer - 0.03 + np.zeros(21), outer - width + np.zeros(21)])
    tread = np.stack(
        [
            axle + radius * np.broadcast_to(circle[:, 0], rims.shape),
            side * rims,
            radius + radius * np.broadcast_to(circle[:, 1], rims.shape),
        ],
        axis=2,
    )
    outward = tread - np.array([axle, 0.0, radius])
    outward[:, :, 1] = 0
    patch = np.broadcast_to(np.array(places.patches["rubber"]), (*rims.shape, 2))
    band = grid(tread, patch, outward)
    return join_meshes([smooth_sided(*disc), smooth_sided(*band)])


def _fittings(vehicle: Vehicle, places: Places) -> list[Mesh]:
    shape, body = vehicle.shape, vehicle.shape.cabin
    profile = Profile(body)
    patches = places.patches
    foot, head = (float(np.interp(profile.marks[mark], profile.way, profile.points[:, 0])) for mark in (1, 2))
    parts = []
    large = shape.type in ("bus", "truck")
    forward, reach, up = foot + (0.12 if large else 0.32 * (head - foot) + 0.12), body.width / 2, body.belt[0]
    for side in (1, -1):
        if large:
            parts.append(box((forward, side * (reach + 0.06), up + 0.42), (0.1, 0.14, 0.36), patches["frame"]))
            parts.append(box((forward, side * reach, up + 0.2), (0.04, 0.12, 0.04), patches["frame"]))
        else:
            parts.append(box((forward, side * (reach + 0.05), up + 0.09), (0.12, 0.18, 0.12), patches["mirror"]))
    roof_rear = float(np.interp(profile.marks[3], profile.way, profile.points[:, 0]))
    middle = (head + roof_rear) / 2 + 0.1
    reach = max(min(roof_rear - head - 0.3, 3.2), 0.7)
    parts += _rack(vehicle, profile, middle, reach, patches)
    if vehicle.spoiler:
        rear = roof_rear + 0.06 if shape.type not in ("sedan",) else body.end - 0.16
        height = float(profile.top(np.array(rear))) + (0.02 if shape.type not in ("sedan",) else 0.13)
        width = 2 * float(half_width(body, np.array(rear), np.array(height))) - 0.2
        parts.append(box((rear, 0.0, height), (0.26, width, 0.05), patches["spoiler"]))
        if shape.type == "sedan":
            parts += [box((rear, side * 0.5, height - 0.08), (0.1, 0.05, 0.14), patches["spoiler"]) for side in (1, -1)]
    return parts


def _rack(
    vehicle: Vehicle, profile: Profile, middle: float, reach: float, patches: dict[str, tuple[float, float]]
) -> list[Mesh]:
    top = float(profile.top(np.array(middle)))
    half = float(half_width(profile.body, np.array(middle), np.array(top))) - 0.16
    if vehicle.rack in ("rails", "bars", "box", "luggage"):
        rails = [box((middle, side * half, top + 0.06), (reach, 0.05, 0.05), patches["trim"]) for side in (1, -1)]
        bars = [
            box((middle + at * reach, 0.0, top + 0.09), (0.07, 2 * half + 0.08, 0.05), patches["trim"])
            for at in (-0.34, 0.34)
        ]
        loads = {
            "rails": [],
            "bars": bars,
            "box": [*bars, box((middle, 0.12 * half, top + 0.27), (min(reach, 1.7), half * 1.1, 0.3), patches["load"])],
            "luggage": [
                *bars,
                box((middle - 0.3, 0.2, top + 0.24), (0.62, 0.8, 0.26), patches["load"]),
                box((middle + 0.36, -0.18, top + 0.2), (0.5, 0.6, 0.18), patches["second load"]),
            ],
        }
        return rails + loads[vehicle.rack]
    if vehicle.rack == "sign":
        return [box((middle - 0.1, 0.0, top + 0.12), (0.22, 0.62, 0.2), patches["load"])]
    return []
