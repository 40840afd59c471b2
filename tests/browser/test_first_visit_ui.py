"""The first visit: what the tab is for, a preset to start from, help, and Train; all by keyboard."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import OWN_LINE, open_tab
from playwright.sync_api import Page, expect


def test_a_first_visit_by_keyboard(page: Page) -> None:
    open_tab(page)
    expect(page.locator("#lrsched_hello")).to_contain_text("see it before it runs")
    start, menu, text = page.locator("#lrsched_start_from"), page.locator("#lrsched_start_from_menu"), page.locator("#lrsched_text")
    expect(start).to_be_enabled()
    before = page.locator(OWN_LINE).get_attribute("d")
    start.press("Enter")
    expect(menu.locator("[role=menuitem]").first).to_be_focused()
    assert all(re.search(r"\w+.*\.", words) for words in menu.locator("span").all_inner_texts()), "each has its note"
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.dataset.format")
    page.keyboard.press("Enter")
    expect(page.locator("#lrsched_preset")).to_have_value(chosen)
    expect(page.locator(OWN_LINE)).not_to_have_attribute("d", before or "")
    expect(text).to_be_focused()
    assert page.input_value("#lrsched_text") != ""
    help_button, words = page.locator("#lrsched_help_open"), page.locator("#lrsched_help")
    help_button.press("Enter")
    expect(words).to_contain_text("Nothing is trained.")
    expect(help_button).to_have_attribute("aria-expanded", "true")
    help_button.press("Enter")
    expect(words).to_be_hidden()
    text.focus()
    page.keyboard.press("Control+z")
    expect(text).to_be_focused()
