"""The service as an ASGI application."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.serving.connections import connections
from samecar.serving.errors import answer_errors
from samecar.serving.guard import Guard
from samecar.serving.metrics import Metrics
from samecar.serving.routes import judgements as judging
from samecar.serving.routes import operation as operating
from samecar.serving.routes import pictures
from samecar.serving.routes import search as searching
from samecar.serving.service import Service
from samecar.serving.settings import ServiceSettings
from samecar.version import __version__

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python's threads take turns: at its own 0.005 the model waits long for threads that decode."""

BACKLOG = 2048
"""Connections that may wait to be taken up; as many as servers commonly allow."""


def create_app(
    open_gallery: Callable[[], Gallery],
    settings: ServiceSettings | None = None,
    failed: Callable[[Exception], None] | None = None,
) -> FastAPI:
    """Makes a service; it opens the gallery after it was started, and closes it when it ends.

    Args:
        open_gallery: called once, in a thread.
        settings: limits; by default those of a service on this machine alone.
        failed: is told if the gallery cannot be opened; by default the log is.
    """
    settings = settings or ServiceSettings()
    metrics = Metrics()
    service = Service(open_gallery, settings, metrics, failed)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load())
        yield
        await loading
        await service.close()

    app = FastAPI(
        title="samecar",
        summary="Where else was this vehicle?",
        version=__version__,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        lifespan=living,
    )
    app.state.settings = settings
    app.state.service = service
    token = [] if settings.token is None else [Depends(HTTPBearer(auto_error=False))]  # the guard checks it
    for part in (searching, pictures, judging):
        app.include_router(part.routes, dependencies=token)
    app.include_router(operating.routes)
    answer_errors(app)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    return app


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
