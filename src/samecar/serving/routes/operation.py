"""Routes for whoever runs the service, and the page."""

import math
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from samecar.errors import SamecarError
from samecar.serving.dependencies import Served
from samecar.serving.errors import documented, not_found
from samecar.serving.messages import State
from samecar.serving.metrics import CONTENT_TYPE_LATEST

routes = APIRouter()

PAGE = Path(__file__).parent / "page"
"""Where the page's files lie."""

PAGE_FILES = {"page.css": "text/css", "icon.svg": "image/svg+xml"} | {
    f"{name}.js": "text/javascript"
    for name in ("api", "asking", "cards", "crop", "elements", "filter", "judging", "page", "timeline", "words")
}
"""All that is served of it beside the page itself."""


@routes.get("/health", tags=["operation"])
async def health() -> State:
    """Tells that the process lives."""
    return State(status="alive")


@routes.get("/ready", responses=documented(), tags=["operation"])
async def ready(service: Served) -> State:
    """Tells whether the gallery and its model are loaded and answer; 503 where they do not."""
    await service.summary()
    return State(status="ready")


@routes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **documented()},
    tags=["operation"],
)
async def metrics(service: Served) -> Response:
    """Counts for Prometheus."""
    if service.is_ready:
        service.metrics.pictures.set(await _pictures(service))
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _pictures(service: Served) -> float:
    """How many the gallery holds; not a number while it cannot be asked, which is when the other counts are needed."""
    try:
        return (await service.summary()).pictures
    except SamecarError:
        return math.nan


@routes.get("/", response_class=FileResponse, include_in_schema=False)
async def page() -> FileResponse:
    """The page."""
    return _file("index.html", "text/html")


@routes.get("/page/{name}", response_class=FileResponse, include_in_schema=False)
async def page_file(name: str) -> FileResponse:
    """A file of the page."""
    if name not in PAGE_FILES:
        raise not_found("this file")
    return _file(name, PAGE_FILES[name])


def _file(name: str, media_type: str) -> FileResponse:
    return FileResponse(PAGE / name, media_type=media_type, headers={"Cache-Control": "no-cache"})
