"""Everything that goes wrong is answered alike: JSON with a code for programs and one sentence for people."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from samecar.errors import SamecarError
from samecar.serving.headers import HEADERS

logger = logging.getLogger(__name__)

SAYINGS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "the request cannot be understood"),
    404: ("not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address does not take this method; /openapi.json lists what there is"),
}
"""Code and sentence for what the router refuses, by status."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Methods that a route may have."""


class ErrorFacts(BaseModel):
    """What went wrong."""

    code: str = Field(description="stable, for programs", examples=["too_large"])
    message: str = Field(description="one sentence, for people")


class ErrorReply(BaseModel):
    """The answer to every request that fails."""

    error: ErrorFacts


class ServiceError(HTTPException):
    """A request that is refused; its sentence goes to the client.

    Args:
        status: HTTP status.
        code: stable word for programs.
        message: one sentence.
        retry_after: seconds after which it is worth trying again, if it is.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        headers = {}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, message, headers)
        self.code = code


def not_found(what: str) -> ServiceError:
    """There is no such thing."""
    return ServiceError(404, "not_found", f"{what} is not in the gallery")


def invalid(message: str) -> ServiceError:
    """A value is not what it should be."""
    return ServiceError(422, "invalid", message)


def busy() -> ServiceError:
    """More requests wait than may wait."""
    return ServiceError(503, "busy", "too many requests are waiting; try again in a second", retry_after=1)


def reply(error: ServiceError) -> JSONResponse:
    """The answer that an error is given."""
    content = {"error": {"code": error.code, "message": error.detail}}
    return JSONResponse(content, error.status_code, error.headers)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's description says about errors: these, and those that every route can answer."""
    return {
        status: {"model": ErrorReply, "description": HTTPStatus(status).phrase}
        for status in sorted({*statuses, 401, 403, 422, 429, 503})
    }


def answer_errors(app: FastAPI) -> None:
    """Lets an app answer every error as JSON, also those of the router, and keeps what is internal to itself."""
    app.add_exception_handler(StarletteHTTPException, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(SamecarError, _answer_gallery_error)
    app.add_exception_handler(Exception, _answer_unexpected)


def _answer_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    if isinstance(error, ServiceError):
        return reply(error)
    code, message = SAYINGS.get(error.status_code, ("bad_request", str(error.detail)))
    answer = reply(ServiceError(error.status_code, code, message))
    answer.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_find_methods(request))
    return answer


def _find_methods(request: Request) -> list[str]:
    """The methods that an address takes: each may be another route's, and the router names those of one of them."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    said = first["msg"].removeprefix("Value error, ")
    return reply(invalid(f"{place}: {said[:1].lower()}{said[1:]}"))


def _answer_gallery_error(request: Request, error: Exception) -> JSONResponse:
    """The gallery itself failed: a full disk, another writer, a server that is gone.

    Its sentence may name places of this machine, so that only the log gets it.
    """
    logger.error("%s %s: %s", request.method, request.url.path, error)
    message = "the gallery cannot do this at present; the service's log says why, and trying again later may help"
    return reply(ServiceError(503, "gallery_unavailable", message, retry_after=10))


def _answer_unexpected(_: Request, __: Exception) -> JSONResponse:
    answer = reply(ServiceError(500, "internal", "the service failed on this request; its log says why"))
    answer.headers.update(HEADERS)  # it passes by the layer that adds them
    return answer
