"""A gallery made anew with another model, from pictures that are still there, and switched over to.

Beside `garage` the embeddings gather in `garage.re-embedding`, itself a gallery, so that the work can be interrupted.
To switch over, a copy of `garage` with these embeddings is written, and takes its name in one step; the old one is
`garage.before` from then on. This is so in a folder, and on a PostgreSQL server.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.errors import SamecarError
from samecar.files import exchange_folders
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.adding import refuse_additions, split_batches
from samecar.retrieval.agreement import RUNTIME_FILE
from samecar.retrieval.binding import make_facts
from samecar.retrieval.engine import Engine, all_entries
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.replacing import write_with_embeddings
from samecar.retrieval.gallery import WATCH_FILE, Gallery, make_files
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.places import holds_gallery, open_engine
from samecar.retrieval.records import FIRST_OF_TRACK, Entry, GalleryFacts, crop_content, picture_content, track_content

if TYPE_CHECKING:
    from samecar.embedding.encoder import Encoder
    from samecar.retrieval.postgres import PostgresEngine

WORKING, READY, BEFORE = ".re-embedding", ".re-embedded", ".before"
"""Follow a gallery's name: where embeddings gather, what is about to take its name, and what had it before."""

PAGE = 1000
"""Entries that are looked up at a time."""


@dataclass(frozen=True)
class ReEmbedding:
    """How far a gallery is embedded with another model.

    Attributes:
        pictures: entries of the gallery.
        missing: a sentence for each that cannot be embedded, as its picture is not there any more.
    """

    pictures: int
    missing: list[str]

    @property
    def embedded(self) -> int:
        """Entries that have an embedding by the other model."""
        return self.pictures - len(self.missing)


@dataclass(frozen=True)
class _StoredPicture(Incoming):
    """The picture of an entry, which must still be the one that was added."""

    number: int = field(default=0, kw_only=True)

    @property
    def name(self) -> str:
        return f"{self.known.address or 'without an address'} (entry {self.number})"

    def read(self) -> bytes:
        if not self.known.address:
            raise UnreadablePictureError(self.name, "the gallery does not know where it lies")
        content = super().read()
        if picture_content(content) != self.known.content:
            raise UnreadablePictureError(self.name, "another picture lies there now")
        return content


def re_embed(
    name: str | Path,
    model: "Encoder",
    *,
    engine: str | None = None,
    workers: int | None = None,
    progress: Progress | bool | None = silent,
) -> ReEmbedding:
    """Embeds the pictures of a gallery with another model, beside it; the gallery itself is only read.

    What was embedded before is not embedded again, so that the same call goes on after an interruption.

    Args:
        name: folder of the gallery; with `engine` its name on that server.
        model: the other model.
        engine: address of a server; None for a folder.
        workers: threads that read and decode pictures; None as in `Gallery.add`.
        progress: True shows a bar; a function is told of every batch that is kept.

    Raises:
        SamecarError: there is no such gallery, it is spread over servers, it is of this model already, or embeddings of
            a third model lie beside it.
    """
    with (
        closing(_open_old(str(name), engine)) as old,
        _open_working(str(name), engine, old, model) as working,
        show_progress(progress) as report,
    ):
        tracks: list[Entry] = []
        added = working.add(
            _find_pictures(old, working.engine, tracks), total=old.summary().pictures, workers=workers, progress=report
        )
        missing = [*added.unreadable, *_embed_tracks(working, tracks, report)]
        return ReEmbedding(old.summary().pictures, missing)


def switch_over(
    name: str | Path,
    model: "Encoder",
    done: ReEmbedding,
    *,
    engine: str | None = None,
    calibration: bytes | None = None,
    progress: Progress | bool | None = silent,
) -> str:
    """Gives a gallery the embeddings of another model, in one step; nobody else should use it meanwhile.

    Entries keep their numbers and all that is known of them, with pictures and judgements; those whose pictures are
    missing are left out.

    Args:
        name: folder of the gallery; with `engine` its name on that server.
        model: the other model.
        done: what `re_embed` gave just before.
        engine: address of a server; None for a folder.
        calibration: what similarities of the other model mean, if that is known.
        progress: True shows bars.

    Returns:
        Folder or name of the gallery of before.

    Raises:
        SamecarError: something lies where the old gallery would, or pictures were added since.
    """
    name, before = str(name), _beside(str(name), engine, BEFORE)
    with closing(_open_old(name, engine)) as old, show_progress(progress) as report:
        kind = old.facts.index.kind
        with _open_working(name, engine, old, model) as working:
            facts, files = make_facts(model, old.facts.thumbnail, old.facts.preview), make_files(model, calibration)
            if (noted := working.engine.attached(RUNTIME_FILE)) is not None:
                files[RUNTIME_FILE] = noted
            if (watched := old.attached(WATCH_FILE)) is not None:  # of the old model, which whoever reads it is told
                files[WATCH_FILE] = watched
            if isinstance(old, FolderEngine):
                _switch_folder(old, working.engine, Path(before), facts, files, len(done.missing), report)
            else:
                from samecar.retrieval.postgres.replacing import replace_embeddings

                replace_embeddings(old, working.name, before, facts, files, len(done.missing))
        if kind != "exact" and engine is not None:
            with closing(open_engine(name, engine)) as made:
                made.rebuild(kind, report)
    return before


