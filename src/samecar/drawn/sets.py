"""Whole sets of drawn pictures: plan who passes which camera, draw it all in several processes, then name it done."""

import json
import math
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from drawncars.palette import COLOUR_WEIGHTS, TYPE_WEIGHTS
from drawncars.picture import Request, draw_picture
from samecar.data.manifest import SPLITS
from samecar.data.sources.veri776 import COLOURS, FOLDERS, TYPES
from samecar.drawn.layout import Lists, Look, PictureNumbers, copy_lists, picture_numbers, read_lists, write_lists
from samecar.errors import SamecarError
from samecar.files import as_path
from samecar.hardware import available_cores, process_pool
from samecar.progress import show_progress

DRAWING_VERSION: Final = 1
"""Goes up when the same seed gives other pictures than before."""

CountProgress = Callable[[int, int], None]
"""Called with the number of pictures done and the number of all.

Not `samecar.progress.Progress`, which is called with the work's name too: people hand such functions to `draw_set`.
"""

_LOOKS_STREAM, _PLAN_STREAM = 101, 102  # keep what is drawn by chance for different ends apart
_LONGEST_GAP = 200  # time stamps further apart than this belong to two passages
_PICTURES_PER_PROCESS = 48  # a process takes a third of a second to start: no more of them than the work pays for


@dataclass(frozen=True)
class DrawnSet:
    """What was drawn and where it lies.

    Attributes:
        path: The folder, in VeRi-776's layout.
        vehicles: Number of vehicles, train and test together.
        cameras: Number of cameras that saw one.
        train: Number of training pictures.
        query: Number of queries; each is a copy of a picture of the gallery.
        gallery: Number of pictures in ``image_test``.
        size: Longer side of a picture in pixels.
        seed: What the set was drawn from.
    """

    path: Path
    vehicles: int
    cameras: int
    train: int
    query: int
    gallery: int
    size: int
    seed: int


def draw_set(
    out: str | Path,
    *,
    vehicles: int = 60,
    cameras: int = 6,
    pictures: int = 4,
    size: int = 128,
    seed: int = 1,
    workers: int | None = None,
    progress: CountProgress | bool | None = None,
) -> DrawnSet:
    """Draw a demo set in VeRi-776's layout: the same seed gives the same bytes, however many processes draw it.

    A quarter of the vehicles are the test set. Each vehicle passes two to six of the cameras; one picture of each
    passage of a test vehicle is a query as well.

    Args:
        out: The folder to make; absent or empty.
        vehicles: vehicles in all, 4 to 9,999; a quarter of them are for testing.
        cameras: cameras in all, 2 to 999.
        pictures: pictures of a vehicle by a camera, 1 to 1,000; on average, as passages take one more or one less.
        size: longer side of a picture in pixels, 32 to 1,024.
        seed: the same seed, 0 or more, gives the same bytes.
        workers: processes that draw; default: one a core.
        progress: True shows a bar; a function is called after each vehicle with the pictures done and those in all.

    Returns:
        What was drawn.

    Raises:
        SamecarError: An argument is out of range, or ``out`` holds something.
    """
    _check_range("vehicles", vehicles, 4, 9999)
    _check_range("cameras", cameras, 2, 999)
    _check_range("pictures", pictures, 1, 1000)
    out = as_path(out, "out")
    _check_options(size, seed, workers)
    lists = _plan(vehicles, cameras, pictures, seed)
    with _finished_or_absent(out) as folder:
        write_lists(folder, lists)
        _write_card(folder, _summary(out, lists, size, seed), twin=False)
        _draw_all(lists, folder, size, seed, workers, progress)
    return _summary(out, lists, size, seed)


def draw_twin(
    names: str | Path,
    out: str | Path,
    *,
    size: int = 128,
    seed: int = 1,
    workers: int | None = None,
    progress: CountProgress | bool | None = None,
) -> DrawnSet:
    """Draw a twin of a data set whose lists are there: the same names, vehicles, cameras, colours and types.

    Args:
        names: The folder with the lists; see :func:`samecar.drawn.layout.read_lists`.
        out: The folder to make; absent or empty.
        size: Longer side of a picture in pixels, 32 to 1,024.
        seed: 0 or more.
        workers: Processes that draw; as many as there are cores if not given.
        progress: True shows a bar; a function is called after each vehicle with the pictures done and those in all.

    Returns:
        What was drawn. A query that is in the gallery as well is the same file, byte for byte.

    Raises:
        SamecarError: An argument is out of range, a list is missing or wrong, or ``out`` holds something.
    """
    _check_options(size, seed, workers)
    names, out = as_path(names, "names"), as_path(out, "out")
    lists = read_lists(names)
    with _finished_or_absent(out) as folder:
        copy_lists(names, folder, lists)
        _write_card(folder, _summary(out, lists, size, seed), twin=True)
        _draw_all(lists, folder, size, seed, workers, progress)
    return _summary(out, lists, size, seed)


