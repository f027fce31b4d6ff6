"""The documentation site: every page has its place, links fit, and Zensical builds it without a warning."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import samecar

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import make_site  # noqa: E402


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose `!!python/…` values are of no interest here."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def nav_pages(entry):
    """The pages below an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in nav_pages(part)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "pages"
    make_site.make_pages(folder)
    return folder


def test_every_page_is_in_the_navigation(pages):
    named = nav_pages(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"])
    made = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    decisions = {name for name in made if re.match(r"decisions/\d", name)}  # their list leads to them
    assert len(named) == len(set(named))
    assert set(named) == made - decisions
    listed = re.findall(r"\]\((\d.*?\.md)\)", (pages / "decisions" / "index.md").read_text(encoding="utf-8"))
    assert {f"decisions/{name}" for name in listed} == decisions


def test_every_public_name_is_on_one_page_of_the_api(pages):
    shown = [
        name
        for page in make_site.API
        for name in re.findall(r"^::: [\w.]+\.(\w+)$", (pages / "api" / f"{page}.md").read_text(encoding="utf-8"), re.M)
    ]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(samecar.__all__) - {"__version__"}


@pytest.mark.parametrize(
    ("target", "page", "expected"),
    [
        ("docs/films.md", "README.md", "films.md"),
        ("docs/evaluation.md#protocols", "README.md", "evaluation.md#protocols"),
        ("docs/images/page.png", "README.md", "images/page.png"),
        ("../README.md", "docs/index.md", "index.md"),
        ("index.md", "docs/contributing.md", "where-to-read.md"),
        ("decisions", "docs/contributing.md", "decisions/index.md"),
        ("../options.md", "docs/decisions/0001-shape.md", "../options.md"),
        ("../../CHANGELOG.md", "docs/decisions/0004-the-house.md", "../changelog.md"),
        ("0004-the-house.md", "docs/decisions/0001-shape.md", "../decisions/0004-the-house.md"),
        ("own_folder.py", "examples/README.md", "examples.md#own_folderpy"),
        ("../src/samecar/reproduce/tables", "docs/report.md", ""),
        ("#start", "README.md", "#start"),
        ("https://example.org/a#b", "README.md", "https://example.org/a#b"),
    ],
)
def test_links_fit_the_site(target, page, expected):
    assert make_site.fit_target(target, page) == expected


def test_code_is_left_alone_and_a_link_to_nothing_becomes_its_words():
    text = "[a](../src/samecar)\n```python\n[a](../src/samecar)\n```\n![p](images/page.png) [b](films.md)\n"
    fitted = "a\n```python\n[a](../src/samecar)\n```\n![p](images/page.png) [b](films.md)\n"
    assert make_site.fitted(text, "docs/page.md") == fitted


def test_links_that_lead_nowhere_are_named(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "index.html").write_text('<h1 id="top">x</h1><a href="../first.html#here">x</a>')
    (tmp_path / "first.html").write_text(
        '<a id="here" href="below#top">x</a><a href="below/#missing">x</a><a href="/below">x</a>'
        '<a href="#nowhere">x</a><img src="lost.png"><a href="https://example.org">x</a>'
    )
    broken, elsewhere = make_site.check_links(tmp_path)
    assert sorted(broken) == [
        "first.html: #nowhere has no such part",
        "first.html: below/#missing has no such part",
        "first.html: lost.png is not there",
    ]
    assert elsewhere == ["https://example.org"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("zensical") is None, reason="the extra [docs] is not installed")
def test_one_command_builds_the_site_without_a_warning():
    finished = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_site.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    site = ROOT / "build" / "site"
    text = (site / "api" / "galleries.html").read_text(encoding="utf-8")
    assert 'id="samecar.retrieval.gallery.Gallery.search"' in text
    assert "most similar entries of each picture" in text
    start = (site / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(http[^"]*)"', start)
    assert loaded == []
