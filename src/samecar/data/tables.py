"""Tables as people, spreadsheets and other programs write them, and as samecar writes them."""

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from samecar.errors import SamecarError, missing_library
from samecar.files import read_whole

if TYPE_CHECKING:
    from _csv import Reader
    from types import ModuleType

TABLE_SUFFIXES: Final = (".csv", ".parquet")

SEPARATORS: Final = (",", ";", "\t", "|")
"""What may stand between two values of a CSV file; the header tells which one does."""

_BYTE_ORDER_MARKS: Final = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""The longer ones first, as one begins with another."""

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
"""How a value begins that a spreadsheet takes for a formula, also behind apostrophes, of which one may be ours."""

_NUMBER: Final = re.compile(r"[+-]?[\d.]+([eE][+-]?\d+)?", re.ASCII)

_COUNTING: Final = re.compile(r"|index|unnamed: ?\d+|__index_level_\d+__", re.IGNORECASE)
"""Headings under which spreadsheets and pandas number the rows."""


class Table(NamedTuple):
    """What a table holds.

    Attributes:
        names: of the columns; those that are known are spelled as samecar does.
        rows: the values of each row, without blanks around them but for those of the column `path`.
        warnings: what was left out.
    """

    names: list[str]
    rows: list[list[str]]
    warnings: tuple[str, ...] = ()


def read_table(path: Path, known: Sequence[str], what: str = "manifest") -> Table:
    """Reads a .csv or .parquet file.

    A CSV file is UTF-8, or UTF-16 with a byte order mark, its values parted by commas, semicolons, tabs or bars. Case,
    blanks and dashes do not count in its header. Rows and columns without any value are passed over, and a column that
    only numbers the rows is left out with a warning.

    Args:
        path: of the file.
        known: names of the columns that there may be.
        what: it is called in sentences.

    Raises:
        SamecarError: the file cannot be read as such a table.
    """
    name = f"{what} {path}"
    table = _read_csv(path, known, name) if path.suffix.lower() == ".csv" else _read_parquet(path, name)
    names, rows, warnings = _drop_nameless(_drop_empty(table), name)
    names = [known_name(column, known) for column in names]
    if len(set(names)) != len(names):
        raise SamecarError(f"{name} names a column twice: {', '.join(names)}")
    return Table(names, [_strip(names, row) for row in rows], warnings)


def decode_text(content: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, which is not part of it.

    Raises:
        UnicodeError: it is not.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8-sig")
    return content.decode(encoding)


def known_name(written: str, known: Iterable[str]) -> str:
    """The known name that a heading means, whose case, blanks and dashes do not count; else what is written."""
    stripped = written.strip().removeprefix("\ufeff")
    plain = re.sub(r"[\s-]+", "_", stripped.casefold())
    return plain if plain in known else stripped


def unknown_name(written: str, known: Sequence[str]) -> str:
    """The second half of a sentence on a column that is not known: which are, or which one was meant."""
    nearest = difflib.get_close_matches(written.casefold(), known, n=1)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return f"known are {', '.join(known)}; rename it or leave it out"


def find_separator(header: str, known: Sequence[str]) -> str:
    """What parts the names in a header: that of `SEPARATORS` which makes most known names of it; else a comma."""
    return max(SEPARATORS, key=lambda sign: sum(name in known for name in header_names(header, sign, known)))


def header_names(header: str, sign: str, known: Sequence[str]) -> list[str]:
    """The names in a header whose names are parted by a sign; none if it cannot be a header."""
    try:
        values = next(csv.reader([header.strip()], delimiter=sign), [])
    except csv.Error:  # a line may hold anything
        return []
    return [known_name(value, known) for value in values]


def path_on_disk(root: Path, path: str) -> str:
    """The path of a picture as it is written, or as it is spelled on the disk if that is found there only."""
    trimmed = path.strip()
    if (path == trimmed and "\\" not in path and path.isascii()) or _is_file(root / path):
        return path
    slashed = (trimmed, trimmed.replace("\\", "/"))
    spellings = [unicodedata.normalize(form, text) for text in slashed for form in ("NFC", "NFD")]
    return next((spelling for spelling in (*slashed, *spellings) if _is_file(root / spelling)), path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or holds a null byte
        return False


def read_values(lines: Iterable[str], header: str, sign: str) -> "Reader":
    """The values of each line; blanks after a sign do not count where they stand in the header too."""
    return csv.reader(lines, strict=True, delimiter=sign, skipinitialspace=f"{sign} " in header)


def csv_bytes(names: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table as CSV, in which spreadsheets execute no value; `read_table` gives the values as they were."""
    text = io.StringIO()
    writer = csv.writer(text)  # its line end, as RFC 4180 has it, lets line breaks within values be told apart
    writer.writerow(names)
    writer.writerows(map(_disarm, row) for row in rows)
    return text.getvalue().encode()


