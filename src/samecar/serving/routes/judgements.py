"""Routes to what people said on whether two pictures show the same vehicle."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

from fastapi import APIRouter, Form, Query, Response

from samecar.data.manifest import Manifest
from samecar.data.pictures import is_picture_name
from samecar.retrieval.adding import shrunk_jpeg
from samecar.retrieval.engine import ContraryJudgementError, Engine
from samecar.retrieval.export import make_manifest_row
from samecar.retrieval.judged import find_judged_pictures, judge_pair
from samecar.retrieval.records import Judgement, views_content
from samecar.serving.dependencies import Served
from samecar.serving.errors import ServiceError, error_responses, invalid, not_found
from samecar.serving.messages import (
    Content,
    Id,
    JudgementFacts,
    JudgementForm,
    JudgementReply,
    JudgementsReply,
    last_part,
)
from samecar.serving.service import Service
from samecar.serving.uploads import MULTIPART, LimitedRoute, Upload, ViewsRoute, read_views

router = APIRouter(route_class=LimitedRoute, tags=["judgements"])
views_router = APIRouter(route_class=ViewsRoute, tags=["judgements"])

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

LONGEST_SIDE = 1024
"""Pixels to which a query is shrunk that is kept for a label: more than any model here looks at."""

QUALITY = 92
"""Of its JPEG: hardly to be told from the original."""


@views_router.put("/api/judgements", responses=error_responses(400, 404, 408, 409, 413))
async def judge(service: Served, form: Annotated[JudgementForm, Form(media_type=MULTIPART)]) -> JudgementReply:
    """Keeps somebody's word on a query and an entry; `replace` says what becomes of an earlier one on the same pair."""
    service.refuse_if_read_only()
    entry = await service.entry(form.entry)
    content, picture = await _read_query(form, service)
    if content == entry.sighting.content and not form.same:
        raise invalid(f"same: query and entry {form.entry} are one picture, which shows one vehicle; judge another")
    judgement = Judgement(content, form.entry, form.same, picture)
    former = await service.write(_heed, judge_pair, service.gallery.engine, judgement, replaces=form.replace)
    return JudgementReply(query=content, entry=form.entry, same=form.same, former=former)


@router.delete("/api/judgements", status_code=204, responses=error_responses(404, 409))
async def withdraw(
    service: Served,
    query: Annotated[Content, Query()],
    entry: Annotated[Id, Query()],
    same: Annotated[bool | None, Query(description="what it must say, so that nobody else's is forgotten")] = None,
) -> None:
    """Forgets a judgement."""
    if not await service.write(_heed, service.gallery.engine.withdraw, query, entry, same):
        raise not_found(f"a judgement on this query and entry {entry}")


@router.get("/api/judgements", responses=error_responses())
async def list_judgements(service: Served) -> JudgementsReply:
    """Lists all judgements, oldest first."""
    judgements = await service.read(service.gallery.engine.judgements)
    return JudgementsReply(
        judgements=[JudgementFacts(query=each.query, entry=each.entry, same=each.same) for each in judgements]
    )


@router.get(
    "/api/judgements/manifest",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "a manifest"}, **error_responses(404)},
)
async def download_manifest(service: Served) -> Response:
    """Gives the pictures that were judged as a manifest, with the vehicles that follow from the judgements.

    Pictures go by the last part of their place. `samecar gallery export --judgements` writes the pictures too.
    """
    content = await service.read(_write_manifest, service.gallery.engine)
    kept = {"Content-Disposition": 'attachment; filename="judgements.csv"'}
    return Response(content, media_type="text/csv", headers=kept)


def _write_manifest(engine: Engine) -> bytes:
    rows: dict[str, dict[str, str]] = {}
    for picture in find_judged_pictures(engine).pictures:
        name = last_part(picture.sighting.address)
        if not is_picture_name(name) or name in rows:
            name = f"{picture.content}.jpg"
        rows[name] = make_manifest_row(picture.sighting, name, picture.vehicle_id, picture.split)
    if not rows:
        raise ServiceError(404, "not_found", "nothing was judged yet, so that there are no labels to export")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "judgements.csv"
        Manifest.from_rows(path.parent, rows.values()).write(path)
        return path.read_bytes()


def _heed(change: Callable[Arguments, Value], *args: Arguments.args, **more: Arguments.kwargs) -> Value:
    """Changes a judgement, and tells the client if somebody said otherwise.

    Raises:
        ServiceError: so it is.
    """
    try:
        return change(*args, **more)
    except ContraryJudgementError as error:
        raise ServiceError(409, "judged_otherwise", str(error)) from error


async def _read_query(form: JudgementForm, service: Service) -> tuple[str, bytes | None]:
    """The query's content, and its picture, or the first of its views, where the gallery does not hold it."""
    if bool(form.query) == (form.query_id is not None):
        raise invalid("query: give either query_id, the number of an entry, or query, a picture")
    if form.query_id is not None:
        return (await service.entry(form.query_id)).sighting.content, None
    first, *others = read_views("query", form.query, form.crop, service.settings.views)

    def shrink(upload: Upload) -> tuple[str, bytes]:  # at once, so that few whole pictures are held
        return upload.content, shrunk_jpeg(upload.picture, LONGEST_SIDE, QUALITY)

    decode, least = service.decoder.decode, service.gallery.model.preprocessing.decoded_size
    content, picture = await decode(first.file, first.crop, least, shrink)
    contents = [await decode(view.file, view.crop, least, lambda upload: upload.content) for view in others]
    content = views_content([content, *contents])
    return content, None if await service.read(service.gallery.engine.known, [content]) else picture
