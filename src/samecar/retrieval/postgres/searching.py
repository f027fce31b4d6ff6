"""The nearest entries of a gallery's table: by looking at every one, or by an HNSW index."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector, Vector
from psycopg.types.json import Jsonb

from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.tables import Tables
from samecar.retrieval.records import EVERYTHING, Filter, Match

EVERY_ENTRY: Final = """
    SELECT id, greatest(-1, least(1, -(embedding::vector <#> %(query)s))) AS similarity FROM {entries}
    WHERE TRUE {condition} ORDER BY similarity DESC, id LIMIT %(top)s"""
"""`<#>` is the negative inner product, here of the query in single precision; no index answers this."""

BY_INDEX: Final = """
    SELECT id, greatest(-1, least(1, -(embedding::vector <#> %(query)s))) AS similarity FROM (
        SELECT id, embedding FROM {entries}
        WHERE TRUE {condition} ORDER BY embedding <#> %(rounded_query)s, id LIMIT %(top)s
    ) AS nearest ORDER BY similarity DESC, id"""
"""The index compares in half precision; what it finds is then compared as exact search does."""

CANDIDATES: Final = 100
"""Entries that an HNSW index keeps in view (`hnsw.ef_search`) unless the server sets more; pgvector's 40 miss more."""

FEW: Final = 5_000
"""Allowed entries up to which all are compared: the index would meet so few of them that it reads more pages."""

ALLOWED_UP_TO: Final = "SELECT count(*) FROM (SELECT FROM {entries} WHERE TRUE {condition} LIMIT %(limit)s) AS allowed"

LARGEST_ID: Final = 2**63 - 1  # a bigint


def condition(allowed: Filter) -> tuple[LiteralString, dict[str, Any]]:
    """A filter as the text of a statement on a gallery's tables, which follows another condition, with its values."""
    parts: list[LiteralString] = []
    if allowed.cameras:
        parts.append("AND camera_id = ANY(%(cameras)s)")
    if allowed.not_cameras:
        parts.append("AND camera_id <> ALL(%(not_cameras)s)")
    if allowed.after is not None:
        parts.append("AND time >= %(after)s")
    if allowed.before is not None:
        parts.append("AND time < %(before)s")
    if allowed.older is not None:
        parts.append("AND coalesce(time, {added}) < %(older)s")
    single = {name: values[0] for name, values in allowed.label_choices if len(values) == 1}
    others = [[name, values] for name, values in allowed.label_choices if single.get(name) != values[0]]
    if single:
        parts.append("AND labels @> %(labels)s")
    if others:
        parts.append(
            """AND NOT EXISTS (SELECT FROM jsonb_array_elements(%(choices)s) AS choice
            WHERE NOT coalesce(choice -> 1 ? (labels ->> (choice ->> 0)), false))"""
        )
    if allowed.not_ids:
        parts.append("AND id <> ALL(%(not_ids)s::bigint[])")
    return " ".join(parts), {
        "cameras": list(allowed.cameras),
        "not_cameras": list(allowed.not_cameras),
        "after": allowed.after,
        "before": allowed.before,
        "older": allowed.older,
        "labels": Jsonb(single),
        "choices": Jsonb(others),
        "not_ids": keep_possible_ids(allowed.not_ids),
    }


def keep_possible_ids(ids: Sequence[int]) -> list[int]:
    """Those numbers that an entry can have; the server knows no larger ones."""
    return [int(number) for number in ids if 0 < number <= LARGEST_ID]


def search_every_entry(
    cursor: Cursor, tables: Tables, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING
) -> list[list[Match]]:
    """The most similar allowed entries of each query; (queries, size)."""
    return _rank(cursor, tables, EVERY_ENTRY, queries, top, allowed)


def search_by_index(
    cursor: Cursor, tables: Tables, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING
) -> list[list[Match]]:
    """The same by an HNSW index, which goes on until the filter has let `top` pass.

    It gives up after `hnsw.max_scan_tuples` entries; what has found fewer than `top` by then looks at every entry. So
    does a search whose filter leaves few.
    """
    if allowed != EVERYTHING and _count_allowed(cursor, tables, allowed, FEW + 1) <= FEW:
        return search_every_entry(cursor, tables, queries, top, allowed)
    cursor.execute(
        """
        SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search',
            greatest(%s, nullif(current_setting('hnsw.ef_search', true), '')::integer)::text, true)
        """,
        [CANDIDATES],
    )
    found = _rank(cursor, tables, BY_INDEX, queries, top, allowed)
    short = [row for row, matches in enumerate(found) if len(matches) < top]
    for row, matches in zip(short, search_every_entry(cursor, tables, queries[short], top, allowed), strict=True):
        found[row] = matches
    return found


def _count_allowed(cursor: Cursor, tables: Tables, allowed: Filter, limit: int) -> int:
    text, values = condition(allowed)
    row = cursor.execute(
        tables.statement(ALLOWED_UP_TO, condition=tables.statement(text)), {**values, "limit": limit}
    ).fetchone()
    return int(row[0]) if row else 0


def _rank(
    cursor: Cursor, tables: Tables, text: LiteralString, queries: NDArray[np.float32], top: int, allowed: Filter
) -> list[list[Match]]:
    """Sends all queries at once, each a statement of its own, which the server may divide among its workers."""
    if not len(queries):
        return []
    text_of_filter, values = condition(allowed)
    statement = tables.statement(text, condition=tables.statement(text_of_filter))
    values["top"] = top
    each = [{"query": Vector(query), "rounded_query": HalfVector(query), **values} for query in queries]
    cursor.executemany(statement, each, returning=True)
    return [[Match(*row) for row in results.fetchall()] for results in cursor.results()]
