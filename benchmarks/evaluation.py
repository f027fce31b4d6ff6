"""Time and memory from embeddings to all metrics, against the matrix product alone and a plain argsort.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --quick
    nice python benchmarks/evaluation.py --queries 10000 --gallery 128517
        --pictures-per-vehicle 13 --plain-up-to 0 --repeats 1 --result evaluation-large

For each gallery size a fresh process draws embeddings that are correlated within a vehicle and then measures, in turn,
the product of queries and gallery (float32, in the chunks that the scoring uses, each result thrown away), `score` with
all its metrics, thresholds, tables and confidence intervals, and, where it fits, a plain implementation that sorts each
query's whole gallery and was written for this benchmark. The shortest of the repeats counts, and processor time stands
beside it. Memory is the highest resident memory (Linux) during the call, less that before it: embeddings and
interpreter are not in it. Writes results/evaluation.json, or NAME.json if another is given, and docs/evaluation.md's
table and plot from it.
"""

import argparse
import multiprocessing
import re
from pathlib import Path
from typing import Any

import numpy as np
from measuring import measured
from numpy.typing import NDArray
from results import read_results, write_results

from samecar.config import digest
from samecar.embedding.embeddings import Embeddings
from samecar.evaluation import Options, find_protocol, score
from samecar.hardware import default_threads
from samecar.labels import Labels
from samecar.similarity.counting import FEWEST_ROWS, Work
from samecar.similarity.products import CHUNK_ELEMENTS

Matrix = NDArray[np.float32]

DOCS = Path(__file__).parent.parent / "docs"
CAMERAS = 20
LARGEST = "evaluation-large"
"""The result file of the largest size, which is measured by itself."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1678, help="VeRi-776 has 1,678")
    parser.add_argument("--gallery", type=int, nargs="+", default=[1000, 3000, 11579, 38861])
    parser.add_argument("--width", type=int, default=2048, help="of the embeddings")
    parser.add_argument("--spread", type=float, default=3.0, help="deviation within a vehicle, over that among them")
    parser.add_argument("--pictures-per-vehicle", type=int, default=58, help="in the gallery; 58 is VeRi-776's mean")
    parser.add_argument("--plain-up-to", type=int, default=11579, help="largest gallery for the plain implementation")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", default="evaluation", help="name of the result file")
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing")
    parser.add_argument("--docs", action="store_true", help="measures nothing; writes docs from the result files")
    options = parser.parse_args()
    if options.docs:
        write_docs()
        return
    if options.quick:
        options.queries, options.gallery, options.width, options.repeats = 200, [500, 1000], 256, 1
    rows = []
    for gallery in options.gallery:
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            rows.append(fresh.apply(measure, (gallery, options)))
        print(rows[-1], flush=True)
    if not options.quick:
        build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        blas = f"{build['name']} {build['version']}"
        content = {
            "seed": options.seed,
            "spread": options.spread,
            "blas": blas,
            "repeats": options.repeats,
            "sizes": rows,
        }
        print(f"wrote {write_results(options.result, content)}")
        write_docs()


def measure(gallery: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one size, in a process of its own; seconds and megabytes (10⁶ bytes)."""
    sides = draw(gallery, options)
    query, pictures = sides
    rules = find_protocol("plain")
    products, scored = [], []
    for _ in range(options.repeats):
        products.append(measured(lambda: product(query.matrix, pictures.matrix))[1])
        evaluation, spent = measured(lambda: score(*sides, rules))
        scored.append(spent)
    products.append(measured(lambda: product(query.matrix, pictures.matrix))[1])
    row = {
        "queries": options.queries,
        "gallery": gallery,
        "width": options.width,
        "threads": default_threads(),
        "product_seconds": min(spent.seconds for spent in products),
        "seconds": min(spent.seconds for spent in scored),
        "times_the_product": min(s.seconds for s in scored) / min(s.seconds for s in products),
        "processor_times_the_product": min(s.processor_seconds for s in scored)
        / min(s.processor_seconds for s in products),
        "memory_megabytes": max(spent.megabytes for spent in scored),
        "embeddings_megabytes": (query.matrix.nbytes + pictures.matrix.nbytes) / 1e6,
        "mAP": evaluation.mean_average_precision,
    }
    if gallery <= options.plain_up_to:
        exact = score(*sides, rules, options=Options(work=Work("float64")))
        row["difference_to_float64"] = abs(exact.mean_average_precision - evaluation.mean_average_precision)
        found, spent = measured(lambda: plain(query, pictures))
        row["plain_seconds"], row["plain_memory_megabytes"] = spent.seconds, spent.megabytes
        row["difference_to_plain"] = abs(found - evaluation.mean_average_precision)
    return row


