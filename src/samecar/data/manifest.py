"""The one table: which pictures there are, which vehicle each shows, which camera took it, and what it is for."""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from samecar.config import digest
from samecar.data.tables import TABLE_SUFFIXES, csv_bytes, parquet_bytes, path_on_disk, read_table, unknown_name
from samecar.errors import SamecarError
from samecar.files import as_path, write_file
from samecar.labels import find_labelled
from samecar.notebook import html_table

SPLITS: Final = ("train", "query", "gallery")
REQUIRED_COLUMNS: Final = ("path", "vehicle_id", "camera_id", "split")
OPTIONAL_COLUMNS: Final = ("time", "track_id", "view", "colour", "type")
COLUMNS: Final = REQUIRED_COLUMNS + OPTIONAL_COLUMNS

SHOWN_ROWS: Final = 5
"""Rows that a notebook shows of a manifest."""


def _unknown() -> NDArray[np.str_]:
    return np.empty(0, dtype=np.str_)


@dataclass(frozen=True, eq=False)
class Manifest:
    """Pictures and what is known about them; one row each, every value a text, "" where nothing is known.

        >>> manifest = samecar.open_source("veri776:VeRi")
        >>> manifest
        Manifest(veri776:VeRi: 37,778 train, 1,678 query, 11,579 gallery pictures)
        >>> manifest.select(manifest.camera_id == "c001").write("first-camera.csv")

    Columns are copied and cannot be written to. An optional column that is left out is filled with "". Values but paths
    are kept without blanks around them and with composed letters (Unicode's NFC), splits in small letters.

    Attributes:
        root: the folder that `path` is relative to.
        path: (pictures,) relative to `root`, with forward slashes, or absolute; unique within a split.
        vehicle_id: (pictures,) "" is an unlabelled picture, and so is a placeholder such as -1 or unknown.
        camera_id: (pictures,).
        split: (pictures,) one of `SPLITS`.
        time: (pictures,) as the source writes it.
        track_id: (pictures,) pictures of one passage by one camera.
        view: (pictures,) side of the vehicle that is seen.
        colour: (pictures,) of the vehicle, a word.
        type: (pictures,) of the vehicle, a word.
        source: name of the source that made it, which decides the default protocol.
        warnings: what the source noticed, such as counts that differ from the published ones.
        file: name of the table in `root` that it was read from; "" where a folder was.

    Raises:
        SamecarError: a column has another length, a path is empty, not UTF-8 or twice in a split, a split is unknown.
    """

    root: Path
    path: NDArray[np.str_]
    vehicle_id: NDArray[np.str_]
    camera_id: NDArray[np.str_]
    split: NDArray[np.str_]
    time: NDArray[np.str_] = field(default_factory=_unknown)
    track_id: NDArray[np.str_] = field(default_factory=_unknown)
    view: NDArray[np.str_] = field(default_factory=_unknown)
    colour: NDArray[np.str_] = field(default_factory=_unknown)
    type: NDArray[np.str_] = field(default_factory=_unknown)
    source: str = "csv"
    warnings: tuple[str, ...] = ()
    file: str = ""

    def __post_init__(self) -> None:
        for name in COLUMNS:
            object.__setattr__(self, name, self._check_column(name))
        object.__setattr__(self, "root", as_path(self.root, "root"))
        self._check_splits()
        self._check_paths()

    def __len__(self) -> int:
        return len(self.path)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in self.split_counts.items() if count)
        return f"{type(self).__name__}({self.name}: {counts or 'no'} pictures)"

    def _repr_html_(self) -> str:
        """What a notebook shows: counts, and the first rows."""
        parts = [(split, self.of_split(split)) for split in SPLITS]
        counts = [
            (split, *(f"{count:,}" for count in (len(part), part.vehicle_count, _known(part.camera_id))))
            for split, part in parts
            if len(part)
        ]
        names = self._columns_with_values()
        rest = len(self) - SHOWN_ROWS
        return html_table(repr(self), counts, ("split", "pictures", "vehicles", "cameras")) + html_table(
            "First pictures",
            self.select(range(min(SHOWN_ROWS, len(self)))).rows(names),
            names,
            f"… and {rest:,} more below {self.root}" if rest > 0 else f"below {self.root}",
        )

    def column(self, name: str) -> NDArray[np.str_]:
        """One column by name; (pictures,)."""
        values: NDArray[np.str_] = getattr(self, name)
        return values

    def select(self, rows: NDArray[Any] | Sequence[int] | Sequence[bool]) -> Self:
        """Some rows.

        Args:
            rows: a mask (pictures,) or row numbers, in the order wanted.
        """
        chosen = np.asarray(rows)
        if not len(chosen):
            chosen = chosen.astype(np.int64)
        return replace(self, **{name: self.column(name)[chosen] for name in COLUMNS})

    def of_split(self, split: str) -> Self:
        """The rows of one split.

        Raises:
            SamecarError: there is no split of that name.
        """
        if split not in SPLITS:
            raise SamecarError(f"unknown split {split!r}; known are {', '.join(SPLITS)}")
        return self.select(self.split == split)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whose vehicle is known; (pictures,). A placeholder such as -1 or unknown is no vehicle."""
        return find_labelled(self.vehicle_id)

    @property
    def split_counts(self) -> dict[str, int]:
        """Number of pictures in each of `SPLITS`."""
        return {split: int((self.split == split).sum()) for split in SPLITS}

    @property
    def vehicle_count(self) -> int:
        """Number of different vehicles that are known."""
        return len(np.unique(self.vehicle_id[self.labelled]))

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all columns; neither the rows' order nor `root` nor `file` changes them."""
        return digest(sorted(self.rows()))

    @property
    def name(self) -> str:
        """What it is called in sentences and on cards: its source, and the table or folder without where that lies."""
        return f"{self.source}:{(self.root.absolute() / self.file).name}"

    def absolute_path(self, row: int) -> Path:
        """Where the picture of a row lies."""
        return self.root / str(self.path[row])

    def absolute_paths(self) -> list[str]:
        """Where the pictures of all rows lie; symbolic links stay."""
        return join_paths(os.path.abspath(self.root), self.path)  # noqa: PTH100 - keeps symbolic links

    @classmethod
    def from_rows(
        cls, root: str | Path, rows: Iterable[Mapping[str, str]], source: str = "csv", warnings: tuple[str, ...] = ()
    ) -> Self:
        """Makes a manifest from one mapping for each picture, from column name to value.

        Raises:
            SamecarError: a row has an unknown column or lacks a required one, or the manifest is not valid.
        """
        columns: dict[str, list[str]] = {name: [] for name in COLUMNS}
        for row in rows:
            _check_column_names(row, f"row {len(columns['path']) + 1}")
            for name in COLUMNS:
                columns[name].append(row.get(name, ""))
        arrays: dict[str, Any] = {name: np.array(values, dtype=np.str_) for name, values in columns.items()}
        return cls(as_path(root, "root"), **arrays, source=source, warnings=warnings)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Joins manifests of one root; source, file and warnings are the first one's.

        Raises:
            SamecarError: the parts have different roots, or share a picture within a split.
        """
        roots = sorted({str(part.root) for part in parts})
        if len(roots) != 1:
            raise SamecarError(f"manifests of different folders cannot be joined: {', '.join(roots)}")
        joined: dict[str, Any] = {name: np.concatenate([part.column(name) for part in parts]) for name in COLUMNS}
        return replace(parts[0], **joined)

    def write(self, path: str | Path, *, overwrite: bool = True) -> None:
        """Writes a .csv or .parquet file; it is complete or not there at all.

        Pictures below the file's folder are written relative to it, others as absolute paths. Optional columns without
        a value are left out. Source and warnings are not written.

        Args:
            path: of the file.
            overwrite: whether a file that is there and holds something else may be replaced.

        Raises:
            SamecarError: the suffix is another one, pyarrow is missing, or the file cannot be written or replaced.
        """
        path = as_path(path, "manifest")
        suffix = _table_suffix(path)
        names = self._columns_with_values()
        rows = self._relative_to(path.parent).rows(names)
        content = csv_bytes(names, rows) if suffix == ".csv" else parquet_bytes(names, rows)
        if not overwrite and path.is_file() and path.read_bytes() != content:
            raise SamecarError(
                f"manifest {path} is there already and holds something else; choose another name, or --overwrite (in "
                "Python, overwrite=True)"
            )
        try:
            with write_file(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise SamecarError(f"manifest {path} cannot be written: {error.strerror}; choose another place") from error

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a .csv or .parquet file, also as spreadsheets write it; paths in it are relative to its folder.

        A path that leads nowhere as it is written is taken without blanks around it, with slashes for backslashes, or
        with its letters composed otherwise, if a file is there then.

        Raises:
            SamecarError: there is no such file, it is no table, a column is unknown or missing, or it holds no picture.
        """
        path = as_path(path, "manifest")
        _table_suffix(path)
        if not path.is_file():
            raise SamecarError(f"manifest {path} is not there; give the path of a .csv or .parquet file")
        names, rows, warnings = read_table(path, COLUMNS)
        _check_column_names(names, f"manifest {path}")
        if not rows:
            raise SamecarError(f"manifest {path} lists no pictures; it needs one row for each")
        try:
            columns: dict[str, Any] = {
                name: np.array(values, np.str_) for name, values in zip(names, zip(*rows, strict=True), strict=True)
            }
            columns["path"] = np.array([path_on_disk(path.parent, name) for name in columns["path"].tolist()], np.str_)
            return cls(path.parent, **columns, warnings=warnings, file=path.name)
        except SamecarError as error:
            raise SamecarError(f"manifest {path}: {error}") from error

    def rows(self, names: Iterable[str] = COLUMNS) -> list[tuple[str, ...]]:
        """The values of some columns, row by row."""
        return list(zip(*(self.column(name).tolist() for name in names), strict=True))

    def _columns_with_values(self) -> list[str]:
        """The required columns, and the optional ones in which something is known."""
        return [*REQUIRED_COLUMNS, *(name for name in OPTIONAL_COLUMNS if (self.column(name) != "").any())]

    def _relative_to(self, folder: Path) -> Self:
        prefix = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118 - keeps symbolic links
        written = [Path(name.removeprefix(prefix)).as_posix() for name in self.absolute_paths()]
        return replace(self, root=folder, file="", path=np.array(written, dtype=np.str_))

    def _check_column(self, name: str) -> NDArray[np.str_]:
        column = np.array(getattr(self, name), dtype=np.str_)
        if name != "path":
            column = _normalise(column)
        if name == "split":
            column = np.strings.lower(column)
        if name in OPTIONAL_COLUMNS and not len(column):
            column = np.full(len(self.path), "", dtype=np.str_)
        if column.shape != (len(self.path),):
            raise SamecarError(f"column {name} has shape {column.shape}; it must be ({len(self.path)},), as path is")
        column.setflags(write=False)
        return column

    def _check_splits(self) -> None:
        wrong = np.flatnonzero(~np.isin(self.split, SPLITS))
        if len(wrong):
            row = wrong[0]
            raise SamecarError(
                f"split of picture {str(self.path[row])!r} is {str(self.split[row])!r}; it must be one of "
                f"{', '.join(SPLITS)}"
            )

    def _check_paths(self) -> None:
        empty = np.flatnonzero(self.path == "")
        if len(empty):
            raise SamecarError(f"path in row {empty[0] + 1} is empty; each row needs the path of a picture")
        for split in SPLITS:
            seen: dict[str, str] = {}
            for path in self.path[self.split == split].tolist():
                try:
                    path.encode()
                except UnicodeEncodeError as error:
                    raise SamecarError(f"the name of picture {path!a} is not UTF-8; rename the file") from error
                other = seen.setdefault(os.path.normpath(path) if "./" in path or "//" in path else path, path)
                if other is not path:
                    also = "" if other == path else f", also as {other!r}"
                    raise SamecarError(f"picture {path!r} stands twice in split {split}{also}; remove one of its rows")


