"""The page when things are not as usual: nothing to find, a service that fails or refuses, a token, a calibration."""

import re
import threading

from browsing import TOKEN, needs_browser, ready, results, upload
from galleries import below, calibrate_gallery, listening, service, tiny_model, wait_until
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser


def test_an_empty_gallery_says_how_to_fill_it(visit, serve, tmp_path):
    name = str(tmp_path / "bare")
    Gallery.create(name, tiny_model(tmp_path / "model")).close()
    port = serve(service(tmp_path / "bare"))
    page = visit(port)
    expect(page.get_by_role("heading", name="This gallery is empty.")).to_be_visible()
    expect(page.get_by_text("samecar gallery add GALLERY SOURCE")).to_be_visible()
    expect(page.get_by_text("GALLERY is what samecar serve was started with")).to_contain_text("--engine")
    expect(page.get_by_text("Choose a picture", exact=True)).to_be_hidden()


def test_pictures_that_cannot_be_searched(visit, serve, painted_gallery, tmp_path):
    (tmp_path / "note.jpg").write_text("no picture")
    (tmp_path / "large.jpg").write_bytes(bytes(2_100_000))
    port = serve(service(painted_gallery, bytes=2_000_000))
    page = visit(port)
    page.expected = ["status of 422"]
    expect(page.locator("#pictures .card")).to_have_count(12)
    for name, says in (
        ("note.jpg", "The picture cannot be read"),
        ("large.jpg", "large.jpg has 2.1\u00a0MB; the service takes at most 2\u00a0MB, and this browser cannot open"),
    ):
        page.get_by_label("Choose a picture").set_input_files(tmp_path / name)
        expect(page.get_by_role("alert").filter(has_text=says)).to_be_visible()


def test_a_service_that_is_gone(visit, painted_gallery, picture):
    with ready(service(painted_gallery)) as port:
        page = visit(port)
        expect(page.locator("#pictures .card")).to_have_count(12)
    page.expected = ["net::ERR_"]
    page.get_by_label("Choose a picture").set_input_files(picture)
    alert = page.get_by_role("alert")
    expect(alert.filter(has_text="The service cannot be reached")).to_be_visible()
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()


def test_below_a_prefix_the_page_asks_nothing_outside_of_it(visit, painted_gallery, picture):
    app = service(painted_gallery)
    with listening(below("/cars", app)) as port:
        wait_until(lambda: app.state.service.is_ready)
        page = visit(port, "/cars/")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        expect(page.locator("#pictures .card img")).to_have_count(12)
        upload(page, picture)
        results(page).first.get_by_role("link").click()
        expect(page).to_have_url(re.compile(rf"http://127.0.0.1:{port}/cars/\?.*id=\d+"))
        page.get_by_role("link", name="samecar").click()
        expect(page.locator("#pictures .card")).to_have_count(12)
        page.close()
    addresses = [url for url in asked if not url.startswith("blob:")]
    assert len(addresses) > 30, "files of the page, searches and thumbnails"
    assert all(url.startswith(f"http://127.0.0.1:{port}/cars/") for url in addresses)


def test_an_answer_that_is_cut_off_can_be_asked_for_again(visit, port):
    page = visit(port)
    page.expected = ["status of 500"]
    expect(page.locator("#pictures .card")).to_have_count(12)
    broken = {"headers": {"Content-Type": "application/json"}, "body": '{"error": {"mess'}
    page.route("**/similar?*", lambda route: route.fulfill(status=500, **broken), times=1)
    page.route("**/similar?*", lambda route: route.fulfill(status=200, **broken), times=1)  # asked first
    page.locator("#pictures .frame").first.click()
    alert = page.get_by_role("alert")
    expect(alert.filter(has_text="answer was cut off or cannot be read; try again.")).to_be_visible()
    alert.get_by_role("button", name="Try again").click()
    expect(alert.filter(has_text="The service answered 500")).to_be_visible()
    alert.get_by_role("button", name="Try again").click()
    expect(results(page)).to_have_count(11)


