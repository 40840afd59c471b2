"""How long a run was trained, from the times in its history: the time between two legs does not count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from .history_blocks import blocks
from .history_lines import layout_of

BEGINS = (b'"event": "leg"', b'"event": "resume"')
"""What is in the lines with which a leg begins; within a message the quotes would be escaped."""

NOTES = b'"event": "note"'
"""A note may be written between two legs, when the history is opened."""


def trained_s(path: Path) -> float:
    """Seconds in which the run was trained, with what was undone of it; 0 where there is no history.

    Only the lines at both ends of each leg are looked at. What cannot be read says nothing.

    Raises:
        OSError: the file cannot be read.
    """
    total, begun = 0.0, None
    place = layout_of(path).place("time_s")
    for first, before in _ends(path):
        ended = _time(before, place)
        if begun is not None and ended is not None:
            total += max(0.0, ended - begun)
        begun = _time(first, place)
    return total


def _ends(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The first line of each leg, and the last one before it; at the end of the file an empty line and the last one."""
    last = b""
    try:
        with path.open("rb") as stream:
            stream.readline()
            for block in blocks(stream):
                start = 0
                for place in _begins(block.data):
                    last = _last_line(block.data[start:place]) or last
                    yield _line_at(block.data, place), last
                    start = place
                last = _last_line(block.data[start:]) or last
    except FileNotFoundError:
        return
    yield b"", last


def _begins(data: bytes) -> list[int]:
    """Where the lines are with which a leg begins."""
    found, place = [], -1
    while (place := data.find(b"{", place + 1)) >= 0:
        is_line = place == 0 or data[place - 1] == ord("\n")
        if is_line and any(word in _line_at(data, place) for word in BEGINS):
            found.append(place)
    return found


def _last_line(data: bytes) -> bytes:
    """The last line that is not a note; empty where there is none."""
    stop = len(data)
    while stop > 0:
        start = data.rfind(b"\n", 0, stop - 1) + 1
        line = data[start:stop]
        if NOTES not in line:
            return line
        stop = start
    return b""


def _line_at(data: bytes, place: int) -> bytes:
    return data[place : data.index(b"\n", place) + 1]


def _time(line: bytes, place: int | None) -> float | None:
    value = _decoded(line)
    time_s: Any = None
    if isinstance(value, dict):
        time_s = value.get("time_s")
    elif isinstance(value, list) and place is not None and place < len(value):
        time_s = value[place]
    return float(time_s) if isinstance(time_s, (int, float)) and isfinite(time_s) else None


def _decoded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
