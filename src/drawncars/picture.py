"""One picture: a vehicle in front of a camera, as a JPEG file's bytes."""

import io
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from drawncars.cameras import LANES, Camera, Floats, develop, make_camera
from drawncars.mesh import Mesh
from drawncars.obstacles import make_obstacle
from drawncars.palette import COLOUR_WEIGHTS, COLOURS, TYPES
from drawncars.rasterizer import rasterize
from drawncars.scene import SHADOW_SCALE, Pixels, make_scene, sample_texture, shadow_on_road, surroundings
from drawncars.texture import Texture, build_model

SUPERSAMPLING: Final = 2
"""Finer pixels to each of the picture's, in each direction."""

_PASSAGE_STREAM, _PICTURE_STREAM, _TRAFFIC_STREAM = 601, 602, 603
_TRAFFIC_TYPES: Final = ("sedan", "suv", "hatchback", "van")
_TRAFFIC_SHARE: Final = 0.1
_TRAFFIC_NUMBERS: Final = 1_000_000
"""Vehicles from this number on only ever stand in front of others."""

_MOST_HIDDEN: Final = 0.45
"""Another vehicle hides no more than this share."""

_NEAREST: Final = 4.0
"""No part of a vehicle comes nearer to a camera than this, in metres."""


@dataclass(frozen=True)
class Request:
    """Everything that one picture depends on.

    Attributes:
        seed: The set's seed.
        vehicle: The vehicle's number.
        colour: Its colour by VeRi-776's name.
        type: Its type by VeRi-776's name.
        camera: The camera's number.
        passage: Tells a vehicle's passages of one camera apart.
        number: Tells the pictures of a vehicle and a camera apart.
        position: How far through the passage, 0 to 1.
        size: Longer side in pixels.
    """

    seed: int
    vehicle: int
    colour: str
    type: str
    camera: int
    passage: int
    number: int
    position: float
    size: int


class Looks(NamedTuple):
    """What a vehicle's model is built from: see :func:`drawncars.texture.build_model`."""

    seed: int
    vehicle: int
    type: str
    colour: str
    size: int


@dataclass(frozen=True)
class Pose:
    """Where a vehicle stands on the road, in metres, and where it heads, in radians from the road's direction."""

    x: float
    y: float
    heading: float

    @property
    def turn(self) -> Floats:
        """The rotation from the vehicle's frame to the road's; (3, 3)."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Layer:
    """What some triangles look like over a picture: linear light, coverage and nearness for each finer pixel."""

    light: Pixels
    covered: npt.NDArray[np.bool_]
    nearness: Pixels


@dataclass(frozen=True)
class Crop:
    """The part of a camera's view that becomes the picture: its left upper corner, its scale, its size in pixels."""

    corner: Floats
    scale: float
    width: int
    height: int


def draw_picture(request: Request, *, camera: Camera | None = None, alone: bool = False) -> bytes:
    """Draw a picture and encode it as JPEG.

    Args:
        request: What to draw.
        camera: Another camera than that of the request's number.
        alone: Whether no other vehicle may stand in front.
    """
    camera = camera or make_camera(request.seed, request.camera)
    key = [request.seed, request.vehicle, request.camera]
    passage = np.random.default_rng([_PASSAGE_STREAM, *key, request.passage])
    rng = np.random.default_rng([_PICTURE_STREAM, *key, request.number])
    looks = Looks(request.seed, request.vehicle, request.type, request.colour, request.size)
    model = build_model(*looks)
    pose = _clear_of(camera, model.mesh, _pose(request.position, passage, rng))
    view = _view(camera, _move(model.mesh, pose))
    crop = _crop(view.flat, request.size, rng)
    layers = [_layer(camera, crop, view, model.texture)]
    shades = [(pose, _shadow(looks, camera, pose))]
    neighbour = None if alone else _neighbour(request, camera, pose, model.vehicle.shape.length, rng)
    if neighbour is not None:
        other, place = neighbour
        hiding = build_model(*other)
        front = _layer(camera, crop, _view(camera, _move(hiding.mesh, place)), hiding.texture)
        if _hidden(layers[0], front) <= _MOST_HIDDEN:
            layers.append(front)
            shades.append((place, _shadow(other, camera, place)))
    if camera.hidden_by:
        mesh, texture = make_obstacle(request.seed, camera)
        layers.append(_layer(camera, crop, _view(camera, mesh), texture))
    return develop(camera, _compose(request.seed, camera, crop, layers, shades), rng)


