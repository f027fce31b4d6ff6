"""From boxes on full frames to pictures of vehicles, with a manifest of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Final

from PIL import Image

from samecar.data.boxes.annotations import Annotations, Box
from samecar.data.boxes.coco import read_coco
from samecar.data.boxes.cvat import read_cvat
from samecar.data.boxes.edges import find_pixels
from samecar.data.boxes.frames import Frames
from samecar.data.boxes.mot import read_mot
from samecar.data.checking import SMALL_SIDE
from samecar.data.manifest import Manifest
from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.errors import SamecarError, first_few
from samecar.files import as_path, write_folder
from samecar.labels import is_placeholder
from samecar.progress import Progress, show_progress, silent

READERS: Final = {".json": read_coco, ".xml": read_cvat, ".txt": read_mot, ".csv": read_mot}
"""How boxes are read, by the end of their file's name."""

TABLE: Final = "pictures.csv"
"""The manifest of the crops, in their folder."""


def crop_boxes(
    boxes: str | Path,
    frames: str | Path,
    out: str | Path,
    *,
    camera: str = "",
    classes: tuple[str, ...] = (),
    margin: float = 0.0,
    minimum_size: int = SMALL_SIDE,
    progress: Progress | bool | None = silent,
) -> Manifest:
    """Cuts boxes out of full frames and writes the crops and their manifest, `pictures.csv`, to a new folder.

    Vehicles are those that the file names. Where it names tracks only, each track is taken for a vehicle, with a
    warning. A crop with a vehicle is 'train', one without is 'gallery', unless the frames' paths tell the split.

    Args:
        boxes: a .json file in COCO's form, CVAT's .xml, or a .txt file of MOTChallenge.
        frames: the folder of the frames, or a pattern as `folder:` takes it, such as
            `frames/{camera_id}/{time}.jpg`, whose fields are those of the crops.
        out: folder to make.
        camera: that took the frames, where neither the boxes nor the frames' paths tell it.
        classes: classes of boxes that are cropped; without them all are.
        margin: share of its width and height by which a crop is larger than its box, on each side.
        minimum_size: pixels that the shorter side of a box must have within its frame.
        progress: is told how many frames are done; True shows a bar.

    Returns:
        The manifest. Its warnings count what was left out.

    Raises:
        SamecarError: a file or the frames are not there or not of their form, a frame has another size than the file
            says, a class is unknown, no box is left, or the folder is there already.
    """
    boxes, out = as_path(boxes, "boxes"), as_path(out, "out")
    _refuse_values(out, margin, minimum_size)
    annotations = _read(boxes)
    _keep_classes(annotations, classes, boxes)
    on_disk = Frames(as_path(frames, "frames"), annotations.first)
    warnings = [*on_disk.manifest.warnings, *_name_vehicles(annotations)]
    by_row = _boxes_of_frames(annotations, on_disk, boxes, warnings)
    with write_folder(out) as folder, show_progress(progress) as told:
        rows: list[dict[str, str]] = []
        unreadable: list[str] = []
        numbers: Counter[str] = Counter()
        for done, (row, drawn) in enumerate(sorted(by_row.items()), start=1):
            picture = _open_frame(on_disk, row, drawn[0], annotations, unreadable)
            for box, crop in _cut_all(picture, drawn, margin, minimum_size, annotations.left_out):
                rows.append(_row(box, on_disk, row, camera, numbers))
                _save(crop, folder / rows[-1]["path"])
            told("frames", done, len(by_row))
        warnings += _what_was_left_out(annotations, unreadable, rows)
        if not rows:
            raise SamecarError(f"no box of {boxes} can be cropped: {'; '.join(warnings)}")
        manifest = Manifest.from_rows(folder, rows, warnings=tuple(warnings))
        manifest.write(folder / TABLE)
    return replace(manifest, root=out, file=TABLE)


def _refuse_values(out: Path, margin: float, minimum_size: int) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SamecarError(f"{out} is not an empty folder; choose another one for the crops")
    if not 0 <= margin <= 1:
        raise SamecarError(f"margin is {margin}; give a share from 0 to 1, such as 0.05")
    if minimum_size < 1:
        raise SamecarError(f"minimum_size is {minimum_size}; give 1 or more pixels")


def _read(path: Path) -> Annotations:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SamecarError(
            f"boxes {path} end in {path.suffix or 'nothing'!r}; give a .json file in COCO's form, CVAT's .xml, or a "
            ".txt file of MOTChallenge, such as gt/gt.txt"
        )
    if not path.is_file():
        raise SamecarError(f"boxes {path} are not there; give the path of a .json, .xml or .txt file of boxes")
    annotations = reader(path)
    if not annotations.boxes:
        reasons = "".join(f"; {count:,} {reason}" for reason, count in annotations.left_out.items())
        raise SamecarError(f"{path} has no box to crop{reasons}")
    return annotations


def _keep_classes(annotations: Annotations, classes: Iterable[str], path: Path) -> None:
    """Leaves out boxes of other classes, where some are asked for."""
    wanted = set(classes)
    known = {box.type for box in annotations.boxes}
    unknown = sorted(wanted - known)
    if unknown:
        raise SamecarError(
            f"classes has {unknown[0]!r}, which no box of {path} is of; its classes are "
            f"{first_few(sorted(known - {''}), 20) or 'not told'}"
        )
    if wanted:
        kept = [box for box in annotations.boxes if box.type in wanted]
        others = ", ".join(sorted(known - wanted))
        annotations.left_out[f"are of other classes ({others})"] += len(annotations.boxes) - len(kept)
        annotations.boxes = kept
    annotations.left_out = +annotations.left_out


