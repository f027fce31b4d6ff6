"""What a set of pictures holds and what is wrong with it, before anybody trains on it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from samecar.data.inspecting import Inspection, inspect_files
from samecar.data.manifest import SPLITS, Manifest
from samecar.data.placeholders import describe_placeholders
from samecar.data.sources.opening import as_manifest
from samecar.data.spelling import label_warnings, similar_paths
from samecar.labels import Labels, MatchFinder, find_placeholders
from samecar.progress import Progress, show_progress, silent

Severity = Literal["error", "warning", "note"]

NEAR_DUPLICATE_BITS: Final = 4
"""Two pictures whose 64-bit perceptual hashes (ImageHash's phash) differ in at most this many bits look alike.

That finds copies that were saved again, resized, or brightened a little. Of 513,591 pairs of real crops of different
pictures two are as close: such a pair is one to look at, not a proof.
"""

SMALL_SIDE: Final = 32
"""A picture with a shorter side of fewer pixels shows hardly more than a colour."""

_PAIRS_AT_A_TIME: Final = 8_000_000


@dataclass(frozen=True)
class SplitSummary:
    """What one split holds.

    Attributes:
        pictures: rows.
        vehicles: distinct ones, unlabelled pictures aside.
        cameras: distinct ones, unknown ones aside.
        unlabelled: pictures without a vehicle.
        fewest: pictures of the vehicle that has the fewest; 0 without vehicles.
        median: pictures of a vehicle.
        most: pictures of the vehicle that has the most.
    """

    pictures: int
    vehicles: int
    cameras: int
    unlabelled: int
    fewest: int
    median: float
    most: int


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know about a set.

    Attributes:
        kind: a short name that stays the same.
        severity: 'error' spoils results, 'warning' is to be looked at, 'note' is normal but worth knowing.
        sentence: what was found.
        count: how many pictures, vehicles or queries it is about.
        examples: all of them.
    """

    kind: str
    severity: Severity
    sentence: str
    count: int = 1
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """Summary and findings; errors come first."""

    source: str
    splits: Mapping[str, SplitSummary]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "source": self.source,
            "ok": self.ok,
            "splits": {name: asdict(summary) for name, summary in self.splits.items()},
            "findings": [asdict(finding) | {"examples": list(finding.examples)} for finding in self.findings],
        }


def check(
    manifest: Manifest | str | Path, workers: int | None = None, progress: Progress | bool | None = silent
) -> CheckResult:
    """Looks at every picture of a manifest once and at all of its labels.

    Args:
        manifest: what to check; a manifest, or a source such as `veri776:PATH`.
        workers: processes that read pictures; as many as there are cores if not given.
        progress: is told how many files were read; True shows a bar.
    """
    manifest = as_manifest(manifest)
    paths, file_of_row = np.unique(manifest.path, return_inverse=True)
    with show_progress(progress) as report:
        files = inspect_files([manifest.root / path for path in paths.tolist()], workers, report)
    facts = _Facts(manifest, [files[file] for file in file_of_row.tolist()])
    findings = [finding for look_for in _CHECKS for finding in look_for(facts)]
    order: tuple[Severity, ...] = ("error", "warning", "note")
    findings.sort(key=lambda finding: order.index(finding.severity))
    splits = {split: _summary(manifest.of_split(split)) for split in SPLITS}
    return CheckResult(manifest.source, splits, tuple(findings))


@dataclass(frozen=True)
class _Facts:
    """A manifest, one inspection for each of its rows, and what the checks look up in them again and again."""

    manifest: Manifest
    inspections: list[Inspection]

    @cached_property
    def is_train(self) -> NDArray[np.bool_]:
        """(pictures,)."""
        return np.asarray(self.manifest.split == "train")

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(pictures,)."""
        return self.manifest.labelled

    @cached_property
    def tells_cameras(self) -> bool:
        """Whether any picture has a camera."""
        return bool((self.manifest.camera_id != "").any())

    @cached_property
    def digests(self) -> NDArray[np.str_]:
        """(pictures,) of the files' bytes; the path where there are none, so that it equals no other."""
        pairs = zip(self.inspections, self.manifest.path.tolist(), strict=True)
        return np.array([inspection.digest or f"path {path}" for inspection, path in pairs], dtype=np.str_)

    @cached_property
    def same_bytes(self) -> list[NDArray[np.int64]]:
        """Rows of each content that several rows share."""
        order = np.argsort(self.digests, kind="stable")
        starts = np.unique(self.digests[order], return_index=True)[1]
        return [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]

    def paths(self, rows: Iterable[int]) -> list[str]:
        """Paths of rows, each once."""
        return list(dict.fromkeys(self.manifest.path[list(rows)].tolist()))


