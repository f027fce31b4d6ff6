"""What leaves a gallery: manifests, embeddings, and judgements as labels."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from samecar.data.manifest import COLUMNS, Manifest
from samecar.data.pictures import is_picture_name
from samecar.errors import SamecarError, first_few
from samecar.files import read_whole, write_file
from samecar.progress import Progress, silent
from samecar.retrieval.agreement import RUNTIME_FILE
from samecar.retrieval.engine import Engine, all_entries
from samecar.retrieval.gallery import CALIBRATION_FILE, WATCH_FILE
from samecar.retrieval.incoming import LABELS, refuse_other_model
from samecar.retrieval.judged import JudgedPicture, find_judged_pictures
from samecar.retrieval.records import CONTENT_MARK, TEXTS, Addition, Entry, Judgement, Sighting, picture_content
from samecar.retrieval.times import known_time_text

PAGE = 1000
"""Embeddings that are read together, and entries that are copied together, in one transaction of the target."""

NAMED = 20
"""Labels that cannot be written and are named; there is hardly a gallery with more."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        pictures: number of rows.
        warnings: a sentence for whatever could not be written, or contradicts itself.
    """

    pictures: int
    warnings: tuple[str, ...] = ()


def export_manifest(engine: Engine, path: Path) -> Exported:
    """Writes every entry as a row of a manifest's gallery.

    A picture is named where it lies. One that lies nowhere, such as an uploaded picture or a pooled track, or where
    something else lies now, is written into a folder beside the manifest, as large as the gallery keeps it.

    Args:
        engine: what keeps the gallery.
        path: .csv or .parquet.

    Raises:
        SamecarError: the gallery is empty, or the file cannot be written.
    """
    rows = _Rows(path)
    for entry in all_entries(engine):
        sighting = entry.sighting
        rows.add(sighting, sighting.vehicle_id, "gallery", partial(_find_largest, engine, entry.id))
    return rows.write("the gallery is empty")


def export_judgements(engine: Engine, path: Path) -> Exported:
    """Writes the pictures that were judged as a manifest, with the vehicles that follow from the judgements.

    Pictures whose vehicle is known are for training; others, only ever judged different, are unlabelled and gallery.

    Args:
        engine: what keeps the gallery.
        path: .csv or .parquet; pictures that lie nowhere are written beside it.

    Raises:
        SamecarError: nothing was judged, or the file cannot be written.
    """
    judged = find_judged_pictures(engine)
    rows = _Rows(path)
    for picture in judged.pictures:
        rows.add(picture.sighting, picture.vehicle_id, picture.split, partial(_find_small_picture, engine, picture))
    exported = rows.write("nothing was judged, or of no judged picture is there a file or a thumbnail")
    return Exported(exported.pictures, (*judged.contradictions, *exported.warnings))


def export_embeddings(engine: Engine, path: Path) -> Exported:
    """Writes every embedding with its row, as `samecar embed` does, for `samecar score` and others to read.

    Raises:
        SamecarError: the name does not end with .npz or .npy, the gallery is empty, or the file cannot be written.
    """
    from samecar.embedding.embeddings import Embeddings, refuse_name

    refuse_name(path)
    entries = list(all_entries(engine))
    if not entries:
        raise SamecarError("the gallery is empty; add pictures first")
    seen: set[str] = set()
    rows = []
    labels: set[str] = set()
    for entry in entries:
        labels.update(entry.sighting.labels, _find_without_column(entry.sighting))
        address = entry.sighting.address
        name = address if address and address not in seen else f"{entry.sighting.content}.jpg"
        seen.add(name)
        rows.append(make_manifest_row(entry.sighting, name, entry.sighting.vehicle_id, "gallery"))
    ids = [entry.id for entry in entries]
    matrix = np.empty((len(ids), engine.facts.size), np.float32)
    for first in range(0, len(ids), PAGE):
        matrix[first : first + PAGE] = engine.embeddings(ids[first : first + PAGE])
    Embeddings(matrix, Manifest.from_rows(path.parent, rows), engine.facts.model).save(path)
    return Exported(len(entries), _warn_of_labels(labels))


class _Rows:
    """Rows of a manifest, and the pictures that are written beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Mapping[str, str]] = []
        self._seen: set[str] = set()
        self._left_out: list[str] = []
        self._labels: set[str] = set()

    def add(self, sighting: Sighting, vehicle_id: str, split: str, thumbnail: Callable[[], bytes | None]) -> None:
        """Adds a picture where it lies, or else as the gallery keeps it; one that has neither is left out."""
        there = self._lies_there(sighting)
        name = sighting.address if there else self._write_thumbnail(sighting.content, thumbnail())
        if name is None:
            self._left_out.append(sighting.address or sighting.content)
            return
        self._seen.add(name)
        self._labels.update(sighting.labels, _find_without_column(sighting))
        self._rows.append(make_manifest_row(sighting, name, vehicle_id, split))

    def write(self, nothing: str) -> Exported:
        """Writes the manifest; `nothing` says why there is nothing to write."""
        if not self._rows:
            raise SamecarError(f"{nothing}; there is nothing to export to {self._path}")
        Manifest.from_rows(self._path.parent, self._rows).write(self._path)
        warnings = _warn_of_labels(self._labels)
        if self._left_out:
            left_out = f"{len(self._left_out):,} pictures are left out, since neither file nor thumbnail is there"
            warnings = (f"{left_out}: {first_few(self._left_out)}", *warnings)
        return Exported(len(self._rows), warnings)

    def _lies_there(self, sighting: Sighting) -> bool:
        path = Path(sighting.address)
        if not (is_picture_name(path.name) and path.is_absolute() and sighting.address not in self._seen):
            return False
        try:
            if sighting.content[:CONTENT_MARK] in path.name:  # a pooled track's, whose content is not that of one file
                return path.is_file()
            return picture_content(read_whole(path)) == sighting.content
        except OSError:
            return False

    def _write_thumbnail(self, content: str, picture: bytes | None) -> str | None:
        if picture is None:
            return None
        name = f"{self._path.stem}-pictures/{content}.jpg"
        with write_file(self._path.parent / name) as temporary:
            temporary.write_bytes(picture)
        return name


