"""What every importer gives back, how it refuses, and how it reads values that may be anything at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from math import gcd, isfinite
from typing import Any, NamedTuple, NoReturn, TypeGuard

from lib_lrsched.errors import printable

from .export_result import short
from .registry import SETTINGS_FILES

MOST_STEPS = 2**62
"""Plans are below this."""

MOST_QUOTED = 60

MOST_DIGITS = 40

PLAN_LR = "lib_lrsched.PlanLR"
"""How trainers are told of our own scheduler."""


class Imported(NamedTuple):
    """A schedule text, the run's steps where the format has them, and what was left out or has to be known."""

    text: str
    total_steps: int | None
    note: str


class ImportFormatError(ValueError):
    """A text that is not of its format, or that says what no schedule text says exactly."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def brief(text: str) -> str:
    """A part of the given text as a message quotes it: on one line, and not longer than a line."""
    return printable(text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}...")


def shown(value: Any) -> str:
    """A value of the given text for a message. A list or an object is named only: it may be nested beyond what repr() can do."""
    if isinstance(value, dict):
        return "an object"
    if type(value) is int and not is_number(value):
        return "a number with hundreds of digits"  # for thousands of them repr() raises
    return "a list" if isinstance(value, (list, tuple)) else brief(repr(value))


def read_json(text: str, what: str) -> dict[str, Any]:
    """A JSON object of which ``what`` is expected.

    Raises:
        ImportFormatError: it is no JSON, no object, or nested deeper than Python reads.
    """
    try:
        config = json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise ImportFormatError(f"not valid JSON: {error}") from None
    except RecursionError:
        raise ImportFormatError("not a configuration: its brackets are nested too deeply") from None
    if not isinstance(config, dict):
        raise ImportFormatError(f"expected a JSON object with {what}")
    return config


def refuse_another(config: Mapping[str, Any], own: str) -> None:
    """Raise ImportFormatError where these are the settings of another program than the one of the format ``own``."""
    if any(key in config for key in SETTINGS_FILES[own].keys):
        return
    for name, one in sorted(SETTINGS_FILES.items(), key=lambda entry: entry[1].are_general):
        found = next((key for key in one.keys if key in config), None)
        if found is not None:
            raise ImportFormatError(f"these are settings of {one.program}, as {found} shows: read them as {name}")


def _whole(digits: str) -> int:
    """Python refuses to read a number of thousands of digits, with an error of its own."""
    if len(digits) > MOST_DIGITS:
        raise ImportFormatError(f"a whole number has at most {MOST_DIGITS} characters, this one has {len(digits)}")
    return int(digits)


class Params:
    """A scheduler's parameters by name, each read once, in its range."""

    def __init__(self, name: str, given: Any, base: float | None, ignored: Collection[str] = ()) -> None:
        if not isinstance(given, Mapping):
            raise ImportFormatError(f"{name}: params: expected an object, got {shown(given)}")
        self.name, self._given, self._read, self.base = name, given, set(ignored), base

    def base_rate(self) -> float:
        """The optimizer's rate, where the parameters say nothing without it."""
        if self.base is None:
            self.fail("it starts from the optimizer's rate; give that as the base rate")
        return self.base

    def rate(self, name: str, default: float | None = None) -> float:
        value = self.value(name, default)
        if not is_number(value) or value < 0:
            self.fail(f"{name}: expected a finite number, 0 or more, got {shown(value)}")
        return float(value)

    def whole(self, name: str, default: int | None = None, low: int = 1) -> int:
        value = self.value(name, default)
        if type(value) is not int or not low <= value < MOST_STEPS:
            self.fail(f"{name}: expected a whole number from {low}, got {shown(value)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.value(name, default)
        if type(value) is not bool:
            self.fail(f"{name}: expected true or false, got {shown(value)}")
        return value

    def word(self, name: str, default: str, words: Collection[str]) -> str:
        value = self.value(name, default)
        if type(value) is not str or value not in words:
            self.fail(f"{name}: expected {' or '.join(words)}, got {shown(value)}")
        return value

    def value(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        value = self._given.get(name, default)
        if value is None:
            self.fail(f"{name} is missing")
        if isinstance(value, list):
            self.fail(f"{name} has a rate for each parameter group; a schedule has one")
        return value

    def wholes(self, name: str) -> list[int]:
        """A list of steps."""
        self._read.add(name)
        values = self._given.get(name)
        if not isinstance(values, (list, tuple)) or not all(type(v) is int and 1 <= v < MOST_STEPS for v in values):
            self.fail(f"{name}: expected a list of whole numbers from 1, got {shown(values)}")
        return list(values)

    def has(self, name: str) -> bool:
        return self._given.get(name) is not None

    def fail(self, message: str) -> NoReturn:
        raise ImportFormatError(f"{self.name}: {message}")

    def check_all_read(self) -> None:
        unknown = sorted(set(self._given) - self._read)
        if unknown:
            self.fail(f"it has no parameter {brief(repr(unknown[0]))}")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether this is a number that a float holds. An int may have hundreds of digits, and isfinite() raises for such a one."""
    if type(value) is int:
        return abs(value) < 10**300
    return type(value) is float and isfinite(value)


def waves(high: float, low: float, length: int, steps: int | None) -> str:
    """Cosines of ``length`` steps from ``high`` to ``low`` and back, for ``steps`` steps or for longer than anybody trains.

    >>> waves(0.005, 0, 100, 250)
    'repeat(2, cosine(0.005, 0):100, cosine(0, 0.005):100)'
    """
    fall, rise = f"cosine({short(high)}, {short(low)}):{length}", f"cosine({short(low)}, {short(high)}):{length}"
    passes = 1_000_000 if steps is None else -(-steps // (2 * length))
    return f"repeat({passes}, {fall}, {rise})"


def lost_restart(cycles: float, steps: int) -> int | None:
    """The first restart of a cosine over ``steps`` steps that the arithmetic of trainers rounds to the end of a cycle, if any.

    They take the fraction of ``cycles * (step / steps)``, which comes out just below 1 where it should be 0.
    """
    apart = steps // gcd(int(cycles), steps)  # of restarts that fall on a step
    return next((start for start in range(apart, steps, apart) if cycles * (start / steps) % 1.0 > 0.5), None)


def plan_lr(arguments: Mapping[str, Any]) -> tuple[str, int | None]:
    """The text that PlanLR was given, and its steps.

    Raises:
        ImportFormatError: it was given something else than one text.
    """
    text, total = arguments.get("plan_or_text"), arguments.get("total_steps")
    if not isinstance(text, str):
        raise ImportFormatError("PlanLR has no single text as plan_or_text; what stands in its file can be pasted into the editor")
    return text, total if type(total) is int and 0 < total < MOST_STEPS else None
