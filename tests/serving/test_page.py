"""The page in a real browser, over a real service: from a picture to what people say about its results."""

import contextlib
import csv
import io
import itertools
import os
import re
import shutil
import threading

import numpy as np
import pytest
from galleries import listening, painted, service, tiny_model, wait_until
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from samecar.evaluation.calibrating import calibrate
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings

BROWSER = os.environ.get("SAMECAR_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Options of a browser that asks nobody but the service, and starts in a container."""

TOKEN = "a-token-of-the-tests"
"""Long enough for the service."""

PATIENCE = 60_000
"""Milliseconds until something counts as never coming: machines that test are busy."""

expect.set_options(timeout=PATIENCE)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium or google-chrome in PATH, and SAMECAR_BROWSER names no browser"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Opens a page of its own at an address; in the end, nobody else was asked and nothing was complained about."""
    contexts, hosts, complaints = [], set(), []

    def visited(port, path="/", **options):
        context = browser.new_context(**{"locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.expected = []  # what the browser complains about because a test brings it about
        page.on("request", lambda request: hosts.add(re.sub(r"^(blob:)?(https?://[^/]*)/.*", r"\2", request.url)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}{path}")
        return page

    yield visited
    expected = [text for context in contexts for page in context.pages for text in page.expected]
    for context in contexts:
        context.close()
    assert all(host.startswith("http://127.0.0.1:") for host in hosts), hosts
    assert [said for said in complaints if not any(text in said for text in expected)] == []


@contextlib.contextmanager
def ready(app):
    """A service on a socket, once its gallery is loaded; gives its port."""
    with listening(app) as port:
        wait_until(lambda: app.state.service.is_ready)
        yield port


@pytest.fixture(scope="module")
def port(painted_gallery):
    """Of a service that only searches."""
    with ready(service(painted_gallery, read_only=True)) as number:
        yield number


@pytest.fixture
def own_port(own_gallery):
    """Of a service over a gallery of the test's own."""
    with ready(service(own_gallery)) as number:
        yield number


@pytest.fixture
def picture(tmp_path):
    """A picture of vehicle v02 by camera c1 that the gallery does not hold."""
    return painted(tmp_path, 2, 1, 7)


def results(page):
    return page.get_by_role("list").and_(page.locator("#results")).get_by_role("listitem").and_(page.locator(".card"))


def upload(page, path):
    expect(page.get_by_role("heading", name="Query", exact=True)).to_be_visible()  # before that nothing can be chosen
    page.get_by_label("Choose a picture").set_input_files(path)
    expect(results(page).first).to_be_visible()


def parameters(page):
    return page.evaluate("[...new URLSearchParams(location.search)].map(pair => pair.join('=')).sort().join(' ')")


def cameras(page):
    return set(results(page).locator(".camera").all_inner_texts())


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
    image = card.locator("img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 0

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


@contextlib.contextmanager
def searched(page):
    """Waits for a picture to be searched with; what was sent is there at the end."""
    page.evaluate("""() => {
        const given = window.fetch;
        window.sent = null;
        window.fetch = (path, options) => {
            if (path === "/api/search") {
                window.sent = Object.fromEntries([...options.body].map(([name, value]) => [name, value.name ?? value]));
                window.fetch = given;
            }
            return given(path, options);
        };
    }""")
    sent = {}
    yield sent
    sent |= page.wait_for_function("window.sent").json_value()


def crop_of(sent):
    return [float(side) for side in sent["crop"].split(",")]


def test_a_crop_by_touch(visit, port, picture):
    page = visit(port, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    upload(page, picture)
    box = page.locator("#crop").bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind, *place):
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in place]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    with searched(page) as asked:
        touch("touchStart", (0.2, 0.2))
        touch("touchMove", (0.5, 0.5))
        touch("touchMove", (0.8, 0.7))
        touch("touchEnd")
    assert crop_of(asked) == pytest.approx([0.2, 0.2, 0.6, 0.5], abs=0.03)


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
    page.reload()
    expect(page.get_by_role("alert").filter(has_text="choose it again")).to_contain_text(picture.name)


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


def test_judgements_are_kept_taken_back_and_exported(visit, own_port, own_gallery, picture):
    page = visit(own_port)
    page.expected = ["status of 404"]
    page.get_by_role("link", name="Export labels").click()
    expect(page.get_by_role("alert").filter(has_text="Nothing was judged yet")).to_be_visible()

    upload(page, picture)
    one, two, three = (results(page).nth(place) for place in range(3))
    one.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    expect(one.get_by_role("button", name="Same", exact=True)).to_have_attribute("aria-pressed", "true")
    two.get_by_role("link").focus()
    page.keyboard.press("n")
    expect(two.get_by_role("button", name="Not the same")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    expect(three.get_by_role("button", name="Same", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("s")
    expect(page.get_by_role("status")).to_contain_text("Rank 3: not judged")
    expect(three).to_have_attribute("data-judgement", "none")
    ids = [int(card.get_attribute("data-id")) for card in (one, two, three)]

    with page.expect_download() as coming:
        page.get_by_role("link", name="Export labels").click()
    rows = list(csv.DictReader(io.StringIO(coming.value.path().read_text(encoding="utf-8"))))
    assert coming.value.suggested_filename == "yard-labels.csv"
    with Gallery.open(str(own_gallery)) as gallery:
        assert {judged.entry: judged.same for judged in gallery.engine.judgements()} == {ids[0]: True, ids[1]: False}
        same = gallery.engine.entries(ids[:1])[ids[0]].sighting.vehicle_id
    assert sorted(row["vehicle_id"] for row in rows).count(same) == 2  # the entry, and the query that is the same

    page.get_by_label("Choose a picture").set_input_files(picture)
    expect(one).to_have_attribute("data-judgement", "same")
    expect(two).to_have_attribute("data-judgement", "different")


def test_everything_can_be_done_with_keys_alone(visit, port):
    page = visit(port)
    expect(page.locator("#pictures .card")).to_have_count(12)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#pictures .frame").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(results(page)).to_have_count(11)
    expect(page.locator("#found")).to_be_focused()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("Tab")  # the first point of the timeline
    rank = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(results(page).nth(int(rank) - 1).get_by_role("link")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_dropped_and_pasted_pictures(visit, port, picture):
    page = visit(port)
    expect(page.locator("#pictures .card")).to_have_count(12)
    hand_over = """([kind, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: "image/png" }));
        const made = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
        const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
        document.body.dispatchEvent(new Kind(kind, made));
    }"""
    for kind in ("drop", "paste"):
        with searched(page) as asked:
            page.evaluate(hand_over, [kind, list(picture.read_bytes())])
        assert asked["picture"] == f"{kind}.png"
        expect(results(page)).to_have_count(12)


def test_on_a_phone_nothing_is_cut_off(visit, own_port, picture):
    page = visit(own_port, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    width = "document.documentElement.scrollWidth"
    expect(page.locator("#pictures .card")).to_have_count(12)
    assert page.evaluate(width) == 360
    upload(page, picture)
    page.get_by_text("As a table").tap()
    page.locator("#filter summary").tap()
    page.get_by_label("All but").check()
    assert page.evaluate(width) == 360
    small = page.evaluate("""[...document.querySelectorAll("button, select, summary, .drop .button")]
        .filter((one) => one.checkVisibility() && !one.matches(".point, .untimed button"))
        .filter((one) => one.getBoundingClientRect().height < 43.9).map((one) => one.outerHTML)""")
    assert small == []


CONTRASTS = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (colour) => {
        const linear = (share) => share <= .04045 ? share / 12.92 : ((share + .055) / 1.055) ** 2.4;
        const [red, green, blue] = colour.map((value) => linear(value / 255));
        return .2126 * red + .7152 * green + .0722 * blue;
    };
    const ground = (element) => {
        for (let one = element; one !== null; one = one.parentElement) {
            const colour = rgb(getComputedStyle(one).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [0, 0, 0];
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const poor = [];
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (texts.currentNode.data.trim() === "" || !element.checkVisibility()) continue;
        const [one, other] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort();
        const contrast = (other + .05) / (one + .05);
        if (contrast < 4.5) poor.push(`${texts.currentNode.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return poor;
}"""
"""Texts with too little contrast against the colour behind them."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(visit, own_port, picture, scheme):
    page = visit(own_port, color_scheme=scheme, reduced_motion="reduce")
    upload(page, picture)
    results(page).nth(0).get_by_role("button", name="Same", exact=True).click()
    results(page).nth(1).get_by_role("button", name="Not the same").click()
    expect(results(page).nth(1)).to_have_attribute("data-judgement", "different")
    page.mouse.move(0, 0)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(252, 252, 250)", "dark": "rgb(21, 24, 27)"}[scheme]
    assert page.evaluate(CONTRASTS) == []


def test_every_control_has_a_name(visit, own_port, picture):
    page = visit(own_port)
    upload(page, picture)
    page.get_by_text("As a table").click()
    page.get_by_label("Only", exact=True).check()
    tree = page.locator("body").aria_snapshot()
    controls = re.findall(
        r"^\s*- (button|link|slider|checkbox|radio|combobox|textbox|spinbutton|img)\b(.*)$", tree, re.MULTILINE
    )
    assert len(controls) > 60
    assert [control for control in controls if not control[1].startswith(' "')] == []
    for landmark in ("banner", "main", 'navigation "Tools"', 'region "Query"', 'form "Filter"'):
        assert f"- {landmark}" in tree
    levels = [int(level) for level in re.findall(r"heading .*\[level=(\d)\]", tree)]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_an_empty_gallery_says_how_to_fill_it(visit, tmp_path):
    name = str(tmp_path / "bare")
    Gallery.create(name, tiny_model(tmp_path / "model")).close()
    with ready(service(tmp_path / "bare")) as port:
        page = visit(port)
        expect(page.get_by_role("heading", name="This gallery is empty.")).to_be_visible()
        expect(page.get_by_text("samecar gallery add bare SOURCE")).to_be_visible()
        expect(page.get_by_text("Choose a picture", exact=True)).to_be_hidden()


def test_pictures_that_cannot_be_searched(visit, painted_gallery, tmp_path, picture):
    (tmp_path / "note.jpg").write_text("no picture")
    (tmp_path / "large.jpg").write_bytes(bytes(2_100_000))
    with ready(service(painted_gallery, bytes=2_000_000, pixels=1500)) as port:
        page = visit(port)
        page.expected = ["status of 413", "status of 422"]
        expect(page.locator("#pictures .card")).to_have_count(12)
        for name, says in (
            ("note.jpg", "The picture cannot be read"),
            ("large.jpg", "large.jpg has 2.1\u00a0MB; the service takes at most 2\u00a0MB."),
            (picture.name, "The picture has more than the 1,500 pixels allowed."),
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


def test_a_service_that_is_not_ready_is_asked_again(visit, painted_gallery):
    may_open = threading.Event()

    def opened():
        assert may_open.wait(30)
        return Gallery.open(str(painted_gallery))

    with listening(create_app(opened, ServiceSettings(name="yard", rate=0))) as port:
        page = visit(port)
        page.expected = ["status of 503", "status of 429"]
        expect(page.get_by_role("alert").filter(has_text="still being loaded")).to_contain_text("Trying again in 2 s.")
        may_open.set()
        expect(page.locator("#pictures .card")).to_have_count(12)
        expect(page.get_by_role("alert").filter(has_text="still being loaded")).to_be_hidden()
        tired = '{"error": {"code": "too_many_requests", "message": "this address asks too often; wait 1 s"}}'
        headers = {"Retry-After": "1", "Content-Type": "application/json"}
        page.route("**/similar?*", lambda route: route.fulfill(status=429, headers=headers, body=tired), times=1)
        page.locator("#pictures .frame").first.click()
        expect(page.get_by_role("alert").filter(has_text="asks too often")).to_contain_text("Trying again in 1 s.")
        expect(results(page)).to_have_count(11)


def test_a_token_is_asked_for_and_kept_in_the_tab(visit, own_gallery):
    with ready(service(own_gallery, token=TOKEN)) as port:
        page = visit(port)
        page.expected = ["status of 401"]
        dialog = page.get_by_role("dialog", name="This service asks for a token")
        dialog.get_by_label("Token").fill("another-token-than-that")
        dialog.get_by_role("button", name="Continue").click()
        expect(dialog.get_by_text("This token was not accepted.")).to_be_visible()
        dialog.get_by_label("Token").fill(TOKEN)
        dialog.get_by_label("Token").press("Enter")
        expect(dialog).to_be_hidden()
        image = page.locator("#pictures img").first
        expect(image).to_have_attribute("src", re.compile("^blob:"))
        page.wait_for_function("document.querySelector('#pictures img').naturalWidth > 0")
        page.reload()
        expect(page.locator("#pictures .card")).to_have_count(12)
        expect(dialog).to_be_hidden()


def test_a_read_only_service_offers_no_judgements(visit, port):
    page = visit(port, "/?id=1")
    expect(results(page)).to_have_count(11)
    expect(page.get_by_text("read-only")).to_be_visible()
    expect(page.get_by_role("button", name="Not the same")).to_have_count(0)


def test_a_calibrated_gallery_gives_a_verdict_and_probabilities(visit, own_gallery):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(40, 1, 16))
    matrix = (centres + generator.normal(0, 0.8, (40, 4, 16))).reshape(160, 16).astype(np.float32)
    vehicles, seen_by = np.repeat(np.arange(40), 4).astype(str), np.tile(["c0", "c1"], 80)
    with Gallery.open(str(own_gallery)) as gallery:
        calibration = calibrate(matrix, vehicles, seen_by, model=gallery.facts.model).calibration
        gallery.calibrate(calibration.to_json().encode())
    with Gallery.open(str(own_gallery)) as gallery:
        answer = gallery.search_like(1)
    with ready(service(own_gallery)) as port:
        page = visit(port, "/?id=1")
        probability = re.compile(r"^probability (above |below )?\d+\s%$")
        expect(results(page).first.locator(".probability")).to_have_text(probability)
        headline = "Probably in this gallery." if answer.in_gallery else "No sure match in this gallery."
        expect(page.get_by_role("heading", name=headline)).to_be_visible()
        why = page.locator("#verdict-why")
        expect(why).to_contain_text(f"The best similarity is {answer.found[0].similarity:.3f}")
        expect(why).to_contain_text(f"{answer.threshold:.3f}, at which 5\u00a0% of vehicles that are not here would be")


def test_the_words(visit, port):
    page = visit(port)
    said = page.evaluate("""async () => {
        const words = await import("/page/words.js");
        const verdict = { in_gallery: false, threshold: 0.55, false_alarm_rate: 0.05 };
        return [
            words.counted(1, "picture"), words.counted(1014, "picture"), words.counted(2, "query", "queries"),
            words.percent(0.873), words.percent(0.9999), words.percent(0), words.rateText(0.001),
            words.timeText("2026-03-01T07:45:10.250Z"), words.timeText(null), words.megabytes(12_345_678),
            words.sentence("it is full"), words.verdictWords(verdict, 0.4123).join(" "),
            words.verdictWords({ ...verdict, in_gallery: true }, 0.8).join(" "),
        ].map((text) => text.replaceAll("\\u00a0", " "));
    }""")
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
        f"No sure match in this gallery. The best similarity is 0.412, below 0.550, {meaning}",
        f"Probably in this gallery. The best similarity is 0.800; the threshold is 0.550, {meaning}",
    ]
