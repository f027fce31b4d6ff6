"""The record of a training: one line of JSON for each epoch."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from samecar.errors import SamecarError

METRICS_FILE = "metrics.jsonl"
"""In a run folder."""


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Reads the record in a run folder, whose epochs are 1, 2, 3 and so on; a line that was cut is left out.

    Raises:
        SamecarError: it cannot be read, or the epochs are others, as if several processes had trained in the folder.
    """
    path = folder / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]  # a killed run may have cut its last line
    try:
        records: list[dict[str, float]] = [json.loads(line) for line in whole]
        epochs = [record["epoch"] for record in records]
    except (ValueError, TypeError, KeyError) as error:
        raise SamecarError(f"{path} cannot be read: {error}; remove {folder} and train again") from error
    wrong = next((line for line, epoch in enumerate(epochs) if epoch != line + 1), None)
    if wrong is not None:
        raise SamecarError(
            f"{path} is not the record of one training: epoch {epochs[wrong]} stands where {wrong + 1} is due; "
            f"remove {folder} and train again"
        )
    return records


def best_score(records: Iterable[Mapping[str, float]]) -> float:
    """The best mAP on held-out vehicles in the records of epochs; minus infinity if none was scored."""
    return max((record.get("validation_mAP", -math.inf) for record in records), default=-math.inf)
