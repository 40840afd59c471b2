"""The lines of a history file: a header, records as JSON arrays, events as JSON objects.

Text in, values out and back; it opens a file only to read the losses of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite, nan
from pathlib import Path
from typing import NoReturn, TypedDict

from lib_lrsched.errors import RunStateError

from .record_lines import Lines, blocks, read_lines
from .series import COLUMNS, Record

FORMAT = 1

MAX_STEP = 2**53 - 1
"""Steps are held as float64, which counts exactly up to here."""


class Event(TypedDict):
    """Something that happened at a step; time_s is unix time in seconds."""

    step: int
    time_s: float
    event: str
    message: str


TAIL_BYTES = 65_536


def read_losses(path: Path, until: int) -> list[tuple[int, float]]:
    """(step, loss) of the updates before step `until`, exactly as recorded, rising; a run that went back counts once.

    Raises:
        RunStateError: a line that is no record and no event.
    """
    losses: dict[int, float] = {}
    number = 2
    try:
        with path.open("rb") as stream:
            stream.readline()
            for block in blocks(stream):
                lines = read_lines(block.data)
                losses.update(_losses_of(lines, number, path))
                number += lines.total
    except FileNotFoundError:
        return []
    # The newest record of a step is last; what a run that went back has not reached again lies beyond `until`.
    return sorted((step, loss) for step, loss in losses.items() if step < until)


def _losses_of(lines: Lines, number: int, path: Path) -> Iterator[tuple[int, float]]:
    if lines.records is not None:
        yield from zip(lines.records.steps.tolist(), lines.records.losses.tolist(), strict=True)
        return
    for offset, text in enumerate(lines.data.split(b"\n")[:-1]):
        if text.startswith(b"["):
            try:
                record = as_record(decode(text))  # type: ignore[arg-type]
            except (ValueError, RecursionError) as error:
                raise RunStateError(f"line {number + offset}: {error}", path) from error
            yield record.step, record.loss


def last_step(path: Path) -> int:
    """The step of the newest whole record in a history; -1 where there is none. Only the end of the file is read."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
            lines = stream.read().split(b"\n")[:-1]  # what follows the last newline was cut off
    except OSError:
        return -1
    for line in reversed(lines):
        if line.startswith(b"["):
            try:
                return as_record(decode(line)).step  # type: ignore[arg-type]
            except (ValueError, RecursionError):
                return -1
    return -1


def header() -> bytes:
    return json.dumps({"lrsched_history": FORMAT, "columns": COLUMNS}).encode() + b"\n"


def line(entry: Record | Event) -> bytes:
    if isinstance(entry, Record):
        text = json.dumps([None if value is None or not isfinite(value) else value for value in entry])
    else:
        text = json.dumps(entry)
    return text.encode() + b"\n"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"expected JSON, found {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def decode(line: bytes) -> object:
    try:
        return _DECODER.decode(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON, found {line[:40]!r}") from error


def parsed(line: bytes, *, header: bool) -> Record | Event | None:
    """What a line says; None for the header."""
    entry = decode(line)
    if header:
        check_header(entry)
        return None
    if isinstance(entry, list):
        return as_record(entry)
    if isinstance(entry, dict):
        return as_event(entry)
    raise ValueError(f"expected a record or an event, found {entry!r}")


def check_header(entry: object) -> None:
    if not isinstance(entry, dict) or "lrsched_history" not in entry:
        raise ValueError('expected a header {"lrsched_history": 1, ...}')
    if entry != {"lrsched_history": FORMAT, "columns": list(COLUMNS)}:
        raise ValueError(f"expected version {FORMAT} with the columns {', '.join(COLUMNS)}; another version wrote it")


def as_record(entry: list[object]) -> Record:
    if len(entry) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} values in a record, found {len(entry)}")
    step, *values = entry
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        raise ValueError(f"expected a step, a whole number from 0, found {step!r}")
    numbers = [_number(value, name) for value, name in zip(values, COLUMNS[1:], strict=True)]
    return Record(step, *numbers)


def _number(value: object, name: str) -> float:
    if value is None:
        return nan
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"expected a number or null for {name}, found {value!r}")
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
