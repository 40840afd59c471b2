"""How the tab looks: both themes, wide and narrow."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from browser_steps import open_tab, write
from playwright.sync_api import Page, expect


@pytest.mark.parametrize(("width", "theme"), [
    (400, "dark"),
    *(pytest.param(*other, marks=pytest.mark.long) for other in ((400, "light"), (1400, "dark"), (1400, "light"))),
])  # fmt: skip
def test_nothing_hangs_over_the_edge_and_both_themes_can_be_read(page: Page, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_tab(page, f"/?__theme={theme}")
    write(page, "0.005, " + "cosine(0.005, 1e-5):100, " * 4 + "1e-3:100")
    page.click("#lrsched_compare_add")
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    outside = """() => [...document.querySelectorAll("#lrsched_page *")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && box.right > innerWidth + 1 && !node.closest(".lrsched-scroll, .lrsched-caret, code");
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(outside) == []
    assert contrast(page, "#lrsched_epochs", "#lrsched_page .lrsched-card") >= 4.5
    assert contrast(page, "#lrsched_send_embedding", "#lrsched_send_embedding") >= 4.5
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")


@pytest.mark.long
def test_no_cell_of_the_segments_is_cut(page: Page) -> None:
    open_tab(page)
    page.fill("#lrsched_pictures", "12")
    page.fill("#lrsched_steps", "120000")
    write(page, "warmup(0.00512345):5%, plateau(0.00512345, factor=0.5, patience=20):50000, cosine(0.00512345, 1.2345e-5)")
    last = page.locator("#lrsched_segments tr").nth(1).locator("td").nth(3)
    expect(last).to_have_text("at most 0.00512345")
    for width in (500, 1000, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        expect(last).to_be_visible()
        page.wait_for_timeout(100)  # laid out
        cut = page.evaluate("""() => {
            const scroll = document.querySelector("#lrsched_segments").closest(".lrsched-scroll");
            const end = scroll.getBoundingClientRect().right;
            const isCut = (one) => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > end + 1;
            return [scroll, ...scroll.querySelectorAll("td, button")].filter(isCut).map((one) => one.outerHTML.slice(0, 90));
        }""")
        assert cut == [], width


def contrast(page: Page, text: str, ground: str) -> float:
    """The WCAG contrast between a text's colour and an element's background."""
    return float(
        page.evaluate(
            """([text, ground]) => {
        const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
        const light = (colour) => {
            paint.fillStyle = colour;
            paint.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((c) => c / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const style = (selector) => getComputedStyle(document.querySelector(selector));
        const pair = [light(style(text).color), light(style(ground).backgroundColor)].sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05);
    }""",
            [text, ground],
        )
    )
