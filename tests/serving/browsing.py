"""What the tests of the page do in a browser."""

import contextlib
import os
import re
import shutil

import pytest
from galleries import listening, wait_until
from playwright.sync_api import expect

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
