"""The images of the tab in the README, made from the real page: python docs/make_screenshots.py

Serves the standalone page in a folder of its own, trains on it and takes each state in both themes: the page as it is first
opened, a text with a mistake, a trial that has ended, a running training, a run after it was resumed, a plan beside that run, a
run with preview images, and three runs compared. Needs chromium and the test extras.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).with_name("images")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]
THEMES = ("light", "dark")
COLOURS = 192
NAME = "starling"
TEXT = "warmup(0.005):20, cosine(0.005, 1e-3):500, linear(1e-5)"
TRIED = "warmup(0.1):5%, cosine(0.1, 1e-4)"
MISTAKE = "warmup(0.005):100, cosine(1e-5):50"
PLAN = "warmup(0.005):5%, cosine(0.005, 1e-5):70%, linear(1e-6)"
FIRST_STEPS, SEEN_STEPS, STOP_STEPS, LAST_STEPS = 900, 120, 400, 800
JUDGED, OLDER_RUNS = ("low", "right", "high"), 6
WITH_IMAGES = {"trial", "run", "compare"}
WAIT_S = 120.0
SETTLE_MS = 1500
TALL = {"width": 1280, "height": 1200}


def main() -> None:
    """Serve, train, take the images."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        with served() as url:
            take_training(browser, url)
        with served(make_runs) as url:
            take_each(browser, url, "run", open_judged, ".lrsched-runs")
            take_each(browser, url, "compare", compare_judged, ".lrsched-runs")
        browser.close()


def take_training(browser: Browser, url: str) -> None:
    """From the first visit to a plan beside a run that was resumed."""
    from playwright.sync_api import expect

    take_each(browser, url, "empty", settle)
    take_each(browser, url, "error", lambda page: page.fill("#lrsched_text", MISTAKE), ".lrsched-columns")
    trainer = open_page(browser, url, "light")
    trainer.fill("#train_new_embedding_name textarea", NAME)
    trainer.click("#train_create_embedding")
    expect(trainer.locator("#train_embedding input")).to_have_value(NAME)
    find_rate(trainer)
    take_each(browser, url, "trial", open_trial, "#lrsched_trials_card")
    train(trainer, FIRST_STEPS)
    take_each(browser, url, "training", lambda page: wait_for_step(page, SEEN_STEPS), ".lrsched-runs")
    wait_for_step(trainer, STOP_STEPS)
    choose_tab(trainer, "Train")
    trainer.click("#train_interrupt_training")
    expect_said(trainer, "interrupted")
    train(trainer, LAST_STEPS)
    expect_said(trainer, "finished")
    take_each(browser, url, "resume", continue_run)
    take_each(browser, url, "", lambda page: page.fill("#lrsched_text", PLAN))


