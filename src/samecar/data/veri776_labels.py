"""VeRi-776's label files: which vehicle, camera, colour and type each picture shows, as XML."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Final, NamedTuple

from samecar.errors import SamecarError, first_few

COLOURS: Final = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")
TYPES: Final = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")

MENDED_TYPES: Final = {"0003": "suv", "0007": "suv", "0041": "suv"}
"""Version 1.0 of the labels has type 0 for these vehicles."""


class Label(NamedTuple):
    """What a label file says of one picture; colour and type are words, "" where it says nothing."""

    vehicle_id: str
    camera_id: str
    colour: str
    type: str


def read_labels(path: Path, warnings: list[str]) -> dict[str, Label]:
    """Reads a label file: file name to label; empty if there is no file.

    Args:
        path: `train_label.xml` or `test_label.xml`.
        warnings: sentences about what was mended are added.

    Raises:
        SamecarError: the file is not XML.
    """
    if not path.is_file():
        return {}
    # Declared gb2312, which Python's XML parser refuses: decode here and drop the declaration.
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", path.read_bytes().decode("gb18030", errors="replace").lstrip("\ufeff"))
    if "<!" in text.replace("<!--", ""):
        raise SamecarError(f"labels {path} declare a document type, which VeRi-776's do not; take its own file")
    try:
        items = [item.attrib for item in ElementTree.fromstring(text).iter("Item")]  # noqa: S314 - entities: see above
    except ElementTree.ParseError as error:
        raise SamecarError(f"labels {path} are not XML ({error}); replace the file, or remove it") from error
    labels = {item.get("imageName", ""): _label(item) for item in items}
    warnings += _mended(path.name, labels)
    return labels


def _label(item: dict[str, str]) -> Label:
    camera = item.get("cameraID", "").lower().removeprefix("c")
    colour, kind = _word(COLOURS, item.get("colorID", "")), _word(TYPES, item.get("typeID", ""))
    return Label(item.get("vehicleID", "").zfill(4), f"c{camera.zfill(3)}", colour, kind)


def _word(words: tuple[str, ...], number: str) -> str:
    return words[int(number) - 1] if number.isdecimal() and 1 <= int(number) <= len(words) else ""


def _mended(file_name: str, labels: dict[str, Label]) -> list[str]:
    untyped = [name for name, label in labels.items() if not label.type]
    mended = [name for name in untyped if labels[name].vehicle_id in MENDED_TYPES]
    for name in mended:
        labels[name] = labels[name]._replace(type=MENDED_TYPES[labels[name].vehicle_id])
    warnings = []
    if mended:
        vehicles = sorted({labels[name].vehicle_id for name in mended})
        warnings.append(f"{file_name} gives no type for vehicles {', '.join(vehicles)}; they are taken as suv")
    if len(untyped) > len(mended):
        rest = [name for name in untyped if not labels[name].type]
        warnings.append(f"{len(rest):,} labels of {file_name} have no known type: {first_few(rest)}")
    return warnings