def _check_range(option: str, given: int, lowest: int, highest: int) -> None:
    if not lowest <= given <= highest:
        raise SamecarError(f"{option} is {given}; choose a number from {lowest} to {highest}.")


def _check_options(size: int, seed: int, workers: int | None) -> None:
    """Check what both kinds of set take."""
    _check_range("size", size, 32, 1024)
    _check_range("seed", seed, 0, 2**63 - 1)
    if workers is not None:
        _check_range("workers", workers, 1, 1024)


# --- the plan: who passes which camera, when -----------------------------------------------------------------------


def _plan(vehicles: int, cameras: int, pictures: int, seed: int) -> Lists:
    rng = np.random.default_rng([seed, _PLAN_STREAM])
    test_count = min(max(2, round(vehicles / 4)), vehicles - 2)
    test_vehicles = {int(number) for number in rng.choice(np.arange(1, vehicles + 1), test_count, replace=False)}
    looks: dict[int, Look] = {}
    for group in ([v for v in range(1, vehicles + 1) if v not in test_vehicles], sorted(test_vehicles)):
        looks.update(zip(group, _looks_with_doubles(len(group), rng), strict=True))
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    for vehicle in range(1, vehicles + 1):
        for passage in _passages(vehicle, cameras, pictures, rng):
            if vehicle in test_vehicles:
                names["gallery"] += passage
                names["query"].append(passage[int(rng.integers(len(passage)))])
            else:
                names["train"] += passage
    train, query, gallery = (tuple(sorted(names[split])) for split in SPLITS)
    return Lists(train, query, gallery, looks)


def _looks_with_doubles(count: int, rng: np.random.Generator) -> list[Look]:
    """Colours and types for some vehicles: about half share both with one or two others, so that details must tell."""
    looks: list[Look] = []
    kinds: list[int] = []
    while len(looks) < count:
        if not kinds:  # every type comes once before one comes again, the frequent ones more often
            extra = rng.choice(len(TYPES), 4, p=TYPE_WEIGHTS)
            kinds = [int(kind) for kind in rng.permutation(np.concatenate([np.arange(len(TYPES)), extra]))]
        look = Look(1 + int(rng.choice(len(COLOURS), p=COLOUR_WEIGHTS)), 1 + kinds.pop())
        together = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])) if looks else 2
        looks += [look] * together
    return [looks[position] for position in rng.permutation(count)]


def _passages(vehicle: int, cameras: int, pictures: int, rng: np.random.Generator) -> Iterator[list[str]]:
    seen_by = rng.permutation(np.arange(1, cameras + 1))[: int(rng.integers(2, min(cameras, 6) + 1))]
    stamp = int(rng.integers(0, 60000))
    for camera in seen_by:  # in the order in which the vehicle comes by
        stamp += int(rng.integers(300, 2500))
        count = pictures if pictures == 1 else max(2, pictures + int(rng.integers(-1, 2)))
        stamps = stamp + np.cumsum(rng.choice([5, 10, 10, 15], count))
        yield [f"{vehicle:04d}_c{camera:03d}_{taken:08d}_{int(rng.integers(2))}.jpg" for taken in stamps]
        stamp = int(stamps[-1])


# --- drawing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _VehicleTask:
    """All pictures of one vehicle: what to draw, and the files that each goes to."""

    requests: tuple[Request, ...]
    files: tuple[tuple[str, ...], ...]


def _draw_all(
    lists: Lists, folder: Path, size: int, seed: int, workers: int | None, progress: CountProgress | bool | None
) -> None:
    for split in SPLITS:
        (folder / FOLDERS[split]).mkdir()
    tasks = _tasks(lists, size, seed)
    total = sum(len(lists.names(split)) for split in SPLITS)
    done = 0
    processes = min(workers or available_cores(), math.ceil(total / _PICTURES_PER_PROCESS), len(tasks))
    bars_or_none = None if callable(progress) else progress
    with show_progress(bars_or_none) as bars, closing(_run(tasks, folder, processes)) as counts:
        for count in counts:
            done += count
            bars("drawing", done, total)
            if callable(progress):
                progress(done, total)


