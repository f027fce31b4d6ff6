"""One answer of those of several servers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from samecar.retrieval.records import (
    LISTED_VALUES,
    CameraSummary,
    Entry,
    IndexSettings,
    LabelValue,
    Match,
    Summary,
    group_values,
)


def merge_matches(found: Iterable[Sequence[Match]], top: int) -> list[Match]:
    """The most similar of all, equal ones in the order of their numbers; an entry that two servers found is one."""
    matches = {match.id: match for part in found for match in part}
    return sorted(matches.values(), key=lambda match: (-match.similarity, match.id))[:top]


def merge_entries(pages: Iterable[Sequence[Entry]], limit: int) -> list[Entry]:
    """The first entries of all pages in the order of their numbers."""
    entries = {entry.id: entry for page in pages for entry in page}
    return sorted(entries.values(), key=attrgetter("id"))[:limit]


def join_indexes(indexes: Sequence[IndexSettings]) -> IndexSettings:
    """How all servers are searched together.

    Recall is the mean of what the servers keep, by their pictures: the same on all of them where it was measured on the
    whole gallery. Where some servers are searched otherwise than the rest, nothing is known of it.
    """
    kinds = {index.kind for index in indexes}
    pictures = sum(index.pictures for index in indexes)
    if len(kinds) > 1:
        return IndexSettings(kind=max(kinds - {"exact"}), pictures=pictures)
    measured = [(index.recall, index.pictures) for index in indexes if index.recall is not None]
    weighed = sum(count for _, count in measured)
    # a server with a single picture has nothing to measure; one with many whose recall is unknown tells of it
    unknown = any(index.recall is None and index.pictures > 1 for index in indexes)
    recall = None if unknown or not weighed else sum(recall * count for recall, count in measured) / weighed
    return IndexSettings(
        kind=kinds.pop() if kinds else "exact",
        recall=recall,
        measured_on=sum(index.measured_on for index in indexes),
        pictures=pictures,
    )


def join_summaries(found: Iterable[tuple[Summary, set[str]]], twice: Iterable[tuple[Entry, int]]) -> Summary:
    """How much all servers hold.

    Args:
        found: what each holds, and the names of its vehicles.
        twice: entries that two servers hold, and how many judgements there are of each.
    """
    cameras: dict[str, CameraSummary] = {}
    vehicles: set[str] = set()
    judgements = 0
    for summary, names in found:
        vehicles |= names
        judgements += summary.judgements
        for camera in summary.cameras:
            cameras[camera.camera_id] = _join_cameras(cameras.get(camera.camera_id), camera)
    for entry, judged in twice:
        name = entry.sighting.camera_id
        cameras[name] = cameras[name]._replace(pictures=cameras[name].pictures - 1)
        judgements -= judged
    pictures = sum(camera.pictures for camera in cameras.values())
    return Summary(pictures, len(vehicles), judgements, tuple(cameras[name] for name in sorted(cameras)))


def join_label_values(
    found: Sequence[Mapping[str, Sequence[LabelValue]]], twice: Iterable[Entry]
) -> dict[str, list[LabelValue]]:
    """The values that labels have on all servers.

    Args:
        found: what each server says of its own; a label without values has more than are listed.
        twice: entries that two servers hold.
    """
    names = sorted({name for part in found for name in part})[:LISTED_VALUES]
    rows: list[tuple[str, str | None, int | None]] = []
    for name in names:
        counts: Counter[str] = Counter()
        for part in found:
            counts.update({one.value: one.pictures for one in part.get(name, ())})
        counts.subtract(entry.sighting.labels[name] for entry in twice if name in entry.sighting.labels)
        listed = all(part[name] for part in found if name in part) and len(counts) <= LISTED_VALUES
        rows += [(name, value, count) for value, count in counts.items()] if listed else [(name, None, None)]
    return group_values(rows)


def _join_cameras(one: CameraSummary | None, other: CameraSummary) -> CameraSummary:
    if one is None:
        return other
    firsts = [time for time in (one.first, other.first) if time is not None]
    lasts = [time for time in (one.last, other.last) if time is not None]
    pictures = one.pictures + other.pictures
    return CameraSummary(one.camera_id, pictures, min(firsts, default=None), max(lasts, default=None))
