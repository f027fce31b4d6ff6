"""Which servers a gallery is spread over, and the rule that says on which of them a picture lies."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, LiteralString, get_args

from pydantic import BaseModel, ConfigDict, Field

from samecar.errors import SamecarError, first_few
from samecar.retrieval.records import Filter, Sighting

STRIDE: Final = 1000
"""Numbers of entries on one server are so far apart: the last three digits of a number say where it was given."""

DIGITS: Final = 3
"""Hexadecimal digits of a content's own SHA-256 that decide on which server it lies."""

SLOTS: Final = tuple(f"{slot:0{DIGITS}x}" for slot in range(16**DIGITS))

ServerNumber = Annotated[int, Field(ge=1, lt=STRIDE)]


class Layout(BaseModel):
    """How a gallery is spread over servers.

    Attributes:
        by: 'content' spreads pictures evenly, 'camera' by their cameras.
        servers: addresses without passwords, by the numbers of the servers.
        cameras: number of the server that each camera's pictures lie on; only with the rule 'camera'.
        others: number of the server for pictures of all other cameras; None refuses them.
        settled: no picture may lie on another server than the rule says, so that a filter by camera need not ask all.
        leaving: server from which pictures are being moved.
        moving: numbers of the entries that are moved at this moment, and may lie on two servers.
        version: counts the changes of all but `moving`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["content", "camera"] = "content"
    servers: dict[ServerNumber, str]
    cameras: dict[str, ServerNumber] = {}
    others: ServerNumber | None = None
    settled: bool = True
    leaving: ServerNumber | None = None
    moving: tuple[int, ...] = ()
    version: int = 1

    def change(self, **changes: Any) -> "Layout":
        """A layout with other values, checked, of the next version.

        Raises:
            SamecarError: the rule names a server that is not there, or cameras that it does not go by.
        """
        changed = self.model_validate({**self.model_dump(), **changes, "version": self.version + 1})
        changed.check()
        return changed

    def check(self) -> None:
        """Raises SamecarError if the rule names a server that is not there, or cameras that it does not go by."""
        if self.by == "content" and (self.cameras or self.others is not None):
            raise SamecarError("pictures are spread by content, and cameras were named; say --by camera, or name none")
        if self.by == "camera" and not self.cameras and self.others is None:
            raise SamecarError("pictures are spread by camera, and no camera was named; name some, or --others")
        for number in (*self.cameras.values(), *([] if self.others is None else [self.others])):
            if number not in self.servers:
                known = ", ".join(map(str, self.servers))
                raise SamecarError(f"there is no server {number}; the servers are {known}, in the order of --over")

    def home(self, sighting: Sighting) -> int:
        """Number of the server that a picture belongs on.

        Raises:
            SamecarError: the rule does not say.
        """
        if self.by == "content":
            digest = hashlib.sha256(sighting.content.encode("utf-8", "surrogatepass")).hexdigest()
            return share_slots(tuple(self.servers))[digest[:DIGITS]]
        number = self.cameras.get(sighting.camera_id, self.others)
        if number is None:
            raise SamecarError(
                f"no server was named for pictures of camera {sighting.camera_id!r}; name one with `samecar gallery "
                f"spread`: --camera, or --others for all that are not listed; listed are {first_few(self.cameras, 10)}"
            )
        return number

    def can_answer(self, allowed: Filter) -> tuple[int, ...]:
        """Numbers of the servers that can hold an entry that a filter allows."""
        if self.by == "content" or not self.settled:
            return tuple(self.servers)
        if allowed.cameras:
            named = set(allowed.cameras) - set(allowed.not_cameras)
            homes = {self.cameras.get(camera, self.others) for camera in named}
        else:
            homes = {number for camera, number in self.cameras.items() if camera not in allowed.not_cameras}
            homes.add(self.others)
        return tuple(number for number in self.servers if number in homes)

    def strangers(self, number: int) -> tuple[LiteralString, Mapping[str, Any]]:
        """Which entries of a server belong on another one, as SQL, with its values by name."""
        if self.by == "content":
            own = [slot for slot, home in share_slots(tuple(self.servers)).items() if home == number]
            return "substr(encode(sha256(convert_to(content, 'UTF8')), 'hex'), 1, 3) <> ALL(%(own)s)", {"own": own}
        own = [camera for camera, home in self.cameras.items() if home == number]
        others = [camera for camera, home in self.cameras.items() if home != number]
        if self.others == number:
            return "camera_id = ANY(%(others)s)", {"others": others}
        return "camera_id <> ALL(%(own)s)", {"own": own}


RULES: Final = get_args(Layout.model_fields["by"].annotation)


@dataclass(frozen=True)
class Spreading:
    """How a gallery is to be spread; what is not given stays as it is.

    Attributes:
        over: address of a server's database that the gallery is spread over; servers are numbered in their order.
        by: whether the content of a picture or its camera says on which server it lies: content or camera; a new
            gallery goes by content.
        cameras: number of the server for pictures of a camera.
        others: number of the server for pictures of all cameras that are not listed; without it they are refused.

    Raises:
        SamecarError: there is no such rule.
    """

    over: tuple[str, ...] = ()
    by: Literal["content", "camera"] | None = None
    cameras: Mapping[str, int] = field(default_factory=dict)
    others: int | None = None

    def __post_init__(self) -> None:
        if self.by not in (None, *RULES):
            raise SamecarError(f"by is {self.by!r}; give {' or '.join(RULES)}")

    def change(self, layout: Layout) -> Layout:
        """The layout with another rule; whether it is settled is not looked up."""
        if self.by is None and not self.cameras and self.others is None:
            return layout
        by = self.by or layout.by
        kept = layout.cameras if by == layout.by else {}
        others = layout.others if by == layout.by and self.others is None else self.others
        return layout.change(by=by, cameras={**kept, **self.cameras}, others=others, settled=False)


@lru_cache(maxsize=16)
def share_slots(servers: tuple[int, ...]) -> Mapping[str, int]:
    """The server of each slot, by rendezvous hashing: a further server takes its share from all, and no other moves.

    Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    return {slot: max(servers, key=lambda number: _weight(slot, number)) for slot in SLOTS}


def _weight(slot: str, number: int) -> bytes:
    return hashlib.sha256(f"{slot} {number}".encode()).digest()


def first_free(taken: Iterable[int]) -> int:
    """The smallest number that no server has.

    Raises:
        SamecarError: there is none.
    """
    used = set(taken)
    for number in range(1, STRIDE):
        if number not in used:
            return number
    raise SamecarError(f"the gallery lies on {len(used):,} servers already; there are no more than {STRIDE - 1:,}")
