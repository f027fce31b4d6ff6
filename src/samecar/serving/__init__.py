"""Serving: a gallery over HTTP, and its web page.

Names are loaded when they are first used: what a service allows is known without the libraries that serve.
"""

from typing import TYPE_CHECKING

from samecar.serving.settings import ServiceSettings

if TYPE_CHECKING:
    from samecar.serving.app import create_app

__all__ = ["ServiceSettings", "create_app"]


def __getattr__(name: str) -> object:
    if name != "create_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from samecar.serving.app import create_app

    return create_app
