"""The page with all tables and figures, its figures, its LaTeX, and what is run for it."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tiny_reproduction import TINY_MODEL, run_rows, tiny_choices

from samecar.errors import SamecarError
from samecar.reproduce import Choices, all_rows, choose_figures, choose_rows, figures, own_weights, reproduce
from samecar.reproduce.pages import index, latex
from samecar.reproduce.pages.text import cells, file_stem
from samecar.reproduce.pages.writing import read_folder, write_index, write_table
from samecar.reproduce.tables import table_results


@pytest.fixture(scope="module")
def drawn(painted_source, tmp_path_factory):
    """Two rows of table 8, and the clean comparison of table 6, with all figures that they allow."""
    work, _ = run_rows(["adam", "sgd"], painted_source, tmp_path_factory.mktemp("drawn"))
    work.draw()
    return work


def columns(text):
    """Checks LaTeX by reading it: environments close in order, braces too, and each line of a table has its columns.

    Returns the number of columns of each table.
    """
    text = re.sub(r"(?<!\\)%.*", "", text)
    open_environments, found = [], []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        assert depth >= 0
    assert depth == 0
    for given, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        *lines, last = re.sub(r"\\(toprule|midrule|bottomrule)", "", body).strip().split("\\\\")
        assert not last.strip()
        assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(given)}
        found.append(len(given))
    outside = re.sub(r"\\(begin|label|includegraphics|usepackage|documentclass|resizebox)\b.*", "", text)
    assert not re.search(r"(?<!\\)[#_^~]", outside)
    assert len(re.findall(r"(?<!\\)\$", outside)) % 2 == 0
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50 % of R&D_1 #2", r"50 \% of R\&D\_1 \#2"),
        ("a\\b{c}$~^", r"a\textbackslash{}b\{c\}\$\textasciitilde{}\textasciicircum{}"),
        ("-0.8 / +1.0 in table5/batch-64", r"$-$0.8 / +1.0 in table5/batch-64"),
        ("1.0 ± 0.2 † 512 × 288 3–4", r"1.0 $\pm$ 0.2 \dag{} 512 $\times$ 288 3--4"),
    ],
)
def test_latex_shows_a_text_unchanged(text, shown):
    assert latex.escape(text) == shown


@pytest.mark.parametrize("table", [f"table{number}" for number in range(1, 10)])
def test_latex_of_every_table_is_whole(drawn, table):
    content = table_results(table, Choices(), drawn.data, drawn.out / "nothing")
    strange = content | {"notes": [*content["notes"], "50 % of {R&D}_1 # \\ ~ ^ $"]}
    text = latex.table(strange)
    assert columns(text) == [len(cells(content)[0]) - 1]
    assert text.isascii()
    assert r"\toprule" in text
    for row in content["rows"]:
        assert latex.escape(row["name"]) in text


def test_one_page_shows_all_tables_and_figures_that_there_are(drawn):
    html = (drawn.out / "index.html").read_text()
    assert 'id="table8"' in html
    assert [number for number in range(1, 6) if f'id="figure{number}"' in html] == [2, 3, 5]
    assert "Not run yet: table1, table2, table3, table4, table5, table6, table7, table9, figure1, figure4." in html
    places = re.findall(r"(?:src|href)=\"([^\"]*)\"", html)
    assert all(place.startswith(("#", "data:image/")) for place in places)
    assert {place[1:] for place in places if place.startswith("#")} <= set(re.findall(r"id=\"([^\"]*)\"", html))
    pictures = [base64.b64decode(place.partition("base64,")[2]) for place in places if place.startswith("data:")]
    assert pictures == [(drawn.out / name).read_bytes() for name in ("figure2.png", "figure3.svg", "figure5.png")]
    text = (drawn.out / "index.md").read_text()
    assert "## Table 8: Optimisers, settings as printed; on other data" in text
    assert "](figure3.svg)" in text
    assert set(json.loads((drawn.out / "index.json").read_text())) == {"tables", "figures"}
    document = (drawn.out / "index.tex").read_text()
    assert columns(document) == [6]
    assert "{figure5.png}" in document
    assert document.rstrip().endswith(r"\end{document}")


def test_the_same_content_gives_the_same_bytes(drawn):
    before = {path.name: path.read_bytes() for path in drawn.out.iterdir() if path.is_file()}
    drawn.write()
    drawn.draw()
    assert {path.name: path.read_bytes() for path in drawn.out.iterdir() if path.is_file()} == before


def test_a_figure_that_shows_the_same_is_not_drawn_again(drawn, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("drawn again")

    for name in ("score_run", "save_figure", "read_picture"):
        monkeypatch.setattr(figures, name, refuse)
    assert {path.name for path in drawn.draw()} >= {"figure2.png", "figure5.svg", "index.html"}


def test_a_figure_that_cannot_be_drawn_does_not_keep_others_from_it(drawn, tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise SamecarError("picture p.jpg cannot be read")

    shutil.copytree(drawn.out, tmp_path / "out")
    for path in (tmp_path / "out").glob("[fi]*"):
        path.unlink()
    monkeypatch.setattr(figures, "read_picture", refuse)
    with pytest.raises(SamecarError, match=r"p\.jpg cannot be read"):
        replace(drawn, out=tmp_path / "out").draw()
    assert sorted(path.name for path in (tmp_path / "out").glob("figure*.png")) == ["figure5.png"]
    assert 'id="figure5"' in (tmp_path / "out" / "index.html").read_text()


def test_figure_5_is_of_the_best_finished_run(drawn):
    scores = {
        path.parent.name: json.loads(path.read_text())["evaluation"] for path in drawn.out.glob("runs/*/scores.json")
    }
    best = max(scores.values(), key=lambda evaluation: evaluation["mAP"])
    shown = json.loads((drawn.out / "figure5.json").read_text())
    assert list(shown["shows"].values()) == [best["protocol"]["model"]]
    assert f"mAP {100 * best['mAP']:.1f}" in shown["caption"]


def test_a_table_that_another_process_writes_meanwhile_is_on_the_page(drawn, tmp_path, monkeypatch):
    first, second = (table_results(table, drawn.choices, drawn.data, drawn.out) for table in ("table8", "table5"))
    write_table(tmp_path, first)
    page = index.page

    def interrupted(content, folder):
        if len(content["tables"]) == 1:
            write_table(tmp_path, second)
        return page(content, folder)

    monkeypatch.setattr(index, "page", interrupted)
    write_index(tmp_path)
    assert [table["table"] for table in json.loads((tmp_path / "index.json").read_text())["tables"]] == [
        "table5", "table8",
    ]  # fmt: skip
    assert 'id="table5"' in (tmp_path / "index.html").read_text()


def test_a_table_as_run_is_on_the_page_only_where_it_differs(drawn, tmp_path):
    for table in ("table8", "table9"):
        for as_run in (False, True):
            content = table_results(table, replace(drawn.choices, as_run=as_run), drawn.data, drawn.out)
            finished = [row | {"failure": "made up"} for row in content["rows"]]
            write_table(tmp_path, content | {"rows": finished})
    write_index(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert re.findall(r"<section id=\"([^\"]*)\"", html) == ["table8", "table9", "table9-as-run"]


def test_a_table_of_before_whose_name_does_not_say_its_settings_is_left_out(drawn, tmp_path):
    content = table_results("table9", replace(drawn.choices, as_run=True), drawn.data, drawn.out)
    assert file_stem(content) == "table9-as-run"
    (tmp_path / "table9.json").write_text(json.dumps(content))
    assert read_folder(tmp_path) == {"tables": [], "figures": []}


@pytest.mark.parametrize(
    ("printed", "as_run", "shown"), [(6, 6, "as run"), (6, 2, "as printed"), (6, None, "as printed"), (0, 1, "as run")]
)
def test_figure_4_is_by_default_the_one_as_run(printed, as_run, shown):
    counts = {"as printed": printed, "as run": as_run}
    drawn_ones = [
        {"figure": "figure4", "stem": settings, "title": "", "caption": "", "settings": settings, "qualifiers": [],
         "shows": dict.fromkeys(map(str, range(count)))}
        for settings, count in counts.items() if count is not None
    ]  # fmt: skip
    text = index.markdown({"tables": [], "figures": drawn_ones})
    assert re.findall(r"\((.*)\.svg\)", text) == [shown]


# what is run


def planned(painted_source, tmp_path, targets, **options):
    work = reproduce(choose_rows(targets), painted_source, tmp_path, Choices(**options), choose_figures(targets))
    return work.planned_runs()


@pytest.mark.parametrize(
    ("targets", "runs"),
    [(["all"], 35 + 6), (["figure4"], 6), (["figure3"], 5), (["figure1"], 1), (["figure2"], 0), (["figure5"], 1),
     (["table6"], 3 + 1), (["table6", "table4"], 3 + 4), (["table8", "figure3"], 5), (["table9", "figure4"], 12)],
)  # fmt: skip
def test_tables_and_figures_are_planned_with_each_run_once(painted_source, tmp_path, targets, runs):
    found = planned(painted_source, tmp_path, targets)
    assert len({run.folder for run in found}) == len(found) == runs


def test_figure_4_is_planned_as_run(painted_source, tmp_path):
    for run in planned(painted_source, tmp_path, ["figure4"]):
        assert (run.recipe.model.height, run.recipe.augmentation.erasing) == (224, 0.5)
    assert len(planned(painted_source, tmp_path, ["table9", "figure4"], as_run=True)) == 6


# whose weights


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A file of weights that counts as the report's own for the tiny network."""
    path = tmp_path / "own.safetensors"
    save_file({"x": torch.zeros(3)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(own_weights.PUBLISHED, "test_resnet", (digest[:8],))
    return path


def qualifiers(drawn, weights, out):
    changes = ("model.backbone=test_resnet", f"model.weights={weights}")
    content = table_results("table8", Choices(changes=changes), drawn.data, out)
    return content["qualifiers"]


def test_a_copy_of_the_reports_own_weights_is_no_change(drawn, own_file, tmp_path):
    assert qualifiers(drawn, own_file, tmp_path)[-1] == "changed: model.backbone=test_resnet"
    other = own_file.with_name("other.safetensors")
    save_file({"x": torch.ones(3)}, other)
    for weights in (other, "none", own_file.with_name("absent.pth")):
        assert qualifiers(drawn, weights, tmp_path)[-1].endswith(f", model.weights={weights}")


def test_what_a_run_recorded_of_its_weights_counts_more_than_the_file(drawn, own_file, tmp_path):
    choices = Choices(changes=("model.backbone=test_resnet", f"model.weights={own_file}"))
    (first, *_) = drawn.out.glob("runs/*")
    record = json.loads((first / "run.json").read_text())
    for row in choose_rows(["table8"]):
        folder = tmp_path / "runs" / f"{choices.recipe(row).digest}-seed1"
        folder.mkdir(parents=True)
        weights = {"name": "file:own", "file": "own", "sha256": 64 * "0", "licence": None, "address": None}
        (folder / "run.json").write_text(json.dumps(record | {"weights": weights}))
    assert qualifiers(drawn, own_file, tmp_path)[-1].endswith(f", model.weights={own_file}")


def test_published_digests_are_of_the_backbones_that_the_rows_have():
    assert {Choices().recipe(row).model.backbone for row in all_rows()} == set(own_weights.PUBLISHED)


def test_the_tiny_rows_are_said_to_be_changed(drawn):
    assert table_results("table8", tiny_choices(), drawn.data, drawn.out)["qualifiers"][-1] == (
        f"changed: {', '.join(TINY_MODEL)}"
    )
