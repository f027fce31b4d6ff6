"""What is known of each picture of a set, as columns, and which pictures it makes matches of each other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError

Column = NDArray[np.str_]
Rows = NDArray[np.int64]

PLACEHOLDERS = frozenset(
    (
        "-",
        "--",
        "?",
        "??",
        "distractor",
        "junk",
        "n/a",
        "na",
        "nan",
        "none",
        "null",
        "undefined",
        "unidentified",
        "unk",
        "unknown",
        "unlabeled",
        "unlabelled",
    )
)
"""What people write, in small letters, in place of a vehicle that nobody knows; so is -1, however it is written."""

_MINUS_ONE = re.compile(r"[-−]0*1(\.0*)?")


def is_placeholder(name: str) -> bool:
    """Whether a vehicle's name says that nobody knows the vehicle.

    >>> is_placeholder("-1"), is_placeholder("Unknown"), is_placeholder(""), is_placeholder("0001")
    (True, True, False, False)
    """
    text = name.strip().casefold()
    return text in PLACEHOLDERS or _MINUS_ONE.fullmatch(text) is not None


def find_placeholders(vehicles: Column) -> NDArray[np.bool_]:
    """Which of some vehicles' names say that nobody knows the vehicle; (pictures,)."""
    written = [name for name in set(vehicles.tolist()) if is_placeholder(name)]
    return np.isin(vehicles, written) if written else np.zeros(len(vehicles), np.bool_)


def find_labelled(vehicles: Column) -> NDArray[np.bool_]:
    """Which of some vehicles are known: their name is neither "" nor a placeholder; (pictures,)."""
    labelled: NDArray[np.bool_] = (vehicles != "") & ~find_placeholders(vehicles)
    return labelled


def _unknown() -> Column:
    return np.empty(0, np.str_)


@dataclass(frozen=True)
class Labels:
    """What is known of each picture; "" is unknown, and a column that is not given is unknown altogether.

    Attributes:
        vehicle_id: (pictures,).
        camera_id: (pictures,).
        track_id: (pictures,) pictures of one passage by one camera.
        type: (pictures,) of the vehicle.
        colour: (pictures,) of the vehicle.
        path: (pictures,) by which a picture is recognised in another run.
        picture: (pictures,) the same for what is one picture, wherever it lies; the path if not given.
    """

    vehicle_id: Column
    camera_id: Column
    track_id: Column = field(default_factory=_unknown)
    type: Column = field(default_factory=_unknown)
    colour: Column = field(default_factory=_unknown)
    path: Column = field(default_factory=_unknown)
    picture: Column = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            column = getattr(self, name)
            if not len(column) and len(self.vehicle_id):
                filled = self.path if name == "picture" else np.full(len(self.vehicle_id), "")
                object.__setattr__(self, name, filled)
            elif column.shape != self.vehicle_id.shape:
                raise SamecarError(f"{name} has shape {column.shape}; vehicle_id has {self.vehicle_id.shape}")

    def __len__(self) -> int:
        return len(self.vehicle_id)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whose vehicle is known; (pictures,)."""
        return find_labelled(self.vehicle_id)

    def select(self, rows: Rows | NDArray[np.bool_] | slice) -> "Labels":
        """The labels of some rows."""
        return Labels(**{name: getattr(self, name)[rows] for name in _COLUMNS})

    def tracks(self) -> tuple[Rows, "Labels"]:
        """Which track each picture belongs to, (pictures,), and the labels of tracks, (tracks,).

        A track is what shares track, vehicle and camera; a picture without a track is one by itself.
        """
        alone = np.where(self.track_id == "", np.arange(len(self)).astype(np.str_), "")
        keys = np.stack([self.track_id, self.vehicle_id, self.camera_id, alone], axis=1)
        _, first, track = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return track.ravel(), self.select(first)

    @classmethod
    def concatenate(cls, parts: Sequence["Labels"]) -> "Labels":
        """The labels of several sets of pictures, one after the other."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS})


