"""What README and docs show is run: commands in this process, Python as it stands, on small sets made here.

A block that cannot be run here has `<!-- not run: REASON -->` before it.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from command_line import made_small, run
from conftest import TINY, paint_picture
from tiny_run import tiny_run
from typer.main import get_command

import samecar
from samecar import config
from samecar.cli.main import app
from samecar.drawn import draw_set
from samecar.experiment import evaluate as experiment
from samecar.version import __version__

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "docs/calibration.md",
    "docs/contributing.md",
    "docs/deploying.md",
    "docs/exporting.md",
    "docs/films.md",
    "docs/fusion.md",
    "docs/gallery.md",
    "docs/getting-started.md",
    "docs/linking.md",
    "docs/options.md",
    "docs/privacy.md",
    "docs/recipes.md",
    "docs/service.md",
    "docs/ten-minutes.md",
    "docs/trackers.md",
    "docs/training.md",
    "docs/tuning.md",
    "docs/veri776.md",
    "docs/watching.md",
)

BLOCK = re.compile(
    r"(?:<!-- (?P<comment>(?:(?!-->).)*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?P<target>[^)#]*)(?:#(?P<part>[^)]*))?\)")
SERVER = "postgresql://user@host/vehicles"
"""What docs/scaling.md gives as a server's address."""

INSTALLS = re.compile(r"^pip install ")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    reason: str
    """Why it is not run; empty where it is."""


