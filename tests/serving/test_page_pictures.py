"""Pictures of people's own: large ones, turned ones, ones of other formats, and what is handed over and is none."""

import pytest
from browsing import crops_of, meanwhile, needs_browser, pictures_of, results, upload, watch_forms
from galleries import service
from PIL import Image
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

TURNED = 6
"""Of EXIF: the picture is shown turned by a quarter to the right."""

RED, BLUE = (220, 20, 20), (20, 20, 220)


def halves(width, height):
    """A picture that is red on its left and blue on its right."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def is_like(colour, other):
    return max(abs(one - two) for one, two in zip(colour, other, strict=True)) < 30


def test_a_picture_of_too_many_pixels_is_made_smaller(visit, serve, painted_gallery, tmp_path):
    halves(400, 200).save(tmp_path / "wide.jpg", quality=95)
    page = visit(serve(service(painted_gallery, pixels=20_000)))
    next_form = watch_forms(page)
    upload(page, tmp_path / "wide.jpg")
    [sent] = pictures_of(form := next_form())
    assert (sent["sides"], sent["type"], sent["value"]) == ([200, 100], "image/jpeg", "wide.jpg")
    assert is_like(sent["corners"][0], RED)
    assert is_like(sent["corners"][1], BLUE)
    assert crops_of(form) == []
    expect(page.locator("#sent")).to_contain_text("Sent as a JPEG of 200 × 100 pixels")
    expect(page.locator("#crop-size")).to_have_text("Whole picture, 400 × 200 pixels")


def test_of_a_large_picture_the_part_is_sent_in_its_own_pixels(visit, serve, painted_gallery, tmp_path):
    halves(400, 200).save(tmp_path / "wide.png")
    page = visit(serve(service(painted_gallery, pixels=20_000)))
    next_form = watch_forms(page)
    upload(page, tmp_path / "wide.png")
    next_form()
    corner = page.get_by_role("slider", name="bottom right corner")
    for _ in range(5):
        corner.press("Shift+ArrowLeft")  # to 50 %
        corner.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    [sent] = pictures_of(form := next_form())
    assert (sent["sides"], crops_of(form)) == ([200, 100], [])
    assert is_like(sent["corners"][0], RED)
    assert is_like(sent["corners"][1], RED)  # the blue half is cut away


def test_a_turned_picture_is_sent_upright(visit, serve, painted_gallery, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = TURNED
    picture = Image.new("RGB", (200, 400), RED)  # lies on its side: what is above is on the left when it is upright
    picture.paste(BLUE, (0, 0, 200, 200))
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    page = visit(serve(service(painted_gallery, pixels=20_000)))
    next_form = watch_forms(page)
    upload(page, tmp_path / "turned.jpg")
    [sent] = pictures_of(next_form())
    assert sent["sides"] == [200, 100]
    assert is_like(sent["corners"][0], RED)  # a quarter to the right takes the upper edge to the right
    assert is_like(sent["corners"][1], BLUE)


def test_a_picture_of_too_many_bytes_is_made_smaller(visit, serve, painted_gallery, tmp_path):
    Image.effect_noise((900, 700), 90).convert("RGB").save(tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size > 300_000
    page = visit(serve(service(painted_gallery, bytes=150_000)))
    next_form = watch_forms(page)
    upload(page, tmp_path / "noise.png")
    [sent] = pictures_of(next_form())
    assert sent["bytes"] <= 134_000
    width, height = sent["sides"]
    assert width / height == pytest.approx(9 / 7, abs=0.02)
    expect(results(page)).to_have_count(12)


@pytest.mark.parametrize(("name", "options"), [("still.gif", {}), ("new.avif", {})])
def test_a_format_that_the_service_does_not_take_is_sent_as_jpeg(visit, port, painted_gallery, tmp_path, name, options):
    try:
        halves(80, 40).save(tmp_path / name, **options)
    except (KeyError, OSError, ValueError):
        pytest.skip(f"Pillow cannot write {name} here")
    page = visit(port)
    next_form = watch_forms(page)
    upload(page, tmp_path / name)
    [sent] = pictures_of(next_form())
    assert (sent["type"], sent["sides"]) == ("image/jpeg", [80, 40])
    expect(results(page)).to_have_count(12)


def test_what_fits_is_sent_as_it_is(visit, port, picture):
    page = visit(port)
    next_form = watch_forms(page)
    upload(page, picture)
    [sent] = pictures_of(next_form())
    assert (sent["bytes"], sent["type"], sent["value"]) == (picture.stat().st_size, "image/png", picture.name)
    expect(page.locator("#sent")).to_be_hidden()


def test_a_judgement_on_a_large_picture_belongs_to_what_was_sent(visit, serve, own_gallery, tmp_path):
    halves(400, 200).save(tmp_path / "wide.jpg")
    page = visit(serve(service(own_gallery, pixels=20_000)))
    upload(page, tmp_path / "wide.jpg")
    results(page).first.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    page.get_by_label("Results").select_option("10")
    expect(results(page)).to_have_count(10)
    expect(results(page).first).to_have_attribute("data-judgement", "same")
    with Gallery.open(str(own_gallery)) as gallery:
        assert len(gallery.engine.judgements()) == 1


# what is no picture

DROP = """([kinds, folder]) => {
    const data = new DataTransfer();
    for (const [kind, text] of Object.entries(kinds)) data.setData(kind, text);
    const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data });
    if (folder) {
        const entry = { isDirectory: true };
        const item = { kind: "file", getAsFile: () => new File([], "cars"), webkitGetAsEntry: () => entry };
        Object.defineProperty(event, "dataTransfer", { value: { items: [item], getData: () => "" } });
    }
    document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize(
    ("kinds", "folder", "says"),
    [
        ({"text/uri-list": "https://cars.example/van.jpg"}, False, "is an address, not a picture"),
        ({"text/plain": "https://cars.example/van.jpg"}, False, "the service fetches nothing from elsewhere"),
        ({"text/plain": "a white van"}, False, "What was dropped is text, not a picture"),
        ({}, False, "What was dropped holds no picture"),
        ({}, True, "What was dropped is a folder. Open it"),
    ],
)
def test_what_is_dropped_and_no_picture_gets_a_sentence(visit, port, kinds, folder, says):
    page = visit(port)
    asked = []
    expect(page.locator("#pictures img")).to_have_count(12)
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(DROP, [kinds, folder])
    expect(page.get_by_role("alert").filter(has_text=says)).to_be_visible()
    expect(page.locator("#pictures .card")).to_have_count(12)
    page.wait_for_timeout(200)
    assert asked == []