def _find_largest(engine: Engine, number: int) -> bytes | None:
    """The largest picture that a gallery keeps of an entry; None if it keeps none."""
    previews = engine.previews(number)
    return previews[0].picture if previews else engine.thumbnail(number)


def _find_small_picture(engine: Engine, picture: JudgedPicture) -> bytes | None:
    stored = None if picture.entry is None else _find_largest(engine, picture.entry.id)
    if stored:
        return stored
    judgements = engine.judgements(picture.content, pictures=True)
    return next((judgement.query_picture for judgement in judgements if judgement.query_picture), None)


def _find_without_column(sighting: Sighting) -> list[str]:
    """What is known of it, beside labels, that a manifest has no column for."""
    return [name for name in TEXTS if name not in COLUMNS and getattr(sighting, name)]


def _warn_of_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """A warning of those labels that a manifest has no column for."""
    names = sorted(set(labels) - set(LABELS))
    if not names:
        return ()
    sentence = f"a manifest has no column for these labels, which are left out: {first_few(names, NAMED)}"
    return (f"{sentence}; `samecar gallery copy` keeps them",)


def make_manifest_row(sighting: Sighting, path: str, vehicle_id: str, split: str) -> dict[str, str]:
    """A row of a manifest."""
    return {
        "path": path,
        **{name: getattr(sighting, name) for name in TEXTS if name in COLUMNS},
        "vehicle_id": vehicle_id,
        "split": split,
        "time": known_time_text(sighting.time) or "",
        **{name: sighting.labels.get(name, "") for name in LABELS},
    }


def copy_gallery(source: Engine, target: Engine, *, progress: Progress = silent) -> int:
    """Copies sightings, embeddings, pictures, judgements, the attached model and calibration, and the watch list.

    The source may be in use; what is added to it meanwhile may be missing, with its judgements.

    What the target holds already, pictures by content, judgements and files, stays as it is, so that a copy that was
    interrupted can be begun again.
    Entries get numbers of the target, in the order of the source's; judgements follow them.

    Returns:
        The number of entries that were new.

    Raises:
        SamecarError: the galleries are of different models, or an entry was removed just before it was copied.
    """
    from samecar.models.folders import KEPT_FILES

    refuse_other_model(source.facts.model, target.facts.model)
    for name in (*KEPT_FILES, CALIBRATION_FILE, RUNTIME_FILE, WATCH_FILE):
        if target.attached(name) is None and (content := source.attached(name)) is not None:
            target.attach(name, content)
    total = source.summary().pictures
    done = new = 0
    entries = all_entries(source, page=PAGE)
    while page := list(islice(entries, PAGE)):
        new += _copy_page(source, target, page)
        done += len(page)
        progress("copying", done, total)
    _copy_judgements(source, target)
    return new


def _copy_page(source: Engine, target: Engine, page: list[Entry]) -> int:
    known = target.known([entry.sighting.content for entry in page])
    missing = [entry for entry in page if entry.sighting.content not in known]
    if missing:
        matrix = source.embeddings([entry.id for entry in missing])
        keeps_previews = target.facts.preview > 0
        target.add(
            [
                Addition(
                    entry.sighting,
                    embedding,
                    source.thumbnail(entry.id),
                    tuple(source.previews(entry.id)) if keeps_previews else (),
                    entry.added,
                )
                for entry, embedding in zip(missing, matrix, strict=True)
            ]
        )
    return len(missing)


def contrary_warnings(source: Engine, target: Engine) -> Iterator[str]:
    """A sentence if judgements of a copy say otherwise than those that it was made of; both stay as they are."""
    numbers = _copied_numbers(source, target, judgements := source.judgements())
    held = {(judgement.query, judgement.entry): judgement.same for judgement in target.judgements()}
    contrary = sum(
        held.get((judgement.query, numbers.get(judgement.entry, 0)), judgement.same) is not judgement.same
        for judgement in judgements
    )
    if contrary:
        which = "1 judgement of the copy says" if contrary == 1 else f"{contrary:,} judgements of the copy say"
        yield f"{which} otherwise than the gallery that it was made of; each keeps its own, so look at them once more"


def _copied_numbers(source: Engine, target: Engine, judgements: Iterable[Judgement]) -> dict[int, int]:
    """The numbers in a copy of judged entries; without those that were removed meanwhile or added too late."""
    entries = source.entries(sorted({judgement.entry for judgement in judgements}))
    numbers = target.known([entry.sighting.content for entry in entries.values()])
    return {
        number: numbers[entry.sighting.content]
        for number, entry in entries.items()
        if entry.sighting.content in numbers
    }


def _copy_judgements(source: Engine, target: Engine) -> None:
    judgements = source.judgements()
    numbers = _copied_numbers(source, target, judgements)
    held = {(judgement.query, judgement.entry) for judgement in target.judgements()}
    for query, together in groupby(judgements, lambda judgement: judgement.query):
        pictures = {judgement.entry: judgement.query_picture for judgement in source.judgements(query, pictures=True)}
        for judgement in together:
            number = numbers.get(judgement.entry)
            if number is not None and (query, number) not in held:
                target.judge(Judgement(query, number, judgement.same, pictures.get(judgement.entry)))
