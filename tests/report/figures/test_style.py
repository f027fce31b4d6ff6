import io
import itertools
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from samecar.errors import SamecarError
from samecar.report.figures.style import (
    Sheet,
    add_caption,
    add_legend,
    break_lines,
    drawing,
    fit_text,
    save_figure,
    text_size,
    text_width,
)


def figure_of(width=3.5, title="Costs $5, or $6"):
    with drawing(width, 2, title) as figure:
        axes = figure.add_subplot()
        axes.plot([1, 2], label="some vehicle")
        axes.imshow([[0, 1], [1, 0]])
        add_legend(axes)
        add_caption(figure, "Many words of which a line in a column of a paper cannot hold so very many, it seems.")
    return figure


def objects(content):
    """The objects of a PDF by their number."""
    return {int(number): body for number, body in re.findall(rb"(?s)(\d+) 0 obj\b(.*?)\bendobj", content)}


def stream(body):
    return zlib.decompress(re.search(rb"(?s)stream\r?\n(.*)\r?\nendstream", body)[1])


# files


def test_without_a_suffix_a_png_and_an_svg_are_written(tmp_path):
    figure = figure_of()
    paths = save_figure(figure, tmp_path / "folder" / "loss-0.6", dpi=100)
    assert [path.name for path in paths] == ["loss-0.6.png", "loss-0.6.svg"]
    assert ElementTree.parse(paths[1]).getroot().tag.endswith("svg")
    again = [path.read_bytes() for path in paths]
    save_figure(figure, tmp_path / "folder" / "loss-0.6", dpi=100)
    assert [path.read_bytes() for path in paths] == again


@pytest.mark.parametrize("name", ["fig.png", "fig.svg", "fig.pdf", "two.words.PDF"])
def test_a_suffix_names_the_only_file(name, tmp_path):
    assert save_figure(figure_of(), str(tmp_path / name)) == [tmp_path / name]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[name[-3:].lower()]
    assert (tmp_path / name).read_bytes().startswith(begin)


@pytest.mark.parametrize("name", ["fig.jpg", "fig.eps", "fig.v2"])
def test_another_suffix_is_refused_with_those_that_there_are(name, tmp_path):
    with pytest.raises(SamecarError, match=rf"ends in {name[3:]}; give \.pdf, \.svg or \.png, or no suffix"):
        save_figure(figure_of(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("width", "dpi"), [(3.5, 100), (3.5, 300), (7.2, 50)])
def test_a_png_has_as_many_dots_as_was_asked_for(width, dpi, tmp_path):
    figure = figure_of(width)
    (path,) = save_figure(figure, tmp_path / "fig.png", dpi=dpi)
    with Image.open(path) as image:
        assert image.width == round(width * dpi)
        assert image.height == pytest.approx(figure.get_figheight() * dpi, abs=1)
        assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.1)


def test_a_pdf_has_its_fonts_in_it_as_truetype(tmp_path):
    (path,) = save_figure(figure_of(title="Ähnlichkeit …"), tmp_path / "fig.pdf")
    content = path.read_bytes()
    bodies = objects(content)
    assert b"/Type3" not in content
    fonts = [body for body in bodies.values() if b"/CIDFontType2" in body]
    assert fonts
    for font in fonts:
        descriptor = bodies[int(re.search(rb"/FontDescriptor (\d+) 0 R", font)[1])]
        file = bodies[int(re.search(rb"/FontFile2 (\d+) 0 R", descriptor)[1])]
        assert "glyf" in TTFont(io.BytesIO(stream(file)))
    assert not re.search(rb"/BaseFont /(Helvetica|Times|Courier)", content)
    assert b"Date" not in content


def test_a_pdf_is_as_wide_as_was_asked_for_and_its_pictures_have_the_dots(tmp_path):
    figure, widths = figure_of(), []
    for dpi in (100, 400):
        (path,) = save_figure(figure, tmp_path / "fig.pdf", dpi=dpi)
        box = re.search(rb"/MediaBox \[ ?([\d. ]+) ?\]", path.read_bytes())[1].split()
        assert float(box[2]) == 3.5 * 72
        assert float(box[3]) == pytest.approx(figure.get_figheight() * 72, abs=0.01)
        pictures = [body for body in objects(path.read_bytes()).values() if b"/Subtype /Image" in body]
        widths.append(int(re.search(rb"/Width (\d+)", pictures[0])[1]))
    assert widths[1] == pytest.approx(4 * widths[0], abs=4)


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_style import figure_of
from samecar.report.figures.style import save_figure
for suffix in ("pdf", "svg"):
    save_figure(figure_of(), Path(sys.argv[2]) / f"fig.{suffix}")
"""


def test_another_process_writes_the_same_bytes(tmp_path):
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed}
        here = str(Path(__file__).parent)
        subprocess.run([sys.executable, "-c", WRITE, here, str(tmp_path / seed)], check=True, env=environment)
    for name in ("fig.pdf", "fig.svg"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 0}, "width is 0; give inches, 3 or more and at most 36"),
        ({"width": 128}, "width is 128; give inches, 3 or more and at most 36"),
        ({"width": float("nan")}, "width is nan; give inches, 3 or more and at most 36"),
        ({"dpi": 0}, "dpi is 0; give dots per inch, 30 or more and at most 1200"),
        ({"dpi": 9999}, "dpi is 9999; give dots per inch, 30 or more and at most 1200"),
    ],
)
def test_sizes_that_nobody_can_read_or_keep_are_refused(settings, sentence, tmp_path):
    with pytest.raises(SamecarError) as refusal:
        Sheet(**settings)
    assert str(refusal.value) == sentence
    with pytest.raises(SamecarError) as refusal:
        save_figure(figure_of(settings.get("width", 3.5)), tmp_path / "fig.png", dpi=settings.get("dpi", 100))
    assert str(refusal.value) == sentence


# text


def test_text_keeps_its_size_on_wide_sheets_and_is_smaller_in_a_column():
    assert [text_size(width) for width in (3, 3.5, 5.25, 7, 20)] == [7.5, 7.5, 8.75, 10, 10]
    assert text_size(3.5, "small") > 6
    before = mpl.rcParams["font.size"]
    figure_of()
    assert mpl.rcParams["font.size"] == before


def test_lines_break_between_words_where_they_are_full():
    words = "one two three four five six"
    broken = break_lines(words, 1.0, 10)
    assert broken.split() == words.split()
    assert broken.count("\n") >= 1
    for line in broken.split("\n"):
        assert text_width(line, 10) <= 1.0
    assert break_lines("incomprehensibilities", 0.1, 10) == "incomprehensibilities"
    assert break_lines("", 1, 10) == ""


def test_a_line_that_is_too_long_keeps_its_end():
    assert fit_text("short \n name", 5, 10) == "short name"
    cut = fit_text("folder/" * 20 + "0088.jpg", 1.0, 10)
    assert cut.startswith("…")
    assert cut.endswith("0088.jpg")
    assert text_width(cut, 10) <= 1.0


def test_title_caption_and_legend_lie_inside_the_figure_and_make_it_higher():
    figure = figure_of(title="A title of so many words that a column of a paper cannot hold it in a line of its own")
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    (axes,) = figure.axes
    boxes = [
        artist.get_window_extent(renderer)
        for artist in (figure.texts[0], axes.get_legend(), axes.patch, figure.texts[1])
    ]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1 + 1
    for above, below in itertools.pairwise(boxes):
        assert above.y0 >= below.y1 - 1
    assert figure.get_figheight() > 2.6
    assert figure_of(title="").texts[0].get_text().startswith("Many words")
