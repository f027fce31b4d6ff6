"""What a notebook shows of a value: HTML that loads nothing."""

from collections.abc import Iterable, Sequence
from html import escape


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
    below = f"<div>{escape(note)}</div>" if note else ""
    return f"<div><strong>{escape(title)}</strong></div><table>{head}<tbody>{body}</tbody></table>{below}"


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
