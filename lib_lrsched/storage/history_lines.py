"""The lines of a history file: a header, rows as JSON arrays, events as JSON objects.

Text in, values out and back; it opens a file only to read its header, its last rows or the losses of a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from math import isfinite, nan
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any, NoReturn, TypedDict, TypeVar

from lib_lrsched.errors import RunStateError

from .history_blocks import Lines, blocks, read_lines
from .history_row import COLUMNS, FORMAT, OWN, HistoryRow, Layout

T = TypeVar("T")

MAX_STEP = 2**53 - 1
"""Steps are held as float64, which counts exactly up to here."""


class Event(TypedDict):
    """Something that happened at a step; time_s is unix time in seconds."""

    step: int
    time_s: float
    event: str
    message: str


TAIL_BYTES = 65_536
HEADER_BYTES = 65_536
PACE_ROWS = 50


def read_losses(path: Path, until: int) -> list[tuple[int, float]]:
    """(step, loss) of the updates before step `until`, exactly as recorded, rising; a run that went back counts once.

    Raises:
        RunStateError: a line that is neither a row nor an event.
    """
    return _read(path, until, _losses_of)


def read_rows(path: Path, until: int) -> list[HistoryRow]:
    """The same with all columns; NaN for what is not known.

    Raises:
        RunStateError: as read_losses.
    """
    return [row for _, row in _read(path, until, rows_of)]


def _read(path: Path, until: int, of: Callable[[Lines, int, Path, Layout], Iterator[tuple[int, T]]]) -> list[tuple[int, T]]:
    found: dict[int, T] = {}
    number = 2
    try:
        with path.open("rb") as stream:
            first = stream.readline()
            if not first.endswith(b"\n"):
                return []
            layout = header_of(first, path)
            for block in blocks(stream):
                lines = read_lines(block.data, layout)
                found.update(of(lines, number, path, layout))
                number += lines.total
    except FileNotFoundError:
        return []
    # The newest row of a step is last; what a run that went back has not reached again lies beyond `until`.
    return sorted(((step, value) for step, value in found.items() if step < until), key=itemgetter(0))


def _losses_of(lines: Lines, number: int, path: Path, layout: Layout) -> Iterator[tuple[int, float]]:
    if lines.rows is not None:
        yield from zip(lines.rows.steps.tolist(), lines.rows.losses.tolist(), strict=True)
        return
    for step, row in rows_of(lines, number, path, layout):
        yield step, row.loss


def rows_of(lines: Lines, number: int, path: Path, layout: Layout) -> Iterator[tuple[int, HistoryRow]]:
    """The rows among lines of which the first has this number, each with its step.

    Raises:
        RunStateError: one that is neither a row nor an event.
    """
    for offset, text in enumerate(lines.data.split(b"\n")[:-1]):
        if text.startswith(b"["):
            try:
                row = as_row(decode(text), layout)  # type: ignore[arg-type]
            except (ValueError, RecursionError) as error:
                raise RunStateError(f"line {number + offset}: {error}", path) from error
            yield row.step, row


def last_step(path: Path) -> int:
    """The step of the newest whole row in a history; -1 where there is none. Only both ends of the file are read."""
    newest = next(_newest_rows(path), None)
    return -1 if newest is None else newest.step


def newest_pace(path: Path) -> float | None:
    """Seconds per step, the median over the newest rows, so that a preview among them does not count; None where that is not known.

    Only both ends of the file are read.
    """
    rows = list(islice(_newest_rows(path), PACE_ROWS))
    paces = [(new.time_s - old.time_s) / (new.step - old.step) for new, old in pairwise(rows) if new.step > old.step]
    known = [pace for pace in paces if isfinite(pace) and pace > 0]
    return median(known) if known else None


def _newest_rows(path: Path) -> Iterator[HistoryRow]:
    """The last rows of a file, the newest first, up to one that is damaged."""
    layout = layout_of(path)
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            lines = stream.read().split(b"\n")[:-1]  # what follows the last newline was cut off
    except OSError:
        return
    for line in reversed(lines):
        if line.startswith(b"["):
            try:
                yield as_row(decode(line), layout)  # type: ignore[arg-type]
            except (ValueError, RecursionError):
                return


def layout_of(path: Path) -> Layout:
    """The layout of the rows that a file has or is about to get. A damaged header says nothing; reading the file tells of it."""
    try:
        with path.open("rb") as stream:
            return as_layout(decode(stream.readline(HEADER_BYTES)))
    except (OSError, ValueError, RecursionError):
        return OWN


def header_of(line: bytes, path: Path) -> Layout:
    """The layout that the first line of a file says.

    Raises:
        RunStateError: it is not a header, or one of another format.
    """
    try:
        return as_layout(decode(line))
    except (ValueError, RecursionError) as error:
        raise RunStateError(f"line 1: {error}", path) from error


def header() -> bytes:
    return json.dumps({"lrsched_history": FORMAT, "columns": COLUMNS}).encode() + b"\n"


_AS_JSON: dict[type, Callable[[Any], str]] = {float: float.__repr__, int: int.__repr__}


def line(entry: HistoryRow | Event, layout: Layout = OWN) -> bytes:
    if isinstance(entry, HistoryRow):
        values = layout.values(entry)
        numbers = ["null" if v is None or not isfinite(v) else _AS_JSON.get(type(v), json.dumps)(v) for v in values]
        text = f"[{', '.join(numbers)}]"  # as json.dumps writes all of them, in half the time
    else:
        text = json.dumps(entry)
    return text.encode() + b"\n"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"expected JSON, got {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def decode(line: bytes) -> object:
    try:
        return _DECODER.decode(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON, got {line[:40]!r}") from error


def parsed(line: bytes, layout: Layout) -> HistoryRow | Event:
    """What a line after the header says."""
    entry = decode(line)
    if isinstance(entry, list):
        return as_row(entry, layout)
    if isinstance(entry, dict):
        return as_event(entry)
    raise ValueError(f"expected a row or an event, got {entry!r}")


def as_layout(entry: object) -> Layout:
    if not isinstance(entry, dict) or "lrsched_history" not in entry:
        raise ValueError('expected a header {"lrsched_history": 1, ...}')
    version, columns = entry["lrsched_history"], entry.get("columns")
    if type(version) is not int or version != FORMAT:
        raise ValueError(f"expected version {FORMAT} of a history, got {version!r:.60}; update the extension to read it")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"expected a list of columns, got {columns!r:.60}")
    if "step" not in columns or len(set(columns)) < len(columns):
        raise ValueError(f"expected the column step and no column twice, got {', '.join(columns):.200}")
    return Layout.of(columns)


def as_row(entry: list[object], layout: Layout) -> HistoryRow:
    if len(entry) != len(layout.columns):
        raise ValueError(f"expected {len(layout.columns)} values in a row, got {len(entry)}")
    step, *values = (None if place is None else entry[place] for place in layout.places)
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        raise ValueError(f"expected a step, a whole number from 0, got {step!r}")
    numbers = [_number(value, name) for value, name in zip(values, COLUMNS[1:], strict=True)]
    return HistoryRow(step, *numbers)


def _number(value: object, name: str) -> float:
    if value is None:
        return nan
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"expected a number or null for {name}, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return nan


def as_event(entry: dict[str, object]) -> Event:
    step, event, message = entry.get("step"), entry.get("event"), entry.get("message")
    time_s = _number(entry.get("time_s"), "time_s")
    if type(step) is not int or not isfinite(time_s) or not isinstance(event, str) or not isinstance(message, str):
        raise ValueError("expected an event with step, time_s, event and message")
    return Event(step=step, time_s=time_s, event=event, message=message)
