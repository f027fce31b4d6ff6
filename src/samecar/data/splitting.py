"""Holding out vehicles, for a test set or for choosing a model; seeded, and whatever the rows' order the same."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import Manifest
from samecar.data.placeholders import describe_placeholders, without_placeholders
from samecar.errors import SamecarError, check_seed, first_few


def split_by_identity(
    manifest: Manifest, held_out: float, seed: int = 1, query_cameras: Sequence[str] | None = None
) -> Manifest:
    """Makes a test set of some of the vehicles; the others are for training.

    Of each vehicle that is held out, one random picture of each camera is a query, and every picture is in the gallery,
    as in VeRi-776: what a camera saw of the query's own vehicle is junk and does not count. With `query_cameras`, all
    pictures of these cameras are queries and those of the others the gallery.

    Only vehicles that two cameras saw can be matched; others stay in train, and a warning says how many. In a set
    without any cameras all pictures of vehicles with two or more are gallery, for protocols that draw it at random.

    Args:
        manifest: labelled pictures, all of them in split train. Those whose vehicle_id names no vehicle, such as -1,
            are left out, and a warning counts them.
        held_out: share of the vehicles (below 1) or their number.
        seed: the same seed, 0 or more, holds out the same vehicles.
        query_cameras: names of cameras.

    Returns:
        The pictures with their new splits; a picture that is query and gallery stands in two rows.

    Raises:
        SamecarError: the manifest has a test set already or unlabelled pictures, `held_out` or a camera is not
            possible, or no vehicle can be held out.
    """
    query_cameras = query_cameras or ()
    left_out = describe_placeholders(manifest)
    manifest = without_placeholders(manifest)
    _check_splittable(manifest, seed, query_cameras)
    rows_of = _rows_of_vehicles(manifest)
    wanted = _wanted(held_out, len(rows_of))
    no_cameras = not (manifest.camera_id != "").any()
    matchable = [
        vehicle
        for vehicle, rows in rows_of.items()
        if (len(rows) > 1 if no_cameras else _can_match(manifest.camera_id[rows], query_cameras))
    ]
    if not matchable:
        raise SamecarError(
            "no vehicle can be held out: each is seen by one camera only, or not by a query camera and another one; "
            "check the camera names, or take a set in which cameras share vehicles"
        )
    generator = np.random.default_rng(seed)
    chosen = sorted(generator.permutation(matchable)[:wanted].tolist())
    splits: dict[str, list[int]] = {"train": [], "query": [], "gallery": []}
    for vehicle in chosen:
        rows = rows_of.pop(vehicle)
        is_query = _queries(manifest.camera_id[rows], query_cameras, no_cameras, generator)
        splits["query"] += rows[is_query].tolist()
        splits["gallery"] += rows[~is_query].tolist() if query_cameras else rows.tolist()
    splits["train"] = np.concatenate([*rows_of.values()]).tolist() if rows_of else []
    warnings = _warnings(len(rows_of) + len(chosen) - len(matchable), wanted - len(chosen), no_cameras)
    if left_out:
        warnings.insert(0, f"left out: {left_out}")
    return replace(_assign_splits(manifest, splits), warnings=(*manifest.warnings, *warnings))


def hold_out_validation(manifest: Manifest, share: float, seed: int = 1) -> tuple[Manifest, Manifest]:
    """Parts training pictures into those to train on and a small test set on which to choose a model.

    Args:
        manifest: labelled pictures, all of them in split train.
        share: of the vehicles, above 0 and below 1.
        seed: 0 or more.

    Returns:
        Train pictures of most vehicles; query and gallery pictures of the others.

    Raises:
        SamecarError: as in `split_by_identity`.
    """
    divided = split_by_identity(manifest, share, seed)
    return divided.of_split("train"), divided.select(divided.split != "train")


def make_test_set(manifest: Manifest, seed: int = 1) -> Manifest:
    """Makes a test set of all vehicles that can be matched, by the rule of `split_by_identity`; others are left out.

    Args:
        manifest: labelled pictures, all of them in split train.
        seed: 0 or more, of the choice of queries.

    Returns:
        Query and gallery pictures; empty if no vehicle can be matched.
    """
    no_cameras = not (manifest.camera_id != "").any()
    if not len(manifest):
        return manifest
    generator = np.random.default_rng(seed)
    splits: dict[str, list[int]] = {"query": [], "gallery": []}
    for rows in _rows_of_vehicles(manifest).values():
        cameras = manifest.camera_id[rows]
        if len(rows) > 1 if no_cameras else _can_match(cameras, ()):
            splits["query"] += rows[_queries(cameras, (), no_cameras, generator)].tolist()
            splits["gallery"] += rows.tolist()
    return _assign_splits(manifest, splits)


def _check_splittable(manifest: Manifest, seed: int, query_cameras: Sequence[str]) -> None:
    if not (manifest.vehicle_id != "").any():
        raise SamecarError(
            "no picture has a vehicle_id; give the pattern of the file names, as in "
            "folder:crops/{vehicle_id}_{camera_id}.jpg"
        )
    counts = manifest.split_counts
    if counts["query"] or counts["gallery"]:
        raise SamecarError(
            f"the set already has {counts['query']:,} query and {counts['gallery']:,} gallery pictures; "
            "only a set whose pictures are all labelled and in split train can be split"
        )
    unlabelled = manifest.path[manifest.vehicle_id == ""].tolist()
    if unlabelled:
        raise SamecarError(
            f"{len(unlabelled):,} pictures have no vehicle_id: {first_few(unlabelled)}; label them first"
        )
    check_seed(seed)
    cameras = np.unique(manifest.camera_id).tolist()
    unknown = [camera for camera in query_cameras if camera not in cameras]
    if unknown:
        raise SamecarError(f"query camera {unknown[0]!r} took no picture; cameras are {first_few(cameras, 20)}")


def _wanted(held_out: float, vehicles: int) -> int:
    number = max(1, round(held_out * vehicles)) if 0 < held_out < 1 else held_out
    if not 1 <= number < vehicles or number != int(number):
        raise SamecarError(
            f"{held_out} of {vehicles} vehicles cannot be held out; give a share between 0 and 1 "
            f"or a number from 1 to {vehicles - 1} that leaves some to train on"
        )
    return int(number)


def _rows_of_vehicles(manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """Rows of each vehicle, vehicles and pictures sorted by name."""
    order = np.lexsort((manifest.path, manifest.vehicle_id))
    vehicles, starts = np.unique(manifest.vehicle_id[order], return_index=True)
    return dict(zip(vehicles.tolist(), np.split(order, starts[1:]), strict=True))


def _can_match(cameras: NDArray[np.str_], query_cameras: Sequence[str]) -> bool:
    if not query_cameras:
        return len(np.unique(cameras)) > 1
    is_query = np.isin(cameras, query_cameras)
    return bool(is_query.any() and not is_query.all())


def _queries(
    cameras: NDArray[np.str_], query_cameras: Sequence[str], no_cameras: bool, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Which pictures of a vehicle are queries; (pictures,)."""
    if query_cameras:
        return np.isin(cameras, query_cameras)
    is_query = np.zeros(len(cameras), dtype=bool)
    if not no_cameras:
        for camera in np.unique(cameras):
            is_query[generator.choice(np.flatnonzero(cameras == camera))] = True
    return is_query


def _assign_splits(manifest: Manifest, splits: dict[str, list[int]]) -> Manifest:
    parts = [manifest.select(sorted(rows)) for rows in splits.values()]
    named = [replace(part, split=np.full(len(part), split)) for split, part in zip(splits, parts, strict=True)]
    return Manifest.concatenate(named)


def _warnings(unmatchable: int, short: int, no_cameras: bool) -> list[str]:
    warnings = []
    if unmatchable:
        reason = "have one picture only" if no_cameras else "cannot be matched between cameras"
        warnings.append(f"{unmatchable:,} vehicles {reason} and stay in train")
    if short > 0:
        warnings.append(f"{short:,} vehicles fewer than asked for are held out, since no more can be matched")
    if no_cameras:
        warnings.append("the set tells no cameras: all held-out pictures are gallery, from which queries are drawn")
    return warnings
