"""The route to an entry's journey: what else was seen of its vehicle, as `samecar link` has found it."""

from fastapi import APIRouter

from samecar.linking.settings import JOURNEY
from samecar.retrieval.records import Entry, Filter
from samecar.serving.dependencies import Number, Served
from samecar.serving.errors import error_responses
from samecar.serving.messages import PicturesReply
from samecar.serving.routes.pictures import reply
from samecar.serving.uploads import LimitedRoute

router = APIRouter(route_class=LimitedRoute, tags=["pictures"])

MOST_SHOWN = 1000
"""Entries of a journey that are told."""


@router.get("/api/pictures/{number}/journey", responses=error_responses(404))
async def show_journey(number: Number, service: Served) -> PicturesReply:
    """Tells the entries of an entry's journey in the order of time, itself among them; none if it was not linked."""
    name = (await service.entry(number)).sighting.labels.get(JOURNEY)
    if not name:
        return PicturesReply(pictures=[], next=None)
    listed = service.gallery.engine.listed
    entries = await service.read(listed, Filter(labels={JOURNEY: name}), limit=MOST_SHOWN)
    return PicturesReply(pictures=[reply(entry, service) for entry in sorted(entries, key=_by_time)], next=None)


def _by_time(entry: Entry) -> tuple[bool, float, str]:
    sighting = entry.sighting
    return sighting.time is None, sighting.time or 0.0, sighting.content
