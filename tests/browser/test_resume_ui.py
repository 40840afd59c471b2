"""How a run goes on: the offer in the Train tab, the ways to go on, what the tab draws of them, rescues and legs."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import OFFER, choose, choose_tab, open_tab, run_row, show_run, train, wait_until, write
from page_state import STARTED
from playwright.sync_api import Locator, Page, Request, Route, expect
from practice_runs import INTERRUPTED_AT, OTHER, SAVED_AT, STEPS, TEXT

pytestmark = pytest.mark.usefixtures("runs_of_all_sorts")

INLINE = "#lrsched_inline_embeddingRate"
LIST = "#lrsched_preflight"
RATE = "#train_embedding_learn_rate textarea"
CAPTION = f"{INLINE} > .lrsched-muted"


def open_train(page: Page, name: str, text: str = TEXT, steps: int = STEPS) -> Locator:
    """The Train tab with an embedding chosen; its offer."""
    page.goto("/")
    page.wait_for_function(STARTED)
    choose(page, page.locator("#train_embedding input"), name)
    page.fill(RATE, text)
    page.fill("#train_steps input", str(steps))
    expect(page.locator(OFFER)).to_be_visible()
    return page.locator(OFFER)


def ahead(page: Page) -> tuple[list[int], list[int]]:
    """The steps of the chart below the rate field: what is to come, what is over."""
    steps = "(wanted) => lrsched.helpers.helps[0].chart.data.series.find(({look}) => look === wanted)?.x ?? []"
    return page.evaluate(steps, 0), page.evaluate(steps, "past")


# In the Train tab -------------------------------------------------------------------------


def test_after_a_crash_the_offer_says_that_the_file_is_behind(page: Page) -> None:
    offer = open_train(page, "fallen")
    expect(offer).to_contain_text(f"Continues at step {SAVED_AT} of {STEPS} with{TEXT}exactly where it was saved.")
    expect(offer).to_contain_text("The file holds no update, because the WebUI ended before it could save. ")
    expect(offer).to_contain_text("Training resumes from the snapshot.")
    expect(offer.locator("select")).to_have_value("continue")
    expect(page.locator(CAPTION)).to_have_text(f"Up to step {SAVED_AT} as it was planned; from there the plan continues.")
    page.wait_for_function("last => lrsched.helpers.helps[0].chart.data.series.some(({x}) => x.at(-1) === last)", arg=STEPS - 1)
    coming, past = ahead(page)
    assert (past[0], past[-1], coming[0], coming[-1]) == (0, SAVED_AT - 1, SAVED_AT, STEPS - 1)


def test_a_run_that_ended_well_is_not_said_to_be_behind(page: Page) -> None:
    offer = open_train(page, "paused")
    expect(offer).to_contain_text(f"Continues at step {INTERRUPTED_AT} of {STEPS} with{TEXT}exactly where it was saved.")
    assert "The file holds" not in offer.inner_text()


@pytest.mark.long
def test_each_way_is_said_and_drawn_as_one_types(page: Page) -> None:
    offer = open_train(page, "paused")
    caption, hint = page.locator(CAPTION), offer.locator(".lrsched-muted").first
    begin = f"Up to step {INTERRUPTED_AT} as it was planned; from there "
    expect(caption).to_have_text(f"{begin}the plan continues.")
    expect(hint).to_be_empty()
    page.fill(RATE, OTHER)
    words = "has another text than the run: it counts from step 0 of the run, and is in force from step 20 on."
    expect(hint).to_contain_text(words)
    part = "steps 20 to 60 of the text will be played; 20 of the 60 steps of linear(0.004, 1e-4) are over"
    expect(caption).to_have_text(f"{begin}this text is in force: {part}.")
    expect(page.locator(f"{INLINE} .lrsched-look-over")).to_be_visible()
    expect(page.locator(LIST)).to_contain_text(f"training resumes at step 20: {part}. To play the text from its beginning, choose")
    page.locator(LIST).get_by_role("button", name="Play from the beginning").press("Enter")  # what the line advises
    expect(offer.locator("select")).to_have_value("restart")
    expect(offer.locator("select")).to_be_focused()
    expect(page.locator(LIST)).to_be_hidden()
    offer.locator("select").select_option("continue")
    expect(page.locator(LIST)).to_contain_text("training resumes at step 20")
    page.get_by_role("button", name="Play it from its beginning").locator("visible=true").press("Enter")
    expect(offer.locator("select")).to_have_value("restart")
    expect(page.locator(f"{INLINE} .lrsched-look-over")).to_have_count(0)
    expect(page.locator(LIST)).to_be_hidden()
    expect(hint).to_have_text("The text's step 0 will be step 20.")
    expect(caption).to_have_text(f"{begin}this text begins, over the remaining steps.")
    expect(page.get_by_role("button", name="Play it from its beginning")).to_be_hidden()
    assert [steps[0] for steps in ahead(page)] == [INTERRUPTED_AT, 0]
    assert page.evaluate("lrsched.helpers.helps[0].chart.data.series.find(({look}) => look === 0).y[0]") == 0.004
    page.fill(RATE, TEXT)
    offer.locator("select").select_option("new")
    expect(hint).to_have_text("The text counts from step 0 of the run, and is in force from step 20 on.")
    part = "steps 20 to 60 of the text will be played; warmup(0.005):10 (steps 0 to 10)"
    expect(caption).to_contain_text(f"{begin}this text is in force: {part}")
    offer.locator("select").select_option("continue")
    expect(hint).to_be_empty()
    expect(caption).to_have_text(f"{begin}the plan continues.")


@pytest.mark.long
def test_the_file_as_it_is_can_be_chosen_and_left_again(page: Page) -> None:
    offer = open_train(page, "fallen")
    expect(page.locator(CAPTION)).to_contain_text(f"Up to step {SAVED_AT} as it was planned")
    offer.locator("select").select_option("file")
    expect(offer).to_contain_text("Starts a new run from the file as it is, at step 0.")
    expect(page.locator(CAPTION)).to_be_hidden()
    page.wait_for_function("lrsched.helpers.helps[0].chart.data.series.length === 1")
    assert ahead(page)[0][0] == 0
    offer = open_train(page, "fallen")  # the server has kept the choice
    expect(offer.locator("select")).to_have_value("file")
    offer.locator("select").select_option("continue")
    expect(offer).to_contain_text(f"Continues at step {SAVED_AT} of {STEPS}")


@pytest.mark.long
def test_error_a_choice_that_the_server_does_not_take_is_taken_back(page: Page) -> None:
    offer = open_train(page, "paused")
    page.route("**/lrsched/v1/resume", lambda route: route.fulfill(status=500, json={"error": {"message": "no <b>luck</b>"}}))
    offer.locator("select").select_option("restart")
    expect(offer).to_contain_text("Not chosen: no <b>luck</b>")
    expect(offer.locator("select")).to_have_value("continue")


@pytest.mark.usefixtures("own_profile")
def test_error_a_refusal_is_told_however_late_and_choices_are_sent_one_after_another(page: Page) -> None:
    page.clock.install()
    offer = open_train(page, "paused")
    held: list[Route] = []
    page.route("**/lrsched/v1/resume", lambda route: held.append(route))
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "/resume?" in request.url else None)
    with page.expect_request(lambda request: request.method == "POST"):
        offer.locator("select").select_option("restart")
    offer.locator("select").select_option("continue")
    page.clock.run_for(20_000)  # the chosen name is asked about every five seconds
    assert asked == []
    assert len(held) == 1
    with page.expect_request(lambda request: request.method == "POST"):
        held[0].fulfill(status=500, json={"error": {"message": "no luck"}})
    expect(offer).to_contain_text("Not chosen: no luck")
    assert [route.request.post_data_json["way"] for route in held] == ["restart", "continue"]
    held[1].continue_()
    expect(offer).not_to_contain_text("Not chosen")
    expect(offer.locator("select")).to_have_value("continue")
    with page.expect_request(lambda request: "/resume?" in request.url):
        page.clock.run_for(20_000)


def test_what_is_shown_of_one_name_is_never_used_for_the_next_and_a_choice_that_waits_is_sent(page: Page) -> None:
    offer = open_train(page, "paused")
    choices: list[Route] = []
    asked: list[Route] = []
    page.route("**/lrsched/v1/resume", lambda route: choices.append(route))
    page.route(re.compile(r"/resume\?.*name=fallen"), lambda route: asked.append(route))
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/resume")):
        offer.locator("select").select_option("restart")
    offer.locator("select").select_option("continue")
    with page.expect_request(re.compile(r"/resume\?.*name=fallen")):
        choose(page, page.locator("#train_embedding input"), "fallen")
    expect(offer.locator("strong")).to_have_text("paused")
    expect(offer.locator("select")).to_be_disabled()
    expect(offer.get_by_role("button", name="Use its last settings")).to_be_disabled()
    wait_until(page, lambda: choices)  # a request is seen before its route is
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/resume")):
        choices[0].continue_()
    wait_until(page, lambda: len(choices) >= 2 and asked)
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/resume")):
        choices[1].continue_()
    assert [route.request.post_data_json for route in choices] == [
        {"kind": "embedding", "name": "paused", "way": mode} for mode in ("restart", "continue")
    ]
    asked[0].continue_()
    expect(offer.locator("strong")).to_have_text("fallen")
    expect(offer.locator("select")).to_be_enabled()
    expect(offer.get_by_role("button", name="Use its last settings")).to_be_enabled()


@pytest.mark.long
def test_a_choice_holds_for_one_training(page: Page) -> None:
    offer = open_train(page, "over", OTHER, 32)
    offer.locator("select").select_option("restart")
    expect(page.locator(CAPTION)).to_contain_text("this text begins, over the remaining steps.")
    train(page, OTHER, 32)
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile("^Training finished at 32 steps"), timeout=60_000)
    expect(offer).to_contain_text(f"Continues at step 32 of 32 with{OTHER}")
    expect(offer.locator("select")).to_have_value("continue")
    choose_tab(page, "LR Schedule")
    show_run(page, "over")
    expect(page.locator("#lrsched_run_rate .lrsched-mark-label")).to_have_text(["restarted"])
    # The legs as they were, also in the plan of a longer run: restarted at 20, the schedule is stretched from there on.
    page.click("#lrsched_run_continue")
    page.fill("#lrsched_steps", "50")
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["20 – 50"])


# In the tab -------------------------------------------------------------------------------


def test_the_editor_draws_each_way(page: Page) -> None:
    open_tab(page)
    show_run(page, "paused")
    page.click("#lrsched_run_continue")
    mark = page.locator("#lrsched_chart .lrsched-mark-label")
    steps = page.locator("#lrsched_segments tr td:first-child")
    expect(mark).to_have_text("continues at 20")
    write(page, "0.004:10, 0.001")
    expect(mark).to_have_text("new schedule from 20")
    part = "Steps 20 to 60 of the text will be played; 0.004:10 (steps 0 to 10) and 10 of the 50 steps of 0.001 are over."
    expect(page.locator("#lrsched_run_note")).to_contain_text(f"Resumes at step 20 of 60. {part}")
    expect(steps).to_have_text(["0 – 10", "10 – 60"])
    page.select_option("#lrsched_run_mode", "restart")
    expect(mark).to_have_text("restarts at 20")
    expect(steps).to_have_text(["20 – 30", "30 – 60"])
    expect(page.locator("#lrsched_chart .lrsched-look-past")).to_be_attached()
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_run_mode")).to_have_value("restart")
    expect(mark).to_have_text("restarts at 20")


@pytest.mark.long
def test_what_is_restarted_can_be_dragged_at_its_place(page: Page) -> None:
    open_tab(page)
    show_run(page, "paused")
    page.click("#lrsched_run_continue")
    page.select_option("#lrsched_run_mode", "restart")
    write(page, "0.004:10, 0.001")
    boundary = page.locator("#lrsched_handles [aria-label^='End of 0.004:10']")
    expect(boundary).to_have_attribute("aria-valuetext", "step 30")
    expect(page.locator("#lrsched_handles")).not_to_have_class(re.compile("waiting"))
    boundary.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#lrsched_text")).to_have_value("0.004:11, 0.001")
    expect(page.locator("#lrsched_segments tr td:first-child")).to_have_text(["20 – 31", "31 – 60"])


@pytest.mark.long
def test_a_crashed_run_is_planned_from_where_its_state_was_saved(page: Page) -> None:
    open_tab(page)
    show_run(page, "fallen")
    expect(run_row(page, "fallen").locator(".lrsched-state")).to_have_text("crashed")
    page.click("#lrsched_run_continue")
    expect(page.locator("#lrsched_run_note")).to_contain_text(f"Resumes at step {SAVED_AT} of {STEPS}.")
    expect(page.locator("#lrsched_chart .lrsched-mark-label")).to_have_text(f"continues at {SAVED_AT}")


@pytest.mark.long
def test_a_plan_is_sent_with_the_way_in_which_the_run_goes_on(page: Page) -> None:
    open_tab(page)
    show_run(page, "paused")
    page.click("#lrsched_run_continue")
    page.select_option("#lrsched_run_mode", "restart")
    page.click("#lrsched_send_embedding")
    expect(page.locator("#lrsched_transfer_said")).to_contain_text("the resume mode of paused.")
    choose_tab(page, "Train")
    choose(page, page.locator("#train_embedding input"), "paused")
    choice = page.locator(f"{OFFER} select")
    expect(choice).to_have_value("restart")
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/resume" in answer.url):
        choice.select_option("continue")  # the server keeps it for the tests after this one
    expect(page.locator(f"{OFFER} .lrsched-muted").first).to_be_empty()


def test_a_rescue_is_marked_and_told(page: Page) -> None:
    open_tab(page)
    show_run(page, "rescued")
    for chart in ("#lrsched_run_rate", "#lrsched_run_picked"):
        expect(page.locator(f"{chart} .lrsched-mark-label-rescue")).to_have_text("rescue")
        expect(page.locator(f"{chart} .lrsched-flag")).to_have_count(1)
    place = page.locator("#lrsched_run_rate .lrsched-mark-rescue").evaluate("line => Number(line.getAttribute('x1'))")
    page.locator("#lrsched_run_rate").hover(position={"x": place, "y": 60})
    rate = "from here on the rate is the planned one times 0.5"
    words = f"rescue: update 12: the loss is nan. Restored the state after update 10; {rate}"
    expect(page.locator("#lrsched_run_rate .lrsched-tip-note").first).to_have_text(words)
    expect(page.locator("#lrsched_run_numbers > div").nth(1)).to_contain_text("times 0.5 since a rescue")
    expect(page.locator("#lrsched_run_events_title")).to_have_text("Events, 1 rescue")
    page.click("#lrsched_run_events_title")
    expect(page.locator("#lrsched_run_events .lrsched-is-bad")).to_contain_text(words)
    page.click("#lrsched_run_continue")
    expect(page.locator("#lrsched_run_note")).to_contain_text("At 0.5 times the planned rate, after a rescue.")


def test_legs_that_did_not_go_on_as_before_are_named(page: Page) -> None:
    open_tab(page)
    show_run(page, "again")
    expect(page.locator("#lrsched_run_rate .lrsched-mark-label")).to_have_text(["restarted", "new schedule"])


@pytest.mark.long
def test_the_clip_threshold_is_drawn_as_the_rate_beside_it_goes_on(page: Page) -> None:
    offer = open_train(page, "paused")
    page.fill("[placeholder='Gradient clip value']", "linear(1, 0.1)")
    page.wait_for_function("() => lrsched.fields.setClipMode('norm')")
    first = "() => lrsched.helpers.helps[2].chart.data.series.map(({name, x, y}) => [name, x[0], y[0]])"
    steps = "([first]) => eval(first)()"
    expect(page.locator("#lrsched_inline_clip .lrsched-svg")).to_be_visible()
    page.wait_for_function("([first]) => JSON.stringify(eval(first)()) === '[[\"rate\",0,1]]'", arg=[first])
    offer.locator("select").select_option("restart")
    page.wait_for_function(f"([first]) => JSON.stringify(eval(first)()) === '[[\"rate\",{INTERRUPTED_AT},1]]'", arg=[first])
    assert page.evaluate(steps, [first]) == [["rate", INTERRUPTED_AT, 1]]
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/resume" in answer.url):
        offer.locator("select").select_option("continue")  # the server keeps it for the tests after this one
