"""Running a service until it is told to end."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import uvicorn

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python's threads take turns: at its own 0.005 the model waits long for threads that decode."""


def run_service(open_gallery: Callable[[], Gallery], settings: ServiceSettings) -> None:
    """Serves a gallery until SIGTERM or SIGINT; requests that were begun are finished.

    Raises:
        SamecarError: the gallery cannot be opened, the address is taken, or others could come in without a token.
    """
    settings.refuse_open_door()
    failures: list[SamecarError] = []

    def failed(error: SamecarError) -> None:
        failures.append(error)
        server.should_exit = True

    config = uvicorn.Config(
        create_app(open_gallery, settings, failed),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        proxy_headers=bool(settings.proxy),
        forwarded_allow_ips=settings.proxy or None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = uvicorn.Server(config)
    sys.setswitchinterval(SWITCH_INTERVAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # uvicorn raises a signal once more when it is done
    server.run()
    if failures:
        raise failures[0]


def _end(*_: object) -> NoReturn:
    """To be told to end is no failure."""
    raise SystemExit(0)
