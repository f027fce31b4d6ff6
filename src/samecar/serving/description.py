"""The service's description of itself, with the limits that this service has."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from samecar.serving.settings import ServiceSettings
from samecar.serving.uploads import JSON, MULTIPART, PLAIN_BYTES

LIMITED = ("top", "limit")
"""What says how many results are asked for."""

VIEWS = (("SearchForm", "picture"), ("JudgementForm", "query"))
"""Forms that take several views of one vehicle, and the field that brings them."""


def describe_limits(app: FastAPI, settings: ServiceSettings) -> None:
    """Lets `/openapi.json` state what the service's settings allow."""
    describe = app.openapi

    def describe_with_limits() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = deepcopy(describe())  # parts of it belong to all services of the process
            for numbers in _find_numbers(description):
                numbers["maximum"] = settings.top
                numbers["default"] = min(numbers["default"], settings.top)
            for form, pictures in VIEWS:
                description["components"]["schemas"][form]["properties"][pictures]["maxItems"] = settings.views
            for body in _find_bodies(description):
                body["description"] = _describe_body(body, settings)
            app.openapi_schema = description
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = describe_with_limits  # type: ignore[method-assign]


def _find_numbers(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of all numbers of results that are asked for."""
    for operation in _find_operations(description):
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in LIMITED:
                yield parameter["schema"]
        for sent in operation.get("requestBody", {}).get("content", {}).values():
            yield from (
                sent["schema"]["properties"][name] for name in LIMITED if name in sent["schema"].get("properties", ())
            )
    yield description["components"]["schemas"]["SearchForm"]["properties"]["top"]


def _find_bodies(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operation in _find_operations(description):
        if "requestBody" in operation:
            yield operation["requestBody"]


def _find_operations(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in description["paths"].values():
        yield from path.values()


def _describe_body(body: dict[str, Any], settings: ServiceSettings) -> str:
    said = {
        MULTIPART: f"at most {settings.bytes:,} bytes; a picture has at most {settings.pixels:,} pixels",
        JSON: f"at most {min(settings.bytes, PLAIN_BYTES):,} bytes",
    }
    if len(body["content"]) == 1:
        return said[next(iter(body["content"]))]
    return "; ".join(f"as {kind} {said[kind]}" for kind in body["content"])
