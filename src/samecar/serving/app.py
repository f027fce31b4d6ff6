"""The service as an ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from samecar.retrieval.gallery import Gallery
from samecar.serving import judging, operating, pictures, searching
from samecar.serving.errors import answer_errors
from samecar.serving.guard import Guard
from samecar.serving.metrics import Metrics
from samecar.serving.service import Service
from samecar.serving.settings import ServiceSettings
from samecar.version import __version__


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
