"""What stands still in a camera's view: the road and its markings, what lies beside it, the sky, and shadows."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from drawncars.cameras import Camera, Floats
from drawncars.mesh import Mesh
from drawncars.palette import Shade, mix
from drawncars.rasterizer import outline

Pixels = npt.NDArray[np.float32]

_SCENE_STREAM: Final = 501
GROUND_SCALE, WALL_SCALE, SHADOW_SCALE = 14.0, 10.0, 12.0
GROUND_REACH: Final = (36.0, 20.0)
WALL_HEIGHT: Final = 13.0
ROAD_HALF: Final = 7.2


@dataclass(frozen=True)
class Scene:
    """The place that a camera looks at, in linear light.

    Attributes:
        ground: Seen from above, ``x`` along the columns and ``y`` along the rows, (rows, columns, 3).
        walls: What stands on the left and on the right of the road, from its top row down.
        wall_distance: How far they stand from the road's middle.
        sky: Colour near the horizon.
    """

    ground: Pixels
    walls: tuple[Pixels, Pixels]
    wall_distance: tuple[float, float]
    sky: Pixels


@lru_cache(maxsize=32)
def make_scene(seed: int, number: int) -> Scene:
    """The surroundings of a camera; the same ones whenever they are asked for."""
    rng = np.random.default_rng([_SCENE_STREAM, seed, number])
    walls = (_wall(rng), _wall(rng))
    distances = (float(rng.uniform(11, 17)), float(rng.uniform(11, 17)))
    sky = np.array([0.72, 0.8, 0.9], dtype=np.float32) * np.float32(rng.uniform(0.85, 1.1))
    return Scene(_ground(rng), walls, distances, sky)


def _linear(image: Image.Image) -> Pixels:
    return np.asarray((np.asarray(image, dtype=np.float32) / 255) ** 2.2, dtype=np.float32)


def _cloudy(rng: np.random.Generator, width: int, height: int, grain: float, strength: float) -> Pixels:
    """A factor round 1 that varies over lengths of ``grain`` pixels."""
    small = rng.normal(0, 1, (max(2, int(height / grain)), max(2, int(width / grain)))).astype(np.float32)
    spread = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return np.asarray(1 + strength * spread[:, :, None], dtype=np.float32)


class _Pavement:
    """The ground while it is painted, in metres."""

    def __init__(self, asphalt: Shade) -> None:
        size = (int(2 * GROUND_REACH[0] * GROUND_SCALE), int(2 * GROUND_REACH[1] * GROUND_SCALE))
        self.image = Image.new("RGB", size, asphalt)
        self._pen = ImageDraw.Draw(self.image)

    def band(self, low: float, high: float, paint: Shade, along: tuple[float, float] | None = None) -> None:
        """Fill a rectangle between two ``y``, over the whole length or between two ``x``."""
        first, last = along or (-GROUND_REACH[0], GROUND_REACH[0])
        corners = (first + GROUND_REACH[0], low + GROUND_REACH[1], last + GROUND_REACH[0], high + GROUND_REACH[1])
        self._pen.rectangle([corner * GROUND_SCALE for corner in corners], fill=paint)


def _ground(rng: np.random.Generator) -> Pixels:
    tone = int(rng.integers(86, 122))
    warm = int(rng.integers(-4, 8))
    asphalt: Shade = (tone + warm, tone, tone - warm // 2)
    pavement = _Pavement(asphalt)
    for _ in range(int(rng.integers(2, 7))):  # patches of newer asphalt
        x, y = rng.uniform(-30, 26), rng.uniform(-ROAD_HALF, ROAD_HALF - 2)
        patch = mix(asphalt, (50, 50, 52), 0.4)
        pavement.band(y, y + rng.uniform(0.8, 2.2), patch, (x, x + rng.uniform(1.5, 7)))
    for middle in (side * lane + track for side in (-1, 1) for lane in (1.8, 5.3) for track in (-0.75, 0.75)):
        pavement.band(middle - 0.22, middle + 0.22, mix(asphalt, (60, 60, 60), 0.22))  # worn by wheels
    _markings(pavement, rng)
    _verges(pavement, rng)
    ground = _linear(pavement.image.filter(ImageFilter.GaussianBlur(0.7)))
    height, width = ground.shape[:2]
    return ground * _cloudy(rng, width, height, 40, 0.07) * _cloudy(rng, width, height, 2.5, 0.07)


def _markings(pavement: _Pavement, rng: np.random.Generator) -> None:
    white: Shade = (214, 214, 206)
    middle_paint: Shade = (222, 176, 52) if rng.random() < 0.5 else white
    for y in (-0.16, 0.04):
        pavement.band(y, y + 0.12, middle_paint)
    for side in (-1, 1):
        for x in np.arange(-36 + rng.uniform(0, 4), 36, 6.0):
            pavement.band(side * 3.55 - 0.07, side * 3.55 + 0.07, white, (x, x + 2.4))
        edge = side * (ROAD_HALF - 0.35)
        pavement.band(edge - 0.07, edge + 0.07, white)
    if rng.random() < 0.35:  # a crossing
        for y in np.arange(-ROAD_HALF + 0.6, ROAD_HALF - 0.6, 0.95):
            pavement.band(y, y + 0.48, white, (-9.5, -6.2))


def _verges(pavement: _Pavement, rng: np.random.Generator) -> None:
    verges: tuple[Shade, ...] = ((86, 112, 58), (150, 146, 138), (128, 104, 84), (108, 122, 72), (164, 158, 150))
    verge = verges[int(rng.integers(len(verges)))]
    for low, high in ((-GROUND_REACH[1], -ROAD_HALF), (ROAD_HALF, GROUND_REACH[1])):
        pavement.band(low, high, verge)
    for side in (-1, 1):
        kerb = side * (ROAD_HALF + 0.12)
        pavement.band(kerb - 0.13, kerb + 0.13, (172, 170, 164))
        if verge[0] > 140:  # slabs
            for x in np.arange(-36, 36, 1.2):
                y = side * (ROAD_HALF + 3)
                pavement.band(y - 2.7, y + 2.7, mix(verge, (60, 60, 60), 0.25), (x, x + 0.07))


def _wall(rng: np.random.Generator) -> Pixels:
    """One side of the street: houses, trees or a hedge, 72 m long."""
    width, height = int(72 * WALL_SCALE), int(WALL_HEIGHT * WALL_SCALE)
    sky: Shade = (206, 218, 230)
    image = Image.new("RGB", (width, height), sky)
    pen = ImageDraw.Draw(image)
    kind = str(rng.choice(["houses", "trees", "hedge"]))
    if kind == "houses":
        _houses(pen, rng, width, height)
    else:
        low = 0.75 if kind == "trees" else 0.2
        _leaves(pen, rng, width, height, low)
        if kind == "hedge":
            pen.rectangle((0, height * 0.9, width, height), fill=(132, 128, 120))
    blurred = image.filter(ImageFilter.GaussianBlur(1.6))
    return _linear(blurred) * _cloudy(rng, width, height, 20, 0.08)


def _houses(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    left = 0
    while left < width:
        right = left + int(rng.uniform(7, 16) * WALL_SCALE)
        tone = rng.integers(110, 205)
        paint: Shade = (int(tone), int(tone - rng.integers(0, 22)), int(tone - rng.integers(4, 44)))
        pen.rectangle((left, int(height * rng.uniform(0, 0.25)), right, height), fill=paint)
        for row in (0.1, 0.34, 0.58):
            for column in range(left + 8, right - 14, 26):
                box = (column, row * height + 8, column + 13, row * height + 24)
                pen.rectangle(box, fill=mix(paint, (46, 56, 68), 0.75))
        front = mix(paint, (int(rng.integers(40, 200)), 60, 60), 0.5)
        pen.rectangle((left, height * 0.78, right, height * 0.82), fill=front)
        pen.rectangle((left + 6, height * 0.83, right - 6, height), fill=(58, 64, 70))
        left = right


def _leaves(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int, trunk: float) -> None:
    green: Shade = (int(rng.integers(44, 84)), int(rng.integers(82, 112)), int(rng.integers(34, 54)))
    if trunk > 0.5:
        pen.rectangle((0, height * 0.66, width, height), fill=mix(green, (120, 118, 110), 0.55))
        for x in np.arange(rng.uniform(0, 40), width, 62):
            pen.rectangle((x, height * 0.5, x + 5, height), fill=(72, 58, 46))
    high = 0.0 if trunk > 0.5 else 0.5
    for _ in range(420):
        x, y = rng.uniform(0, width), rng.uniform(high, min(trunk + 0.45, 0.95) if trunk < 0.5 else trunk) * height
        r = rng.uniform(5, 17)
        tone = float(rng.uniform(-0.35, 0.3))
        paint = mix(green, (0, 0, 0), -tone) if tone < 0 else mix(green, (206, 214, 150), tone)
        pen.ellipse((x - r, y - 0.8 * r, x + r, y + 0.8 * r), fill=paint)


def shadow_on_road(mesh: Mesh, sun: Floats) -> tuple[Pixels, Pixels, float]:
    """What a vehicle keeps from the road under and beside it.

    Args:
        mesh: The vehicle, in its own frame.
        sun: Unit vector towards the sun, in the vehicle's frame.

    Returns:
        The share of sunlight and the share of skylight that is kept off, seen from above, (rows, columns), and how far
        the maps reach from the vehicle's middle in metres.
    """
    reach = float(np.abs(mesh.corners[:, :, :2]).max()) + 3.5
    side = int(2 * reach * SHADOW_SCALE)
    cast = mesh.corners[:, :, :2] - mesh.corners[:, :, 2:] * (sun[:2] / sun[2])
    facing = np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]) @ sun > 0
    mask = outline(((cast[facing] + reach) * SHADOW_SCALE).astype(np.float32), side, side)
    sunless = _soften(Image.fromarray(mask.astype(np.uint8) * 255), 1.2)
    under = Image.new("L", (side, side))
    low = mesh.corners[mesh.corners[:, :, 2].max(axis=1) < 1.0][:, :, :2]
    (left, back), (right, front) = low.min(axis=(0, 1)), low.max(axis=(0, 1))
    corners = [(value + reach) * SHADOW_SCALE for value in (left + 0.15, back + 0.15, right - 0.15, front - 0.15)]
    ImageDraw.Draw(under).rectangle(corners, fill=255)
    skyless = np.float32(0.6) * _soften(under, 3.5) + np.float32(0.36) * _soften(under, 11)
    return sunless, np.asarray(skyless, dtype=np.float32), reach


def _soften(mask: Image.Image, radius: float) -> Pixels:
    values = np.asarray(mask.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
    return np.asarray(values / 255, dtype=np.float32)


def sample_texture(texture: Pixels, columns: Pixels, rows: Pixels) -> Pixels:
    """The values of a texture between its texels; places outside take the nearest edge."""
    height, width = texture.shape[:2]
    x = np.clip(columns - 0.5, 0, width - 1.001)
    y = np.clip(rows - 0.5, 0, height - 1.001)
    left, top = x.astype(np.int64), y.astype(np.int64)
    across, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
    if texture.ndim == 3:
        across, down = across[..., None], down[..., None]
    flat = texture.reshape(height * width, *texture.shape[2:])
    start = top * width + left
    left_up, left_down = np.take(flat, start, axis=0), np.take(flat, start + width, axis=0)
    upper = left_up + (np.take(flat, start + 1, axis=0) - left_up) * across
    lower = left_down + (np.take(flat, start + width + 1, axis=0) - left_down) * across
    return np.asarray(upper + (lower - upper) * down)


def surroundings(scene: Scene, camera: Camera, rays: Floats) -> tuple[Pixels, Floats, npt.NDArray[np.bool_]]:
    """What a camera sees along some rays where no vehicle is.

    Args:
        scene: The place.
        camera: The camera.
        rays: (pixels, 3).

    Returns:
        Linear light, (pixels, 3); the points on the road, (pixels, 2); and which pixels show the ground.
    """
    x_from, y_from, height = camera.position
    steep = np.minimum(rays[:, 2], -1e-6)
    ground = -height / steep
    side = np.where(rays[:, 1] > 0, 0, 1)
    distance = np.where(side == 0, scene.wall_distance[0], -scene.wall_distance[1])
    level = np.where(np.abs(rays[:, 1]) < 1e-6, 1e-6, rays[:, 1])
    wall = np.where((distance - y_from) / level > 0, (distance - y_from) / level, np.inf)
    on_ground = (ground < wall) | (np.isinf(wall) & (rays[:, 2] < 0))
    place = np.stack([x_from + ground * rays[:, 0], y_from + ground * rays[:, 1]], axis=1)
    light = np.empty((len(rays), 3), dtype=np.float32)
    light[:] = scene.sky
    spots = place[on_ground]
    light[on_ground] = sample_texture(
        scene.ground,
        ((spots[:, 0] + GROUND_REACH[0]) * GROUND_SCALE).astype(np.float32),
        ((spots[:, 1] + GROUND_REACH[1]) * GROUND_SCALE).astype(np.float32),
    )
    for number, texture in enumerate(scene.walls):
        here = ~on_ground & (side == number) & np.isfinite(wall)
        reach = wall[here]
        columns = np.mod((x_from + reach * rays[here, 0] + 36) * WALL_SCALE, texture.shape[1]).astype(np.float32)
        rows = ((WALL_HEIGHT - height - reach * rays[here, 2]) * WALL_SCALE).astype(np.float32)
        light[here] = sample_texture(texture, columns, rows)
    return light, place, on_ground
