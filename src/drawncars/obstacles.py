"""What stands between a camera and its road and hides a part of some vehicles: a pole, a sign, a branch of a tree."""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from drawncars.cameras import Camera, Floats
from drawncars.mesh import Mesh, join_meshes, smooth_sided

_OBSTACLE_STREAM: Final = 701
_PAINTS: Final = ((122, 126, 130), (36, 84, 158), (66, 52, 40), (44, 74, 34), (70, 100, 46), (220, 222, 220))
_GRAY, _BLUE, _BARK, _LEAF, _LIGHT_LEAF, _WHITE = range(len(_PAINTS))


@lru_cache(maxsize=64)
def _obstacle(seed: int, number: int, kind: str, frame: bytes) -> Mesh:
    place = np.frombuffer(frame).reshape(4, 3)
    position, right, forward = place[0], place[1], place[3]
    rng = np.random.default_rng([_OBSTACLE_STREAM, seed, number])
    # On the way to a spot beside the middle of the vehicles' path: they drive behind it and out again.
    share = rng.uniform(0.35, 0.6)
    distance = -(position[2] - 0.7) / forward[2]
    spot = position + share * distance * forward + right * share * rng.uniform(-3.2, 3.2)
    level = np.array([right[0], right[1], 0.0])
    if kind == "pole":
        return _panel(spot, level, rng.uniform(0.05, 0.09), (-spot[2], 5.0), _GRAY)
    if kind == "sign":
        high = rng.uniform(0.3, 0.6)
        width = rng.uniform(0.2, 0.32)
        post = _panel(spot, level, 0.035, (-spot[2], high), _GRAY)
        rim = _panel(spot - 0.01 * forward, level, width, (high - 0.15, high + 0.5), _WHITE)
        return join_meshes(
            [post, rim, _panel(spot - 0.02 * forward, level, width - 0.04, (high - 0.11, high + 0.46), _BLUE)]
        )
    return _branch(spot, level, rng)


def make_obstacle(seed: int, camera: Camera) -> tuple[Mesh, npt.NDArray[np.float32]]:
    """What hides a part of a camera's view: its triangles on the road, and their texture."""
    frame = np.concatenate([camera.position[None], camera.axes]).tobytes()
    texture = np.zeros((4, 4 * len(_PAINTS), 4), dtype=np.float32)
    texture[:, :, :3] = np.repeat((np.array(_PAINTS, dtype=np.float32) / 255) ** 2.2, 4, axis=0)
    return _obstacle(seed, camera.number, camera.hidden_by, frame), texture


def _patch(paint: int) -> Floats:
    return np.array([4.0 * paint + 2, 2.0])


def _panel(spot: Floats, level: Floats, half: float, height: tuple[float, float], paint: int) -> Mesh:
    """An upright rectangle that faces the camera, rounded a little to look like a tube where it is narrow."""
    up = np.array([0.0, 0.0, 1.0])
    low, high = height
    corners = [spot + side * half * level + z * up for side, z in ((-1, low), (1, low), (1, high), (-1, high))]
    triangles = np.array([[corners[0], corners[1], corners[2]], [corners[0], corners[2], corners[3]]])
    both = np.concatenate([triangles, triangles[:, ::-1]])
    return smooth_sided(both, np.broadcast_to(_patch(paint), (4, 3, 2)))


def _branch(spot: Floats, level: Floats, rng: np.random.Generator) -> Mesh:
    """Leaves that hang into the view from above."""
    count = 240
    across = rng.normal(0, 0.45, count)
    middles = (
        spot + across[:, None] * level + np.array([0.0, 0.0, 1.0]) * (0.55 + np.abs(rng.normal(0, 0.5, count)))[:, None]
    )
    turns = rng.uniform(0, 2 * np.pi, (count, 1)) + np.array([0.0, 2.2, 3.6])
    sizes = rng.uniform(0.03, 0.075, (count, 1, 1))
    corners = middles[:, None] + sizes * (
        np.cos(turns)[:, :, None] * level + np.sin(turns)[:, :, None] * [0.0, 0.0, 1.0]
    )
    paints = np.where(rng.random(count) < 0.6, _LEAF, _LIGHT_LEAF)
    places = np.stack([np.broadcast_to(_patch(int(paint)), (3, 2)) for paint in paints])
    leaves = smooth_sided(np.concatenate([corners, corners[:, ::-1]]), np.concatenate([places, places]))
    twig = _panel(spot + level * 0.1, level, 0.03, (0.5, 3.0), _BARK)
    return join_meshes([leaves, twig])