def _name_vehicles(annotations: Annotations) -> Iterator[str]:
    """Takes tracks for vehicles where no box names a vehicle, and says so."""
    if any(box.vehicle_id for box in annotations.boxes) or not any(box.track_id for box in annotations.boxes):
        return
    annotations.boxes = [replace(box, vehicle_id=box.track_id) for box in annotations.boxes]
    tracks = len({box.track_id for box in annotations.boxes} - {""})
    yield (
        f"the boxes name no vehicles, and each of their {tracks:,} tracks is taken for one; a vehicle that passes "
        "twice is two unless both passages have one number"
    )


def _boxes_of_frames(annotations: Annotations, frames: Frames, path: Path, warnings: list[str]) -> dict[int, list[Box]]:
    """Boxes by the row of their frame; frames that are not there and frames without boxes are warned of."""
    by_frame: dict[str | int, list[Box]] = {}
    for box in annotations.boxes:
        by_frame.setdefault(box.frame, []).append(box)
    rows = {frame: frames.find(frame) for frame in by_frame}
    absent = [str(frame) for frame, row in rows.items() if row is None]
    if len(absent) == len(rows):
        raise SamecarError(
            f"none of the {len(rows):,} frames of {path} is in {frames.manifest.root}: it names "
            f"{first_few(absent)}, and there are {first_few(frames.manifest.path.tolist())}; give the folder of "
            "its frames"
        )
    if absent:
        lost = sum(len(by_frame[frame]) for frame, row in rows.items() if row is None)
        warnings.append(f"{lost:,} boxes are left out, as {len(absent):,} frames are not there: {first_few(absent)}")
    found: dict[int, list[Box]] = {}
    for frame, row in rows.items():
        if row is not None:
            found.setdefault(row, []).extend(by_frame[frame])
    idle = len(frames.manifest) - len(found)
    if idle:
        warnings.append(f"{idle:,} of {len(frames.manifest):,} frames have no box and give no crop")
    return found


def _open_frame(
    frames: Frames, row: int, box: Box, annotations: Annotations, unreadable: list[str]
) -> Image.Image | None:
    """A frame's picture; None if it cannot be read, which is noted.

    Raises:
        SamecarError: it has another size than the boxes' file says.
    """
    path = frames.manifest.absolute_path(row)
    try:
        picture = read_picture(path)
    except UnreadablePictureError as error:
        unreadable.append(f"{path} ({error.reason})")
        return None
    stated = annotations.sizes.get(box.frame, annotations.size)
    if stated and stated != picture.size:
        raise SamecarError(
            f"frame {path} has {picture.width} × {picture.height} pixels, and its boxes were drawn on "
            f"{stated[0]} × {stated[1]}; give the frames that they were drawn on"
        )
    return picture


def _cut_all(
    picture: Image.Image | None, boxes: Iterable[Box], margin: float, minimum_size: int, left_out: Counter[str]
) -> Iterator[tuple[Box, Image.Image]]:
    """The boxes of a frame, and what lies in them; none for a frame that cannot be read."""
    if picture is None:
        return
    for box in boxes:
        crop = _cut(picture, box, margin, minimum_size, left_out)
        if crop is not None:
            yield box, crop


def _cut(
    picture: Image.Image, box: Box, margin: float, minimum_size: int, left_out: Counter[str]
) -> Image.Image | None:
    """A box's part of its frame; None, which is counted, if too little of it lies within."""
    within = find_pixels((box.left, box.top, box.right, box.bottom), picture.width, picture.height)
    if within is None:
        left_out["lie outside of their frames"] += 1
        return None
    if min(within[2] - within[0], within[3] - within[1]) < minimum_size:
        left_out[f"have a side of less than {minimum_size} pixels in their frames"] += 1
        return None
    across, down = margin * (box.right - box.left), margin * (box.bottom - box.top)
    larger = (box.left - across, box.top - down, box.right + across, box.bottom + down)
    return picture.crop(find_pixels(larger, picture.width, picture.height) or within)


def _row(box: Box, frames: Frames, row: int, camera: str, numbers: Counter[str]) -> dict[str, str]:
    """What the manifest says of a crop, whose file is called as its frame with a number behind."""
    frame: Mapping[str, str] = {name: str(frames.manifest.column(name)[row]) for name in ("camera_id", "time", "split")}
    stem = PurePath(str(frames.manifest.path[row])).with_suffix("").as_posix()
    numbers[stem] += 1
    is_known = box.vehicle_id != "" and not is_placeholder(box.vehicle_id)
    return {
        "path": f"{stem}-{numbers[stem]}.png",
        "vehicle_id": box.vehicle_id,
        "camera_id": box.camera_id or frame["camera_id"] or camera,
        "split": frame["split"] if frames.tells_split else "train" if is_known else "gallery",
        "time": frame["time"],
        "track_id": box.track_id,
        "colour": box.colour,
        "type": box.type,
    }


def _what_was_left_out(annotations: Annotations, unreadable: list[str], rows: list[dict[str, str]]) -> Iterator[str]:
    yield from (f"{count:,} boxes {reason} and are left out" for reason, count in annotations.left_out.items())
    if unreadable:
        yield f"{len(unreadable):,} frames cannot be read and their boxes are left out: {first_few(unreadable)}"
    without = sum(not row["camera_id"] for row in rows)
    if without:
        yield f"of {without:,} crops no camera is known; give --camera, or a pattern of the frames with {{camera_id}}"


def _save(crop: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    crop.save(path)
