"""What came out of each run, kept so that a list of hundreds reads no history twice.

    ROOT/summaries.json     by the run's id: numbers, and the state of the files that they were taken from

Nothing is lost with it: what is missing, damaged or of another version is worked out again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .atomic_files import write_whole

NAME = "summaries.json"
FORMAT = 1
"""Another number where the same history gives other numbers than before."""


def read(path: Path) -> dict[str, dict[str, Any]]:
    """By the runs' ids; nothing where nothing can be read."""
    try:
        value: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or value.get("lrsched_summaries") != FORMAT or not isinstance(value.get("runs"), dict):
        return {}
    return {run_id: one for run_id, one in value["runs"].items() if isinstance(one, dict)}


def write(path: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """
    Raises:
        OSError: it is as it was.
    """
    data = json.dumps({"lrsched_summaries": FORMAT, "runs": runs}, allow_nan=False, separators=(",", ":"))
    write_whole(path, data.encode() + b"\n")