def _summary(manifest: Manifest) -> SplitSummary:
    labelled = manifest.labelled
    vehicles, counts = np.unique(manifest.vehicle_id[labelled], return_counts=True)
    return SplitSummary(
        pictures=len(manifest),
        vehicles=len(vehicles),
        cameras=len(np.unique(manifest.camera_id[manifest.camera_id != ""])),
        unlabelled=int((~labelled).sum()),
        fewest=int(counts.min(initial=counts.max(initial=0))),
        median=float(np.median(counts)) if len(counts) else 0.0,
        most=int(counts.max(initial=0)),
    )


def _finding(kind: str, severity: Severity, sentence: str, names: list[str]) -> Iterator[Finding]:
    """One finding, or none if there are no names; their number follows `sentence`."""
    if names:
        yield Finding(kind, severity, f"{sentence}: {len(names):,}", len(names), tuple(names))


# --- files -----------------------------------------------------------------------------------------------------------


def _source_warnings(facts: _Facts) -> Iterator[Finding]:
    for sentence in dict.fromkeys((*facts.manifest.warnings, *label_warnings(facts.manifest))):
        yield Finding("source", "warning", sentence)


def _unreadable(facts: _Facts) -> Iterator[Finding]:
    rows = range(len(facts.manifest))
    missing = facts.paths(row for row in rows if facts.inspections[row].missing)
    alike = similar_paths(facts.manifest.root, missing)
    named = [f"{path} (there is {alike[path]})" if path in alike else path for path in missing]
    yield from _finding("missing", "error", "pictures that are not there", named)
    reasons = {facts.manifest.path[row]: facts.inspections[row].reason for row in rows if facts.inspections[row].reason}
    named = [f"{path} ({reason})" for path, reason in reasons.items()]
    yield from _finding("unreadable", "error", "pictures that cannot be read", named)


def _small(facts: _Facts) -> Iterator[Finding]:
    rows = [
        row for row, seen in enumerate(facts.inspections) if seen.width and min(seen.width, seen.height) < SMALL_SIDE
    ]
    sentence = f"pictures with a side shorter than {SMALL_SIDE} pixels"
    yield from _finding("small", "warning", sentence, facts.paths(rows))


def _grey_bits(facts: _Facts) -> Iterator[Finding]:
    bits = {facts.manifest.path[row]: seen.grey_bits for row, seen in enumerate(facts.inspections) if seen.grey_bits}
    sentence = "grey pictures in files of 16 bits that seem to have fewer, and are made brighter by that"
    yield from _finding("grey bits", "warning", sentence, [f"{path} ({taken} bits)" for path, taken in bits.items()])


def _several_frames(facts: _Facts) -> Iterator[Finding]:
    rows = [row for row, seen in enumerate(facts.inspections) if seen.first_of_several]
    sentence = "files with several frames or pages, of which only the first is used"
    yield from _finding("several frames", "warning", sentence, facts.paths(rows))


# --- labels ----------------------------------------------------------------------------------------------------------


def _unlabelled(facts: _Facts) -> Iterator[Finding]:
    vehicles = facts.manifest.vehicle_id
    yield from _finding(
        "unlabelled", "note", "pictures without a vehicle_id", facts.paths(np.flatnonzero(vehicles == ""))
    )
    rows = np.flatnonzero(find_placeholders(vehicles))
    if len(rows):
        examples = tuple(facts.paths(rows))
        yield Finding("placeholders", "warning", describe_placeholders(facts.manifest), len(rows), examples)
    if not facts.tells_cameras:
        yield Finding("no cameras", "note", "the set tells no cameras; pictures are not compared between them")


def _vehicles_in_both(facts: _Facts) -> Iterator[Finding]:
    vehicles = facts.manifest.vehicle_id
    both = np.intersect1d(vehicles[facts.is_train & facts.labelled], vehicles[~facts.is_train & facts.labelled])
    sentence = "vehicles in both train and test, whose scores say nothing about vehicles never seen"
    yield from _finding("vehicles in train and test", "error", sentence, both.tolist())


def _rare_vehicles(facts: _Facts) -> Iterator[Finding]:
    """Vehicles that only one camera saw, or that have one picture only, in train and in test."""
    severity: Severity
    for part, rows, severity in (("train", facts.is_train, "note"), ("test", ~facts.is_train, "warning")):
        chosen = rows & facts.labelled
        if facts.tells_cameras:
            names = _with_one(facts.manifest.vehicle_id[chosen], facts.manifest.camera_id[chosen])
            yield from _finding("one camera", severity, f"vehicles in {part} that one camera only saw", names)
        names = _with_one(facts.manifest.vehicle_id[chosen], facts.digests[chosen])
        yield from _finding("one picture", severity, f"vehicles in {part} with one picture only", names)


