"""Routes to the entries of a gallery: listing, adding, changing and removing them, and their thumbnails."""

import hashlib
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import UNREAD, Entry, Sighting
from samecar.serving.dependencies import Number, Served
from samecar.serving.errors import documented, invalid, not_found
from samecar.serving.messages import (
    AdditionForm,
    AdditionReply,
    Change,
    Labels,
    Listed,
    Picture,
    PicturesReply,
    facts_of,
    last_part,
    seconds,
)
from samecar.serving.service import Service
from samecar.serving.uploads import MULTIPART, LimitedRoute, refuse_bomb

routes = APIRouter(route_class=LimitedRoute, tags=["pictures"])

TAG_DIGITS = 32
"""Of a thumbnail's SHA-256 in its ETag: two thumbnails do not meet by chance."""

NAME_LENGTH = 256
"""Most letters of a file's name."""

_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)


@routes.get("/api/pictures", responses=documented())
async def list_pictures(service: Served, asked: Annotated[Listed, Query()]) -> PicturesReply:
    """Lists entries in the order of their numbers, a page at a time."""
    service.refuse_more(asked.limit)
    listed = service.gallery.engine.listed
    entries = await service.read(listed, asked.allowed(), beyond=asked.beyond, limit=asked.limit + 1)
    shown = entries[: asked.limit]
    following = shown[-1].id if len(entries) > len(shown) else None
    return PicturesReply(pictures=[_picture(entry, service) for entry in shown], next=following)


@routes.post(
    "/api/pictures",
    status_code=201,
    responses={200: {"model": AdditionReply, "description": "known already"}, **documented(400, 408, 413)},
)
async def add_picture(
    service: Served, form: Annotated[AdditionForm, Form(media_type=MULTIPART)], response: Response
) -> AdditionReply:
    """Adds a picture; one whose file the gallery holds already stays as it is."""
    known = {
        **form.model_dump(exclude={"picture"}),
        "address": _file_name(form.picture.filename or ""),
        "time": seconds(form.time, "time"),
        "labels": _parse_labels(form.labels),
    }
    incoming = Incoming(await form.picture.read(), replace(UNREAD, **known))
    await service.read(refuse_bomb, incoming.read(), service.settings.pixels)
    number, added = await service.add(incoming)
    response.status_code = 201 if added else 200
    return AdditionReply(id=number, added=added)


@routes.get("/api/pictures/{number}", responses=documented(404))
async def describe_picture(number: Number, service: Served) -> Picture:
    """Tells what is known about an entry."""
    return _picture(await service.entry(number), service)


@routes.patch("/api/pictures/{number}", responses=documented(400, 404, 408, 413))
async def change_picture(number: Number, service: Served, change: Change) -> Picture:
    """Changes what is known about an entry."""
    time = seconds(change.time, "time")
    values = change.model_dump(exclude_none=True, exclude={"time"})
    if change.time is not None:
        values["time"] = time
    return _picture(await service.write(_change, service, number, values), service)


@routes.delete("/api/pictures/{number}", status_code=204, responses=documented(404))
async def remove_picture(number: Number, service: Served) -> None:
    """Removes an entry with its embedding, thumbnail and judgements."""
    if not await service.write(service.gallery.engine.remove, [number]):
        raise not_found(f"entry {number}")


@routes.get(
    "/api/pictures/{number}/thumbnail",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        304: {"description": "the one that the client has"},
        **documented(404),
    },
)
async def show_thumbnail(number: Number, service: Served, request: Request) -> Response:
    """Gives an entry's thumbnail; a client may keep it, but asks each time whether it is still this one."""
    thumbnail = await service.read(service.gallery.engine.thumbnail, number)
    if thumbnail is None:
        raise not_found(f"a thumbnail of entry {number}")
    tag = f'"{hashlib.sha256(thumbnail).hexdigest()[:TAG_DIGITS]}"'
    kept = {"Cache-Control": "private, no-cache", "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=kept)
    return Response(thumbnail, media_type="image/jpeg", headers=kept)


def _picture(entry: Entry, service: Service) -> Picture:
    return Picture(**facts_of(entry, service.keeps_thumbnails))


def _change(service: Service, number: int, values: dict[str, Any]) -> Entry:
    def changed(sighting: Sighting) -> Sighting:
        return replace(sighting, **values)

    sighting = service.gallery.engine.update(number, changed)
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
