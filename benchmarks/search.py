"""Recall, time and memory of every index of a gallery in a folder, beside FAISS and plain NumPy, on drawn embeddings.

    python benchmarks/search.py
    python benchmarks/search.py --pictures 1000 10000 --batch 100 --repeats 1 --result NAME
    python benchmarks/search.py --pictures 1000000      # this size alone; the others stay in the result file

For each number of pictures a fresh process makes a gallery in a temporary folder, with each index in turn, and an exact
FAISS index in single precision, in whose memory plain NumPy searches too. Everything is measured in the same process
and by turns: one query at a time, and a batch; of vehicles of the gallery among all pictures, and among those of one of
20 cameras, and of strangers, to which nothing is much nearer than all the rest. What is scanned query by query, as
FAISS's own half-precision index is, is asked a part of the batch, and so is what stands beside it. Recall is the share
of the ten nearest by exact search in single precision that are found. Single queries: median; batches: the quickest.
Memory (Linux): by how much resident memory grows when the index is loaded and first used, and by how much at most,
beyond this, during a batch.

Then `samecar serve` runs on the gallery with each index and is asked with pictures of vehicles that are in it, on the
same cores: by one client, and by many, each of which sends its next picture when it has an answer. The model has random
weights.
"""

import argparse
import ctypes
import gc
import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from clients import EMBEDDING_SIZE, TOP, ask, decode, draw_pictures, random_model, service, summary
from embeddings import PORTION, Matrix, draw_pictures_of, draw_vehicles
from measuring import measured, resident
from numpy.typing import NDArray
from results import read_former, write_results

from samecar.cli.main import prepare_libraries
from samecar.embedding.encoder import Encoder
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.index import KINDS
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import EVERYTHING, Addition, Filter, Sighting
from samecar.similarity.exact import most_similar

Found = NDArray[np.int64]
"""(queries, top) numbers of entries"""

CAMERAS = 20
PICTURE = (300, 240)
"""Width and height in pixels of the pictures that clients send."""

NUMPY_PRODUCTS = 50_000_000
"""Products that plain NumPy holds at a time: 200 MB."""

SCANNED_PART = 10
"""One in so many queries of a batch is asked of an index that is scanned query by query."""


RABITQ_BITS = 2
"""With one, a hundredth of the nearest is missed however many candidates are looked at."""

RABITQ_CANDIDATES = 10
"""Candidates for each result, which are looked at in half precision."""


class Task(NamedTuple):
    """What is searched.

    Attributes:
        queries: (queries, size)
        one_camera: whether only pictures of camera 0 may be found.
    """

    queries: Matrix
    one_camera: bool = False


class Side(NamedTuple):
    """Something that searches.

    Attributes:
        search: finds the `TOP` most similar, among all pictures or those of camera 0.
        part: one in so many queries of a batch is asked.
    """

    search: Callable[[Matrix, bool], Found]
    part: int = 1


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--backbone", default="resnet18", help="of the service's model")
    parser.add_argument("--batch", type=int, default=1000, help="queries of a batch")
    parser.add_argument("--singles", type=int, default=15, help="single queries")
    parser.add_argument("--repeats", type=int, default=2, help="turns of batches")
    parser.add_argument("--clients", type=int, default=32, help="of the service at a time")
    parser.add_argument("--seconds", type=float, default=10, help="that clients ask")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", default="search", help="name of the result file")
    options = parser.parse_args()
    prepare_libraries()  # for the processes that measure
    sizes = {row["pictures"]: row for row in read_former(options.result, "sizes")}
    for pictures in options.pictures:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            sizes[pictures] = fresh.submit(measure, pictures, options).result()
        content = {"libraries_beside": {"faiss": version("faiss-cpu")}, "sizes": [sizes[key] for key in sorted(sizes)]}
        print(f"wrote {write_results(options.result, content)}")


