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


LEARNED = {
    "plain loop": {"rates": [18, 19, 20], "ratio_to_plain": 1.0, "share_of_network_alone": 0.8, "waiting": 0.021},
    "network alone": {"rates": [24], "ratio_to_plain": 1.25, "share_of_network_alone": 1.0, "waiting": 0.0},
    "default": {
        "rates": [23],
        "ratio_to_plain": 1.2,
        "share_of_network_alone": 0.96,
        "waiting": 0.012,
        "timeline": {"waiting": 10, "forward": 400, "loss": 5, "backward": 800, "step": 20},
    },
}


def test_the_table_of_training_has_a_row_for_each_way_and_its_plot_a_bar(tmp_path):
    row = {"ways": LEARNED, "batch": 32, "side": 224, "files": 320, "repeats": 3, "seconds": 6}
    results = {"rows": {"resnet18": row}, "device": "cpu", "machine": {"cores": 2}}
    table = tables.training(results)
    assert "| resnet18, plain loop | 19.0 | 1.00× | 80 % | 2.1 % |" in table
    assert "| resnet18, network alone | 24.0 | 1.25× | 100 % | – |" in table
    assert "| resnet18, default | 23.0 | 1.20× | 96 % | 1.2 % |" in table
    tables.draw_training(results, tmp_path / "plot.svg")
    assert tables.digest(results["rows"]) in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_nothing_is_drawn_where_nothing_was_measured(tmp_path):
    tables.draw_training({"rows": {}}, tmp_path / "plot.svg")
    assert not (tmp_path / "plot.svg").exists()


def test_the_plot_of_training_is_that_of_the_result_file():
    rows, plot = tables.read_results("training")["rows"], ROOT / "docs" / "images" / "training.svg"
    assert plot.is_file() is bool(rows)
    assert not rows or tables.digest(rows) in plot.read_text(encoding="utf-8")


def test_the_table_of_fast_rows_compares_the_same_queries():
    def run(values):
        return {"seconds": 10, "average_precisions": values, "vehicles": ["a", "b", "c", "d"]}

    reference, fast = ([run(values)] * 3 for values in ([0.5, 0.5, 0.4, 0.6], [0.6, 0.5, 0.4, 0.7]))
    rows = {"table8/adam": {"reference": reference, "fast": fast, "fast_is": "compiled"}}
    results = {"rows": rows, "scale": "5 epochs", "seeds": [1, 2, 3], "machine": {"cores": 2}}
    told = tables.fast_on_drawn(results)
    assert "| table8/adam | 50.0 | 55.0 | +5.0 (" in told
    assert "Fast was compiled for table8/adam." in told
