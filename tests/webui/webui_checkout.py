"""Which WebUI the tests of this folder look at, with which Python it runs, and why there may be none."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PROOF = "modules/textual_inversion/textual_inversion.py"


def find_checkout() -> Path:
    """The folder that the environment variable WEBUI_ROOT names, else the WebUI that this extension lies in, else ~/host/webui."""
    if os.environ.get("WEBUI_ROOT"):
        return Path(os.environ["WEBUI_ROOT"]).expanduser().resolve()
    around = REPOSITORY.parents[1]  # WebUI/extensions/this
    return around if (around / PROOF).is_file() else Path.home() / "host" / "webui"


ROOT = find_checkout()


def no_checkout() -> str:
    """Empty where there is a checkout, else what to do."""
    return "" if (ROOT / PROOF).is_file() else f"no WebUI checkout at {ROOT}; set WEBUI_ROOT to one"


@cache
def webui_python() -> Path | None:
    """The checkout's Python: WEBUI_PYTHON, else the virtual environment in it or beside it."""
    if os.environ.get("WEBUI_PYTHON"):
        return Path(os.environ["WEBUI_PYTHON"]).expanduser()
    places = (ROOT / "venv" / "bin" / "python", ROOT.parent / "venv" / "bin" / "python")
    return next((place for place in places if place.is_file()), None)


def why_not() -> str:
    """Why the lane cannot run here; empty where it can."""
    if os.environ.get("LRSCHED_WEBUI") != "1":
        return "starts a WebUI: run `make test-webui WEBUI_ROOT=...`"
    if no_checkout():
        return no_checkout()
    if webui_python() is None:
        return f"no Python at {ROOT}/venv/bin/python or {ROOT.parent}/venv/bin/python; set WEBUI_PYTHON to the WebUI's"
    return ""


def version() -> str:
    """The checkout's commit, or its folder's name: to tell one cached checkpoint from another."""
    asked = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()[:12] or ROOT.name
