"""Tokens to syntax tree. Each function's docstring is its grammar rule.

It builds the tree and refuses what has no form; names of shapes are not looked up here.
"""

from __future__ import annotations

from typing import NoReturn

from lib_lrsched.errors import ScheduleError, short

from ._times import is_unit, meant_time
from .suggest import question, replaced
from .tokenizer import Guess, Tokens, no_guess
from .tree import Arg, Call, Item, Quantity, Schedule, Span, Word, unparse

MAX_DEPTH = 16
"""Deepest nesting of shapes inside shapes."""

MAX_NUMBER_CHARS = 40

_UNITS = ("ep", "img")

_NAMES_OF_A_RATE = frozenset({"lr", "rate", "learnrate", "learningrate", "baselr", "initiallr", "initlr", "maxlr", "peaklr"})
"""What other programs have in front of a rate."""


def parse(source: str, guess: Guess = no_guess) -> Schedule:
    """schedule := [item] ("," [item])*

    Raises:
        ScheduleError: where the text has no form; its span says where.
    """
    if not isinstance(source, str):
        raise ScheduleError(
            f"a schedule is a text such as 0.005:100, 1e-3, got {type(source).__name__} {source!r}",
            str(source), (0, len(str(source))),
        )
    tokens = Tokens(source, guess)
    items: list[Item] = []
    empty: list[tuple[int, int]] = []
    while True:
        if tokens.kind in (",", ""):
            if tokens.kind == ",":
                empty.append(tokens.span)
        else:
            items.append(_item(tokens, 0))
        if not tokens.take(","):
            break
    if tokens.kind:
        _fail_after_item(tokens, items[-1])
    if not items:
        tokens.fail("a schedule has at least one segment, such as 0.005 or 0.005:100", (0, len(source)))
    return Schedule(tuple(items), source, tuple(empty))


def _fail_after_item(tokens: Tokens, item: Item) -> NoReturn:
    if tokens.kind == ":" and item.end is not None:
        colon, after = tokens.position, tokens.position + 1
        is_word = tokens.kinds[after] == "word"
        second = tokens.texts[after] if is_word else "20"
        last = after if is_word else colon
        span = (tokens.start, tokens.starts[last] + len(tokens.texts[last]))
        tokens.fail(f"one end per segment; did you mean `{short(unparse(item))}, ...:{short(second)}`?", span)
    fix = replaced(tokens.source, (tokens.last_stop, tokens.last_stop), ",") if tokens.kind == "word" else None
    tokens.fail(f"expected a comma or the end of the text, got `{short(tokens.text)}`", fix=fix)


def _item(tokens: Tokens, depth: int) -> Item:
    """item := value [":" end]"""
    start = tokens.start
    value = _value(tokens, depth)
    end = _end(tokens) if tokens.take(":") else None
    return Item(value, end, (start, tokens.last_stop))


def _value(tokens: Tokens, depth: int) -> Quantity | Call:
    """value := number | shape"""
    if tokens.kind != "word":
        found = f"`{tokens.text}`" if tokens.kind else "the end of the text"
        tokens.fail(f"expected a rate or a shape, got {found}")
    if tokens.kinds[tokens.position + 1] == "(":
        return _call(tokens, depth)
    if tokens.kinds[tokens.position + 1] == "=" and tokens.text.lower().replace("_", "") in _NAMES_OF_A_RATE:
        _fail_named(tokens)
    text, span = tokens.text, tokens.span
    try:
        float(text)
    except ValueError:
        _fail_not_a_rate(tokens, text, span)
    tokens.position += 1
    _check_length(tokens, text, span)
    if tokens.kind == "%":
        tokens.fail("a rate has no unit; a time such as 20% goes after a colon", (span[0], tokens.span[1]))
    return Quantity(text, "", False, span)


def _fail_named(tokens: Tokens) -> NoReturn:
    """``lr=0.005``, as other programs are told."""
    span = (tokens.start, tokens.starts[tokens.position + 2])
    rest = tokens.texts[tokens.position + 2]
    hint = f", as in `{short(rest)}`" if rest else ""
    tokens.fail(f"write the rate without a name{hint}", span, replaced(tokens.source, span, ""))


def _fail_not_a_rate(tokens: Tokens, text: str, span: Span) -> NoReturn:
    if text[0].isalpha() and text.replace("_", "a").isalnum():
        hint = question(tokens.guess(text)) or "; a shape has brackets, as in `cosine(1e-3, 1e-5)`"
        tokens.fail(f"expected a rate or a shape, got `{short(text)}`{hint}", span)
    tokens.fail(f"expected a rate such as 0.005 or 1e-3, got `{short(text)}`", span)


