"""Routes for whoever runs the service, and the page."""

import math
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from samecar.errors import SamecarError
from samecar.serving.dependencies import Served
from samecar.serving.errors import error_responses, not_found
from samecar.serving.messages import State
from samecar.serving.metrics import CONTENT_TYPE_LATEST

router = APIRouter()

PAGE = Path(__file__).parents[1] / "page"
"""Where the page's files lie."""

PAGE_FILES = {"page.css": "text/css", "icon.svg": "image/svg+xml"} | {
    f"{name}.js": "text/javascript"
    for name in (
        "api",
        "asking",
        "cards",
        "compare",
        "crop",
        "elements",
        "filter",
        "handing",
        "journey",
        "judging",
        "keeping",
        "labels",
        "large",
        "page",
        "query",
        "record",
        "strip",
        "timeline",
        "uploads",
        "words",
    )
}
"""All that is served of it beside the page itself."""


@router.get("/health", tags=["operation"])
async def health() -> State:
    """Tells that the process lives."""
    return State(status="alive")


@router.get("/ready", responses=error_responses(), tags=["operation"])
async def ready(service: Served) -> State:
    """Tells whether the gallery and its model are loaded and answer, and pictures are decoded soon; 503 otherwise."""
    await service.counting.summary()
    await service.decoder.refuse_if_busy()
    if service.processes is not None:
        service.processes.refuse_unless_done()
    return State(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **error_responses()},
    tags=["operation"],
)
async def metrics(service: Served) -> Response:
    """Counts for Prometheus."""
    if service.is_ready:
        service.metrics.pictures.set(await _count_pictures(service))
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _count_pictures(service: Served) -> float:
    """How many the gallery holds; not a number while it cannot be asked, which is when the other counts are needed."""
    try:
        return (await service.counting.summary()).pictures
    except SamecarError:
        return math.nan


@router.get("/", response_class=FileResponse, include_in_schema=False)
async def page() -> FileResponse:
    """The page."""
    return _page_file("index.html", "text/html")


@router.get("/page/{name}", response_class=FileResponse, include_in_schema=False)
async def page_file(name: str) -> FileResponse:
    """A file of the page."""
    if name not in PAGE_FILES:
        raise not_found("this file")
    return _page_file(name, PAGE_FILES[name])


def _page_file(name: str, media_type: str) -> FileResponse:
    return FileResponse(PAGE / name, media_type=media_type, headers={"Cache-Control": "no-cache"})
