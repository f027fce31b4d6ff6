"""Makes the documentation site, in build/site, of README, docs, examples and docstrings; `pip install ".[docs]"` first.

python docs/make_site.py

Pages are written to be read in the repository. Here they are put into build/pages, with links that fit the site: README
is its first page, and what lies elsewhere in the repository is named without a link. Anything that Zensical warns of,
and any link within the site that leads nowhere, is an error. Links to elsewhere are listed, not followed.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

MOVED = {
    "README.md": "index.md",
    "docs/index.md": "where-to-read.md",
    "docs/decisions": "decisions/index.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
"""Where files and folders of the repository are in the site; what is in docs/ keeps its place."""

API = {
    "training": ("Training and scores", ["train", "train_and_evaluate", "evaluate", "score", "find_protocol", "tune"]),
    "models": ("Models and embeddings", ["load", "Encoder", "FrameEncoder", "Embeddings", "compare", "export", "fuse"]),
    "galleries": ("Galleries and films", ["Gallery", "calibrate", "ingest", "YoloxDetector", "link"]),
    "pictures": ("Pictures", ["open_source", "Manifest", "draw_set", "draw_twin", "draw_vehicle"]),
}
"""Pages of the API and the names on each that come first; all other public names follow on the page of their kind."""

REST = {
    "training": ("config", "evaluation", "experiment", "training", "hardware", "errors"),
    "models": ("models", "embedding"),
    "galleries": ("calibration", "films", "linking", "retrieval"),
    "pictures": ("data", "drawn"),
}
"""Rooms whose names stand on a page."""

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
IMAGE = re.compile(r"(!\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)$)", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^from \.([\w.]+) import (\w+) as \w+$", re.MULTILINE)
"""A line of a stub that says where a name stands."""


def make_pages(pages: Path) -> None:
    """Writes the site's pages.

    Args:
        pages: folder to make; what it holds is replaced.
    """
    shutil.rmtree(pages, ignore_errors=True)
    sources = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "examples" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    for source in sources:
        name = source.relative_to(ROOT).as_posix()
        page = pages / place(name)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(fitted(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "images", pages / "images")
    shutil.copy(ROOT / "docs" / "slurm.sbatch", pages)
    with (pages / "examples.md").open("a", encoding="utf-8") as page:
        for script in sorted((ROOT / "examples").glob("*.py")):
            page.write(f"\n## {script.name}\n\n```python\n{script.read_text(encoding='utf-8')}```\n")
    write_decisions(pages / "decisions")
    write_api(pages / "api")


def place(name: str) -> str:
    """Where a file of the repository is in the site."""
    return MOVED.get(name, name.removeprefix("docs/"))


def fitted(text: str, name: str) -> str:
    """A page's text with links that fit the site; code is left alone.

    Args:
        text: of the page.
        name: of its file in the repository.
    """
    parts = FENCE.split(text)
    for number in range(0, len(parts), 2):
        parts[number] = LINK.sub(lambda match: fit_link(match[1], match[2], name), parts[number])
        parts[number] = IMAGE.sub(lambda match: match[1] + fit_target(match[2], name) + match[3], parts[number])
    return "".join(parts)


def fit_link(words: str, target: str, name: str) -> str:
    """A link that fits the site; only its words where the site has nothing of the kind."""
    fit = fit_target(target, name)
    return f"[{words}]({fit})" if fit else words


def fit_target(target: str, name: str) -> str:
    """A link's target as it is in the site, seen from a page; "" where the site has nothing of the kind."""
    if urlsplit(target).scheme or target.startswith("#"):
        return target
    path, mark, part = target.partition("#")
    there = (ROOT / name).parent.joinpath(path).resolve().relative_to(ROOT).as_posix()
    if there.startswith("examples/") and there.endswith(".py"):
        there, mark, part = "examples/README.md", "#", Path(there).name.replace(".", "")
    if there not in MOVED and not there.startswith("docs/"):
        return ""
    here = Path(place(name)).parent
    return Path(*[".."] * len(here.parts), place(there)).as_posix() + mark + part


