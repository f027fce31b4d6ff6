"""The filter by type, colour and other labels: on the page and in its address."""

import pytest
from browsing import needs_browser, parameters, results
from galleries import painted, service
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import Sighting

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

LOOKS = [("car", "white"), ("car", "red"), ("van", "white"), ("van", "blue")]


@pytest.fixture
def looks_port(serve, own_gallery, tmp_path):
    """Of a service whose gallery has 12 pictures without a type, 4 with one, and 51 notes."""
    with Gallery.open(str(own_gallery)) as gallery:
        gallery.add(
            Incoming(painted(tmp_path, row, 0, 5), Sighting("", labels={"type": kind, "colour": colour}))
            for row, (kind, colour) in enumerate(LOOKS)
        )
        gallery.add(
            Incoming(painted(tmp_path, row, 1, 6), Sighting("", labels={"note": f"n={row}"})) for row in range(51)
        )
    return serve(service(own_gallery))


def looks(page):
    return sorted(" ".join(card.locator(".known li").all_inner_texts()) for card in results(page).all())


def test_types_and_colours_are_chosen(visit, looks_port):
    page = visit(looks_port, "/?id=1&top=10")
    form = page.get_by_role("form", name="Filter")
    groups = form.locator(".label summary b")
    expect(groups).to_have_text(["type", "colour", "lane", "note"])
    groups.filter(has_text="type").click()
    form.get_by_label("car 2 pictures").check()
    expect(results(page)).to_have_count(2)
    assert looks(page) == ["type car colour red", "type car colour white"] or looks(page) == [
        "colour red type car",
        "colour white type car",
    ]
    form.get_by_label("van 2 pictures").check()
    expect(results(page)).to_have_count(4)
    groups.filter(has_text="colour").click()
    form.get_by_label("white 2 pictures").check()
    expect(results(page)).to_have_count(2)
    assert parameters(page) == "colour=white id=1 top=10 type=car type=van"
    expect(page.locator("#filter-summary")).to_have_text("type car or van, colour white")
    page.reload()
    expect(results(page)).to_have_count(2)
    expect(form.locator(".label summary .quiet").first).to_have_text("car or van")
    form.get_by_role("button", name="Clear the filter").click()
    expect(results(page)).to_have_count(10)
    assert parameters(page) == "id=1 top=10"


def test_a_label_of_many_values_is_typed(visit, looks_port):
    page = visit(looks_port, "/?id=1")
    page.locator(".label summary", has_text="note").click()
    page.get_by_label("note is exactly").fill("n=7")
    page.get_by_label("note is exactly").press("Tab")
    expect(results(page)).to_have_count(1)
    assert parameters(page) == "id=1 label=note=n=7 top=20"
    page.get_by_label("note is exactly").fill("n=99")
    page.get_by_label("note is exactly").press("Enter")
    expect(page.get_by_role("heading", name="No picture passes the filter.")).to_be_visible()


def test_a_label_that_the_gallery_lacks_is_filtered_too(visit, looks_port):
    page = visit(looks_port, "/?id=1&type=boat&label=owner=me")
    expect(page.get_by_role("heading", name="No picture passes the filter.")).to_be_visible()
    expect(page.locator("#filter-summary")).to_have_text("type boat, owner me")
    page.locator(".label summary", has_text="type").click()
    expect(page.get_by_label("boat")).to_be_checked()
    page.locator("#none").get_by_role("button", name="Clear the filter").click()
    expect(results(page)).to_have_count(20)
    assert parameters(page) == "id=1 top=20"


def test_a_label_may_have_any_name(visit, looks_port):
    page = visit(looks_port, "/?id=1&label=__proto__=1&label=constructor=2")
    expect(page.get_by_role("heading", name="No picture passes the filter.")).to_be_visible()
    expect(page.locator("#filter-summary")).to_have_text("__proto__ 1, constructor 2")
    page.locator("#none").get_by_role("button", name="Clear the filter").click()
    expect(results(page)).to_have_count(20)


def test_pictures_are_looked_through_by_type(visit, looks_port):
    page = visit(looks_port, "/?type=van")
    expect(page.locator("#pictures .card")).to_have_count(2)
