"""Inputs that are the same everywhere, and what is computed of them: by the code that saved, and by the code of today.

The functions that are asked are arguments, so that nothing here says in which module they lie.
"""

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from conftest import paint_picture
from numpy.typing import NDArray
from PIL import Image

Arrays = dict[str, NDArray[Any]]

SECONDS = 1_700_000_000
"""Time of the gallery's first picture; each later one was taken a minute after."""

PROTOCOLS = (
    "plain",
    "veri776",
    "vehicleid",
    "veri_wild",
    "veri_wild_medium",
    "veri_wild_large",
    "veri776-track",
    "market",
    "no-junk",
)

SCORED = {
    "plain": ("--cmc", "1,5,10"),
    "cosine": ("--distance", "cosine"),
    "rerank": ("--rerank", "5,2,0.3"),
    "query-expansion": ("--query-expansion", "2"),
    "database-augmentation": ("--database-augmentation", "2", "--distance", "cosine"),
    "all": ("--rerank", "4,3,0.5", "--query-expansion", "1", "--database-augmentation", "1"),
    "vehicleid": ("--protocol", "vehicleid"),
    "trapezoid": ("--junk", "none", "--interpolation", "trapezoid"),
}
"""Options of `samecar score`, by the name of what they gave."""

ASKED = {
    "everything": {},
    "one camera": {"cameras": ("c1",)},
    "not one camera": {"not_cameras": ("c0",)},
    "a time": {"after": SECONDS + 120.0, "before": SECONDS + 900.0},
    "a label": {"labels": {"lane": "1"}},
    "several": {"cameras": ("c0", "c1"), "after": SECONDS + 60.0, "labels": {"lane": "0"}, "not_ids": (3, 5)},
}
"""Filters of searches, by name."""

VEHICLES = {
    "sedan": {"kind": "sedan", "colour": "red", "size": 64},
    "truck": {"kind": "truck", "colour": 2, "vehicle": 7, "camera": 3, "position": 0.25, "size": 64, "seed": 5},
    "plain bus": {"kind": "bus", "colour": "white", "vehicle": 12, "size": 64, "plain": True},
}
"""Arguments of `draw_vehicle`, by name."""

DRAWN = {"vehicles": 4, "cameras": 3, "pictures": 1, "size": 48, "seed": 4, "workers": 1}
"""Arguments of `draw_set`."""


class Numbers(NamedTuple):
    """The functions that `computed` asks; `Screen`, `Labels` and `Labelled` make arguments of theirs."""

    distance_chunks: Callable[..., Any]
    nearest: Callable[..., Any]
    count_matches: Callable[..., Any]
    k_reciprocal_distances: Callable[..., Any]
    average_query_expansion: Callable[..., Any]
    database_augmentation: Callable[..., Any]
    most_similar: Callable[..., Any]
    screened_most_similar: Callable[..., Any]
    Screen: Any
    Labels: Any
    Labelled: Any
    find_protocol: Callable[..., Any]
    score: Callable[..., Any]


# pictures


def paint_set(root: Path) -> None:
    """Paints what was trained on, what was tested on, and others that it was calibrated on.

    Eight train vehicles and six test vehicles, v00 to v13, are seen by two cameras in two pictures each, and the first
    of a test vehicle's by each camera is a query as well; v20 to v43 are seen by two cameras in one picture each.
    """
    for vehicle in range(44):
        for camera in range(2):
            for index in range(1 if vehicle >= 20 else 2 if vehicle < 14 else 0):
                name = f"v{vehicle:02d}_c{camera}_{index}.png"
                folder = "others" if vehicle >= 20 else "set/train" if vehicle < 8 else "set/gallery"
                paint_picture(root / folder / name, vehicle, camera, index)
                if folder == "set/gallery" and index == 0:
                    paint_picture(root / "set" / "query" / name, vehicle, camera, index)


def source(root: Path) -> str:
    """What was trained and tested on."""
    return f"folder:{root}/set/{{split}}/{{vehicle_id}}_{{camera_id}}_*.png"


