"""What the tests do on the page of a WebUI, as a hand would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from page_state import LOADED_OR_ABSENT
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect
from webui_api import SIDE, Api

WAIT_MS = 60_000
OURS = "lrsched"
LINE = "#lrsched_chart .lrsched-lines path.lrsched-look-0"


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """The WebUI's page with empty storage; an error of ours on it fails the test. Nothing is fetched from elsewhere."""
    origin = "/".join(url.split("/")[:3])
    with browser.new_context(viewport={"width": 1400, "height": 1000}, base_url=origin) as made:
        made.route(lambda asked: not asked.startswith((origin, "data:", "blob:")), lambda route: route.abort())
        page = made.new_page()
        page.set_default_timeout(WAIT_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
        page.on("console", lambda message: errors.append(described(message)) if message.type == "error" else None)
        yield page
    ours = [error for error in errors if OURS in error]
    assert ours == [], ours


def described(message: ConsoleMessage) -> str:
    return f"{message.location.get('url')}: {message.text}"


def open_page(page: Page, path: str = "/") -> None:
    """Opens the WebUI and waits until its scripts have run."""
    page.goto(path, wait_until="domcontentloaded")
    wait_for_scripts(page)


def wait_for_scripts(page: Page) -> None:
    expect(page.locator("#tabs > .tab-nav button").first).to_be_visible()
    page.wait_for_function(LOADED_OR_ABSENT)


def choose_tab(page: Page, name: str) -> None:
    page.locator("#tabs > .tab-nav").get_by_role("button", name=name, exact=True).click()


def choose_train_tab(page: Page, name: str) -> None:
    choose_tab(page, "Train")
    page.locator("#train_tabs > .tab-nav").get_by_role("button", name=name, exact=True).click()


def open_ours(page: Page) -> None:
    """The tab "LR Schedule" with its chart drawn."""
    choose_tab(page, "LR Schedule")
    expect(page.locator(LINE)).to_have_attribute("d", re.compile("^M.{40,}"))


def create(page: Page, kind: str, name: str) -> None:
    """Creates it on the page; the drop-down of the Train tab then has it."""
    choose_train_tab(page, f"Create {kind}")
    page.fill(f"#train_new_{kind}_name textarea", name)
    if kind == "hypernetwork":
        page.fill("#train_new_hypernetwork_layer_structure textarea", "1, 1")
    page.click(f"#train_create_{kind}")
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile(rf"^Created: .*{name}|^Created: None"))


def fill_in(page: Page, api: Api, kind: str, name: str, rate: str, steps: int) -> None:
    """The fields of a training."""
    choose_train_tab(page, "Train")
    choose(page, page.locator(f"#train_{kind} input"), name)
    if kind == "hypernetwork":
        choose(page, page.locator("#train_template_file input"), "hypernetwork.txt")
    page.fill(f"#train_{kind}_learn_rate textarea", rate)
    page.fill("#train_dataset_directory textarea", str(api.images))
    page.fill("#train_log_directory textarea", str(api.logs))
    for field, number in (("steps", steps), ("create_image_every", 0), ("save_embedding_every", 0)):
        page.fill(f"#train_{field} input", str(number))
    for field in ("training_width", "training_height"):
        page.fill(f"#train_{field} input[type=number]", str(SIDE))
        page.locator(f"#train_{field} input[type=number]").blur()


def press_train(page: Page, kind: str) -> None:
    page.click(f"#train_train_{kind}")


def expect_said(page: Page, pattern: str) -> None:
    """The text beside the fields, which comes when a training has ended."""
    expect(page.locator("#ti_output textarea")).to_have_value(re.compile(pattern, re.DOTALL), timeout=WAIT_MS * 2)


def choose(page: Page, field: Locator, value: str) -> None:
    """Chooses from one of gradio's drop-downs."""
    field.click()
    page.locator("ul.options li").filter(has_text=re.compile(rf"^\W*{re.escape(value)}\s*$")).click()


def row_of(page: Page, name: str) -> Locator:
    """The run of that name in the list of our tab."""
    return page.locator("#lrsched_runs .lrsched-run", has=page.locator(".lrsched-run-name").get_by_text(name, exact=True))
