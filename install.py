"""Run by the WebUI at its start. There is nothing to install: this says what is missing, if anything is."""

import importlib.util
import sys

NEEDED = ("torch", "numpy", "gradio", "fastapi")


def missing() -> list[str]:
    """What this WebUI lacks, each as a sentence."""
    found = [f"the package {name} is not installed" for name in NEEDED if importlib.util.find_spec(name) is None]
    if sys.version_info < (3, 10):  # noqa: UP036 an older WebUI may run this file
        found.append(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    return found


for sentence in missing():
    print(f"LR Schedule: {sentence}; the WebUI brings it along, so its own installation looks incomplete")
