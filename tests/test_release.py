"""What is built for others: wheel and sdist hold what they should, and the wheel alone passes the demo."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / ".ci"))

import check_release  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist, built from a copy of what is under version control and of what is new beside it."""
    pytest.importorskip("build.__main__")
    copy = tmp_path_factory.mktemp("copy") / "samecar"
    names = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    (copy / "shared").mkdir()
    (copy / "shared" / "notes.md").write_text("not for others")
    wheel, source = check_release.build(tmp_path_factory.mktemp("built"), copy)
    return copy, wheel, source


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The Python of an environment that has the wheel, and all libraries of the tests but their samecar."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", built[1]]
    subprocess.run(command, check=True)
    (place,) = folder.glob("lib/python*/site-packages")
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (place / "libraries.pth").write_text("\n".join(libraries))
    return python


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(built):
    copy, wheel, _ = built
    assert list(check_release.wheel_problems(wheel, copy)) == []
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"samecar/recipes/demo.toml", "samecar/serving/page/index.html", "drawncars/py.typed"} <= names
    assert {name.partition("/")[0] for name in names} == {"samecar", "drawncars", "samecar-0.1.0.dist-info"}


@pytest.mark.slow
def test_the_sdist_holds_what_is_needed_to_test_it_and_nothing_of_others(built):
    with tarfile.open(built[2]) as archive:
        parts = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"src", "tests", "docs", "benchmarks", "examples", "README.md", "CHANGELOG.md", "mkdocs.yml"} <= parts
    assert "shared" not in parts


@pytest.mark.slow
def test_what_is_wrong_with_a_wheel_is_named(built, tmp_path):
    copy, wheel, _ = built
    other = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            if name != "samecar/recipes/demo.toml":
                new.writestr(name, old.read(name))
        new.writestr("tests/test_docs.py", "")
    assert list(check_release.wheel_problems(other, copy)) == [
        f"{wheel.name} lacks samecar/recipes/demo.toml",
        f"{wheel.name} holds tests/test_docs.py",
    ]


@pytest.mark.slow
def test_a_package_index_would_show_the_description(built):
    pytest.importorskip("twine")
    assert list(check_release.metadata_problems([built[1], built[2]])) == []


@pytest.mark.slow
def test_the_wheel_alone_finds_its_recipes_and_its_page(installed, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    lines = (
        "import samecar, pathlib\n"
        "home = pathlib.Path(samecar.__file__).parent\n"
        "print(home, samecar.load_recipe('demo').digest, (home / 'serving/page/page.js').stat().st_size)\n"
    )
    finished = subprocess.run(
        [installed, "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    home, digest, size = finished.stdout.split()
    assert Path(home).is_relative_to(installed.parent.parent)
    assert len(digest) == 16
    assert int(size) > 1000


@pytest.mark.long
def test_the_wheel_alone_passes_the_demo(installed, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    check_release.run_demo(installed, tmp_path)


def test_all_places_say_one_version():
    versions = check_release.said_versions()
    assert set(versions) == {"pyproject.toml", "src/samecar/version.py", "CITATION.cff"}
    assert list(check_release.version_problems(versions)) == []
    (sentence,) = check_release.version_problems({"pyproject.toml": "1.0", "CITATION.cff": "0.9"})
    assert sentence == "versions differ: pyproject.toml says 1.0, CITATION.cff says 0.9"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Changelog\n\n## Unreleased\n\n## 1.0 - 2026-12-01\n\n- new\n", []),
        ("# Changelog\n\n## [1.0] - 2026-12-01\n", []),
        ("# Changelog\n\n## 1.0\n", ["CHANGELOG.md has no section '## 1.0 - YYYY-MM-DD'"]),
        ("# Changelog\n\n## 1x0 - 2026-12-01\n", ["CHANGELOG.md has no section '## 1.0 - YYYY-MM-DD'"]),
        (
            "# Changelog\n\n## Unreleased\n\n- more\n\n## 1.0 - 2026-12-01\n",
            ["CHANGELOG.md still has lines under Unreleased; move them to the section of the version"],
        ),
    ],
)
def test_the_changelog_must_be_dated_and_emptied(text, found):
    assert list(check_release.changelog_problems(text, "1.0")) == found


def test_a_tag_and_a_clean_copy_are_asked_for(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)

    git("init")
    git("config", "user.name", "Somebody")
    git("config", "user.email", "somebody@example.org")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    assert list(check_release.tag_problems("1.0", tmp_path)) == ["HEAD has no tag v1.0"]
    git("tag", "v1.0")
    assert list(check_release.tag_problems("1.0", tmp_path)) == []
    (tmp_path / "file").write_text("2")
    assert list(check_release.tag_problems("1.0", tmp_path)) == ["files differ from what is committed"]
