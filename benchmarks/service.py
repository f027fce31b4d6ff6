"""How many searches a second the service answers, beside what its model alone embeds.

    python benchmarks/service.py
    python benchmarks/service.py --backbones resnet18 --seconds 3 --repeats 1 --result NAME

For each backbone, with random weights, makes a gallery of drawn embeddings in a temporary folder, also of the
vehicles whose pictures are sent, and runs `samecar serve` on it. By turns, and with the same JPEG pictures: the model
alone, in this process, decodes, transforms and embeds batches as large as the service's largest, the next one decoded
by as many threads as the service has while the model is at work, with Python's threads taking turns and freed memory
kept as there; one client of the service; many clients, each of which sends its next picture when it has an answer;
and as many clients of a service of two processes. Rates are counted while all clients ask: from the answer that ends
the first round to the last one within the turn. Clients are one process with prepared requests, on the same cores as
the service. The ratio is the median of those of the turns; latencies are of all turns together.
Writes results/service.json.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from clients import Answered, ask, decode, draw_pictures, random_model, service, summary
from embeddings import draw_pictures_of, draw_vehicles
from results import write_results

from samecar.cli.main import keep_freed_memory
from samecar.embedding.encoder import Encoder
from samecar.preprocessing import Pixels
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import Addition, Sighting
from samecar.serving.app import SWITCH_INTERVAL
from samecar.serving.decoding import FEWEST_THREADS
from samecar.serving.settings import ServiceSettings

BATCH = ServiceSettings().batch
PROCESSES = 2


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["mobilenetv3_small_100", "resnet18", "seresnext50_32x4d"])
    parser.add_argument("--entries", type=int, default=10_000, help="of the gallery")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--picture", type=int, nargs=2, default=[300, 240], help="width and height in pixels")
    parser.add_argument("--seconds", type=float, default=15, help="of a turn; a third of it for one client")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", default="service", help="name of the result file")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL)
    keep_freed_memory()
    pictures = draw_pictures(tuple(options.picture), options.seed)
    models = {}
    for backbone in options.backbones:
        models[backbone] = measure(backbone, pictures, options)
        print(f"{backbone}: {models[backbone]}", flush=True)
    content = {
        "libraries_beside": {"faiss": version("faiss-cpu"), "uvicorn": version("uvicorn")},
        "seed": options.seed,
        "entries": options.entries,
        "clients": options.clients,
        "picture": options.picture,
        "batch": BATCH,
        "seconds": options.seconds,
        "repeats": options.repeats,
        "models": models,
    }
    print(f"wrote {write_results(options.result, content)}")


def measure(backbone: str, pictures: list[bytes], options: argparse.Namespace) -> dict[str, Any]:
    """Measures one model."""
    model = random_model(backbone, pictures, options.seed)
    model.quicken()  # as the service does
    alone, single, many, together = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        fill(gallery, model, pictures, options)
        with (
            service(gallery) as port,
            service(gallery, PROCESSES) as shared_port,
            multiprocessing.get_context("spawn").Pool(1) as clients,
        ):
            for _ in range(options.repeats + 1):  # the first turn warms up
                alone.append(model_alone(model, pictures, options.seconds))
                single.append(clients.apply(ask, (port, pictures, 1, options.seconds / 3)))
                many.append(clients.apply(ask, (port, pictures, options.clients, options.seconds)))
                together.append(clients.apply(ask, (shared_port, pictures, options.clients, options.seconds)))
    return {
        "height": model.preprocessing.height,
        "width": model.preprocessing.width,
        "embedding_size": model.embedding_size,
        "alone": [round(rate, 2) for rate in alone[1:]],
        "single": summary(single[1:]),
        "many": summary(many[1:]),
        "ratio": _ratio(many[1:], alone[1:]),
        "processes": PROCESSES,
        "together": summary(together[1:]),
        "ratio_together": _ratio(together[1:], alone[1:]),
    }


def _ratio(turns: list[Answered], alone: list[float]) -> float:
    return float(np.median([turn.rate / rate for turn, rate in zip(turns, alone, strict=True)]))


def fill(folder: Path, model: Encoder, pictures: list[bytes], options: argparse.Namespace) -> None:
    """Makes a gallery of drawn embeddings, also of the vehicles that clients ask for."""
    asked = model.embed([decode(model, file) for file in pictures])
    vehicles = draw_vehicles(options.entries, model.embedding_size, options.seed, asked)
    row = 0
    with closing(Gallery.create(str(folder), model)) as gallery:
        for matrix in draw_pictures_of(vehicles, options.entries, options.seed + 1):
            sightings = [
                Sighting(f"{row + place:064x}", camera_id=f"camera {place % 20}") for place in range(len(matrix))
            ]
            gallery.engine.add(list(map(Addition, sightings, matrix)))
            row += len(matrix)


def model_alone(model: Encoder, pictures: list[bytes], seconds: float) -> float:
    """Pictures a second from files to embeddings."""

    def prepared(place: int) -> Pixels:
        return model.prepare(decode(model, pictures[place % len(pictures)]))

    done = 0
    with ThreadPoolExecutor(FEWEST_THREADS) as threads:
        following = [threads.submit(prepared, place) for place in range(BATCH)]
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            batch = [waiting.result() for waiting in following]
            following = [threads.submit(prepared, place) for place in range(done, done + BATCH)]
            model.embed_prepared(batch)
            done += BATCH
        spent = time.perf_counter() - began
    return done / spent


if __name__ == "__main__":
    main()
