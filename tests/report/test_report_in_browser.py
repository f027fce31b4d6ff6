"""Pictures of the report are enlarged in a real browser, by mouse and keyboard, without script and network."""

import os
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from ranked_pictures import paint_pictures, ranked

from samecar.embedding.embeddings import Embeddings
from samecar.evaluation import find_protocol, score
from samecar.labels import Labels
from samecar.report import write_report

BROWSER = os.environ.get("SAMECAR_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome in PATH, nor in SAMECAR_BROWSER")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    sides = [
        Embeddings(np.array([[1], [2]], np.float32), Labels(np.array(["A", "B"]), np.array([camera] * 2)))
        for camera in ("c1", "c2")
    ]
    lists = [ranked(paint_pictures(folder / "pictures"))]
    evaluation = score(*sides, find_protocol("plain"))
    write_report(folder / "report.html", title="A run", evaluation=evaluation, examples=lists, worst=lists)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(params=["desktop", "phone"])
def page(browser, report, request):
    size = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}[request.param]
    context = browser.new_context(viewport=size, java_script_enabled=False, offline=True)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.goto(report.as_uri())
    yield opened
    context.close()


def test_a_picture_is_enlarged_beside_its_query_and_closed_again(page):
    expect.set_options(timeout=60_000)
    small = page.get_by_role("button", name="rank 1, right: vehicle A from camera c0").first
    dialog = page.get_by_role("dialog", name="rank 1, right: vehicle A from camera c0, enlarged")
    expect(dialog).to_be_hidden()
    small.focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    pictures = dialog.get_by_role("img")
    expect(pictures).to_have_count(2)
    for picture in pictures.all():
        box = picture.bounding_box()
        assert box["width"] > 250
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(small).to_be_focused()
    small.click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_what_is_enlarged_is_the_picture(page):
    page.get_by_role("button", name="query: vehicle A from camera c1").first.click()
    picture = page.get_by_role("dialog", name="query: vehicle A from camera c1, enlarged").get_by_role("img")
    with Image.open(BytesIO(picture.screenshot())) as seen:
        red, green, blue = seen.convert("RGB").getpixel((seen.width // 2, seen.height // 2))
    assert abs(red - 200) < 12
    assert abs(green - 40) < 12
    assert abs(blue - 40) < 12
