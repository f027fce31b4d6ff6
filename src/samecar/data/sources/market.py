"""The source `market:`, folders in the layout of Market-1501."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from samecar.data.manifest import Manifest
from samecar.data.sources.listings import difference_warning, require_folder
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError, first_few

FOLDERS: Final = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}

EXAMPLE_NAME: Final = "0002_c1s1_000451_03.jpg"
NAME: Final = re.compile(r"(?P<vehicle_id>[^_]+)_(?P<camera_id>c[0-9]+)(?=[s_.-]).*")
"""What follows the camera, such as `s1_000451_03` or `_f0046182`, differs between sets and is not read."""


def market(folder: Path) -> Manifest:
    """Reads a folder in the layout of Market-1501, which DukeMTMC-reID and many own sets have too.

    Pictures lie in `bounding_box_train`, `query` and `bounding_box_test` and are called `VEHICLE_cCAMERA…`, such as
    `0002_c1s1_000451_03.jpg`. Vehicle -1 marks junk and vehicle 0000 distractors, as the set's own rules, the protocol
    `market`, have it. Pictures with names of another form are left out, and so is a folder that is not there, with a
    warning.

    Raises:
        SamecarError: there is no such folder, none of the three lies in it, or no picture has such a name.
    """
    require_folder(folder)
    present = {split: name for split, name in FOLDERS.items() if (folder / name).is_dir()}
    if not present:
        raise SamecarError(
            f"{folder} is not in the layout of Market-1501: it has none of {', '.join(FOLDERS.values())}; give the "
            "folder that they lie in"
        )
    warnings, others = list(_absence_warnings(folder, present)), []
    rows = []
    for split, place in present.items():
        names = list(picture_names(folder / place, warnings))
        matches = {name: NAME.fullmatch(Path(name).name) for name in names}
        labelled = {name: match.groupdict() for name, match in matches.items() if match}
        others += [name for name in names if name not in labelled]
        sentence = f"pictures of {place} have names of another form and are left out"
        warnings += difference_warning(names, labelled, sentence)
        rows += [{**labels, "path": f"{place}/{name}", "split": split} for name, labels in labelled.items()]
    if not rows:
        raise SamecarError(
            f"{folder} has no picture with a name like {EXAMPLE_NAME}; found were {first_few(others) or 'none at all'}"
        )
    return Manifest.from_rows(folder, rows, source="market", warnings=tuple(warnings))


def _absence_warnings(folder: Path, present: Mapping[str, str]) -> Iterator[str]:
    absent = [name for split, name in FOLDERS.items() if split not in present]
    if absent:
        yield f"{folder} has no {' and no '.join(absent)}; only {' and '.join(present.values())} was read"
