import csv
import itertools
import json
import statistics
from collections import defaultdict

import numpy as np
import pytest
from scipy import stats
from tiny_reproduction import run_rows

from samecar.reproduce import chance
from samecar.reproduce.pages import latex
from samecar.reproduce.pages.html import table_page
from samecar.reproduce.pages.provenance import describe_runs
from samecar.reproduce.pages.text import cells, full_title, headings, legend, markdown
from samecar.reproduce.pages.writing import write_table
from samecar.reproduce.tables import table_results
from samecar.uncertainty import Comparison

METRICS = ("rank-1", "mAP")


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
    assert html == table_page(content)
    assert (work.out / "table8.tex").read_text() == latex.table(content)
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
    assert "Not a reproduction of the report" in table_page(content)


def test_an_unscaled_table_on_veri776_is_titled_without_reserve(content):
    whole = content | {"qualifiers": [], "reproduction": True}
    assert full_title(whole) == "Table 8: Optimisers, settings as printed"
    assert headings(whole)[2] == "samecar"
    assert "Not a reproduction" not in table_page(whole)


def test_differences_are_from_the_baseline_row(content):
    table = cells(content)
    assert table[0][4:6] == ["baseline", "baseline"]
    assert table[4][4] == "-4.7 / -5.3"
    ours = content["rows"][4]["scores"]["mAP"]["mean"] - content["rows"][0]["scores"]["mAP"]["mean"]
    assert table[4][5].rstrip("*").endswith(f"{round(ours, 1) + 0.0:+.1f}")


def test_rows_that_were_not_run_have_no_numbers(content):
    rows = [row | {"runs": [], "scores": None} for row in content["rows"]]
    rows[1] = content["rows"][1] | {"runs": content["rows"][1]["runs"][:1]}
    partial = content | {"rows": rows}
    assert [row[2] for row in cells(partial)].count("–") == 4
    assert cells(partial)[1][5] == "–"
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
    assert {"model", "seed", "initial_weights"}.isdisjoint(content["card"])
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
    assert "&lt;b&gt;&amp;" in table_page(strange)


