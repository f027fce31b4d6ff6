"""Larger pictures on the page: in the comparison, and of a film's passage one after the other."""

import re
from dataclasses import replace

import pytest
from browsing import needs_browser, results
from galleries import service, tiny_model
from PIL import Image
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import UNREAD, Sighting

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

LARGE, ORIGINAL = 640, 900
"""Width of previews, and of the pictures that they were made of."""


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """A gallery of two pictures with previews, and of a vehicle that was seen three times in a film."""
    folder = tmp_path_factory.mktemp("previews")
    names = []
    for place in range(2):
        names.append(folder / "pictures" / f"{place}.png")
        names[-1].parent.mkdir(exist_ok=True)
        Image.new("RGB", (ORIGINAL, 600), (90 * place, 120, 60)).save(names[-1])
    with Gallery.create(folder / "yard", tiny_model(folder / "model"), preview=LARGE) as gallery:
        gallery.add([Incoming(path, replace(UNREAD, address=str(path), camera_id="gate")) for path in names])
        crops = [Image.new("RGB", (300 + 50 * place, 200), (60, 90 * place, 200)) for place in range(3)]
        known = Sighting("e" * 64, camera_id="road", labels={"film": "monday.mp4"})
        gallery.add_pooled(known, crops, [75.25, 3.0, 3725.5])
    return folder / "yard"


def compare(page, number):
    card = page.locator(f'#results .card[data-id="{number}"]')
    card.get_by_role("button", name="Compare").click()
    dialog = page.get_by_role("dialog", name="Query and rank")
    expect(dialog).to_be_visible()
    return dialog


def width(dialog, pane, pixels):
    expect(dialog.locator(".pane").nth(pane).locator("img")).to_have_js_property("naturalWidth", pixels)


def test_both_larger_pictures_are_compared(visit, serve, yard):
    page = visit(serve(service(yard)), "/?id=1")
    expect(results(page)).to_have_count(2)
    dialog = compare(page, 2)
    width(dialog, 0, LARGE)
    width(dialog, 1, LARGE)
    shown = dialog.locator(".pane").nth(1).get_by_role("img")
    expect(shown).to_have_accessible_name(re.compile(r"Rank \d\. Camera gate, time unknown"))
    expect(dialog.locator("#compare-moments")).to_be_hidden()


def test_originals_are_shown_where_they_may_be(visit, serve, yard):
    page = visit(serve(service(yard, originals=yard.parent / "pictures")), "/?id=1")
    dialog = compare(page, 2)
    width(dialog, 0, ORIGINAL)
    width(dialog, 1, ORIGINAL)


def test_a_vehicle_of_a_film_shows_its_pictures_and_their_moments(visit, serve, yard):
    page = visit(serve(service(yard)), "/?id=1")
    dialog = compare(page, 3)
    moments = dialog.get_by_role("group", name="Pictures of the result in its film")
    expect(moments).to_contain_text("Seen in monday.mp4 at")
    buttons = moments.get_by_role("button")
    expect(buttons).to_have_text(["0:03.0", "1:15.3", "1:02:05.5"])  # in the order of the film
    width(dialog, 1, 300)  # the best one, of second 75.25
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "true")
    buttons.nth(2).focus()
    page.keyboard.press("Enter")
    width(dialog, 1, 400)
    expect(buttons.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "false")
    first = "rank 1" in dialog.get_by_role("heading").inner_text()
    page.keyboard.press("PageDown" if first else "PageUp")
    expect(moments).to_be_hidden()  # the other result is of no film
    page.keyboard.press("+")  # though the button that had the focus has gone
    expect(dialog.locator("#compare-zoom")).to_have_text("150\u00a0%")


def test_the_query_shows_its_moments_too_on_a_phone_in_the_dark(visit, serve, yard):
    page = visit(serve(service(yard)), "/?id=3", viewport={"width": 390, "height": 844}, color_scheme="dark")
    moments = page.get_by_role("group", name="Pictures of it in its film")
    expect(moments.get_by_role("button")).to_have_count(3)
    stored = page.locator("#stored img")
    expect(stored).to_have_js_property("naturalWidth", 300)
    moments.get_by_role("button", name="0:03.0").click()
    expect(stored).to_have_js_property("naturalWidth", 350)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert min(box["height"] for button in moments.get_by_role("button").all() if (box := button.bounding_box())) >= 24
