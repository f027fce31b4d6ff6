"""The encoder for trackers: from boxes in a film's frame to embeddings."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from samecar.data.boxes.edges import find_pixels
from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError

Colours = Literal["bgr", "rgb"]
"""Order of a frame's colours."""

BATCH_SIZE = 64
"""Boxes that are embedded together."""


class FrameEncoder:
    """What a tracker calls to tell vehicles by their looks: `(frame, boxes) -> embeddings`.

        >>> encode = samecar.FrameEncoder(samecar.load("first.onnx"))
        >>> encode(frame, [[12, 30, 96, 88], [200, 41, 310, 120]]).shape
        (2, 128)

    It may be called from several threads.

    Args:
        encoder: the model.
        colours: order of a frame's colours: bgr, as OpenCV reads films, or rgb, as PyAV, imageio and Pillow do.
        batch_size: most boxes that are embedded together.

    Raises:
        SamecarError: the order is another, or a batch has no box.
    """

    def __init__(self, encoder: Encoder, *, colours: Colours = "bgr", batch_size: int = BATCH_SIZE) -> None:
        if colours not in get_args(Colours):
            raise SamecarError(f"colours is {colours!r}; give {' or '.join(get_args(Colours))}")
        if batch_size < 1:
            raise SamecarError(f"batch_size is {batch_size}; give 1 or more")
        self.encoder = encoder
        self._colours = colours
        self._batch_size = batch_size

    def __call__(self, frame: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
        """Embeds what lies in boxes of a frame; (boxes, size) of length one, and (0, size) for no boxes.

        Args:
            frame: (height, width, 3), values from 0 to 255, colours in the order that was stated; it is not changed.
            boxes: (boxes, 4): left, top, right and bottom in pixels. What lies outside of the frame is cut off, and
                edges are rounded to whole pixels, a half up.

        Raises:
            SamecarError: a box has no pixel in the frame, which `visible` tells beforehand, or frame or boxes have
                another form.
        """
        given = _check_boxes(boxes)
        parts = _find_parts(_check_frame(frame), given)
        for number, (box, part) in enumerate(zip(given, parts, strict=True)):
            if part is None:
                edges = ", ".join(f"{edge:g}" for edge in box)
                raise SamecarError(
                    f"box {number} ({edges}) has no pixel in the frame of {frame.shape[1]} × {frame.shape[0]}; leave "
                    "such boxes out: `visible` tells which have one"
                )
        within = [part for part in parts if part is not None]
        batches = [within[first : first + self._batch_size] for first in range(0, len(within), self._batch_size)]
        embedded = [self._embed(frame, batch) for batch in batches]
        return np.concatenate([np.empty((0, self.encoder.embedding_size), np.float32), *embedded])

    def visible(self, frame: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.bool_]:
        """Which boxes have a pixel in the frame; (boxes,).

        Args:
            frame: as for a call.
            boxes: as for a call.

        Raises:
            SamecarError: frame or boxes have another form.
        """
        parts = _find_parts(_check_frame(frame), _check_boxes(boxes))
        return np.array([part is not None for part in parts], np.bool_)

    def _embed(self, frame: NDArray[np.uint8], parts: Sequence[tuple[int, int, int, int]]) -> NDArray[np.float32]:
        order = -1 if self._colours == "bgr" else 1
        crops = [frame[top:bottom, left:right, ::order] for left, top, right, bottom in parts]
        return self.encoder.embed([Image.fromarray(np.ascontiguousarray(crop)) for crop in crops])


def _find_parts(frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> list[tuple[int, int, int, int] | None]:
    height, width, _ = frame.shape
    return [find_pixels(box.tolist(), width, height) for box in boxes]


def _check_frame(frame: Any) -> NDArray[np.uint8]:
    shape, kind = getattr(frame, "shape", None), getattr(frame, "dtype", type(frame).__name__)
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise SamecarError(
            f"the frame is {kind}{'' if shape is None else f' of shape {tuple(shape)}'}; give a NumPy array of uint8 "
            "(height, width, 3)"
        )
    return frame


def _check_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    try:
        given = np.asarray(boxes, np.float64)
    except (TypeError, ValueError) as error:
        raise SamecarError("the boxes are not all four numbers: give left, top, right and bottom of each") from error
    if not given.size:
        return given.reshape(0, 4)
    if given.ndim != 2 or given.shape[1] != 4:
        raise SamecarError(f"the boxes have shape {given.shape}; give (boxes, 4): left, top, right and bottom of each")
    wrong = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if wrong.size:
        raise SamecarError(f"box {wrong[0]} holds a number that is not finite; give left, top, right and bottom")
    return given
