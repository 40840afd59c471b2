"""Which chromium the browser tests drive, and its arguments."""

from __future__ import annotations

import shutil

COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""In order of preference. The headless shell has no browser UI and needs about two thirds of the CPU time."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find() -> str | None:
    """The path of the first command that is installed."""
    return next((path for command in COMMANDS if (path := shutil.which(command))), None)
