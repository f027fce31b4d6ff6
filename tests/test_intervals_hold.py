"""How often intervals hold the truth, on fewer sets than the page's table was made of."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import intervals

pytestmark = pytest.mark.slow

SETS = 80
LOWEST = 0.86
"""Of 80 intervals that hold with 95 %, fewer hold once in a thousand."""


@pytest.mark.parametrize("kind", [intervals.Kind(20, 0.3), intervals.Kind(20, 0.8)], ids=str)
def test_intervals_of_scores_hold_where_a_bootstrap_does_not(kind):
    found = intervals.cover_scores(kind, SETS)
    for name in ("mAP", "mINP", "rank-1"):
        assert found[name]["samecar"]["holds"] >= LOWEST, name
    if kind.noise < 0.5:
        assert found["mAP"]["percentile bootstrap"]["holds"] < LOWEST


def test_intervals_of_differences_hold_and_agree_with_the_test():
    for name, row in intervals.cover_differences(intervals.Kind(20, 0.8), SETS).items():
        assert row["samecar"]["holds"] >= LOWEST, name
        assert row["contradicting"] == 0


def test_intervals_of_a_calibration_know_of_its_threshold():
    for name, row in intervals.cover_calibrations(intervals.Kind(40, 0.8), SETS // 2).items():
        assert row["samecar"]["holds"] >= LOWEST, name
