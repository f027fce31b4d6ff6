"""The report's five figures, drawn from what is finished; each has a description beside it, `figure4-as-run.json`.

A figure is drawn anew only when what it shows has changed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samecar.data.pictures import read_picture
from samecar.experiment.evaluate import score_run
from samecar.files import read_json, write_json
from samecar.hardware import Machine
from samecar.progress import Progress, silent
from samecar.report.figures.augmentations import augmentations_figure
from samecar.report.figures.curves import curves_figure
from samecar.report.figures.features import features_figure
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure
from samecar.reproduce.rows import derive, differs_as_run, find_row, report_figures, report_tables, row_ids
from samecar.reproduce.runs import Choices, Data, rows_by_run, run_folder, saved_scores
from samecar.reproduce.tables import qualifiers
from samecar.training import Run
from samecar.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAREST = 20
"""Gallery pictures of figure 5, as in the report."""


def draw_curves(name: str, choices: Choices, data: Data, out: Path) -> list[Path]:
    """Draws training loss of a table's finished runs with the first seed, as `figure3` or `figure4`.

    With the settings of the published runs the files are called `figure4-as-run`, where these differ.

    Args:
        name: of a figure that shows curves.
        choices: how the rows were run.
        data: that they were run on.
        out: the folder above `runs`.

    Returns:
        The files; none if no run is finished.
    """
    table = report_figures()[name].curves
    assert table is not None  # or it shows no curves
    folders = {find_row(row)[1].name: run_folder(out, choices.recipe(row), choices.seeds[0]) for row in row_ids(table)}
    scored = {label: scores for label, folder in folders.items() if (scores := saved_scores(folder, data))}
    if not scored:
        return []
    as_run = choices.as_run and differs_as_run(table)
    models = {label: scores["evaluation"]["protocol"]["model"] for label, scores in scored.items()}
    description = {
        "settings": ("as run" if choices.as_run else "as printed") if differs_as_run(table) else None,
        "caption": f"{len(scored)} of {len(folders)} rows of {_named(table)}, seed {choices.seeds[0]}",
        "qualifiers": qualifiers(choices, data, out, row_ids(table)),
        "shows": models,
    }
    return _draw(
        name,
        out / (name + "-as-run" * as_run),
        description,
        lambda title: curves_figure({label: Run.open(folders[label]) for label in scored}, title=title),
    )


def draw_features(choices: Choices, data: Data, out: Path) -> list[Path]:
    """Draws feature maps of the row that figure 1 shows, of the first query; nothing if its run is not finished."""
    (row,) = report_figures()["figure1"].rows
    folder = run_folder(out, choices.recipe(row), choices.seeds[0])
    scores = saved_scores(folder, data)
    if scores is None:
        return []
    queries = data.manifest.of_split("query")
    description = {
        "settings": None,
        "caption": f"{find_row(row)[1].name} as {row} trained it, seed {choices.seeds[0]}; query {queries.path[0]}",
        "qualifiers": qualifiers(choices, data, out, [row]),
        "shows": {row: scores["evaluation"]["protocol"]["model"], "picture": str(queries.path[0])},
    }
    return _draw(
        "figure1",
        out / "figure1",
        description,
        lambda title: features_figure(
            Run.open(folder).load_model(), read_picture(queries.absolute_path(0)), title=title
        ),
    )


def draw_augmentations(data: Data, out: Path) -> list[Path]:
    """Draws the first train picture under each augmentation."""
    pictures = data.manifest.of_split("train")
    description: dict[str, Any] = {
        "settings": None,
        "caption": f"Train picture {pictures.path[0]}",
        "qualifiers": [],
        "shows": {"picture": str(pictures.path[0]), "data": data.train_digest},
    }
    return _draw(
        "figure2",
        out / "figure2",
        description,
        lambda _title: augmentations_figure(read_picture(pictures.absolute_path(0))),
    )


def draw_ranks(
    choices: Choices, data: Data, out: Path, *, on: Machine | None = None, progress: Progress = silent
) -> list[Path]:
    """Draws a query and its nearest gallery pictures by the best finished run; nothing if none is finished.

    The best is that of the highest mAP, of all rows with these choices, as printed and as run. All test pictures are
    embedded, unless the figure shows that run already.
    """
    best = _best_run(choices, data, out)
    if best is None:
        return []
    folder, used, rows, scores = best
    evaluation = scores["evaluation"]
    values = f"rank-1 {100 * evaluation['cmc']['1']:.1f}, mAP {100 * evaluation['mAP']:.1f}"
    settings = "settings as run" if used.as_run and any(map(_differs, rows)) else "settings as printed"
    seed = folder.name.rpartition("-seed")[2]
    description = {
        "settings": None,
        "caption": (
            f"A query of middling average precision by the best run, {' = '.join(rows)}, {settings}, seed {seed}: "
            f"{values}"
        ),
        "qualifiers": qualifiers(used, data, out, rows),
        "shows": {rows[0]: evaluation["protocol"]["model"]},
    }
    return _draw(
        "figure5",
        out / "figure5",
        description,
        lambda _title: ranks_figure([score_run(folder, data.manifest, on=on, progress=progress).ranked(None, NEAREST)]),
    )


def _best_run(choices: Choices, data: Data, out: Path) -> tuple[Path, Choices, Sequence[str], dict[str, Any]] | None:
    """The folder, choices, rows and scores of the finished run with the highest mAP; None if there is none."""
    found = []
    for used in (replace(choices, as_run=False), replace(choices, as_run=True)):
        for rows in rows_by_run(used).values():
            folders = [run_folder(out, used.recipe(rows[0]), seed) for seed in used.seeds]
            found += [
                (folder, used, rows, scores) for folder in folders if (scores := saved_scores(folder, data)) is not None
            ]
    return max(found, key=lambda run: run[3]["evaluation"]["mAP"], default=None)


def _draw(name: str, stem: Path, description: Mapping[str, Any], make: "Callable[[str], Figure]") -> list[Path]:
    """Draws a figure and describes it, unless it is there and shows the same already.

    Args:
        name: of the figure.
        stem: of its files.
        description: what it shows.
        make: draws it with a title.
    """
    number = name.removeprefix("figure")
    title = f"Figure {number}: {report_figures()[name].title}"
    if description["settings"]:
        title += f", settings {description['settings']}"
    described = stem.with_name(f"{stem.name}.json")
    content = {"figure": name, "stem": stem.name, "title": title, **description, "samecar": __version__}
    before = read_json(described) if described.is_file() else {}
    files = [stem.with_name(file) for file in before.pop("files", [])]
    if before != content or not files or not all(file.is_file() for file in files):
        reserve = "; not a reproduction of the report" if description["qualifiers"] else ""
        files = save_figure(make(title + reserve), stem)
        write_json(described, {**content, "files": [file.name for file in files]})
    return [*files, described]


def _differs(row: str) -> bool:
    return derive(row, as_run=True) != derive(row)


def _named(table: str) -> str:
    return f"Table {table.removeprefix('table')} ({report_tables()[table].title.lower()})"