@contextmanager
def served(prepare: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """The address of a standalone server over a folder of its own, which `prepare(folder)` may fill before."""
    with tempfile.TemporaryDirectory() as root:
        prepare(root)
        port = free_port()
        command = [sys.executable, "-m", "lib_lrsched", "serve", "--out", root, "--port", str(port)]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # where the progress of the training would go
        try:
            wait_for(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    """Until the page answers."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            urllib.request.urlopen(url)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def open_page(browser: Browser, url: str, theme: str) -> Page:
    """The page in a theme."""
    page = browser.new_page(viewport=TALL)
    page.goto(f"{url}?__theme={theme}")
    return page


def make_runs(root: str) -> None:
    """Three trainings at other rates, with preview images, and some older runs: those of the tests of the comparison."""
    folder = Path(__file__).resolve().parents[1]
    script = folder / "tests" / "browser" / "compared_runs.py"
    subprocess.run([sys.executable, str(script), root, str(OLDER_RUNS)], check=True, env={**os.environ, "PYTHONPATH": str(folder)})


def choose_tab(page: Page, name: str) -> None:
    """One of the two tabs."""
    page.locator("#tabs > .tab-nav").get_by_role("button", name=name, exact=True).click()


def take_each(browser: Browser, url: str, state: str, arrange: Callable[[Page], None], part: str = "") -> None:
    """An image of the tab, or of a part of it, in each theme, after `arrange(page)`."""
    for theme in THEMES:
        page = open_page(browser, url, theme)
        choose_tab(page, "LR Schedule")
        settle(page)
        arrange(page)
        settle(page)
        show_all(page)
        data = page.locator(part).screenshot() if part else page.screenshot(full_page=True)
        save(data, IMAGES / f"{'-'.join(filter(None, ('tab', state, theme)))}.png", is_of_images=state in WITH_IMAGES)
        page.close()


def show_all(page: Page) -> None:
    """A window as tall as the page: rows of the runs' list that lie outside of it are not drawn."""
    page.set_viewport_size({**TALL, "height": page.evaluate("Math.max(innerHeight, document.documentElement.scrollHeight)")})
    settle(page)


def settle(page: Page) -> None:
    """Time for charts, rows and the answers to what was typed."""
    page.wait_for_timeout(SETTLE_MS)


def save(data: bytes, path: Path, *, is_of_images: bool) -> None:
    """The image with a palette, which halves its size and more; a small red mark keeps its colour, or drawn images theirs."""
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    method = Image.Quantize.MEDIANCUT if is_of_images else Image.Quantize.MAXCOVERAGE
    image.quantize(COLOURS, method=method, dither=Image.Dither.NONE).save(path, optimize=True)


def train(page: Page, steps: int) -> None:
    """Starts a training from the Train tab."""
    choose_tab(page, "Train")
    page.fill("#train_embedding_learn_rate textarea", TEXT)
    page.fill("#train_steps input", str(steps))
    page.click("#train_train_embedding")


def find_rate(page: Page) -> None:
    """Tries rates from the Train tab, with an image of each."""
    from playwright.sync_api import expect

    offer = page.locator("#lrsched_trial_embedding")
    page.fill("#train_embedding_learn_rate textarea", TRIED)
    offer.get_by_role("button", name="Find the rate").click()
    offer.locator("summary").click()
    offer.get_by_label("an image of each candidate").check()
    offer.get_by_label("Prompt", exact=True).fill(f"a picture of {NAME}")
    offer.get_by_role("button", name="Start").click()
    expect(offer).to_contain_text("Suggested for")


def open_trial(page: Page) -> None:
    """The newest trial of the list."""
    page.locator("#lrsched_trials button").first.click()
    page.mouse.move(0, 0)


def open_judged(page: Page) -> None:
    """One of the three runs."""
    page.locator(".lrsched-run", has=page.get_by_text(JUDGED[1], exact=True)).click()
    settle(page)


def compare_judged(page: Page) -> None:
    """All three beside each other."""
    for name in JUDGED:
        page.locator(".lrsched-run", has=page.get_by_text(name, exact=True)).locator(".lrsched-tick").click()
    page.get_by_role("button", name=f"Compare {len(JUDGED)}", exact=True).click()
    page.mouse.move(0, 0)


def wait_for_step(page: Page, step: int) -> None:
    """Until the newest run, in the tab, has made so many updates."""
    choose_tab(page, "LR Schedule")
    reached = "(step) => parseInt((document.querySelector('#lrsched_run_numbers')?.innerText ?? '').replace(/\\D+/, '')) >= step"
    page.wait_for_function(reached, arg=step, timeout=WAIT_S * 1000)


def expect_said(page: Page, word: str) -> None:
    """The Train tab says how the training ended."""
    from playwright.sync_api import expect

    expect(page.locator("#ti_output textarea")).to_have_value(re.compile(f"^Training {word}"))


def continue_run(page: Page) -> None:
    """The run's continuation in the editor, with a changed max steps."""
    page.click("#lrsched_run_continue")
    page.fill("#lrsched_steps", str(LAST_STEPS + 400))
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
