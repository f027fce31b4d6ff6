"""The scripts of `examples/` are run as they stand, and so are the cells of the notebook."""

import ast
import json
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
NOTEBOOK = EXAMPLES / "first_look.ipynb"


@pytest.fixture
def run_example(tmp_path, monkeypatch, capsys):
    """Runs a script as its own program would be, but in this process; gives what it printed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_there_are_five_short_scripts_and_each_is_in_the_table():
    assert len(SCRIPTS) == 5
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in SCRIPTS:
        assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60, name
        assert f"[{name}.py]({name}.py)" in table
    assert f"[{NOTEBOOK.name}]({NOTEBOOK.name})" in table


@pytest.mark.slow
def test_an_own_folder_becomes_a_search(run_example, tmp_path):
    printed = run_example("own_folder")
    assert "Training has helped." in printed
    vehicle, camera, verdict = re.search(
        r"^Vehicle (\S+) of (\S+) is in the gallery: (\w+), \d+%$", printed, re.M
    ).groups()
    assert verdict in {"True", "False"}
    found = re.findall(r"^  (-?[\d.]+)  +(\d+)%  (\S+) by (\S+)$", printed, re.M)
    assert len(found) == 5
    assert [float(line[0]) for line in found] == sorted((float(line[0]) for line in found), reverse=True)
    assert camera not in {line[3] for line in found}
    assert any(line[2] == vehicle for line in found)
    (folder,) = tmp_path.glob("samecar-*")
    assert (folder / "run" / "report.html").is_file()


@pytest.mark.slow
def test_two_recipes_are_compared_query_by_query(run_example, tmp_path):
    from samecar.evaluation import compare_runs

    printed = run_example("compare_recipes")
    (folder,) = tmp_path.glob("samecar-*")
    (comparison,) = compare_runs(folder / "plain", folder / "augmented")
    assert f"{comparison.queries} queries of {comparison.vehicles} vehicles" in printed
    shown = re.findall(r"^ *(\S+) +([+-][\d.]+)  95 % interval \S+ to \S+  p ([\d.]+), (.*)$", printed, re.M)
    assert [line[0] for line in shown] == list(comparison.metrics)
    for (_, difference, p_value, verdict), found in zip(shown, comparison.metrics.values(), strict=True):
        assert float(difference) == pytest.approx(100 * (found.second - found.first), abs=0.051)
        assert verdict == ("more than chance" if float(p_value) < 0.05 else "may be chance")


def test_two_recipes_of_one_name_are_refused(run_example):
    with pytest.raises(SystemExit, match="give a source and the names of two recipes that differ"):
        run_example("compare_recipes", "veri776:VeRi", "demo", "demo")


@pytest.mark.slow
def test_embeddings_from_elsewhere_are_scored(run_example, tmp_path):
    from sklearn.metrics import average_precision_score

    printed = run_example("score_elsewhere")
    (folder,) = tmp_path.glob("samecar-*")
    query, gallery = (dict(np.load(folder / f"{name}.npz")) for name in ("query", "gallery"))
    precisions = []
    for row, embedding in enumerate(query["embeddings"].astype(np.float64)):
        same = gallery["vehicle_id"] == query["vehicle_id"][row]
        kept = ~(same & (gallery["camera_id"] == query["camera_id"][row]))
        distances = ((gallery["embeddings"][kept] - embedding) ** 2).sum(axis=1)
        if same[kept].any():
            precisions.append(average_precision_score(same[kept], -distances))
    expected = float(re.search(r"mAP ([\d.]+)", printed)[1])
    assert expected == pytest.approx(100 * np.mean(precisions), abs=0.1)
    assert "junk rule: " in printed
    assert (folder / "histograms.queries.csv").is_file()


@pytest.mark.light
def test_scoring_from_elsewhere_needs_no_torch(tmp_path):
    lines = (
        f"import runpy, sys, tempfile; tempfile.tempdir = {str(tmp_path)!r}; sys.modules['torch'] = None; "
        f"runpy.run_path({str(EXAMPLES / 'score_elsewhere.py')!r}, run_name='__main__')"
    )
    finished = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Evaluation(mAP " in finished.stdout


@pytest.mark.slow
def test_a_tracker_finds_vehicles_again_by_our_embeddings(run_example, monkeypatch):
    pytest.importorskip("deep_sort_realtime")
    if find_spec("cv2") is None:  # it is imported, but only used for crops, which samecar makes
        monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    printed = run_example("in_a_tracker")
    frames = {int(step): ast.literal_eval(places) for step, places in re.findall(r"frame +(\d+): (\{.*\})", printed)}
    before, after = frames[15], frames[95]
    assert sorted(before.values()) == sorted(after.values()) == ["lower", "upper"]
    assert before.keys() == after.keys()  # no vehicle has got a new number
    assert all(after[number] != lane for number, lane in before.items())  # and each is in the other's lane


@pytest.mark.slow
def test_a_paper_gets_its_table_and_figures(run_example, tmp_path):
    printed = run_example("paper")
    (folder,) = tmp_path.glob("samecar-*")
    table = (folder / "table.tex").read_text(encoding="utf-8")
    assert table in printed
    rows = re.findall(r"^(.+?) & ([\d.]+) \(([\d.]+)--([\d.]+)\) & ([\d.]+) \(([\d.]+)--([\d.]+)\) \\\\$", table, re.M)
    assert [row[0] for row in rows] == ["all parts", "no IBN", "no whitening"]
    for _, *numbers in rows:
        for value, low, high in (map(float, numbers[:3]), map(float, numbers[3:])):
            assert low <= value <= high
    for name in ("curves.pdf", "ranks.pdf"):
        width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", (folder / name).read_bytes())[1])
        assert width == pytest.approx(3.5 * 72, abs=0.5)


def notebook_cells():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def show_cell(source, names):
    """Runs a cell and gives the value of its last line, as a notebook does; None where that is no expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_is_kept_without_outputs():
    for cell in notebook_cells():
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_and_show_something(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = {"__name__": "__main__"}
    shown = [show_cell(cell["source"], names) for cell in notebook_cells()]
    assert all(value is not None for value in shown)
    assert "Training has helped." in shown
    trial = names["trial"]
    assert trial.trained in shown
    assert "95 % interval" in trial.trained._repr_html_()


@pytest.mark.slow
def test_a_notebook_program_runs_the_notebook(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    assert {"text/html", "image/png"} <= kinds
