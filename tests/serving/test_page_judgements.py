"""Judgements that are not kept at once: by a service that is busy, that breaks off, or that refuses."""

import re

from browsing import hold, meanwhile, needs_browser, results, search_on
from playwright.sync_api import expect

from samecar.retrieval.gallery import Gallery

pytest_plugins = ["browsing"]  # its fixtures

pytestmark = needs_browser

JUDGEMENTS = re.compile("/api/judgements(\\?|$)")

BUSY = {
    "status": 503,
    "headers": {"Retry-After": "2", "Content-Type": "application/json"},
    "body": '{"error": {"code": "busy", "message": "too many requests are waiting"}}',
}


def judged(gallery):
    """What was said of which entry."""
    with Gallery.open(str(gallery)) as opened:
        return {judgement.entry: judgement.same for judgement in opened.engine.judgements()}


def card_to_judge(visit, port, status):
    """A page with results, the first of its cards, and the number of that."""
    page = visit(port, "/?id=1")
    page.expected = [f"status of {status}"]
    card = results(page).first
    expect(page.locator("#results img")).to_have_count(11)
    return page, card, int(card.get_attribute("data-id"))


def test_a_judgement_outlasts_a_busy_service_and_other_searches(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 503)
    page.route(JUDGEMENTS, lambda route: route.fulfill(**BUSY), times=1)
    card.get_by_role("button", name="Same", exact=True).click()
    alert = page.get_by_role("alert").filter(has_text="1 judgement is not kept yet. Too many requests are waiting.")
    expect(alert).to_contain_text("Trying again in 2 s.")
    expect(card).to_have_attribute("data-judgement", "same")
    search_on(page, results(page).nth(1))
    expect(alert).to_be_visible()
    page.go_back()
    expect(page.locator("#stored")).to_contain_text("picture 1")
    expect(page.locator(f"#results [data-id='{number}']")).to_have_attribute("data-judgement", "same")
    expect(alert).to_be_hidden()
    meanwhile(page, lambda: judged(own_gallery) == {number: True})


def test_the_last_of_two_judgements_counts_though_the_first_one_failed(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 503)
    sent = []
    page.on("request", lambda request: sent.append(request.method) if JUDGEMENTS.search(request.url) else None)
    held, let_pass = hold(page, JUDGEMENTS)
    card.get_by_role("link").focus()
    page.keyboard.press("s")
    page.keyboard.press("n")
    meanwhile(page, lambda: held)
    let_pass()
    held[0].fulfill(**BUSY)
    expect(page.get_by_role("alert").filter(has_text="not kept yet")).to_be_visible()
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: not the same vehicle")
    page.wait_for_timeout(2500)  # longer than the service asked to wait
    expect(card).to_have_attribute("data-judgement", "different")
    assert judged(own_gallery) == {number: False}
    assert sent == ["PUT", "PUT"]


def test_a_judgement_taken_back_before_it_was_kept_is_not_kept(visit, own_port, own_gallery):
    page, card, _ = card_to_judge(visit, own_port, 503)
    page.expected.append("status of 404")
    page.route(JUDGEMENTS, lambda route: route.fulfill(**BUSY), times=1)
    same = card.get_by_role("button", name="Same", exact=True)
    same.click()
    expect(page.get_by_role("alert").filter(has_text="not kept yet")).to_be_visible()
    same.click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: not judged")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert judged(own_gallery) == {}


def test_after_an_answer_that_breaks_off_later_judgements_are_kept(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 500)
    broken = {"status": 500, "headers": {"Content-Type": "application/json"}, "body": '{"error": {"mess'}
    page.route(JUDGEMENTS, lambda route: route.fulfill(**broken), times=1)
    card.get_by_role("button", name="Same", exact=True).click()
    alert = page.get_by_role("alert").filter(has_text="The service answered 500")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()
    second = results(page).nth(1)
    second.get_by_role("button", name="Not the same").click()
    expect(page.get_by_role("status")).to_contain_text("Rank 2: not the same vehicle")
    meanwhile(page, lambda: len(judged(own_gallery)) == 2)
    assert judged(own_gallery) == {number: True, int(second.get_attribute("data-id")): False}
    expect(alert).to_be_hidden()


