"""An entry's journey, as the service tells it and the page shows it."""

import re

import pytest
from browsing import needs_browser, results
from galleries import copy_gallery, service, serving
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery

pytest_plugins = ["browsing"]  # its fixtures


@pytest.fixture(scope="module")
def linked(painted_gallery, tmp_path_factory):
    """Entries 5, 1 and 8 are one journey; entry 2 is one of its own; 8 has no time, and 5 is moved to the begin."""
    folder = copy_gallery(painted_gallery, tmp_path_factory.mktemp("linked"))
    with Gallery.open(str(folder)) as gallery:
        gallery.engine.set_labels("journey", {1: "j-one", 5: "j-one", 8: "j-one", 2: "j-two"})
        for number, time in ((8, None), (5, 1_699_999_910.0)):
            gallery.engine.update(number, lambda now, time=time: type(now)(now.content, **{**now.known, "time": time}))
    return folder


def test_a_journey_is_told_in_the_order_of_time(linked):
    with serving(linked) as client:
        told = client.get("/api/pictures/1/journey").json()
        assert [picture["id"] for picture in told["pictures"]] == [5, 1, 8]
        assert told["next"] is None
        assert [picture["id"] for picture in client.get("/api/pictures/2/journey").json()["pictures"]] == [2]
        assert client.get("/api/pictures/3/journey").json() == {"pictures": [], "next": None}
        assert client.get("/api/pictures/99/journey").status_code == 404
        assert client.get("/page/journey.js").status_code == 200


@pytest.mark.slow
@needs_browser
def test_the_page_shows_where_else_the_vehicle_was(visit, serve, linked):
    port = serve(service(linked, host_names=("127.0.0.1",)))
    page = visit(port, "/?id=1&top=20")
    expect(results(page)).to_have_count(11)
    journey = page.get_by_role("region", name="Its journey")
    expect(journey).to_contain_text("3 pictures by 2 cameras, linked without a query")
    steps = journey.get_by_role("listitem")
    expect(steps).to_have_text(
        [
            re.compile(r"^c0, 2023-11-14 22:11:50\sUTC\s*$"),
            re.compile(r"^c0, 2023-11-14 22:13:20\sUTC after 1.5 min$"),
            re.compile(r"^c1, time unknown\s*$"),
        ]
    )
    expect(steps.nth(1)).to_have_attribute("aria-current", "true")
    steps.nth(2).get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"id=8\b"))
    expect(steps.nth(2)).to_have_attribute("aria-current", "true")
    page.goto(f"http://127.0.0.1:{port}/?id=3&top=20")
    expect(results(page)).to_have_count(11)
    expect(journey).to_be_hidden()
