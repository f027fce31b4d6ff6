"""The page in a real browser, over a real service: from a picture to what people say about its results."""

import csv
import io
import re

import pytest
from browsing import cameras, crop_of, hold, meanwhile, needs_browser, parameters, results, search_on, searched, upload
from PIL import Image
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import picture_content

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser


def test_from_a_picture_to_the_timeline(visit, port, picture, painted_gallery):
    page = visit(port)
    expect(page.get_by_role("heading", name="Where else was this vehicle?")).to_be_visible()
    expect(page).to_have_title("yard – samecar")
    upload(page, picture)

    expect(results(page)).to_have_count(12)
    with Gallery.open(str(painted_gallery)) as gallery:
        [answer] = gallery.search([Image.open(picture).convert("RGB")], 12)
    shown = [card.get_attribute("data-id") for card in results(page).all()]
    assert shown == [str(found.entry.id) for found in answer.found]
    best = answer.found[0]
    card = results(page).first
    expect(card).to_contain_text(f"similarity {best.similarity:.3f}")
    expect(card).to_contain_text(best.entry.sighting.camera_id)
    expect(card).to_contain_text(f"vehicle {best.entry.sighting.vehicle_id}")
    expect(page.get_by_role("status")).to_contain_text("12 results")
    expect(page.get_by_text("This gallery is not calibrated")).to_be_visible()
    expect(card.locator("img")).to_have_js_property("naturalWidth", 40)

    timeline = page.get_by_role("region", name="When and where")
    expect(timeline.locator(".lane h4")).to_have_text(["c0", "c1"])
    expect(timeline.locator(".point")).to_have_count(12)
    lane = timeline.locator(".lane").first.locator(".point")
    places = [point.bounding_box()["x"] for point in lane.all()]
    assert places == sorted(places)  # six pictures of a camera, one after the other
    assert places[-1] - places[0] > 300
    point = timeline.get_by_role("button", name=re.compile(r"^Rank 1, similarity .*Camera c\d, 2023-11-14 22:.*UTC$"))
    point.hover()
    expect(card).to_have_class(re.compile("pointed"))
    point.click()
    expect(card.get_by_role("link")).to_be_focused()
    results(page).nth(2).hover()
    expect(timeline.get_by_role("button", name=re.compile("^Rank 3,"))).to_have_class(re.compile("pointed"))

    timeline.get_by_text("As a table").click()
    rows = timeline.get_by_role("row").all_inner_texts()
    assert len(rows) == 13
    assert rows[1].startswith("2023-11-14 22:13:20\tc0\t")
    assert rows[1:] == sorted(rows[1:])


