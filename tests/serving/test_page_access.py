"""The page for everybody: by touch and by keys alone, on a phone, in light and dark, for a screen reader."""

import itertools
import re

import pytest
from browsing import crop_of, hold, meanwhile, needs_browser, results, searched, upload
from galleries import painted, service, tiny_model
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser


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


def test_the_keyboard_goes_on_where_what_was_pressed_is_gone(visit, port):
    page = visit(port, "/?id=3")
    page.expected = ["status of 500"]
    found = page.locator("#found")
    page.get_by_role("button", name="Leave out c0").press("Enter")
    expect(results(page)).to_have_count(6)
    expect(found).to_be_focused()
    results(page).first.get_by_role("link").press("Enter")
    page.get_by_role("button", name="picture 3").press("Enter")
    expect(page.get_by_role("navigation", name="Searches that led here")).to_be_hidden()
    expect(found).to_be_focused()
    page.get_by_label("From", exact=True).fill("2024-01-01T00:00")
    page.locator("#none").get_by_role("button", name="Clear the filter").press("Enter")
    expect(results(page)).to_have_count(11)
    expect(found).to_be_focused()
    page.route("**/similar?*", lambda route: route.fulfill(status=500), times=1)
    results(page).first.get_by_role("link").press("Enter")
    page.get_by_role("alert").get_by_role("button", name="Try again").press("Enter")
    expect(results(page)).to_have_count(11)
    expect(found).to_be_focused()


def test_the_keyboard_goes_on_to_more_pictures(visit, serve, own_gallery, tmp_path):
    with Gallery.open(str(own_gallery)) as gallery:
        gallery.add([Incoming(painted(tmp_path, vehicle, 0, 1)) for vehicle in range(14)])
    port = serve(service(own_gallery))
    page = visit(port)
    expect(page.locator("#pictures .card")).to_have_count(24)
    page.get_by_role("button", name="More pictures").press("Enter")
    expect(page.locator("#pictures .card")).to_have_count(26)
    expect(page.locator("#pictures .frame").nth(24)).to_be_focused()


def test_the_keyboard_goes_on_once_a_gallery_is_filled(visit, serve, tmp_path):
    with Gallery.create(str(tmp_path / "bare"), tiny_model(tmp_path / "model")):
        pass
    app = service(tmp_path / "bare")
    port = serve(app)
    page = visit(port)
    page.expected = ["status of 500"]
    page.route("**/api/gallery", lambda route: route.fulfill(status=500), times=1)
    page.get_by_role("button", name="Look again").press("Enter")
    page.get_by_role("button", name="Try again").press("Enter")
    expect(page.get_by_role("heading", name="Where else was this vehicle?")).to_be_focused()
    page.get_by_role("button", name="Look again").focus()
    app.state.service.gallery.add([Incoming(painted(tmp_path, 0, 0, 0))])
    meanwhile(page, lambda: page.request.get(f"http://127.0.0.1:{port}/api/gallery").json()["pictures"] == 1)
    page.keyboard.press("Enter")
    expect(page.locator("#pictures .card")).to_have_count(1)
    expect(page.locator("#found")).to_be_focused()


def test_on_a_phone_nothing_is_cut_off(visit, own_port, picture):
    page = visit(own_port, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    width = "document.documentElement.scrollWidth"
    expect(page.locator("#pictures .card")).to_have_count(12)
    assert page.evaluate(width) == 360
    upload(page, picture)
    page.get_by_text("As a table").tap()
    page.locator("#filter summary").first.tap()
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
def test_light_and_dark_have_contrast(visit, own_port, picture, tmp_path, scheme):
    page = visit(own_port, color_scheme=scheme, reduced_motion="reduce")
    upload(page, [picture, painted(tmp_path, 3, 0, 7)])
    page.get_by_text("About this search").click()
    page.locator(".label summary b", has_text="lane").click()
    results(page).nth(0).get_by_role("button", name="Same", exact=True).click()
    results(page).nth(1).get_by_role("button", name="Not the same").click()
    expect(results(page).nth(1)).to_have_attribute("data-judgement", "different")
    page.mouse.move(0, 0)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(252, 252, 250)", "dark": "rgb(21, 24, 27)"}[scheme]
    assert poor_contrasts(page) == []
    held, _ = hold(page, "**/api/judgements")
    results(page).nth(2).get_by_role("button", name="Not the same").click()
    meanwhile(page, lambda: held)
    page.expected = ["status of 409"]
    held[0].fulfill(status=409)
    expect(page.get_by_role("alertdialog")).to_contain_text("Rank 3")
    assert poor_contrasts(page) == []


def poor_contrasts(page):
    """Texts that are hard to read, but for what cannot be pressed now, which WCAG lets be pale."""
    return [poor for poor in page.evaluate(CONTRASTS) if not poor.startswith("Picture before")]


def test_every_control_has_a_name(visit, own_port, picture, tmp_path):
    page = visit(own_port)
    upload(page, [picture, painted(tmp_path, 3, 0, 7)])
    page.get_by_text("About this search").click()
    page.locator(".label summary b", has_text="lane").click()
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
