"""A table as one HTML page that loads nothing."""

from collections.abc import Mapping
from typing import Any

from samecar.report.templates import find_template
from samecar.reproduce.pages.provenance import describe_runs
from samecar.reproduce.pages.text import all_rows, card_lines, cells, full_title, headings, legend, short_title
from samecar.version import __version__

PACKAGE = "samecar.reproduce.pages"
"""Where the templates lie."""


def table_page(content: Mapping[str, Any]) -> str:
    """The table with its legend, its runs and its protocol card.

    Args:
        content: from `table_results`.
    """
    return find_template(PACKAGE, "table.html.jinja").render(
        version=__version__,
        title=full_title(content),
        table=table_parts(content),
        runs=describe_runs([content]),
        data=content.get("data"),
        card=card_lines(content),
    )


def table_parts(content: Mapping[str, Any]) -> dict[str, Any]:
    """What templates show of a table."""
    rows = all_rows(content)
    return {
        "title": short_title(content),
        "qualifiers": content["qualifiers"],
        "headings": headings(content),
        "lines": [{"cells": line, "kind": _kind(content, row)} for row, line in zip(rows, cells(content), strict=True)],
        "legend": legend(content),
        "rows": rows,
    }


def _kind(content: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if row["id"] == content["baseline"]:
        return "baseline"
    return "" if row in content["rows"] else "beside"
