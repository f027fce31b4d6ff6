"""The report stands alone, says what it should, and survives hostile names and broken pictures."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ranked_pictures import paint_pictures, ranked

from samecar.cli.console import print_evaluation
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import find_protocol, score
from samecar.evaluation.ranked_lists import RankedPicture, RankedQuery
from samecar.labels import Labels
from samecar.report import page, write_report
from samecar.report.charts import line_chart
from samecar.report.thumbnails import ENLARGED_SIDE, THUMBNAIL_SIDE, ReportPictures

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'{{ 7 * 7 }}"
HISTORY = [
    {"epoch": 1, "loss": 4.0, "cross_entropy": 3.0, "triplet": 1.0, "accuracy": 0.1, "seconds": 40.0},
    {
        "epoch": 2,
        "loss": 2.0,
        "cross_entropy": 1.5,
        "triplet": 0.5,
        "accuracy": 0.5,
        "seconds": 41.0,
        "validation_mAP": 0.25,
        "validation_rank-1": 0.5,
    },
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Notes elements, texts and whether tags are nested as they should be."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text("utf-8")
        self.elements, self.texts, self.open = [], [], []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def sections(self):
        return [attributes["aria-labelledby"] for attributes in self.all("section")]


@pytest.fixture(scope="module")
def evaluation():
    # Matches of the three queries at ranks 1, 2 and 1; the fourth has none.
    gallery = Embeddings(
        np.array([[1], [2], [6], [7]], np.float32), Labels(np.array(["A", "B", "C", "D"]), np.array(["c2"] * 4))
    )
    query = Embeddings(
        np.array([[1], [1], [6], [0]], np.float32), Labels(np.array(["A", "B", "C", "X"]), np.array(["c1"] * 4))
    )
    return score(query, gallery, find_protocol("plain"))


@pytest.fixture
def pictures(tmp_path):
    return paint_pictures(tmp_path / "pictures")


def report_of(tmp_path, evaluation, **options):
    path = tmp_path / "new folder" / "report.html"
    write_report(path, **{"title": "A run", "evaluation": evaluation, "examples": [], "worst": [], **options})
    return Page(path)


def test_a_full_report_has_all_sections(tmp_path, evaluation, pictures):
    page = report_of(
        tmp_path,
        evaluation,
        examples=[ranked(pictures)],
        worst=[ranked(pictures)],
        history=HISTORY,
        untrained=dataclasses.replace(evaluation, cmc={**evaluation.cmc, 1: 0.125}),
        recipe={"title": "mine", "model": {"height": 64, "embedding_size": None, "milestones": [20, 40]}},
    )
    assert page.sections == ["scores", "training", "examples", "worst", "recipe"]
    assert "For 66.7 % of 3 queries the first picture in the ranking shows the same vehicle." in page.text
    assert "Before training it was 12.5 %." in page.text
    assert "1 of 4 queries had no match in the gallery" in page.text
    assert "a single one moves rank-1 by 33.3 points" in page.text
    for name, value in evaluation.card.lines():
        assert name in page.text
        assert value in page.text
    assert "2 epochs in 1 min 21 s." in page.text
    assert "Validation scores" in page.text
    assert "average precision 25.0 % , first match at rank 17" in page.text
    assert "1 ✓ right" in page.text
    assert "2 ✗ wrong" in page.text
    assert "milestones 20, 40" in page.text
    assert "embedding_size –" in page.text
    assert len(page.all("img")) == 6


def test_what_is_not_there_is_left_out(tmp_path, evaluation):
    page = report_of(tmp_path, evaluation)
    assert page.sections == ["scores"]
    assert [link["href"] for link in page.all("a")] == ["#scores"]
    assert "training" not in page.text.lower()
    assert "this model" in page.text


def test_deviations_over_draws_are_shown(tmp_path, evaluation):
    assert "Deviation over draws" not in report_of(tmp_path, evaluation).text
    drawn = dataclasses.replace(evaluation, deviation={"rank-1": 0.02, "mAP": 0.015})
    assert "rank-1 66.7 % ± 2.0 %" in report_of(tmp_path, drawn).text


def test_many_queries_without_skips_need_no_notes(tmp_path, evaluation):
    card = dataclasses.replace(evaluation.card, queries_scored=1678, queries_skipped=0)
    page = report_of(tmp_path, dataclasses.replace(evaluation, card=card))
    assert "of 1,678 queries" in page.text
    assert not [attributes for attributes in page.all("ul") if attributes.get("class") == "notes"]


def test_one_query_is_no_plural(tmp_path, evaluation):
    card = dataclasses.replace(evaluation.card, queries_scored=1, queries_skipped=0)
    page = report_of(tmp_path, dataclasses.replace(evaluation, card=card))
    assert "of 1 query the first" in page.text
    assert "Only 1 query was scored" in page.text


def test_the_file_loads_nothing(tmp_path, evaluation, pictures):
    page = report_of(
        tmp_path, evaluation, examples=[ranked(pictures)], history=HISTORY, recipe={"url": "https://example.org/x"}
    )
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "audio", "video", "source", "base", "form"}
    loading = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "xlink:href", "poster", "action", "background")
    ]
    assert loading
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) or value == "data:," for value in loading)
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL).group(1)
    assert not re.search(r"url\(|@import|https?:|//", style)
    assert "<style" not in page.source.replace("<style>", "", 1)
    assert str(pictures.parent) not in page.source  # nobody's folders in a page that is handed on


def test_hostile_names_stay_text(tmp_path, evaluation, pictures):
    name = "<script>.jpg"
    (pictures / name).write_bytes((pictures / "wide.jpg").read_bytes())
    bad = RankedQuery(
        pictures / name,
        HOSTILE,
        HOSTILE,
        0.5,
        1,
        (
            RankedPicture(pictures / name, HOSTILE, HOSTILE, 0.1, correct=True),
            RankedPicture(Path(f"{HOSTILE}.jpg"), HOSTILE, HOSTILE, 0.2, correct=False),
        ),
    )
    hostile = dataclasses.replace(
        evaluation, card=dataclasses.replace(evaluation.card, data=HOSTILE, model=HOSTILE, epoch_choice=HOSTILE)
    )
    page = report_of(
        tmp_path,
        hostile,
        title=HOSTILE,
        examples=[bad],
        worst=[bad],
        recipe={HOSTILE: {HOSTILE: HOSTILE}, "title": HOSTILE},
    )
    assert not page.all("script")
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert len(page.all("img")) == 4
    assert page.text.count("alert(1)") >= 12
    assert "{{ 7 * 7 }}" in page.text
    assert "49" not in page.text


def test_names_that_are_no_unicode_are_written(tmp_path, evaluation, pictures):
    lost = dataclasses.replace(ranked(pictures), path=pictures / "caf\udce9.jpg", vehicle_id="\udcff")
    assert r"caf\udce9.jpg" in report_of(tmp_path, evaluation, worst=[lost]).text


def test_an_unreadable_picture_leaves_a_placeholder(tmp_path, evaluation, pictures):
    page = report_of(tmp_path, evaluation, examples=[ranked(pictures, ("broken.jpg", "absent.jpg", "tall.png"))])
    assert len(page.all("img")) == 2
    assert "cannot be read: broken.jpg" in page.text
    assert "cannot be read: absent.jpg" in page.text
    missing = [attributes for attributes in page.all("span") if attributes.get("class") == "missing"]
    assert missing[0]["role"] == "img"
    assert missing[0]["aria-label"].startswith("rank 1, right: vehicle A from camera c0")


def test_accessible_names_headings_and_landmarks(tmp_path, evaluation, pictures):
    page = report_of(
        tmp_path, evaluation, examples=[ranked(pictures)], worst=[ranked(pictures)], history=HISTORY, recipe={"a": 1}
    )
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(chart.get("aria-label") or chart.get("aria-hidden") for chart in page.all("svg"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert len(page.all("table")) == page.source.count("<caption>")
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.elements}
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert set(named) | {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)


def luminance(colour):
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_in_light_dark_and_print(tmp_path, evaluation):
    source = report_of(tmp_path, evaluation).source
    themes = [
        dict(re.findall(r"--(\w[\w-]*): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", source, re.S)
    ]
    assert len(themes) == 3
    for theme in themes:
        for text in ("ink", "muted", "blue", "right", "wrong"):
            for ground in ("paper", "panel"):
                dark, light = sorted([luminance(theme[text]), luminance(theme[ground])])
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_a_failure_leaves_the_old_report_and_nothing_else(tmp_path, evaluation, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, title="old", evaluation=evaluation, examples=[], worst=[])
    old = path.read_bytes()

    def full_disk(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(SamecarError, match=r"the disk that holds .*report\.html is full; free some space"):
        write_report(path, title="new", evaluation=evaluation, examples=[], worst=[])
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_replaces_an_older_one(tmp_path, evaluation):
    path = tmp_path / "report.html"
    for title in ("first", "second"):
        write_report(path, title=title, evaluation=evaluation, examples=[], worst=[])
    assert "second" in Page(path).text
    assert "first –" not in path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_one_sentence(tmp_path, evaluation):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(SamecarError, match="choose another place"):
        write_report(tmp_path / "report.html", title="x", evaluation=evaluation, examples=[], worst=[])


def test_histories_with_gaps_are_drawn(tmp_path, evaluation):
    histories = (
        [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": 1.0}],
        [{"epoch": 1, "validation_mAP": 0.5}],
        [{"epoch": 7, "loss": 0.0}],
        [{"loss": 1.0, "seconds": None}, {"loss": 0.5}],
    )
    for history in histories:
        page = report_of(tmp_path, evaluation, history=history)
        assert "training" in page.sections
        drawn = re.findall(r'(?:points|c[xy]|[xy][12])="([^"]*)"', page.source)
        assert drawn
        assert not [numbers for numbers in drawn if "nan" in numbers or "inf" in numbers]
    assert report_of(tmp_path, evaluation, history=[{"epoch": 1}]).sections == ["scores"]


def test_a_chart_has_round_ticks_and_its_points_in_their_places():
    chart = line_chart("t", "s", {"a": [(1, 0.0), (11, 6.3)], "b": []}, x_label="x", y_label="y")
    assert [tick.label for tick in chart.y_ticks] == ["0", "2", "4", "6", "8"]
    assert [tick.label for tick in chart.x_ticks] == ["1", "2", "4", "6", "8", "10"]
    (line,) = chart.lines
    assert line.points[0] == (44, 236)
    assert line.points[1][0] == 448
    assert line.points[1][1] == pytest.approx(236 - 6.3 / 8 * 222, abs=0.06)
    assert line_chart("t", "s", {"a": []}, x_label="x", y_label="y") is None


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")])
def test_durations_in_words(seconds, words):
    assert page._duration(seconds) == words


def jpeg_size(uri):
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "JPEG"
        return picture.size


def test_pictures_are_small_jpegs_in_two_sizes(pictures):
    Image.new("RGB", (1500, 1000)).save(pictures / "photograph.png")
    read = ReportPictures()
    photograph, wide = read.read(pictures / "photograph.png"), read.read(pictures / "wide.jpg")
    assert jpeg_size(photograph.thumbnail) == (THUMBNAIL_SIDE, 107)
    assert jpeg_size(photograph.enlarged) == (photograph.width, photograph.height) == (ENLARGED_SIDE, 341)
    assert jpeg_size(wide.thumbnail) == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)
    assert jpeg_size(wide.enlarged) == (400, 200)  # no picture is brought up
    assert read.read(pictures / "broken.jpg") is None
    assert read.read(pictures / "wide.jpg") is wide
    assert [picture.number for picture in read.shown] == [1, 2]


def test_a_picture_that_is_enlarged_stands_beside_its_query(tmp_path, evaluation, pictures):
    shown = ranked(pictures, ("tall.png", "tall.png", "broken.jpg"))
    page = report_of(tmp_path, evaluation, examples=[shown], worst=[shown])
    dialogs = {attributes["id"]: attributes for attributes in page.all("div") if "popover" in attributes}
    opened = [attributes["popovertarget"] for attributes in page.all("button") if attributes["class"] == "enlarge"]
    assert opened == [f"{part}-1-{place}" for part in ("examples", "worst") for place in ("query", 1, 2)]
    assert list(dialogs) == opened
    assert dialogs["examples-1-2"]["role"] == "dialog"
    assert dialogs["examples-1-2"]["aria-label"] == "rank 2, wrong: vehicle other from camera c1, enlarged"
    held = {attributes["id"] for attributes in page.all("symbol")}
    assert held == {"picture-1", "picture-2"}
    used = [attributes["href"] for attributes in page.all("use")]
    assert used == 2 * ["#picture-1", "#picture-1", "#picture-2", "#picture-1", "#picture-2"]
    assert page.source.count("data:image/jpeg;base64,") == 2 + 6  # each enlarged picture is in the file once


def test_intervals_are_those_of_the_terminal(tmp_path, evaluation, capsys):
    without = report_of(tmp_path, dataclasses.replace(evaluation, intervals={}))
    assert "95 % interval" not in without.text
    known = dataclasses.replace(evaluation, intervals={"mAP": (0.4126, 0.4874), "rank-1": (0.5, 0.75)})
    page = report_of(tmp_path, known)
    assert "Score Value 95 % interval" in page.text
    assert "mAP 83.3 % 41.3 to 48.7" in page.text
    assert "rank-1 66.7 % 50.0 to 75.0" in page.text
    print_evaluation(known)
    assert {"41.3 to 48.7", "50.0 to 75.0"} <= {cell.strip() for cell in capsys.readouterr().out.split("│")}
