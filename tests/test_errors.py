"""The sentences that samecar.errors makes."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import run

import samecar.serving
from samecar.errors import EXTRAS, first_few, missing_library

ROOT = Path(__file__).parent.parent


def test_a_missing_library_is_named_with_the_command_for_a_copy_of_the_repository():
    assert str(missing_library("films need", "PyAV", "films")) == (
        'films need PyAV, which is not installed; run `pip install ".[films]"` in the copy of samecar\'s repository'
    )


def test_every_extra_that_a_sentence_names_is_in_pyproject():
    calls = [
        re.findall(r"missing_library\(.*\"(\w+)\"\)", path.read_text(encoding="utf-8"))
        for path in (ROOT / "src").rglob("*.py")
    ]
    named = [extra for extras in calls for extra in extras]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(named) == 10
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
    assert set(named) <= set(project["optional-dependencies"])


def test_serve_without_its_libraries_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(samecar, "serving", samecar.serving)  # the package of the other tests comes back afterwards
    for name in [name for name in sys.modules if name.startswith(("samecar.serving", "samecar.cli.serving"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    finished = run("serve", str(tmp_path))
    assert finished.status == 2
    assert "serving needs uvicorn, which is not installed; run `pip install .`" in finished.errors


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), ""),
        ("ab", "a, b"),
        ("abc", "a, b, c"),
        ("abcd", "a, b, c and 1 more"),
        ("a" * 1234, "a, a, a and 1,231 more"),
    ],
)
def test_the_first_few_names(names, said):
    assert first_few(names) == said
