import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import tables  # noqa: E402


@pytest.mark.parametrize("name", tables.PAGES)
def test_tables_say_what_the_result_files_say(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert tables.BLOCK.search(page)
    assert tables.filled(page) == page


def test_the_plot_of_re_ranking_is_that_of_the_result_file():
    plot = (ROOT / "docs" / "images" / "reranking.svg").read_text(encoding="utf-8")
    assert tables.digest(tables.read_results("reranking")["sizes"]) in plot
