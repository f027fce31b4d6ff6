"""Routes to the entries of a gallery: listing, adding, changing and removing them, and their thumbnails."""

import hashlib
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from samecar.retrieval.records import UNREAD, Entry, Sighting
from samecar.serving.dependencies import Number, Served
from samecar.serving.errors import error_responses, invalid, not_found
from samecar.serving.messages import (
    AdditionForm,
    AdditionReply,
    Change,
    Labels,
    PageQuery,
    Picture,
    PicturesReply,
    describe_entry,
    last_part,
    parse_seconds,
)
from samecar.serving.service import Service
from samecar.serving.uploads import MULTIPART, LimitedRoute

router = APIRouter(route_class=LimitedRoute, tags=["pictures"])

TAG_DIGITS = 32
"""Of a picture's SHA-256 in its ETag: two pictures do not meet by chance."""

JPEG_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    304: {"description": "the one that the client has"},
    **error_responses(404),
}
"""What a route's description says that gives a picture."""

NAME_LENGTH = 256
"""Most letters of a file's name."""

_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)


@router.get("/api/pictures", responses=error_responses())
async def list_pictures(service: Served, query: Annotated[PageQuery, Query()]) -> PicturesReply:
    """Lists entries in the order of their numbers, a page at a time."""
    limit = service.number_of_results(query, "limit")
    listed = service.gallery.engine.listed
    entries = await service.read(listed, query.to_filter(), beyond=query.beyond, limit=limit + 1)
    shown = entries[:limit]
    following = shown[-1].id if len(entries) > len(shown) else None
    return PicturesReply(pictures=[reply(entry, service) for entry in shown], next=following)


@router.post(
    "/api/pictures",
    status_code=201,
    responses={200: {"model": AdditionReply, "description": "known already"}, **error_responses(400, 408, 413)},
)
async def add_picture(
    service: Served, form: Annotated[AdditionForm, Form(media_type=MULTIPART)], response: Response
) -> AdditionReply:
    """Adds a picture; one whose file the gallery holds already stays as it is."""
    known = {
        **form.model_dump(exclude={"picture"}),
        "address": _file_name(form.picture.filename or ""),
        "time": parse_seconds(form.time, "time"),
        "labels": _parse_labels(form.labels),
    }
    number, added = await service.add(form.picture.file, replace(UNREAD, **known))
    response.status_code = 201 if added else 200
    return AdditionReply(id=number, added=added)


@router.get("/api/pictures/{number}", responses=error_responses(404))
async def describe_picture(number: Number, service: Served) -> Picture:
    """Tells what is known about an entry."""
    return reply(await service.entry(number), service)


@router.patch("/api/pictures/{number}", responses=error_responses(400, 404, 408, 413))
async def change_picture(number: Number, service: Served, change: Change) -> Picture:
    """Changes what is known about an entry."""
    time = parse_seconds(change.time, "time")
    values = change.model_dump(exclude_none=True, exclude={"time"})
    if change.time is not None:
        values["time"] = time
    return reply(await service.write(_change, service, number, values), service)


@router.delete("/api/pictures/{number}", status_code=204, responses=error_responses(404))
async def remove_picture(number: Number, service: Served) -> None:
    """Removes an entry with its embedding, its pictures and judgements."""
    if not await service.write(service.gallery.engine.remove, [number]):
        raise not_found(f"entry {number}")


@router.get("/api/pictures/{number}/thumbnail", response_class=Response, responses=JPEG_RESPONSES)
async def show_thumbnail(number: Number, service: Served, request: Request) -> Response:
    """Gives an entry's thumbnail; a client may keep it, but asks each time whether it is still this one."""
    thumbnail = await service.read(service.gallery.engine.thumbnail, number)
    if thumbnail is None:
        raise not_found(f"a thumbnail of entry {number}")
    return answer_jpeg(thumbnail, request)


def answer_jpeg(picture: bytes, request: Request) -> Response:
    """A JPEG, or that the client has it already."""
    tag = f'"{hashlib.sha256(picture).hexdigest()[:TAG_DIGITS]}"'
    kept = {"Cache-Control": "private, no-cache", "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=kept)
    return Response(picture, media_type="image/jpeg", headers=kept)


def reply(entry: Entry, service: Service) -> Picture:
    """An entry as clients are told of it."""
    return Picture(**describe_entry(entry, service.keeps_thumbnails, service.offers_previews))


def _change(service: Service, number: int, values: dict[str, Any]) -> Entry:
    def change(sighting: Sighting) -> Sighting:
        return replace(sighting, **values)

    sighting = service.gallery.engine.update(number, change)
    if sighting is None:
        raise not_found(f"entry {number}")
    return Entry(number, sighting)


def _file_name(text: str) -> str:
    """What is kept of the name that a client gives its file: it is anything that somebody sends."""
    return "".join(letter for letter in last_part(text) if letter.isprintable())[:NAME_LENGTH]


def _parse_labels(text: str) -> dict[str, str]:
    try:
        return _LABELS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise invalid(f"labels: give a JSON object of texts; {first['msg'].lower()}") from error
