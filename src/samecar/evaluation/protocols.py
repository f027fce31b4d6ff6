"""The rules under which each data set is scored, as data.

A rule says which gallery pictures are a match, junk or neither for a query, and which pictures make the gallery.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError

MATCH, JUNK, OTHER = 1, 0, -1


@dataclass(frozen=True)
class Protocol:
    """How a data set is scored.

    Attributes:
        name: what people call it.
        junk: gallery pictures that are taken out of a query's ranking.
        gallery: 'all' ranks every gallery picture; 'one per vehicle' draws, for each of `draws`, one picture of every
            vehicle at random as the gallery and makes all other pictures the queries. Pictures without a vehicle id
            stay in the gallery.
        draws: random galleries over which scores are averaged.
    """

    name: str
    junk: Literal["same vehicle and same camera", "none"]
    gallery: Literal["all", "one per vehicle"] = "all"
    draws: int = 1


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("plain", junk="same vehicle and same camera"),
        Protocol("veri776", junk="same vehicle and same camera"),
        Protocol("vehicleid", junk="none", gallery="one per vehicle", draws=10),
        Protocol("veri_wild", junk="same vehicle and same camera"),
        Protocol("no-junk", junk="none"),
    )
}


def find_protocol(name: str) -> Protocol:
    """Gives a protocol by name.

    Raises:
        SamecarError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise SamecarError(f"unknown protocol {name!r}; known are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def default_protocol(source: str) -> Protocol:
    """Gives the protocol of a source, as in `veri776:PATH`; sources without one of their own are scored as 'plain'."""
    own = [name for name in PROTOCOLS if source.startswith(name)]
    return PROTOCOLS[own[0]] if own else PROTOCOLS["plain"]


@dataclass(frozen=True)
class Labels:
    """Who is seen by which camera, one entry for each picture.

    Attributes:
        vehicle_id: (pictures,).
        camera_id: (pictures,).
    """

    vehicle_id: NDArray[np.str_]
    camera_id: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.vehicle_id)

    def select(self, rows: NDArray[np.int64] | slice) -> "Labels":
        """The labels of some rows."""
        return Labels(self.vehicle_id[rows], self.camera_id[rows])


class Relevance:
    """What each gallery picture is to each query: 1 match, 0 junk, -1 other.

    A gallery picture without a vehicle id is a distractor: it is other to every query. Ids are compared as integers,
    made once; a chunk of queries is asked for at a time.
    """

    def __init__(self, query: Labels, gallery: Labels, protocol: Protocol) -> None:
        vehicles = np.unique(np.concatenate([query.vehicle_id, gallery.vehicle_id]), return_inverse=True)[1]
        cameras = np.unique(np.concatenate([query.camera_id, gallery.camera_id]), return_inverse=True)[1]
        self._query_vehicles, self._gallery_vehicles = np.split(vehicles, [len(query)])
        self._query_cameras, self._gallery_cameras = np.split(cameras, [len(query)])
        self._labelled = gallery.vehicle_id != ""  # (gallery,)
        self._junk = protocol.junk

    def __call__(self, queries: slice) -> NDArray[np.int8]:
        """Relevance of all gallery pictures to some queries, (queries, gallery)."""
        same_vehicle = (self._query_vehicles[queries, None] == self._gallery_vehicles) & self._labelled
        relevance = np.where(same_vehicle, np.int8(MATCH), np.int8(OTHER))
        if self._junk == "same vehicle and same camera":
            relevance[same_vehicle & (self._query_cameras[queries, None] == self._gallery_cameras)] = JUNK
        return relevance
