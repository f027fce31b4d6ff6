"""A real browser, services over real galleries for it to visit, and what the tests of the page do there."""

import contextlib
import os
import re
import shutil

import pytest
from galleries import listening, painted, service, wait_until
from playwright.sync_api import expect, sync_playwright

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

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no chromium or google-chrome in PATH, and SAMECAR_BROWSER names no browser"
)


@contextlib.contextmanager
def ready(app):
    """A service on a socket, once its gallery is loaded; gives its port."""
    with listening(app) as port:
        wait_until(lambda: app.state.service.is_ready)
        yield port


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def serve():
    """Runs services, which end after the pages that may still ask them; gives the port of each."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(ready(app))


@pytest.fixture
def visit(browser, serve, request):
    """Opens a page of its own at an address; in the end, nobody else was asked and nothing was complained about."""
    if "own_port" in request.fixturenames:
        request.getfixturevalue("own_port")  # so that its service ends after the pages that still ask it
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


def search_on(page, card):
    """Searches on from a result."""
    number = card.get_attribute("data-id")
    card.get_by_role("link").click()
    expect(page.locator("#stored")).to_contain_text(f"picture {number}")
    expect(page.locator("body")).not_to_have_class(re.compile("busy"))


def hold(page, address):
    """Holds requests to an address back; gives the list of them, and what lets later ones pass."""
    held, passing = [], []
    page.route(address, lambda route: route.continue_() if passing else held.append(route))
    return held, lambda: passing.append(True)


def meanwhile(page, condition):
    """Waits until something is so, while the page goes on."""
    wait_until(lambda: page.wait_for_timeout(20) or condition())


def parameters(page):
    return page.evaluate("[...new URLSearchParams(location.search)].map(pair => pair.join('=')).sort().join(' ')")


def cameras(page):
    return set(results(page).locator(".camera").all_inner_texts())


@contextlib.contextmanager
def searched(page):
    """Waits for a picture to be searched with; what was sent is there at the end."""
    page.evaluate("""() => {
        const given = window.fetch;
        window.sent = null;
        window.fetch = (path, options) => {
            if (path === "api/search") {
                window.sent = Object.fromEntries([...options.body].map(([name, value]) => [name, value.name ?? value]));
                window.fetch = given;
            }
            return given(path, options);
        };
    }""")
    sent = {}
    yield sent
    meanwhile(page, lambda: page.evaluate("window.sent"))
    sent |= page.evaluate("window.sent")


def crop_of(sent):
    return [float(side) for side in sent["crop"].split(",")]


WATCH = """() => {
    const given = window.fetch;
    window.forms = [];
    window.fetch = (path, options) => {
        if (path === "api/search") window.forms.push([...options.body]);
        return given(path, options);
    };
}"""

LAST_FORM = """async () => Promise.all(window.forms.at(-1).map(async ([name, value]) => {
    if (!(value instanceof File)) return { name, value };
    const image = await createImageBitmap(value).catch(() => null);
    const sides = image && [image.width, image.height];
    const pixels = image && document.createElement("canvas").getContext("2d");
    if (pixels) pixels.drawImage(image, 0, 0);
    const at = (x, y) => pixels && [...pixels.getImageData(x, y, 1, 1).data].slice(0, 3);
    const corners = sides && sides[0] <= 300 ? [at(2, 2), at(sides[0] - 3, 2)] : null;
    return { name, value: value.name, type: value.type, bytes: value.size, sides, corners };
}))"""
"""The fields of the form that was searched with last; of pictures their sides, and colours of both upper corners."""


def watch_forms(page):
    """Takes note of what is searched with from now on; gives a function that waits for the next form and gives it."""
    page.evaluate(WATCH)
    seen = 0

    def next_form():
        nonlocal seen
        meanwhile(page, lambda: page.evaluate("window.forms.length") > seen)
        seen = page.evaluate("window.forms.length")
        return page.evaluate(LAST_FORM)

    return next_form


def pictures_of(form):
    return [field for field in form if field["name"] == "picture"]


def crops_of(form):
    return [field["value"] for field in form if field["name"] == "crop"]