def measure(pictures: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one size, in a process of its own; seconds and megabytes (10⁶ bytes)."""
    warm_up()
    sent = draw_pictures(PICTURE, options.seed)
    model = random_model(options.backbone, sent, options.seed)
    asked = model.embed([decode(model, file) for file in sent])
    centres = draw_vehicles(pictures, EMBEDDING_SIZE, options.seed, asked)
    queries = draw_queries(centres, options)
    strangers = draw_queries(draw_vehicles(pictures, EMBEDDING_SIZE, options.seed + 4), options)
    tasks = {"": Task(queries), "_one_camera": Task(queries, one_camera=True), "_strangers": Task(strangers)}
    cameras = np.random.default_rng(options.seed + 1).integers(0, CAMERAS, pictures)
    flat, flat_megabytes = grown(lambda: flat_index(centres, pictures, options))
    sides = {"FAISS, single precision": flat_side(flat, cameras), "NumPy, single precision": numpy_side(flat, cameras)}
    expected = {name: sides["FAISS, single precision"].search(*task) for name, task in tasks.items()}
    row: dict[str, Any] = {
        "pictures": pictures,
        "camera_0": int((cameras == 0).sum()),
        "size": EMBEDDING_SIZE,
        "batch": options.batch,
        "clients": options.clients,
        "backbone": options.backbone,
        "seed": options.seed,
        "sides": {},
    }
    scalar, scalar_megabytes = grown(lambda: half_index(flat))
    rabitq, rabitq_megabytes = grown(lambda: rabitq_index(flat))
    baselines = {
        **sides,
        "FAISS, half precision": flat_side(scalar, cameras, SCANNED_PART),
        "FAISS, RaBitQ": rabitq_side(rabitq, cameras),
    }
    beside_others = {"FAISS, single precision": flat_side(flat, cameras, SCANNED_PART)}
    held = {
        "FAISS, single precision": flat_megabytes,
        "NumPy, single precision": flat_megabytes,
        "FAISS, half precision": scalar_megabytes,
        "FAISS, RaBitQ": rabitq_megabytes,
    }
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "gallery", model, centres, cameras, options)
        for kind in KINDS:
            with closing(FolderEngine.open(Path(folder) / "gallery")) as engine:
                engine.rebuild(kind)
            with closing(FolderEngine.open(Path(folder) / "gallery")) as engine:
                ours = engine_side(engine, 1 if kind == "exact" else SCANNED_PART)
                _, held[kind] = grown(lambda side=ours: side.search(queries[:1], False))  # type: ignore[misc]
                beside = baselines if kind == "exact" else beside_others
                found = by_turns({kind: ours, **beside}, tasks, expected, options)
            row["sides"][kind] = {**found.pop(kind), "megabytes": held[kind], "beside": found}
            row["sides"][kind] |= asked_by_clients(Path(folder) / "gallery", sent, options)
    for name, side in row["sides"]["exact"].pop("beside").items():
        row["sides"][name] = {**side, "megabytes": held[name]}
    print(*(f"{pictures:,} {name}: {side}" for name, side in row["sides"].items()), sep="\n", flush=True)
    return row


def by_turns(
    sides: dict[str, Side], tasks: dict[str, Task], expected: dict[str, Found], options: argparse.Namespace
) -> dict[str, Any]:
    """Asks all sides in turn; for each its times, memory and recall, by task."""
    singles: dict[tuple[str, str], list[float]] = {(name, task): [] for name in sides for task in tasks}
    batches: dict[tuple[str, str], list[float]] = {key: [] for key in singles}
    memory, recall = dict.fromkeys(sides, 0.0), {}
    for number in range(options.singles + 1):
        for name, task in singles:
            queries, one_camera = tasks[task]
            began = time.perf_counter()
            sides[name].search(queries[number : number + 1], one_camera)
            singles[name, task].append(time.perf_counter() - began)
    for _ in range(options.repeats):
        for name, task in batches:
            queries, one_camera = tasks[task]
            asked = Task(queries[: max(1, options.batch // sides[name].part)], one_camera)
            found, spent = measured(lambda side=sides[name], asked=asked: side.search(*asked))  # type: ignore[misc]
            batches[name, task].append(len(asked.queries) / spent.seconds)
            memory[name] = max(memory[name], spent.megabytes)
            recall[name, task] = share_found(found, expected[task])
    return {
        name: {
            "batch": max(1, options.batch // sides[name].part),
            "batch_megabytes": memory[name],
            **{
                f"{figure}{task}": value
                for task in tasks
                for figure, value in (
                    ("milliseconds", 1000 * float(np.median(singles[name, task][1:]))),  # the first warms up
                    ("queries_a_second", max(batches[name, task])),
                    ("recall", recall[name, task]),
                )
            },
        }
        for name in sides
    }


def asked_by_clients(gallery: Path, pictures: list[bytes], options: argparse.Namespace) -> dict[str, Any]:
    """What one client and many get from a service, which warms up before."""
    answered = {}
    with service(gallery) as port, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        for name, clients in (("one_client", 1), ("many_clients", options.clients)):
            turns = [process.submit(ask, port, pictures, clients, options.seconds).result() for _ in range(2)]
            answered[name] = summary(turns[1:])  # the first warms up
    return answered


def share_found(found: Found, expected: Found) -> float:
    """The share of what was expected that was found."""
    pairs = zip(found, expected, strict=False)  # found may belong to the first queries only
    return float(np.mean([len(np.intersect1d(row, nearest)) / len(nearest) for row, nearest in pairs]))


def grown(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the megabytes by which resident memory has grown when it is done."""
    give_back_memory()
    before = resident()
    result = call()
    give_back_memory()
    return result, resident() - before


def give_back_memory() -> None:
    """Gives free memory back to the system, so that none of it is used unseen (glibc)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def warm_up() -> None:
    """Searches a little, so that libraries which are loaded by the first search count as no search's memory."""
    codes = np.zeros((8, EMBEDDING_SIZE), np.float16)
    most_similar(codes, np.arange(8), np.zeros((8, EMBEDDING_SIZE), np.float32), 1)


def draw(vehicles: Matrix, pictures: int, options: argparse.Namespace) -> Iterator[Matrix]:
    """Portions of the gallery's embeddings; the same each time."""
    return draw_pictures_of(vehicles, pictures, options.seed + 2)


def draw_queries(vehicles: Matrix, options: argparse.Namespace) -> Matrix:
    """Further pictures of vehicles."""
    return np.concatenate([*draw_pictures_of(vehicles, max(options.batch, options.singles + 1), options.seed + 3)])


def flat_index(centres: Matrix, pictures: int, options: argparse.Namespace) -> Any:
    """Every embedding in single precision."""
    index = faiss.IndexFlatIP(EMBEDDING_SIZE)
    for matrix in draw(centres, pictures, options):
        index.add(matrix)
    return index


def single_codes(flat: Any) -> Matrix:
    """The embeddings in the memory of such an index, (pictures, size)."""
    return faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(-1, flat.d)


def half_index(flat: Any) -> Any:
    """The same embeddings in FAISS's own half-precision index."""
    index = faiss.IndexScalarQuantizer(flat.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    codes = single_codes(flat)
    index.train(codes[:1])  # which this kind needs only for the form
    for start in range(0, len(codes), PORTION):
        index.add(codes[start : start + PORTION])
    return index


def rabitq_index(flat: Any) -> Any:
    """The same embeddings at `RABITQ_BITS` for each number, rotated, behind which FAISS looks at half precision.

    It is the kind that filters; the quicker `IndexRaBitQFastScan` takes none, and neither kind removes entries.
    """
    codes = single_codes(flat)
    rotated = faiss.IndexPreTransform(
        faiss.RandomRotationMatrix(flat.d, flat.d),
        faiss.IndexRaBitQ(flat.d, faiss.METRIC_INNER_PRODUCT, RABITQ_BITS),
    )
    exact = faiss.IndexScalarQuantizer(flat.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexRefine(rotated, exact)
    index.train(codes[:PORTION])
    for start in range(0, len(codes), PORTION):
        index.add(codes[start : start + PORTION])
    return index


def rabitq_side(index: Any, cameras: NDArray[np.int64]) -> Side:
    """The same with what FAISS takes for such an index."""
    bits = np.packbits(cameras == 0, bitorder="little")
    selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]

    def search(queries: Matrix, one_camera: bool) -> Found:
        base = faiss.SearchParameters(sel=selector) if one_camera else None  # type: ignore[call-arg]
        parameters = faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
            k_factor=RABITQ_CANDIDATES, base_index_params=base
        )
        found: Found = index.search(queries, TOP, params=parameters)[1]
        return found + 1

    return Side(search)


def flat_side(index: Any, cameras: NDArray[np.int64], part: int = 1) -> Side:
    """FAISS alone; entries are numbered from 1 in a gallery, from 0 here."""
    bits = np.packbits(cameras == 0, bitorder="little")
    selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]

    def search(queries: Matrix, one_camera: bool) -> Found:
        parameters = faiss.SearchParameters(sel=selector) if one_camera else None  # type: ignore[call-arg]
        found: Found = index.search(queries, TOP, params=parameters)[1]
        return found + 1

    return Side(search, part)


