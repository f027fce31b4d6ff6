"""Serving: a gallery over HTTP, and its web page."""

from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]
