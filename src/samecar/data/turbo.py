"""Decoding JPEG by libjpeg-turbo itself: the pixels that Pillow gives, in two thirds of the time."""

from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, features

LEAST_SIDE: Final = 8
"""Shorter pictures are left to Pillow: with fewer pixels than this, several scales give the same size."""

_SAME_LIBRARY: Final = bool(features.check_feature("libjpeg_turbo"))
"""Whether Pillow was built with libjpeg-turbo too; what else it may be built with gives other pixels."""


def decode_jpeg(picture: Image.Image, content: bytes) -> Image.Image | None:
    """Decodes a JPEG that Pillow has opened and not yet loaded, at the scale that Pillow's `draft` has set.

    Args:
        picture: as it was opened.
        content: of its file.

    Returns:
        A picture of mode RGB with the pixels that Pillow would give and the `info` that it has; None where the file is
        no ordinary JPEG, or is damaged however little: Pillow then says what it makes of that.
    """
    width, height = picture.size
    ordinary = isinstance(picture, JpegImagePlugin.JpegImageFile) and picture.mode in ("RGB", "L")
    if not (ordinary and _SAME_LIBRARY and min(width, height) >= LEAST_SIDE):
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, "RGB", min_height=height, min_width=width)
    except ValueError:  # whatever libjpeg-turbo warns of, too
        return None
    if pixels.shape != (height, width, 3):
        return None
    decoded = Image.fromarray(pixels)
    decoded.info = dict(picture.info)
    return decoded
