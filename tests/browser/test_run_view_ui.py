"""The run view as somebody judges a run: marks, zoom, smoothing, preview images, interrupt; and the line above everything."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import choose_tab, create_embedding, open_tab, run_row, show_run, train
from playwright.sync_api import Locator, Page, Route, expect
from test_learning_ui import RUN, show

PROGRESS, RATE, PICKED = "#lrsched_run_progress", "#lrsched_run_rate", "#lrsched_run_picked"
THUMBS = "#lrsched_run_strip .lrsched-thumb"
LARGE = "#lrsched_run_large .lrsched-large:visible"
WHOLE, STATUS = "#lrsched_run_zoom_all", "#lrsched_run_status"
STRIP_OF_STEPS = 10


def drag(page: Page, chart: str, start: float, end: float) -> None:
    """Drags over a chart between two shares of its width."""
    page.locator(chart).scroll_into_view_if_needed()
    box = page.locator(chart).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 70, steps=4)
    expect(page.locator(f"{chart} .lrsched-zoom-band")).to_be_attached()
    page.mouse.up()
    expect(page.locator(f"{chart} .lrsched-zoom-band")).not_to_be_attached()


def begins_within(page: Page, chart: str, low: int, high: int) -> None:
    """Waits until the first step that is written on the axis of a chart is one of these."""
    found = """([chart, low, high]) => {
        const step = Number(document.querySelector(`${chart} .lrsched-labels text[text-anchor=middle]`)?.textContent);
        return low <= step && step <= high;
    }"""
    page.wait_for_function(found, arg=[chart, low, high])


def keys_to(page: Page, chart: str, step: int) -> Locator:
    """Moves the crosshair of a chart to a step of a run that has all of its points."""
    page.locator(chart).focus()
    page.keyboard.press("Home")
    for _ in range(step // STRIP_OF_STEPS):
        page.keyboard.press("Shift+ArrowRight")
    for _ in range(step % STRIP_OF_STEPS):
        page.keyboard.press("ArrowRight")
    return page.locator(chart)


@pytest.mark.usefixtures("runs_of_all_sorts")
def test_a_run_tells_its_story(page: Page) -> None:
    open_tab(page)
    show_run(page, "gallery")
    # What happened.
    expect(page.locator(STATUS)).to_have_text("Finished. Raise max steps to continue, or start over.")
    expect(page.locator("#lrsched_run_interrupt")).to_be_hidden()
    for chart in (PROGRESS, RATE, PICKED):
        for mark in (".lrsched-mark-rescue", ".lrsched-mark-resume", ".lrsched-tick.lrsched-mark-copy"):
            expect(page.locator(f"{chart} {mark}")).to_be_attached()
    expect(page.locator(f"{PROGRESS} .lrsched-mark-best")).to_be_attached()
    expect(page.locator("#lrsched_run_events_title")).to_have_text("Events, 1 rescue, 6 copies")
    expect(keys_to(page, PROGRESS, 10)).to_have_attribute("aria-valuetext", re.compile("^step 10: .*copy saved: gallery-10.pt"))
    expect(page.locator(f"{RATE} .lrsched-tip-note")).to_have_text("copy saved: gallery-10.pt")
    # Preview images: that which is nearest to the crosshair.
    expect(page.locator(THUMBS)).to_have_count(6)
    expect(page.locator(LARGE)).to_contain_text("after 9 updates")
    expect(keys_to(page, PICKED, 47)).to_have_attribute("aria-valuetext", re.compile("^step 47: smoothed"))
    expect(page.locator(LARGE)).to_contain_text("after 49 updates")
    # Zoom: all charts and the strip, there and back.
    drag(page, RATE, 0.55, 0.8)
    for chart in (PROGRESS, RATE, PICKED):
        begins_within(page, chart, 26, 39)
    expect(page.locator(THUMBS)).to_have_count(2)
    expect(page.locator("#lrsched_run_zoom_said")).to_have_text(re.compile(r"^steps [23]\d to 4\d$"))
    page.locator(PICKED).dblclick(position={"x": 400, "y": 60})
    expect(page.locator(THUMBS)).to_have_count(6)
    expect(page.locator(WHOLE)).to_be_disabled()
    page.mouse.move(0, 0)
    keys_to(page, PROGRESS, 50)
    page.keyboard.press("+")
    expect(page.locator(WHOLE)).to_be_enabled()
    begins_within(page, RATE, 25, 40)
    page.keyboard.press("Home")
    expect(page.locator(PROGRESS)).to_have_attribute("aria-valuetext", re.compile("^step 0: "))
    begins_within(page, RATE, 0, 0)  # the window follows the keys
    page.keyboard.press("Escape")
    expect(page.locator(WHOLE)).to_be_disabled()
    # Two side by side, by keyboard alone.
    page.locator(THUMBS).first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    expect(page.locator(f"{PROGRESS} .lrsched-tip-step")).to_have_text("step 59")
    page.keyboard.press("Enter")
    expect(page.locator(LARGE)).to_have_text([re.compile("^A after 9 updates"), re.compile("^B after 59 updates")])
    keys_to(page, PROGRESS, 30)
    expect(page.locator(LARGE)).to_have_text([re.compile("^A after 9 updates"), re.compile("^B after 59 updates")])
    page.locator(THUMBS).first.focus()
    page.keyboard.press("Escape")
    expect(page.locator(LARGE)).to_have_count(1)
    # Smoothing: the server's numbers, kept in this browser.
    slider = page.locator("#lrsched_run_smoothing input")
    with page.expect_response(lambda answer: "smoothing=0&" in f"{answer.url}&"):
        slider.fill("0")
    expect(page.locator("#lrsched_run_smoothing")).to_have_text("not smoothed")
    expect(keys_to(page, PICKED, 20)).to_have_attribute("aria-valuetext", re.compile(r"smoothed ([\d.]+), raw \1"))
    open_tab(page)
    expect(slider).to_have_value("0")
    show_run(page, "over")
    expect(page.locator("#lrsched_run_images")).to_be_hidden()


@pytest.mark.usefixtures("runs_of_all_sorts")
@pytest.mark.long
def test_images_that_are_gone_are_said_and_lines_stay_in_their_chart(page: Page) -> None:
    def answer(route: Route) -> None:
        listed = route.fetch().json()
        route.fulfill(json={**listed, "images": listed["images"][:2], "gone": 4})

    page.route("**/images", answer)
    page.route("**/images/1?**", lambda route: route.fulfill(status=404, json={"error": {"message": "gone", "span": None}}))
    open_tab(page)
    show_run(page, "gallery")
    expect(page.locator("#lrsched_run_images_said")).to_have_text("5 images are missing, or their files were replaced.")
    expect(page.locator(THUMBS)).to_have_count(1)
    # Max steps below the steps of the run that is continued.
    page.click("#lrsched_run_continue")
    page.fill("#lrsched_steps", "25")
    chart = page.locator("#lrsched_chart")
    expect(chart.locator(".lrsched-look-past")).to_be_attached()
    expect(chart.locator(".lrsched-labels text").get_by_text("25", exact=True)).to_be_attached()
    chart.focus()
    page.keyboard.press("End")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("^step 2[45]: "))
    edges = """node => [...node.querySelectorAll("svg svg")].map((cut) =>
        [cut.x.baseVal.value + cut.width.baseVal.value <= node.clientWidth, getComputedStyle(cut).overflowX])"""
    assert chart.evaluate(edges) == [[True, "hidden"]]


@pytest.mark.long
def test_a_stretch_of_a_long_run_is_asked_for_with_all_its_points(page: Page) -> None:
    steps = list(range(0, 4_000, 100))
    show(page, run={"step": 4_000, "total_steps": 4_000}, step=steps, grad_norm=[1.0] * len(steps))
    asked = []

    def stretch(route: Route) -> None:
        asked.append(route.request.url)
        since, until = (int(re.search(rf"{name}=(\d+)", route.request.url)[1]) for name in ("since", "until"))  # type: ignore[index]
        inner = list(range(since, until))
        points = {"step": inner, "loss": [0.2] * len(inner), "smooth": [0.2] * len(inner), "actual": [0.1] * len(inner)}
        route.fulfill(content_type="application/json", body=json.dumps({"points": points}))

    page.route("**/lrsched/v1/runs/made?**until=**", stretch)
    with page.expect_request(re.compile("until=")):
        drag(page, RATE, 0.5, 0.6)
    expect(page.locator(WHOLE)).to_be_enabled()
    page.wait_for_timeout(400)
    assert len(asked) == 1
    since, until = (int(part) for part in re.findall(r"=(\d+)", asked[0]))
    all_points = re.compile(rf"^([^L]*L){{{until - since - 1}}}")
    expect(page.locator(f"{PICKED} .lrsched-lines path").nth(1)).to_have_attribute("d", all_points)
    page.click("#lrsched_run_zoom_all")
    expect(page.locator(WHOLE)).to_be_disabled()


@pytest.mark.long
def test_a_run_that_is_being_prepared_again_says_so(page: Page) -> None:
    def resumed(route: Route) -> None:
        run = RUN | {"state": "pending"}
        now = {"what": "preparing", "kind": "embedding", "name": "made", "run": "made", "trial": None, "step": 40}
        now |= {"total_steps": 80, "s_left": None, "is_ending": False}
        listed = {"runs": [run], "active": [], "in_progress": [now], "host": {"name": "", "hooked": True, "why": ""}}
        one = {"run": run, "points": {"step": []}, "events": [], "next_since": 40, "complete": False, "s_per_step": None,
               "s_left": None, "learning": {"said": "", "share": None, "error": None}, "settings": {}}  # fmt: skip
        url, none = route.request.url, {"bundles": [], "best": None}
        route.fulfill(json=none if "/bundles" in url else one if "since=" in url else listed)

    show(page)
    expect(page.locator(STATUS)).to_have_text("Interrupted after 40 of 40 updates. Train again to resume.")
    page.route("**/lrsched/v1/runs**", resumed)
    page.route("**/lrsched/v1/runs/**", resumed)
    expect(page.locator("#lrsched_run_title")).to_have_text("made (embedding, preparing)")
    expect(page.locator(STATUS)).to_have_text("Preparing: the images are read, then it resumes at step 40.")
    expect(run_row(page, "made")).to_contain_text("preparing")
    expect(page.locator("#lrsched_now_far")).to_have_text("resumes at step 40")
    expect(page.locator("#lrsched_run_interrupt")).to_be_enabled()


def test_what_runs_stands_above_everything_and_can_be_ended_there(page: Page) -> None:
    line, name = page.locator("#lrsched_now"), page.locator("#lrsched_now_name")
    refused = {"error": {"message": "the training of 'busy' is not in progress here", "span": None}}
    create_embedding(page, "busy")
    choose_tab(page, "LR Schedule")
    expect(page.locator("#lrsched_chart .lrsched-lines path")).to_be_attached()
    before = page.locator("#lrsched_editor_title").bounding_box()
    expect(line).to_be_hidden()
    choose_tab(page, "Train")
    train(page, "linear(0.005, 1e-5)", 5000)
    choose_tab(page, "LR Schedule")
    expect(name).to_have_text("busy")
    expect(page.locator("#lrsched_now_far")).to_have_text(re.compile(r"^step \d+ of 5,000, .* left$"))
    assert page.locator("#lrsched_editor_title").bounding_box() == before, "nothing moves"
    page.route("**/interrupt", lambda route: route.fulfill(status=409, json=refused))
    page.click("#lrsched_now_interrupt")
    expect(page.locator("#lrsched_now_said")).to_have_text("the training of 'busy' is not in progress here")
    page.click("#lrsched_now_show")
    expect(line).to_be_hidden()
    expect(page.locator(STATUS)).to_have_text(re.compile(r"^Running: step \d+ of 5,000, .* left\.$"))
    page.click("#lrsched_run_interrupt")
    expect(page.locator("#lrsched_run_interrupt_said")).to_contain_text("Not interrupted: the training of 'busy' is not")
    page.unroute("**/interrupt")
    page.evaluate("scrollTo(0, 0)")
    expect(line).to_be_visible()
    page.click("#lrsched_now_interrupt")
    expect(run_row(page, "busy")).to_contain_text("interrupted")
    expect(page.locator(STATUS)).to_have_text(re.compile(r"^Interrupted after \d+ of 5,000 updates\. Train again to resume\.$"))
    expect(line).to_be_hidden()
    expect(page.locator("#lrsched_run_interrupt")).to_be_hidden()
