"""A real browser, and services over real galleries for it to visit."""

import re

import pytest
from browsing import BROWSER, PATIENCE, QUIET, ready
from galleries import painted, service
from playwright.sync_api import sync_playwright


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
