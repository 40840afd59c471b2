"""The steps in which runs are found and compared in the tab. They need the tab alone, so that they serve any host's page."""

from __future__ import annotations

import re
from pathlib import Path

from browser_steps import run_row
from playwright.sync_api import Locator, Page, expect

ROWS = "#lrsched_runs [role=option]"
LINES = "#lrsched_compared_chart path.lrsched-line"
RANKED = "#lrsched_compared_outcomes tbody tr"
SETTINGS = "#lrsched_compared_settings tbody tr"
FIGURES = "#lrsched_compared_image_row figure"


def find(page: Page, words: str, *, kind: str = "", state: str = "") -> None:
    """Searches the list of runs and filters it; "" is any."""
    page.fill("#lrsched_runs_search", words)
    page.select_option("#lrsched_runs_kind", kind)
    page.select_option("#lrsched_runs_state", state)


def open_first(page: Page) -> None:
    """From the search, with the keys, into the first run that was found."""
    page.locator("#lrsched_runs_search").press("ArrowDown")
    expect(page.locator(ROWS).first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(ROWS).first).to_have_attribute("aria-current", "true")


def call_it(page: Page, title: str, note: str) -> None:
    """Gives the run that is open a name and a note."""
    page.click("#lrsched_run_label_open")
    page.fill("#lrsched_run_label_title", title)
    page.fill("#lrsched_run_label_note", note)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#lrsched_run_label_title")).to_be_hidden()


def tick(page: Page, *names: str) -> None:
    for name in names:
        run_row(page, name).locator(".lrsched-tick").click()
        expect(run_row(page, name)).to_have_attribute("aria-selected", "true")


def compare(page: Page, count: int) -> None:
    """Opens the comparison of the ticked runs, `count` of them, and waits for its lines."""
    page.get_by_role("button", name=f"Compare {count}", exact=True).click()
    expect(page.locator("#lrsched_compared_title")).to_have_text(f"{count} runs compared")
    expect(page.locator(LINES).first).to_have_attribute("d", re.compile("^M.{10,}"))


def sort_by(page: Page, field: str, direction: str) -> None:
    """Sorts the table of what came out by a column, by the field's name in the answers of the server."""
    head = page.locator(f"#lrsched_compared_outcomes th[data-field={field}]")
    for _ in range(2):
        if head.get_attribute("aria-sort") != direction:
            head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", direction)


def ranking(page: Page) -> list[str]:
    """The names of the runs from the first row to the last."""
    return page.locator(f"{RANKED} th .lrsched-code").all_inner_texts()


def best_in(page: Page, field: str) -> list[str]:
    """The runs whose value is marked as the best of a column."""
    marked = page.locator(RANKED, has=page.locator(f"td[data-field={field}] .lrsched-state"))
    return marked.locator("th .lrsched-code").all_inner_texts()


def cell(page: Page, name: str, field: str) -> Locator:
    row = page.locator(RANKED, has=page.get_by_role("rowheader").get_by_text(name, exact=True))
    return row.locator(f"td[data-field={field}]")


def images_at(page: Page, key: str) -> list[str]:
    """Moves the slider over the images with a key; what stands below each of them."""
    page.locator("#lrsched_compared_image_step").press(key)
    return page.locator(f"{FIGURES} figcaption").all_inner_texts()


def exported(page: Page, kind: str, target: Path) -> Path:
    """Saves the comparison as csv, curves, png or html."""
    page.click("#lrsched_compared_export")
    with page.expect_download() as download:
        page.locator(f"#lrsched_compared_export_menu [data-format={kind}]").click()
    download.value.save_as(target)
    expect(page.locator("#lrsched_compared_said")).to_contain_text("Saved")
    return target
