"""Measures how long galleries in a folder and on a PostgreSQL server take to answer, on the same embeddings.

    python benchmarks/engines.py postgresql://USER:PASSWORD@HOST:PORT/DATABASE

Makes galleries of drawn embeddings in a temporary folder and in that database, whose server should run on this machine,
and removes them at the end. An HNSW index is built much quicker where it fits into the server's memory for that:
append `?options=-c%20maintenance_work_mem%3D512MB` to the address. Writes results/engines.json.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from results import write_results

from samecar.retrieval.engine import FORMAT, Engine
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.postgres import PostgresEngine
from samecar.retrieval.records import EVERYTHING, Addition, Filter, GalleryFacts, Sighting
from samecar.retrieval.spread.engine import SpreadEngine

SIZE = 512
PICTURES = (10_000, 50_000, 100_000)
HNSW_UP_TO = 100_000
"""Pictures; building the index of more takes many minutes on two cores."""
PICTURES_OF_A_VEHICLE = 10
NOISE = 0.7
"""Deviation of a picture from its vehicle, whose own deviation is 1."""
CAMERAS = 20
QUERIES = 20
BATCH = 32
TOP = 20
PORTION = 5_000
"""Entries that are added at a time."""
SETTINGS = ("server_version", "shared_buffers", "maintenance_work_mem", "max_parallel_workers_per_gather")
"""Of the server, that stand in the results."""


def drawn_embeddings(random: np.random.Generator, pictures: int) -> NDArray[np.float32]:
    """(pictures, size) of length one, in groups as pictures of vehicles are."""
    vehicles = random.standard_normal((pictures // PICTURES_OF_A_VEHICLE, SIZE), np.float32)
    matrix = np.repeat(vehicles, PICTURES_OF_A_VEHICLE, axis=0)
    matrix += NOISE * random.standard_normal(matrix.shape, np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return random.permutation(matrix)


def fill(engine: Engine, matrix: NDArray[np.float32]) -> float:
    """Adds all in portions; gives the seconds."""
    began = time.perf_counter()
    for first in range(0, len(matrix), PORTION):
        engine.add(
            [
                Addition(Sighting(f"{row:064d}", camera_id=f"camera {row % CAMERAS}", time=float(row)), matrix[row])
                for row in range(first, min(first + PORTION, len(matrix)))
            ]
        )
    return time.perf_counter() - began


def milliseconds(work: Callable[[int], Any]) -> float:
    """Of the quickest of some calls, as others use the machine too."""
    seconds = []
    for number in range(QUERIES):
        began = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - began)
    return 1000 * min(seconds)


def latencies(engine: Engine, queries: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds of a single query, of one that a single camera may answer, and of each query of a batch."""

    def single(number: int, allowed: Filter = EVERYTHING) -> None:
        engine.search(queries[number : number + 1], TOP, allowed)

    def batch(_number: int) -> None:
        engine.search(queries[:BATCH], TOP)

    one_camera = Filter(cameras=("camera 7",))
    return {
        "single": milliseconds(single),
        "one_camera": milliseconds(lambda number: single(number, one_camera)),
        "in_batch": milliseconds(batch) / BATCH,
    }


@contextmanager
def server_gallery(address: str, facts: GalleryFacts) -> Iterator[PostgresEngine]:
    """An empty gallery that is removed at the end, with all others of that database."""
    with closing(PostgresEngine.create(address, "benchmark", facts)) as engine:
        try:
            yield engine
        finally:
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("DROP SCHEMA samecar CASCADE")


def server_bytes(address: str) -> int:
    """Of all tables and indexes of galleries."""
    with psycopg.connect(address) as connection:
        row = connection.execute(
            """
            SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
            WHERE relnamespace = 'samecar'::regnamespace AND relkind = 'r'
            """
        ).fetchone()
        assert row is not None
        return int(row[0])


def folder_bytes(folder: Path) -> int:
    """Of all files of a gallery."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def build_hnsw(engine: PostgresEngine | SpreadEngine) -> dict[str, Any]:
    """Makes an HNSW index; how long that took, and how much it finds of how many queries."""
    began = time.perf_counter()
    settings = engine.rebuild("hnsw")
    seconds = time.perf_counter() - began
    return {"building_seconds": seconds, "recall": settings.recall, "measured_on": settings.measured_on}


def measure(pictures: int, address: str, folder: Path) -> dict[str, Any]:
    """Both engines with this many pictures, and the HNSW index."""
    random = np.random.default_rng(0)
    matrix = drawn_embeddings(random, pictures + BATCH * PICTURES_OF_A_VEHICLE)
    queries, matrix = matrix[:BATCH], matrix[-pictures:]
    facts = GalleryFacts(format=FORMAT, model="drawn", size=SIZE, thumbnail=0, created="2026-01-01T00:00:00+00:00")
    record: dict[str, Any] = {"pictures": pictures}
    with closing(FolderEngine.create(folder, facts)) as engine:
        seconds = fill(engine, matrix)
        record["folder"] = {"adding_seconds": seconds, **latencies(engine, queries)}
    record["folder"]["bytes"] = folder_bytes(folder)
    with server_gallery(address, facts) as server:
        seconds = fill(server, matrix)
        record["server"] = {"adding_seconds": seconds, **latencies(server, queries), "bytes": server_bytes(address)}
        if pictures <= HNSW_UP_TO:
            built = build_hnsw(server)
            record["hnsw"] = {**built, **latencies(server, queries), "bytes": server_bytes(address)}
    return record


def main() -> None:
    """Measures each size and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of a database without galleries, on a server of this machine")
    address = parser.parse_args().address
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for pictures in PICTURES:
            sizes.append(measure(pictures, address, Path(folder) / str(pictures)))
            sys.stderr.write(f"{sizes[-1]}\n")
    with psycopg.connect(address) as connection:
        statement = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
        settings: dict[str, str] = dict(connection.execute(statement, [list(SETTINGS)]).fetchall())
    content = {"size": SIZE, "cameras": CAMERAS, "batch": BATCH, "top": TOP, "server": settings, "sizes": sizes}
    write_results("engines", content)


if __name__ == "__main__":
    main()
