"""A running service, and clients that ask it: what benchmarks of the service share."""

import asyncio
import io
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from samecar.config import ModelSettings
from samecar.data.pictures import decode_picture
from samecar.data.transforms import normalise_transform
from samecar.embedding.encoder import Encoder
from samecar.models import Embedder, build_embedder
from samecar.models.saved import DESCRIPTION_FILE, TENSORS_FILE, model_tensors

PICTURES = 64
"""Different pictures that are sent, again and again."""

EMBEDDING_SIZE = 512

TOP = 10
"""Results that are asked for."""

PATIENCE = 300
"""Seconds that a service may take until it is ready, or has ended; the machine may be busy."""


class Answered(NamedTuple):
    """What clients got in a turn."""

    rate: float
    """answers a second"""
    latencies: list[float]
    """seconds"""


def summary(turns: list[Answered]) -> dict[str, Any]:
    """Rates, and percentiles of latencies in milliseconds."""
    latencies = 1000 * np.concatenate([turn.latencies for turn in turns])
    return {
        "rates": [round(turn.rate, 2) for turn in turns],
        "answers": len(latencies),
        **{f"p{share}": round(float(np.percentile(latencies, share)), 1) for share in (50, 95, 99)},
    }


def draw_pictures(size: tuple[int, int], seed: int) -> list[bytes]:
    """JPEG files of this width and height, of coarse and fine noise: as much work to decode as photographs are."""
    generator = np.random.default_rng(seed)
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


def random_model(backbone: str, pictures: list[bytes], seed: int) -> Encoder:
    """A model that was never trained, whose batch normalisation is fitted to pictures: else it tells them hardly apart.

    Args:
        backbone: its name.
        pictures: JPEG files.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    settings = ModelSettings(backbone=backbone, weights="none", head="fc-bn-fc", embedding_size=EMBEDDING_SIZE)
    model = build_embedder(settings, 0, load_weights=False)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            layer.momentum = None  # what it sees replaces what it starts with
            layer.reset_running_stats()
    bound = bind(model, settings)
    normalise = normalise_transform(model.preprocessing)
    prepared = np.stack([bound.prepare(decode(bound, file)) for file in pictures])
    with torch.inference_mode():
        model.train()(normalise(torch.from_numpy(prepared)))
    return bind(model, settings)


def bind(model: Embedder, settings: ModelSettings) -> Encoder:
    """The model as a gallery keeps it."""
    description = json.dumps({"model": settings.model_dump(mode="json"), "vehicles": 0}).encode()
    return Encoder({DESCRIPTION_FILE: description, TENSORS_FILE: save(model_tensors(model))})


def decode(model: Encoder, file: bytes) -> Image.Image:
    """A picture as the service decodes it for this model."""
    return decode_picture(file, "", model.preprocessing.decoded_size)


@contextmanager
def service(gallery: Path, processes: int = 1) -> Iterator[int]:
    """A running service that is ready; gives its port."""
    with running_service(gallery, processes) as (port, _):
        yield port


@contextmanager
def running_service(gallery: Path, processes: int = 1) -> Iterator[tuple[int, int]]:
    """A running service that is ready; gives its port and its process's number."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("samecar")
    assert program is not None
    command = [program, "serve", str(gallery), "--port", str(port), "--rate", "0", "--processes", str(processes)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/ready", running)
        yield port, running.pid
    finally:
        running.terminate()
        try:
            running.wait(PATIENCE)
        finally:
            running.kill()


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


def ask(port: int, pictures: list[bytes], clients: int, seconds: float) -> Answered:
    """Searches with as many clients, in a process of its own."""
    answers = ask_each(port, pictures, clients, seconds)
    inside = [moment for moment, _ in sorted(answers) if moment <= seconds][clients - 1 :]
    if len(inside) <= clients:
        raise ValueError(f"{seconds:g} s are too short for {clients} clients; give more --seconds")
    return Answered((len(inside) - 1) / (inside[-1] - inside[0]), [latency for _, latency in answers])


def ask_each(port: int, pictures: list[bytes], clients: int, seconds: float) -> list[tuple[float, float]]:
    """Does the same; gives of each answer the second in which it came, and how many seconds it took."""
    return asyncio.run(_ask(port, [request(picture) for picture in pictures], clients, seconds))


async def _ask(port: int, requests: list[bytes], clients: int, seconds: float) -> list[tuple[float, float]]:
    answers: list[tuple[float, float]] = []
    began = time.perf_counter()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number
        while time.perf_counter() < began + seconds:
            sent = time.perf_counter()
            writer.write(requests[place % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(head.decode())
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            answers.append(((now := time.perf_counter()) - began, now - sent))
            place += clients
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return answers


def request(picture: bytes) -> bytes:
    """A search with a picture, as it goes over the wire."""
    boundary = "a-boundary-that-no-picture-holds"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="top"\r\n\r\n{TOP}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += picture + f"\r\n--{boundary}--\r\n".encode()
    head = (
        "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
