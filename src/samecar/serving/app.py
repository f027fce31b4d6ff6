"""The service as an ASGI application, and the process that serves it."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import NoReturn

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.serving.admission import Admission
from samecar.serving.connections import HEAD_BYTES, connection_maker
from samecar.serving.description import describe_limits
from samecar.serving.errors import answer_errors
from samecar.serving.guard import Guard
from samecar.serving.headers import AddHeaders
from samecar.serving.loading import Loading
from samecar.serving.metrics import CountRequests, Metrics
from samecar.serving.retaining import Retainer
from samecar.serving.routes import journeys, judgements, operation, pictures, previews, search
from samecar.serving.service import Service
from samecar.serving.settings import ServiceSettings
from samecar.version import __version__

logger = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python's threads take turns: at its own 0.005 the model waits long for threads that decode."""

BACKLOG = 2048
"""Connections that may wait to be taken up; as many as servers commonly allow."""


class Server(uvicorn.Server):
    """What takes connections for a service, and tells it when it has to end.

    Args:
        config: of uvicorn.
        service: whose requests are finished before it ends.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more connections, and finishes what was begun."""
        self.service.prepare_to_end()
        await super().shutdown(sockets)


def create_app(gallery: Gallery, settings: ServiceSettings | None = None) -> FastAPI:
    """Makes a service of an open gallery.

    The app loads the gallery's model after it was started, and answers "not ready" until then. If the model cannot be
    loaded, the log says why, and clients go on being told that the gallery cannot be opened.

    Args:
        gallery: becomes the app's, which closes it when it ends; whoever never starts the app closes it himself.
        settings: limits; by default those of a service on this machine alone.
    """
    app = _make_app(gallery, settings or ServiceSettings())
    app.state.service.loaded.add_done_callback(_log_error)
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


@contextmanager
def listen_together(settings: ServiceSettings, count: int) -> Iterator[list[socket.socket]]:
    """Takes an address with several sockets, among which the system shares connections out; they are closed at the end.

    Args:
        settings: of the service.
        count: of sockets.

    Raises:
        SamecarError: the system shares none out; or as of `listen`.
    """
    if sys.platform != "linux":
        raise SamecarError("--processes needs Linux, which shares connections out; leave it out here")
    with listen(settings) as alone:  # refuses an address that another program has
        family, (host, port, *_) = alone.family, alone.getsockname()
    with ExitStack() as opened:
        yield [
            opened.enter_context(socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True))
            for _ in range(count)
        ]


def make_server(app: FastAPI, settings: ServiceSettings) -> Server:
    """Makes what takes connections for a service."""
    config = uvicorn.Config(
        app,
        http=connection_maker(settings),
        h11_max_incomplete_event_size=HEAD_BYTES,
        access_log=False,
        log_level="error",  # what it warns of any client can bring about, as often as it likes
        server_header=False,
        ws="none",
        proxy_headers=bool(settings.proxy),
        forwarded_allow_ips=settings.proxy or None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    return Server(config, app.state.service)


def run_service(
    gallery: Gallery, settings: ServiceSettings, listening: socket.socket, processes: Loading | None = None
) -> None:
    """Serves a gallery until SIGTERM or SIGINT; requests that were begun are finished.

    Args:
        gallery: an open one; it is closed in the end.
        settings: limits.
        listening: from `listen` or `listen_together`; it is closed in the end.
        processes: of the same service, which is ready when all of them are; None where this one is alone.

    Raises:
        SamecarError: the gallery's model cannot be loaded; the service has ended.
    """
    app = _make_app(gallery, settings, processes)
    server = make_server(app, settings)
    loaded: Future[None] = app.state.service.loaded

    def end_on_error(loaded: Future[None]) -> None:
        server.should_exit = server.should_exit or loaded.exception() is not None

    loaded.add_done_callback(end_on_error)
    sys.setswitchinterval(SWITCH_INTERVAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # uvicorn raises a signal once more when it is done
    server.run([listening])
    if loaded.done():
        loaded.result()


def _make_app(gallery: Gallery, settings: ServiceSettings, processes: Loading | None = None) -> FastAPI:
    """The app, without anybody who is told if the model cannot be loaded."""
    metrics = Metrics()
    service = Service(gallery, settings, metrics, processes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load())
        retainer = None if settings.retain_days is None else Retainer(service, settings.retain_days)
        if retainer is not None:
            retainer.start(loading)
        yield
        if retainer is not None:
            await retainer.end()
        await loading
        await service.close()

    app = FastAPI(
        title="samecar",
        summary="Where else was this vehicle?",
        version=__version__,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.service = service
    app.state.admission = Admission(settings, metrics)
    token = [] if settings.token is None else [Depends(HTTPBearer(auto_error=False))]  # the guard checks it
    for router in (
        search.json_router,
        search.router,
        search.views_router,
        pictures.router,
        previews.router,
        journeys.router,
        judgements.router,
        judgements.views_router,
    ):
        app.include_router(router, dependencies=token)
    app.include_router(operation.router)
    answer_errors(app)
    describe_limits(app, settings)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(AddHeaders, settings=settings)
    app.add_middleware(CountRequests, metrics=metrics)  # the last one is the outermost
    return app


def _log_error(loaded: Future[None]) -> None:
    if (error := loaded.exception()) is not None:
        logger.error("the gallery cannot be opened", exc_info=error)


def _end(*_: object) -> NoReturn:
    """To be told to end is no failure."""
    raise SystemExit(0)
