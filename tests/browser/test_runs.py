"""Runs of the practice host, started from the Train panel and watched in the tab."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import choose, choose_tab, create_embedding, open_tab, run_row, train, write
from page_state import STARTED
from playwright.sync_api import Browser, Page, Route, expect

from lib_lrsched.practice.app import opener


def test_a_training_is_seen_live_and_is_still_there_after_a_reload(page: Page) -> None:
    create_embedding(page, "watched")
    train(page, "warmup(0.005):10, linear(0.005, 1e-4)", 150)  # long enough to be seen while it runs
    choose_tab(page, "LR Schedule")
    expect(run_row(page, "watched")).to_have_attribute("aria-current", "true")
    numbers = page.locator("#lrsched_run_numbers > div")
    expect(numbers.nth(0)).to_have_text(re.compile(r"Step\d+ of 150"))
    expect(run_row(page, "watched")).to_contain_text("finished", timeout=60_000)
    expect(numbers.nth(0)).to_have_text("Step150 of 150")
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(run_row(page, "watched")).to_contain_text("embedding, 150 of 150")
    expect(numbers.nth(1)).to_contain_text("Rate0.000135")
    for chart, lines in (("#lrsched_run_rate", 2), ("#lrsched_run_picked", 2)):
        expect(page.locator(f"{chart} .lrsched-lines path")).to_have_count(lines)
        expect(page.locator(f"{chart} .lrsched-lines path").first).to_have_attribute("d", re.compile("^M.{100,}"))


@pytest.mark.long
@pytest.mark.usefixtures("runs_of_all_sorts")
def test_the_page_opens_once_at_the_run_that_it_was_told(browser: Browser, server: str, folder: Path) -> None:
    """As `serve --run` has it: a run that is not the newest, and not the one that this browser shows since its last visit."""
    states = [json.loads(file.read_text()) for file in (folder / "lrsched" / "runs").glob("*/run.json")]
    old = min(states, key=lambda state: state["id"])  # it begins with the time
    page = browser.new_page()
    page.add_init_script(re.sub("</?script>", "", opener(old["id"]).decode()))
    page.goto(server)
    tab = page.get_by_role("button", name="LR Schedule", exact=True)
    tab.dispatch_event("click")  # a real click ends the scrolling
    expect(page.locator("#lrsched_run_title")).to_contain_text(old["name"])
    expect(page.locator("#lrsched_run_title")).to_be_in_viewport()
    other = page.locator("#lrsched_runs [aria-current=false]").first
    other.click()
    expect(page.locator("#lrsched_run_title")).not_to_contain_text(old["name"])
    page.reload()
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_run_title")).not_to_have_text("")
    expect(page.locator("#lrsched_run_title")).not_to_contain_text(old["name"])
    page.close()


@pytest.mark.long
def test_an_interrupted_run_is_offered_again_with_its_settings(page: Page) -> None:
    create_embedding(page, "halfway")
    train(page, "linear(0.005, 1e-5)", 5000)
    choose_tab(page, "LR Schedule")
    expect(run_row(page, "halfway")).to_contain_text("running")
    expect(page.locator("#lrsched_run_numbers > div").nth(0)).to_have_text(re.compile(r"Step[1-9]\d* of 5,000"))
    choose_tab(page, "Train")
    page.click("#train_interrupt_training")
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile(r"^Training interrupted at \d+ steps"))
    page.fill("#train_embedding_learn_rate textarea", "0.123")
    page.fill("#train_steps input", "9")
    offer = page.locator("#lrsched_resume_embedding")
    expect(offer).to_contain_text(re.compile(r"Continues at step \d+ of 5,000 with"))
    expect(offer).to_contain_text("linear(0.005, 1e-5)")
    offer.get_by_role("button").click()
    expect(page.locator("#train_embedding_learn_rate textarea")).to_have_value("linear(0.005, 1e-5)")
    expect(page.locator("#train_steps input")).to_have_value("5000")
    expect(page.locator("#lrsched_inline_embeddingRate .lrsched-mark-resume")).to_be_attached()


@pytest.mark.long
def test_the_continuation_of_a_run_is_drawn_after_what_was_trained(page: Page) -> None:
    create_embedding(page, "longer")
    train(page, "0.005:10, 0.001", 20)
    choose_tab(page, "LR Schedule")
    expect(run_row(page, "longer")).to_contain_text("finished", timeout=60_000)
    run_row(page, "longer").click()
    expect(page.locator("#lrsched_run_title")).to_have_text("longer (embedding, finished)")
    page.click("#lrsched_run_continue")
    expect(page.locator("#lrsched_text")).to_have_value("0.005:10, 0.001")
    expect(page.locator("#lrsched_run_note")).to_contain_text("Resumes at step 20 of 20.")
    page.fill("#lrsched_steps", "60")
    write(page, "0.005:10, 0.002")
    expect(page.locator("#lrsched_chart .lrsched-mark-resume")).to_be_attached()
    expect(page.locator("#lrsched_chart .lrsched-look-past")).to_be_attached()
    page.locator("#lrsched_chart").focus()
    page.keyboard.press("Home")
    expect(page.locator("#lrsched_chart")).to_have_attribute("aria-valuetext", "step 0: over, not trained 0.005, so far 0.005")


def test_error_a_bad_rate_is_shown_under_the_field_and_in_the_error_box(page: Page) -> None:
    create_embedding(page, "mistaken")
    page.fill("#train_embedding_learn_rate textarea", "1e-3:500, 1e-4:100")
    message = "boundaries must rise: this one is at 100, the one before it at 500"
    expect(page.locator("#lrsched_inline_embeddingRate .lrsched-message-text")).to_have_text(message)
    page.click("#train_train_embedding")
    box = page.locator("#ti_error .error")
    expect(box).to_contain_text(message)
    assert "\n    1e-3:500, 1e-4:100\n                   ^^^" in box.inner_text()
    assert box.evaluate("node => getComputedStyle(node).whiteSpace") == "pre-wrap"
    assert "monospace" in box.evaluate("node => getComputedStyle(node).fontFamily")


def test_the_train_tab_shows_a_chart_as_one_types_and_the_clip_one_only_with_clipping(page: Page) -> None:
    page.goto("/")
    chart = page.locator("#lrsched_inline_embeddingRate .lrsched-lines path")
    expect(chart).to_have_count(1)
    before = chart.get_attribute("d")
    page.fill("#train_embedding_learn_rate textarea", "cosine(0.005, 1e-5)")
    expect(chart).not_to_have_attribute("d", before or "")
    expect(page.locator("#lrsched_inline_clip")).to_be_hidden()
    choose(page, page.get_by_label("Gradient Clipping"), "norm")
    expect(page.locator("#lrsched_inline_clip .lrsched-lines path")).to_have_count(1)


def test_the_clip_mode_is_chosen_by_the_resume_button(page: Page) -> None:
    page.goto("/")
    page.wait_for_function(STARTED)
    page.wait_for_function("lrsched.fields.setClipMode('value')")
    assert page.get_by_label("Gradient Clipping").input_value() == "value"


@pytest.mark.usefixtures("own_profile")
def test_runs_are_asked_for_only_while_the_tab_is_seen(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/lrsched/v1/runs" in request.url else None)
    page.clock.install()
    page.goto("/")
    page.wait_for_function(STARTED)
    page.clock.run_for(10_000)
    assert asked == []
    with page.expect_request("**/lrsched/v1/runs"):
        choose_tab(page, "LR Schedule")
        page.clock.run_for(1_000)
    choose_tab(page, "Train")
    page.clock.run_for(1_000)
    page.wait_for_load_state("networkidle")
    asked.clear()
    page.clock.run_for(30_000)
    assert asked == []


def test_names_from_outside_are_shown_as_text(page: Page) -> None:
    evil = "<img src=x onerror='globalThis.broken = 1'><script>globalThis.broken = 1</script>"
    run = {
        "id": "evil", "kind": "embedding", "name": evil, "state": "failed", "step": 3, "initial_step": 0, "total_steps": 9,
        "created_s": 1.7e9, "updated_s": 1.7e9, "rate_text": evil, "clip_text": "", "clip_mode": "disabled", "clip_exact": False,
        "batch": 1, "accumulate": 1, "pictures": 2, "steps_per_epoch": 2, "message": evil,
        "multiplier": 0.5, "origin": 0, "legs": [{"start_step": 0, "mode": evil, "rate_text": evil}],
        "title": evil, "note": evil, "outcome": evil, "progress_end": None, "progress_best": None, "progress_best_step": None,
        "validation_end": None, "validation_best": None, "best_step": None, "seconds": 1.0, "ended_s": 1.7e9, "images": 0,
        "size_bytes": 1, "trouble": evil,
    }
    state = {"number": 1, "file": evil, "good": False, "message": evil}
    points = {"step": [0], "planned": [0.1], "actual": [0.1], "loss": [0.1], "smooth": [0.1], "grad_norm": [None], "time_s": [1.0]}
    events = [{"step": 2, "time_s": 1.7e9, "event": evil, "message": evil}]
    one = {"run": run, "settings": {}, "points": points, "events": events, "next_since": 1, "complete": True,
           "s_per_step": None, "s_left": None, "learning": {"said": evil, "share": None, "error": None}}

    def answer(route: Route) -> None:
        listed = {"runs": [run], "unread": 0, "active": [], "host": {"name": evil, "hooked": False, "why": evil}}
        known = {"since=": one, "/bundles": {"bundles": [state], "best": None}}
        answers = [body for part, body in known.items() if part in route.request.url]
        route.fulfill(content_type="application/json", body=json.dumps(answers[0] if answers else listed))

    page.route("**/lrsched/v1/runs**", answer)
    page.route("**/lrsched/v1/runs/**", answer)
    open_tab(page)
    expect(page.locator("#lrsched_runs .lrsched-run-name")).to_have_text(evil)
    expect(page.locator("#lrsched_run_title")).to_have_text(f"{evil} (embedding, failed)")
    expect(page.locator("#lrsched_run_message")).to_have_text(evil)
    expect(page.locator("#lrsched_run_learning")).to_have_text(evil)
    expect(page.locator("#lrsched_runs .lrsched-run-rate")).to_have_text(evil)
    expect(page.locator("#lrsched_run_label .lrsched-run-note")).to_have_text(evil)
    page.click(".lrsched-events summary")
    expect(page.locator("#lrsched_run_events li")).to_contain_text(evil)
    page.click("#lrsched_run_snapshots_open")
    expect(page.locator("#lrsched_run_snapshots_rows .lrsched-is-bad")).to_have_text(evil)
    page.click("#lrsched_run_delete")
    expect(page.locator("#lrsched_run_ask_text")).to_contain_text(evil)
    assert page.locator("#lrsched_page img[src=x], #lrsched_page script").count() == 0
    assert page.evaluate("globalThis.broken") is None


@pytest.mark.long
def test_a_hypernetwork_can_be_made_and_trained(page: Page) -> None:
    page.goto("/")
    page.wait_for_function(STARTED)
    page.locator("#train_tabs .tab-nav button", has_text="Create hypernetwork").click()
    page.fill("#train_new_hypernetwork_name textarea", "net")
    page.click("#train_create_hypernetwork")
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile("^Created: .*net"))
    choose(page, page.locator("#train_hypernetwork input"), "net")
    page.fill("#train_hypernetwork_learn_rate textarea", "1e-4:5, 1e-5")
    page.fill("#train_steps input", "10")
    page.click("#train_train_hypernetwork")
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile("^Training finished at 10 steps"), timeout=60_000)
    choose_tab(page, "LR Schedule")
    expect(run_row(page, "net")).to_contain_text("hypernetwork, 10 of 10")
