"""One page with all tables and all figures that a folder holds."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samecar.report.templates import find_template
from samecar.reproduce.pages import latex
from samecar.reproduce.pages import text as table_text
from samecar.reproduce.pages.html import PACKAGE, table_parts
from samecar.reproduce.pages.provenance import describe_runs
from samecar.reproduce.pages.text import all_rows, card_lines, card_sentence, file_stem
from samecar.reproduce.rows import differs_as_run, report_figures, report_tables
from samecar.version import __version__

TITLE = "The report's tables and figures, by samecar"

MEDIA = {".png": "image/png", ".svg": "image/svg+xml"}


def markdown(content: Mapping[str, Any]) -> str:
    """The page in Markdown; its figures lie beside it.

    Args:
        content: from `read_folder`.
    """
    tables = _shown_tables(content)
    parts = [f"# {TITLE}", *_introduction(tables, _missing(content))]
    parts += [table_text.markdown(table, card=False, level=2).rstrip() for table in tables]
    for shown in _shown_figures(content):
        parts += [f"## {shown['title']}", f"![{shown['title']}]({_file(shown)})", _caption(shown)]
    cards = [table for table in tables if table["card"]]
    return "\n\n".join([*parts, *([card_sentence(cards[0])] if cards else [])]) + "\n"


def page(content: Mapping[str, Any], folder: Path) -> str:
    """The page as one HTML file that loads nothing: its figures are inside it.

    Args:
        content: from `read_folder`.
        folder: where the figures lie.
    """
    tables = _shown_tables(content)
    return find_template(PACKAGE, "index.html.jinja").render(
        version=__version__,
        title=TITLE,
        sentences=_introduction(tables, _missing(content)),
        tables=[(file_stem(table), table_parts(table)) for table in tables],
        figures=[(shown, _caption(shown), _data_uri(folder / _file(shown))) for shown in _shown_figures(content)],
        runs=describe_runs(tables),
        data=next((table["data"] for table in tables if "data" in table), None),
        card=next((card_lines(table) for table in tables if table["card"]), []),
    )


def document(content: Mapping[str, Any]) -> str:
    """The page as a LaTeX document; its figures lie beside it.

    Args:
        content: from `read_folder`.
    """
    tables = _shown_tables(content)
    figures = [
        latex.figure(shown["title"], _caption(shown), shown["stem"], f"{shown['stem']}.png")
        for shown in _shown_figures(content)
    ]
    introduction = _introduction(tables, _missing(content))
    return latex.document(TITLE, introduction, [*map(latex.table, tables), *figures])


def _shown_tables(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Tables of which something was run; those as run only where that differs, or where there is nothing else."""
    begun = [table for table in content["tables"] if any(row["runs"] or row["failure"] for row in all_rows(table))]
    printed = {table["table"] for table in begun if table["settings"] == "as printed"}
    return [
        table
        for table in begun
        if table["settings"] == "as printed" or table["table"] not in printed or differs_as_run(table["table"])
    ]


def _shown_figures(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Each figure once: of several settings those with more runs, else those that the report shows."""
    shown = []
    for name, figure in report_figures().items():
        drawn = [each for each in content["figures"] if each["figure"] == name]
        wanted = "as run" if figure.as_run else "as printed"
        drawn.sort(key=lambda each: (len(each["shows"]), each["settings"] == wanted))
        shown += drawn[-1:]
    return shown


def _missing(content: Mapping[str, Any]) -> list[str]:
    """Names of the tables and figures that are not shown."""
    there = {table["table"] for table in _shown_tables(content)} | {
        figure["figure"] for figure in _shown_figures(content)
    }
    return [name for name in (*report_tables(), *report_figures()) if name not in there]


def _introduction(tables: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> list[str]:
    """What a reader must know of the whole page, in sentences."""
    reserve = dict.fromkeys(qualifier for table in tables for qualifier in table["qualifiers"])
    sentences = [f"Not a reproduction of the report: {'; '.join(reserve)}."] if reserve else []
    sentences += dict.fromkeys(table["data"]["sentence"] for table in tables if "data" in table)
    if missing:
        sentences.append(f"Not run yet: {', '.join(missing)}.")
    return sentences


def _caption(shown: Mapping[str, Any]) -> str:
    return "; ".join([shown["caption"], *shown["qualifiers"]]) + "."


def _file(shown: Mapping[str, Any]) -> str:
    """The figure's file for a screen: lines as SVG, pictures as PNG."""
    return f"{shown['stem']}.{'svg' if report_figures()[shown['figure']].curves else 'png'}"


def _data_uri(path: Path) -> str:
    return f"data:{MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
