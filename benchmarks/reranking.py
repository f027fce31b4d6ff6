"""Time and memory of k-reciprocal re-ranking, against the matrix product alone and a plain implementation.

    python benchmarks/reranking.py
    python benchmarks/reranking.py --quick
    nice python benchmarks/reranking.py --queries 10000 --gallery 128517 --plain-up-to 0 --repeats 1 --result NAME

For each gallery size a fresh process draws embeddings and then measures, in turn, the product of all pictures with all
pictures (float32, in tiles, each result thrown away), the re-ranking of this package, and, where it fits, a plain
dense implementation of the paper that was written for this benchmark. The shortest of the repeats counts. Memory is
the highest resident memory (Linux) during the call, less that before it: embeddings and interpreter are not in it; the
peak of the whole process stands beside it. Writes results/reranking.json, in NAME.json if another is given.
"""

import argparse
import multiprocessing
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from measuring import measured, resident
from numpy.typing import NDArray
from results import write_results

from samecar.similarity.products import unit_length
from samecar.similarity.reranking import KReciprocal, k_reciprocal_distances

Matrix = NDArray[np.float32]

TILE = 2048
WHOLE_PRODUCT_UP_TO = 40_000
"""Pictures above which only every eighth row of the product's tiles is computed, and the time multiplied."""

LATENT = 128
"""Dimensions in which the drawn embeddings differ most, as those of trained models fill few of theirs."""

PICTURES_PER_VEHICLE = 20


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1678, help="VeRi-776 has 1,678")
    parser.add_argument("--gallery", type=int, nargs="+", default=[1500, 3000, 6000, 11579], help="VeRi-776 has 11,579")
    parser.add_argument("--width", type=int, default=2048, help="of the embeddings")
    parser.add_argument("--plain-up-to", type=int, default=11579, help="largest gallery for the plain implementation")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", default="reranking", help="name of the result file")
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    options = parser.parse_args()
    if options.quick:
        options.queries, options.gallery, options.width, options.repeats = 200, [500, 1000], 256, 1

    rows = []
    for gallery in options.gallery:
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            rows.append(fresh.apply(measure, (gallery, options)))
        print(_line(rows[-1]), flush=True)
    if options.quick:
        return
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    content = {
        "seed": options.seed,
        "post_processing": KReciprocal().describe(),
        "libraries_beside": {"scipy": version("scipy"), "blas": f"{blas['name']} {blas['version']}"},
        "repeats": options.repeats,
        "sizes": rows,
    }
    print(f"wrote {write_results(options.result, content)}")