def numpy_side(flat: Any, cameras: NDArray[np.int64]) -> Side:
    """A product and argpartition."""
    embeddings = single_codes(flat)
    allowed = np.flatnonzero(cameras == 0)

    def search(queries: Matrix, one_camera: bool) -> Found:
        chosen = embeddings[allowed] if one_camera else embeddings
        step = max(1, NUMPY_PRODUCTS // len(chosen))
        parts = []
        for start in range(0, len(queries), step):
            products = queries[start : start + step] @ chosen.T
            best = np.argpartition(products, -TOP, axis=1)[:, -TOP:]
            order = np.argsort(-np.take_along_axis(products, best, axis=1), axis=1)
            parts.append(np.take_along_axis(best, order, axis=1))
        found = np.concatenate(parts)
        return (allowed[found] if one_camera else found) + 1

    return Side(search)


def engine_side(engine: FolderEngine, part: int) -> Side:
    """A gallery as it is asked by all that samecar offers."""

    def search(queries: Matrix, one_camera: bool) -> Found:
        matches = engine.search(queries, TOP, Filter(cameras=("0",)) if one_camera else EVERYTHING)
        return np.array([[match.id for match in row] for row in matches])

    return Side(search, part)


def fill(
    folder: Path, model: Encoder, centres: Matrix, cameras: NDArray[np.int64], options: argparse.Namespace
) -> None:
    """Makes a gallery of the same embeddings."""
    with closing(Gallery.create(str(folder), model)) as gallery:
        engine = gallery.engine
        row = 0
        for matrix in draw(centres, len(cameras), options):
            additions = []
            for embedding in matrix:
                content = hashlib.sha256(str(row).encode()).hexdigest()
                additions.append(Addition(Sighting(content, camera_id=str(cameras[row])), embedding))
                row += 1
            engine.add(additions)


if __name__ == "__main__":
    main()
