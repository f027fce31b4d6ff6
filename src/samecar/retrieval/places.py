"""Where a gallery lies: a folder, or a server whose address is given as `--engine`."""

import re
from collections.abc import Mapping
from pathlib import Path

from samecar.errors import SamecarError
from samecar.retrieval.engine import NO_FILES, Engine
from samecar.retrieval.records import GalleryFacts

SERVER_SCHEMES = ("postgresql", "postgres")
"""How the address of a PostgreSQL server begins."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def create_engine(
    name: str,
    engine: str | None,
    facts: GalleryFacts,
    files: Mapping[str, bytes] = NO_FILES,
    group: str | None = None,
) -> Engine:
    """Makes an empty gallery.

    Args:
        name: a folder; with `engine` the gallery's name on that server.
        engine: address of a server, such as postgresql://user@host/database; None for a folder.
        facts: what it is.
        files: attached to it from the beginning, by name.
        group: whose members may use a folder too; None lets its owner alone.

    Raises:
        SamecarError: there is one already, the place cannot be written to, or a server was given a group.
    """
    if engine is None:
        from samecar.retrieval.folder.engine import FolderEngine

        return FolderEngine.create(Path(name), facts, files, group)
    if group is not None:
        raise SamecarError(f"--group is {group!r}, which only a gallery in a folder has; leave it out")
    check_address(engine)
    from samecar.retrieval.postgres import PostgresEngine

    return PostgresEngine.create(engine, name, facts, files)


def open_engine(name: str, engine: str | None = None, *, partial: bool = False) -> Engine:
    """Opens a gallery.

    Args:
        name: as in `create_engine`.
        engine: as in `create_engine`; of a gallery that is spread over servers the address of its coordinator.
        partial: goes on without servers of such a gallery that cannot be reached; `Engine.missing` names them.

    Raises:
        SamecarError: there is none, or it is damaged or cannot be reached, or it has no parts.
    """
    if engine is None:
        if partial:
            raise SamecarError("--partial is given, and a gallery in a folder has no parts; leave it out")
        from samecar.retrieval.folder.engine import FolderEngine

        return FolderEngine.open(Path(name))
    check_address(engine)
    from samecar.retrieval.postgres import PostgresEngine, SpreadGalleryError

    try:
        opened = PostgresEngine.open(engine, name)
    except SpreadGalleryError:
        from samecar.retrieval.spread.engine import SpreadEngine

        return SpreadEngine.open(engine, name, partial=partial)
    if partial:
        opened.close()
        raise SamecarError(f"--partial is given, and gallery {name!r} lies on one server; leave it out")
    return opened


def is_gallery(name: str) -> bool:
    """Whether a name is that of a folder in which a gallery lies."""
    from samecar.retrieval.folder.engine import FolderEngine

    return FolderEngine.is_in(Path(name))


def holds_gallery(name: str, engine: str | None = None) -> bool:
    """Whether there is a gallery; arguments as in `open_engine`.

    Raises:
        SamecarError: the server cannot be reached.
    """
    if engine is None:
        return is_gallery(name)
    check_address(engine)
    from samecar.retrieval.postgres import NoGalleryError

    try:
        open_engine(name, engine).close()
    except NoGalleryError:
        return False
    return True


def check_index(kind: str, engine: str | None, size: int) -> None:
    """Checks that galleries in a place can be searched in a way.

    Args:
        kind: of the index.
        engine: as in `create_engine`.
        size: numbers in an embedding.

    Raises:
        SamecarError: they cannot.
    """
    if engine is None:
        from samecar.retrieval.folder.engine import check_kind as check_folder_kind

        check_folder_kind(kind)
        return
    check_address(engine)
    from samecar.retrieval.postgres import check_kind

    check_kind(kind, size)


def check_address(engine: str) -> None:
    """Raises SamecarError if an address is not one of a PostgreSQL server."""
    scheme, mark, _ = engine.partition("://")
    if not mark or scheme not in SERVER_SCHEMES:  # the address itself may hold a password, and is not printed
        beginning = scheme + mark if mark and _SCHEME.fullmatch(scheme) else "no scheme"
        raise SamecarError(
            f"the engine's address begins with {beginning!r}; give one such as "
            "postgresql://user@host/database, or leave --engine out for a gallery in a folder"
        )
