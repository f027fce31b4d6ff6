"""Boxes in COCO's JSON."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samecar.data.boxes.annotations import Annotations, Box, known_labels
from samecar.errors import SamecarError
from samecar.files import parse_json, read_whole


def read_coco(path: Path) -> Annotations:
    """Reads `images`, `annotations` and `categories` of a file in COCO's form.

    Which vehicle a box shows is its `vehicle_id`, which camera its own or its image's `camera_id`, which track its
    `track_id`: keys of the annotation itself or of its `attributes`. Groups (`iscrowd`) are left out.

    Raises:
        SamecarError: the file is no such JSON.
    """
    try:
        content = parse_json(read_whole(path).decode("utf-8-sig"))
        images = {image["id"]: image for image in content["images"]}
        kinds = {kind["id"]: str(kind["name"]) for kind in content.get("categories", ())}
        return _read(content["annotations"], images, kinds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise SamecarError(
            f"{path} holds no boxes in COCO's form: {reason}; give a JSON file with images, annotations and categories"
        ) from error


def _read(annotations: Any, images: Mapping[Any, Any], kinds: Mapping[Any, str]) -> Annotations:
    found = Annotations()
    for image in images.values():
        if image.get("width") and image.get("height"):
            found.sizes[str(image["file_name"])] = int(image["width"]), int(image["height"])
    for annotation in annotations:
        if annotation.get("iscrowd"):
            found.left_out["are groups (iscrowd)"] += 1
        elif not annotation.get("bbox"):
            found.left_out["have no bbox"] += 1
        else:
            found.boxes.append(_box(annotation, images[annotation["image_id"]], kinds))
    return found


def _box(annotation: Mapping[str, Any], image: Mapping[str, Any], kinds: Mapping[Any, str]) -> Box:
    left, top, width, height = (float(number) for number in annotation["bbox"])
    if not all(map(math.isfinite, (left, top, width, height))):
        raise ValueError(f"annotation {annotation.get('id')} has the bbox {annotation['bbox']}")
    labels = {
        **known_labels(image.items()),
        **known_labels(annotation.get("attributes", {}).items()),
        **known_labels(annotation.items()),
    }
    kind = kinds.get(annotation.get("category_id"), "")
    return Box(str(image["file_name"]), left, top, left + width, top + height, type=kind, **labels)