def test_a_crop_by_mouse_and_by_keyboard_is_searched(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    expect(page.locator("#crop-size")).to_have_text("Whole picture, 40 × 40 pixels")
    box = page.locator("#crop").bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    with searched(page) as asked:
        page.mouse.move(*at(0.25, 0.3))
        page.mouse.down()
        page.mouse.move(*at(0.5, 0.5))
        page.mouse.move(*at(0.75, 0.9))
        page.mouse.up()
    assert crop_of(asked) == pytest.approx([0.25, 0.3, 0.5, 0.6], abs=0.02)
    expect(page.locator("#crop-size")).to_have_text(re.compile(r"^Box: left 25 %, top 30 %, 20 × 24 pixels$"))

    corner = page.get_by_role("slider", name="top left corner")
    corner.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect(corner).to_have_attribute("aria-valuetext", re.compile("^15 % from the left, 31 % from the top$"))
    area = page.get_by_role("slider", name="whole area")
    area.focus()
    page.keyboard.press("Shift+ArrowRight")
    with searched(page) as asked:
        page.keyboard.press("Enter")
    assert crop_of(asked) == pytest.approx([0.25, 0.31, 0.6, 0.59], abs=0.02)

    with searched(page) as asked:
        page.get_by_role("button", name="Whole picture").click()
    assert "crop" not in asked
    expect(results(page)).to_have_count(12)


def test_filters_narrow_the_results_and_stand_in_the_address(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    form = page.get_by_role("form", name="Filter")
    form.get_by_label("Only", exact=True).check()
    form.get_by_label("c1 6 pictures").check()
    expect(results(page)).to_have_count(6)
    assert cameras(page) == {"c1"}
    form.get_by_label("All but").check()
    expect(results(page).first.locator(".camera")).to_have_text("c0")
    assert cameras(page) == {"c0"}
    form.get_by_label("From").fill("2023-11-14T22:17")
    form.get_by_label("Before").fill("2023-11-14T22:21")
    expect(results(page)).to_have_count(2)
    assert parameters(page) == "after=2023-11-14T22:17 before=2023-11-14T22:21 not_camera=c1 top=20"

    form.get_by_label("From").fill("2024-01-01T00:00")
    expect(page.get_by_role("heading", name="No picture passes the filter.")).to_be_visible()
    page.locator("#none").get_by_role("button", name="Clear the filter").click()
    expect(results(page)).to_have_count(12)
    assert parameters(page) == "top=20"
    form.get_by_label("Results").select_option("10")
    expect(results(page)).to_have_count(10)


def test_searching_on_and_going_back(visit, port, picture):
    page = visit(port)
    upload(page, picture)
    first = results(page).first.get_attribute("data-id")
    results(page).first.get_by_role("link").click()
    expect(page.locator("#stored")).to_contain_text(f"picture {first}")
    expect(results(page)).to_have_count(11)  # it never finds itself
    assert parameters(page) == f"id={first} top=20"
    trail = page.get_by_role("navigation", name="Searches that led here")
    expect(trail.get_by_role("listitem")).to_have_text([picture.name, f"picture {first}"])

    results(page).nth(1).get_by_role("link").press("Enter")
    expect(trail.get_by_role("listitem")).to_have_count(3)
    trail.get_by_role("button", name=picture.name).click()
    expect(page.locator("#crop img")).to_be_visible()
    expect(results(page)).to_have_count(12)
    page.go_forward()
    expect(page.locator("#stored")).to_contain_text(f"picture {first}")
    page.go_back()
    expect(results(page)).to_have_count(12)


def test_a_link_opens_a_search_also_after_reloading(visit, port):
    page = visit(port, "/?id=3&not_camera=c0&top=10")
    expect(results(page)).to_have_count(6)
    assert cameras(page) == {"c1"}
    expect(page.locator("#filter-summary")).to_have_text("all but 1 camera")
    page.reload()
    expect(results(page)).to_have_count(6)
    page.get_by_role("button", name="Leave out c0").wait_for()  # the query's own camera
    page.expected = ["status of 404"]
    page.goto(f"http://127.0.0.1:{port}/?id=99")
    expect(page.get_by_role("alert").filter(has_text="Entry 99 is not in the gallery.")).to_be_visible()


def test_a_camera_that_the_form_does_not_list_is_filtered_too(visit, own_port, picture):
    page = visit(own_port, "/?id=1")
    expect(results(page)).to_have_count(11)
    with picture.open("rb") as file:
        added = {"picture": {"name": "late.png", "mimeType": "image/png", "buffer": file.read()}, "camera_id": "late"}
    assert page.request.post(f"http://127.0.0.1:{own_port}/api/pictures", multipart=added).status == 201
    search_on(page, results(page).first)
    search_on(page, results(page).and_(page.locator("[data-id='13']")))
    page.get_by_role("button", name="Leave out late").click()
    expect(page.locator("#filter-summary")).to_have_text("all but 1 camera")
    assert parameters(page) == "id=13 not_camera=late top=20"
    expect(page.get_by_label("late", exact=True)).to_be_checked()
    page.goto(f"http://127.0.0.1:{own_port}/?id=1&camera=elsewhere")
    expect(page.get_by_role("heading", name="No picture passes the filter.")).to_be_visible()
    expect(page.get_by_label("elsewhere", exact=True)).to_be_checked()
    expect(page.locator("#filter-summary")).to_have_text("only 1 camera")


def test_judgements_are_kept_taken_back_and_exported(visit, own_port, own_gallery, picture):
    page = visit(own_port)
    page.expected = ["status of 404"]
    page.get_by_role("button", name="Export labels").click()
    expect(page.get_by_role("alert").filter(has_text="Nothing was judged yet")).to_be_visible()

    upload(page, picture)
    one, two, three = (results(page).nth(place) for place in range(3))
    one.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    expect(one.get_by_role("button", name="Same", exact=True)).to_have_attribute("aria-pressed", "true")
    two.get_by_role("link").focus()
    page.keyboard.press("n")
    expect(two.get_by_role("button", name="Not the same")).to_have_attribute("aria-pressed", "true")
    tops = [button.bounding_box()["y"] for button in two.locator(".judge button").all()]
    assert tops[0] == tops[1]  # what is pressed does not move away from the pointer
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    expect(three.get_by_role("button", name="Same", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("s")
    expect(page.get_by_role("status")).to_contain_text("Rank 3: not judged")
    expect(three).to_have_attribute("data-judgement", "none")
    ids = [int(card.get_attribute("data-id")) for card in (one, two, three)]

    with page.expect_download() as coming:
        page.get_by_role("button", name="Export labels").click()
    rows = list(csv.DictReader(io.StringIO(coming.value.path().read_text(encoding="utf-8"))))
    assert coming.value.suggested_filename == "yard-labels.csv"
    with Gallery.open(str(own_gallery)) as gallery:
        assert {judged.entry: judged.same for judged in gallery.engine.judgements()} == {ids[0]: True, ids[1]: False}
        same = gallery.engine.entries(ids[:1])[ids[0]].sighting.vehicle_id
    assert sorted(row["vehicle_id"] for row in rows).count(same) == 2  # the entry, and the query that is the same

    page.get_by_label("Choose a picture").set_input_files(picture)
    expect(one).to_have_attribute("data-judgement", "same")
    expect(two).to_have_attribute("data-judgement", "different")
    expect(page.locator("#results img")).to_have_count(12)


def test_judgements_belong_to_the_search_in_which_they_were_made(visit, own_port, own_gallery, picture):
    page = visit(own_port)
    page.expected = ["status of 503"]
    upload(page, picture)
    kept = []
    page.on("response", lambda answer: kept.append(answer.ok) if answer.request.method == "PUT" else None)
    held, let_pass = hold(page, "**/api/judgements")
    first, second = (int(results(page).nth(place).get_attribute("data-id")) for place in range(2))
    results(page).nth(0).get_by_role("button", name="Same", exact=True).click()
    results(page).nth(1).get_by_role("button", name="Not the same").click()
    search_on(page, results(page).nth(2))
    meanwhile(page, lambda: held)
    let_pass()
    busy = '{"error": {"code": "busy", "message": "too many requests are waiting; try again in a second"}}'
    held[0].fulfill(status=503, headers={"Retry-After": "1", "Content-Type": "application/json"}, body=busy)
    expect(page.get_by_role("alert").filter(has_text="Trying again in 1 s.")).to_be_visible()
    meanwhile(page, lambda: kept.count(True) == 2)

    query = picture_content(picture.read_bytes())
    with Gallery.open(str(own_gallery)) as gallery:
        judged = {(judgement.query, judgement.entry): judgement.same for judgement in gallery.engine.judgements()}
    assert judged == {(query, first): True, (query, second): False}
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#results .card:not([data-judgement=none])")).to_have_count(0)  # on another query nobody spoke


def test_going_back_before_the_gallery_is_known_leads_there(visit, port):
    page = visit(port)
    page.locator("#pictures .frame").first.click()
    expect(results(page)).to_have_count(11)
    held, let_pass = hold(page, "**/api/gallery")
    page.reload()
    meanwhile(page, lambda: held)
    page.evaluate("history.back()")
    meanwhile(page, lambda: page.evaluate("location.search === ''"))
    page.wait_for_timeout(200)
    let_pass()
    for route in held:
        route.continue_()
    expect(page.locator("#pictures .card")).to_have_count(12)
    expect(page.locator("#facts")).to_contain_text("yard")


HAND_OVER = """([kind, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: "image/png" }));
    const made = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
    const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
    document.body.dispatchEvent(new Kind(kind, made));
}"""


def hand_over(page, kind, picture):
    page.evaluate(HAND_OVER, [kind, list(picture.read_bytes())])


def test_dropped_and_pasted_pictures(visit, port, picture):
    page = visit(port)
    expect(page.locator("#pictures .card")).to_have_count(12)
    for kind in ("drop", "paste"):
        with searched(page) as asked:
            hand_over(page, kind, picture)
        assert asked["picture"] == f"{kind}.png"
        expect(results(page)).to_have_count(12)


def test_a_picture_dropped_before_the_gallery_is_known_is_searched_then(visit, port, picture):
    page = visit(port)
    held, _ = hold(page, "**/api/gallery")
    page.reload()
    expect(page.locator("body.busy")).to_be_attached()
    hand_over(page, "drop", picture)
    page.wait_for_timeout(200)
    assert page.locator("#uploaded").is_hidden()
    for route in held:
        route.continue_()
    expect(results(page)).to_have_count(12)
    expect(page.locator("#uploaded")).to_be_visible()
