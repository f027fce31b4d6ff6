"""Routes that tell what the gallery is, and that search it."""

import time
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import APIRouter, Form, Query
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.retrieval.incoming import refuse_other_model
from samecar.retrieval.records import GalleryFacts, prepare_queries
from samecar.retrieval.times import known_time_text
from samecar.serving.dependencies import Number, Served
from samecar.serving.errors import ServiceError, error_responses, invalid
from samecar.serving.messages import (
    CalibrationFacts,
    EmbeddingSearch,
    GalleryReply,
    LabelCount,
    LabelReply,
    LabelsReply,
    Limits,
    Prior,
    QueryFacts,
    Result,
    SearchForm,
    SearchQuery,
    SearchReply,
    Verdict,
    describe_camera,
    describe_entry,
)
from samecar.serving.service import Question, SearchOutcome, Service
from samecar.serving.uploads import JSON, MULTIPART, JsonRoute, LimitedRoute, ViewsRoute, read_views
from samecar.version import __version__

if TYPE_CHECKING:
    from samecar.calibration import Calibration

router = APIRouter(route_class=LimitedRoute)
views_router = APIRouter(route_class=ViewsRoute)
json_router = APIRouter(route_class=JsonRoute)
"""Comes before `router`: it takes only what is sent as JSON."""


@router.get("/api/gallery", responses=error_responses(), tags=["gallery"])
async def describe_gallery(service: Served) -> GalleryReply:
    """Tells what the gallery is and holds, and what the service allows."""
    gallery, settings = service.gallery, service.settings
    summary = await service.counting.summary()
    times = [time for camera in summary.cameras for time in (camera.first, camera.last) if time is not None]
    facts, calibration = await service.read(lambda: (gallery.facts, gallery.calibration))
    return GalleryReply(
        name=settings.name,
        version=__version__,
        model=facts.model,
        index=facts.index,
        pictures=summary.pictures,
        vehicles=summary.vehicles,
        cameras=[describe_camera(camera) for camera in summary.cameras],
        first=known_time_text(min(times, default=None)),
        last=known_time_text(max(times, default=None)),
        calibrated=calibration is not None,
        calibration=None if calibration is None else _describe_calibration(calibration),
        false_alarm_rate=None if calibration is None else calibration.false_alarm_rate,
        limits=Limits(bytes=settings.bytes, pixels=settings.pixels, top=settings.top, views=settings.views),
        writable=not settings.read_only,
    )


@router.get("/api/labels", responses=error_responses(), tags=["gallery"])
async def list_labels(service: Served) -> LabelsReply:
    """Lists the labels that a filter may ask for, with their values."""
    found = await service.counting.label_values()
    return LabelsReply(
        labels=[
            LabelReply(name=name, values=[LabelCount(value=one.value, pictures=one.pictures) for one in values])
            for name, values in found.items()
        ]
    )


@json_router.post("/api/search", responses=error_responses(400, 408, 409, 413), include_in_schema=False)
async def search_with_embedding(service: Served, asked: EmbeddingSearch) -> SearchReply:
    """Searches with an embedding by the gallery's model; described with `search_with_picture`."""
    began = time.perf_counter()
    top = service.number_of_results(asked, "top")
    allowed = asked.to_filter()
    embedding = _check_embedding(asked, await service.read(lambda: service.gallery.facts), top)
    await service.refuse_prior(asked.prior)
    found = await service.search_embedding(Question(asked.content, embedding, top, allowed, asked.prior))
    return _reply(QueryFacts(id=None, content=asked.content), found, service, began)


@views_router.post(
    "/api/search",
    responses=error_responses(400, 408, 409, 413),
    tags=["search"],
    openapi_extra={"requestBody": {"content": {JSON: {"schema": EmbeddingSearch.model_json_schema()}}}},
)
async def search_with_picture(service: Served, form: Annotated[SearchForm, Form(media_type=MULTIPART)]) -> SearchReply:
    """Searches with a picture that is sent along, or as JSON with an embedding by the gallery's model.

    Several pictures are views of one vehicle and get one answer: that to the mean of their embeddings.
    """
    began = time.perf_counter()
    top = service.number_of_results(form, "top")
    allowed = form.to_filter()
    views = read_views("picture", form.picture, form.crop, service.settings.views)
    content, embedding = await service.embed_views(views, form.prior)
    found = await service.search_embedding(Question(content, embedding, top, allowed, form.prior))
    return _reply(QueryFacts(id=None, content=content), found, service, began)


@router.get("/api/pictures/{number}/similar", responses=error_responses(404, 409), tags=["search"])
async def search_from_entry(number: Number, service: Served, query: Annotated[SearchQuery, Query()]) -> SearchReply:
    """Searches from an entry, which does not find itself."""
    began = time.perf_counter()
    top = service.number_of_results(query, "top")
    allowed = query.to_filter()
    entry = await service.entry(number)
    found = await service.search_like(entry, top, allowed, query.prior)
    return _reply(QueryFacts(id=number, content=entry.sighting.content), found, service, began)


def _describe_calibration(calibration: "Calibration") -> CalibrationFacts:
    evidence = calibration.evidence
    return CalibrationFacts(data=evidence.data, digest=evidence.digest, vehicles=evidence.vehicles)


def _check_embedding(asked: EmbeddingSearch, facts: GalleryFacts, top: int) -> NDArray[np.float32]:
    """The embedding that a client sent, as galleries search with it; (size,).

    Raises:
        ServiceError: another model made it, or it has another size or is not of length one.
    """
    try:
        refuse_other_model(asked.model, facts.model)
    except SamecarError as error:
        raise ServiceError(422, "other_model", f"model: {error}") from error
    try:
        (embedding,) = prepare_queries([asked.embedding], facts.size, top)
    except SamecarError as error:
        raise invalid(f"embedding: {error}") from error
    return np.asarray(embedding)


def _reply(query: QueryFacts, found: SearchOutcome, service: Service, began: float) -> SearchReply:
    answer = found.answer
    return SearchReply(
        query=query,
        results=[
            Result(
                **describe_entry(result.entry, service.keeps_thumbnails, service.offers_previews),
                similarity=result.similarity,
                probability=result.probability,
                pair_probability=result.pair_probability,
                judgement=found.judged.get(result.entry.id),
            )
            for result in answer.found
        ],
        verdict=Verdict(
            in_gallery=answer.in_gallery,
            threshold=answer.threshold,
            false_alarm_rate=answer.false_alarm_rate,
            probability=answer.probability,
            prior=None if answer.prior is None else Prior(**vars(answer.prior)),
        ),
        seconds=time.perf_counter() - began,
    )
