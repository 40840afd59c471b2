"""The ending of a range test in the run view: progress over rate, and the suggestion."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import create_embedding, open_tab, run_row, show_run, train
from playwright.sync_api import Page, Route, expect

CHART, SAID = "#lrsched_run_range_chart", "#lrsched_run_range_said"
POINTS = [[1e-5, 0.0], [1e-4, 0.01], [1e-3, 0.1], [1e-2, 0.3], [1e-1, 0.4], [1.0, -8.0]]


def show(page: Page, found: dict[str, Any] | None) -> None:
    """Opens the tab on a run with this answer of its range test."""
    run = {
        "id": "made", "kind": "embedding", "name": "made", "state": "finished", "step": 2, "initial_step": 0, "total_steps": 2,
        "created_s": 1.7e9, "updated_s": 1.7e9, "rate_text": "range_test(1e-5, 1)", "clip_text": "", "clip_mode": "disabled",
        "clip_exact": False, "batch": 1, "accumulate": 1, "pictures": 2, "steps_per_epoch": 2, "message": "", "multiplier": 1.0,
        "origin": 0, "legs": [{"start_step": 0, "mode": "start", "rate_text": "range_test(1e-5, 1)"}],
    }  # fmt: skip
    points = {"step": [0, 1], "grad_norm": [None, None], "time_s": [1.7e9, 1.7e9], "progress": [0.0, -3.0],
              **{name: [0.1, 0.2] for name in ("planned", "actual", "loss", "smooth")}}
    one = {"run": run, "settings": {}, "points": points, "events": [], "next_since": 2, "complete": True, "s_per_step": None,
           "s_left": None, "learning": {"said": "worse than at the start", "share": -3.0, "error": 0.1}, "range_test": found}

    def answer(route: Route) -> None:
        listed = {"runs": [run], "active": [], "host": {"name": "", "hooked": True, "why": ""}}
        url, none = route.request.url, {"bundles": [], "best": None}
        body = none if "/bundles" in url else one if "since=" in url else listed
        route.fulfill(content_type="application/json", body=json.dumps(body))

    page.unroute_all()
    page.route("**/lrsched/v1/runs**", answer)
    page.route("**/lrsched/v1/runs/**", answer)
    open_tab(page)
    expect(page.locator("#lrsched_run_title")).to_have_text(re.compile("^made"))


def test_progress_stands_over_the_decades_of_the_rate_with_the_suggestion_marked(page: Page) -> None:
    show(page, {"points": POINTS, "suggested": 0.012, "why": "the loss falls fastest at about 0.012", "put_back": True})
    expect(page.locator(SAID)).to_have_text("Suggested rate: 0.012. The loss falls fastest at about 0.012")
    expect(page.locator(f"{CHART} .lrsched-mark-label")).to_have_text("0.012")
    labels = page.locator(f"{CHART} .lrsched-labels text").all_text_contents()
    assert [label for label in labels if "%" not in label] == ["1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "rate"]
    path = str(page.locator(f"{CHART} .lrsched-lines path").get_attribute("d"))
    places = [float(x) for x in re.findall(r"[ML]([\d.]+) ", path)]
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 5, abs=0.2)  # a decade each
    page.locator(CHART).focus()
    page.keyboard.press("Home")
    expect(page.locator(CHART)).to_have_attribute("aria-valuetext", "rate 1e-5: 0 %")
    expect(page.locator("#lrsched_run_learning")).to_have_text("")
    expect(page.locator("#lrsched_run_continue")).to_be_hidden()


@pytest.mark.long
def test_without_a_suggestion_it_says_why_and_others_have_no_such_chart(page: Page) -> None:
    show(page, {"points": [], "suggested": None, "why": "1 measured update is too few", "put_back": False})
    expect(page.locator(SAID)).to_have_text("No rate is suggested: 1 measured update is too few")
    expect(page.locator(CHART)).to_be_hidden()
    expect(page.locator("#lrsched_run_continue")).to_be_visible()
    show(page, None)
    expect(page.locator("#lrsched_run_range")).to_be_hidden()
    expect(page.locator("#lrsched_run_learning")).to_have_text("worse than at the start")


@pytest.mark.long
def test_a_range_test_from_the_train_tab_ends_with_its_chart(page: Page) -> None:
    create_embedding(page, "searched")
    train(page, "range_test(1e-5, 0.5)", 40)
    open_tab(page)
    expect(run_row(page, "searched")).to_contain_text("finished", timeout=60_000)
    show_run(page, "searched")
    expect(page.locator(SAID)).to_have_text(re.compile("^(Suggested rate|No rate is suggested): "))
    expect(page.locator(f"{CHART} .lrsched-lines path")).to_have_attribute("d", re.compile("^M.{100,}"))
    expect(page.locator("#lrsched_run_events")).to_contain_text("searched is what it was before the range test, at step 0")