_COLUMNS = tuple(column.name for column in fields(Labels))
LABELS = tuple(name for name in _COLUMNS if name != "picture")
"""The columns that files hold."""


class MatchFinder:
    """Which gallery pictures are a match of a query, and which are junk to it; all others count against a model.

    A match shows the query's vehicle. A picture without a known vehicle matches nothing, and a query without one has
    no matches. Junk is what the query's camera saw of its vehicle; a picture whose camera is unknown was not taken by
    the same camera as any other. The query's own picture is junk to it in any case. Ids are compared as integers, made
    once.

    Args:
        query: labels of the queries.
        gallery: labels of what is ranked: pictures, or tracks.
        same_camera_is_junk: whether there is junk but for the query's own picture.
        ignored: vehicle ids of the gallery that are junk to every query.
        never_matches: vehicle ids of the gallery that match no query.
        tracks: which track each gallery picture belongs to, and their labels; where tracks are ranked.
    """

    def __init__(
        self,
        query: Labels,
        gallery: Labels,
        *,
        same_camera_is_junk: bool = True,
        ignored: Sequence[str] = (),
        never_matches: Sequence[str] = (),
        tracks: "tuple[Rows, Labels] | None" = None,
    ) -> None:
        units = gallery if tracks is None else tracks[1]
        vehicles = np.unique(np.concatenate([query.vehicle_id, units.vehicle_id]), return_inverse=True)[1]
        cameras = np.unique(np.concatenate([query.camera_id, units.camera_id]), return_inverse=True)[1]
        self._query_vehicles, unit_vehicles = np.split(vehicles, [len(query)])
        self._query_cameras, self._unit_cameras = np.split(cameras, [len(query)])
        self._query_cameras[query.camera_id == ""] = -1
        self._same_camera_is_junk = same_camera_is_junk
        self._ignored = np.flatnonzero(np.isin(units.vehicle_id, ignored))
        asked = np.flatnonzero(units.labelled & ~np.isin(units.vehicle_id, [*ignored, *never_matches]))
        self._rows = asked[np.argsort(unit_vehicles[asked], kind="stable")]  # one vehicle after the other
        self._starts = np.searchsorted(unit_vehicles[self._rows], np.arange(vehicles.max(initial=-1) + 2))
        self._own = _find_own(query.picture, gallery.picture, None if tracks is None else tracks[0])
        self.queries, self.units = len(query), len(units)

    def of(self, query: int) -> tuple[Rows, Rows]:
        """Gallery rows, or tracks, that are matches of a query, and those that are junk."""
        vehicle = self._query_vehicles[query]
        matches = self._rows[self._starts[vehicle] : self._starts[vehicle + 1]]
        junk = self._ignored
        if self._same_camera_is_junk:
            same_camera = self._unit_cameras[matches] == self._query_cameras[query]
            matches, of_camera = matches[~same_camera], matches[same_camera]
            junk = np.concatenate([of_camera, junk]) if len(junk) else of_camera
        if query in self._own:
            is_own = np.isin(matches, self._own[query])
            matches, junk = matches[~is_own], np.concatenate([matches[is_own], junk])
        return matches, junk


def _find_own(queries: Column, gallery: Column, tracks: Rows | None) -> dict[int, Rows]:
    """Gallery rows, or tracks, that hold a query's own picture, by the row of the query; "" is no picture."""
    asked: dict[str, list[int]] = {}
    for row, name in enumerate(queries.tolist()):
        asked.setdefault(name, []).append(row)
    asked.pop("", None)
    held: dict[str, set[int]] = {}
    for row, name in enumerate(gallery.tolist()):
        if name in asked:
            held.setdefault(name, set()).add(row if tracks is None else int(tracks[row]))
    return {query: np.array(sorted(units)) for name, units in held.items() for query in asked[name]}
