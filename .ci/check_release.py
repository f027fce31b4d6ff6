"""Checks as much of a release as a program can; docs/releasing.md says what is left for people.

python .ci/check_release.py                      # version, changelog, citation, tag, wheel and sdist
python .ci/check_release.py --install python3.11 python3.12   # and installs the wheel with each, and runs the demo

It needs `pip install ".[dev]"`. With --install it fetches torch for each Python, and takes minutes.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("samecar", "drawncars")


def said_versions(root: Path = ROOT) -> dict[str, str]:
    """The version, as each place says it."""
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    module = (root / "src" / "samecar" / "version.py").read_text(encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "pyproject.toml": project["version"],
        "src/samecar/version.py": re.search(r'^__version__ = "(.*)"$', module, re.MULTILINE)[1],
        "CITATION.cff": re.search(r"^version: (.*)$", citation, re.MULTILINE)[1].strip('"'),
    }


def version_problems(versions: dict[str, str]) -> Iterator[str]:
    """Whether all places say one version."""
    if len(set(versions.values())) > 1:
        yield "versions differ: " + ", ".join(f"{place} says {version}" for place, version in versions.items())


def changelog_problems(text: str, version: str) -> Iterator[str]:
    """Whether the changelog has a dated section for the version, and nothing that is unreleased above it."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    headings = [section.partition("\n")[0] for section in sections]
    dated = re.compile(rf"\[?{re.escape(version)}\]? - \d{{4}}-\d\d-\d\d")
    if not any(dated.fullmatch(heading) for heading in headings):
        yield f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'"
    for heading, section in zip(headings, sections, strict=True):
        if heading == "Unreleased" and section.partition("\n")[2].strip():
            yield "CHANGELOG.md still has lines under Unreleased; move them to the section of the version"


def tag_problems(version: str, root: Path = ROOT) -> Iterator[str]:
    """Whether what is checked out is committed, and is the version's tag."""
    git = ["git", "-C", str(root)]
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    if changed:
        yield "files differ from what is committed"
    tags = subprocess.run([*git, "tag", "--points-at", "HEAD"], capture_output=True, text=True, check=True).stdout
    if f"v{version}" not in tags.split():
        yield f"HEAD has no tag v{version}"


def build(out: Path, root: Path = ROOT) -> tuple[Path, Path]:
    """Builds wheel and sdist, the wheel from the sdist, as it is done for a package index.

    Returns:
        The wheel, and the sdist.
    """
    command = [sys.executable, "-m", "build", "--outdir", str(out.resolve()), str(root.resolve())]
    subprocess.run(command, cwd=out, check=True, stdout=sys.stderr)  # beside a checkout's folder `build` it finds that
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, source


def package_files(root: Path = ROOT) -> set[str]:
    """All files of the packages, as a wheel names them."""
    files = (path for package in PACKAGES for path in (root / "src" / package).rglob("*") if path.is_file())
    return {path.relative_to(root / "src").as_posix() for path in files if "__pycache__" not in path.parts}


def wheel_problems(wheel: Path, root: Path = ROOT) -> Iterator[str]:
    """Whether a wheel holds all files of the packages and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    yield from (f"{wheel.name} lacks {name}" for name in sorted(package_files(root) - names))
    yield from (f"{wheel.name} holds {name}" for name in sorted(names - package_files(root)))


def source_problems(source: Path, root: Path = ROOT) -> Iterator[str]:
    """Whether an sdist holds all files of the packages, and nothing that is not under version control."""
    with tarfile.open(source) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    tracked = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, text=True, check=True).stdout
    yield from (f"{source.name} lacks src/{name}" for name in sorted(package_files(root)) if f"src/{name}" not in names)
    yield from (f"{source.name} holds {name}" for name in sorted(names - {*tracked.splitlines(), "PKG-INFO"}))


def metadata_problems(files: list[Path]) -> Iterator[str]:
    """Whether a package index would show the description."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        yield f"twine check: {' '.join((finished.stdout + finished.stderr).split())}"


def run_demo(python: Path, folder: Path) -> None:
    """Runs the demo with an interpreter that has samecar installed, away from the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    lines = "import samecar, sys; print(sys.version.split()[0], samecar.__version__, samecar.__file__)"
    for command in (["-c", lines], ["-m", "samecar", "demo", "--out", str(folder / "demo")]):
        subprocess.run([str(python), *command], cwd=folder, env=environment, check=True)
    if not (folder / "demo" / "run" / "report.html").is_file():
        raise SystemExit("the demo has written no report")


def install(interpreter: str, wheel: Path) -> None:
    """Installs a wheel with all that training needs in a new environment of an interpreter, and runs the demo."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run([interpreter, "-m", "venv", str(place / "venv")], check=True)
        python = place / "venv" / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"{wheel}[train]"], check=True)
        run_demo(python, place)


def main() -> int:
    """Checks all, and prints what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", nargs="+", default=[], metavar="PYTHON", help="interpreters to try the wheel with")
    interpreters = parser.parse_args().install
    versions = said_versions()
    version = versions["pyproject.toml"]
    found = [*version_problems(versions), *tag_problems(version)]
    found += changelog_problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    with tempfile.TemporaryDirectory() as folder:
        wheel, source = build(Path(folder))
        found += [*wheel_problems(wheel), *source_problems(source), *metadata_problems([wheel, source])]
        for interpreter in interpreters:
            install(interpreter, wheel)
            print(f"{interpreter}: the demo has passed from {wheel.name}")
    print("\n".join(found) or f"{version} can be released, as far as a program can tell")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
