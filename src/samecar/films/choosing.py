"""Choosing the few pictures of a track that its embedding is made of: large, sure, sharp, free, spread over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.films.detection import Boxes, Detections, areas, intersections
from samecar.films.sources.base import Frame
from samecar.retrieval.records import crop_content

BORDER = 0.02
"""A vehicle whose box comes nearer to the frame's border, as a share of the frame's side, may be cut off there."""

SHARPNESS_SIDE = 64
"""Crops are made so wide and high before their sharpness is measured, so that large and small ones compare."""

POOR = 0.4
"""A crop whose quality is below this share of the track's best one is left out."""

MARGIN = 0.05
"""Share of its width and height by which a crop is larger than the detector's box, on each side.

Boxes are no more exact than that: a vehicle whose crop would reach over the frame's border may be cut off there too.
"""


@dataclass(frozen=True, eq=False)
class Crop:
    """A picture of a vehicle cut from a frame.

    Attributes:
        time: of the frame, in seconds since the film's first one.
        quality: how good it is; only to be compared within a track.
        picture: (height, width, 3) uint8, red, green, blue.
    """

    time: float
    quality: float
    picture: NDArray[np.uint8]

    @property
    def content(self) -> str:
        """Digest of its pixels and their arrangement."""
        return crop_content(self.picture)

    def image(self) -> Image.Image:
        """The picture as Pillow's."""
        return Image.fromarray(self.picture)


class Album:
    """The best crops of a track, however long it is.

    Time is cut into equal spans, of which each keeps its best crop. Where there are more than twice the crops that are
    wanted, spans are made twice as long.

    Args:
        size: how many crops are wanted.
        span: length of the first spans in seconds.
    """

    def __init__(self, size: int, span: float) -> None:
        self._size = size
        self._span = span
        self._best: dict[int, Crop] = {}

    def put(self, crop: Crop) -> None:
        """Keeps a crop if it is the best one of its time."""
        self._keep(crop)
        while len(self._best) > 2 * self._size:
            self._span *= 2
            crops, self._best = self._best.values(), {}
            for kept in crops:
                self._keep(kept)

    def _keep(self, crop: Crop) -> None:
        place = int(crop.time // self._span)
        if place not in self._best or crop.quality > self._best[place].quality:
            self._best[place] = crop

    def chosen(self) -> list[Crop]:
        """The best crops, best first; none that is much worse than the best."""
        crops = sorted(self._best.values(), key=lambda crop: -crop.quality)[: self._size]
        return [crop for crop in crops if crop.quality >= POOR * crops[0].quality]


def crop_of(frame: Frame, detections: Detections, index: int, minimum_size: int) -> Crop | None:
    """Cuts a detection from its frame; None where it is too small or may be cut off by the border.

    Args:
        frame: the frame.
        detections: all vehicles in it.
        index: which one.
        minimum_size: pixels that its shorter side must have.
    """
    height, width = frame.picture.shape[:2]
    box = detections.boxes[index]
    left, top, right, bottom = box.tolist()
    if min(right - left, bottom - top) < minimum_size:
        return None
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    if min(left, width - right) < max(across, BORDER * width) or min(top, height - bottom) < max(down, BORDER * height):
        return None
    rows = slice(round(top - down), round(bottom + down))
    columns = slice(round(left - across), round(right + across))
    picture = frame.picture[rows, columns].copy()
    size = float(np.sqrt(areas(box[None])[0]))
    free = 1 - covered_share(detections.boxes, index)
    quality = size * float(detections.confidences[index]) * sharpness(picture) * free
    return Crop(frame.time, quality, picture)


def covered_share(boxes: Boxes, index: int) -> float:
    """Largest share of a box, 0 to 1, that lies under one other box."""
    others = np.delete(boxes, index, axis=0)
    if not len(others):
        return 0.0
    return float(intersections(boxes[index, None], others).max() / areas(boxes[index, None])[0])


def sharpness(picture: NDArray[np.uint8]) -> float:
    """Mean strength of the edges (absolute Laplacian of the grey values) at a fixed size.

    Args:
        picture: (height, width, 3).
    """
    side = (SHARPNESS_SIDE, SHARPNESS_SIDE)
    grey = np.asarray(Image.fromarray(picture).convert("L").resize(side, Image.Resampling.BOX), np.float32)
    edges = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(np.abs(edges).mean())