def test_a_refused_judgement_is_shown_no_longer(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 404)
    card.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    page.route(JUDGEMENTS, lambda route: route.fulfill(status=404), times=1)
    card.get_by_role("button", name="Not the same").click()
    expect(page.get_by_role("alert").filter(has_text="The service answered 404")).to_be_visible()
    expect(card).to_have_attribute("data-judgement", "same")
    assert judged(own_gallery) == {number: True}


def test_a_key_held_down_judges_once(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 404)
    card.get_by_role("link").focus()
    for _ in range(4):
        page.keyboard.down("s")
    page.keyboard.up("s")
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    page.wait_for_timeout(300)
    assert judged(own_gallery) == {number: True}


def test_the_browser_asks_before_a_judgement_that_waits_is_lost(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 503)
    page.route(JUDGEMENTS, lambda route: route.fulfill(**BUSY))
    card.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="not kept yet")).to_be_visible()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)
    meanwhile(page, lambda: asked == ["beforeunload"])
    page.unroute(JUDGEMENTS)
    meanwhile(page, lambda: judged(own_gallery) == {number: True})


def said_elsewhere(page, port, number, same):
    """What somebody else says of entry 1 and another one."""
    form = {"query_id": "1", "entry": str(number), "same": same}
    assert page.request.put(f"http://127.0.0.1:{port}/api/judgements", multipart=form).ok


def test_who_judges_otherwise_than_somebody_else_is_asked_whose_word_counts(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 409)
    dialog = page.get_by_role("alertdialog", name="Somebody said otherwise")
    same, different = (
        card.get_by_role("button", name="Same", exact=True),
        card.get_by_role("button", name="Not the same"),
    )
    said_elsewhere(page, own_port, number, "true")
    different.click()
    expect(dialog).to_contain_text("Somebody has said meanwhile that it is the same vehicle; you say that it is not")
    expect(dialog.get_by_role("button", name="Keep theirs")).to_be_focused()
    assert judged(own_gallery) == {number: True}
    page.keyboard.press("Escape")
    expect(same).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle, as somebody else said")
    assert judged(own_gallery) == {number: True}

    different.click()  # now theirs is seen, and replaced knowingly
    expect(page.get_by_role("status")).to_contain_text("Rank 1: not the same vehicle")
    assert judged(own_gallery) == {number: False}

    second = results(page).nth(1)
    other = int(second.get_attribute("data-id"))
    said_elsewhere(page, own_port, other, "false")
    second.get_by_role("link").focus()
    page.keyboard.press("s")
    dialog.get_by_role("button", name="Replace it by mine").click()
    expect(page.get_by_role("status")).to_contain_text("Rank 2: the same vehicle")
    expect(second).to_have_attribute("data-judgement", "same")
    assert judged(own_gallery) == {number: False, other: True}


def test_somebody_elses_judgement_is_not_taken_back_unseen(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 409)
    same = card.get_by_role("button", name="Same", exact=True)
    same.click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    said_elsewhere(page, own_port, number, "false")
    same.click()
    dialog = page.get_by_role("alertdialog", name="Somebody said otherwise")
    expect(dialog).to_contain_text("meanwhile that it is not the same vehicle; you take back what was said before.")
    dialog.get_by_role("button", name="Keep theirs").click()
    expect(card).to_have_attribute("data-judgement", "different")
    assert judged(own_gallery) == {number: False}


def test_the_same_word_of_two_people_is_no_contradiction(visit, own_port, own_gallery):
    page, card, number = card_to_judge(visit, own_port, 409)
    said_elsewhere(page, own_port, number, "true")
    card.get_by_role("button", name="Same", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Rank 1: the same vehicle")
    expect(page.get_by_role("alertdialog")).to_have_count(0)
    assert judged(own_gallery) == {number: True}