def other_source(root: Path) -> str:
    """What was calibrated on."""
    return f"folder:{root}/others/{{vehicle_id}}_{{camera_id}}_*.png"


def asked_pictures(root: Path) -> Iterator[tuple[str, Path]]:
    """Pictures that galleries are asked with, by name: of vehicles that they hold, and of one that they do not."""
    for vehicle, camera, index in ((9, 1, 7), (13, 0, 7), (20, 0, 7), (3, 1, 7)):
        name = f"v{vehicle:02d}_c{camera}_{index}"
        path = root / "asked" / f"{name}.png"
        paint_picture(path, vehicle, camera, index)
        yield name, path


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def files_of(folder: Path) -> dict[str, Path]:
    """All files below a folder, by their names in it."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def drawn_with() -> dict[str, Any]:
    """What decides the last bit of a drawn picture besides the code."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    return {
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "machine": platform.machine(),
        "processor": sorted(name for name, there in features.items() if there),
    }


# galleries


def described(entry: Any) -> dict[str, Any]:
    """An entry of a gallery as JSON."""
    return {"id": entry.id, **vars(entry.sighting), "labels": dict(entry.sighting.labels)}


def judged(word: Any) -> dict[str, Any]:
    """A judgement as JSON."""
    picture = word.query_picture
    return {**vars(word), "query_picture": None if picture is None else picture.decode()}


def thumbnails(gallery: Any) -> dict[str, str]:
    """Digests of thumbnails, by the number of their entries."""
    return {str(entry.id): digest_of(gallery.engine.thumbnail(entry.id)) for entry in gallery.engine.listed()}


def asked(gallery: Any, path: Path, allowed: Any) -> dict[str, Any]:
    """What a gallery finds for a picture."""
    with Image.open(path) as picture:
        return answered(gallery.search([picture.convert("RGB")], 5, allowed)[0])


def probability_of(found: Any) -> float:
    """The probability of the two pictures alone, which versions of before call `probability`."""
    return float(getattr(found, "pair_probability", found.probability))


def answered(answer: Any) -> dict[str, Any]:
    """What a search found as JSON, numbers to the last bit."""
    return {
        "found": [[found.entry.id, found.similarity.hex(), probability_of(found).hex()] for found in answer.found],
        "threshold": answer.threshold.hex(),
        "false_alarm_rate": answer.false_alarm_rate,
        "in_gallery": answer.in_gallery,
    }


# numbers


