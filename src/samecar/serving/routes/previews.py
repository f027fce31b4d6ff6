"""Routes to the larger pictures of an entry: those that the gallery keeps, and its original where it lies."""

import io
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from samecar.retrieval.adding import shrunk_jpeg
from samecar.retrieval.records import MOST_PREVIEWS
from samecar.serving.dependencies import Number, Served
from samecar.serving.errors import error_responses, not_found
from samecar.serving.messages import PreviewFacts, PreviewsReply
from samecar.serving.routes.pictures import JPEG_RESPONSES, answer_jpeg
from samecar.serving.uploads import LimitedRoute, Upload

router = APIRouter(route_class=LimitedRoute, tags=["pictures"])

ORIGINAL_SIDE = 4096
"""Longer side in pixels of an original that is sent: what a browser can show zoomed in, whatever its memory."""

ORIGINAL_QUALITY = 92
"""Of JPEG: no trace of compression where single pixels are looked at."""


@router.get("/api/pictures/{number}/previews", responses=error_responses(404))
async def list_previews(number: Number, service: Served) -> PreviewsReply:
    """Tells which larger pictures there are of an entry; of a vehicle of a film several, the best first."""
    entry = await service.entry(number)
    kept = await service.read(service.gallery.engine.previews, number)
    offered = service.originals is not None and service.originals.offers(entry)
    return PreviewsReply(
        previews=[
            PreviewFacts(address=f"/api/pictures/{number}/previews/{place}", seconds=preview.seconds)
            for place, preview in enumerate(kept)
        ],
        film=entry.sighting.labels.get("film", ""),
        original=f"/api/pictures/{number}/original" if offered else None,
    )


@router.get("/api/pictures/{number}/previews/{place}", response_class=Response, responses=JPEG_RESPONSES)
async def show_preview(
    number: Number, place: Annotated[int, Path(ge=0, lt=MOST_PREVIEWS)], service: Served, request: Request
) -> Response:
    """Gives one of the larger pictures of an entry; a client may keep it as it may a thumbnail."""
    kept = await service.read(service.gallery.engine.previews, number)
    if place >= len(kept):
        raise not_found(f"preview {place} of entry {number}")
    return answer_jpeg(kept[place].picture, request)


@router.get(
    "/api/pictures/{number}/original",
    response_class=Response,
    responses={**JPEG_RESPONSES, **error_responses(404, 409, 413)},
)
async def show_original(number: Number, service: Served, request: Request) -> Response:
    """Gives the picture that an entry was made of, upright and without what its file tells beside it, as JPEG.

    It must still lie where it was, unchanged, and below the folder that the service was started with.
    """
    entry = await service.entry(number)
    if service.originals is None:
        raise not_found(f"an original of entry {number}")
    content = await service.read(service.originals.read, entry)

    def shrink(upload: Upload) -> bytes:
        return shrunk_jpeg(upload.picture, ORIGINAL_SIDE, ORIGINAL_QUALITY)

    picture = await service.decoder.decode(io.BytesIO(content), None, (ORIGINAL_SIDE, ORIGINAL_SIDE), shrink)
    return answer_jpeg(picture, request)
