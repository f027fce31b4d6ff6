"""How long a gallery keeps entries."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.retrieval.engine import Engine
from samecar.retrieval.records import Entry, Filter

SECONDS_A_DAY = 24 * 60 * 60


@dataclass
class Retention:
    """What becomes of entries that are too old.

    Attributes:
        older: seconds since 1970-01-01 UTC, before which they are.
        cameras: how many there are of each camera.
        undated: how many of them have no time of their own, so that their age counts from when they were added.
        remains: a sentence for each place where something of them remains, and until when.
    """

    older: float
    cameras: Counter[str] = field(default_factory=Counter)
    undated: int = 0
    remains: tuple[str, ...] = ()

    @property
    def entries(self) -> int:
        """How many there are."""
        return self.cameras.total()

    def count(self, page: list[Entry]) -> None:
        """Counts some more of them."""
        self.cameras.update(entry.sighting.camera_id for entry in page)
        self.undated += sum(entry.sighting.time is None for entry in page)


def days_ago(days: float) -> float:
    """The time so many days ago, in seconds since 1970-01-01 UTC.

    Raises:
        SamecarError: it is no number of days, or lies before the year 1970.
    """
    now = time.time()
    if not math.isfinite(days) or days <= 0 or days * SECONDS_A_DAY > now:
        raise SamecarError(f"{days:g} days cannot be kept; give a number above 0 that leads to no year before 1970")
    return now - days * SECONDS_A_DAY


def remove_older(
    engine: Engine,
    older: float,
    *,
    dry_run: bool = False,
    full: bool = False,
    progress: Progress = silent,
    go_on: Callable[[], bool] = lambda: True,
) -> Retention:
    """Removes every entry that is older, a page at a time, with all that is kept of it.

    The age of an entry counts from the time of the sighting or, where that is not known, from when it was added. What a
    gallery of before held when it was brought to a form that keeps the latter counts as added then.

    Args:
        engine: what keeps the gallery.
        older: seconds since 1970-01-01 UTC.
        dry_run: only counts what would be removed.
        full: has the gallery's files written anew, also where nothing was removed; see `Engine.compact`.
        progress: is told how many were removed.
        go_on: asked before each page; false ends it there, without compacting.

    Raises:
        SamecarError: the engine cannot remove them; what was removed until then stays so.
    """
    found, beyond = Retention(older), 0
    if not dry_run:
        engine.keep_dates()
    while go_on() and (page := engine.listed(Filter(older=older), beyond=beyond)):
        beyond = page[-1].id
        found.count(page)
        if not dry_run:
            engine.remove([entry.id for entry in page])
            progress("removing", found.entries, found.entries)
    if not dry_run and (found.entries or full) and go_on():
        found.remains = tuple(engine.compact(full=full, progress=progress))
    return found
