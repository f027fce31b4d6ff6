"""Measures a gallery that is spread over one, two, ... PostgreSQL servers, on the same embeddings.

    PGPASSWORD=... python benchmarks/servers.py HEAD SERVER [SERVER ...] [--pictures 100000] [--hnsw]

All are addresses of databases without galleries, as postgresql://USER@HOST:PORT/DATABASE, without passwords; HEAD is
for the coordinator, and may lie on one of the servers. Beside what samecar does, which asks all servers at once and
merges, it measures foreign tables of postgres_fdw in HEAD, by turns in one process; for these the user must be allowed
to make that extension. All that was made is removed at the end. Where all servers run on one machine, they share its
cores, and several are no quicker than one. An HNSW index is built much quicker with more memory: append
`?options=-c%20maintenance_work_mem%3D512MB` to the servers' addresses. Writes results/servers.json, with more than
100,000 pictures results/servers-large.json.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import psycopg
from engines import (
    BATCH,
    CAMERAS,
    PICTURES_OF_A_VEHICLE,
    QUERIES,
    SETTINGS,
    SIZE,
    TOP,
    build_hnsw,
    drawn_embeddings,
    fill,
)
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from results import write_results

from samecar.retrieval.engine import FORMAT
from samecar.retrieval.postgres import PostgresEngine
from samecar.retrieval.records import EVERYTHING, Filter, GalleryFacts
from samecar.retrieval.spread.engine import SpreadEngine
from samecar.retrieval.spread.joining import spread_gallery
from samecar.retrieval.spread.layout import Spreading

NAME = "benchmark"
ONE_CAMERA = "camera 7"
LARGE = 100_000
"""Pictures beyond which the results have a file of their own."""
FEW_QUERIES = 5
"""Where there are more pictures."""
BATCH_PART = 5
"""Times as many single queries are made as batches."""

NEAREST = """
    SELECT id, -(embedding <#> %(query)s) FROM spread_entries WHERE TRUE {condition}
    ORDER BY embedding <#> %(query)s, id LIMIT %(top)s"""


@contextmanager
def spread(head: str, servers: list[str], facts: GalleryFacts) -> Iterator[SpreadEngine]:
    """An empty gallery over servers by camera, each with its share; all is removed at the end."""
    PostgresEngine.create(servers[0], NAME, facts).close()
    cameras = {f"camera {camera}": camera % len(servers) + 1 for camera in range(CAMERAS)}
    spread_gallery(NAME, head, Spreading(tuple(servers), by="camera", cameras=cameras))
    try:
        with closing(SpreadEngine.open(head, NAME)) as engine:
            yield engine
    finally:
        for address in (head, *servers):
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("DROP SCHEMA IF EXISTS samecar CASCADE")
                connection.execute("DROP EXTENSION IF EXISTS postgres_fdw CASCADE")
                connection.execute("DROP TABLE IF EXISTS spread_entries CASCADE")


@contextmanager
def foreign_tables(head: str, servers: list[str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the coordinator, where `spread_entries` stands for the entries on all servers."""
    with psycopg.connect(head, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
        connection.execute(
            sql.SQL("CREATE TABLE spread_entries (id bigint, camera_id text, embedding halfvec({}))").format(SIZE)
        )
        for number, address in enumerate(servers, 1):
            parts = conninfo_to_dict(address)
            with psycopg.connect(address) as server:
                row = server.execute("SELECT number FROM samecar.galleries WHERE name = %s", [NAME]).fetchone()
                server.execute("ANALYZE")
            assert row is not None
            connection.execute(
                sql.SQL(
                    """
                    CREATE SERVER {server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host {host}, port {port},
                        dbname {database}, extensions 'vector', async_capable 'true', fetch_size {top});
                    CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS (user {user}, password {password});
                    CREATE FOREIGN TABLE {table} () INHERITS (spread_entries) SERVER {server}
                        OPTIONS (schema_name 'samecar', table_name {entries})
                    """
                ).format(
                    server=sql.Identifier(f"server_{number}"),
                    host=str(parts["host"]),
                    port=str(parts.get("port", 5432)),
                    database=str(parts["dbname"]),
                    top=str(TOP),
                    user=str(parts["user"]),
                    password=os.environ.get("PGPASSWORD", ""),
                    table=sql.Identifier(f"spread_entries_{number}"),
                    entries=f"entries_{row[0]}",
                )
            )
        yield connection


def by_turns(ways: dict[str, Callable[[int], object]], turns: int) -> dict[str, float]:
    """Milliseconds of the quickest of some calls of each way, one way after the other, again and again."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(turns):
        for name, work in ways.items():
            began = time.perf_counter()
            work(number)
            seconds[name].append(time.perf_counter() - began)
    return {name: 1000 * min(times) for name, times in seconds.items()}


def latencies(
    engine: SpreadEngine, connection: psycopg.Connection[Any], queries: NDArray[np.float32], turns: int
) -> dict[str, dict[str, float]]:
    """Milliseconds by samecar and by foreign tables: of a query, of one for a single camera, and of each of a batch."""
    one_camera = Filter(cameras=(ONE_CAMERA,))

    def merge(number: int, allowed: Filter = EVERYTHING) -> object:
        return engine.search(queries[number : number + 1], TOP, allowed)

    def foreign(number: int, condition: str = "") -> object:
        statement = sql.SQL(NEAREST).format(condition=sql.SQL(condition))
        values = {"query": HalfVector(queries[number]).to_text(), "top": TOP, "camera": ONE_CAMERA}
        return connection.execute(statement, values).fetchall()

    single = by_turns({"merged": merge, "foreign": foreign}, turns)
    camera = by_turns(
        {
            "merged": lambda number: merge(number, one_camera),
            "foreign": lambda number: foreign(number, "AND camera_id = %(camera)s"),
        },
        turns,
    )
    batch = by_turns({"merged": lambda _: engine.search(queries[:BATCH], TOP)}, -(-turns // BATCH_PART))
    return {
        "merged": {
            "single": single["merged"],
            "one_camera": camera["merged"],
            "in_batch": batch["merged"] / BATCH,
        },
        "foreign": {"single": single["foreign"], "one_camera": camera["foreign"]},
    }


def measure(head: str, servers: list[str], pictures: int, hnsw: bool) -> dict[str, Any]:
    """A gallery of so many pictures over so many servers."""
    random = np.random.default_rng(0)
    matrix = drawn_embeddings(random, pictures + BATCH * PICTURES_OF_A_VEHICLE)
    queries, matrix = matrix[:BATCH], matrix[-pictures:]
    facts = GalleryFacts(format=FORMAT, model="drawn", size=SIZE, thumbnail=0, created="2026-01-01T00:00:00+00:00")
    record: dict[str, Any] = {"pictures": pictures, "servers": len(servers)}
    turns = QUERIES if pictures <= LARGE else FEW_QUERIES
    with spread(head, servers, facts) as engine:
        record["adding_seconds"] = fill(engine, matrix)
        record["on_each"] = [server.pictures for server in engine.servers()]
        with foreign_tables(head, servers) as connection:
            record["exact"] = latencies(engine, connection, queries, turns)
            if hnsw:
                record["hnsw"] = {**build_hnsw(engine), **latencies(engine, connection, queries, turns)}
    return record


def main() -> None:
    """Measures the first server, the first two, and so on, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", help="address of the coordinator's database")
    parser.add_argument("servers", nargs="+", help="addresses of the servers' databases")
    parser.add_argument("--pictures", type=int, default=LARGE)
    parser.add_argument("--hnsw", action="store_true", help="measure an HNSW index too")
    given = parser.parse_args()
    rows = []
    for count in range(1, len(given.servers) + 1):
        rows.append(measure(given.head, given.servers[:count], given.pictures, given.hnsw))
        sys.stderr.write(f"{rows[-1]}\n")
    with psycopg.connect(given.servers[0]) as connection:
        statement = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
        settings: dict[str, str] = dict(connection.execute(statement, [list(SETTINGS)]).fetchall())
    content = {"size": SIZE, "cameras": CAMERAS, "batch": BATCH, "top": TOP, "server": settings, "rows": rows}
    write_results("servers-large" if given.pictures > LARGE else "servers", content)


if __name__ == "__main__":
    main()