def blocks_of(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        comment = match["comment"] or ""
        line = text[: match.start("text")].count("\n") + 1
        yield Block(page, line, match["language"], match["text"], comment.partition("not run: ")[2])


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block, in words; a block without a language holds some if it begins with one."""
    lines = block.text.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    if block.language == "bash" or re.match(r"(samecar|pip) ", block.text):
        return [command for command in commands if command]
    return []


BLOCKS = {page: list(blocks_of(page)) for page in PAGES}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `crops`, named CAR_CAMERA.jpg, and with `VeRi`."""
    folder = tmp_path_factory.mktemp("docs")
    for vehicle in range(40):
        for camera in (1, 2):
            paint_picture(folder / "crops" / f"car_{vehicle:04d}_cam{camera}.jpg", vehicle, camera, 0)
    draw_set(folder / "VeRi", vehicles=8, cameras=2, pictures=2, size=32, workers=1)
    return folder


@pytest.fixture
def quick_python(monkeypatch):
    """Makes what Python blocks train as small as what commands train."""
    load, choose = config.load_recipe, experiment.machine
    for home in (samecar, config):  # the package keeps what it was once asked for
        monkeypatch.setattr(home, "load_recipe", lambda name, changes=(): load(name, [*changes, *TINY]))
    monkeypatch.setattr(experiment, "machine", lambda device="auto", workers=0: choose(device, 0))


@pytest.mark.parametrize(
    "page", [page if page == "README.md" else pytest.param(page, marks=pytest.mark.slow) for page in PAGES]
)
def test_what_a_page_shows_runs(page, place, tmp_path, monkeypatch, quick_python, capsys):
    for name in ("crops", "VeRi"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS[page]:
        where = f"{page}, line {block.line}"
        if block.reason or INSTALLS.match(block.text):
            continue
        for program, *arguments in commands_of(block):
            assert program == "samecar", f"{where}: {program} cannot be run here; say so in a comment before the block"
            finished = run(*made_small(arguments))
            assert finished.status == 0, f"{where}: {arguments}: {finished.errors}"
        if block.language == "python":
            exec(compile(block.text, where, "exec"), {"__name__": "__main__"})
    if page == "docs/getting-started.md":
        assert (tmp_path / "runs" / "first" / "report.html").is_file()
        assert "car_0000_cam1.jpg" in capsys.readouterr().out


def test_each_question_that_the_report_leaves_open_has_commands_that_samecar_knows():
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    section = text.partition("## Questions that it leaves open")[2].partition("\n## ")[0]
    assert [section.count(f"**Section {number}") for number in ("3.4", "4.6", "6:")] == [2, 1, 1]
    groups = get_command(app).commands
    for match in BLOCK.finditer(section):
        for program, command, *arguments in map(shlex.split, match["text"].splitlines()):
            assert program == "samecar"
            groups[command].make_context(command, list(arguments))
            changes = [value for option, value in pairwise(arguments) if option == "--set"]
            if command == "train":
                config.load_recipe(arguments[0], changes)
            elif command == "tune":
                config.load_recipe(arguments[0], [f"{arguments[-1].partition('=')[0]}=0.5"])


def test_what_the_page_on_servers_shows_runs_on_a_server(place, postgres, tmp_path, monkeypatch):
    (tmp_path / "crops").symlink_to(place / "crops")
    monkeypatch.chdir(tmp_path)
    address = postgres.address(postgres.new_database())
    tiny_run(tmp_path / "runs" / "first")
    assert run("gallery", "create", "garage", "--run", "runs/first").status == 0
    ran = 0
    for block in blocks_of("docs/scaling.md"):
        if block.reason:
            continue
        for program, *arguments in commands_of(block._replace(text=block.text.replace(SERVER, address))):
            if program == "export":
                monkeypatch.setenv(*arguments[0].split("=", 1))
                continue
            finished = run(*arguments)
            assert (program, finished.status) == ("samecar", 0), f"line {block.line}: {arguments}: {finished.errors}"
            ran += 1
    assert ran == 8
    assert (tmp_path / "backup").is_dir()
    assert (tmp_path / "second").is_dir()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_a_known_language_and_every_comment_a_reason(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert BLOCKS[page]
    assert {block.language for block in BLOCKS[page]} <= {"", "bash", "python", "toml", "json", "text"}
    assert len([block for block in BLOCKS[page] if block.reason]) == text.count("<!-- not run: ")
    assert any(commands_of(block) for block in BLOCKS[page])


@pytest.mark.parametrize(
    "page", [str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]]
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in LINK.finditer(text):
        target, part = match["target"], match["part"]
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {target} is not there"
        if part:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert part in anchors, f"{page}: {target} has no part {part}"


def test_no_text_tells_to_install_samecar_from_a_package_index():
    """samecar is on none, so that whoever registered its name could have his code installed."""
    wrong = re.compile(r"\b(pip|pipx|uv)\s+([-=.\w]+\s+)*?[\"']?samecar\b")
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    texts += [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".toml", ".jinja", ".html", ".js"}]
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in texts
        for line in path.read_text(encoding="utf-8").splitlines()
        if wrong.search(line)
    ]
    assert found == []
    assert wrong.search('pip install "samecar[films]"')
    assert wrong.search("pip install samecar")
    assert wrong.search("pip install --quiet samecar")
    assert not wrong.search("pip install . && samecar demo")


def module_file(name):
    """The file or folder of a module, whether or not it is there."""
    place = ROOT / "src" / Path(*name.split("."))
    return place if place.is_dir() else place.with_suffix(".py")


def test_the_changelog_names_modules_that_have_moved_and_where_they_are():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.search(r"<!-- moved modules: begin -->(.*)<!-- moved modules: end -->", text, re.DOTALL)[1]
    cells = re.findall(r"^\| (`.*) \| (.*) \|$", rows, re.MULTILINE)
    assert len(cells) > 40
    stay = {"samecar.data.sources", "samecar.experiment", "samecar.losses", "samecar.reproduce.pages"}  # now folders
    for before, now in cells:
        for name in re.findall(r"`(samecar\.[\w.]+)`(?!:)", before):
            assert name in stay or not module_file(name).exists(), f"{name} is still there"
        for name in re.findall(r"`((?:samecar|drawncars)\.[\w.]+)`", now):
            assert module_file(name).exists(), f"{name} is not there"


def test_the_table_of_rooms_is_that_of_the_import_contracts():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract for contract in contracts if contract["type"] == "layers"]
    rows = [{room.strip() for room in layer.split("|")} for layer in layers["layers"]] + [
        set(layers["exhaustive_ignores"])
    ]
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8").partition("## The rooms")[2]
    table = page.partition("\n## ")[0]
    shown = [set(re.findall(r"`(\w+)`", row)) for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)]
    assert len(shown) == len(rows)
    for named, known in zip(shown, rows, strict=True):
        assert known <= named, f"the table of rooms lacks {known - named}"
        for room in named - known:
            assert not module_file(f"samecar.{room}").exists(), f"{room} is in another row of the contract"


@pytest.mark.parametrize("page", ["docs/contributing.md", "docs/decisions/0004-the-house.md", "docs/index.md"])
def test_files_that_a_page_for_developers_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in re.findall(r"\b((?:src|tests|benchmarks|docs|\.ci)/[\w./-]+)", text):
        path = name.rstrip(".")
        assert "NAME" in path or (ROOT / path).exists(), f"{page}: {path} is not there"


def test_the_citation_says_what_the_package_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)  # what every citation file must have
    assert citation["title"] == project["name"]
    assert citation["authors"] == project["authors"]
    assert citation["license"] == project["license"]
    assert str(citation["version"]) == project["version"] == __version__
