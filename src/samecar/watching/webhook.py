"""Sends events to a program's address, in a thread of its own: whoever adds pictures does not wait for it."""

import base64
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from samecar.addresses import check_address, shown_address
from samecar.version import __version__
from samecar.watching.events import Event, Tell

SCHEMES = ("http", "https")

TRANSIENT = (408, 425, 429)
"""Answers below 500 after which an event is sent again; others below 500 say that it will never be taken."""


@dataclass(frozen=True)
class WebhookSettings:
    """How events are sent.

    Attributes:
        answer_seconds: how long an answer may take.
        first_pause: seconds before an event is sent again; each further pause is twice as long.
        longest_pause: the longest one.
        waiting: events that may wait; more are lost, the newest first.
        last_seconds: how long the end waits for events that were not sent yet.
    """

    answer_seconds: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    waiting: int = 1000
    last_seconds: float = 10.0


DEFAULT_SETTINGS = WebhookSettings()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirections as answers: a POST that is led elsewhere would become a GET, and leave its login there."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Webhook:
    """Sends each event by POST as JSON, in their order, again and again until it is taken or refused.

    Args:
        address: http://… or https://…; a login in it is sent as Basic authorization.
        warn: is told when the address cannot be reached, when it is reached again, and what was lost.
        settings: how events are sent.

    Raises:
        SamecarError: the address is none.
    """

    def __init__(self, address: str, warn: Tell, settings: WebhookSettings = DEFAULT_SETTINGS) -> None:
        check_address(address, SCHEMES, "a webhook")
        self.name = shown_address(address)
        self._target, self._login = _part_login(address)
        self._warn, self._settings = warn, settings
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._lost = self._refused = 0
        self._reason = ""
        self._away = False
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def send(self, event: Event) -> None:
        """Lets an event wait to be sent; returns at once."""
        with self._changed:
            if len(self._events) >= self._settings.waiting:
                self._lost += 1
                lost = self._lost
            else:
                self._events.append(event)
                self._changed.notify()
                return
        if lost == 1:
            self._warn(f"webhook {self.name}: {self._settings.waiting:,} events wait already; further ones are lost")

    def close(self) -> None:
        """Waits a while for events that were not sent yet, and says what was lost."""
        end = time.monotonic() + self._settings.last_seconds
        with self._changed:
            self._changed.wait_for(lambda: not self._events, self._settings.last_seconds)
            self._closing.set()
            self._changed.notify_all()
        self._thread.join(max(0.0, end - time.monotonic()) + 1)
        with self._changed:
            unsent = len(self._events)
        lost = unsent + self._lost + self._refused
        if lost:
            why = f" ({self._reason})" if self._reason else ""
            self._warn(f"webhook {self.name}: {lost:,} events were not taken{why}")

    def _run(self) -> None:
        pause = self._settings.first_pause
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._events or self._closing.is_set())
                if not self._events:
                    return
                event = self._events[0]
            if self._post(event):
                pause = self._settings.first_pause
                with self._changed:
                    self._events.popleft()
                    self._changed.notify_all()
            elif self._closing.wait(pause):
                return
            else:
                pause = min(2 * pause, self._settings.longest_pause)

    def _post(self, event: Event) -> bool:
        """Sends an event; whether it is done with."""
        request = urllib.request.Request(self._target, event.line().encode(), method="POST")  # noqa: S310 - checked
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", f"samecar/{__version__}")
        if self._login:
            request.add_header("Authorization", self._login)
        try:
            with self._opener.open(request, timeout=self._settings.answer_seconds):
                self._note_reached()
                return True
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"it answers {error.code}"
            if error.code < 500 and error.code not in TRANSIENT:
                if not self._refused:
                    self._warn(f"webhook {self.name} does not take an event: {reason}; look at its address and login")
                self._refused, self._reason = self._refused + 1, reason
                return True
        except (OSError, HTTPException, ValueError) as error:
            inner = getattr(error, "reason", error)
            if isinstance(inner, TimeoutError):
                reason = f"no answer within {self._settings.answer_seconds:g} seconds"
            else:
                reason = (getattr(inner, "strerror", None) or type(inner).__name__).lower()
        if not self._away:
            self._warn(f"webhook {self.name} cannot be reached: {reason}; events wait, and are sent again")
        self._away, self._reason = True, reason
        return False

    def _note_reached(self) -> None:
        if self._away:
            self._warn(f"webhook {self.name} is reached again")
        self._away = False
        if not self._refused:
            self._reason = ""


def _part_login(address: str) -> tuple[str, str]:
    """The address without its login, and the login as the header that is sent."""
    parts = urlsplit(address)
    login, at, host = parts.netloc.rpartition("@")
    header = "Basic " + base64.b64encode(unquote(login).encode()).decode() if at else ""
    return urlunsplit(parts._replace(netloc=host)), header