def join_paths(root: str, paths: NDArray[np.str_]) -> list[str]:
    """Paths, (pictures,), below a folder, which may lie on another machine; those that are absolute stay."""
    return [os.path.normpath(os.path.join(root, path)) for path in paths.tolist()]  # noqa: PTH118 - many of them


def _known(names: NDArray[np.str_]) -> int:
    """Number of different names, where one is known."""
    return len(np.unique(names[names != ""]))


def _normalise(column: NDArray[np.str_]) -> NDArray[np.str_]:
    """Values without blanks around them and with composed letters: neither ever tells two things apart."""
    stripped = np.strings.strip(column)
    if np.ascontiguousarray(stripped).view(np.uint32).max(initial=0) < 128:  # all is ASCII
        return stripped
    return np.array([unicodedata.normalize("NFC", value) for value in stripped.tolist()], dtype=np.str_)


def _check_column_names(names: Iterable[str], place: str) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise SamecarError(f"{place} has an unknown column {unknown[0]!r}; {unknown_name(unknown[0], COLUMNS)}")
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        raise SamecarError(f"{place} lacks the column {missing[0]!r}; required are {', '.join(REQUIRED_COLUMNS)}")


def _table_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise SamecarError(f"manifest {path} ends in {suffix or 'nothing'!r}; it must end in .csv or .parquet")
    return suffix