def draw(gallery: int, options: argparse.Namespace) -> tuple[Embeddings, Embeddings]:
    """Draws embeddings around vehicles."""
    generator = np.random.default_rng(options.seed)
    vehicles, width, spread = max(2, gallery // options.pictures_per_vehicle), options.width, np.float32(options.spread)
    centres = generator.standard_normal((vehicles, width), np.float32)
    sides = []
    for count in (options.queries, gallery):
        shown = generator.integers(0, vehicles, count)
        matrix = np.empty((count, width), np.float32)
        for start in range(0, count, 1024):
            part = slice(start, min(start + 1024, count))
            noise = generator.standard_normal((part.stop - start, width), np.float32)
            matrix[part] = centres[shown[part]] + spread * noise
        cameras = generator.integers(0, CAMERAS, count)
        sides.append(Embeddings(matrix, Labels(shown.astype(np.str_), cameras.astype(np.str_))))
    return sides[0], sides[1]


def product(queries: Matrix, gallery: Matrix) -> None:
    """All products of a query and a gallery embedding, in the chunks of the scoring; thrown away."""
    step = max(FEWEST_ROWS, CHUNK_ELEMENTS // len(gallery))
    buffer = np.empty((min(step, len(queries)), len(gallery)), np.float32)
    for start in range(0, len(queries), step):
        rows = queries[start : start + step]
        np.matmul(rows, gallery.T, out=buffer[: len(rows)])


def plain(query: Embeddings, gallery: Embeddings) -> float:
    """The mAP by a whole matrix of distances and a stable argsort of each query's row, as evaluation code often has."""
    squares = (
        (gallery.matrix**2).sum(axis=1) - 2 * query.matrix @ gallery.matrix.T + (query.matrix**2).sum(axis=1)[:, None]
    )
    order = np.argsort(squares, axis=1, kind="stable")
    precisions = []
    for row, vehicle, camera in zip(order, query.labels.vehicle_id, query.labels.camera_id, strict=True):
        same = gallery.labels.vehicle_id[row] == vehicle
        kept = ~(same & (gallery.labels.camera_id[row] == camera))
        places = np.flatnonzero(same[kept]) + 1
        if len(places):
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
    return float(np.mean(precisions))


def write_docs() -> None:
    """Writes the table into docs/evaluation.md and the plot beside it."""
    page = DOCS / "evaluation.md"
    page.write_text(with_table(page.read_text(encoding="utf-8"), table(sizes())), encoding="utf-8")
    draw_plot(sizes(), DOCS / "images" / "evaluation.svg")


def sizes() -> list[dict[str, Any]]:
    """The measured sizes of all result files."""
    names = ["evaluation", LARGEST]
    found = [read_results(name) for name in names if (Path(__file__).parent / "results" / f"{name}.json").is_file()]
    return [row for content in found for row in content["sizes"]]


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of measured sizes."""
    headings = ["queries × gallery × width", "product alone", "all metrics", "times the product", "in processor time"]
    headings += ["memory beyond the inputs", "plain argsort, mAP only", "its memory"]
    lines = [f"| {' | '.join(headings)} |", f"|---|{(len(headings) - 1) * '---:|'}"]
    for row in rows:
        plain_cells = "– | –"
        if "plain_seconds" in row:
            plain_cells = f"{row['plain_seconds']:.2f} s | {row['plain_memory_megabytes']:.0f} MB"
        size = f"{row['queries']:,} × {row['gallery']:,} × {row['width']:,}"
        times = f"{row['product_seconds']:.2f} s | {row['seconds']:.2f} s | {row['times_the_product']:.2f}"
        times += f" | {row['processor_times_the_product']:.2f}"
        lines.append(f"| {size} | {times} | {row['memory_megabytes']:.0f} MB | {plain_cells} |")
    return "\n".join(lines)


def with_table(page: str, content: str) -> str:
    """A page with the table between its two marks replaced."""
    marks = "<!-- benchmarks/evaluation.py -->\n", "<!-- end -->"
    return re.sub(f"{marks[0]}.*?{marks[1]}", lambda _: f"{marks[0]}{content}\n{marks[1]}", page, flags=re.DOTALL)


def draw_plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws how often the product's time is spent, and the memory, against the gallery's size."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "samecar", "font.size": 9}):
        figure = Figure((7.2, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        gallery = [row["gallery"] for row in rows]
        plain_rows = [row for row in rows if "plain_seconds" in row]
        left.plot(gallery, [row["times_the_product"] for row in rows], "o-", label="samecar, all metrics")
        left.plot(gallery, [row["processor_times_the_product"] for row in rows], "^:", label="the same, processor time")
        left.plot(
            [row["gallery"] for row in plain_rows],
            [row["plain_seconds"] / row["product_seconds"] for row in plain_rows],
            "s--",
            label="plain argsort, mAP",
        )
        right.plot(gallery, [row["memory_megabytes"] for row in rows], "o-", label="samecar, all metrics")
        right.plot(
            [row["gallery"] for row in plain_rows],
            [row["plain_memory_megabytes"] for row in plain_rows],
            "s--",
            label="plain argsort, mAP",
        )
        for axes, label in ((left, "time, product alone = 1"), (right, "MB beyond the inputs")):
            axes.set(xscale="log", yscale="log", xlabel="gallery pictures", ylabel=label)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Description": digest(rows)})


if __name__ == "__main__":
    main()
