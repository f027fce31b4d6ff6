"""How many searches a second the service answers, beside what its model alone embeds.

    python benchmarks/service.py
    python benchmarks/service.py --backbones resnet18 --seconds 3 --repeats 1 --result NAME

For each backbone, with random weights, makes a gallery of drawn embeddings in a temporary folder and runs
`samecar serve` on it. By turns, and with the same JPEG pictures: the model alone, in this process, decodes, transforms
and embeds batches as large as the service's largest, the next one decoded by as many threads as the service has while
the model is at work, with Python's threads taking turns and freed memory kept as there; one client of the service; and
many clients, each of which sends its next picture when it has an answer. Rates are counted while all clients ask: from
the answer that ends the first round to the last one within the turn. Clients are one process with prepared requests, on
the same cores as the service. The ratio is the median of those of the turns; latencies are of all turns
together.
Writes results/service.json.
"""

import argparse
import asyncio
import io
import json
import multiprocessing
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from results import write_results
from safetensors.torch import save

from samecar.cli.process import keep_freed_memory
from samecar.config import ModelSettings
from samecar.data.pictures import decode_picture
from samecar.models import build_embedder
from samecar.models.saved import DESCRIPTION_FILE, TENSORS_FILE, model_tensors
from samecar.ranking import unit_length
from samecar.retrieval.bound_model import BoundModel
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import Addition, Sighting
from samecar.serving.running import SWITCH_INTERVAL
from samecar.serving.service import OTHERS
from samecar.serving.settings import ServiceSettings

BATCH = ServiceSettings().batch
PICTURES = 64
"""Different pictures that are sent, again and again."""

PATIENCE = 60
"""Seconds that a service may take until it is ready."""


class Answered(NamedTuple):
    """What clients got in a turn."""

    rate: float
    """answers a second"""
    latencies: list[float]
    """seconds"""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["mobilenetv3_small_100", "resnet18", "seresnext50_32x4d"])
    parser.add_argument("--entries", type=int, default=10_000, help="of the gallery")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--picture", type=int, nargs=2, default=[300, 240], help="width and height in pixels")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", default="service", help="name of the result file")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL)
    keep_freed_memory()
    pictures = draw_pictures(options)
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
    model = random_model(backbone, options.seed)
    alone, single, many = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "gallery", model, options)
        with service(Path(folder) / "gallery") as port, multiprocessing.get_context("spawn").Pool(1) as clients:
            for _ in range(options.repeats + 1):  # the first turn warms up
                alone.append(model_alone(model, pictures, options.seconds))
                single.append(clients.apply(ask, (port, pictures, 1, options.seconds)))
                many.append(clients.apply(ask, (port, pictures, options.clients, options.seconds)))
    return {
        "height": model.height,
        "width": model.width,
        "embedding_size": model.embedding_size,
        "alone": [round(rate, 2) for rate in alone[1:]],
        "single": summary(single[1:]),
        "many": summary(many[1:]),
        "ratio": float(np.median([turn.rate / rate for turn, rate in zip(many[1:], alone[1:], strict=True)])),
    }


def summary(turns: list[Answered]) -> dict[str, Any]:
    """Rates, and percentiles of latencies in milliseconds."""
    latencies = 1000 * np.concatenate([turn.latencies for turn in turns])
    return {
        "rates": [round(turn.rate, 2) for turn in turns],
        "answers": len(latencies),
        **{f"p{share}": round(float(np.percentile(latencies, share)), 1) for share in (50, 95, 99)},
    }


def draw_pictures(options: argparse.Namespace) -> list[bytes]:
    """JPEG files of coarse and fine noise, which are as much work to decode as photographs are."""
    generator = np.random.default_rng(options.seed)
    size = tuple(options.picture)
    files = []
    for _ in range(PICTURES):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        fine = generator.normal(0, 8, (size[1], size[0], 3))
        picture = Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


def random_model(backbone: str, seed: int) -> BoundModel:
    """A model that was never trained."""
    torch.manual_seed(seed)
    settings = ModelSettings(backbone=backbone, weights="none")
    model = build_embedder(settings, 0, load_weights=False)
    description = json.dumps({"model": settings.model_dump(mode="json"), "vehicles": 0}).encode()
    return BoundModel({DESCRIPTION_FILE: description, TENSORS_FILE: save(model_tensors(model))})


def fill(folder: Path, model: BoundModel, options: argparse.Namespace) -> None:
    """Makes a gallery of drawn embeddings."""
    generator = np.random.default_rng(options.seed)
    matrix = unit_length(generator.standard_normal((options.entries, model.embedding_size), np.float32))
    with closing(Gallery.create(str(folder), model)) as gallery:
        gallery.engine.add(
            [
                Addition(Sighting(f"{row:064x}", camera_id=f"camera {row % 20}"), embedding.astype(np.float32))
                for row, embedding in enumerate(matrix)
            ]
        )


@contextmanager
def service(gallery: Path) -> Iterator[int]:
    """A running service that is ready; gives its port."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("samecar")
    assert program is not None
    command = [program, "serve", str(gallery), "--port", str(port), "--rate", "0"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/ready", running)
        yield port
    finally:
        running.terminate()
        running.wait(PATIENCE)


def wait_until_ready(address: str, running: "subprocess.Popen[bytes]") -> None:
    """Waits for the service.

    Raises:
        TimeoutError: it takes too long, or has ended.
    """
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE and running.poll() is None:
        try:
            with urllib.request.urlopen(address):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError(f"{address} does not answer")


def model_alone(model: BoundModel, pictures: list[bytes], seconds: float) -> float:
    """Pictures a second from files to embeddings."""

    def prepared(place: int) -> torch.Tensor:
        return model.prepare(decode_picture(pictures[place % len(pictures)], "", model.decoded_size))

    done = 0
    with ThreadPoolExecutor(OTHERS) as threads:
        following = [threads.submit(prepared, place) for place in range(BATCH)]
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            batch = [waiting.result() for waiting in following]
            following = [threads.submit(prepared, place) for place in range(done, done + BATCH)]
            model.embed_prepared(batch)
            done += BATCH
        spent = time.perf_counter() - began
    return done / spent


def ask(port: int, pictures: list[bytes], clients: int, seconds: float) -> Answered:
    """Searches with as many clients, in a process of its own."""
    return asyncio.run(_ask(port, [request(picture) for picture in pictures], clients, seconds))


async def _ask(port: int, requests: list[bytes], clients: int, seconds: float) -> Answered:
    latencies: list[float] = []
    answered: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number
        while time.perf_counter() < end:
            sent = time.perf_counter()
            writer.write(requests[place % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(head.decode())
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            answered.append(time.perf_counter())
            latencies.append(answered[-1] - sent)
            place += clients
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(number) for number in range(clients)))
    inside = [moment for moment in sorted(answered) if moment <= end][clients - 1 :]
    if len(inside) <= clients:
        raise ValueError(f"{seconds:g} s are too short for {clients} clients; give more --seconds")
    return Answered((len(inside) - 1) / (inside[-1] - inside[0]), latencies)


def request(picture: bytes) -> bytes:
    """A search with a picture, as it goes over the wire."""
    boundary = "a-boundary-that-no-picture-holds"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += picture + f"\r\n--{boundary}--\r\n".encode()
    head = (
        "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
