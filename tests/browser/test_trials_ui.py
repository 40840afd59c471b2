"""Trials in the page: "Find the rate" beside a rate field and in the tab, "Compare these", what comes of them, what is kept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import choose_tab, create_embedding, open_tab, wait_for_frames, wait_until, write
from playwright.sync_api import Locator, Page, Request, Route, expect

OFFER = "#lrsched_trial_embedding"
RATE = "#train_embedding_learn_rate textarea"
CARD = "#lrsched_trials_card"
VIEW = "#lrsched_trial_view"
LINES = "#lrsched_trial_chart .lrsched-lines path"
ROWS = "#lrsched_trial_rows tr"
LIST = "#lrsched_trials .lrsched-run"
SHORT = {"Updates of each": "24", "Own factors of the highest rate": "0.01, 1, 1000"}


def ask(place: Locator, **options: str) -> None:
    """Opens the options of a box before the start, and fills them."""
    place.locator("summary").click()
    for label, value in options.items():
        place.get_by_label(label).fill(value)


def is_kept(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/presets")


def box_after(page: Page, element: str) -> Locator:
    return page.locator(f"{element} + .lrsched-trial-start")


def test_from_the_train_tab_to_the_rate_that_is_used_and_kept(page: Page) -> None:
    create_embedding(page, "finder")
    page.fill(RATE, "warmup(0.005):5%, cosine(0.005, 1e-5)")
    page.locator(OFFER).get_by_role("button", name="Find the rate").click()
    expect(page.locator(f"{OFFER} .lrsched-trial-start [role=status]")).to_contain_text("9 candidates, 480 updates in all, ")
    ask(page.locator(OFFER), **SHORT)
    page.locator(OFFER).get_by_label("an image of each candidate").check()
    expect(page.locator(OFFER).get_by_label("Prompt", exact=True)).to_have_value("a photo of finder")
    expect(page.locator(f"{OFFER} .lrsched-trial-start [role=status]")).to_contain_text("3 candidates, 96 updates in all, ")
    page.locator(OFFER).get_by_role("button", name="Start").click()
    expect(page.locator(OFFER)).to_contain_text("Suggested for finder:")
    page.locator(OFFER).get_by_role("button", name="Show").click()

    expect(page.locator(VIEW)).to_be_in_viewport()
    expect(page.locator(LINES)).to_have_count(3)
    assert all(path.get_attribute("d").count("L") > 1 for path in page.locator(LINES).all())
    rows = [r"^5e-50\.\d+ %[\d.]+ to [\d.]+ %$", r"^0\.005best[\d.]+ %", r"^5diverged at update \d+$"]
    expect(page.locator(ROWS)).to_have_text([re.compile(row) for row in rows])
    expect(page.locator("#lrsched_trial_why")).to_have_text(re.compile(r"^The best highest rate is about .*\.$"))
    figures = page.locator("#lrsched_trial_images figure")
    expect(figures.nth(1)).to_have_text("0.005best")
    expect(figures.nth(0).locator("img")).to_have_js_property("naturalWidth", 32)
    figures.nth(0).locator("button").click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("dialog figcaption")).to_have_text("0.005")
    page.keyboard.press("Escape")

    found = page.locator("#lrsched_trial_suggested").inner_text()
    page.click("#lrsched_trial_use")
    expect(page.locator("#lrsched_trial_said")).to_have_text("It is the embedding's rate in the Train tab now, and in the editor.")
    expect(page.locator("#lrsched_text")).to_have_value(found)
    assert page.input_value(RATE) == found
    steps = int(page.input_value("#train_steps input"))
    with page.expect_request(is_kept) as kept:
        page.click("#lrsched_trial_keep")
    assert kept.value.post_data_json["total_steps"] == steps, "it is checked for the steps that it was found for"
    expect(page.locator("#lrsched_trial_said")).to_have_text("Kept as the preset Found for finder.")
    expect(page.locator("#lrsched_preset option", has_text="Found for finder")).to_have_count(1)
    expect(page.locator("#lrsched_trial_preset_name")).to_have_value("Found for finder 2")

    question = page.locator("#lrsched_trial_keep_ask")
    for leaves in (True, False):
        page.fill("#lrsched_trial_preset_name", "Found for finder")
        page.press("#lrsched_trial_preset_name", "Enter")
        expect(question).to_contain_text(f"There is a preset Found for finder already: {found}. Overwrite it?")
        expect(page.locator("#lrsched_trial_keep_no")).to_be_focused()
        if leaves:
            page.keyboard.press("Escape")
            expect(question).to_be_hidden()
            expect(page.locator("#lrsched_trial_preset_name")).to_be_focused()
    with page.expect_request(is_kept) as kept:
        page.click("#lrsched_trial_keep_yes")
    assert kept.value.post_data_json["total_steps"] == steps
    expect(page.locator("#lrsched_trial_said")).to_have_text("Kept as the preset Found for finder.")
    page.fill("#lrsched_trial_preset_name", "Embedding: cosine")
    page.click("#lrsched_trial_keep")
    expect(page.locator("#lrsched_trial_said")).to_contain_text("Not kept: ")  # of the built-in ones none is overwritten
    expect(question).to_be_hidden()


@pytest.mark.long
def test_schedules_are_compared_and_a_reload_finds_the_trial_that_runs(page: Page) -> None:
    create_embedding(page, "rival")
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_start_from")).to_be_enabled()  # our scripts are there, and hear the click
    page.click("#lrsched_trial_compare")
    box = box_after(page, "#lrsched_compare")
    expect(box.get_by_role("alert")).to_have_text("Two different schedules or more are compared: add some to the comparison.")
    page.click("#lrsched_compare_add")
    write(page, "0.01")
    expect(box.get_by_label("What to try it for")).to_have_value("embedding")
    expect(box.get_by_role("option").first).to_have_text("Embedding: rival")
    ask(box, **{"Updates of each": "1000"})
    expect(box.get_by_role("status")).to_contain_text("2 candidates, 3,000 updates in all")
    expect(box.get_by_role("status")).to_contain_text("With the Train tab's fields: max steps 300, batch size 1.")
    box.get_by_role("button", name="Start").click()
    expect(page.locator("#lrsched_trial_status")).to_contain_text("of 3,000 updates")
    open_tab(page)
    expect(page.locator("#lrsched_trial_title")).to_have_text("Schedules for rival (embedding)")
    status = re.compile(r"^(Measures the start|Candidate 1): [\d,]+ of 3,000 updates")
    expect(page.locator("#lrsched_trial_status")).to_have_text(status)
    page.click("#lrsched_trial_stop")
    expect(page.locator("#lrsched_trial_ending")).to_have_text("Stopped before its end: nothing is suggested.")
    page.click("#lrsched_trial_delete")
    page.click("#lrsched_trial_delete_no")
    row = page.locator(LIST, has=page.get_by_text("rival", exact=True))
    expect(row).to_have_count(1)
    page.click("#lrsched_trial_delete")
    page.click("#lrsched_trial_delete_yes")
    expect(row).to_have_count(0)
    expect(page.locator(VIEW)).to_be_hidden()


@pytest.mark.long
def test_what_is_wrong_is_said_where_it_was_pressed(page: Page) -> None:
    open_tab(page)
    page.click("#lrsched_trial_find")
    box = box_after(page, "#lrsched_messages")
    trouble = box.get_by_role("alert")
    expect(trouble).to_have_text("No embedding is chosen: choose one in the Train tab.")
    expect(box.get_by_role("button", name="Start")).to_be_disabled()
    create_embedding(page, "wronged")
    page.fill(RATE, "cosine(0.01")
    page.locator(OFFER).get_by_role("button", name="Find the rate").click()
    trouble = page.locator(f"{OFFER} .lrsched-trouble")
    expect(trouble).to_have_text("The schedule cannot be tried: this bracket is never closed.")
    page.route("**/trials/estimate", lambda route: route.abort())
    page.fill(RATE, "0.01")
    expect(trouble).to_have_text("The server is not reachable. Trying again.")
    page.unroute_all()
    page.fill(RATE, "0.02")
    expect(trouble).to_have_text("")
    expect(page.locator(OFFER).get_by_role("button", name="Start")).to_be_enabled()


def test_a_late_estimate_neither_lets_start_be_pressed_again_nor_wipes_out_a_refusal(page: Page) -> None:
    create_embedding(page, "hasty")
    page.fill(RATE, "0.005")
    page.locator(OFFER).get_by_role("button", name="Find the rate").click()
    start = page.locator(OFFER).get_by_role("button", name="Start")
    expect(start).to_be_enabled()
    estimates: list[Route] = []
    starts: list[Route] = []
    page.route("**/trials/estimate", lambda route: estimates.append(route))
    page.route("**/lrsched/v1/trials", lambda route: starts.append(route) if route.request.method == "POST" else route.continue_())
    with page.expect_request("**/trials/estimate"):
        ask(page.locator(OFFER), **{"Updates of each": "24"})
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/trials")):
        start.click()
    wait_until(page, lambda: estimates and starts)  # a request is seen before its route is
    with page.expect_response("**/trials/estimate"):
        estimates[0].continue_()
    wait_for_frames(page)
    expect(start).to_be_disabled()
    assert len(starts) == 1
    starts[0].fulfill(status=409, json={"error": {"message": "no luck"}})
    trouble = page.locator(f"{OFFER} .lrsched-trouble")
    expect(trouble).to_have_text("no luck")
    expect(start).to_be_enabled()

    with page.expect_request("**/trials/estimate"):
        page.locator(OFFER).get_by_label("Updates of each").fill("25")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/trials")):
        start.click()
    wait_until(page, lambda: len(estimates) >= 2 and len(starts) >= 2)
    starts[1].fulfill(status=409, json={"error": {"message": "no luck at all"}})
    expect(trouble).to_have_text("no luck at all")
    with page.expect_response("**/trials/estimate"):
        estimates[1].continue_()
    wait_for_frames(page)
    expect(trouble).to_have_text("no luck at all")


# States that are made -----------------------------------------------------------------------------

ONE = {
    "id": "made", "kind": "embedding", "name": "made", "text": "0.1", "state": "finished", "started_s": 1.7e9, "ended_s": 1.7e9,
    "suggested": None, "why": "the candidates cannot be told apart in 48 updates",
}  # fmt: skip
CANDIDATE = {"text": "0.1", "factor": 1.0, "rate": 0.1, "progress": 0.2, "low": 0.1, "high": 0.3, "stopped_at": None,
             "curve": [[1, 0.0], [2, 0.1], [3, 0.2]], "image": True, "running": False}  # fmt: skip
RUINED = CANDIDATE | {"progress": None, "stopped_at": 2, "curve": [[1, -1.0], [2, -50.0]]}
MORE = {"steps": 300, "message": "", "messages": [], "updates": 3, "seed": 0, "made": 6, "expected": 6, "seconds_left": None,
        "what": "rates", "candidates": [CANDIDATE, RUINED], "inputs": {}}  # fmt: skip


def serve(page: Page, one: dict[str, Any] | None, refused: str = "") -> None:
    """The server knows one trial, or none; what is done to it may be refused."""

    def answer(route: Route) -> None:
        if refused and route.request.method == "DELETE":
            return route.fulfill(status=409, content_type="application/json", body=json.dumps({"error": {"message": refused}}))
        listed = {"trials": [] if one is None else [{name: one[name] for name in ONE} | {"candidates": 2}]}
        found = one if route.request.url.endswith("/trials/made") else listed
        return route.fulfill(content_type="application/json", body=json.dumps(found))

    page.route("**/lrsched/v1/trials**", answer)  # overrides earlier routes, with no gap between
    page.route("**/lrsched/v1/trials/**", answer)


def show(page: Page, refused: str = "", **changes: Any) -> None:
    serve(page, ONE | MORE | changes, refused)
    open_tab(page)
    if changes.get("state") not in ("waiting", "running"):
        page.locator(LIST).click()
    expect(page.locator("#lrsched_trial_title")).to_be_visible()


@pytest.mark.long
def test_without_a_suggestion_the_reason_stands_in_its_place(page: Page) -> None:
    show(page)
    expect(page.locator("#lrsched_trial_suggestion_title")).to_have_text("No suggestion")
    expect(page.locator("#lrsched_trial_why")).to_have_text("The candidates cannot be told apart in 48 updates.")
    expect(page.locator("#lrsched_trial_actions")).to_be_hidden()
    expect(page.locator(f"{ROWS} .lrsched-state")).to_have_count(0)
    page.locator("#lrsched_trial_chart").focus()
    page.keyboard.press("End")
    expect(page.locator("#lrsched_trial_chart")).to_have_attribute("aria-valuetext", "update 3: 20 %")


@pytest.mark.long
def test_one_that_waits_says_for_what_and_one_that_is_gone_is_told(page: Page) -> None:
    show(page, state="waiting", message="waits until the training of 'other' has ended", candidates=[])
    expect(page.locator("#lrsched_trial_status")).to_have_text("Waits until the training of 'other' has ended.")
    refusal = "the trial made is finished by now, not running: nothing was changed"
    serve(page, ONE | MORE | {"state": "running", "made": 4, "seconds_left": 0.4}, refusal)
    expect(page.locator("#lrsched_trial_status")).to_have_text("Candidate 2: 4 of 6 updates, 1 s left.")
    page.click("#lrsched_trial_stop")
    expect(page.locator("#lrsched_trial_trouble")).to_have_text(f"Not stopped: {refusal}")
    serve(page, None)
    expect(page.locator("#lrsched_trials_trouble")).to_contain_text("The trial for made is gone")
    expect(page.locator(VIEW)).to_be_hidden()


def test_error_a_refusal_is_told_although_the_list_was_read_again_meanwhile(page: Page) -> None:
    show(page, state="running", made=4)
    held: list[Route] = []
    page.route(re.compile(r"/trials/made\?state="), lambda route: held.append(route))
    page.click("#lrsched_trial_stop")
    for _ in range(2):  # the second was requested after the request to stop
        page.wait_for_event("response", lambda response: response.url.endswith("/trials"))
    (stop,) = held
    stop.fulfill(status=409, json={"error": {"message": "the trial made is finished by now"}})
    expect(page.locator("#lrsched_trial_trouble")).to_have_text("Not stopped: the trial made is finished by now")


def test_error_a_refusal_names_its_trial_where_another_one_is_shown_by_then(page: Page) -> None:
    show(page)
    held: list[Route] = []
    page.route(re.compile(r"/trials/made\?state="), lambda route: held.append(route))
    page.click("#lrsched_trial_delete")
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.click("#lrsched_trial_delete_yes")
    page.click("#lrsched_trial_close")
    held[0].fulfill(status=409, json={"error": {"message": "no luck"}})
    expect(page.locator("#lrsched_trials_trouble")).to_have_text("made: Not deleted: no luck")
    expect(page.locator("#lrsched_trial_trouble")).to_be_empty()


@pytest.mark.long
def test_a_narrow_window_holds_it(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    text = "warmup(0.5):5%, " + "cosine(0.5, 1e-5):100, " * 4 + "1e-3"
    show(page, suggested=text, text=text)
    page.click("#lrsched_trial_find")
    outside = """() => [...document.querySelectorAll("#lrsched_trials_card *, .lrsched-trial-start *")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && box.right > innerWidth + 1;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    expect(page.locator("#lrsched_trial_suggested")).to_have_text(text)
    expect(page.locator(".lrsched-trial-start:visible")).to_have_count(1)
    assert page.evaluate(outside) == []
