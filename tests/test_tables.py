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


def test_the_plot_of_answers_is_that_of_the_result_file():
    plot = (ROOT / "docs" / "images" / "answers.svg").read_text(encoding="utf-8")
    assert tables.digest(tables.read_results("answers")["models"]) in plot


def test_the_table_of_embedding_has_a_row_for_each_network_and_for_each_size_read():
    def way(rate, ratio):
        return {"rates": [rate], "ratio": ratio, "cosine": 0.9987}

    ways = {"plain loop": way(40, 1), "torch": way(60, 1.5)}
    read = {name: way(100 * ratio, ratio) for name, ratio in (("plain loop", 1), ("exact", 2), ("quick", 3))}
    rows = {
        "reading, 320": {"sizes": {"224": {"ways": read}}, "repeats": 3},
        "resnet18, 320": {"backbone": "resnet18", "network_alone": 50, "ways": ways, "repeats": 3},
    }
    table = tables.embedding({"rows": rows, "machine": {"cores": 2}})
    assert "| resnet18, 320 px | 50.0 | 40.0 | 60.0 (1.50×; cosine 0.9987) |" in table
    assert "| 320 px | 224 | 100 | 200 (2.00×) | 300 (3.00×) |" in table