def draw_vehicle(
    kind: str | int = "sedan",
    colour: str | int = "red",
    *,
    vehicle: int = 1,
    camera: int = 1,
    position: float = 0.5,
    size: int = 256,
    seed: int = 1,
    plain: bool = False,
) -> Image.Image:
    """Draw one vehicle in front of one camera.

    Args:
        kind: One of VeRi-776's types, by name or by number (1-9).
        colour: One of its colours, by name or by number (1-10).
        vehicle: Which individual of that type and colour; 0 or more.
        camera: Which camera, from 1.
        position: How far through its passage of the camera's view, 0 to 1.
        size: Longer side in pixels, 32 to 1,024.
        seed: That of the set that vehicle and camera belong to.
        plain: Leave out what hides the vehicle and what the camera does to the picture, but keep its direction and
            daylight.

    Raises:
        ValueError: There is no such type or colour, or a number is out of range.
    """
    for option, given, low, high in (
        ("vehicle", vehicle, 0, 9999),
        ("camera", camera, 1, 999),
        ("position", position, 0, 1),
        ("size", size, 32, 1024),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not low <= given <= high:
            raise ValueError(f"{option} is {given}; choose a number from {low} to {high}.")
    request = Request(
        seed=seed,
        vehicle=vehicle,
        colour=_find_name("colour", colour, COLOURS),
        type=_find_name("kind", kind, TYPES),
        camera=camera,
        passage=0,
        number=round(position * 1000),
        position=position,
        size=size,
    )
    seen_by = make_camera(seed, camera)
    if plain:
        seen_by = replace(
            seen_by, cast=np.ones(3), exposure=1.0, contrast=1.0, saturation=1.0, blur=0.0, motion=0.0, resolution=1.0,
            noise=0.0, quality=95, hidden_by="",
        )  # fmt: skip
    image = Image.open(io.BytesIO(draw_picture(request, camera=seen_by, alone=plain)))
    image.load()
    return image


def _find_name(option: str, given: str | int, names: tuple[str, ...]) -> str:
    if isinstance(given, int) and 1 <= given <= len(names):
        return names[given - 1]
    if given in names:
        return str(given)
    raise ValueError(f"{option} is {given!r}; choose one of {', '.join(names)}, or its number from 1.")


def _pose(position: float, passage: np.random.Generator, rng: np.random.Generator) -> Pose:
    lane = LANES[int(passage.integers(len(LANES)))]
    oncoming = passage.random() < 0.12
    aside, reach, swerve = passage.normal(0, 0.2), passage.uniform(4, 9), passage.normal(0, 1.5)
    x = (position - 0.5) * reach + rng.uniform(-0.4, 0.4)
    heading = np.radians(swerve + rng.normal(0, 1.2))
    if oncoming:
        return Pose(-x, lane + aside, heading + np.pi)
    return Pose(x, lane + aside, heading)


def _move(mesh: Mesh, pose: Pose) -> Mesh:
    """A vehicle's triangles on the road."""
    turn = pose.turn.T.astype(np.float32)
    return Mesh(
        mesh.corners @ turn + np.array([pose.x, pose.y, 0.0], dtype=np.float32), mesh.normals @ turn, mesh.texture
    )


@dataclass(frozen=True)
class View:
    """The triangles that turn their faces to a camera.

    Attributes:
        packed: Places, normals and places in the texture of their corners; (triangles, 3, 8).
        flat: Where the camera sees them, on the plane at distance 1; (triangles, 3, 2).
        depth: (triangles, 3).
    """

    packed: Pixels
    flat: Pixels
    depth: Pixels


def _view(camera: Camera, mesh: Mesh) -> View:
    corners = mesh.corners
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    shown = np.einsum("ij,ij->i", faces, camera.position.astype(np.float32) - corners[:, 0]) > 0
    packed = np.concatenate([corners[shown], mesh.normals[shown], mesh.texture[shown]], axis=2, dtype=np.float32)
    flat, depth = camera.project(packed[:, :, :3])
    ahead = np.minimum(np.minimum(depth[:, 0], depth[:, 1]), depth[:, 2]) > 0.3
    return View(packed[ahead], flat[ahead], depth[ahead])


def _clear_of(camera: Camera, mesh: Mesh, pose: Pose) -> Pose:
    """Hold a long vehicle back until all of it is in front of the camera."""
    away = 1.0 if camera.axes[2, 0] > 0 else -1.0
    low, high = mesh.corners.min(axis=(0, 1)), mesh.corners.max(axis=(0, 1))
    ends = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3) @ pose.turn.T - camera.position
    for _ in range(12):
        if ((ends + np.array([pose.x, pose.y, 0.0])) @ camera.axes[2]).min() >= _NEAREST:
            break
        pose = replace(pose, x=pose.x + 1.5 * away)
    return pose


