"""Warnings about a text that can be planned and is probably not what was meant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .pieces import Pieces
from .schedule import Segment
from .syntax import Schedule, Span

STOPS = "the schedule stops the run"
JUMPS = "the rate jumps"
"""How two messages begin that mean nothing for a clip threshold."""

JUMP = 10.0
"""A rate that grows by more than this factor from one step to the next is worth a word."""


class Lint(NamedTuple):
    """A warning. ``fix`` is the whole corrected text, or None where only the person can know."""

    message: str
    span: Span
    fix: str | None = None


def lint(tree: Schedule, laid: list[Segment], reached: int, total: int, rate: Pieces) -> tuple[Lint, ...]:
    """The warnings of a plan; ``laid`` are the segments of the first ``reached`` items."""
    found = [*_empty(tree), *_unreached(tree, reached), *_late(tree, laid, total), *_short(tree, laid, total)]
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
    last = tree.items[reached - 1]
    span = (tree.items[reached].span[0], tree.items[-1].span[1])
    fix = tree.source[: last.span[1]] + tree.source[span[1] :]
    return [Lint("this never runs: the item before it has no end (the WebUI ignores it silently)", span, fix)]


def _late(tree: Schedule, laid: list[Segment], total: int) -> list[Lint]:
    first = next((i for i, segment in enumerate(laid) if i and segment.start >= total), None)
    if first is None:
        return []
    span = (laid[first].item.span[0], tree.items[-1].span[1])
    fix = tree.source[: laid[first - 1].item.span[1]] + tree.source[span[1] :]
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
    return [Lint(f"{STOPS} at step {last.stop} of {total}; without an end the last item goes on", end.span, fix)]


def _jumps(laid: list[Segment], total: int, rate: Pieces) -> list[Lint]:
    later = [segment for segment in laid[1:] if segment.start < total]
    if not later:
        return []
    starts = np.array([segment.start for segment in later], dtype=np.int64)
    before, after = rate(starts - 1), rate(starts)
    return [
        Lint(f"{JUMPS} from {before[i]:g} to {after[i]:g} at step {later[i].start}", later[i].item.value.span)
        for i in np.flatnonzero((after / JUMP > before) & (after > 0))
    ]
