"""Boxes in CVAT's XML, of its formats "CVAT for images" and "CVAT for video"."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from samecar.data.boxes.annotations import Annotations, Box, known_labels
from samecar.errors import SamecarError
from samecar.files import read_whole


def read_cvat(path: Path) -> Annotations:
    """Reads `image` elements with boxes, or `track` elements whose boxes name frames of a film, counted from 0.

    Which vehicle a box shows and which camera took it are its attributes `vehicle_id` and `camera_id`, the class is the
    type, and a `track` has a number. Turned boxes, boxes outside of the frame and shapes that are no boxes are left
    out.

    Raises:
        SamecarError: the file is no such XML.
    """
    try:
        text = read_whole(path)
        if b"<!DOCTYPE" in text:
            raise SamecarError(f"{path} declares a document type, which CVAT's files do not; give CVAT's own file")
        return _read(ElementTree.fromstring(text))  # noqa: S314 - entities need a document type
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        reason = f"a box lacks {error}" if isinstance(error, KeyError) else str(error)
        raise SamecarError(
            f'{path} holds no boxes in CVAT\'s form: {reason}; export the task as "CVAT for images" or "CVAT for video"'
        ) from error


def _read(root: ElementTree.Element) -> Annotations:
    if root.tag != "annotations":
        raise ValueError(f"its outermost element is {root.tag}")
    found = Annotations()
    for image in root.iter("image"):
        name = image.attrib["name"]
        if "width" in image.attrib and "height" in image.attrib:
            found.sizes[name] = int(image.attrib["width"]), int(image.attrib["height"])
        found.boxes += _boxes(image, name, found)
    for track in root.iter("track"):
        found.boxes += _boxes(track, None, found)
    if root.find(".//track") is not None:
        found.first, found.size = 0, _original_size(root)
    return found


def _boxes(parent: ElementTree.Element, name: str | None, found: Annotations) -> Iterator[Box]:
    for shape in parent:
        if shape.tag in ("tag", "attribute"):
            continue
        if shape.tag != "box":
            found.left_out["are shapes that are no boxes"] += 1
        elif float(shape.get("rotation", "0")):
            found.left_out["are turned (rotation)"] += 1
        elif shape.get("outside") == "1":
            found.left_out["are outside of their frame (outside)"] += 1
        else:
            frame = name if name is not None else int(shape.attrib["frame"])
            yield _box(
                shape, frame, parent.get("id", "") if name is None else "", shape.get("label", parent.get("label", ""))
            )


def _box(shape: ElementTree.Element, frame: str | int, track: str, kind: str) -> Box:
    left, top, right, bottom = (float(shape.attrib[edge]) for edge in ("xtl", "ytl", "xbr", "ybr"))
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"a box of frame {frame} has an edge that is no number")
    attributes = [(each.get("name", ""), (each.text or "").strip()) for each in shape.iter("attribute")]
    labels = {"track_id": track, **{name: value for name, value in known_labels(attributes).items() if value}}
    return Box(frame, left, top, right, bottom, type=kind, **labels)


def _original_size(root: ElementTree.Element) -> tuple[int, int] | None:
    width, height = (root.findtext(f".//original_size/{side}") for side in ("width", "height"))
    return (int(width), int(height)) if width and height else None