def test_a_service_that_is_not_ready_is_asked_again(visit, painted_gallery, monkeypatch):
    may_load = threading.Event()
    gallery = Gallery.open(str(painted_gallery))
    search = gallery.search
    monkeypatch.setattr(gallery, "search", lambda *args: may_load.wait(30) and search(*args))

    with listening(create_app(gallery, ServiceSettings(name="yard", rate=0))) as port:
        page = visit(port)
        page.expected = ["status of 503", "status of 429"]
        expect(page.get_by_role("alert").filter(has_text="still being loaded")).to_contain_text("Trying again in 2 s.")
        may_load.set()
        expect(page.locator("#pictures .card")).to_have_count(12)
        expect(page.get_by_role("alert").filter(has_text="still being loaded")).to_be_hidden()
        tired = '{"error": {"code": "too_many_requests", "message": "this address asks too often; wait 1 s"}}'
        headers = {"Retry-After": "1", "Content-Type": "application/json"}
        page.route("**/similar?*", lambda route: route.fulfill(status=429, headers=headers, body=tired), times=1)
        page.locator("#pictures .frame").first.click()
        expect(page.get_by_role("alert").filter(has_text="asks too often")).to_contain_text("Trying again in 1 s.")
        expect(results(page)).to_have_count(11)
        expect(page.locator("#results img")).to_have_count(11)


def test_a_token_is_asked_for_and_kept_in_the_tab(visit, serve, own_gallery):
    port = serve(service(own_gallery, token=TOKEN))
    page = visit(port)
    page.expected = ["status of 401"]
    dialog = page.get_by_role("dialog", name="This service asks for a token")
    dialog.get_by_label("Token").fill("another-token-than-that")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_text("This token was not accepted.")).to_be_visible()
    dialog.get_by_label("Token").fill(TOKEN)
    dialog.get_by_label("Token").press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#pictures img").first).to_have_js_property("naturalWidth", 40)
    page.reload()
    expect(page.locator("#pictures img")).to_have_count(12)
    expect(dialog).to_be_hidden()


def test_a_token_can_be_entered_later(visit, serve, own_gallery):
    port = serve(service(own_gallery, token=TOKEN))
    page = visit(port)
    page.expected = ["status of 401"]
    dialog = page.get_by_role("dialog", name="This service asks for a token")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    alert = page.get_by_role("alert").filter(has_text="This service asks for a token.")
    alert.get_by_role("button", name="Enter the token").click()
    dialog.get_by_label("Token").fill(TOKEN)
    dialog.get_by_label("Token").press("Enter")
    expect(page.locator("#pictures img")).to_have_count(12)
    expect(alert).to_be_hidden()


def test_with_a_token_everything_is_done_that_waited_for_it(visit, serve, own_gallery):
    port = serve(service(own_gallery))
    page = visit(port, "/?id=1")
    page.expected = ["status of 401"]
    expect(page.locator("#results img")).to_have_count(11)
    page.route(re.compile("/similar|/api/judgements"), lambda route: route.fulfill(status=401), times=2)
    results(page).first.get_by_role("button", name="Same", exact=True).click()
    dialog = page.get_by_role("dialog", name="This service asks for a token")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("1 judgement is not kept yet. This service asks for a token.")
    number = results(page).first.get_attribute("data-id")
    results(page).nth(1).locator(".frame").click()
    dialog.get_by_label("Token").fill(TOKEN)
    dialog.get_by_label("Token").press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("#stored")).to_be_visible()
    page.go_back()
    expect(page.locator("#stored")).to_contain_text("picture 1")
    expect(page.locator(f"#results [data-id='{number}']")).to_have_attribute("data-judgement", "same")
    with Gallery.open(str(own_gallery)) as gallery:
        assert [str(judged.entry) for judged in gallery.engine.judgements()] == [number]


def test_a_read_only_service_offers_no_judgements(visit, port):
    page = visit(port, "/?id=1")
    expect(results(page)).to_have_count(11)
    expect(page.get_by_text("read-only")).to_be_visible()
    expect(page.get_by_role("button", name="Not the same")).to_have_count(0)


