import json
import statistics

import pytest
from tiny_reproduction import run_rows

from samecar.reproduce.tables import cells, full_title, headings, legend, markdown, page, table_results, write_table


@pytest.fixture(scope="module")
def reproduced(painted_source, tmp_path_factory):
    names = ["adam", "adamw", "amsgrad", "rmsprop", "sgd"]
    return run_rows(names, painted_source, tmp_path_factory.mktemp("reproduced"))


@pytest.fixture(scope="module")
def content(reproduced):
    work, _ = reproduced
    return table_results("table8", work.choices, work.data, work.out)


def test_scores_are_mean_and_sample_deviation_over_seeds(content, reproduced):
    _, outcomes = reproduced
    row = content["rows"][4]
    values = [100 * outcome.scores["evaluation"]["mAP"] for outcome in outcomes if outcome.run.rows[0] == "table8/sgd"]
    assert [run["mAP"] for run in row["runs"]] == values
    assert row["scores"]["mAP"]["mean"] == pytest.approx(statistics.fmean(values))
    assert row["scores"]["mAP"]["deviation"] == pytest.approx(statistics.stdev(values))
    assert row["report"] == {"rank-1": 80.5, "mAP": 48.9}


def test_json_markdown_and_html_are_written_and_say_the_same(content, reproduced):
    work, _ = reproduced
    assert json.loads((work.out / "table8.json").read_text()) == json.loads(json.dumps(content))
    assert (work.out / "table8.md").read_text() == markdown(content)
    html = (work.out / "table8.html").read_text()
    assert html == page(content)
    for row in cells(content):
        for cell in row:
            assert cell in html
    assert "http" not in html


def test_figure_3_is_drawn_with_table_8(reproduced):
    work, _ = reproduced
    assert (work.out / "figure3.png").stat().st_size > 10_000
    assert b"Adam" in (work.out / "figure3.svg").read_bytes()


def test_a_scaled_table_never_passes_for_a_reproduction(content):
    title = full_title(content)
    assert "1 of 60 epochs" in title
    assert "pictures at 0.125 of their size" in title
    assert "model.weights=none" in title
    assert "on other data than VeRi-776" in title
    assert content["reproduction"] is False
    assert headings(content)[2] == "samecar, not a reproduction"
    assert "Not a reproduction of the report" in page(content)


def test_an_unscaled_table_on_veri776_is_titled_without_reserve(content):
    whole = content | {"qualifiers": [], "reproduction": True}
    assert full_title(whole) == "Table 8: Optimisers, settings as printed"
    assert headings(whole)[2] == "samecar"
    assert "Not a reproduction" not in page(whole)


def test_differences_are_from_the_baseline_row(content):
    table = cells(content)
    assert table[0][3:5] == ["baseline", "baseline"]
    assert table[4][3] == "-4.7 / -5.3"
    ours = content["rows"][4]["scores"]["mAP"]["mean"] - content["rows"][0]["scores"]["mAP"]["mean"]
    assert table[4][4].endswith(f"{round(ours, 1) + 0.0:+.1f}")


def test_rows_that_were_not_run_have_no_numbers(content):
    rows = [row | {"runs": [], "scores": None} for row in content["rows"]]
    rows[1] = content["rows"][1] | {"runs": content["rows"][1]["runs"][:1]}
    partial = content | {"rows": rows}
    assert [row[2] for row in cells(partial)].count("–") == 4
    assert cells(partial)[1][4] == "–"
    assert "1 of 5 rows were run." in legend(partial)
    assert "Not every row was run with every seed." in legend(partial)


def test_one_run_has_no_deviation(reproduced):
    work, _ = reproduced
    single = table_results(
        "table8", type(work.choices)((1,), False, work.choices.scale, work.choices.changes), work.data, work.out
    )
    assert single["rows"][0]["scores"]["mAP"]["deviation"] is None
    assert "±" not in markdown(single)
    assert "ours: seed 1." in legend(single)[0]


def test_the_card_is_what_all_runs_share(content):
    assert content["card"]["junk_rule"] == "same vehicle and same camera"
    assert content["card"]["distance"] == "euclidean"
    assert {"model", "seed"}.isdisjoint(content["card"])
    assert "Protocol card: protocol: plain" in markdown(content)


@pytest.mark.parametrize(("as_run", "shown"), [(False, "the printed ones"), (True, "those of the run")])
def test_a_table_says_which_settings_it_shows(reproduced, as_run, shown):
    work, _ = reproduced
    choices = type(work.choices)((1,), as_run, work.choices.scale, work.choices.changes)
    table = table_results("table1", choices, work.data, work.out)
    assert [row[0].endswith("†") for row in cells(table)] == [False] * 6 + [True] * 2
    assert any(shown in sentence for sentence in legend(table))
    assert f"settings {'as run' if as_run else 'as printed'};" in full_title(table)


def test_names_are_escaped_in_html(content):
    strange = content | {"notes": ["<b>&"]}
    assert "&lt;b&gt;&amp;" in page(strange)


def test_writing_replaces_whole_files_only(content, tmp_path):
    paths = write_table(tmp_path, content)
    assert [path.name for path in paths] == ["table8.md", "table8.html", "table8.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