def _crop(flat: Pixels, size: int, rng: np.random.Generator) -> Crop:
    """Cut the picture as a detector would: close round the vehicle, never quite."""
    low, high = (np.array([extreme(flat[..., 0]), extreme(flat[..., 1])], np.float64) for extreme in (np.min, np.max))
    extent = high - low
    low = low - extent * rng.uniform(-0.01, 0.08, 2)
    high = high + extent * rng.uniform(-0.01, 0.08, 2)
    extent = high - low
    for one, other in ((0, 1), (1, 0)):  # not longer than twice its width
        lacking = max(extent[one] / 2.0 - extent[other], 0)
        low[other] -= lacking / 2
        high[other] += lacking / 2
    extent = high - low
    scale = size / float(extent.max())
    width, height = (max(8, round(float(length) * scale)) for length in extent)
    return Crop(low, scale, width, height)


def _layer(camera: Camera, crop: Crop, view: View, texture: Texture) -> Layer:
    """Draw triangles over a picture."""
    width, height = crop.width * SUPERSAMPLING, crop.height * SUPERSAMPLING
    light = np.zeros((height * width, 3), dtype=np.float32)
    covered = np.zeros(height * width, dtype=np.bool_)
    nearness = np.zeros(height * width, dtype=np.float32)
    pixels = ((view.flat - crop.corner) * (crop.scale * SUPERSAMPLING)).astype(np.float32)
    seen = rasterize(pixels, np.float32(1) / view.depth, width, height)
    if len(seen.pixels):
        values = np.zeros((len(seen.pixels), view.packed.shape[2]), dtype=np.float32)
        for corner in range(3):
            values += np.take(view.packed[:, corner], seen.triangles, axis=0) * seen.weights[:, corner, None]
        surface = sample_texture(texture, values[:, 6], values[:, 7])
        light[seen.pixels] = _lit(values[:, :3], values[:, 3:6], surface, camera)
        covered[seen.pixels] = True
        nearness[seen.pixels] = seen.nearness
    return Layer(light, covered, nearness)


def _lit(points: Pixels, normals: Pixels, surface: Pixels, camera: Camera) -> Pixels:
    """Linear light from surfaces (colour and gloss) under a camera's daylight."""
    sun, sun_colour, sky_colour = (
        part.astype(np.float32) for part in (camera.light.sun, camera.light.sun_colour, camera.light.sky_colour)
    )
    normals = _units(normals)
    toward = _units(camera.position.astype(np.float32) - points)
    up = normals[:, 2]
    low = np.clip(0.45 + points[:, 2] * 0.7, 0.45, 1)  # near the road less of the sky is seen
    sunlit, around, bounced = np.maximum(normals @ sun, 0), (0.62 + 0.38 * up) * low, 0.06 - 0.06 * up
    # One column for each of the two lights; then what a white surface would send back in red, green and blue.
    amounts = np.stack([sunlit + bounced, around + bounced], axis=1)
    white = amounts @ np.stack([sun_colour, sky_colour])
    gloss = surface[:, 3]
    facing = np.clip(np.einsum("ij,ij->i", normals, toward), 0, 1)
    mirrored = 2 * facing[:, None] * normals - toward
    glancing = (1 - facing) ** 2
    share = gloss * (0.05 + 0.03 * gloss**4 + 0.7 * glancing * glancing * (1 - facing))
    # Above the horizon the sky, brightest low; below it the road; between them a row of houses and trees.
    height = mirrored[:, 2]
    skyline = 0.17 + 0.1 * np.sin(6 * mirrored[:, 0] + 9 * mirrored[:, 1])
    level = np.where(height > skyline, 1.5 - 0.55 * np.minimum(height, 1), np.float32(0.22))
    level *= np.clip(0.55 + 3 * np.abs(height - 0.05), 0.55, 1)
    glint = np.maximum(mirrored @ sun, 0)
    for _ in range(5):  # to the power of 32
        glint *= glint
    lit = surface[:, :3] * white * (1 - share)[:, None]
    lit += (share * level)[:, None] * sky_colour
    lit += (0.9 * glint * gloss * gloss)[:, None] * sun_colour
    return np.asarray(lit, dtype=np.float32)


def _units(vectors: Pixels) -> Pixels:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-6))[:, None])