def write_decisions(folder: Path) -> None:
    """Writes the list of decisions."""
    lines = ["# Decisions", "", "Why things are as they are.", ""]
    for page in sorted(folder.glob("0*.md")):
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({page.name})")
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def public_names() -> dict[str, str]:
    """The public names of samecar, and the module that each stands in."""
    stub = (ROOT / "src" / "samecar" / "__init__.pyi").read_text(encoding="utf-8")
    found = {name: defining_module(f"samecar.{module}", name) for module, name in IMPORT.findall(stub)}
    return {**found, "draw_vehicle": "drawncars.picture"}  # samecar's own is a function that is made at run time


def defining_module(module: str, name: str) -> str:
    """Where a name stands that a package takes from one of its modules."""
    folder = ROOT / "src" / Path(*module.split("."))
    for file in (folder / "__init__.pyi", folder / "__init__.py"):
        if file.is_file():
            for inner, own in IMPORT.findall(file.read_text(encoding="utf-8")):
                if own == name:
                    return defining_module(f"{module}.{inner}", name)
    return module


def write_api(folder: Path) -> None:
    """Writes a page for each kind of public names, which mkdocstrings fills from their docstrings."""
    folder.mkdir()
    names = public_names()
    lines = ["# API", "", "Every public name is `samecar.NAME`. Names are loaded when they are first used.", ""]
    placed = {name for _, first in API.values() for name in first}
    for page, (title, first) in API.items():
        own = [name for name, module in names.items() if module.split(".")[1] in REST[page]]
        shown = [*first, *(name for name in own if name not in placed)]
        stems = [f"# {title}", "", *(f"::: {names[name]}.{name}\n" for name in shown)]
        (folder / f"{page}.md").write_text("\n".join(stems), encoding="utf-8")
        links = ", ".join(f"[`{name}`]({page}.md#{names[name]}.{name})" for name in shown)
        lines += [f"**[{title}]({page}.md)**: {links}", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


class Page(HTMLParser):
    """The links of an HTML page, and the names that links may lead to.

    Attributes:
        links: targets of links, pictures, style sheets and scripts.
        names: of elements.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element."""
        for name, value in attrs:
            if name in {"href", "src"} and value and tag != "base":
                self.links.append(value)
            if name in {"id", "name"} and value:
                self.names.add(value)


def check_links(site: Path) -> tuple[list[str], list[str]]:
    """Follows the links within a site.

    Args:
        site: folder of HTML files.

    Returns:
        A sentence for each that leads nowhere, and the addresses of others, which are not followed.
    """
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken, elsewhere = [], set()
    for path, page in pages.items():
        for link in page.links:
            split = urlsplit(link)
            if split.scheme or split.netloc:
                elsewhere.add(link)
                continue
            origin = site / split.path.lstrip("/") if split.path.startswith("/") else path.parent / split.path
            target = Path(unquote(str(origin))).resolve() if split.path else path
            target = target / "index.html" if target.is_dir() else target
            shown = path.relative_to(site.resolve())
            if not target.exists():
                broken.append(f"{shown}: {link} is not there")
            elif split.fragment and target in pages and unquote(split.fragment) not in pages[target].names:
                broken.append(f"{shown}: {link} has no such part")
    return broken, sorted(elsewhere)


def problems() -> Iterator[str]:
    """Builds the site, and tells what is wrong with it."""
    make_pages(BUILD / "pages")
    finished = subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT, check=False)
    if finished.returncode:
        yield f"zensical ended with status {finished.returncode}"
        return
    broken, elsewhere = check_links(BUILD / "site")
    yield from broken
    print(f"Links to elsewhere, not followed: {', '.join(elsewhere)}")


if __name__ == "__main__":
    found = list(problems())
    print("\n".join(found) or f"The site is {BUILD / 'site' / 'index.html'}")
    sys.exit(1 if found else 0)
