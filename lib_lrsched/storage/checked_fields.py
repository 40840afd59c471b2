"""The fields of what comes back from a JSON object: what each must be, in words and as a test.

A dataclass of stored fields says so beside each field, and nowhere else:

    step: int = field(metadata=stored(COUNT))               every file has it
    floor: int = field(default=0, metadata=added(COUNT))    files of an earlier version lack it; they mean its default
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lib_lrsched.errors import RunStateError

T = TypeVar("T")


class OtherVersionError(RunStateError):
    """A file that another version of the extension wrote: not damaged, only not for us to read."""


class Rule(NamedTuple):
    """What a field must be: in words, and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def one_of(words: tuple[str, ...]) -> Rule:
    """The rule of a field that is one of these words."""
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


def _whole(value: object, least: int) -> bool:
    return type(value) is int and least <= value < 2**63


def _seconds(value: object) -> bool:
    # Some 30,000 years: beyond that a date cannot be made of it.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _scalar(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value))


TEXT = Rule("a text", lambda value: isinstance(value, str))
BOOL = Rule("true or false", lambda value: isinstance(value, bool))
COUNT = Rule("a whole number from 0", lambda value: _whole(value, 0))
COUNT_OR_NULL = Rule("a whole number from 0, or null", lambda value: value is None or _whole(value, 0))
POSITIVE = Rule("a whole number from 1", lambda value: _whole(value, 1))
POSITIVE_OR_NULL = Rule("a whole number from 1, or null", lambda value: value is None or _whole(value, 1))
FACTOR = Rule("a number above 0, at most 1", lambda value: type(value) in (int, float) and 0 < value <= 1)
SECONDS = Rule("a time in seconds from 0", _seconds)
LIST = Rule("a list", lambda value: isinstance(value, list))
TEXTS = Rule("a list of texts", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value))
SCALARS = Rule(
    "an object of texts, numbers, booleans and nulls",
    lambda value: isinstance(value, dict) and all(map(_scalar, value.values())),
)


def stored(rule: Rule) -> Mapping[str, Any]:
    """Metadata of a field that every file has."""
    return {"rule": rule, "added": False}


def added(rule: Rule) -> Mapping[str, Any]:
    """Metadata of a field that files of an earlier version lack. It has a default: what they would have said."""
    return {"rule": rule, "added": True}


@cache
def rules_of(cls: type) -> dict[str, Rule]:
    """The rules of a dataclass of stored fields."""
    return {one.name: one.metadata["rule"] for one in fields(cls)}


@cache
def defaults_of(cls: type) -> dict[str, Any]:
    """The fields of a dataclass that files of an earlier version lack, with what they would have said."""
    return {one.name: one.default if one.default_factory is MISSING else one.default_factory()
            for one in fields(cls) if one.metadata["added"]}


def checked(value: object, rules: Mapping[str, Rule], path: Path | None, where: str = "") -> dict[str, Any]:
    """The fields of a JSON object that `rules` names, each as it should be; others are left out.

    Raises:
        RunStateError: names the file and the first field that is missing or wrong.
    """
    if not isinstance(value, dict):
        raise RunStateError(f"{where.rstrip('.') or 'the file'}: expected an object, got {_short(value)}", path)
    for name, rule in rules.items():
        if name not in value:
            raise RunStateError(f"{where}{name}: expected {rule.expected}, but the field is missing", path)
        if not rule.holds(value[name]):
            raise RunStateError(f"{where}{name}: expected {rule.expected}, got {_short(value[name])}", path)
    return {name: value[name] for name in rules}


def checked_fields(cls: type, value: object, path: Path | None, where: str = "") -> dict[str, Any]:
    """The fields of a dataclass of stored fields, from a JSON object.

    Raises:
        RunStateError: as ``checked``.
    """
    return checked(defaults_of(cls) | value if isinstance(value, dict) else value, rules_of(cls), path, where)


def load(cls: type[T], value: object, path: Path | None, where: str = "") -> T:
    """A dataclass of stored fields from a JSON object; ``path`` and ``where`` are for the error's text only.

    Raises:
        RunStateError: as ``checked``.
    """
    return cls(**checked_fields(cls, value, path, where))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
