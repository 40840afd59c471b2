"""The errors that reach a person, and the text that shows where.

A message, a source text and a span become something readable in a fixed-width font.
"""

from __future__ import annotations

import os

CONTEXT_CHARS = 100
"""A source line longer than this is shown as a window around the span."""


class ScheduleError(ValueError):
    """A schedule text that cannot be read or cannot be planned.

    Args:
        message: one line: what was expected, what was given, how to mend it.
        source: the whole text that the user typed.
        span: half-open character offsets ``(start, stop)`` into ``source``.
        fix: the whole corrected text, or None where only the person can know.

    >>> print(ScheduleError("boundaries must rise", "1e-3:500, 1e-4:100", (15, 18)))
    boundaries must rise
        1e-3:500, 1e-4:100
                       ^^^
    """

    is_over = False
    """The text is right in itself, and over at the step that a training would begin with: there is nothing to do."""

    needs = ""
    """"images" where the text is right as soon as the number of images is known."""

    def __init__(self, message: str, source: str, span: tuple[int, int], fix: str | None = None) -> None:
        start = min(max(span[0], 0), len(source))
        stop = min(max(span[1], start), len(source))
        message = printable(message)
        super().__init__(message)
        self.message = message
        self.source = source
        self.span = (start, stop)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n{caret_lines(self.source, self.span)}"

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[int, int], str | None]]:
        return ScheduleError, (self.message, self.source, self.span, self.fix)

    def add(self, text: str) -> None:
        """Say more at the end of the message."""
        self.message += printable(text)
        self.args = (self.message,)

    @property
    def line(self) -> int:
        """1-based number of the line on which the span starts."""
        return self.source.count("\n", 0, self.span[0]) + 1

    @property
    def column(self) -> int:
        """1-based column at which the span starts."""
        return self.span[0] - (self.source.rfind("\n", 0, self.span[0]) + 1) + 1


class RunStateError(Exception):
    """A saved file that cannot be used. ``path`` is the file, ``message`` names the field."""

    def __init__(self, message: str, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.message = message
        self.path = path


class RequestError(ValueError):
    """A request to the API whose fields are missing, of the wrong type or out of range."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConflictError(RequestError):
    """A request that is right in itself, and that the state of things does not allow now."""


def printable(text: str) -> str:
    """A blank for each tab, newline and control character: they would shift carets or break a line."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def short(text: str) -> str:
    """What a message quotes of a text: its first 20 characters."""
    return text if len(text) <= 20 else f"{text[:20]}..."


def caret_lines(source: str, span: tuple[int, int]) -> str:
    """The source line of the span, indented by four, with carets under the span."""
    start, stop = span
    first = source.rfind("\n", 0, start) + 1
    last = source.find("\n", start)
    last = len(source) if last < 0 else last
    lead = ""
    if last - first > CONTEXT_CHARS:
        window = max(first, min(start - CONTEXT_CHARS // 2, last - CONTEXT_CHARS))
        lead = "..." if window > first else ""
        first, last = window, min(last, window + CONTEXT_CHARS)
    width = max(1, min(stop, last) - start)
    line = printable(source[first:last])
    return f"    {lead}{line}\n    {' ' * (len(lead) + start - first)}{'^' * width}"
