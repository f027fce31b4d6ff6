"""One picture: a vehicle in front of a camera, as a JPEG file's bytes."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from samecar.drawing.palette import SHADES


@dataclass(frozen=True)
class Request:
    """Everything that one picture depends on."""

    seed: int
    vehicle: int
    colour: str
    type: str
    camera: int
    passage: int
    number: int
    position: float
    size: int


def draw_picture(request: Request) -> bytes:
    """Draw a picture and encode it."""
    rng = np.random.default_rng([request.seed, request.vehicle, request.camera, request.number])
    size = request.size
    image = Image.new("RGB", (size, size * 2 // 3), (120, 122, 124))
    pen = ImageDraw.Draw(image)
    shift = int(rng.integers(0, 6))
    pen.rectangle((size // 10 + shift, size // 6, size * 9 // 10, size // 2), fill=SHADES[request.colour][0])
    own = np.random.default_rng([request.seed, request.vehicle])
    for _ in range(6):
        x, y = own.integers(size // 8, size * 3 // 4), own.integers(size // 5, size // 3)
        pen.rectangle((x, y, x + size // 10, y + size // 12), fill=tuple(int(c) for c in own.integers(0, 255, 3)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
