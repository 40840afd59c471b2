"""Warnings about a text that can be planned and is probably not what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lib_lrsched.errors import short
from lib_lrsched.language.tree import Arg, Call, Item, Quantity, Schedule, Span, unparse

from .arguments import as_end, match
from .commas import decimal_commas, is_split, thousands, without
from .rates import rate_text
from .segments import Piecewise, Segment
from .shapes import SHAPES, WARMUP
from .units import Clock

STOPS = "the schedule stops the run"
JUMPS = "the rate jumps"
LENGTH = "a length?"
"""How messages begin that mean nothing for a clip threshold."""

A_LENGTH = 10
"""A whole number from here on was meant as a number of steps: no rate is so high."""

JUMP = 10.0
"""A rate that grows by more than this factor from one step to the next is worth a word."""

WITH_MOMENTUM = frozenset({"Adam", "AdamW", "Adamax", "Muon", "NAdam", "RAdam", "RMSprop", "SGD", "SparseAdam"})
WITHOUT_MOMENTUM = frozenset({"ASGD", "Adadelta", "Adafactor", "Adagrad", "LBFGS", "Rprop"})
"""torch's optimizers by whether their param groups have betas or momentum. A momentum of 0, SGD's default, can be driven."""


class Lint(NamedTuple):
    """A warning. ``fix`` is the whole corrected text, or None where only the person can know."""

    message: str
    span: Span
    fix: str | None = None


def lint(tree: Schedule, laid: list[Segment], total: int, rate: Piecewise) -> tuple[Lint, ...]:
    """The warnings of a plan; ``laid`` are the segments of the items that are reached."""
    lengths = _lengths(tree, total)
    is_known = any(one.fix is not None and one.span in {arg.span for arg in _args(laid[-1].item)} for one in lengths)
    found = [*_empty(tree), *_thousands(tree), *lengths, *([] if is_known else _unreached(tree, laid, total)),
             *_late(tree, laid, total), *_short(tree, laid, total)]
    found += _jumps(laid, total, rate)
    return tuple(sorted(found, key=lambda warning: warning.span))


def _empty(tree: Schedule) -> list[Lint]:
    if not tree.empty:
        return []
    cuts = [0, *(offset for span in tree.empty for offset in span), len(tree.source)]
    fix = "".join(tree.source[start:stop] for start, stop in zip(cuts[::2], cuts[1::2], strict=True))
    count = len(tree.empty)
    message = "nothing stands before this comma" if count == 1 else f"nothing stands before this comma and {count - 1} more"
    return [Lint(message, tree.empty[0], fix)]


def _unreached(tree: Schedule, laid: list[Segment], total: int) -> list[Lint]:
    reached = len(laid)
    if reached == len(tree.items):
        return []
    last, first = tree.items[reached - 1], tree.items[reached]
    if any(comma.number[1] == last.span[1] for comma in thousands(tree)):
        return []  # the end of this item is a part of a number, which has its own warning
    commas = decimal_commas(tree)
    if any(comma.span[0] == last.span[1] for comma in commas):
        message = f"a decimal comma? It ends the segment: this trains at {unparse(last)} and the rest never runs"
        return [Lint(message, (last.span[0], first.span[1]), without(tree.source, [*commas, *thousands(tree)]))]
    span = (first.span[0], tree.items[-1].span[1])
    fix = None if is_split(last, first, tree.source) else _with_ends(tree, laid, total)
    return [Lint("this never runs: the segment before it has no end (the WebUI ignores it silently)", span, fix)]


def _with_ends(tree: Schedule, laid: list[Segment], total: int) -> str | None:
    """The text in which the items that hide others have ends: the room that there is, in equal parts, 5 % for a warm-up."""
    start, begin = laid[-1].start, len(laid) - 1
    until = next((i for i in range(begin, len(tree.items)) if tree.items[i].end is not None), len(tree.items) - 1)
    written = tree.items[until].end
    if written is not None and (written.unit or written.relative or not written.text.isdigit()):
        return None
    stop = total if written is None else min(int(written.text), total)
    source = tree.source
    for i in reversed(range(begin, until)):
        item = tree.items[i]
        is_warmup = i == begin and isinstance(item.value, Call) and item.value.name == WARMUP.name
        share = 0.05 if is_warmup else (i + 1 - begin) / (until + 1 - begin)
        step = start + round(share * (stop - start))
        end = f"{100 * share:.0f}%" if start == 0 and stop == total else str(step)
        source = f"{source[: item.span[1]]}:{end}{source[item.span[1] :]}"
    return source


def _lengths(tree: Schedule, total: int) -> list[Lint]:
    """``warmup(0.005, 100)``: a length where a rate is read. No rate is so large."""
    found = []
    for item in tree.items:
        value = item.value
        if not isinstance(value, Call) or len(value.args) < 2 or value.name not in SHAPES or SHAPES[value.name].is_search:
            continue
        shape, given = match(value, Clock(tree.source, total))
        last = value.args[-1]
        name = next(name for name, arg in given.items() if arg is last)
        kind = next(p.kind for p in shape.params if p.name == name)
        if kind == "rate" and last.name is None and _is_a_length(last.value):
            mended = None if item.end is not None else as_end(value, last, tree.source)
            message = f"{LENGTH} After the comma, {unparse(last)} is a rate; how long a segment is stands after its brackets"
            found.append(Lint(message, last.span, mended))
    return found


def _is_a_length(value: Any) -> bool:
    return isinstance(value, Quantity) and value.text.isdigit() and int(value.text) >= A_LENGTH


def _args(item: Item) -> tuple[Arg, ...]:
    return item.value.args if isinstance(item.value, Call) else ()


def _thousands(tree: Schedule) -> list[Lint]:
    commas = thousands(tree)
    if not commas:
        return []
    (start, stop), source = commas[0].number, tree.source
    rate = source[commas[0].span[1] : stop]
    message = f"a thousands separator? It ends the segment: the end is {commas[0].head}, and then the rate is {rate}"
    return [Lint(message, (start, stop), without(source, [*commas, *decimal_commas(tree)]))]


def _late(tree: Schedule, laid: list[Segment], total: int) -> list[Lint]:
    first = next((i for i, segment in enumerate(laid) if i and segment.start >= total), None)
    if first is None:
        return []
    span = (laid[first].item.span[0], tree.items[-1].span[1])
    return [Lint(f"this starts at step {laid[first].start}, after the end of the run at {total}", span)]


def _short(tree: Schedule, laid: list[Segment], total: int) -> list[Lint]:
    last = laid[-1]
    if last.stop >= total:
        return []
    message, span = f"{STOPS} at step {last.stop} of {total}", (last.item.end or last.item).span
    if not last.exit:
        return [Lint(f"{message}; leave out the last end, or add a segment", span)]
    rate, place = rate_text(last.exit, 6), last.item.span[1]
    fix = f"{tree.source[:place]}, {rate}{tree.source[place:]}"
    return [Lint(f"{message}; a last segment `{rate}` continues at that rate", span, fix)]


def _jumps(laid: list[Segment], total: int, rate: Piecewise) -> list[Lint]:
    later = [segment for segment in laid[1:] if segment.start < total]
    if not later:
        return []
    starts = np.array([segment.start for segment in later], dtype=np.int64)
    before, after = rate(starts - 1), rate(starts)
    return [
        Lint(f"{JUMPS} from {before[i]:g} to {after[i]:g} at step {later[i].start}", later[i].item.value.span)
        for i in np.flatnonzero((after / JUMP > before) & (after > 0))
    ]


def momentum_lints(source: str, segments: tuple[Segment, ...], optimizer: str) -> list[Lint]:
    """What an optimizer of this name cannot follow; ``segments`` are those that run."""
    drivers = [found for segment in segments for found in _drivers(segment.item.value, source)]
    if not drivers or optimizer in WITH_MOMENTUM:
        return []
    (first, _), *_ = drivers
    if optimizer not in WITHOUT_MOMENTUM:
        return [Lint(f"this drives momentum, and whether {short(optimizer)} has betas or momentum is not known here", first)]
    fix, done = "", 0
    for _, ((start, stop), written) in drivers:
        fix, done = fix + source[done:start] + written, stop
    message = f"this drives momentum, and {optimizer} has neither betas nor momentum: only the rate will follow"
    return [Lint(message, first, fix + source[done:])]


def _drivers(value: Quantity | Call, source: str) -> Iterator[tuple[Span, tuple[Span, str]]]:
    """Each shape that drives momentum: where it stands, and the change that makes it leave momentum alone."""
    if isinstance(value, Quantity):
        return
    if value.name == "repeat":
        for arg in value.args[1:]:
            inner = arg.value.value if isinstance(arg.value, Item) else arg.value
            assert isinstance(inner, (Quantity, Call))  # it was planned
            yield from _drivers(inner, source)
        return
    shape, given = match(value, Clock(source, 1))
    if "cycle_momentum" not in (p.name for p in shape.params):
        return
    if "cycle_momentum" not in given:
        place = value.args[-1].span[1]
        yield value.span, ((place, place), ", cycle_momentum=no")
    elif (word := given["cycle_momentum"].value).text != "no":  # type: ignore[union-attr]
        yield value.span, (word.span, "no")
