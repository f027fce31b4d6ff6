"""Thumbnails on the page: those of this gallery, fetched when they are near, and again when the service was busy."""

import re

from browsing import TOKEN, hold, meanwhile, needs_browser, results
from galleries import painted, service, serving, tiny_model
from PIL import Image
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

THUMBNAILS = re.compile("/thumbnail$")


def tired(route):
    """Answers as a service does that is asked too often."""
    body = '{"error": {"code": "too_many_requests", "message": "this address asks too often; wait 1 s"}}'
    route.fulfill(status=429, headers={"Retry-After": "1", "Content-Type": "application/json"}, body=body)


def test_a_client_asks_whether_its_thumbnail_is_still_the_one(own_gallery):
    with serving(own_gallery) as client:
        whole = client.get("/api/pictures/4/thumbnail")
        assert whole.headers["cache-control"] == "private, no-cache"
        tag = whole.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            same = client.get("/api/pictures/4/thumbnail", headers={"If-None-Match": known})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        other = client.get("/api/pictures/5/thumbnail", headers={"If-None-Match": tag})
        assert other.status_code == 200
        assert other.headers["etag"] != tag
        client.delete("/api/pictures/4")
        gone = client.get("/api/pictures/4/thumbnail", headers={"If-None-Match": tag})
        assert (gone.status_code, gone.headers["cache-control"]) == (404, "no-store")


def test_another_gallery_at_the_same_address_shows_its_own_thumbnails(visit, serve, own_gallery, tmp_path):
    path = painted(tmp_path, 9, 0, 0)
    Image.open(path).resize((80, 40)).save(path)
    with Gallery.create(str(tmp_path / "other"), tiny_model(tmp_path / "model")) as gallery:
        gallery.add([Incoming(path)])
    app = service(own_gallery)
    port = serve(app)
    page = visit(port)
    first = page.locator("#pictures img").first
    expect(page.locator("#pictures img")).to_have_count(12)  # none is still asked for when its gallery closes
    expect(first).to_have_js_property("naturalWidth", 40)
    app.state.service._gallery.close()
    app.state.service._gallery = Gallery.open(str(tmp_path / "other"))  # as if it were served here from now on
    page.reload()
    expect(page.locator("#pictures .card")).to_have_count(1)
    expect(first).to_have_js_property("naturalWidth", 80)


def test_thumbnails_are_fetched_when_they_come_near(visit, serve, own_gallery):
    port = serve(service(own_gallery, token=TOKEN))
    page = visit(port, viewport={"width": 300, "height": 150})
    page.expected = ["status of 401"]
    asked = []
    page.on("request", lambda request: asked.append(request.url) if THUMBNAILS.search(request.url) else None)
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.keyboard.press("Enter")
    images = page.locator("#pictures img")
    expect(images.first).to_have_js_property("naturalWidth", 40)
    page.wait_for_load_state("networkidle")
    assert 0 < len(asked) < 12
    page.locator("#pictures .card").last.scroll_into_view_if_needed()
    expect(images).to_have_count(12)
    assert len(set(asked)) == len(asked) == 12


def test_a_busy_service_is_asked_for_the_thumbnail_again(visit, port):
    page = visit(port, "/?id=1")
    page.expected = ["status of 429", "status of 404"]
    expect(page.locator("#results img")).to_have_count(11)
    busy, lost = [], []

    def answer(route):
        if "/2/" in route.request.url:
            lost.append(route.request.url)
            route.fulfill(status=404)
        elif route.request.url in busy:
            route.continue_()
        else:
            busy.append(route.request.url)
            tired(route)

    page.route(THUMBNAILS, answer)
    page.reload()
    expect(page.locator("#results img")).to_have_count(10)
    expect(page.locator("#stored img")).to_have_count(1)
    expect(page.get_by_text("no thumbnail")).to_have_count(1)
    assert (len(set(busy)), len(lost)) == (11, 1)


def test_thumbnails_of_cards_that_have_gone_are_abandoned(visit, port):
    page = visit(port)
    page.expected = ["status of 429"]
    expect(page.locator("#pictures img")).to_have_count(12)
    asked, abandoned = [], []
    page.on("requestfailed", lambda request: abandoned.append(request.url))
    held, let_pass = hold(page, THUMBNAILS)
    page.goto(f"http://127.0.0.1:{port}/?id=1")
    meanwhile(page, lambda: len(held) == 12)
    let_pass()
    for route in held[:3]:
        tired(route)
    page.on("request", lambda request: asked.append(request.url) if THUMBNAILS.search(request.url) else None)
    page.get_by_role("button", name="Leave out c0").click()
    expect(results(page)).to_have_count(6)
    expect(page.locator("#results img")).to_have_count(6)
    meanwhile(page, lambda: len(abandoned) == 9)
    page.wait_for_timeout(1500)  # longer than those wait that were turned away
    assert sorted(abandoned) == sorted(route.request.url for route in held[3:])
    assert len(asked) == 7  # six results, and the picture that is searched with
