"""Several pictures at once: each with an answer of its own, or all as views of one vehicle."""

import json

from browsing import crops_of, meanwhile, needs_browser, pictures_of, results, search_on, watch_forms
from galleries import painted, service
from PIL import Image
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser


def choose(page, paths):
    page.get_by_label("Choose a picture").set_input_files(paths)
    expect(results(page).first).to_be_visible()


def several(folder, count=3):
    return [painted(folder, vehicle, 1, 7) for vehicle in range(count)]


def ranking(page):
    return [int(card.get_attribute("data-id")) for card in results(page).all()]


def answers(gallery, paths):
    with Gallery.open(str(gallery)) as opened:
        pictures = [Image.open(path).convert("RGB") for path in paths]
        each = [[found.entry.id for found in answer.found] for answer in opened.search(pictures, 12)]
        return each, [found.entry.id for found in opened.search_views(pictures, 12).found]


def answered(page, which):
    expect(page.get_by_role("status")).to_contain_text(f"Picture {which} of 3: 12 results")


def test_each_of_several_pictures_has_its_answer(visit, port, painted_gallery, tmp_path):
    each, _ = answers(painted_gallery, paths := several(tmp_path))
    page = visit(port)
    choose(page, paths)
    answered(page, 1)
    assert ranking(page) == each[0]
    expect(page.get_by_role("group", name="3 pictures")).to_be_visible()
    page.get_by_role("button", name="Next picture").click()
    answered(page, 2)
    assert ranking(page) == each[1]
    shots = page.locator(".shot")
    expect(shots.nth(1)).to_have_attribute("aria-current", "true")
    expect(shots.nth(1).locator("img")).to_have_js_property("naturalWidth", 40)
    shots.nth(1).press("ArrowRight")
    answered(page, 3)
    assert ranking(page) == each[2]
    expect(shots.nth(2)).to_be_focused()
    expect(page.get_by_role("button", name="Next picture")).to_be_disabled()

    results(page).first.get_by_role("link").focus()
    page.keyboard.press(",")
    answered(page, 2)
    assert ranking(page) == each[1]
    expect(page.locator("#found")).to_be_focused()
    page.keyboard.press(".")
    answered(page, 3)
    search_on(page, results(page).first)
    page.go_back()
    answered(page, 3)
    assert ranking(page) == each[2]


def test_each_picture_has_a_crop_of_its_own(visit, port, tmp_path):
    page = visit(port)
    next_form = watch_forms(page)
    choose(page, several(tmp_path))
    assert crops_of(next_form()) == []
    page.get_by_role("slider", name="top left corner").press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    assert crops_of(next_form()) == ["0.100000,0.000000,0.900000,1.000000"]
    page.get_by_role("button", name="Show picture 2 of 3").click()
    assert crops_of(next_form()) == []
    page.get_by_role("button", name="Show picture 1 of 3").click()
    assert crops_of(next_form()) == ["0.100000,0.000000,0.900000,1.000000"]
    page.get_by_label("Views of one vehicle").check()
    form = next_form()
    assert crops_of(form) == ["0.100000,0.000000,0.900000,1.000000", "", ""]
    assert len(pictures_of(form)) == 3


def test_views_of_one_vehicle_have_one_answer_and_are_judged_together(visit, own_port, own_gallery, tmp_path):
    _, together = answers(own_gallery, paths := several(tmp_path))
    page = visit(own_port)
    choose(page, paths)
    page.get_by_label("Views of one vehicle").check()
    meanwhile(page, lambda: ranking(page) == together)
    page.get_by_role("button", name="Next picture").click()  # another view is shown, the answer is that to all
    expect(page.locator(".shot").nth(1)).to_have_attribute("aria-current", "true")
    assert ranking(page) == together
    results(page).first.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    with Gallery.open(str(own_gallery)) as gallery:
        [judged] = gallery.engine.judgements()
    assert (judged.entry, judged.same) == (together[0], True)

    search_on(page, results(page).first)
    trail = page.get_by_role("navigation", name="Searches that led here")
    expect(trail.get_by_role("listitem").first).to_have_text("3 views")
    page.go_back()
    meanwhile(page, lambda: ranking(page) == together)
    expect(results(page).first).to_have_attribute("data-judgement", "same")
    expect(page.get_by_label("Views of one vehicle")).to_be_checked()


def test_pictures_are_added_and_left_out(visit, port, painted_gallery, tmp_path):
    each, together = answers(painted_gallery, paths := several(tmp_path))
    page = visit(port)
    choose(page, paths[:1])
    expect(page.locator("#several")).to_be_hidden()
    with page.expect_file_chooser() as coming:
        page.get_by_role("button", name="Add pictures").click()
    coming.value.set_files(paths[1:])
    answered(page, 2)
    assert ranking(page) == each[1]
    page.get_by_label("Views of one vehicle").check()
    meanwhile(page, lambda: ranking(page) == together)
    page.get_by_role("button", name="Leave out picture 3 of 3").click()
    expect(page.locator(".shot")).to_have_count(2)
    page.locator(".shot").first.focus()
    page.keyboard.press("Delete")
    expect(page.locator("#several")).to_be_hidden()
    meanwhile(page, lambda: ranking(page) == each[1])


def test_no_more_views_than_the_service_takes(visit, serve, painted_gallery, tmp_path):
    page = visit(serve(service(painted_gallery, views=2)))
    choose(page, several(tmp_path))
    expect(page.get_by_label("Views of one vehicle")).to_be_disabled()
    expect(page.get_by_text("At most 2 views are searched with together.")).to_be_visible()
    page.get_by_role("button", name="Leave out picture 1 of 3").click()
    expect(page.get_by_label("Views of one vehicle")).to_be_enabled()


def test_views_together_are_no_larger_than_a_body_may_be(visit, serve, painted_gallery, tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.effect_noise((500, 500), 90).convert("RGB").save(paths[-1])
    size = paths[0].stat().st_size
    page = visit(serve(service(painted_gallery, bytes=2 * size)))
    next_form = watch_forms(page)
    choose(page, paths)
    assert [field["bytes"] for field in pictures_of(next_form())] == [size]  # alone each one fits
    page.get_by_label("Views of one vehicle").check()
    sent = pictures_of(next_form())
    assert len(sent) == 3
    assert sum(field["bytes"] for field in sent) < 2 * size
    expect(page.locator("#sent")).to_contain_text("Sent as a JPEG")
    expect(results(page)).to_have_count(12)


def test_on_a_phone_several_pictures_are_in_reach(visit, port, tmp_path):
    page = visit(port, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    choose(page, several(tmp_path, 6))
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    small = page.evaluate("""[...document.querySelectorAll("#query button")].filter((one) => one.checkVisibility())
        .filter((one) => Math.min(one.getBoundingClientRect().height, one.getBoundingClientRect().width) < 43.9)
        .map((one) => one.outerHTML)""")
    assert small == [], json.dumps(small)
    page.locator(".shot").nth(2).tap()
    expect(page.get_by_role("status")).to_contain_text("Picture 3 of 6")
