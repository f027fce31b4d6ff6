"""VeRi-776's index files, checked against what the file names say, and its tracks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from samecar.data.listings import read_lines
from samecar.errors import first_few

INDEX_FILES: Final = {
    "match": ("gt_index.txt", "gt_image.txt"),
    "junk": ("jk_index.txt", "jk_image.txt"),
}
"""Rows of the same vehicle in other cameras, and in the query's own camera; two names are in use for each."""


def index_warnings(folder: Path, queries: Sequence[str], gallery: Sequence[str]) -> Iterator[str]:
    """Compares index files with file names.

    A line stands for a query, in the order of `name_query.txt`, and holds rows of the gallery sorted by name, counted
    from 1; file names are understood as well.

    Args:
        folder: where the files lie; those that are absent are not checked.
        queries: file names of the queries, in order.
        gallery: file names of the gallery, sorted.
    """
    by_vehicle: dict[str, list[str]] = {}
    for name in gallery:
        by_vehicle.setdefault(name[:4], []).append(name)
    for kind, file_names in INDEX_FILES.items():
        for path in (folder / name for name in file_names):
            if path.is_file():
                yield from _file_warnings(path, kind == "junk", queries, gallery, by_vehicle)


def _file_warnings(
    path: Path, same_camera: bool, queries: Sequence[str], gallery: Sequence[str], by_vehicle: dict[str, list[str]]
) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    while len(lines) > len(queries) and not lines[-1].strip():
        lines.pop()
    if len(lines) != len(queries):
        yield f"{path.name} has {len(lines):,} lines for {len(queries):,} queries; it is not checked"
        return
    wrong = []
    for query, line in zip(queries, lines, strict=True):
        expected = {name for name in by_vehicle.get(query[:4], ()) if (name[5:9] == query[5:9]) == same_camera}
        if {_name(entry, gallery) for entry in line.split()} != expected:
            wrong.append(query)
    if wrong:
        yield (
            f"{path.name} disagrees with the file names for {len(wrong):,} of {len(queries):,} queries; the names "
            f"count: {first_few(wrong)}"
        )


def _name(entry: str, gallery: Sequence[str]) -> str:
    if entry.isdecimal():
        return gallery[int(entry) - 1] if 1 <= int(entry) <= len(gallery) else entry
    return entry.replace("\\", "/").rpartition("/")[2]


def read_tracks(path: Path, gallery: Sequence[str], warnings: list[str]) -> dict[str, str]:
    """Reads `test_track.txt`: file name to track; empty if there is no file.

    Each line is one track: its name, then the names of its pictures. A track is called as its file says, without the
    suffix; a picture that stands in two lines belongs to the first.

    Args:
        path: the file.
        gallery: file names that count; others are passed over.
        warnings: sentences about tracks that mix vehicles or cameras, and about pictures in none, are added.
    """
    if not path.is_file():
        return {}
    known = set(gallery)
    tracks: dict[str, str] = {}
    mixed = []
    for line in read_lines(path):
        track, *rest = line.split()
        members = [name for name in (track, *rest) if name in known]
        if len({name[:9] for name in members}) > 1:
            mixed.append(track)
        for name in members:
            tracks.setdefault(name, track.removesuffix(".jpg"))
    if mixed:
        warnings.append(f"{len(mixed):,} tracks of {path.name} mix vehicles or cameras: {first_few(mixed)}")
    lost = [name for name in gallery if name not in tracks]
    if lost:
        warnings.append(f"{len(lost):,} pictures of gallery are in no track of {path.name}: {first_few(lost)}")
    return tracks
