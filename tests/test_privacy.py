"""docs/privacy.md lists what galleries, runs and the web page really keep: all of it, and nothing else."""

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
from command_line import done, tiny
from conftest import paint_picture
from engine_contract import FACTS, JPEG, random_additions, random_embeddings

from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.gallery import CALIBRATION_FILE
from samecar.retrieval.records import Judgement, Preview

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "src" / "samecar" / "serving" / "page"
PAGE = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")


def rows_of(heading: str, first_column: str) -> list[list[str]]:
    """The cells of a table below a heading of the page, by the name of its first column."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = section.partition(f"| {first_column} |")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named(cell: str) -> list[str]:
    """What a cell names in code."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A gallery in which there is something of everything."""
    folder = tmp_path_factory.mktemp("privacy") / "gallery"
    facts = FACTS.model_copy(update={"preview": 640})
    files = {"model.json": b"{}", CALIBRATION_FILE: b"{}"}
    with closing(FolderEngine.create(folder, facts, files)) as engine:
        first, *others = random_additions(9)
        known = replace(first.sighting, labels={"lane": "1"})
        ids = engine.add([replace(first, sighting=known, thumbnail=JPEG, previews=(Preview(JPEG, 1.0),)), *others])
        engine.judge(Judgement("q", ids[0], True, JPEG))
        engine.remove(ids[-1:])
        engine.search(random_embeddings(1), 1)
    return folder


def test_every_file_of_a_gallery_in_a_folder_is_listed_and_no_other(gallery):
    with closing(FolderEngine.open(gallery)) as engine:
        engine.summary()  # so that there is a log
        found = {f"{path.name}/" if path.is_dir() else path.name for path in gallery.iterdir()}
    listed = [name for file, *_ in rows_of("A gallery in a folder", "file") for name in named(file)]
    assert sorted(found) == sorted(listed)


def test_every_column_of_a_catalogue_is_listed_and_no_other(gallery):
    with closing(sqlite3.connect(gallery / "catalogue.sqlite")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        found = [
            f"{table}.{column[1]}"
            for (table,) in tables.fetchall()
            for column in connection.execute(f"PRAGMA table_info({table})")
        ]
    rows = rows_of("A gallery in a folder", "column of `catalogue.sqlite`")
    assert sorted(found) == sorted(name for column, *_ in rows for name in named(column))


def test_every_column_on_a_server_is_listed_and_no_other(postgres):
    from samecar.retrieval.postgres import PostgresEngine

    database = postgres.new_database()
    PostgresEngine.create(postgres.address(database), "g", FACTS).close()
    found = postgres.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'samecar'", database
    )
    listed = [
        (table, column)
        for tables, columns, _ in rows_of("A gallery on a server", "table")
        for table in named(tables)
        for column in named(columns)
    ]
    assert sorted(found) == sorted(listed)


@pytest.mark.slow
def test_every_file_of_a_run_is_listed(tmp_path):
    for vehicle in range(12):
        for camera in (1, 2):
            paint_picture(tmp_path / "crops" / f"v{vehicle}_c{camera}.png", vehicle, camera, 0)
    crops = f"folder:{tmp_path}/crops/{{vehicle_id}}_{{camera_id}}.png"
    done("data", "split", crops, "-o", tmp_path / "pictures.csv", "--held-out", "0.3")
    run = tmp_path / "run"
    done("train", "report-baseline", "--data", f"csv:{tmp_path}/pictures.csv", "--out", run, *tiny())
    done("evaluate", run, "--data", f"csv:{tmp_path}/pictures.csv", "--workers", "0")
    found = {f"{path.name}/" if path.is_dir() else path.name for path in run.iterdir()}
    rows = rows_of("Runs, models and files that are written", "file")
    listed = [name for file, *_ in rows for name in named(file)]
    assert [name for name in sorted(found) if not any(fnmatch(name, pattern) for pattern in listed)] == []
    assert {"run.json", "model/", "evaluations/", "report.html", "metrics.jsonl"} <= found


def test_the_page_of_the_service_keeps_in_the_browser_what_is_listed():
    scripts = "".join(path.read_text() for path in SCRIPTS.glob("*.js"))
    assert scripts.count("indexedDB.open(NAME") == scripts.count("indexedDB") == 1
    assert not re.search(r"localStorage|document\.cookie|caches\.|serviceWorker", scripts)
    keys = {name for pair in re.findall(r'TOKEN = "([^"]+)"|sessionStorage\.\w+\("([^"]+)"', scripts) for name in pair}
    listed = {name for what, *_ in rows_of("The browser", "what") for name in named(what)}
    assert len(re.findall(r"sessionStorage\.setItem\(TOKEN,", scripts)) == scripts.count("sessionStorage.setItem")
    keys |= set(re.findall(r'^const NAME = "([^"]+)";$', (SCRIPTS / "keeping.js").read_text(), re.MULTILINE))
    assert keys - {""} == listed - {"NAME-labels.csv"}
