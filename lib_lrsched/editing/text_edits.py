"""Changes at places of a text: cutting and writing without touching what stands around."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lib_lrsched.language.tokenizer import Tokens
from lib_lrsched.language.tree import Span


class Change(NamedTuple):
    """``source[start:stop]`` becomes ``text``."""

    start: int
    stop: int
    text: str


def apply(source: str, changes: Iterable[Change]) -> str:
    """All changes at once; their spans do not overlap.

    >>> apply("0.005:100, 1e-3", [Change(0, 5, "0.004"), Change(9, 9, ", 0.002:200")])
    '0.004:100, 0.002:200, 1e-3'
    """
    parts, stop = [], len(source)
    for change in sorted(changes, reverse=True):
        parts += [source[change.stop : stop], change.text]
        stop = change.start
    return source[:stop] + "".join(reversed(parts))


def without(source: str, spans: Sequence[Span], number: int) -> list[Change]:
    """One of several spans that commas part, and the comma after it, or before it where it is the last."""
    start, stop = spans[number]
    commas = marks(source, ",")
    at = bisect_left(commas, stop)
    if number < len(spans) - 1:
        return _cut(source, (start, stop), (commas[at], _after_blanks(source, start, commas[at] + 1)))
    if number == 0:
        return [Change(start, stop, "")]
    comma = commas[bisect_left(commas, start) - 1]
    return _cut(source, (comma, comma + 1), (start, stop))


def _after_blanks(source: str, start: int, place: int) -> int:
    """After the blank space that follows, and after its line where the cut begins one."""
    while source[place] in " \t":
        place += 1
    begins_line = not source[source.rfind("\n", 0, start) + 1 : start].strip()
    return place + 1 if begins_line and source[place] == "\n" else place


def _cut(source: str, first: Span, second: Span) -> list[Change]:
    """Two spans and the blank space between them; a comment between them stays."""
    if "#" not in source[first[1] : second[0]]:
        return [Change(first[0], second[1], "")]
    return [Change(*first, ""), Change(*second, "")]


def marks(source: str, mark: str) -> list[int]:
    tokens = Tokens(source)
    return [start for kind, start in zip(tokens.kinds, tokens.starts) if kind == mark]
