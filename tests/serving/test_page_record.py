"""Results as CSV and on paper: with the query, the settings, the model, the calibration and the date."""

import csv
import io
import re

from browsing import needs_browser, results, upload
from galleries import calibrate_gallery, painted, service
from playwright.sync_api import expect

from samecar.data.tables import read_table
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import Sighting, picture_content
from samecar.version import __version__

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

FORMULA = '=HYPERLINK("https://evil.example","click")'


def saved(page):
    with page.expect_download() as coming:
        page.get_by_role("button", name="Save as CSV").click()
    return coming.value


def rows_of(download):
    text = download.path().read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_results_are_saved_with_what_they_rest_on(visit, serve, own_gallery, picture):
    calibrate_gallery(own_gallery)
    with Gallery.open(str(own_gallery)) as gallery:
        facts, calibration = gallery.facts, gallery.calibration
    page = visit(serve(service(own_gallery)), "/?not_camera=c0&after=2023-11-14T22:00&top=10")
    upload(page, picture)
    expect(results(page)).to_have_count(6)
    results(page).nth(1).get_by_role("button", name="Not the same").click()
    expect(page.get_by_role("status")).to_contain_text("Rank 2: not the same vehicle")
    download = saved(page)
    assert download.suggested_filename == "yard-results.csv"
    rows = rows_of(download)
    shown = [(card.get_attribute("data-id"), card.locator(".similarity").inner_text()) for card in results(page).all()]
    assert [(row["id"], f"similarity {float(row['similarity']):.3f}") for row in rows] == shown
    assert [row["judgement"] for row in rows] == ["", "different", "", "", "", ""]
    assert {row["camera_id"] for row in rows} == {"c1"}
    assert {row["label:lane"] for row in rows} == {"1"}
    one = rows[0]
    assert (one["query"], one["query_part"]) == (picture.name, "whole")
    assert one["query_content"] == picture_content(picture.read_bytes())
    assert (one["cameras"], one["from"], one["before"]) == ("all but c0", "2023-11-14T22:00 UTC", "any time")
    assert (one["model"], one["samecar"], one["index"]) == (facts.model, __version__, "exact")
    assert one["calibration"] == f"40 vehicles of {calibration.evidence.data}, {calibration.evidence.digest}"
    assert one["in_gallery"] in ("true", "false")
    assert 0 < float(one["gallery_probability"]) < 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", one["searched"])
    assert {row["searched"] for row in rows} == {one["searched"]}


def test_no_value_is_a_formula(visit, serve, own_gallery, tmp_path):
    strange = [FORMULA, "+1+1", "-2+3", "@SUM(A1)", "\tx", "'=1", 'plain, with "quotes"\nand lines', "-3.5"]
    with Gallery.open(str(own_gallery)) as gallery:
        gallery.engine.remove([entry.id for entry in gallery.engine.listed()])
        gallery.add(
            Incoming(painted(tmp_path, row, 0, 3), Sighting("", camera_id=text.strip(), labels={"note": text}))
            for row, text in enumerate(strange)
        )
    page = visit(serve(service(own_gallery)), "/?id=13")
    expect(results(page)).to_have_count(7)
    download = saved(page)
    raw = rows_of(download)
    assert not [value for row in raw for value in row.values() if value[:1] in "=+@\t\r" and value]
    assert [row["label:note"] for row in raw if row["label:note"].startswith("-")] == ["-3.5"]
    download.save_as(tmp_path / "results.csv")
    table = read_table(tmp_path / "results.csv", ["rank"])
    place = table.names.index("label:note")
    notes = {row[place] for row in table.rows}
    assert notes == {text.strip() for text in strange[1:]}  # as they were: samecar takes the apostrophes off again


def test_what_a_search_was_is_told_on_the_page_and_on_paper(visit, port, picture):
    page = visit(port, "/?top=20")
    upload(page, picture)
    about = page.locator("#record")
    expect(about.locator("dl")).to_be_hidden()
    about.get_by_text("About this search").click()
    lines = dict(zip(about.locator("dt").all_inner_texts(), about.locator("dd").all_inner_texts(), strict=True))
    assert (lines["query"], lines["calibration"], lines["cameras"], lines["labels"]) == (
        picture.name,
        "none",
        "all",
        "any",
    )
    about.get_by_text("About this search").click()

    count = "['.card', 'img'].map((name) => document.querySelectorAll(`#results ${name}`).length)"
    page.evaluate(f"window.print = () => {{ window.printed = {count}; }}")
    page.locator("#results .card").last.evaluate("(card) => card.style.marginTop = '9000px'")  # far from what is seen
    page.get_by_label("Results").select_option("10")
    expect(results(page)).to_have_count(10)
    page.get_by_role("button", name="Print").click()
    page.wait_for_function("window.printed")
    assert page.evaluate("window.printed") == [10, 10]

    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(about.locator("dl")).to_be_visible()
    for gone in ("#filter", "#save", "#print", ".judge", ".drop", "#kept"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator("#crop img")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(about.locator("dl")).to_be_hidden()
