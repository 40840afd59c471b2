"""Which part of a schedule a training will run: where it resumes in the middle of the text, the steps before are over.

Pure: a plan, and the step of its own at which the training begins. Steps are those of the text.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.rates import RELATIVE
from lib_lrsched.schedule.sampling import sample_steps
from lib_lrsched.schedule.segments import Segment

POINTS = 256
NAMED = 3
"""So many items that are over are named."""
MOST_CHARS = 48


class Over(NamedTuple):
    """An item of which steps are over: its text, the steps that it covers, and the first one that runs."""

    text: str
    start: int
    stop: int
    until: int


class Part(NamedTuple):
    """The steps of a text that run, [start, stop), and what is over.

    Attributes:
        loses: the steps that are over have another rate than the next one has: who expects them misses something.
    """

    start: int
    stop: int
    over: tuple[Over, ...]
    loses: bool

    def message(self) -> str:
        """In numbers, as a clause: what runs, and what is over.

        >>> from lib_lrsched.schedule.plan import plan
        >>> part_of(plan("warmup(0.1):10, 0.01", total_steps=20), 15).message()
        'steps 15 to 20 of the text will be played; warmup(0.1):10 (steps 0 to 10) and 5 of the 10 steps of 0.01 are over'
        """
        if self.start >= self.stop:
            return f"nothing of the text will be played: it ends at step {self.stop:,}"
        runs = f"steps {self.start:,} to {self.stop:,} of the text will be played"
        if not self.over:
            return runs
        words = [_words(one) for one in self.over[-NAMED:]]
        more = len(self.over) - len(words)
        words = [f"{more:,} earlier segments", *words] if more else words
        listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
        return f"{runs}; {listed} {'is' if len(self.over) == 1 and self.over[0].until >= self.over[0].stop else 'are'} over"


def part_of(made: Plan, own: int) -> Part:
    """What of a plan a training runs that begins at its step ``own``."""
    begun = [segment for segment in made.segments if segment.start < min(own, made.stop)]
    return Part(own, made.stop, tuple(_over(made, one, own) for one in begun), own < made.stop and _loses(made, own))


def _over(made: Plan, segment: Segment, own: int) -> Over:
    stop = min(segment.stop, made.stop)
    return Over(made.text[slice(*segment.item.span)].strip(), segment.start, stop, min(own, stop))


def _loses(made: Plan, own: int) -> bool:
    if own <= 0:
        return False
    values = made.values(sample_steps(made, POINTS, 0, own))
    return not np.allclose(values, made.value(own), rtol=RELATIVE, atol=0.0)


def _words(over: Over) -> str:
    text = over.text if len(over.text) <= MOST_CHARS else f"{over.text[:MOST_CHARS]}…"
    if over.until >= over.stop:
        return f"{text} (steps {over.start:,} to {over.stop:,})"
    return f"{over.until - over.start:,} of the {over.stop - over.start:,} steps of {text}"
