"""The pictures of the tab in the README, made from the real page: python docs/make_screenshots.py

Serves the standalone page in a folder of its own, trains an embedding and goes on with it, and takes a picture of the tab
in both themes. Needs chromium and the test extras.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PICTURES = Path(__file__).with_name("pictures")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]
TEXT = "warmup(0.005):20, cosine(0.005, 1e-5)"
WAIT_S = 120.0


def main() -> None:
    """Train, serve, take the pictures."""
    with tempfile.TemporaryDirectory() as root:
        for steps in (200, 300):
            command = ["train", "--kind", "embedding", "--name", "starling", "--lr", TEXT, "--steps", str(steps), "--seed", "1"]
            subprocess.run([sys.executable, "-m", "lib_lrsched", *command, "--out", root], check=True)
        port = free_port()
        server = subprocess.Popen([sys.executable, "-m", "lib_lrsched", "serve", "--out", root, "--port", str(port)])
        try:
            wait_for(f"http://127.0.0.1:{port}/")
            take(f"http://127.0.0.1:{port}/")
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


def take(url: str) -> None:
    """The tab in both themes, with the run opened."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1280, "height": 1200})
            page.goto(f"{url}?__theme={theme}")
            page.locator("#tabs > .tab-nav button", has_text="LR Schedule").click()
            page.locator("#lrsched_text").fill("warmup(0.005):5%, cosine(0.005, 1e-5):70%, linear(1e-6)")
            page.wait_for_timeout(2500)
            page.screenshot(path=PICTURES / f"tab-{theme}.png", full_page=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
