"""What docs/evaluation.md says is what was measured and what the commands offer."""

import runpy
from pathlib import Path

import pytest

from samecar.evaluation import PROTOCOLS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return runpy.run_path(str(ROOT / "benchmarks" / "evaluation.py"))


def test_the_table_is_that_of_the_result_files(benchmark):
    assert benchmark["with_table"](PAGE, benchmark["table"](benchmark["sizes"]())) == PAGE
    assert "1,678 × 11,579 × 2,048" in PAGE


def test_the_plot_is_that_of_the_result_files(benchmark):
    plot = (ROOT / "docs" / "images" / "evaluation.svg").read_text(encoding="utf-8")
    assert benchmark["digest"](benchmark["sizes"]()) in plot


def test_every_protocol_is_described():
    for name in PROTOCOLS:
        assert f"`{name}`" in PAGE