def _hidden(behind: Layer, front: Layer) -> float:
    """The share of what a layer shows that another one hides."""
    hidden = behind.covered & (front.nearness > behind.nearness)
    return int(hidden.sum()) / max(int(behind.covered.sum()), 1)


@lru_cache(maxsize=16)
def _cached_shadow(looks: Looks, sun: tuple[float, float, float]) -> tuple[Pixels, Pixels, float]:
    return shadow_on_road(build_model(*looks).mesh, np.array(sun))


def _shadow(looks: Looks, camera: Camera, pose: Pose) -> tuple[Pixels, Pixels, float]:
    # Turned to within six degrees, so that the pictures of a passage share one.
    turned = replace(pose, heading=float(np.radians(6 * np.round(np.degrees(pose.heading) / 6))))
    x, y, z = (float(value) for value in camera.light.sun @ turned.turn)
    return _cached_shadow(looks, (x, y, z))


def _neighbour(
    request: Request, camera: Camera, pose: Pose, length: float, rng: np.random.Generator
) -> tuple[Looks, Pose] | None:
    """Now and then another vehicle that hides a part, and where it stands."""
    chance, kind, number = rng.random(), int(rng.integers(len(_TRAFFIC_TYPES))), int(rng.integers(3))
    along, aside = rng.uniform(0.35, 0.8) * rng.choice([-1, 1]), 3.5 * np.sign(camera.position[1] - pose.y)
    if chance > _TRAFFIC_SHARE or abs(camera.position[1] - pose.y) < 7.5:
        return None
    place = Pose(pose.x + along * (length / 2 + 2.2), pose.y + aside, pose.heading)
    own = np.random.default_rng([_TRAFFIC_STREAM, request.seed, number, kind])
    colour = COLOURS[int(own.choice(len(COLOURS), p=COLOUR_WEIGHTS))]
    return Looks(request.seed, _TRAFFIC_NUMBERS + number, _TRAFFIC_TYPES[kind], colour, request.size), place


def _compose(
    seed: int,
    camera: Camera,
    crop: Crop,
    layers: list[Layer],
    shades: list[tuple[Pose, tuple[Pixels, Pixels, float]]],
) -> Pixels:
    """Lay what was drawn over the surroundings; linear light, (height, width, 3)."""
    columns, rows = np.meshgrid(np.arange(crop.width) + 0.5, np.arange(crop.height) + 0.5)
    flat = np.stack([columns.ravel(), rows.ravel()], axis=1) / crop.scale + crop.corner
    background, spots, on_ground = surroundings(make_scene(seed, camera.number), camera, camera.rays(flat))
    sun = camera.light.sun_colour * camera.light.sun[2]
    sky = camera.light.sky_colour
    sunless, skyless = np.zeros(len(flat), dtype=np.float32), np.zeros(len(flat), dtype=np.float32)
    for pose, (without_sun, without_sky, reach) in shades:
        own = (spots - [pose.x, pose.y]) @ pose.turn[:2, :2]
        inside = on_ground & (np.abs(own).max(axis=1) < reach - 0.2)
        place = ((own[inside] + reach) * SHADOW_SCALE).astype(np.float32)
        sunless[inside] = np.maximum(sunless[inside], sample_texture(without_sun, place[:, 0], place[:, 1]))
        skyless[inside] = np.maximum(skyless[inside], sample_texture(without_sky, place[:, 0], place[:, 1]))
    level = (sun * (1 - sunless[:, None]) + sky * (1 - skyless[:, None])) * (1 - 0.35 * skyless[:, None])
    background = background * np.where(on_ground[:, None], level, sun + sky).astype(np.float32)
    top = layers[0]
    light, covered, nearness = top.light, top.covered, top.nearness
    for layer in layers[1:]:
        nearer = layer.nearness > nearness
        light = np.where(nearer[:, None], layer.light, light)
        nearness = np.where(nearer, layer.nearness, nearness)
        covered = covered | layer.covered
    drawn, share = _average(light, crop), _average(covered[:, None].astype(np.float32), crop)
    return np.asarray(drawn + background.reshape(crop.height, crop.width, 3) * (1 - share), dtype=np.float32)


def _average(fine: Pixels, crop: Crop) -> Pixels:
    """From finer pixels, (pixels, channels), to the picture's; (height, width, channels)."""
    rows = fine.reshape(crop.height * SUPERSAMPLING, crop.width * SUPERSAMPLING, -1)
    parts = [rows[down::2, along::2] for down in range(2) for along in range(2)]
    return np.asarray((parts[0] + parts[1] + parts[2] + parts[3]) * np.float32(0.25))
