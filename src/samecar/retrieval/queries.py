"""Searching with files and stored entries by their names: each for itself, or all as views of one vehicle."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError
from samecar.retrieval.adding import BATCH_SIZE, THREADS, split_batches
from samecar.retrieval.answers import Answer
from samecar.retrieval.records import EVERYTHING, Filter, pool_embeddings

if TYPE_CHECKING:
    from samecar.retrieval.gallery import Gallery

STANDARD_INPUT = "-"
"""Stands for names on standard input."""

STORED = "id:"
"""Begins a query that is a stored picture's number."""


@dataclass(frozen=True)
class Query:
    """What is searched with.

    Attributes:
        name: as it was given: a picture's file, or id:42 for a stored one.
        id: number of the stored one; None for a file.
        picture: upright RGB; None for a stored one, and where the file is not read or cannot be.
        fault: why the file cannot be read, or that the stored one is not there; "" if all is well.
    """

    name: str
    id: int | None = None
    picture: Image.Image | None = None
    fault: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a query: its answer, which is None where its file cannot be read."""

    query: Query
    answer: Answer | None


@dataclass(frozen=True)
class SameOutcome:
    """What became of several views of one vehicle.

    Attributes:
        views: that were searched with, in their order.
        unreadable: those whose file cannot be read.
        answer: to all views together.
    """

    views: list[Query]
    unreadable: list[Query]
    answer: Answer


def is_several(names: list[str]) -> bool:
    """Whether names may stand for several queries, whatever their number turns out to be."""
    return len(names) != 1 or names[0] == STANDARD_INPUT or Path(names[0]).is_dir()


def find_queries(names: Iterable[str], lines: Iterable[str] = ()) -> Iterator[Query]:
    """The queries that names stand for, in their order; files are not read yet.

    Args:
        names: of pictures' files; of folders, whose pictures are taken as `samecar gallery add` takes them; id:42 for a
            stored one; or `-` for one name a line on standard input.
        lines: of standard input.

    Raises:
        SamecarError: a folder holds no picture or cannot be read, no line names one, or a number is none.
    """
    for name in names:
        if name == STANDARD_INPUT:
            inner = [line for line in (line.rstrip("\r\n") for line in lines) if line.strip()]
        elif Path(name).is_dir():
            inner = [str(Path(name, picture)) for picture in picture_names(Path(name))]
        else:
            inner = [name]
        if not inner:
            place = "standard input names" if name == STANDARD_INPUT else f"folder {name} holds"
            raise SamecarError(f"{place} no picture to search with; give a picture, a folder of them, or id:42")
        yield from map(_parse_query, inner)


def _parse_query(name: str) -> Query:
    if not name.startswith(STORED):
        return Query(name)
    digits = name.removeprefix(STORED)
    if not (digits.isascii() and digits.isdigit()):
        raise SamecarError(f"picture {name!r} names no stored picture; write its number, as in id:42")
    return Query(name, int(digits))


def search_each(
    gallery: "Gallery",
    queries: Iterable[Query],
    top: int = 20,
    allowed: Filter = EVERYTHING,
    prior: float | None = None,
) -> Iterator[Outcome]:
    """Searches with each query for itself, in their order; of their pictures one batch is in memory.

    Args:
        gallery: to search in.
        queries: any number; a stored one does not find itself.
        top: how many to find for each, 1 or more.
        allowed: which entries may be found.
        prior: as in `Gallery.search`.

    Raises:
        SamecarError: as in `Gallery.search`.
    """
    for batch in _read_batches(gallery, queries):
        pictures = [query.picture for query in batch if query.picture is not None]
        answers = iter(gallery.search(pictures, top, allowed, prior))
        for query in batch:
            if query.fault:
                yield Outcome(query, None)
            elif query.id is not None:
                yield Outcome(query, gallery.search_like(query.id, top, allowed, prior))
            else:
                yield Outcome(query, next(answers))


def search_same(
    gallery: "Gallery",
    queries: Iterable[Query],
    top: int = 20,
    allowed: Filter = EVERYTHING,
    prior: float | None = None,
) -> SameOutcome:
    """Searches once with several views of one vehicle, as `Gallery.search_views` does; stored ones find none of them.

    Of the views that it gives back the first one has its picture.

    Args:
        gallery: to search in.
        queries: the views.
        top: how many to find, 1 or more.
        allowed: which entries may be found.
        prior: as in `Gallery.search`.

    Raises:
        SamecarError: no view can be read, the views cancel each other out, or as in
            `Gallery.search`.
    """
    views: list[Query] = []
    unreadable: list[Query] = []
    parts: list[NDArray[np.float32]] = []
    for batch in _read_batches(gallery, queries):
        unreadable += [query for query in batch if query.fault]
        parts.append(gallery.model.embed([query.picture for query in batch if query.picture is not None]))
        stored = [query.id for query in batch if query.id is not None and not query.fault]
        parts.append(gallery.engine.embeddings(stored))
        views += [query for query in batch if not query.fault]
        views[1:] = [replace(view, picture=None) for view in views[1:]]
    if not views:
        raise SamecarError(f"no view can be read: {unreadable[0].fault}")
    ids = tuple(view.id for view in views if view.id is not None)
    others = replace(allowed, not_ids=(*allowed.not_ids, *ids))
    mean = pool_embeddings(np.concatenate(parts))
    return SameOutcome(views, unreadable, gallery.search_embeddings(mean[None], top, others, prior)[0])


def _read_batches(gallery: "Gallery", queries: Iterable[Query]) -> Iterator[list[Query]]:
    """The same queries with their pictures, batch by batch."""

    def read(query: Query) -> Query:
        if query.id is not None:
            return query
        try:
            return replace(query, picture=read_picture(Path(query.name), gallery.model.preprocessing.decoded_size))
        except UnreadablePictureError as error:
            return replace(query, fault=str(error))

    with ThreadPoolExecutor(THREADS, "pictures") as pool:
        for batch in split_batches(queries, BATCH_SIZE):
            numbers = [query.id for query in batch if query.id is not None]
            there = gallery.engine.entries(numbers) if numbers else {}
            known = [query if query.id is None or query.id in there else _strange(gallery, query) for query in batch]
            yield list(pool.map(read, known))


def _strange(gallery: "Gallery", query: Query) -> Query:
    """A query for an entry that is not there, with the fault that it has."""
    elsewhere = "; it may lie on a server that is missing" if gallery.missing else "; list its entries"
    return replace(query, fault=f"{gallery.name} has no entry {query.id}{elsewhere}")
