"""What the browser tests do again and again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from page_state import STARTED
from playwright.sync_api import Error, Locator, Page, expect

LINE = "#lrsched_chart .lrsched-lines path"
OFFER = "#lrsched_resume_embedding"
OWN_LINE = f"{LINE}.lrsched-look-0"


def choose_tab(page: Page, name: str) -> None:
    page.locator("#tabs > .tab-nav button").get_by_text(name, exact=True).click()


def open_tab(page: Page, path: str = "/") -> None:
    """Opens the page at the tab "LR Schedule" and waits for its chart."""
    page.goto(path)
    choose_tab(page, "LR Schedule")
    expect(page.locator(OWN_LINE)).to_have_attribute("d", re.compile("^M.{40,}"))


def write(page: Page, text: str) -> None:
    """Types a schedule and waits until the server has answered to it."""
    with page.expect_response(lambda answer: "/preview" in answer.url and f"{text!r}"[1:-1] in (answer.request.post_data or "")):
        page.fill("#lrsched_text", text)


def wait_until(page: Page, is_so: Callable[[], Any]) -> None:
    """Waits up to 30 s for a condition in the test's own state, such as that a held request has arrived."""
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "waited in vain for 30 s"
        page.wait_for_timeout(10)


def wait_for_frames(page: Page) -> None:
    """Waits until the page has drawn its next frame."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def create_embedding(page: Page, name: str) -> None:
    page.goto("/")
    page.wait_for_function(STARTED)  # gradio shows a button before it hears a click, longer than a page takes that is cached
    page.fill("#train_new_embedding_name textarea", name)
    page.click("#train_create_embedding")
    expect(page.locator("#train_embedding input")).to_have_value(name)


def train(page: Page, rate: str, steps: int) -> None:
    """Starts a training of the chosen embedding; does not wait for its end."""
    page.fill("#train_embedding_learn_rate textarea", rate)
    page.fill("#train_steps input", str(steps))
    page.click("#train_train_embedding")


def choose(page: Page, field: Locator, value: str) -> None:
    """Chooses from one of gradio's drop-downs; its choices come a moment after the page, and an open list does not take them in."""
    option = page.locator("ul.options li").filter(has_text=re.compile(rf"\b{value}\s*$"))
    for _ in range(10):
        field.click()
        try:
            option.wait_for(timeout=3000)
            break
        except Error:
            field.blur()
    option.click()


def run_row(page: Page, name: str) -> Locator:
    """The button of a run in the tab's list."""
    return page.locator("#lrsched_runs .lrsched-run", has=page.locator(".lrsched-run-name").get_by_text(name, exact=True))


def show_run(page: Page, name: str) -> None:
    """Chooses a run in the tab's list."""
    run_row(page, name).click()
    expect(page.locator("#lrsched_run_title")).to_contain_text(f"{name} (")
