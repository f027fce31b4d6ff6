"""What a reload keeps, in the browser alone: pictures, crops, filters, and which of several pictures was looked at."""

import pytest
from browsing import crops_of, meanwhile, needs_browser, pictures_of, results, search_on, upload, watch_forms
from galleries import painted
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import picture_content

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

KEPT = """() => new Promise((resolve) => {
    const asked = indexedDB.open("samecar-pictures", 1);
    asked.onsuccess = () => {
        const all = asked.result.transaction("pictures").objectStore("pictures").getAll();
        all.onsuccess = () => { asked.result.close(); resolve(all.result.map((one) => one.file.name).sort()); };
    };
})"""

AGE = """(hours) => new Promise((resolve) => {
    const asked = indexedDB.open("samecar-pictures", 1);
    asked.onsuccess = () => {
        const change = asked.result.transaction("pictures", "readwrite");
        const store = change.objectStore("pictures");
        store.getAll().onsuccess = (event) => {
            for (const one of event.target.result) store.put({ ...one, time: one.time - hours * 3600000 });
        };
        change.oncomplete = () => { asked.result.close(); resolve(); };
    };
})"""


def kept(page):
    return page.evaluate(KEPT)


def choose(page, paths):
    page.get_by_label("Choose a picture").set_input_files(paths)
    expect(results(page).first).to_be_visible()
    meanwhile(page, lambda: len(kept(page)) == len(paths))


def test_a_reload_keeps_the_picture_its_crop_and_the_filter(visit, own_port, own_gallery, picture):
    page = visit(own_port)
    choose(page, [picture])
    page.get_by_role("slider", name="top left corner").press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    page.get_by_label("Only", exact=True).check()
    page.get_by_label("c1 6 pictures").check()
    expect(results(page)).to_have_count(6)
    before = [card.get_attribute("data-id") for card in results(page).all()]
    results(page).first.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    page.reload()
    expect(results(page)).to_have_count(6)
    assert [card.get_attribute("data-id") for card in results(page).all()] == before
    expect(results(page).first).to_have_attribute("data-judgement", "same")  # it is the same query, to the pixel
    expect(page.locator("#crop-size")).to_contain_text("Box: left 10 %")
    expect(page.get_by_role("alert")).to_have_count(0)
    with Gallery.open(str(own_gallery)) as gallery:
        assert picture_content(picture.read_bytes()) not in gallery.engine.known(
            [picture_content(picture.read_bytes())]
        )
        assert gallery.engine.summary().pictures == 12


def test_a_reload_keeps_several_pictures_and_the_way_to_them(visit, port, tmp_path):
    page = visit(port)
    choose(page, [painted(tmp_path, vehicle, 1, 7) for vehicle in range(3)])
    page.get_by_role("button", name="Next picture").click()
    expect(page.get_by_role("status")).to_contain_text("Picture 2 of 3")
    search_on(page, results(page).first)
    page.reload()
    expect(page.locator("#stored")).to_be_visible()
    expect(results(page)).to_have_count(11)
    page.go_back()
    expect(page.get_by_role("status")).to_contain_text("Picture 2 of 3")
    next_form = watch_forms(page)
    page.get_by_label("Views of one vehicle").check()
    assert len(pictures_of(form := next_form())) == 3
    assert crops_of(form) == []
    page.reload()
    expect(results(page)).to_have_count(12)
    expect(page.get_by_label("Views of one vehicle")).to_be_checked()


def test_pictures_are_forgotten_when_people_say_so(visit, port, picture):
    page = visit(port)
    choose(page, [picture])
    page.get_by_role("button", name="Forget my pictures").click()
    expect(page.locator("#pictures .card")).to_have_count(12)
    expect(page.get_by_role("status")).to_contain_text("No picture of yours is kept")
    assert kept(page) == []
    page.go_back()
    expect(
        page.get_by_role("alert").filter(has_text=f"no longer keeps {picture.name}; choose it again")
    ).to_be_visible()


@pytest.mark.parametrize(("hours", "there"), [(7.9, True), (8.1, False)])
def test_pictures_are_forgotten_after_a_working_day(visit, port, picture, hours, there):
    page = visit(port)
    choose(page, [picture])
    page.evaluate(AGE, hours)
    page.reload()
    if there:
        expect(results(page)).to_have_count(12)
        assert kept(page) == [picture.name]
    else:
        expect(page.get_by_role("alert").filter(has_text="choose it again")).to_contain_text(picture.name)
        meanwhile(page, lambda: kept(page) == [])


def test_a_browser_that_keeps_nothing_says_so_after_a_reload(visit, port, picture):
    page = visit(port)
    page.add_init_script("indexedDB.open = () => { throw new DOMException('no store', 'SecurityError'); };")
    page.reload()
    upload(page, picture)
    page.reload()
    expect(page.get_by_role("alert").filter(has_text="choose it again")).to_contain_text(picture.name)
    expect(page.locator("#pictures .card")).to_have_count(12)
