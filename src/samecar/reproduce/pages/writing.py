"""Writing pages: a table's own, and the index with all tables and figures of a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samecar.files import read_json, write_file
from samecar.reproduce.pages import index, latex
from samecar.reproduce.pages.html import table_page
from samecar.reproduce.pages.text import file_stem, markdown
from samecar.reproduce.rows import report_figures, report_tables


def write_table(folder: Path, content: Mapping[str, Any]) -> list[Path]:
    """Writes a table in Markdown, HTML, JSON and LaTeX, each file whole or not at all.

    Args:
        folder: to write into.
        content: from `table_results`.

    Returns:
        `table5.md` and so on, or `table5-as-run.md` with the settings of the published runs.
    """
    texts = {
        "md": markdown(content),
        "html": table_page(content),
        "json": _json(content),
        "tex": latex.table(content),
    }
    return _write(folder, file_stem(content), texts)


def write_index(folder: Path) -> list[Path]:
    """Writes one page with all tables and figures that a folder holds, in Markdown, HTML, JSON and LaTeX.

    The same tables and figures give the same bytes. Where another process writes one of them meanwhile, the page is
    made anew, so that whoever writes last has written all.
    """
    while True:
        content = read_folder(folder)
        texts = {
            "md": index.markdown(content),
            "html": index.page(content, folder),
            "json": _json(content),
            "tex": index.document(content),
        }
        paths = _write(folder, "index", texts)
        if read_folder(folder) == content:
            return paths


def read_folder(folder: Path) -> dict[str, Any]:
    """The tables and figures that were written into a folder, in the report's order.

    Returns:
        `tables`, from `table_results`, and `figures`, as their descriptions say.
    """
    suffixes = ("", "-as-run")
    tables = [_read(folder, f"{name}{suffix}") for name in report_tables() for suffix in suffixes]
    figures = [_read(folder, f"{name}{suffix}") for name in report_figures() for suffix in suffixes]
    return {
        "tables": [table for table in tables if table],
        "figures": [figure for figure in figures if figure],
    }


def _read(folder: Path, stem: str) -> dict[str, Any] | None:
    """The description of a table or figure; None if there is none of that name.

    Before settings were part of the name, `table9.json` might have been of either.
    """
    path = folder / f"{stem}.json"
    if not path.is_file():
        return None
    content: dict[str, Any] = read_json(path)
    return content if stem == (content["stem"] if "stem" in content else file_stem(content)) else None


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _write(folder: Path, stem: str, texts: Mapping[str, str]) -> list[Path]:
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{stem}.{suffix}"
        with write_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
