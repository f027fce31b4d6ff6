"""Makes the picture of the service's page from the demo's folder, with a Chromium that the machine has.

samecar demo
samecar calibrate samecar-demo/run --data veri776:samecar-demo/pictures --test-vehicles
python docs/make_page_picture.py samecar-demo
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import uvicorn
from playwright.sync_api import sync_playwright

from samecar.data import Manifest, open_source
from samecar.experiment.embed import bound_model
from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery
from samecar.retrieval.incoming import Incoming, incoming_of_manifest
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings
from samecar.training import Run

PLACES = ("north gate", "bridge", "car park", "market street", "ring road", "harbour")
"""What the demo's cameras are called here."""

MORNING = 1_772_438_400
"""2026-03-02 08:00 UTC, when the first frame is taken."""

FRAMES = 4.0
"""A second."""

WINDOW = {"width": 1280, "height": 1430}
"""Pixels of the picture: query, timeline and the first rows of results."""


def main(demo: Path) -> None:
    """Serves a gallery of the demo's test vehicles, searches it with the middle one of the queries."""
    run, manifest = Run.open(demo / "run"), open_source(f"veri776:{demo / 'pictures'}")
    queries = manifest.of_split("query")
    picture = queries.absolute_path(len(queries) // 2)
    with tempfile.TemporaryDirectory() as folder:
        name = str(Path(folder) / "town")
        with Gallery.create(name, bound_model(run)) as gallery:
            gallery.attach_calibration((demo / "run" / CALIBRATION_FILE).read_bytes())
            shown = list(_sightings(manifest.of_split("gallery"), picture.read_bytes()))
            gallery.add(shown, total=len(shown))
        _photograph(name, picture, Path(__file__).parent / "images" / "page.png")


def _sightings(manifest: Manifest, query: bytes) -> Iterator[Incoming]:
    """Pictures of the gallery but the query, by places and times instead of numbers."""
    for picture in incoming_of_manifest(manifest):
        if picture.read() != query:
            _, camera, frame, _ = Path(picture.known.address).stem.split("_")
            place = PLACES[(int(camera[1:]) - 1) % len(PLACES)]
            time = MORNING + int(frame) / FRAMES
            yield replace(picture, known=replace(picture.known, camera_id=place, time=time, track_id="", vehicle_id=""))


def _photograph(gallery: str, query: Path, out: Path) -> None:
    app = create_app(Gallery.open(gallery), ServiceSettings(name=Path(gallery).name))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = Thread(target=server.run)
    serving.start()
    while not (server.started and app.state.service.is_ready):
        time.sleep(0.1)
    port = server.servers[0].sockets[0].getsockname()[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW, locale="en-GB")
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_label("Choose a picture").set_input_files(query)
        page.locator("#results .card").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out)
        browser.close()
    server.should_exit = True
    serving.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
