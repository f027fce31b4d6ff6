"""When training ends early, because its scores no longer rise."""

import math
from collections.abc import Iterable, Mapping


def early_end(records: Iterable[Mapping[str, float]], patience: int) -> int | None:
    """Says after which epoch training ends early.

    It is read from the records alone, so that a resumed run ends where it would have ended.

    Args:
        records: of the epochs so far; those that were scored have `validation_mAP`.
        patience: scorings in a row without a better mAP than the best before, after which training ends; 0 is never.

    Returns:
        The epoch's number from 1; None if training goes on.
    """
    best, without_gain = -math.inf, 0
    for record in records:
        if "validation_mAP" not in record:
            continue
        without_gain = 0 if record["validation_mAP"] > best else without_gain + 1
        best = max(best, record["validation_mAP"])
        if without_gain == patience > 0:
            return int(record["epoch"])
    return None