def drawn_embeddings(rows: int, size: int, vehicles: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings of vehicles, and which vehicle each is of; small fractions that float32 holds exactly.

    Every eighth is the same as the one before it, so that there are ties.
    """
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).integers(-64, 65, (vehicles, size))
    vehicle = generator.integers(0, vehicles, rows)
    matrix = (centres[vehicle] + generator.integers(-96, 97, (rows, size))) / 64
    matrix[8::8], vehicle[8::8] = matrix[7:-1:8], vehicle[7:-1:8]
    return matrix.astype(np.float32), vehicle


def halved_unit(matrix: NDArray[np.float32]) -> NDArray[np.float16]:
    """Rows of length one in half precision."""
    exact = matrix.astype(np.float64)
    return (exact / np.sqrt((exact * exact).sum(axis=1, keepdims=True))).astype(np.float16)


def computed(functions: Numbers, queries: int = 20, gallery: int = 150, size: int = 16, held: int = 3000) -> Arrays:
    """What the functions give, by name.

    Args:
        functions: that are asked.
        queries: number of them.
        gallery: number of embeddings that they are compared with.
        size: numbers in each.
        held: number of embeddings in half precision, of twice that size.
    """
    sides = drawn_embeddings(queries, size, 12, 1), drawn_embeddings(gallery, size, 12, 2)
    (asked, asked_vehicle), (stored, stored_vehicle) = sides
    even = np.arange(gallery) % 2 == 0
    found: Arrays = {}

    def relevant(query: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        same = np.flatnonzero(stored_vehicle == asked_vehicle[query])
        return same[same % 3 != 0], same[same % 3 == 0]

    for distance in ("euclidean", "cosine"):
        chunks = functions.distance_chunks(asked, stored, distance)
        found[f"{distance} distances"] = np.concatenate([chunk for _, chunk in chunks])
        ranking = functions.nearest(asked, stored, 10, distance=distance)
        found[f"{distance} nearest indices"], found[f"{distance} nearest distances"] = ranking
        ranking = functions.nearest(
            asked, stored, 10, distance=distance, excluded=lambda part: np.tile(even, (len(asked[part]), 1))
        )
        found[f"{distance} odd nearest indices"], found[f"{distance} odd nearest distances"] = ranking
        matches = functions.count_matches(asked, stored, relevant, distance=distance, pairs=True)
        for name in ("starts", "rows", "ranks", "distances"):
            found[f"{distance} matches {name}"] = getattr(matches, name)
        chunks = functions.k_reciprocal_distances(asked, stored, distance=distance, k1=8, k2=3, lambda_value=0.3)
        found[f"{distance} k-reciprocal"] = np.concatenate([chunk.copy() for _, chunk in chunks])
        found[f"{distance} expanded"] = functions.average_query_expansion(asked, stored, 3, distance=distance)
        found[f"{distance} augmented"] = functions.database_augmentation(stored, 3, distance=distance)

    codes = halved_unit(drawn_embeddings(held, 2 * size, 40, 3)[0])
    sought = halved_unit(drawn_embeddings(queries, 2 * size, 40, 4)[0]).astype(np.float32)
    ids = np.arange(held, dtype=np.int64) * 2 + 1
    for name, allowed in {"all": None, "most": ids % 5 != 0, "few": ids % 11 == 0}.items():
        for number in (1, queries):
            result = functions.most_similar(codes, ids, sought[:number], 5, allowed)
            found[f"{name} of {number} similar ids"], found[f"{name} of {number} similarities"] = result
        screen = functions.Screen.empty(2 * size)
        screen.follow(codes)
        result = functions.screened_most_similar(screen, codes, ids, sought, 5, allowed)
        found[f"{name} screened ids"], found[f"{name} screened similarities"] = result
    return found


def scored(functions: Numbers, queries: int = 40, gallery: int = 150, size: int = 16) -> dict[str, Any]:
    """What scoring gives under every protocol."""
    sides = []
    for number, seed in ((queries, 5), (gallery, 6)):
        matrix, vehicle = drawn_embeddings(number, size, 12, seed)
        row = np.arange(number)
        labels = functions.Labels(
            vehicle_id=np.where(row % 17 == 0, np.where(row % 2, "-1", "0000"), vehicle.astype(np.str_)),
            camera_id=np.char.add("c", (row % 4).astype(np.str_)),
            track_id=np.char.add("t", (row // 3).astype(np.str_)),
            type=np.where(vehicle % 3, "sedan", "van"),
            colour=np.where(vehicle % 2, "red", "blue"),
        )
        sides.append(functions.Labelled(matrix, labels))
    return {
        f"{name} {distance}": functions.score(*sides, functions.find_protocol(name), distance=distance).as_dict()
        for name in PROTOCOLS
        for distance in (("euclidean", "cosine") if name == "plain" else ("euclidean",))
    }


# comparing


def differences(ours: Any, theirs: Any, tolerance: float = 1e-6, place: str = "") -> list[str]:
    """Where two pieces of JSON differ; numbers with a fraction may differ by a tolerance."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if list(ours) != list(theirs):
            return [f"{place}: {sorted(set(ours) ^ set(theirs)) or 'another order'}"]
        return [line for key in ours for line in differences(ours[key], theirs[key], tolerance, f"{place}/{key}")]
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            return [f"{place}: {len(ours)} and {len(theirs)} values"]
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for number, pair in pairs for line in differences(*pair, tolerance, f"{place}/{number}")]
    if isinstance(ours, float) and isinstance(theirs, float):
        return [] if abs(ours - theirs) <= tolerance * max(1.0, abs(theirs)) else [f"{place}: {ours} and {theirs}"]
    return [] if ours == theirs else [f"{place}: {ours!r} and {theirs!r}"]
