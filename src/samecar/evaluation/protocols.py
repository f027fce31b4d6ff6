"""The rules under which each data set is scored, as data.

A rule says which gallery pictures are a match, junk or neither for a query, and which pictures make the gallery.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.labels import Labels, MatchFinder

MATCH, JUNK, OTHER = 1, 0, -1

Junk = Literal["same vehicle and same camera", "none"]
JUNK_RULES: dict[str, Junk] = {"same-camera": "same vehicle and same camera", "none": "none"}
"""Rules of junk as the command line names them."""


@dataclass(frozen=True)
class Protocol:
    """How a data set is scored.

    Attributes:
        name: what people call it.
        junk: gallery pictures that are taken out of a query's ranking. The query's own picture always is.
        gallery: 'all' ranks every gallery picture; 'one per vehicle' draws, for each of `draws`, one picture of every
            vehicle at random as the gallery and makes all other pictures the queries. Pictures whose vehicle is not
            known stay in the gallery.
        draws: random galleries over which scores are averaged.
        ranked: what a query is compared with: single pictures, or tracks, whose distance is that of their nearest
            picture.
        ignored: vehicle ids of gallery pictures that are junk to every query.
        never_matches: vehicle ids of gallery pictures that match no query, as those of unknown vehicles do not.
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


def refuse_trackless(track_id: NDArray[np.str_], protocol: Protocol) -> None:
    """Refuses to rank tracks where no gallery picture, (pictures,), has one.

    Raises:
        SamecarError: so it is.
    """
    if protocol.ranked == "tracks" and not (track_id != "").any():
        raise SamecarError(
            f"protocol {protocol.name!r} ranks tracks, and no gallery picture has a track_id; give them, or choose a "
            "protocol that ranks pictures, such as veri776"
        )


class Relevance(MatchFinder):
    """What each gallery picture is to each query under a protocol: 1 match, 0 junk, -1 other; see `MatchFinder`.

    Args:
        query: labels of the queries.
        gallery: labels of the gallery's pictures.
        protocol: the rules.
        tracks: which track each gallery picture belongs to, and their labels, as `Labels.tracks` gives them; tracks
            are then judged in place of pictures.
    """

    def __init__(
        self,
        query: Labels,
        gallery: Labels,
        protocol: Protocol,
        tracks: tuple[NDArray[np.int64], Labels] | None = None,
    ) -> None:
        super().__init__(
            query,
            gallery,
            same_camera_is_junk=protocol.junk == "same vehicle and same camera",
            ignored=protocol.ignored,
            never_matches=protocol.never_matches,
            tracks=tracks,
        )

    def __call__(self, queries: slice) -> NDArray[np.int8]:
        """Relevance of all gallery pictures to some queries, (queries, gallery)."""
        rows = range(*queries.indices(self.queries))
        relevance = np.full((len(rows), self.units), OTHER, np.int8)
        for place, query in enumerate(rows):
            matches, junk = self.of(query)
            relevance[place, matches] = MATCH
            relevance[place, junk] = JUNK
        return relevance