def _tasks(lists: Lists, size: int, seed: int) -> list[_VehicleTask]:
    files: dict[str, list[str]] = {}
    for split in SPLITS:
        for name in lists.names(split):
            files.setdefault(name, []).append(f"{FOLDERS[split]}/{name}")
    by_vehicle: dict[int, list[tuple[PictureNumbers, str]]] = {}
    for name in sorted(files):
        parsed = picture_numbers(name, "the plan")
        by_vehicle.setdefault(parsed.vehicle, []).append((parsed, name))
    tasks = []
    for vehicle, named in by_vehicle.items():
        look = _complete_look(lists.looks.get(vehicle, Look(0, 0)), vehicle, seed)
        positions = _positions([parsed for parsed, _ in named])
        requests = tuple(
            Request(
                seed=seed,
                vehicle=vehicle,
                colour=COLOURS[look.colour - 1],
                type=TYPES[look.type - 1],
                camera=parsed.camera,
                passage=passage,
                number=parsed.stamp * 100 + parsed.order,
                position=position,
                size=size,
            )
            for (parsed, _), (passage, position) in zip(named, positions, strict=True)
        )
        tasks.append(_VehicleTask(requests, tuple(tuple(files[name]) for _, name in named)))
    return tasks


def _complete_look(look: Look, vehicle: int, seed: int) -> Look:
    """Fill in by chance what a vehicle's labels leave open."""
    rng = np.random.default_rng([seed, _LOOKS_STREAM, vehicle])
    colour = 1 + int(rng.choice(len(COLOURS), p=COLOUR_WEIGHTS))
    kind = 1 + int(rng.choice(len(TYPES), p=TYPE_WEIGHTS))
    return Look(look.colour or colour, look.type or kind)


def _positions(named: list[PictureNumbers]) -> list[tuple[int, float]]:
    """The passage (time stamp of its first picture) of each picture, and how far through it the picture is, 0 to 1."""
    passages: list[list[PictureNumbers]] = []
    for picture in named:  # sorted by camera, then time stamp
        last = passages[-1][-1] if passages else None
        if last is None or last.camera != picture.camera or picture.stamp - last.stamp > _LONGEST_GAP:
            passages.append([])
        passages[-1].append(picture)
    return [(passage[0].stamp, (rank + 0.5) / len(passage)) for passage in passages for rank, _ in enumerate(passage)]


def _run(tasks: list[_VehicleTask], folder: Path, processes: int) -> Generator[int, None, None]:
    """Draw the tasks; yield the number of files that each made."""
    if processes <= 1:
        for task in tasks:
            yield _draw_vehicle_task(task, folder)
        return
    with process_pool(processes, "draws") as pool:
        running = {pool.submit(_draw_vehicle_task, task, folder) for task in tasks}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _draw_vehicle_task(task: _VehicleTask, folder: Path) -> int:
    count = 0
    for request, files in zip(task.requests, task.files, strict=True):
        encoded = draw_picture(request)
        for name in files:
            (folder / name).write_bytes(encoded)
            count += 1
    return count


# --- the folder ------------------------------------------------------------------------------------------------------


@contextmanager
def _finished_or_absent(out: Path) -> Iterator[Path]:
    """Give a folder beside ``out`` to fill, which becomes ``out`` at the end and vanishes if something goes wrong."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SamecarError(f"{out} is there already and not empty; nothing is overwritten. Choose a new folder.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = out.parent / f".{out.name}-unfinished-{secrets.token_hex(4)}"
        folder.mkdir()
    except OSError as error:
        raise SamecarError(f"{out} cannot be made ({error}); choose a folder that you may write to.") from error
    try:
        yield folder
        if out.exists():
            out.rmdir()
        folder.rename(out)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise SamecarError(f"{out} could not be written ({error}); make room or choose another folder.") from error
        raise


def _summary(out: Path, lists: Lists, size: int, seed: int) -> DrawnSet:
    names = {name for split in SPLITS for name in lists.names(split)}
    return DrawnSet(
        path=out,
        vehicles=len({name[:4] for name in names}),
        cameras=len({name[5:9] for name in names}),
        train=len(lists.train),
        query=len(lists.query),
        gallery=len(lists.gallery),
        size=size,
        seed=seed,
    )


def _write_card(folder: Path, drawn: DrawnSet, *, twin: bool) -> None:
    """Leave a note that tells the set from a photographed one."""
    card = {"drawn_by": "samecar.drawing", "drawing_version": DRAWING_VERSION, "twin_of_lists": twin}
    card |= {key: value for key, value in asdict(drawn).items() if key != "path"}
    (folder / "drawn.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8", newline="\n")