def _with_one(vehicles: NDArray[np.str_], values: NDArray[np.str_]) -> list[str]:
    """Vehicles that come with one value only."""
    vehicle_numbers, value_numbers = (np.unique(column, return_inverse=True)[1] for column in (vehicles, values))
    pairs = np.unique(np.stack([vehicle_numbers, value_numbers]), axis=1)  # (2, distinct pairs)
    names = np.unique(vehicles)
    chosen: list[str] = names[np.bincount(pairs[0], minlength=len(names)) == 1].tolist()
    return chosen


def _unmatched_queries(facts: _Facts) -> Iterator[Finding]:
    """Queries that no evaluation can score: only the picture itself, or what its own camera saw, is in the gallery."""
    manifest = facts.manifest
    labels = Labels(manifest.vehicle_id, manifest.camera_id, picture=facts.digests)
    queries = np.flatnonzero(manifest.split == "query")
    finder = MatchFinder(labels.select(queries), labels.select(manifest.split == "gallery"))
    unmatched = [row for place, row in enumerate(queries.tolist()) if not len(finder.of(place)[0])]
    severity: Severity = "error" if len(unmatched) == len(queries) else "warning"
    wanted = (
        "a picture of their vehicle by another camera" if facts.tells_cameras else "another picture of their vehicle"
    )
    sentence = f"queries without {wanted} in the gallery"
    yield from _finding("unmatched queries", severity, sentence, facts.paths(unmatched))


# --- copies ----------------------------------------------------------------------------------------------------------


def _identical(facts: _Facts) -> Iterator[Finding]:
    leaks, conflicts, repeats, in_gallery = [], [], [], []
    for rows in facts.same_bytes:
        shared = " = ".join(facts.paths(rows.tolist()))
        vehicles = {facts.manifest.vehicle_id[row] for row in rows}
        cameras = {facts.manifest.camera_id[row] for row in rows}
        splits = facts.manifest.split[rows].tolist()
        if "train" in splits and set(splits) != {"train"}:
            leaks.append(shared)
        elif len(vehicles) > 1 or len(cameras) > 1:
            conflicts.append(shared)
        elif len(set(splits)) < len(splits):
            repeats.append(shared)
        else:
            in_gallery.append(shared)
    yield from _finding("identical in train and test", "error", "pictures in both train and test, byte for byte", leaks)
    sentence = "pictures that are there again, byte for byte, as another vehicle or camera"
    yield from _finding("identical with other labels", "error", sentence, conflicts)
    yield from _finding(
        "identical in a split", "warning", "pictures that are several times in one split, byte for byte", repeats
    )
    sentence = "query pictures that are in the gallery too, as the same vehicle and camera: junk for their query"
    yield from _finding("query in gallery", "note", sentence, in_gallery)


def _near_duplicates(facts: _Facts) -> Iterator[Finding]:
    looks = [inspection.look for inspection in facts.inspections]
    readable = np.array([inspection.width > 0 for inspection in facts.inspections], dtype=bool)
    has_look = np.array([look is not None for look in looks], dtype=bool)
    hashes = np.array([look or 0 for look in looks], dtype=np.uint64)
    sentence = "pictures that show nothing but an even area, which are not compared"
    yield from _finding("featureless", "warning", sentence, facts.paths(np.flatnonzero(readable & ~has_look).tolist()))
    train = np.flatnonzero(facts.is_train & has_look)
    test = np.flatnonzero(~facts.is_train & has_look)
    test = test[~np.isin(facts.digests[test], facts.digests[train])]
    pairs = {
        facts.digests[row]: f"{facts.manifest.path[row]} ~ {facts.manifest.path[other]} ({bits} bits)"
        for row, other, bits in _close_pairs(hashes, test, train)
    }
    sentence = (
        f"test pictures that may be copies of a train picture, with {NEAR_DUPLICATE_BITS} or fewer different bits "
        "of 64 in their perceptual hashes"
    )
    yield from _finding("near-duplicates", "warning", sentence, list(pairs.values()))


def _close_pairs(
    hashes: NDArray[np.uint64], rows: NDArray[np.int64], others: NDArray[np.int64]
) -> Iterator[tuple[int, int, int]]:
    """Each row that looks like one of the others, with the nearest of them and the bits in which they differ."""
    if not len(others):
        return
    at_a_time = max(1, _PAIRS_AT_A_TIME // len(others))
    for start in range(0, len(rows), at_a_time):
        part = rows[start : start + at_a_time]
        bits = np.bitwise_count(hashes[part, None] ^ hashes[None, others])  # (part, others)
        nearest = bits.argmin(axis=1)
        for position in np.flatnonzero(bits.min(axis=1) <= NEAR_DUPLICATE_BITS).tolist():
            other = nearest[position]
            yield int(part[position]), int(others[other]), int(bits[position, other])


_CHECKS = (
    _unreadable,
    _vehicles_in_both,
    _identical,
    _unmatched_queries,
    _near_duplicates,
    _source_warnings,
    _rare_vehicles,
    _small,
    _grey_bits,
    _several_frames,
    _unlabelled,
)
