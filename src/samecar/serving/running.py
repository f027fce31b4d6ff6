"""Running a service until it is told to end."""

import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.connections import connections
from samecar.serving.settings import ServiceSettings

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python's threads take turns: at its own 0.005 the model waits long for threads that decode."""

BACKLOG = 2048
"""Connections that may wait to be taken up; as many as servers commonly allow."""


def listen(settings: ServiceSettings) -> socket.socket:
    """Takes the address that a service listens on.

    Raises:
        SamecarError: it is taken or not this machine's, or others could come in without a token.
    """
    settings.refuse_open_door()
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a machine is written so
        reason = getattr(error, "strerror", None) or error
        raise SamecarError(
            f"--host {settings.host} --port {settings.port} cannot be listened on: {reason}; choose another"
        ) from error


def make_server(app: FastAPI, settings: ServiceSettings) -> uvicorn.Server:
    """What takes connections for a service."""
    config = uvicorn.Config(
        app,
        http=connections(settings),
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        proxy_headers=bool(settings.proxy),
        forwarded_allow_ips=settings.proxy or None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    return uvicorn.Server(config)


def run_service(open_gallery: Callable[[], Gallery], settings: ServiceSettings, listening: socket.socket) -> None:
    """Serves a gallery until SIGTERM or SIGINT; requests that were begun are finished.

    Args:
        open_gallery: opens the gallery.
        settings: limits.
        listening: from `listen`; it is closed in the end.

    Raises:
        SamecarError: the gallery cannot be opened.
    """
    failures: list[Exception] = []

    def failed(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    server = make_server(create_app(open_gallery, settings, failed), settings)
    sys.setswitchinterval(SWITCH_INTERVAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # uvicorn raises a signal once more when it is done
    server.run([listening])
    if failures:
        raise failures[0]


def _end(*_: object) -> NoReturn:
    """To be told to end is no failure."""
    raise SystemExit(0)