def _call(tokens: Tokens, depth: int) -> Call:
    """shape := name "(" [arg ("," arg)*] ")" """
    name, name_span = tokens.text, tokens.span
    if depth >= MAX_DEPTH:
        tokens.fail(f"shapes can be nested at most {MAX_DEPTH} deep")
    opened = tokens.starts[tokens.position + 1]
    tokens.position += 2
    args: list[Arg] = []
    while tokens.kind != ")" or args:
        args.append(_arg(tokens, depth + 1))
        if not tokens.take(","):
            break
    if not tokens.take(")"):
        if not tokens.kind:
            closed = replaced(tokens.source, (tokens.last_stop, tokens.last_stop), ")")
            tokens.fail("this bracket is never closed", (opened, opened + 1), closed)
        tokens.fail(f"expected a comma or a closing bracket, got `{short(tokens.text)}`")
    return Call(name, tuple(args), (name_span[0], tokens.last_stop), name_span)


def _arg(tokens: Tokens, depth: int) -> Arg:
    """arg := [name "="] (number | time | word | item)"""
    start = tokens.start
    name = None
    if tokens.kind == "word" and tokens.kinds[tokens.position + 1] == "=":
        name = tokens.text
        tokens.position += 2
    if tokens.kind != "word":
        found = f"`{tokens.text}`" if tokens.kind else "the end of the text"
        tokens.fail(f"expected a value, got {found}")
    value: Quantity | Word | Call | Item
    if tokens.kinds[tokens.position + 1] == "(":
        value = _call(tokens, depth)
    else:
        value = _quantity_or_word(tokens)
    if tokens.kind == ":":
        if isinstance(value, Word):
            _fail_not_a_rate(tokens, value.text, value.span)
        tokens.position += 1
        value = Item(value, _end(tokens), (start, tokens.last_stop))
        if tokens.kind == ":":
            _fail_after_item(tokens, value)
    return Arg(name, value, (start, tokens.last_stop))


def _quantity_or_word(tokens: Tokens) -> Quantity | Word:
    """number | time | word"""
    if tokens.text[0].isalpha() and not _is_number(tokens.text):
        word = Word(tokens.text, tokens.span)
        tokens.position += 1
        return word
    return _time(tokens)


def _end(tokens: Tokens) -> Quantity:
    """end := steps | "-1" | "+" time | time"""
    if tokens.kind != "word":
        found = f"`{tokens.text}`" if tokens.kind else "the end of the text"
        tokens.fail(f"expected an end after the colon, such as 100, 20% or 3ep; got {found}",
                    None if tokens.kind else (tokens.last_stop - 1, tokens.last_stop))
    return _time(tokens)


def _time(tokens: Tokens) -> Quantity:
    """time := integer | number "%" | number "ep" | integer "img" """
    text, (start, stop) = tokens.text, tokens.span
    tokens.position += 1
    relative = text[0] == "+"
    if relative:
        text = text[1:]
        if not text and tokens.kind == "word":
            text, stop = tokens.text, tokens.span[1]
            tokens.position += 1
    number, unit = _split_unit(text)
    if not unit and tokens.kind == "%":
        number, unit, stop = text, "%", tokens.span[1]
        tokens.position += 1
    elif not unit and tokens.kind == "word" and tokens.text in _UNITS:
        number, unit, stop = text, tokens.text, tokens.span[1]
        tokens.position += 1
    if not _is_number(number) or (relative and number[:1] in ("+", "-")) or (tokens.kind == "word" and is_unit(tokens.text)):
        _fail_not_a_time(tokens, (start, stop), text)
    _check_length(tokens, number, (start, stop))
    return Quantity(number, unit, relative, (start, stop))


def _fail_not_a_time(tokens: Tokens, span: Span, text: str) -> NoReturn:
    """Where a unit of other programs was written, with what it is here."""
    if tokens.kind == "word" and is_unit(tokens.text):
        span = (span[0], tokens.span[1])
    written = tokens.source[slice(*span)]
    meant = meant_time(written)
    if meant is None:
        tokens.fail(f"expected a number, got `{short(text or '+')}`", span)
    tokens.fail(f"expected a time such as 100, 20% or 3ep, got `{short(written)}`{question(meant)}", span,
                replaced(tokens.source, span, meant))


def _split_unit(text: str) -> tuple[str, str]:
    for unit in _UNITS:
        if text.endswith(unit) and len(text) > len(unit):
            return text[: -len(unit)], unit
    return text, ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_length(tokens: Tokens, text: str, span: tuple[int, int]) -> None:
    if len(text) > MAX_NUMBER_CHARS:
        tokens.fail(f"a number has at most {MAX_NUMBER_CHARS} characters, this one has {len(text)}", span)
