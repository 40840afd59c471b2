"""The words of an sd-scripts command line, as a shell gives them, or as its TOML file would be written in one."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
from collections.abc import Mapping
from typing import Any

from .import_result import ImportFormatError

EXAMPLE = "--learning_rate=0.005 --lr_scheduler=cosine --max_train_steps=2000"

TOO_LONG = "this TOML has a number with thousands of digits; expected one that a float holds"

CONTINUED = re.compile(r"[ \t]+[\\^`][ \t]*\r?\n")
"""A line that continues in the next one, in a Unix shell, in cmd.exe or in PowerShell."""

TOML_LINE = re.compile(r"\s*(\[{1,2}[^\[\]=]+\]{1,2}\s*(#.*)?|[\w.\"'-]+\s*=.*)")


def is_toml(text: str) -> bool:
    """Whether the first line that says something is a section or ``name = value``, and no command."""
    lines = (line for line in CONTINUED.sub(" ", text).splitlines() if line.strip() and not line.lstrip().startswith("#"))
    first = next(lines, "")
    return TOML_LINE.fullmatch(first) is not None and not first.lstrip().startswith("-") and re.search(r"\s--\w", first) is None


def words_of_command(text: str) -> list[str]:
    try:
        return shlex.split(CONTINUED.sub(" ", text), comments=True)
    except ValueError as error:
        raise ImportFormatError(f"not a valid command line: {error}") from None


def values_of_toml(text: str) -> dict[str, Any]:
    """Its sections count for nothing there: every name in them is that of an argument.

    Raises:
        ImportFormatError: it is no TOML, or this Python cannot read any.
    """
    reader = _reader()
    try:
        values = reader.loads(text)
    except reader.TOMLDecodeError as error:
        raise ImportFormatError(f"not valid TOML: {error}") from None
    except ValueError:  # of int()
        raise ImportFormatError(TOO_LONG) from None
    except RecursionError:
        raise ImportFormatError("not valid TOML: its brackets are nested too deeply") from None
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def words_of_values(values: Mapping[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    if isinstance(value, list):
        return [f"--{name}", *(_text(one) for one in value if isinstance(one, (str, int, float)))]
    return [] if isinstance(value, dict) else [f"--{name}={_text(value)}"]


def _text(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # a whole number that was written in another base
        raise ImportFormatError(TOO_LONG) from None


READERS = ("tomllib", "tomli", "pip._vendor.tomli")


def _reader() -> Any:
    """Python has its own from 3.11 on. Before, tomli is the same, where a host has it, or in the pip of its environment."""
    for name in READERS:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise ImportFormatError("TOML is read with Python 3.11 or later, or where the package tomli is installed; "
                            f"in its place the arguments can be given as a command line, such as {EXAMPLE}")
