"""Handles that are pulled beyond the end of an axis: it grows, and what is behind max steps is said."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import wait_for_frames, write
from playwright.sync_api import Locator, Page, expect

TEXT = "#lrsched_text"
CHART = "lrsched.tab.planner.chart"
BEYOND = "#lrsched_beyond"


def handle(page: Page, kind: str, number: int) -> Locator:
    """A handle that can be used: the server has answered to the text as it stands."""
    expect(page.locator("#lrsched_handles")).not_to_have_class(re.compile("waiting"))
    wait_for_frames(page)  # another axis is drawn in the next one
    return page.locator(f"#lrsched_handles .lrsched-handle-{kind}").nth(number)


def value(place: Locator) -> float:
    return float(place.get_attribute("aria-valuenow") or "nan")


def take(page: Page, place: Locator) -> tuple[float, float]:
    """Presses on a handle; a boundary is taken in the upper half of its line, away from the rates."""
    box = place.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + min(box["height"] / 2, 60)
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def edge(page: Page, side: str) -> float:
    """An end of the plot, in pixels of the window."""
    corner = "left" if side == "right" else "top"
    return float(page.evaluate(f"{CHART}.host.getBoundingClientRect().{corner} + {CHART}.frame.{side}"))


def wait_for(page: Page, place: Locator, test: str) -> None:
    page.wait_for_function(f"(node) => {{ const now = Number(node.getAttribute('aria-valuenow')); return {test}; }}",
                           arg=place.element_handle())


@pytest.mark.long  # the arrow keys below extend the axis too
@pytest.mark.parametrize("axis", ["linear", "log"])
@pytest.mark.usefixtures("kept_open")
def test_a_rate_that_is_pulled_over_the_top_takes_the_axis_along(page: Page, axis: str) -> None:
    page.click(f"#lrsched_chart_axis [data-axis={axis}]")
    rate = handle(page, "rate", 0)
    x, _ = take(page, rate)
    top = edge(page, "top")
    page.mouse.move(x, top - 50)
    wait_for(page, rate, "now > 0.02")
    high = page.evaluate(f"{CHART}.frame.valueAt({CHART}.frame.top)")
    assert high > 0.0199, "the axis has gone up with it"
    page.keyboard.press("Escape")
    page.mouse.up()
    assert page.evaluate(f"{CHART}.frame.valueAt({CHART}.frame.top)") < 0.01
    assert value(rate) == 0.005
    take(page, rate)
    page.mouse.move(x, top - 50)
    wait_for(page, rate, "now > 0.02")
    page.mouse.move(x, top + 30)  # back in the plot the axis stays, so that a place on it can be found
    below = value(rate)
    page.wait_for_timeout(200)
    assert value(rate) == below
    page.mouse.up()
    expect(page.locator(TEXT)).to_have_value(f"warmup({below:g}):5%, cosine({below:g}, 1e-5)")


@pytest.mark.long
@pytest.mark.usefixtures("kept_open")
def test_an_end_that_is_pulled_behind_the_last_step_is_shown_and_max_steps_stays(page: Page) -> None:
    write(page, "warmup(0.005):5%, cosine(0.005, 1e-5):80%")
    end = handle(page, "boundary", 1)
    _, y = take(page, end)
    right = edge(page, "right")
    page.mouse.move(right + 5, y)  # the last step is easily hit
    assert value(end) == 2000
    page.mouse.move(right + 60, y)
    wait_for(page, end, "now > 2600")
    expect(page.locator("#lrsched_handles .lrsched-handle-tip")).to_contain_text("max steps is 2,000")
    page.mouse.move(right - 20, y)
    step = int(value(end))
    assert 2000 < step < 10_000
    page.mouse.up()
    expect(page.locator(TEXT)).to_have_value(f"warmup(0.005):5%, cosine(0.005, 1e-5):{step}")
    expect(page.locator("#lrsched_steps")).to_have_value("2000")
    said = f"The schedule runs to step {step:,}, but max steps is 2,000: the rest is not trained."
    expect(page.locator(BEYOND)).to_contain_text(said)
    expect(page.locator("#lrsched_chart .lrsched-mark-label")).to_have_text("max steps 2,000")
    text = page.input_value(TEXT)
    write(page, "cosine(")  # with an error the text goes nowhere
    expect(page.locator(BEYOND)).to_be_hidden()
    write(page, text)
    expect(page.locator(BEYOND)).to_contain_text(said)
    end = handle(page, "boundary", 1)  # it is still there, and can be pulled back
    assert value(end) == step
    page.get_by_role("button", name=f"Set max steps to {step:,}").press("Enter")
    expect(page.locator("#lrsched_steps")).to_have_value(str(step))
    expect(page.locator(BEYOND)).to_be_hidden()
    expect(page.locator("#lrsched_segments tr td:first-child").last).to_have_text(f"{int(step * 0.05 + 0.5)} – {step:,}")
    write(page, "0.005:100000")  # an end that was typed, not dragged, does not squeeze the chart
    expect(page.locator(BEYOND)).to_be_hidden()
    assert page.evaluate(f"{CHART}.range[1]") == step


@pytest.mark.usefixtures("kept_open")
def test_arrow_keys_go_beyond_the_ends_too(page: Page) -> None:
    write(page, "0.005:1990, 0.001")
    end = handle(page, "boundary", 0)
    end.focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
    step = int(value(end))
    assert step > 2010
    page.keyboard.press("Shift+ArrowLeft")
    assert value(end) < step
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(TEXT)).to_have_value(re.compile(r"^0\.005:2\d\d\d, 0\.001$"))
    expect(page.locator(BEYOND)).to_contain_text("The schedule runs to step 2,")
    expect(page.locator("#lrsched_messages")).to_contain_text("after the end of the run at 2000")
    end = handle(page, "boundary", 0)
    expect(end).to_be_focused()
    write(page, "0.005:500, 0.001:1500, 1e-4")
    end = handle(page, "boundary", 0)
    end.focus()
    for _ in range(60):
        page.keyboard.press("Shift+ArrowRight")
    assert value(end) == 1499, "the next written end is a limit"
    page.keyboard.press("Escape")
    rate = handle(page, "rate", 0)
    rate.focus()
    for _ in range(10):
        page.keyboard.press("Shift+ArrowUp")
    assert value(rate) > 0.0065
    assert page.evaluate(f"{CHART}.frame.valueAt({CHART}.frame.top)") > 0.0065
    page.keyboard.press("Escape")
    expect(rate).to_have_attribute("aria-valuenow", "0.005")
