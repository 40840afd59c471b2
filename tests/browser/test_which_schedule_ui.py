"""Which schedule? A few questions, and a text."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import open_tab
from playwright.sync_api import Page, expect

from lib_lrsched import plan


def test_two_answers_are_written_as_a_text_and_no_rate_opens_the_search(page: Page) -> None:
    open_tab(page)
    page.get_by_text("Which schedule?", exact=True).click()
    updates, rate, use = (page.locator(f"#lrsched_which_{name}") for name in ("updates", "rate", "use"))
    expect(updates).to_have_value(page.input_value("#lrsched_steps"))
    updates.fill("400")
    rate.fill("0.02")
    use.click()
    written = page.input_value("#lrsched_text")
    assert written == "warmup(0.02):5%, cosine(0.02, 0.0002)"
    assert page.input_value("#lrsched_steps") == "400"
    assert max(plan(written, total_steps=400).values(range(400))) == pytest.approx(0.02, rel=1e-3)
    page.focus("#lrsched_text")
    page.keyboard.press("Control+z")
    expect(page.locator("#lrsched_text")).not_to_have_value(written)

    updates.fill("")
    rate.fill("")
    page.select_option("#lrsched_which_kind", "hypernetwork")
    expect(use).to_have_text("Write it and find the rate")
    use.click()
    expect(page.locator("#lrsched_text")).to_have_value("0.0001")
    expect(page.locator("#lrsched_trial_find")).to_have_attribute("aria-expanded", "true")


def test_error_an_answer_that_is_none_is_said_at_the_questions(page: Page) -> None:
    open_tab(page)
    page.get_by_text("Which schedule?", exact=True).click()
    said_of = {"updates": "Updates: a whole number from 1", "rate": "Rate: a number above 0"}
    for name, typed in (("updates", "some"), ("updates", "0"), ("rate", "-1"), ("rate", "1e999")):
        page.fill("#lrsched_which_updates", "300")
        page.fill("#lrsched_which_rate", "0.005")
        expect(page.locator("#lrsched_which_use")).to_be_enabled()
        page.fill(f"#lrsched_which_{name}", typed)
        expect(page.locator("#lrsched_which_why")).to_contain_text(said_of[name])
        expect(page.locator("#lrsched_which_use")).to_be_disabled()
