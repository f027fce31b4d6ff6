"""Pages are made from Jinja templates that lie beside the code that fills them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jinja2

from samecar.notebook import visible_lines

Filter = Callable[[Any], str]


def _show(value: Any) -> Any:
    """What a template writes of a value: of a text that is not markup, nothing that acts on what stands beside it."""
    return visible_lines(value) if type(value) is str else value


@cache
def find_template(package: str, name: str, filters: tuple[tuple[str, Filter], ...] = ()) -> jinja2.Template:
    """Gives a template that escapes what it is filled with and refuses a name that is not filled.

    Args:
        package: where the template lies.
        name: its file.
        filters: functions that it calls, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_show,
    )
    environment.filters.update(filters)
    return environment.get_template(name)
