"""Tables and figures in LaTeX: a `table` environment for each table, and a document that holds all."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from samecar.reproduce.pages.text import cells, file_stem, full_title, headings, legend
from samecar.version import __version__

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "…": r"\dots{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
"""What LaTeX would read otherwise, or does not know in every font."""

MINUS = re.compile(r"(?<![\w.-])-(?=\d)")
"""A hyphen that stands before a number."""

PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[a4paper, landscape, margin=2cm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
"""


def escape(text: str) -> str:
    r"""A text as LaTeX shows it unchanged.

    >>> print(escape("-0.8 / 5 % of R&D_1"))
    $-$0.8 / 5 \% of R\&D\_1
    """
    parts = ["".join(SPECIAL.get(character, character) for character in part) for part in MINUS.split(text)]
    return "$-$".join(parts)


def table(content: Mapping[str, Any]) -> str:
    """The table and its legend as a `table` environment, which needs the packages booktabs and graphicx.

    Which rows are one run is left out, and a table that is still wider than the line is made smaller.
    """
    names, *lines = [line[:-1] for line in (headings(content), *cells(content))]
    columns = "l" * len(names)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs} and \usepackage{graphicx}",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escape(full_title(content))}}}",
            rf"\label{{tab:{file_stem(content)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _line(names),
            r"\midrule",
            *map(_line, lines),
            r"\bottomrule",
            r"\end{tabular}%",
            r"}",
            r"\begin{flushleft}\footnotesize",
            *(rf"{escape(sentence)}\par" for sentence in legend(content)),
            r"\end{flushleft}",
            r"\end{table}",
            "",
        ]
    )


def figure(title: str, caption: str, stem: str, file: str) -> str:
    """A figure as a `figure` environment.

    Args:
        title: what it shows.
        caption: what else stands below it.
        stem: its name in references.
        file: the picture, beside the document.
    """
    return "\n".join(
        [
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\includegraphics[width=\linewidth, height=.8\textheight, keepaspectratio]{{{file}}}",
            rf"\caption{{{escape(title)}. {escape(caption)}}}",
            rf"\label{{fig:{stem}}}",
            r"\end{figure}",
            "",
        ]
    )


def document(title: str, introduction: Sequence[str], parts: Sequence[str]) -> str:
    """A whole document.

    Args:
        title: its headline.
        introduction: sentences below it.
        parts: tables and figures, in LaTeX.
    """
    return "\n".join(
        [
            f"% written by samecar {__version__}",
            PREAMBLE,
            r"\begin{document}",
            rf"\section*{{{escape(title)}}}",
            *(rf"{escape(sentence)}\par" for sentence in introduction),
            "",
            *parts,
            r"\end{document}",
            "",
        ]
    )


def _line(texts: Sequence[str]) -> str:
    return rf"{' & '.join(map(escape, texts))} \\"
