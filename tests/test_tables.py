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