def test_pasted_text_gets_a_sentence_but_not_in_a_field(visit, port):
    page = visit(port)
    expect(page.locator("#pictures .card")).to_have_count(12)
    paste = """(selector) => {
        const data = new DataTransfer();
        data.setData("text/plain", "https://cars.example/van.jpg");
        const event = new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: data });
        document.querySelector(selector).dispatchEvent(event);
    }"""
    page.evaluate(paste, "[name=after]")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.evaluate(paste, "body")
    expect(page.get_by_role("alert").filter(has_text="What was pasted is an address")).to_be_visible()


def test_files_that_are_no_pictures_are_named_and_the_others_searched(visit, port, tmp_path, picture):
    (tmp_path / "notes.pdf").write_bytes(b"%PDF-1.4")
    page = visit(port)
    page.get_by_label("Choose a picture").set_input_files([tmp_path / "notes.pdf"])
    expect(page.get_by_role("alert").filter(has_text="notes.pdf: no picture by its name.")).to_be_visible()
    expect(page.locator("#uploaded")).to_be_hidden()
    page.get_by_label("Choose a picture").set_input_files([tmp_path / "notes.pdf", picture])
    expect(results(page)).to_have_count(12)
    expect(page.get_by_role("alert").filter(has_text="notes.pdf")).to_be_visible()


def test_a_large_file_that_the_browser_cannot_open_gets_a_sentence(visit, serve, painted_gallery, tmp_path):
    halves(600, 400).save(tmp_path / "scan.tif")
    page = visit(serve(service(painted_gallery, bytes=200_000)))
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "scan.tif")
    says = "scan.tif has 0.72\u00a0MB; the service takes at most 0.2\u00a0MB, and this browser cannot open the file"
    expect(page.get_by_role("alert").filter(has_text=says)).to_be_visible()
    meanwhile(page, lambda: not page.locator("body.busy").count())
