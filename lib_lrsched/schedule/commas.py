"""Commas that stand inside a number: a decimal comma as in 0,005, a thousands separator as in 1,000.

In this language, as in the host's, a comma ends an item or a value. So such a text means something else than it looks like, or
nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from lib_lrsched.errors import ScheduleError, short
from lib_lrsched.language.tokenizer import TOKEN
from lib_lrsched.language.tree import Call, Item, Quantity, Schedule, Span

from .units import Clock

LONGEST_MENDED = 20_000
"""In a longer wrong text nobody looks for commas: each guess is planned, which takes as long as the text is."""

_COMMA = re.compile(r"[ \t]*,[ \t]*")
_WHOLE = re.compile(r"[+-]?\d+")
_BEHIND = re.compile(r"\d+([eE][+-]?\d+)?(%|ep|img)?")
_HEAD = re.compile(r"\+?[1-9]\d{0,2}")
_THREE_DIGITS = re.compile(r"\d{3}")


class Comma(NamedTuple):
    """A comma inside a number. ``span`` is the comma with blank space around it, ``number`` the whole of what is one number."""

    span: Span
    number: Span
    head: str  # what stands before the comma
    meant: str  # "." or, where it separates thousands, nothing

    def written(self, source: str) -> str:
        """The number as it was meant."""
        (start, stop), (left, right) = self.number, self.span
        return f"{short(source[start:left])}{self.meant}{short(source[right:stop])}"


def without(source: str, commas: Iterable[Comma]) -> str:
    """The text with the numbers as they were meant."""
    parts, done = [], 0
    for comma in sorted(commas):
        parts += [source[done : comma.span[0]], comma.meant]
        done = comma.span[1]
    return "".join([*parts, source[done:]])


# In a text that has a form -----------------------------------------------------------------------


def thousands(tree: Schedule) -> list[Comma]:
    """Ends such as 1,000: three digits after the comma, which would be a rate of their own."""
    found: list[Comma] = []
    for one, two in pairwise(tree.items):
        if two.end is not None or not _is_three_digits(two.value) or tree.source[one.span[1] : two.span[0]] != ",":
            continue
        is_head = one.end is not None and not one.end.unit and _HEAD.fullmatch(one.end.text)
        is_more = found and found[-1].number[1] == one.span[1]  # 1,000,000
        if is_head or is_more:
            head = one.end or one.value
            assert isinstance(head, Quantity)
            found.append(Comma((one.span[1], two.span[0]), (head.span[0], two.span[1]), head.text, ""))
    return found


def _is_three_digits(value: Quantity | Call) -> bool:
    return isinstance(value, Quantity) and _THREE_DIGITS.fullmatch(value.text) is not None


def decimal_commas(tree: Schedule) -> list[Comma]:
    """Commas that are probably decimal ones, as in 0,005.

    Between items the one before has no end, so that nothing after it would ever run. Inside a shape the digits after it start
    with a 0 that no number needs.
    """
    rates = {comma.number[1] for comma in thousands(tree)}
    tops = [(one.value, two.value) for one, two in pairwise(tree.items) if one.end is None and one.span[1] not in rates]
    found = list(_split_numbers(tops, tree.source))
    for call in _calls(tree):
        values = [arg.value.value if isinstance(arg.value, Item) else arg.value for arg in call.args]
        found += _split_numbers([pair for pair in pairwise(values) if _starts_with_0(pair[1])], tree.source, blank=False)
    return found


def _split_numbers(pairs: Iterable[tuple[Any, Any]], source: str, *, blank: bool = True) -> Iterator[Comma]:
    """Neighbours such as 0 and 005 with nothing but a comma between them; or blank space too, where no number begins so."""
    for one, two in pairs:
        if not (isinstance(one, Quantity) and isinstance(two, Quantity)) or one.unit or not _WHOLE.fullmatch(one.text):
            continue
        between = source[one.span[1] : two.span[0]]
        is_close = between == "," or (blank and _starts_with_0(two) and _COMMA.fullmatch(between) is not None)
        if is_close and two.text[0].isdigit() and "." not in two.text:
            head = ("+" if one.relative else "") + one.text
            yield Comma((one.span[1], two.span[0]), (one.span[0], two.span[1]), head, ".")


def _starts_with_0(value: Any) -> bool:
    return isinstance(value, Quantity) and value.text[0] == "0" and value.text[1:2].isdigit()


def _calls(tree: Schedule) -> Iterator[Call]:
    waiting: list[Any] = [item.value for item in tree.items]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Item):
            one = one.value
        if isinstance(one, Call):
            yield one
            waiting += [arg.value for arg in one.args]


def check_decimal_commas(tree: Schedule, clock: Clock) -> None:
    """Refuse ``0,005``, which would train at 0, and ``cosine(0,005)``, which would go to 5.

    The host reads 1,5 as a rate of 1 and ignores the rest; that keeps its meaning, and gets a warning. So does ``0, 005``.

    Raises:
        ScheduleError: with the text that has decimal points.
    """
    commas = decimal_commas(tree)
    tops = {item.span[1] for item in tree.items}
    wrong = next((comma for comma in commas if comma.span[0] not in tops or _trains_at_0(comma)), None)
    if wrong is None:
        return
    message = f"a comma separates segments and values: this is {wrong.head}, and then another number"
    if _separates_thousands(wrong, clock.source):
        clock.fail(message, wrong.number)  # which of the two it is, the place decides: see meant_by
    hint = "a rate is 0 or more" if wrong.head[0] == "-" else f"did you mean `{wrong.written(clock.source)}`?"
    clock.fail(f"{message}; {hint}", wrong.number, without(clock.source, [*commas, *thousands(tree)]))


def _trains_at_0(comma: Comma) -> bool:
    return float(comma.head) == 0 and comma.span[1] - comma.span[0] == 1


def is_split(one: Item, two: Item, source: str) -> bool:
    """Whether a comma with digits on both sides parts two items, so that nobody knows what was meant: ``1.000,5``, ``0.0,5``."""
    (start, stop), after = (one.span[1], two.span[0]), two.value
    is_close = source[start:stop] == "," and source[start - 1].isdigit()
    return is_close and isinstance(after, Quantity) and after.text.isdigit()


# In a text that is wrong already ----------------------------------------------------------------


def meant_by(error: ScheduleError) -> Iterator[tuple[str, str]]:
    """Texts that an error may be mended with, if a comma near it stands inside a number, each with the number as it was meant."""
    source = error.source
    commas = list(_close_commas(source)) if len(source) <= LONGEST_MENDED else []
    start, stop = error.span
    near = [comma for comma in commas if comma.number[0] < max(stop, start + 1) and start < comma.number[1]]
    if not near:
        opened, closed = _brackets(source, start)
        near = [comma for comma in commas if opened < comma.span[0] < closed]
    if near:
        yield without(source, near), near[0].written(source)
    large = [comma._replace(meant="") for comma in near if _separates_thousands(comma, source)]
    if large:
        yield without(source, large), large[0].written(source)


def _close_commas(source: str) -> Iterator[Comma]:
    """Commas between two numbers, without blank space. In a chain such as 1,2,3 nobody knows which one it is."""
    words = [(match.start(), match[0]) for match in TOKEN.finditer(source)]
    last = -1
    for (start, head), (place, mark), (after, tail) in zip(words, words[1:], words[2:]):
        stop = after + len(tail)
        is_close = mark == "," and start + len(head) == place == after - 1
        if is_close and _WHOLE.fullmatch(head) and _BEHIND.fullmatch(tail) and start != last:
            is_chain = source[stop : stop + 1] == "," and _BEHIND.match(source, stop + 1) and tail.isdigit()
            last = after
            if not is_chain:
                yield Comma((place, after), (start, stop + (source[stop : stop + 1] == "%")), head, ".")


def _separates_thousands(comma: Comma, source: str) -> bool:
    return _HEAD.fullmatch(comma.head) is not None and _THREE_DIGITS.fullmatch(source[comma.span[1] : comma.number[1]]) is not None


def _brackets(source: str, place: int) -> Span:
    """The innermost brackets around a place; nothing where there are none."""
    opened: list[int] = []
    for match in TOKEN.finditer(source):
        if match[0] == "(":
            opened.append(match.start())
        elif match[0] == ")" and opened:
            start = opened.pop()
            if start < place < match.start():
                return start, match.start()
    return 0, 0
