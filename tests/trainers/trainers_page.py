"""What docs/trainers.md tells people to write, cut out of it: commands, tables and code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "trainers.md"
TEXT = "warmup(0.005):5%, cosine(0.005, 1e-5)"
"""The schedule of the page's examples."""


def section(heading: str) -> str:
    return PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def commands(heading: str) -> list[list[str]]:
    """The words of each command, as a shell hands them on."""
    return [shlex.split(line) for block in re.findall(r"^```sh\n(.*?)^```", section(heading), re.DOTALL | re.MULTILINE)
            for line in block.splitlines()]


def tables(heading: str) -> list[dict[str, str]]:
    """Key and value of each row, without the code marks."""
    found = re.findall(r"\| key \| value \|\n\|---\|---\|\n((?:\| .*\n)+)", section(heading))
    return [dict(re.findall(r"^\| `(.*?)` \| `(.*)` \|$", rows, re.MULTILINE)) for rows in found]


def run_code(heading: str, names: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    """Run a section's code with these names, for so many updates where it has a number; say which names there are then."""
    (code,) = re.findall(r"^```py\n(.*?)^```", section(heading), re.DOTALL | re.MULTILINE)
    assert TEXT in code
    exec(code if total is None else code.replace("total_steps=2000", f"total_steps={total}"), names)
    return names
