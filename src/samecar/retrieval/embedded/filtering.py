"""Filters as SQL, and as a mask over the numbers of entries."""

import json
import sqlite3
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.retrieval.records import EVERYTHING, Filter


def condition(allowed: Filter) -> tuple[str, list[Any]]:
    """A filter on entries as SQL, in which nothing stands that was given, with the values that it asks for."""
    parts = _camera_and_time(allowed)
    if allowed.not_cameras:
        parts.append(("camera_id NOT IN (SELECT value FROM json_each(?))", [json.dumps(allowed.not_cameras)]))
    if allowed.not_ids:
        parts.append(("id NOT IN (SELECT value FROM json_each(?))", [json.dumps(allowed.not_ids)]))
    for label in allowed.labels.items():
        parts.append(("id IN (SELECT entry FROM labels WHERE name = ? AND value = ?)", list(label)))
    return _joined(parts)


def mask(connection: sqlite3.Connection, allowed: Filter, last: int) -> NDArray[np.bool_] | None:
    """Whether a filter allows the entry of each number.

    Every condition is looked up in an index of its own, and `not_cameras` by what it leaves out, as that is quickest
    where there are many entries.

    Args:
        connection: to the catalogue.
        allowed: the filter.
        last: the largest number.

    Returns:
        (last + 1,), true or false where no entry has that number; None if the filter allows all.
    """
    if allowed == EVERYTHING:
        return None
    chosen = np.ones(last + 1, bool)
    camera_and_time = _camera_and_time(allowed)
    if camera_and_time:
        text, values = _joined(camera_and_time)
        chosen &= _numbers(connection.execute(f"SELECT id FROM entries WHERE {text}", values), last)  # noqa: S608
    for label in allowed.labels.items():
        chosen &= _numbers(connection.execute("SELECT entry FROM labels WHERE name = ? AND value = ?", label), last)
    if allowed.not_cameras:
        text, values = _joined(_camera_and_time(Filter(cameras=allowed.not_cameras)))
        chosen &= ~_numbers(connection.execute(f"SELECT id FROM entries WHERE {text}", values), last)  # noqa: S608
    chosen[[number for number in allowed.not_ids if 0 <= number <= last]] = False
    return chosen


def _camera_and_time(allowed: Filter) -> list[tuple[str, list[Any]]]:
    parts: list[tuple[str, list[Any]]] = []
    if allowed.cameras:
        parts.append(("camera_id IN (SELECT value FROM json_each(?))", [json.dumps(allowed.cameras)]))
    if allowed.after is not None:
        parts.append(("time >= ?", [allowed.after]))
    if allowed.before is not None:
        parts.append(("time < ?", [allowed.before]))
    return parts


def _joined(parts: list[tuple[str, list[Any]]]) -> tuple[str, list[Any]]:
    return " AND ".join(["TRUE", *(text for text, _ in parts)]), [value for _, values in parts for value in values]


def _numbers(rows: Iterable[tuple[int]], last: int) -> NDArray[np.bool_]:
    found = np.zeros(last + 1, bool)
    found[np.fromiter(chain.from_iterable(rows), np.int64)] = True
    return found
