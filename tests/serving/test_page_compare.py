"""Query and result side by side: zoomed and moved in step, by mouse, fingers and keyboard."""

import re

import pytest
from browsing import hold, meanwhile, needs_browser, results, upload
from galleries import painted, service, tiny_model
from PIL import Image
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser


def opened(page, rank):
    """Opens the comparison with a result, and gives the dialog."""
    page.get_by_role("button", name=f"Compare rank {rank} with the query").click()
    dialog = page.get_by_role("dialog", name=f"Query and rank {rank}")
    expect(dialog).to_be_visible()
    return dialog


def placed(dialog):
    """How both pictures are scaled and moved, as the browser has it: six numbers, the same for both."""
    transforms = dialog.locator(".pane > *").evaluate_all("all => all.map((one) => getComputedStyle(one).transform)")
    first, second = (
        [float(number) for number in re.fullmatch(r"matrix\((.*)\)", transform)[1].split(",")]
        for transform in transforms
    )
    assert first == pytest.approx(second, abs=0.1)  # panes may differ by a part of a pixel
    return first


def scale_of(dialog):
    return placed(dialog)[0]


def moved(dialog):
    return placed(dialog)[4:]


def test_query_and_result_are_as_large_as_there_is_room(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    dialog = opened(page, 2)
    expect(dialog.locator(".pane img, .pane canvas")).to_have_count(2)
    boxes = [one.bounding_box() for one in dialog.locator(".pane").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert all(box["width"] > 500 and box["height"] > 350 for box in boxes)
    expect(dialog.locator("canvas")).to_have_js_property("width", 40)
    expect(dialog).to_contain_text(results(page).nth(1).locator(".similarity").inner_text())
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Compare rank 2 with the query")).to_be_focused()


def test_both_pictures_are_zoomed_and_moved_in_step(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    dialog = opened(page, 1)
    expect(dialog.locator(".pane img")).to_be_visible()
    assert scale_of(dialog) == 1
    page.keyboard.press("ArrowLeft")
    assert moved(dialog) == [0, 0]  # what is seen whole has nowhere to go
    for _ in range(2):
        page.keyboard.press("+")
    assert scale_of(dialog) == pytest.approx(2.25)
    expect(dialog.get_by_role("button", name="Whole pictures")).to_have_text("225\u00a0%")
    page.keyboard.press("ArrowRight")
    width = dialog.locator(".pane").first.bounding_box()["width"]
    assert moved(dialog)[0] == pytest.approx(-0.1 * width, abs=1)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert moved(dialog)[0] == pytest.approx(-0.625 * width, abs=1)  # no further than to its edge

    box = dialog.locator(".pane").nth(1).bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 30, steps=3)
    page.mouse.up()
    assert moved(dialog) == pytest.approx([-0.625 * width + 60, 30], abs=1.5)
    page.keyboard.press("0")
    assert (scale_of(dialog), moved(dialog)) == (1, [0, 0])

    corner = box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"]
    page.mouse.move(*corner)
    page.mouse.wheel(0, -300)  # twice as large, around where the mouse is
    meanwhile(page, lambda: scale_of(dialog) == pytest.approx(2))
    assert moved(dialog) == pytest.approx([0.25 * box["width"], 0.25 * box["height"]], abs=1.5)
    dialog.get_by_role("button", name="Smaller").click()
    assert scale_of(dialog) == pytest.approx(4 / 3, abs=1e-4)
    for _ in range(12):
        page.keyboard.press("+")
    assert scale_of(dialog) == 16
    expect(dialog.get_by_role("button", name="Larger")).to_be_disabled()


def test_a_crop_is_compared_not_the_whole_picture(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    corner = page.get_by_role("slider", name="top left corner")
    corner.focus()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("12 results")
    dialog = opened(page, 1)
    expect(dialog.locator("canvas")).to_have_js_property("width", 20)
    expect(dialog.locator("canvas")).to_have_js_property("height", 40)


def test_from_result_to_result_and_a_judgement(visit, own_port, own_gallery):
    page = visit(own_port, "/?id=1")
    expect(results(page)).to_have_count(11)
    first = results(page).first
    first.get_by_role("link").focus()
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_have_accessible_name("Query and rank 1")
    expect(dialog.get_by_role("button", name="Previous result")).to_be_disabled()
    expect(dialog.locator(".pane img")).to_have_count(2)
    page.keyboard.press("PageDown")
    expect(dialog).to_have_accessible_name("Query and rank 2")
    page.keyboard.press("s")
    expect(dialog.get_by_role("button", name="Same", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(results(page).nth(1)).to_have_attribute("data-judgement", "same")
    with Gallery.open(str(own_gallery)) as gallery:
        meanwhile(page, lambda: len(gallery.engine.judgements()) == 1)
        (kept,) = gallery.engine.judgements()
    assert (str(kept.entry), kept.same) == (results(page).nth(1).get_attribute("data-id"), True)
    dialog.get_by_role("button", name="Previous result").click()
    expect(dialog.get_by_role("button", name="Same", exact=True)).to_have_attribute("aria-pressed", "false")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_a_service_that_only_searches_asks_for_no_judgement(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    dialog = opened(page, 1)
    expect(dialog.get_by_role("button", name="Same", exact=True)).to_be_hidden()
    page.keyboard.press("s")
    expect(results(page).first).not_to_have_attribute("data-judgement", "same")


def test_on_a_phone_one_stands_above_the_other(visit, port, picture):
    page = visit(port, viewport={"width": 390, "height": 844}, has_touch=True)
    upload(page, picture)
    dialog = opened(page, 1)
    above, below = (one.bounding_box() for one in dialog.locator(".pane").all())
    assert above["x"] == below["x"]
    assert above["y"] + above["height"] <= below["y"]
    assert above["height"] > 150
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_what_is_stored_without_a_picture_says_so(visit, serve, tmp_path):
    from samecar.retrieval.records import Addition, Sighting

    with Gallery.create(str(tmp_path / "bare"), tiny_model(tmp_path / "model"), thumbnail=0) as gallery:
        shown = [Image.open(painted(tmp_path, vehicle, 0, 0)).convert("RGB") for vehicle in (1, 2)]
        rows = gallery.model.embed(shown)
        gallery.engine.add([Addition(Sighting(f"{number:064x}"), row) for number, row in enumerate(rows)])
    page = visit(serve(service(tmp_path / "bare")), "/?id=1")
    expect(results(page)).to_have_count(1)
    dialog = opened(page, 1)
    expect(dialog.get_by_text("no picture is kept")).to_have_count(2)
    search_on_is_still_there = results(page).first.get_by_role("link")
    page.keyboard.press("Escape")
    expect(search_on_is_still_there).to_be_visible()


def test_a_comparison_that_is_closed_before_its_query_has_come_complains_of_nothing(visit, port):
    page = visit(port, "/?id=1")
    expect(results(page).first).to_be_visible()
    held, _ = hold(page, "**/api/pictures/1")
    dialog = opened(page, 1)
    meanwhile(page, lambda: held)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.wait_for_timeout(100)  # in which a complaint would come


def test_a_query_that_cannot_be_fetched_is_said_to_be_missing(visit, port):
    page = visit(port, "/?id=1")
    page.expected = ["status of 500"]
    expect(results(page).first).to_be_visible()
    page.route("**/api/pictures/1", lambda route: route.fulfill(status=500))
    expect(opened(page, 1).get_by_text("picture not loaded")).to_be_visible()