def _disarm(value: str) -> str:
    """A value with an apostrophe before it where a spreadsheet would take it for a formula; plain numbers are none."""
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def rearm(value: str) -> str:
    """A value as it was before `_disarm`."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def parquet_bytes(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """A table as Parquet.

    Raises:
        SamecarError: pyarrow is missing.
    """
    parquet = _pyarrow_parquet()
    import pyarrow

    columns = {name: pyarrow.array([row[i] for row in rows], pyarrow.string()) for i, name in enumerate(names)}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def _read_csv(path: Path, known: Sequence[str], name: str) -> Table:
    try:
        text = decode_text(read_whole(path))
        if "\0" in text:
            raise SamecarError(f"{name} is not a CSV file in UTF-8: it holds null bytes; save it as CSV UTF-8")
        return _parse_csv(text, name, known)
    except (UnicodeError, csv.Error) as error:
        raise SamecarError(f"{name} is not a CSV file in UTF-8: {error}; save it as CSV UTF-8") from error
    except OSError as error:
        raise SamecarError(f"{name} cannot be read: {error.strerror}; give a file that can") from error


def _parse_csv(text: str, name: str, known: Sequence[str]) -> Table:
    lines = io.StringIO(text, newline="")
    first = next((line for line in lines if line.strip()), "")
    said = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE)  # as spreadsheets do
    before = text[: lines.tell()] if said else ""
    header = next((line for line in lines if line.strip()), "") if said else first
    sign = said[1] if said else find_separator(header, known)
    reader = read_values(io.StringIO(text[len(before) :], newline=""), header, sign)
    names: list[str] = next((row for row in reader if any(map(str.strip, row))), [])
    rows = []
    for row in reader:
        if not any(map(str.strip, row)):
            continue
        if len(row) < len(names) or any(map(str.strip, row[len(names) :])):
            raise SamecarError(
                f"{name}, line {before.count(chr(10)) + reader.line_num}, has {len(row)} values; the header names "
                f"{len(names)}"
            )
        rows.append([rearm(value) for value in row[: len(names)]])
    return Table(names, rows)


def _strip(names: Sequence[str], row: Sequence[str]) -> list[str]:
    return [value if name == "path" else value.strip() for name, value in zip(names, row, strict=True)]


def _drop_empty(table: Table) -> Table:
    """The table without rows that hold nothing, and without nameless columns that hold nothing."""
    rows = [row for row in table.rows if any(map(str.strip, row))]
    kept = [i for i, name in enumerate(table.names) if name.strip() or any(row[i].strip() for row in rows)]
    if len(kept) == len(table.names):
        return Table(table.names, rows)
    return Table([table.names[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _drop_nameless(table: Table, name: str) -> Table:
    """The table without columns that number its rows; refuses other columns without a name."""
    counting = [i for i in range(len(table.names)) if _counts_rows(table, i)]
    nameless = [i for i, column in enumerate(table.names) if not column.strip() and i not in counting]
    if nameless:
        raise SamecarError(f"{name} has values in column {nameless[0] + 1}, which has no name; name it or leave it out")
    kept = [i for i in range(len(table.names)) if i not in counting]
    warnings = tuple(
        f"column {i + 1}{f' {table.names[i]!r}' if table.names[i] else ''} of {name} only numbers the rows and is "
        "left out"
        for i in counting
    )
    return Table([table.names[i] for i in kept], [[row[i] for i in kept] for row in table.rows], warnings)


def _counts_rows(table: Table, column: int) -> bool:
    if not _COUNTING.fullmatch(table.names[column].strip()):
        return False
    values = [row[column].strip() for row in table.rows]
    return any(values == [str(first + row) for row in range(len(values))] for first in (0, 1))


def _pyarrow_parquet() -> "ModuleType":
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise missing_library("Parquet, unlike .csv, needs", "pyarrow", "parquet") from error
    module: ModuleType = parquet
    return module


def _read_parquet(path: Path, name: str) -> Table:
    parquet = _pyarrow_parquet()
    import pyarrow

    try:
        table = parquet.read_table(path, partitioning=None)
    except (pyarrow.ArrowException, OSError) as error:
        raise SamecarError(f"{name} is not a Parquet file: {str(error).splitlines()[0]}") from error
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return Table(list(table.column_names), [list(row) for row in zip(*columns, strict=True)])


def _text(value: Any) -> str:
    """A value of a typed column: pandas makes 1.0 of the number 1 where another row of its column is empty, or NaN."""
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
