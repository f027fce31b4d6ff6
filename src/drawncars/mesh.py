"""A vehicle's shape as triangles: shells drawn out from their profiles, wheels, and boxes for everything added."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drawncars.shapes import Body, Floats, round_corners

Values = npt.NDArray[np.floating]

CREASE = np.cos(np.radians(38.0))
"""Faces that meet at a sharper angle than this keep an edge between them."""


@dataclass(frozen=True)
class Mesh:
    """Triangles with a place in the vehicle's texture.

    The frame: ``x`` forward from the vehicle's middle, ``y`` to its left, ``z`` up from the road, in metres.

    Attributes:
        corners: (triangles, 3, 3).
        normals: Unit vectors at the corners; (triangles, 3, 3).
        texture: Column and row in the texture, in texels; (triangles, 3, 2).
    """

    corners: Values
    normals: Values
    texture: Values


def join_meshes(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    return Mesh(
        np.concatenate([mesh.corners for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.texture for mesh in meshes]),
    )


def grid(points: Floats, texture: Floats, outward: Floats) -> tuple[Floats, Floats]:
    """Triangles over a grid of points.

    Args:
        points: (rows, columns, 3).
        texture: (rows, columns, 2).
        outward: A direction out of the body for the whole grid, (3,), or for each point, (rows, columns, 3).

    Returns:
        The triangles' corners and their places in the texture, wound so that they face outward.
    """
    packed = np.concatenate([points, texture, np.broadcast_to(outward, points.shape)], axis=2)
    a, b, c, d = packed[:-1, :-1], packed[:-1, 1:], packed[1:, 1:], packed[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], axis=2).reshape(-1, 3, 8), np.stack([a, c, d], axis=2).reshape(-1, 3, 8)]
    )
    faces = np.cross(triangles[:, 1, :3] - triangles[:, 0, :3], triangles[:, 2, :3] - triangles[:, 0, :3])
    solid = (faces**2).sum(axis=1) > 1e-12
    inward = (faces * triangles[:, 0, 5:]).sum(axis=1) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return triangles[solid, :, :3], triangles[solid, :, 3:5]


def flat_sided(corners: Floats, texture: Floats) -> Mesh:
    """Give each triangle the one normal that it has."""
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    units = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-12)
    return Mesh(corners, np.repeat(units[:, None], 3, axis=1), texture)


def smooth_sided(corners: Floats, texture: Floats) -> Mesh:
    """Give triangles normals that run smoothly over gentle bends and break at edges."""
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    units = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-12)
    keys = np.round(corners.reshape(-1, 3) * 1000).astype(np.int64)
    _, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.reshape(-1)
    order = np.argsort(place, kind="stable")
    ranks = np.empty(len(place), dtype=np.int64)
    counts = np.bincount(place)
    ranks[order] = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(counts), int(counts.max())), -1)
    table[place, ranks] = np.repeat(np.arange(len(corners)), 3)
    around = table[place]  # (corners, faces that meet there)
    own = np.repeat(units, 3, axis=0)
    near = (units[around] * own[:, None]).sum(axis=2) > CREASE
    normals = np.where((near & (around >= 0))[:, :, None], faces[around], 0).sum(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Mesh(corners, normals.reshape(-1, 3, 3), texture)


def half_width(body: Body, d: Floats, z: Floats) -> Floats:
    """How far a shell reaches to each side at a place of its profile, in metres."""
    belt = body.belt[0]
    lean = np.clip((z - belt) / max(body.height - belt, 0.1), 0, None) * body.tumblehome
    tuck = 0.07 * np.clip((0.5 - z) / 0.3, 0, 1) ** 2
    waist = 0.03 * np.clip(np.abs(z - 0.75 * belt) / belt, 0, 1)
    ends = np.minimum(d - body.start, body.end - d)
    corner = (0.1 if body.bow > 0 else 0.0) * np.clip(1 - ends / 0.55, 0, 1) ** 2
    return np.asarray(body.width / 2 - lean - tuck - waist - corner)


class Profile:
    """A shell's rounded profile, with the way along it (front, bonnet, windscreen, roof, rear) measured in metres."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.points = round_corners(body.profile, body.rounding)
        steps = np.hypot(*np.diff(self.points, axis=0).T)
        self.way = np.concatenate([[0.0], np.cumsum(steps)])
        corners = [int(np.argmin(((self.points - body.profile[mark]) ** 2).sum(axis=1))) for mark in body.marks]
        self.marks = tuple(float(self.way[corner]) for corner in corners)
        front, rear = int(np.argmin(self.points[:, 0])), len(self.points) - 1 - int(np.argmax(self.points[::-1, 0]))
        self._upper = self.points[front : rear + 1].copy()
        self._upper[:, 0] = np.maximum.accumulate(self._upper[:, 0]) + np.arange(len(self._upper)) * 1e-6
        sill = body.clearance
        front_low, rear_low = self.points[: front + 1][::-1], self.points[rear:][::-1]
        lower = np.concatenate([front_low, [[front_low[-1, 0] + 0.2, sill], [rear_low[0, 0] - 0.2, sill]], rear_low])
        lower[:, 0] = np.maximum.accumulate(lower[:, 0]) + np.arange(len(lower)) * 1e-6
        self._lower = lower

    def top(self, d: Floats) -> Floats:
        """The height of the upper outline."""
        return np.asarray(np.interp(d, self._upper[:, 0], self._upper[:, 1]))

    def bottom(self, d: Floats, arch: float, axle_height: float) -> Floats:
        """The height of the lower outline, which goes round the wheels at a distance of ``arch`` from their axles."""
        low = np.interp(d, self._lower[:, 0], self._lower[:, 1])
        for axle in self.body.axles:
            low = np.maximum(low, axle_height + np.sqrt(np.clip(arch**2 - (d - axle) ** 2, 0, None)) - 0.02)
        return np.asarray(low)

    def columns(self, arch: float) -> Floats:
        """The ``d`` at which the side is cut into columns: fine round the wheels and wherever the outline bends."""
        around = [axle + arch * np.sin(np.linspace(-np.pi / 2, np.pi / 2, 11)) for axle in self.body.axles]
        even = np.arange(self.body.start, self.body.end, 0.35)
        d = np.unique(np.round(np.concatenate([self._upper[:, 0], self._lower[:, 0], even, *around]), 4))
        return np.asarray(d[(d >= self.body.start - 1e-3) & (d <= self.body.end + 1e-3)])

    def front(self, z: float) -> float:
        """The way at which the front reaches a height."""
        return float(np.interp(z, *self._rising()))

    def rear(self, z: float) -> float:
        """The way at which the rear comes down to a height."""
        last = int(np.searchsorted(self.way, self.marks[-1])) if self.marks else len(self.way) - 4
        heights, way = self.points[last:, 1][::-1], self.way[last:][::-1]
        return float(np.interp(z, np.maximum.accumulate(heights), way))

    def _rising(self) -> tuple[Floats, Floats]:
        last = int(np.searchsorted(self.way, self.marks[2])) + 1 if self.marks else 4
        return np.maximum.accumulate(self.points[:last, 1]), self.way[:last]