def _switch_folder(
    old: FolderEngine,
    working: Engine,
    before: Path,
    facts: GalleryFacts,
    files: Mapping[str, bytes],
    missing: int,
    report: Progress,
) -> None:
    folder = old.folder.absolute()
    ready = Path(_beside(str(folder), None, READY))
    for place in (ready, before):
        if place.exists():
            raise SamecarError(
                f"{place} is there, from a switch before this one or one that was interrupted; look with `samecar "
                f"gallery info {place}` what it is, and move or remove it"
            )
    with old.writing_alone():
        pages = _split_pages(old)
        refuse_additions(
            sum(len(page) - len(working.known([entry.sighting.content for entry in page])) for page in pages), missing
        )
        write_with_embeddings(old, ready, facts, files, lambda contents: _look_up(working, contents))
        if old.facts.index.kind != "exact":
            with closing(FolderEngine.open(ready)) as made:
                made.rebuild(old.facts.index.kind, report)
        exchange_folders(folder, ready)
        ready.rename(before)
    working.close()
    shutil.rmtree(_beside(str(folder), None, WORKING))


def _open_old(name: str, engine: str | None) -> "FolderEngine | PostgresEngine":
    """The gallery that is made anew.

    Raises:
        SamecarError: there is none, or it is spread over servers.
    """
    old = open_engine(name, engine)
    if isinstance(old, FolderEngine):
        return old
    from samecar.retrieval.postgres import PostgresEngine

    if isinstance(old, PostgresEngine):
        return old
    old.close()
    raise SamecarError(
        f"gallery {name!r} is spread over servers, and cannot be embedded anew as a whole; make it anew with `gallery "
        "create`, `gallery add` and `gallery spread`"
    )


def galleries_beside(name: str | Path) -> list[Path]:
    """Folders that this left beside a gallery: each holds what the gallery held once."""
    places = (Path(_beside(str(name), None, suffix)) for suffix in (WORKING, READY, BEFORE))
    return [place for place in places if place.exists()]


def _beside(name: str, engine: str | None, suffix: str) -> str:
    """Folder or name of a gallery that belongs to another one."""
    folder = Path(name).absolute()
    return str(folder.with_name(f"{folder.name}{suffix}")) if engine is None else f"{name}{suffix}"


def _open_working(name: str, engine: str | None, old: Engine, model: "Encoder") -> Gallery:
    """The gallery in which embeddings gather, made where it is not there yet.

    Raises:
        SamecarError: the old gallery is of this model already, or that one is of a third.
    """
    if model.digest == old.facts.model:
        raise SamecarError(f"{name} is of model {model.digest} already; name another one with --run")
    place = _beside(name, engine, WORKING)
    if not holds_gallery(place, engine):
        return Gallery.create(place, model, engine=engine, thumbnail=0)
    working = Gallery.open(place, engine=engine)
    if working.facts.model != model.digest:
        other = working.facts.model
        working.close()
        raise SamecarError(
            f"{place} holds embeddings of model {other}, not of {model.digest}; name that model, or remove "
            + ("the folder" if engine is None else "that gallery")
        )
    return working


def _find_pictures(old: Engine, working: Engine, tracks: list[Entry]) -> Iterator[Incoming]:
    """Pictures that are not embedded yet; entries of pooled tracks are put aside."""
    for page in _split_pages(old):
        known = working.known([entry.sighting.content for entry in page])
        for entry in page:
            if entry.sighting.content in known:
                continue
            if entry.sighting.pooled:
                tracks.append(entry)
            else:
                yield _StoredPicture(Path(entry.sighting.address), entry.sighting, number=entry.id)


def _embed_tracks(working: Gallery, tracks: Sequence[Entry], report: Progress) -> Iterator[str]:
    """Embeds pooled tracks by the crops that were written of them; gives a sentence for each that is missing."""
    for done, entry in enumerate(tracks, 1):
        try:
            working.add_pooled(entry.sighting, _read_crops(entry))
        except UnreadablePictureError as error:
            yield str(error)
        report("tracks", done, len(tracks))


def _read_crops(entry: Entry) -> list[Image.Image]:
    """The crops that a pooled track was made of, best first.

    Raises:
        UnreadablePictureError: they were not written, or are others now.
    """
    first, name = entry.sighting.address, f"of track {entry.sighting.track_id} (entry {entry.id})"
    if not first.endswith(FIRST_OF_TRACK):
        raise UnreadablePictureError(name, "no crops were written of it; ingest the film again")
    stem = first.removesuffix(FIRST_OF_TRACK)
    crops = [read_picture(Path(first))]
    while (path := Path(f"{stem}-{len(crops) + 1}.png")).is_file():
        crops.append(read_picture(path))
    if track_content([crop_content(np.asarray(crop)) for crop in crops]) != entry.sighting.content:
        raise UnreadablePictureError(name, f"its crops {stem}-*.png are not those that it was made of")
    return crops


def _look_up(working: Engine, contents: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    known = working.known(contents)
    return dict(zip(known, working.embeddings(list(known.values())), strict=True))


def _split_pages(engine: Engine) -> Iterator[list[Entry]]:
    return split_batches(all_entries(engine, page=PAGE), PAGE)