def test_writing_replaces_whole_files_only(content, tmp_path):
    paths = write_table(tmp_path, content)
    assert [path.name for path in paths] == ["table8.md", "table8.html", "table8.json", "table8.tex"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_settings_as_run_have_files_of_their_own(content, tmp_path):
    write_table(tmp_path, content)
    paths = write_table(tmp_path, content | {"settings": "as run"})
    assert [path.name for path in paths] == [f"table8-as-run.{suffix}" for suffix in ("md", "html", "json", "tex")]
    assert len(list(tmp_path.iterdir())) == 8


# chance


def per_vehicle(work, row):
    """Sums over a vehicle's queries of rank-1 and mAP, each query with the mean of its values over seeds."""
    values = defaultdict(list)
    for folder in sorted(work.out.glob(f"runs/{row['digest']}-seed*")):
        (table,) = (folder / "evaluations").glob("*.queries.csv")
        for query in csv.DictReader(table.open()):
            found = (float(int(query["first_match"]) == 1), float(query["average_precision"]))
            values[query["vehicle_id"], query["path"]].append(found)
    sums, queries = defaultdict(lambda: np.zeros(2)), defaultdict(int)
    for (vehicle, _), of in values.items():
        assert len(of) == 2  # seeds
        sums[vehicle] += np.mean(of, axis=0)
        queries[vehicle] += 1
    assert len(set(queries.values())) == 1  # so that a mean over vehicles is one over queries
    return np.stack([sums[vehicle] / queries[vehicle] for vehicle in sorted(sums)])  # (vehicles, 2)


@pytest.mark.parametrize(("p_value", "outside"), [(0.0499, True), (0.05, False), (0.07, False)])
def test_a_difference_is_outside_chance_below_five_percent(p_value, outside):
    comparison = Comparison(0.5, 0.6, 0.1, (-0.1, 0.3), p_value)
    assert chance._describe(comparison) == {
        "difference": pytest.approx(10),
        "interval": pytest.approx([-10, 30]),
        "p_value": p_value,
        "outside_chance": outside,
    }


@pytest.mark.parametrize("place", [1, 3, 4])
def test_p_values_are_those_of_all_exchanges_of_vehicles(content, reproduced, place):
    work, _ = reproduced
    differences = per_vehicle(work, content["rows"][place]) - per_vehicle(work, content["rows"][0])
    signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
    exchanged = np.abs(signs @ differences) / len(differences)
    for column, metric in enumerate(METRICS):
        found = content["rows"][place]["comparison"][metric]
        observed = abs(differences[:, column].mean())
        exact = (exchanged[:, column] >= observed - 1e-12).mean()
        assert found["difference"] == pytest.approx(100 * differences[:, column].mean(), abs=1e-9)
        assert found["p_value"] == pytest.approx(exact, abs=0.03)
        assert found["outside_chance"] == (found["p_value"] < 0.05)
    assert content["rows"][0]["comparison"] is None


@pytest.mark.parametrize("place", [0, 4])
def test_intervals_are_where_a_score_test_with_as_many_vehicles_ends(content, reproduced, place):
    work, _ = reproduced
    values = per_vehicle(work, content["rows"][place])
    count = len(values)
    for column, metric in enumerate(METRICS):
        score = values[:, column].mean()
        seen, worst = values[:, column].var(ddof=1) / count, score * (1 - score) / count
        variance = ((count - 1) * seen + 2 * worst) / (count + 1)  # two vehicles more, all right or all wrong
        number = max(score * (1 - score) / variance, count / 2) if variance else count
        squared = stats.t.ppf(0.975, count - 1) ** 2 / number
        ends = np.roots([1 + squared, -2 * score - squared, score**2])
        assert content["rows"][place]["intervals"][metric] == pytest.approx(sorted(100 * ends), abs=1e-6)


def test_differences_outside_chance_are_marked_and_the_mark_is_explained(content):
    marked = {
        metric: content["rows"][4]["comparison"][metric] | {"outside_chance": metric == "mAP"} for metric in METRICS
    }
    rows = [*content["rows"][:4], content["rows"][4] | {"comparison": marked}]
    ours = cells(content | {"rows": rows})[4][5].split(" / ")
    assert [value.endswith("*") for value in ours] == [False, True]
    assert any("Outside chance (p < 5 %) are differences with *" in sentence for sentence in legend(content))
    assert any("each query with the mean of its values over the seeds" in sentence for sentence in legend(content))


def test_runs_without_saved_queries_are_neither_given_an_interval_nor_tested(content):
    rows = [*content["rows"][:4], content["rows"][4] | {"comparison": None, "intervals": None}]
    without = content | {"rows": rows}
    assert cells(without)[4][3] == "–"
    assert "*" not in cells(without)[4][5]
    assert "No queries are saved of table8/sgd: neither interval nor test." in legend(without)


# provenance


def test_the_page_says_where_each_run_came_from(content):
    runs = describe_runs([content])
    shared = dict(runs.shared)
    assert len(runs.lines) == 10
    assert shared["weights"] == "none"
    assert shared["made with"].startswith("samecar 0.1.0")
    assert "torch " in shared["made with"]
    assert "timm " in shared["made with"]
    assert "threads: " in shared["on"]
    assert {"rows", "seed", "model"} <= set(runs.headings)
    assert {*shared, *runs.headings} >= {"training", "peak memory", "date"}
    html = table_page(content)
    assert all(value in html for value in shared.values())
    assert content["data"]["train_digest"] in html
    assert content["data"]["test_digest"] in html
    assert "Not the same pictures as VeRi-776&#39;s published lists: 48 train pictures, 37,730 fewer;" in html
    assert "f3d10ca73c6d9b47" in html


def test_weights_are_named_with_digest_and_licence(content):
    weights = {"name": "timm:x.y", "file": "x", "sha256": 64 * "a", "licence": "apache-2.0", "address": "https://x"}
    rows = [row | {"runs": [run | {"weights": weights} for run in row["runs"]]} for row in content["rows"]]
    sentence = "Weights to begin from: timm:x.y, SHA-256 aaaaaaaaaaaaaaaa…, licence apache-2.0."
    assert sentence in legend(content | {"rows": rows})


def test_what_earlier_versions_did_not_write_is_not_recorded(content):
    added = ("costs", "intervals", "comparison")
    run_added = ("folder", "weights", "resolved", "sessions")
    rows = [
        {name: value for name, value in row.items() if name not in added}
        | {"runs": [{name: value for name, value in run.items() if name not in run_added} for run in row["runs"]]}
        for row in content["rows"]
    ]
    old = {name: value for name, value in content.items() if name not in ("beside", "data", "samecar")} | {"rows": rows}
    assert headings(old)[3] == "difference from the baseline row, report"
    assert dict(describe_runs([old]).shared)["weights"] == "not recorded"
    assert "not recorded" in table_page(old)
    assert latex.table(old).startswith("% needs")
    assert "Weights" not in markdown(old)


# tables with more than rows and scores


def test_table_2_shows_what_its_networks_cost(reproduced):
    work, _ = reproduced
    table = table_results("table2", type(work.choices)(), work.data, work.out / "nothing")
    assert headings(table)[1:3] == ["parameters", "multiply-adds"]
    costs = table["rows"][0]["costs"]
    features = 11_689_512 - 513_000  # torchvision's ResNet18, without its classifier for ImageNet
    assert costs["parameters"] == features + (512 + 1) * 1024 + 2 * 1024  # FC, BN
    assert costs["multiply_adds"] == 1_814_073_344 - 512 * 1000 + 512 * 1024
    assert cells(table)[0][1:3] == ["11.70 M", "1,814 M"]
    assert any("without the classifier" in sentence and "224 × 224" in sentence for sentence in legend(table))
    assert "parameters" in latex.table(table)
    assert "11.70 M" in markdown(table)
    assert "11.70 M" in table_page(table)


def test_table_6_shows_the_clean_comparison_as_a_row_that_is_not_its_own(reproduced):
    work, _ = reproduced
    table = table_results("table6", type(work.choices)(), work.data, work.out / "nothing")
    lines = cells(table)
    assert len(lines) == 4
    assert lines[3][0] == "Multi-step, with the layer of 1024: the clean comparison ‡"
    assert lines[3][1] == "90.8 / 61.6"
    assert "0 of 3 rows were run." in legend(table)
    assert "‡ Not a row of the report's Table 6, but table4/embedding-1024." in legend(table)
    assert table_page(table).count('class="beside"') == 1