def test_a_calibrated_gallery_gives_a_verdict_and_probabilities(visit, serve, own_gallery):
    calibrate_gallery(own_gallery)
    with Gallery.open(str(own_gallery)) as gallery:
        answer = gallery.search_like(1)
    port = serve(service(own_gallery))
    page = visit(port, "/?id=1")
    expect(page.locator("#results img")).to_have_count(11)
    probability = re.compile(r"^probability (above |below )?\d+\s%$")
    expect(results(page).first.locator(".probability")).to_have_text(probability)
    headline = "Probably in this gallery." if answer.in_gallery else "No sure match in this gallery."
    expect(page.get_by_role("heading", name=headline)).to_be_visible()
    why = page.locator("#verdict-why")
    expect(why).to_contain_text(f"The best similarity is {answer.found[0].similarity:.3f}")
    expect(why).to_contain_text(f"{answer.threshold:.3f}, at which 5\u00a0% of vehicles that are not here would be")
    before = "before looking it was 50\u00a0%, among 6 vehicles (by labels)."
    expect(why).to_contain_text(re.compile(rf"^That the vehicle is here: (above |below )?\d+\s%; {re.escape(before)}"))
    sure = re.compile(r"probability (above 99|(5[1-9]|[6-9]\d))\s%")
    assert answer.in_gallery or not page.locator(".probability", has_text=sure).count()


def test_the_words(visit, port):
    page = visit(port)
    said = page.evaluate("""async () => {
        const words = await import("/page/words.js");
        const prior = { in_gallery: 0.5, vehicles: 507, source: "labels", stated: false };
        const verdict = { in_gallery: false, threshold: 0.55, false_alarm_rate: 0.05, probability: 0.12, prior };
        const stated = { in_gallery: 0.9, vehicles: 1.2, source: "pictures", stated: true };
        const sure = { in_gallery: true, threshold: null, false_alarm_rate: null, probability: 0.995, prior: stated };
        return [
            words.counted(1, "picture"), words.counted(1014, "picture"), words.counted(2, "query", "queries"),
            words.percent(0.873), words.percent(0.9999), words.percent(0), words.rateText(0.001),
            words.timeText("2026-03-01T07:45:10.250Z"), words.timeText(null), words.megabytes(12_345_678),
            words.sentence("it is full"), words.verdictWords(verdict, 0.4123).join(" "),
            words.verdictWords({ ...verdict, in_gallery: true, probability: 0.97 }, 0.8).join(" "),
            words.verdictWords(sure, 0.8).join(" "),
            words.verdictWords(sure, 0.99949).join(" ").split(" is 0.999")[1],
            words.verdictWords(sure, 0.99951).join(" ").split(" is 1.000")[1],
        ].map((text) => text.replaceAll("\\u00a0", " "));
    }""")
    among = "among 507 vehicles (by labels)."
    meaning = "at which 5 % of vehicles that are not here would be reported."
    assert said == [
        "1 picture",
        "1,014 pictures",
        "2 queries",
        "87 %",
        "above 99 %",
        "below 1 %",
        "0.1 %",
        "2026-03-01 07:45:10 UTC",
        "time unknown",
        "12.3 MB",
        "It is full.",
        (
            f"No sure match in this gallery. That the vehicle is here: 12 %; before looking it was 50 %, {among} "
            f"The best similarity is 0.412, and the threshold 0.550, {meaning}"
        ),
        (
            f"Probably in this gallery. That the vehicle is here: 97 %; before looking it was 50 %, {among} "
            f"The best similarity is 0.800; the threshold is 0.550, {meaning}"
        ),
        (
            "Probably in this gallery. That the vehicle is here: above 99 %; before looking it was 90 %, as stated, "
            "among 1 vehicle (by pictures). The best similarity is 0.800."
        ),
        ".",
        ". So much is nearly always the very same picture, which these numbers cannot know.",
    ]
