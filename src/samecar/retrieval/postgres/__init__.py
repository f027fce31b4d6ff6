"""Galleries on a PostgreSQL server with pgvector, which several services share."""

from samecar.errors import missing_library

try:
    from samecar.retrieval.postgres.connections import NoGalleryError
    from samecar.retrieval.postgres.engine import PostgresEngine
    from samecar.retrieval.postgres.tables import SpreadGalleryError, check_kind
except ImportError as error:
    library = (error.name or "").partition(".")[0]
    if not library.startswith(("psycopg", "pgvector")):
        raise
    raise missing_library("a gallery on PostgreSQL needs", library, "postgres") from error

__all__ = ["NoGalleryError", "PostgresEngine", "SpreadGalleryError", "check_kind"]
