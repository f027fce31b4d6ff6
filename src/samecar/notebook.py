"""What a notebook shows of a value: HTML that loads nothing, and texts in which nothing acts."""

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that turn the text around that follows or surrounds them, so that it reads otherwise than it is written."""

_ACTING = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, of bytes that are no UTF-8, and of ends of lines and paragraphs."""


def visible(text: str, kept: str = "") -> str:
    """A text in which signs that would act on what shows it are written out, such as those that a terminal obeys.

    Args:
        text: may come from elsewhere.
        kept: control characters that stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        repr(sign)[1:-1] if sign not in kept and (sign in _TURNING or unicodedata.category(sign) in _ACTING) else sign
        for sign in text
    )


def visible_lines(text: str) -> str:
    """The same of a text that may have several lines."""
    return visible(text, "\n\r\t")


def html_table(title: str, rows: Iterable[Sequence[str]], headings: Sequence[str] = (), note: str = "") -> str:
    """A table; whatever it is given is shown as it is, markup included.

    Args:
        title: stands above.
        rows: the texts of each row's cells.
        headings: of the columns; none leaves their row out.
        note: stands below; "" leaves it out.
    """
    head = f"<thead>{_row(headings, 'th')}</thead>" if headings else ""
    body = "".join(_row(row, "td") for row in rows)
    below = f"<div>{escape(visible_lines(note))}</div>" if note else ""
    return (
        f"<div><strong>{escape(visible_lines(title))}</strong></div><table>{head}<tbody>{body}</tbody></table>{below}"
    )


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(visible_lines(cell))}</{tag}>' for cell in cells)}</tr>"
