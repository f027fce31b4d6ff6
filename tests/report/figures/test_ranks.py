import numpy as np
import pytest
from PIL import Image
from ranked_pictures import paint_pictures, ranked

from samecar.errors import SamecarError
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure

CELL, GAP, QUERY_GAP, MARGIN = 0.9, 0.07, 0.14, 0.07
"""Inches, as a figure has them that may be as wide as it likes."""


@pytest.fixture
def pictures(tmp_path):
    return paint_pictures(tmp_path / "pictures")


def drawn(figure, tmp_path, dpi=200):
    return Image.open(save_figure(figure, tmp_path / "ranks.png", dpi=dpi)[0]).convert("RGB")


def at(sheet, x, y, dpi=200):
    return sheet.getpixel((round(x * dpi), round(y * dpi)))


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_right_and_wrong_are_told_apart_without_colour(pictures, tmp_path):
    # Two results: the first right, the second wrong. Where the frames run, a solid line has one grey, a dashed one two.
    figure = ranks_figure([ranked(pictures)])
    sheet = np.asarray(drawn(figure, tmp_path).convert("L")).astype(int)
    side = (figure.get_figwidth() - 2 * MARGIN - QUERY_GAP - GAP) / 3
    assert side >= CELL
    first = MARGIN + side + QUERY_GAP
    edges = [
        sheet[round(200 * (MARGIN + 0.25 * side)) : round(200 * (MARGIN + 0.75 * side)), round(200 * (left + 0.015))]
        for left in (first, first + side + GAP)
    ]
    right, wrong = ({int(value) for value in edge} for edge in edges)
    assert len(right) == 1
    assert max(wrong) - min(wrong) > 80
    assert abs(next(iter(right)) - min(wrong)) > 40
    assert {"query", "1 · right", "2 · wrong", "A · c0", "other · c1"} <= set(texts(figure))


def test_pictures_are_seen_whole_and_a_broken_one_is_an_empty_box(pictures, tmp_path):
    figure = ranks_figure([ranked(pictures, ["wide.jpg", "broken.jpg"])])
    sheet = drawn(figure, tmp_path)
    side = (figure.get_figwidth() - 2 * MARGIN - QUERY_GAP - GAP) / 3
    middle = MARGIN + side / 2
    for left in (MARGIN, MARGIN + side + QUERY_GAP):  # the query and the first result are twice as wide as high
        assert np.abs(np.subtract(at(sheet, left + 0.1 * side, middle), (200, 40, 40))).max() < 12
        assert at(sheet, left + 0.5 * side, MARGIN + 0.15 * side) == (238, 239, 240)
    broken = MARGIN + 2 * side + QUERY_GAP + GAP
    assert at(sheet, broken + 0.2 * side, MARGIN + 0.2 * side) == (238, 239, 240)
    assert "cannot be read:\nbroken.jpg" in texts(figure)


def test_lines_are_as_long_as_the_width_allows(pictures):
    one, two = (ranks_figure([ranked(pictures, ["tall.png"] * count)]) for count in (10, 20))
    assert one.get_figwidth() == two.get_figwidth() == pytest.approx(11 * CELL + QUERY_GAP + 9 * GAP + 2 * MARGIN)
    assert 1.8 * one.get_figheight() < two.get_figheight() < 2 * one.get_figheight()
    narrow = ranks_figure([ranked(pictures, ["tall.png"] * 20)], width=3.5)
    assert narrow.get_figwidth() == 3.5
    assert narrow.get_figheight() > 4
    none = ranks_figure([ranked(pictures, [])])
    assert none.get_figheight() < two.get_figheight()


def test_long_names_keep_their_ends(pictures):
    figure = ranks_figure([ranked(pictures, vehicle="long " * 40 + "0088", query="absent.jpg")], width=3.5)
    captions = [text for text in texts(figure) if text.endswith("0088 · c1")]
    assert len(captions) == 1
    assert captions[0].startswith("…")
    renderer = figure.canvas.get_renderer()
    side = (3.5 - 2 * MARGIN - QUERY_GAP - GAP) / 3 * figure.dpi
    for text in figure.axes[0].texts:
        assert text.get_window_extent(renderer).width <= 1.03 * side, text


def test_no_lists_to_draw_is_one_sentence():
    with pytest.raises(SamecarError, match="give at least one query"):
        ranks_figure([])
