"""When the extension's page is ready. The practice host's tests and those against a real WebUI wait for the same thing."""

from __future__ import annotations

STARTED = "globalThis.lrsched?.tab && globalThis.lrsched.helpers"
"""For `wait_for_function`: the scripts have been loaded and have found both our tab and the Train tab."""

LOADED_OR_ABSENT = f"""!document.querySelector("script[src*='lrsched.mjs']") || ({STARTED})"""
"""The same, or a WebUI in which the extension is disabled. A module runs late: that `lrsched` is undefined proves neither."""
