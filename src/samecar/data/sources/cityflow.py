"""The source `cityflow:`, the folder of CityFlow-ReID."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from samecar.data.manifest import Manifest
from samecar.data.sources.listings import difference_warning, read_lines, require_folder
from samecar.data.sources.veri776 import FOLDERS, read_label_items
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError, first_few

LABELS: Final = {"train": "train_label.xml", "query": "query_label.xml", "gallery": "test_label.xml"}
TRACKS: Final = {"train": "train_track.txt", "gallery": "test_track.txt"}

Labels = dict[str, dict[str, str]]
"""Vehicle and camera by file name."""


def cityflow(folder: Path) -> Manifest:
    """Reads CityFlow-ReID, as the AI City Challenge hands it out.

    Pictures are `image_train/000001.jpg` and the like in `image_query` and `image_test`; vehicles and cameras come from
    `train_label.xml`, `query_label.xml` and `test_label.xml`, tracks from `train_track.txt` and `test_track.txt`, whose
    lines hold the names of one track's pictures. The vehicles of the test pictures are not public: without labels these
    pictures are unlabelled. A track is called by the number of its line.

    Raises:
        SamecarError: there is no such folder, it lacks the train pictures or their labels, or a file cannot be read.
    """
    require_folder(folder)
    missing = [name for name in (FOLDERS["train"], LABELS["train"]) if not (folder / name).exists()]
    if missing:
        raise SamecarError(
            f"{folder} is not CityFlow-ReID: it lacks {' and '.join(missing)}; give the folder that image_train and "
            "train_label.xml lie in"
        )
    warnings: list[str] = []
    rows: list[dict[str, str]] = []
    for split, place in FOLDERS.items():
        names = list(picture_names(folder / place, warnings)) if (folder / place).is_dir() else []
        labels = _read_labels(folder / LABELS[split])
        tracks = _read_tracks(folder / TRACKS[split], names, warnings) if split in TRACKS else {}
        if labels:
            warnings += difference_warning(names, labels, f"pictures of {place} have no label in {LABELS[split]}")
            warnings += difference_warning(labels, names, f"labels of {LABELS[split]} have no picture and are left out")
        rows += [_row(f"{place}/{name}", split, labels.get(name, {}), tracks.get(name, "")) for name in names]
    unlabelled = [row["path"] for row in rows if row["split"] != "train" and not row["vehicle_id"]]
    if unlabelled:
        warnings.append(
            f"{len(unlabelled):,} test pictures have no vehicle, as their labels are not public; to score a run, hold "
            f"train vehicles out with `samecar train --validation 0.1`: {first_few(unlabelled)}"
        )
    return Manifest.from_rows(folder, rows, source="cityflow", warnings=tuple(warnings))


def _row(path: str, split: str, label: Mapping[str, str], track: str) -> dict[str, str]:
    return {"path": path, "split": split, "vehicle_id": "", "camera_id": "", "track_id": track, **label}


def _read_labels(path: Path) -> Labels:
    return {
        item.get("imageName", "").strip(): {
            "vehicle_id": item.get("vehicleID", "").strip(),
            "camera_id": item.get("cameraID", "").strip(),
        }
        for item in read_label_items(path)
    }


def _read_tracks(path: Path, names: Collection[str], warnings: list[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    known = set(names)
    listed = [
        (word if word.endswith(".jpg") else f"{word}.jpg", str(number))
        for number, line in enumerate(read_lines(path), start=1)
        for word in line.split()
    ]
    warnings += difference_warning([name for name, _ in listed], known, f"names of {path.name} have no picture")
    return {name: track for name, track in listed if name in known}
