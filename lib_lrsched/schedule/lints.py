"""Warnings about a text that can be planned and is probably not what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lib_lrsched.errors import short
from lib_lrsched.language.tree import Call, Item, Quantity, Schedule, Span, unparse

from .arguments import match
from .commas import decimal_commas, is_split, thousands, without
from .segments import Piecewise, Segment
from .units import Clock

STOPS = "the schedule stops the run"
JUMPS = "the rate jumps"
"""How two messages begin that mean nothing for a clip threshold."""

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


def lint(tree: Schedule, laid: list[Segment], reached: int, total: int, rate: Piecewise) -> tuple[Lint, ...]:
    """The warnings of a plan; ``laid`` are the segments of the first ``reached`` items."""
    found = [*_empty(tree), *_thousands(tree), *_unreached(tree, reached), *_late(tree, laid, total), *_short(tree, laid, total)]
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


def _unreached(tree: Schedule, reached: int) -> list[Lint]:
    if reached == len(tree.items):
        return []
    last, first = tree.items[reached - 1], tree.items[reached]
    if any(comma.number[1] == last.span[1] for comma in thousands(tree)):
        return []  # the end of this item is a part of a number, which has its own warning
    commas = decimal_commas(tree)
    if any(comma.span[0] == last.span[1] for comma in commas):
        message = f"a decimal comma? It ends the item: this trains at {unparse(last)} and the rest never runs"
        return [Lint(message, (last.span[0], first.span[1]), without(tree.source, [*commas, *thousands(tree)]))]
    span = (first.span[0], tree.items[-1].span[1])
    fix = None if is_split(last, first, tree.source) else _cut(tree, reached)
    return [Lint("this never runs: the item before it has no end (the WebUI ignores it silently)", span, fix)]


def _cut(tree: Schedule, count: int) -> str | None:
    """The text without the items after so many. One click does not throw away more than one of them."""
    if len(tree.items) - count > 1:
        return None
    return tree.source[: tree.items[count - 1].span[1]] + tree.source[tree.items[-1].span[1] :]


def _thousands(tree: Schedule) -> list[Lint]:
    commas = thousands(tree)
    if not commas:
        return []
    (start, stop), source = commas[0].number, tree.source
    rate = source[commas[0].span[1] : stop]
    message = f"a thousands separator? It ends the item: the end is {commas[0].head}, and then the rate is {rate}"
    return [Lint(message, (start, stop), without(source, [*commas, *decimal_commas(tree)]))]


def _late(tree: Schedule, laid: list[Segment], total: int) -> list[Lint]:
    first = next((i for i, segment in enumerate(laid) if i and segment.start >= total), None)
    if first is None:
        return []
    span = (laid[first].item.span[0], tree.items[-1].span[1])
    fix = _cut(tree, first)
    message = f"this starts at step {laid[first].start}, after the end of the run at {total}"
    return [Lint(message, span, fix)]


def _short(tree: Schedule, laid: list[Segment], total: int) -> list[Lint]:
    last = laid[-1]
    if last.stop >= total or last.item.end is None:
        if last.stop >= total:
            return []
        return [Lint(f"{STOPS} at step {last.stop} of {total}", last.item.span)]
    end = last.item.end
    fix = tree.source[: last.item.value.span[1]] + tree.source[end.span[1] :]
    if last.shape == "repeat":
        return [Lint(f"{STOPS} at step {last.stop} of {total}", end.span)]
    return [Lint(f"{STOPS} at step {last.stop} of {total}; without an end, the last item continues", end.span, fix)]


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