def measure(gallery: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one size, in a process of its own; seconds and megabytes (10⁶ bytes)."""
    embeddings = draw(options.queries + gallery, options.width, options.seed)
    queries, others = embeddings[: options.queries], embeddings[options.queries :]
    checked = np.arange(0, options.queries, max(1, options.queries // 100))  # kept to compare
    product_seconds, seconds, memory = [], [], []
    for _ in range(options.repeats):
        product_seconds.append(product(embeddings))
        kept, spent = measured(lambda: _consume(queries, others, checked))
        seconds.append(spent.seconds)
        memory.append(spent.megabytes)
        product_seconds.append(product(embeddings))
    row = {
        "queries": options.queries,
        "gallery": gallery,
        "width": options.width,
        "product_seconds": min(product_seconds),
        "product_whole": len(embeddings) <= WHOLE_PRODUCT_UP_TO,
        "seconds": min(seconds),
        "times_the_product": min(seconds) / min(product_seconds),
        "memory_megabytes": max(memory),
        "process_megabytes": resident("VmHWM"),
        "embeddings_megabytes": embeddings.nbytes / 1e6,
    }
    if gallery <= options.plain_up_to:
        expected, spent = measured(lambda: plain(queries, others))
        row["plain_seconds"], row["plain_memory_megabytes"] = spent.seconds, spent.megabytes
        row["largest_difference_to_plain"] = float(np.abs(kept - expected[checked]).max())
    return row


def draw(pictures: int, width: int, seed: int) -> Matrix:
    """Draws embeddings of length one around vehicles, a fifth of whose spread is in no few dimensions."""
    generator = np.random.default_rng(seed)
    vehicles = generator.standard_normal((-(-pictures // PICTURES_PER_VEHICLE), LATENT), np.float32)
    mixing = generator.standard_normal((LATENT, width), np.float32) / np.float32(np.sqrt(LATENT))
    embeddings = np.empty((pictures, width), np.float32)
    for start in range(0, pictures, TILE):
        chunk = embeddings[start : start + TILE]
        inner = vehicles[generator.integers(0, len(vehicles), len(chunk))]
        inner = inner + generator.standard_normal(inner.shape, np.float32)
        chunk[:] = unit_length(inner @ mixing + np.float32(0.2) * generator.standard_normal(chunk.shape, np.float32))
    return embeddings


def product(embeddings: Matrix) -> float:
    """Seconds for all products of two embeddings; the results are thrown away."""
    tiles = range(0, len(embeddings), TILE)
    chosen = tiles if len(embeddings) <= WHOLE_PRODUCT_UP_TO else tiles[::8]
    buffer = np.empty(TILE * TILE, np.float32)
    started = time.perf_counter()
    for first in chosen:
        rows = embeddings[first : first + TILE]
        for second in tiles:
            columns = embeddings[second : second + TILE]
            np.matmul(rows, columns.T, out=buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns)))
    return (time.perf_counter() - started) * len(tiles) / len(chosen)


def plain(queries: Matrix, gallery: Matrix, settings: KReciprocal | None = None) -> Matrix:
    """The paper, picture by picture, over dense matrices; ranks are those of float64. Gives (queries, gallery)."""
    settings = settings or KReciprocal()
    pictures = np.concatenate([queries, gallery])
    distance, order = _dense_ranks(pictures)

    def reciprocal(picture: int, count: int) -> NDArray[np.int32]:
        near = order[picture, : count + 1]
        return near[(order[near, : count + 1] == picture).any(axis=1)]  # type: ignore[no-any-return]

    encodings = np.zeros_like(distance)
    for picture in range(len(pictures)):
        own = reciprocal(picture, settings.k1)
        expanded = [own]
        for member in own:
            core = reciprocal(member, settings.half)
            if 3 * len(np.intersect1d(core, own)) > 2 * len(core):
                expanded.append(core)
        members: NDArray[np.intp] = np.unique(np.concatenate(expanded)).astype(np.intp)
        weights = np.exp(-distance[picture, members])
        encodings[picture, members] = weights / weights.sum()
    encodings = np.stack([encodings[order[picture, : settings.k2]].mean(axis=0) for picture in range(len(pictures))])

    others = encodings[len(queries) :]
    final = np.empty((len(queries), len(gallery)), np.float32)
    for query in range(len(queries)):
        held = np.flatnonzero(encodings[query])
        minimum = np.minimum(encodings[query, held], others[:, held]).sum(axis=1)
        jaccard = 1 - minimum / (2 - minimum)
        final[query] = (1 - settings.lambda_value) * jaccard + settings.lambda_value * distance[query, len(queries) :]
    return final


def _dense_ranks(pictures: Matrix) -> tuple[Matrix, NDArray[np.int32]]:
    """Distances, each row divided by its largest, and all pictures by nearness; both (pictures, pictures)."""
    exact = pictures.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    distance = np.empty((len(pictures), len(pictures)), np.float32)
    order = np.empty((len(pictures), len(pictures)), np.int32)
    for start in range(0, len(pictures), 256):
        rows = slice(start, min(start + 256, len(pictures)))
        chunk = squares[rows, None] + squares - 2 * exact[rows] @ exact.T
        chunk[np.arange(len(chunk)), np.arange(rows.start, rows.stop)] = 0
        distance[rows] = chunk / chunk.max(axis=1, keepdims=True)
        chunk[np.arange(len(chunk)), np.arange(rows.start, rows.stop)] = -1
        order[rows] = np.argsort(chunk, axis=1, kind="stable")
    return distance, order


def _consume(queries: Matrix, gallery: Matrix, checked: NDArray[np.int64]) -> Matrix:
    """Re-ranks as a scorer does, chunk by chunk; gives the rows to check, (checked, gallery)."""
    kept = []
    for rows, distances in k_reciprocal_distances(queries, gallery):
        kept.append(distances[checked[(checked >= rows.start) & (checked < rows.stop)] - rows.start])
    return np.concatenate(kept)


def _line(row: dict[str, Any]) -> str:
    text = (
        f"{row['queries']} queries, gallery {row['gallery']}, width {row['width']}: "
        f"product {row['product_seconds']:.2f} s; re-ranking {row['seconds']:.2f} s, "
        f"{row['times_the_product']:.2f} times, {row['memory_megabytes']:.0f} MB"
    )
    if "plain_seconds" not in row:
        return text
    return (
        f"{text}; plain {row['plain_seconds']:.1f} s, {row['plain_memory_megabytes']:.0f} MB; "
        f"largest difference {row['largest_difference_to_plain']:.1e}"
    )


if __name__ == "__main__":
    main()
