"""Texts that somebody else wrote are shown as texts, whatever they say."""

from urllib.parse import urlencode

import pytest
from browsing import needs_browser, results, search_on, upload
from galleries import painted, service, tiny_model
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import Sighting

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

NAMED = "<img src=x onerror=window.hacked=1>"
"""Markup that may also be a file's name."""

SCRIPT = "\"'><script>window.hacked=1</script><svg onload=window.hacked=1>"
"""Markup that also leaves an attribute."""


@pytest.fixture
def hostile_gallery(tmp_path):
    """Three pictures of which all that can be said is markup; of the last one no time is known."""
    with Gallery.create(str(tmp_path / "hostile"), tiny_model(tmp_path / "model")) as gallery:
        gallery.add(
            Incoming(
                painted(tmp_path, number, 0, 0),
                Sighting(
                    "",
                    address=f"{NAMED}.png",
                    camera_id=f"camera {NAMED}{SCRIPT}",
                    time=None if number == 2 else 60.0 * number,
                    track_id=f"track {NAMED}{SCRIPT}",
                    vehicle_id=f"vehicle {NAMED}{SCRIPT}",
                    labels={f"label {NAMED}{SCRIPT}": f"value {NAMED}{SCRIPT}"},
                ),
            )
            for number in range(3)
        )
        gallery.add([Incoming(painted(tmp_path, 3, 1, 0), Sighting("", camera_id="gate"))])
    return tmp_path / "hostile"


def test_labels_hide_nothing_that_has_the_same_name(visit, serve, tmp_path):
    with Gallery.create(str(tmp_path / "named"), tiny_model(tmp_path / "model")) as gallery:
        labels = {"vehicle": "van", "track": "left", "lane": "2"}
        gallery.add([Incoming(painted(tmp_path, 0, 0, 0), Sighting("", vehicle_id="v7", track_id="t3", labels=labels))])
    port = serve(service(tmp_path / "named"))
    known = visit(port).locator("#pictures .known li")
    expect(known).to_have_count(5)
    assert set(known.all_inner_texts()) == {"vehicle v7", "track t3", "vehicle van", "track left", "lane 2"}


def test_markup_is_shown_and_does_nothing(visit, serve, hostile_gallery, tmp_path):
    picture = painted(tmp_path, 0, 0, 1).rename(tmp_path / f"upload {NAMED}.png")
    large = tmp_path / f"large {NAMED}.png"
    large.write_bytes(bytes(100_000))
    camera, vehicle, track, label, value = (
        f"{what} {NAMED}{SCRIPT}" for what in ("camera", "vehicle", "track", "label", "value")
    )
    port = serve(service(hostile_gallery, name=f"gallery {NAMED}{SCRIPT}", bytes=90_000))
    page = visit(port, bypass_csp=True)  # so that markup would run if the page let it
    expect(page.locator("#pictures img")).to_have_count(4)
    expect(page.locator("#facts")).to_contain_text(f"gallery {NAMED}{SCRIPT}")
    page.get_by_label("Choose a picture").set_input_files(large)
    expect(page.locator("#notice p")).to_contain_text(f"large {NAMED}.png has")

    upload(page, picture)
    card = results(page).filter(has_text=vehicle).first
    expect(card.locator(".camera")).to_have_text(camera)
    expect(card.locator(".known li")).to_have_text([f"vehicle {vehicle}", f"track {track}", f"{label} {value}"])
    timeline = page.locator("#timeline")
    expect(timeline.locator(".lane h4")).to_have_text(camera)
    expect(timeline.get_by_role("button", name=f"Camera {camera}").first).to_be_visible()
    expect(timeline.locator(".untimed")).to_contain_text(camera)
    timeline.get_by_text("As a table").click()
    expect(timeline.get_by_role("cell", name=camera)).to_have_count(2)
    expect(timeline.get_by_role("cell", name=vehicle)).to_have_count(2)

    search_on(page, card)
    expect(page.locator("#trail li").first).to_have_text(f"upload {NAMED}.png")
    stored = page.locator("#stored")
    expect(stored.locator("li")).to_contain_text([camera, vehicle, track, f"{label} {value}"])
    expect(stored.get_by_role("img", name=f"The picture that is searched with. Camera {camera}")).to_be_visible()
    stored.get_by_role("button", name=f"Leave out {camera}").click()
    expect(results(page)).to_have_count(1)
    expect(page.locator("#cameras")).to_contain_text(f"{camera} 3 pictures")
    assert urlencode({"not_camera": camera}) in page.url
    expect(page.locator("#results img")).to_have_count(1)
    page.go_back()
    expect(results(page)).to_have_count(4)
    page.reload()
    expect(results(page)).to_have_count(4)
    expect(page.locator("#labels")).to_contain_text(label)
    expect(page.locator("#record dl")).to_contain_text(f"upload {NAMED}.png")
    page.get_by_role("button", name="Forget my pictures").click()
    expect(page.locator("#pictures img")).to_have_count(4)
    page.go_back()
    expect(page.locator("#notice p")).to_contain_text(f"upload {NAMED}.png; choose it again")
    expect(page.locator("#pictures img")).to_have_count(4)
    assert page.evaluate("window.hacked") is None
    expect(page.locator("[onerror], [onload], [src=x], body script")).to_have_count(0)
