"""The rules under which each data set is scored, as data.

A rule says which gallery pictures are a match, junk or neither for a query, and which pictures make the gallery.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.labels import Labels

MATCH, JUNK, OTHER = 1, 0, -1

Junk = Literal["same vehicle and same camera", "none"]
JUNK_RULES: dict[str, Junk] = {"same-camera": "same vehicle and same camera", "none": "none"}
"""Rules of junk as the command line names them."""


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
        ranked: what a query is compared with: single pictures, or tracks, whose distance is that of their nearest
            picture.
        ignored: vehicle ids of gallery pictures that are junk to every query.
        never_matches: vehicle ids of gallery pictures that match no query, as those without an id do not.
        published: queries and gallery pictures that the data set's authors state; None where the rules fit any set.
    """

    name: str
    junk: Junk
    gallery: Literal["all", "one per vehicle"] = "all"
    draws: int = 1
    ranked: Literal["pictures", "tracks"] = "pictures"
    ignored: tuple[str, ...] = ()
    never_matches: tuple[str, ...] = ()
    published: tuple[int, int] | None = None

    @property
    def gallery_rule(self) -> str:
        """What is ranked, in words."""
        return self.gallery if self.gallery == "one per vehicle" else f"all {self.ranked}"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("plain", junk="same vehicle and same camera"),
        Protocol("veri776", junk="same vehicle and same camera", published=(1678, 11579)),
        Protocol("vehicleid", junk="none", gallery="one per vehicle", draws=10),
        Protocol("veri_wild", junk="same vehicle and same camera", published=(3000, 38861)),
        Protocol("veri_wild_medium", junk="same vehicle and same camera", published=(5000, 64389)),
        Protocol("veri_wild_large", junk="same vehicle and same camera", published=(10000, 128517)),
        Protocol("veri_wild_2", junk="same vehicle and same camera"),
        Protocol("veri776-track", junk="same vehicle and same camera", ranked="tracks", published=(1678, 11579)),
        Protocol(
            "market",
            junk="same vehicle and same camera",
            ignored=("-1", "-001", "-0001"),
            never_matches=("0", "000", "0000"),
        ),
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
    return PROTOCOLS[max(own, key=len)] if own else PROTOCOLS["plain"]


def with_junk(protocol: Protocol, rule: str | None) -> Protocol:
    """A protocol under another rule of junk, one of `JUNK_RULES`; the same one for None.

    Raises:
        SamecarError: there is no such rule.
    """
    if rule is None:
        return protocol
    if rule not in JUNK_RULES:
        raise SamecarError(f"unknown junk rule {rule!r}; known are {', '.join(JUNK_RULES)}")
    return replace(protocol, junk=JUNK_RULES[rule])


class Relevance:
    """What each gallery picture is to each query: 1 match, 0 junk, -1 other.

    A gallery picture without a vehicle id is a distractor: it is other to every query. A picture whose camera is
    unknown was not taken by the same camera as any other. Ids are compared as integers, made once.
    """

    def __init__(self, query: Labels, gallery: Labels, protocol: Protocol) -> None:
        vehicles = np.unique(np.concatenate([query.vehicle_id, gallery.vehicle_id]), return_inverse=True)[1]
        cameras = np.unique(np.concatenate([query.camera_id, gallery.camera_id]), return_inverse=True)[1]
        self._query_vehicles, gallery_vehicles = np.split(vehicles, [len(query)])
        self._query_cameras, self._gallery_cameras = np.split(cameras, [len(query)])
        self._query_cameras[query.camera_id == ""] = -1
        self._same_camera_is_junk = protocol.junk == "same vehicle and same camera"
        self._ignored = np.flatnonzero(np.isin(gallery.vehicle_id, protocol.ignored))
        asked = np.flatnonzero((gallery.vehicle_id != "") & ~np.isin(gallery.vehicle_id, protocol.never_matches))
        self._rows = asked[np.argsort(gallery_vehicles[asked], kind="stable")]  # one vehicle after the other
        sought = np.arange(vehicles.max(initial=-1) + 2)
        self._starts = np.searchsorted(gallery_vehicles[self._rows], sought)
        self._gallery = len(gallery)

    def of(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gallery rows that are matches of a query, and those that are junk."""
        vehicle = self._query_vehicles[query]
        same_vehicle = self._rows[self._starts[vehicle] : self._starts[vehicle + 1]]
        if not self._same_camera_is_junk:
            return same_vehicle, self._ignored
        same_camera = self._gallery_cameras[same_vehicle] == self._query_cameras[query]
        junk = same_vehicle[same_camera]
        return same_vehicle[~same_camera], np.concatenate([junk, self._ignored]) if len(self._ignored) else junk

    def __call__(self, queries: slice) -> NDArray[np.int8]:
        """Relevance of all gallery pictures to some queries, (queries, gallery)."""
        rows = range(*queries.indices(len(self._query_vehicles)))
        relevance = np.full((len(rows), self._gallery), OTHER, np.int8)
        for place, query in enumerate(rows):
            matches, junk = self.of(query)
            relevance[place, matches] = MATCH
            relevance[place, junk] = JUNK
        return relevance
