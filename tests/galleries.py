"""A small gallery of painted pictures, and services over it: in this process, on a socket, or as the command."""

import asyncio
import contextlib
import http.client
import re
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import torch
import uvicorn
from command_line import samecar_process
from conftest import TINY, paint_picture
from fastapi import FastAPI
from starlette.testclient import TestClient

from samecar.calibration.fitting import Provenance, fit_calibration
from samecar.config import load_recipe
from samecar.embedding.encoder import Encoder
from samecar.labels import Labels
from samecar.models import build_embedder
from samecar.models.saved import save_model
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import Sighting
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings

VEHICLES, CAMERAS = 6, 2
SECONDS = 1_700_000_000
"""Time of the first picture; each later one was taken a minute after."""


def painted(folder: Path, vehicle: int, camera: int, index: int) -> Path:
    """A painted picture as a file."""
    path = folder / f"v{vehicle:02d}_c{camera}_{index}.png"
    if not path.exists():
        paint_picture(path, vehicle, camera, index)
    return path


def tiny_model(folder: Path) -> Encoder:
    """A network that nobody trained, with the same random weights each time."""
    torch.manual_seed(1)
    recipe = load_recipe("report-baseline", TINY)
    save_model(build_embedder(recipe.model, 3), folder)
    return Encoder.open(folder)


def make_gallery(folder: Path) -> Path:
    """Makes a gallery of 12 pictures: of vehicles v00 to v05, each by cameras c0 and c1, a minute apart."""
    with Gallery.create(str(folder / "yard"), tiny_model(folder / "model")) as gallery:
        pairs = [(vehicle, camera) for vehicle in range(VEHICLES) for camera in range(CAMERAS)]
        gallery.add(
            Incoming(
                path := painted(folder / "pictures", vehicle, camera, 0),
                Sighting(
                    "",
                    address=str(path),
                    camera_id=f"c{camera}",
                    time=SECONDS + 60.0 * place,
                    track_id=f"t{place}",
                    vehicle_id=f"v{vehicle:02d}",
                    labels={"lane": str(camera)},
                ),
            )
            for place, (vehicle, camera) in enumerate(pairs)
        )
    return folder / "yard"


def calibrate_gallery(gallery: Path) -> None:
    """Attaches a calibration of 40 vehicles with embeddings that are drawn, four near each of 40 centres."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(40, 1, 16))
    matrix = (centres + generator.normal(0, 0.8, (40, 4, 16))).reshape(160, 16).astype(np.float32)
    labels = Labels(np.repeat(np.arange(40), 4).astype(str), np.tile(["c0", "c1"], 80))
    with Gallery.open(str(gallery)) as opened:
        calibration = fit_calibration(matrix, labels, provenance=Provenance(opened.facts.model)).calibration
        opened.attach_calibration(calibration.to_json().encode())


def copy_gallery(gallery: Path, folder: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(gallery, folder / gallery.name))


def service(gallery: Path, **settings: object) -> FastAPI:
    """A service over a gallery, asked by the name that test clients use."""
    changed = {"name": gallery.name, "host_names": ("testserver",), "rate": 0, **settings}
    return create_app(Gallery.open(str(gallery)), ServiceSettings.model_validate(changed))


def below(prefix: str, app: FastAPI) -> FastAPI:
    """An application that has a service below a prefix, and nothing else."""
    outer = FastAPI(lifespan=lambda _: app.router.lifespan_context(app))
    outer.mount(prefix, app)
    return outer


@contextlib.contextmanager
def serving(gallery: Path, **settings: object) -> Iterator[TestClient]:
    """A client of a service in this process, once it is ready."""
    with TestClient(service(gallery, **settings), raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        yield client


@contextlib.asynccontextmanager
async def asking(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that may ask many things at a time of a service in this process, once it is ready."""
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://testserver") as client,
    ):
        while (await client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.02)
        yield client


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """Runs a service on a socket of this machine; gives its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def ask(port: int, target: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of what a service on this machine answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", target, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextlib.contextmanager
def served(
    gallery: Path | str, *options: object, said: str = "", watch: Callable[[int], object] = lambda _: None
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A process that serves a gallery, once it is ready; it is told to end and must then end with status 0.

    Args:
        gallery: that is served.
        options: of the command.
        said: on standard error in the end, a regular expression.
        watch: is given the port as soon as the process tells it.
    """
    command = samecar_process("serve", gallery, "--port", 0, "--device", "cpu", *options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        port = int(re.search(r"http://.*:(\d+)/", line)[1])
        watch(port)
        wait_until(lambda: process.poll() is not None or ask(port, "/ready")[0] == 200, 120)
        assert process.poll() is None, process.communicate()
        yield process, port
        if "--host" not in options:
            assert "http://127.0.0.1:" in line
        process.terminate()
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "")
    assert re.fullmatch(said, errors), errors


def wait_until(condition, seconds: float = 60.0) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)
