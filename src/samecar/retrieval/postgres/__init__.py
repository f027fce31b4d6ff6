"""Galleries on a PostgreSQL server with pgvector, which several services share."""

from samecar.errors import SamecarError

try:
    from samecar.retrieval.postgres.engine import PostgresEngine
    from samecar.retrieval.postgres.tables import check_kind
except ImportError as error:
    if not (error.name or "").startswith(("psycopg", "pgvector")):
        raise
    raise SamecarError('a gallery on PostgreSQL needs psycopg and pgvector; pip install "samecar[postgres]"') from error

__all__ = ["PostgresEngine", "check_kind"]
