"""The run view's first chart and its words, and the list of what the third chart shows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import create_embedding, open_tab, run_row, show_run, train
from playwright.sync_api import Page, Route, expect

STEPS = 40
PROGRESS, RATE, PICKED = "#lrsched_run_progress", "#lrsched_run_rate", "#lrsched_run_picked"
CHOICE = "#lrsched_run_picked_choice"
LEGEND = "#lrsched_run_progress_legend"
RUN = {
    "id": "made", "kind": "embedding", "name": "made", "state": "interrupted", "step": STEPS, "initial_step": 0,
    "total_steps": STEPS, "created_s": 1.7e9, "updated_s": 1.7e9, "rate_text": "0.1",
    "clip_text": "", "clip_mode": "disabled", "clip_exact": False,
    "batch": 1, "accumulate": 1, "pictures": 2, "steps_per_epoch": 2, "message": "", "multiplier": 1.0, "origin": 0,
    "legs": [{"start_step": 0, "mode": "start", "rate_text": "0.1"}],
}  # fmt: skip
BASE = ("planned", "actual", "loss", "smooth")


def show(
    page: Page, said: str = "nothing is learned yet", run: dict[str, Any] | None = None,
    validation: Sequence[tuple[int, float]] = (), **columns: Sequence[float | None],
) -> None:  # fmt: skip
    """Opens the tab on a run with these columns beside those of every run."""
    steps = len(next(iter(columns.values()), [0.0] * STEPS))
    points = {"step": [*range(steps)], **{name: [0.1] * steps for name in BASE}, "grad_norm": [None] * steps,
              "time_s": [1.7e9] * steps, **columns}
    one = {
        "run": RUN | (run or {}), "settings": {}, "points": points, "events": [], "next_since": steps, "complete": True,
        "s_per_step": None, "s_left": None, "learning": {"said": said, "share": -0.07, "error": 0.021},
        "validation": validation, "best_step": max(validation, key=lambda look: look[1])[0] if validation else None,
    }  # fmt: skip

    def answer(route: Route) -> None:
        listed = {"runs": [one["run"]], "active": [], "host": {"name": "", "hooked": True, "why": ""}}
        url, none = route.request.url, {"bundles": [], "best": None}
        found = none if "/bundles" in url else one if "since=" in url else listed
        route.fulfill(content_type="application/json", body=json.dumps(found))

    page.unroute_all()
    page.route("**/lrsched/v1/runs**", answer)
    page.route("**/lrsched/v1/runs/**", answer)
    open_tab(page)
    expect(page.locator("#lrsched_run_title")).to_have_text(re.compile("^made"))


def path_of(page: Page, chart: str, number: int = 0) -> str:
    line = page.locator(f"{chart} .lrsched-lines path").nth(number)
    expect(line).to_have_attribute("d", re.compile("^M"))
    return str(line.get_attribute("d"))


def heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]


def test_the_learning_curve_comes_first_with_a_line_in_words(page: Page) -> None:
    create_embedding(page, "learner")
    train(page, "0.005", 40)
    open_tab(page)
    expect(run_row(page, "learner")).to_contain_text("finished", timeout=60_000)
    show_run(page, "learner")
    expect(page.locator("#lrsched_run_title")).to_have_text("learner (embedding, finished)")
    tops = [page.locator(chart).bounding_box() for chart in ("#lrsched_run_learning", PROGRESS, RATE, PICKED)]
    assert [box["y"] for box in tops if box] == sorted(box["y"] for box in tops if box)
    expect(page.locator("#lrsched_run_learning")).to_have_text(re.compile("of the loss is gone|learned|above it|times as high"))
    expect(page.locator("#lrsched_run_numbers > div").nth(2)).to_have_text(re.compile(r"^Loss gone−?[\d.]+ %± [\d.]+ %$"))
    assert path_of(page, PROGRESS).count("L") == 39
    page.locator(PROGRESS).focus()
    page.keyboard.press("Home")
    expect(page.locator(PROGRESS)).to_have_attribute("aria-valuetext", re.compile("^step 0: 0 %"))
    expect(page.locator(f"{PICKED} .lrsched-cross")).to_be_attached()
    expect(page.locator(f"{RATE} .lrsched-tip-step")).to_have_text("step 0")


@pytest.mark.long
def test_negative_progress_lies_below_the_line_of_0_and_null_is_a_gap(page: Page) -> None:
    show(page, "worse than at the start", progress=[0.2, 0.2, None, -0.3, -0.4])
    expect(page.locator("#lrsched_run_learning")).to_have_text("worse than at the start")
    expect(page.locator("#lrsched_run_numbers > div").nth(2)).to_have_text("Loss gone−7 %± 2.1 %")
    path = path_of(page, PROGRESS)
    zero = float(page.locator(f"{PROGRESS} .lrsched-zero").get_attribute("y1") or "nan")
    assert path.count("M") == 2
    assert [height > zero for height in heights(path)] == [False, False, True, True]


def test_the_looks_of_validation_are_a_second_line_with_the_best_marked(page: Page) -> None:
    show(page, progress=[0.0] * 40, validation=[(10, 0.1), (20, 0.3), (30, 0.2)])
    expect(page.locator(LEGEND)).to_have_text("progressvalidation")
    assert path_of(page, PROGRESS, 0).count("L") == 2 or path_of(page, PROGRESS, 1).count("L") == 2
    page.locator(PROGRESS).focus()
    page.keyboard.press("Home")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(page.locator(PROGRESS)).to_have_attribute("aria-valuetext", re.compile("^step 20: progress 0 %, validation 30 %"))
    expect(page.locator(f"{PROGRESS} .lrsched-tip-note")).to_have_text("best on validation")


@pytest.mark.long
def test_one_of_progress_and_validation_needs_no_legend(page: Page) -> None:
    show(page, progress=[0.0, 0.1, 0.2, 0.1])
    expect(page.locator(LEGEND)).to_be_hidden()
    show(page, "not measured: progress was off", progress=[None] * 40, validation=[(10, 0.1), (20, 0.3)])
    assert path_of(page, PROGRESS).count("L") == 1


@pytest.mark.long
def test_all_negative_progress_has_the_line_of_0_above_it(page: Page) -> None:
    show(page, progress=[-2.0, -3.0])
    zero = float(page.locator(f"{PROGRESS} .lrsched-zero").get_attribute("y1") or "nan")
    assert all(height > zero for height in heights(path_of(page, PROGRESS)))


@pytest.mark.long
def test_a_share_that_is_next_to_nothing_looks_like_nothing(page: Page) -> None:
    show(page, progress=[0.0, 1e-4, 2e-4])
    heights_ = heights(path_of(page, PROGRESS))
    assert max(heights_) - min(heights_) < 5


@pytest.mark.long
def test_an_old_run_has_words_in_place_of_the_curve(page: Page) -> None:
    show(page, "not measured: progress was off, or the run is of a version without it", progress=[None] * STEPS)
    expect(page.locator("#lrsched_run_learning")).to_contain_text("not measured")
    expect(page.locator(PROGRESS)).to_be_hidden()
    expect(page.locator(f"{RATE} .lrsched-lines path")).to_have_count(2)
    show(page, "not measured: no such column")
    expect(page.locator(PROGRESS)).to_be_hidden()
    assert path_of(page, PICKED)


@pytest.mark.long
def test_the_list_has_what_the_run_has_numbers_of(page: Page) -> None:
    show(page)
    expect(page.locator(f"{CHOICE} option")).to_have_text(["Loss"])
    bands = {f"{name}_band_{i}": [0.1 * i, 0.2] if i < 3 else [None, None] for name in ("loss", "progress") for i in range(4)}
    show(page, **bands, grad_norm=[1.0, 2.0], clip_share=[0.0, 0.5], vector_norm=[1.0, 1.1], vector_distance=[0.0, 0.1],
         vector_mean_abs=[0.05, 0.06])
    labels = ["Loss", "Loss by timestep", "Progress by timestep", "Gradient norm", "Clipped share", "Strength", "Mean strength"]
    expect(page.locator(f"{CHOICE} option")).to_have_text(labels)
    expect(page.locator(CHOICE)).to_have_value("loss")
    page.select_option(CHOICE, label="Progress by timestep")
    expect(page.locator("#lrsched_run_picked_legend > span")).to_have_text(["0–249", "250–499", "500–749"])
    expect(page.locator("#lrsched_run_picked_axis")).to_be_hidden()
    page.locator(PICKED).focus()
    page.keyboard.press("Home")
    expect(page.locator(PICKED)).to_have_attribute("aria-valuetext", "step 0: 0–249 0 %, 250–499 10 %, 500–749 20 %")
    expect(page.locator(PICKED)).to_have_attribute("aria-label", re.compile("^Progress by timestep of the run"))
    page.select_option(CHOICE, label="Strength")
    expect(page.locator(f"{PICKED} .lrsched-lines path")).to_have_count(2)


@pytest.mark.long
def test_the_choice_and_its_axis_are_remembered(page: Page) -> None:
    show(page, grad_norm=[1.0, 2.0])
    page.select_option(CHOICE, label="Gradient norm")
    log = page.locator("#lrsched_run_picked_axis [data-axis=log]")
    log.click()
    expect(log).to_have_attribute("aria-pressed", "true")
    page.select_option(CHOICE, label="Loss")
    expect(log).to_have_attribute("aria-pressed", "false")
    page.select_option(CHOICE, label="Gradient norm")
    show(page, grad_norm=[1.0, 2.0])
    expect(page.locator(CHOICE)).to_have_value("grad_norm")
    expect(log).to_have_attribute("aria-pressed", "true")
    show(page)
    expect(page.locator(CHOICE)).to_have_value("loss")
    expect(log).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(("mode", "exact", "names"), [
    ("norm", True, ["before clipping", "clip threshold"]),
    pytest.param("value", True, ["before clipping"], marks=pytest.mark.long),
    pytest.param("norm", False, ["before clipping"], marks=pytest.mark.long),
])  # fmt: skip
@pytest.mark.long
def test_the_threshold_is_drawn_where_it_is_one_of_the_norm(page: Page, mode: str, exact: bool, names: list[str]) -> None:
    def plan(route: Route) -> None:
        result = {"ok": True, "x": [0, 20, 39], "y": [1.0, 1.0, 0.5]}
        made = "made" in (route.request.post_data or "")
        route.fulfill(content_type="application/json", body=json.dumps({"results": [result]})) if made else route.continue_()

    run = {"clip_mode": mode, "clip_text": "1:20, 0.5", "clip_exact": exact}
    show(page, run=run, grad_norm=[1.0] * STEPS)
    page.route("**/lrsched/v1/preview", plan)
    page.reload()
    page.locator("#tabs > .tab-nav button").get_by_text("LR Schedule", exact=True).click()
    page.select_option(CHOICE, label="Gradient norm")
    expect(page.locator("#lrsched_run_picked_legend > span")).to_have_text(names)
    expect(page.locator(f"{PICKED} .lrsched-lines path")).to_have_count(len(names))
