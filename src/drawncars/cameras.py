"""The cameras: where each stands, how its lens sees, and what it does to a picture."""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]

_CAMERA_STREAM: Final = 401
LANES: Final = (-1.8, -5.3)
"""Middles of the lanes on the side that a camera watches, in metres from the road's middle line."""

_BEARINGS: Final = (35.0, 148.0, 322.0, 205.0, 68.0, 18.0, 172.0, 290.0, 118.0, 338.0)
"""Where cameras stand as seen from the road, in degrees; 0 is straight ahead of the vehicles."""

_SIGHTINGS: Final = ("", "pole", "", "sign", "", "tree", "")


@dataclass(frozen=True)
class Light:
    """The daylight at a camera.

    Attributes:
        sun: Unit vector towards the sun.
        sun_colour: Red, green and blue of its light; dark under clouds.
        sky_colour: Of the light from everywhere else.
    """

    sun: Floats
    sun_colour: Floats
    sky_colour: Floats


@dataclass(frozen=True)
class Camera:
    """One camera. Lengths are metres; the road runs along ``x``, its middle line is ``y = 0``.

    Attributes:
        number: From 1.
        position: Where it hangs.
        axes: Unit vectors to its right, downwards and forwards; (3, 3).
        barrel: How much its lens bends straight lines, 0 for none.
        light: The daylight there.
        exposure: Brightness.
        contrast: Above 1 for harder pictures.
        saturation: Below 1 for paler colours.
        cast: Factors for red, green and blue.
        blur: Standard deviation in pixels of a 128-pixel picture.
        motion: Length of the smear along a row in pixels of a 128-pixel picture.
        resolution: Pixels it really has to each pixel of the picture, at most 1.
        noise: Standard deviation, for values from 0 to 255.
        quality: Of its JPEGs.
        hidden_by: What stands in its view: ``pole``, ``sign``, ``tree`` or nothing.
    """

    number: int
    position: Floats
    axes: Floats
    barrel: float
    light: Light
    exposure: float
    contrast: float
    saturation: float
    cast: Floats
    blur: float
    motion: float
    resolution: float
    noise: float
    quality: int
    hidden_by: str

    def project(self, points: Pixels) -> tuple[Pixels, Pixels]:
        """Places on the plane at distance 1 (to the right, down), (..., 2), and depths, (...,), of points, (..., 3)."""
        seen = (points - self.position.astype(np.float32)).reshape(-1, 3) @ self.axes.T.astype(np.float32)
        depth = np.asarray(seen[:, 2], dtype=np.float32)
        flat = seen[:, :2] / np.maximum(depth, np.float32(0.1))[:, None]
        flat *= (1 - np.float32(self.barrel) * np.einsum("ij,ij->i", flat, flat))[:, None]
        return np.asarray(flat, dtype=np.float32).reshape(*points.shape[:-1], 2), depth.reshape(points.shape[:-1])

    def rays(self, flat: Floats) -> Floats:
        """Directions, forward part 1, that are seen at places on the plane at distance 1; (..., 3)."""
        straight = flat * (1 + self.barrel * (flat**2).sum(axis=-1, keepdims=True))
        return np.asarray(straight @ self.axes[:2] + self.axes[2])


@lru_cache(maxsize=64)
def make_camera(seed: int, number: int) -> Camera:
    """The camera of a number; the same one whenever it is asked for."""
    rng = np.random.default_rng([_CAMERA_STREAM, seed, number])
    shift = int(np.random.default_rng([_CAMERA_STREAM, seed]).integers(len(_BEARINGS)))
    bearing = np.radians(_BEARINGS[(number + shift) % len(_BEARINGS)] + rng.uniform(-12, 12))
    distance, height = rng.uniform(13, 26), rng.uniform(2.4, 8.5)
    target = np.array([rng.uniform(-1, 1), -3.5, 0.7])
    position = target + np.array([distance * np.cos(bearing), distance * np.sin(bearing), 0.0])
    position[2] = height
    forward = (target - position) / np.linalg.norm(target - position)
    # A little off the middle of the picture, as vehicles are: the lens bends them there.
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    roll = np.radians(rng.uniform(-2, 2))
    down = np.cross(forward, right)
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    warm = rng.uniform(-1, 1)
    cast = np.array([1 + 0.1 * warm, 1 + rng.uniform(-0.03, 0.03), 1 - 0.12 * warm])
    return Camera(
        number=number,
        position=position,
        axes=np.stack([right, down, forward]),
        barrel=float(rng.uniform(0.0, 0.25)),
        light=_light(rng),
        exposure=float(rng.uniform(0.78, 1.22)),
        contrast=float(rng.uniform(0.9, 1.15)),
        saturation=float(rng.uniform(0.75, 1.1)),
        cast=cast,
        blur=float(rng.uniform(0.0, 0.75)),
        motion=float(rng.choice([0.0, 0.0, 1.5, 2.5])),
        resolution=float(rng.choice([1.0, 1.0, 0.75, 0.6])),
        noise=float(rng.uniform(1.0, 6.0)),
        quality=int(rng.integers(62, 93)),
        hidden_by=_SIGHTINGS[(number + shift) % len(_SIGHTINGS)],
    )


def _light(rng: np.random.Generator) -> Light:
    turn, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(32, 68))
    sun = np.array([np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)])
    clear = float(rng.choice([0.2, 0.7, 1.0, 1.0]))
    return Light(
        sun=sun,
        sun_colour=clear * np.array([1.12, 1.05, 0.92]),
        sky_colour=(0.95 - 0.4 * clear) * np.array([0.92, 0.98, 1.08]),
    )


def develop(camera: Camera, linear: Pixels, rng: np.random.Generator) -> bytes:
    """Make a JPEG file of the light that fell into a camera.

    Args:
        camera: Whose picture it is.
        linear: Linear light, 1 for white; (height, width, 3).
        rng: For the noise.
    """
    height, width = linear.shape[:2]
    finest = max(height, width) / 128
    values = linear * (camera.exposure * camera.cast * rng.uniform(0.94, 1.06)).astype(np.float32)
    values = values / (1 + 0.18 * np.maximum(values - 0.6, 0))
    values = np.clip(values, 0, 1) ** np.float32(1 / 2.2)
    values = (values - 0.45) * np.float32(camera.contrast) + 0.45
    gray = (values[:, :, :1] + values[:, :, 1:2] + values[:, :, 2:]) * np.float32(1 / 3)
    values = gray + (values - gray) * np.float32(camera.saturation)
    image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
    if camera.resolution < 1:
        small = (max(8, round(width * camera.resolution)), max(8, round(height * camera.resolution)))
        image = image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR)
    if camera.motion > 0:
        image = image.filter(ImageFilter.BoxBlur((camera.motion * finest / 2, 0)))
    if camera.blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(camera.blur * finest))
    grain = rng.standard_normal((height, width, 4), dtype=np.float32) * np.float32(camera.noise)
    noisy = np.asarray(image, dtype=np.float32) + grain[:, :, :1] + grain[:, :, 1:] * np.float32(0.35)
    noisy = np.clip(noisy, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=camera.quality)
    return buffer.getvalue()
