"""Putting a watch list to work for as long as pictures are added."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.watching.events import Event, EventFile, Tell
from samecar.watching.watch_list import read_watch_list, refuse_uncalibrated
from samecar.watching.watcher import Watcher
from samecar.watching.webhook import Webhook

WEBHOOK_VARIABLE = "SAMECAR_WEBHOOK"
"""Of the environment: an address there is not seen by who lists processes."""


@dataclass(frozen=True)
class EventSettings:
    """What becomes of events of the watch list.

    Attributes:
        events: file that gets a line of JSON for each vehicle of the watch list that is seen; - is standard output.
        webhook: address that each such event is sent to, http://… or https://…; or set SAMECAR_WEBHOOK.
        same_passage_seconds: pictures without a track, by one camera and at most so far apart, are one passage.

    Raises:
        SamecarError: the seconds are negative.
    """

    events: str | None = None
    webhook: str | None = None
    same_passage_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.same_passage_seconds >= 0:
            raise SamecarError(f"same_passage_seconds is {self.same_passage_seconds}; give 0 or more")


DEFAULT_SETTINGS = EventSettings()


@contextmanager
def announcing(
    gallery: Gallery, settings: EventSettings = DEFAULT_SETTINGS, *, tell: Tell, warn: Tell
) -> Iterator[Watcher]:
    """Tells, for the block, when a vehicle of the gallery's watch list is among what is added.

    Args:
        gallery: that is added to.
        settings: where events go; where that is nowhere, `tell` gets a sentence for each.
        tell: is told a sentence of each event that goes nowhere else.
        warn: is told what goes wrong; adding goes on.

    Raises:
        SamecarError: there is a watch list, and the gallery is not calibrated or the list damaged; events cannot be
            written where they shall go.
    """
    if read_watch_list(gallery).pictures:
        refuse_uncalibrated(gallery)
    send: list[Callable[[Event], object]] = []
    with ExitStack() as opened:
        if settings.events:
            file = EventFile(settings.events, warn)
            opened.callback(file.close)
            send.append(file.send)
        if address := settings.webhook or os.environ.get(WEBHOOK_VARIABLE, "").strip():
            webhook = Webhook(address, warn)
            opened.callback(webhook.close)
            send.append(webhook.send)
        if not send:
            send.append(lambda event: tell(event.sentence()))
        watcher = Watcher(gallery, send, warn, settings.same_passage_seconds)
        gallery.observers.append(watcher)
        opened.callback(gallery.observers.remove, watcher)
        yield watcher
