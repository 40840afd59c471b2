"""The first visit: what the tab is for, a preset to start from, help, and Train; all by keyboard."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import journey_steps as steps
from browser_steps import open_tab
from playwright.sync_api import Page, expect


def test_a_first_visit_by_keyboard(page: Page) -> None:
    open_tab(page)
    steps.start_from(page)
    steps.read_help(page)
    page.locator("#lrsched_text").focus()
    page.keyboard.press("Control+z")
    expect(page.locator("#lrsched_text")).to_be_focused()
    stops = steps.tab_through(page)
    assert set(stops) >= steps.STOPS
