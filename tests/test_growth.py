"""Nothing takes longer on more pictures than it must, at smaller sizes than the page's picture was made of."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import growth

ALLOWED = 0.35
"""By which an exponent may be higher than it must be: sizes are small, and other work goes on."""


@pytest.fixture
def _measure_processor_time(monkeypatch):
    monkeypatch.setattr(growth.time, "perf_counter", time.process_time)


def test_an_exponent_is_the_slope_over_the_larger_sizes():
    sizes = [1000 * 2**power for power in range(6)]
    assert growth.exponent({size: 3e-6 * size**1.5 for size in sizes}) == pytest.approx(1.5)
    assert growth.exponent({size: 1e-6 * size + 0.002 for size in sizes}) == pytest.approx(0.85, abs=0.05)
    assert growth.exponent({1: 1.0, 2: 4.0, 4: 16.0}) == pytest.approx(2)


@pytest.mark.usefixtures("_measure_processor_time")
def test_work_that_grows_too_quickly_is_noticed():
    def prepare(pictures, _folder):
        return lambda: [sum(range(pictures)) for _ in range(pictures)]

    found = growth.measure(growth.Work("squares", 1, 4000, prepare), sizes=3, repeats=2)
    assert found["pictures"] == [1000, 2000, 4000]
    assert found["exponent"] > 1 + ALLOWED


@pytest.mark.slow
@pytest.mark.usefixtures("_measure_processor_time")
@pytest.mark.parametrize(
    ("name", "largest"),
    [("embedding", 1000), ("scoring", 20_000), ("reranking", 4000), ("adding", 16_000), ("search", 32_000)],
)
def test_nothing_grows_faster_than_it_must(name, largest):
    work = growth.WORKS[name]
    found = growth.measure(work, largest, sizes=3, repeats=2)
    assert found["exponent"] <= work.must + ALLOWED, found
