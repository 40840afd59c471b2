"""The rows of docs/evidence.md: what is trained, how often, and what it is compared with.

A row is a training that is repeated with one seed after another. What it measures depends on its definition and the seed alone, so
results are kept by those, and rows that train the same share them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

DOZEN, HALF_DECADE = "dozen", 10**0.5
"""The sample concept of the practice host."""

UPDATES = 300
DECAY = 0.98
SEEDS = range(1000, 1030)
"""Of every row but those that choose a rate; the same ones, so that rows can be compared in pairs."""

CHOOSING_SEEDS = range(2000, 2006)
"""Of the rows that choose a rate: no row is judged by the trainings that chose its rate."""

PEAKS = tuple(0.0025 * HALF_DECADE**k for k in range(-1, 4))
"""Highest rates that are tried for each schedule; 0.0025 times powers of the root of ten: 0.0008 to 0.08."""

BEST = "its best rate"
TIMES = {"10 times too low": 0.1, BEST: 1.0, "10 times too high": 10.0}

VALIDATE_EVERY = 25

SCHEDULES: Mapping[str, Callable[[float], str]] = {
    "constant": lambda p: f"{p:.4g}",
    "three steps": lambda p: f"{p:.4g}:50%, {p / HALF_DECADE:.4g}:75%, {p / 10:.4g}",
    "warm-up and cosine": lambda p: f"warmup({p:.4g}):5%, cosine({p:.4g}, {p / 100:.4g})",
    "cyclic, falling peaks": lambda p: (f"repeat(2, cyclic(0, {p:.4g}, step_size=25, cycle_momentum=no):50), "
                                        f"repeat(2, cyclic(0, {p / 2:.4g}, step_size=25, cycle_momentum=no):50), "
                                        f"repeat(2, cyclic(0, {p / 4:.4g}, step_size=25, cycle_momentum=no):50)"),
    "restarts": lambda p: f"restarts({p:.4g}, {p / 100:.4g}, cycles=3)",
    "one cycle": lambda p: f"onecycle({p:.4g}, cycle_momentum=no)",
    "wsd": lambda p: f"wsd({p:.4g})",
    "rex": lambda p: f"rex({p:.4g}, 0)",
    "plateau on validation": lambda p: f"plateau({p:.4g}, factor=0.5, patience=1, watch=validation)",
}
"""A text of its highest rate, for 300 updates."""


@dataclass(frozen=True)
class Row:
    """A training and the table in which it stands.

    Attributes:
        group, name: where it stands; they change no result.
        text: the schedule.
        images: "dozen", or "sixteen of twenty" and "twenty", see images.py.
        average: an average of the weights is kept and measured too.
        clip: the threshold of the gradient's norm as a text; empty without clipping.
        find: the finder's suggestion for the text is trained in its place.
        measured_on: the images on which the loss is measured, with noise that no training sees.
    """

    group: str
    name: str
    text: str
    kind: str = "embedding"
    updates: int = UPDATES
    images: str = DOZEN
    measured_on: str = DOZEN
    batch: int = 1
    average: bool = False
    spread: bool = False
    validate_every: int = 0
    clip: str = ""
    find: bool = False

    @property
    def definition(self) -> str:
        """What decides its results."""
        parts = asdict(self)
        del parts["group"], parts["name"]
        return json.dumps(parts, sort_keys=True)


def watches(schedule: str) -> int:
    """After how many updates a training with the schedule looks at its validation set."""
    return VALIDATE_EVERY if schedule == "plateau on validation" else 0


def choosing() -> Iterator[Row]:
    """Every schedule at every peak: the best of them is its rate in the tables."""
    for schedule, text in SCHEDULES.items():
        for peak in PEAKS:
            yield Row("choosing", f"{schedule}, {peak:.2g}", text(peak), average=True, validate_every=watches(schedule))


def best_peaks(mean_of: Callable[[Row], float]) -> dict[str, float]:
    """The peak of each schedule at which the rows of ``choosing`` have the highest mean."""
    rows = list(choosing())
    found = {}
    for i, schedule in enumerate(SCHEDULES):
        means = [mean_of(row) for row in rows[i * len(PEAKS):(i + 1) * len(PEAKS)]]
        found[schedule] = PEAKS[means.index(max(means))]
    return found


def schedules(best: Mapping[str, float]) -> Iterator[Row]:
    """Every schedule at its best rate, and with one that is wrong by a factor of ten; each keeps an average too."""
    for schedule, text in SCHEDULES.items():
        for times, factor in TIMES.items():
            wrong = text(factor * best[schedule])
            yield Row("schedules", f"{schedule}, {times}", wrong, average=True, validate_every=watches(schedule))


SAME = PEAKS[-1]
"""Ten times the best rate of a constant."""


def same_rate() -> Iterator[Row]:
    """Every schedule with the same highest rate, one that is too high for most."""
    for schedule, text in SCHEDULES.items():
        yield Row("same rate", f"{schedule}, highest rate {SAME:.2g}", text(SAME), average=True, validate_every=watches(schedule))


def options(best: Mapping[str, float]) -> Iterator[Row]:
    """Evenly spread timesteps, and clipping by norm, beside what is trained without them in the rows of ``schedules``."""
    for schedule in ("constant", "warm-up and cosine"):
        for times in (BEST, "10 times too high"):
            text = SCHEDULES[schedule](TIMES[times] * best[schedule])
            yield Row("options", f"{schedule}, {times}, evenly spread timesteps", text, average=True, spread=True)
    for times in (BEST, "10 times too high"):
        for clip in CLIPS:
            text = SCHEDULES["constant"](TIMES[times] * best["constant"])
            yield Row("options", f"constant, {times}, norm clipped at {clip}", text, average=True, clip=clip)


CLIPS = ("0.1", "0.01")
"""The gradient's norm has a median of 0.09 there: the first cuts nearly half of the updates, the second nearly all."""


def finder(best: Mapping[str, float]) -> Iterator[Row]:
    """The user who starts a hundred times off, without and with the finder in front."""
    text = SCHEDULES["warm-up and cosine"]
    for words, factor in (("100 times too high", 100.0), ("100 times too low", 0.01)):
        wrong = text(factor * best["warm-up and cosine"])
        yield Row("finder", f"{words}, as it is", wrong)
        yield Row("finder", f"{words}, the finder in front", wrong, find=True)


# People who cycled the rate ---------------------------------------------------------------------

TWENTY, SIXTEEN, HELD_OUT = "twenty", "sixteen of twenty", "four of twenty"

RANGES = {"embedding": (1e-4, 1.0), "hypernetwork": (1e-6, 0.1)}
RANGE_UPDATES, RANGE_SEEDS = 300, range(2000, 2005)


def range_tests() -> Iterator[Row]:
    """One for each kind: the top of the cycles is the rate at which the progress of its range test is highest."""
    for kind, (low, high) in RANGES.items():
        yield Row("range tests", f"range test, {kind}", f"range_test({low:g}, {high:g})", kind, RANGE_UPDATES, SIXTEEN, HELD_OUT, 4)


def cycle(top: float, step_size: int) -> str:
    return f"cyclic(0, {top:.4g}, step_size={step_size}, cycle_momentum=no)"


def down_first(top: float, count: float) -> str:
    """Cycles with a step size of ten epochs of twenty images that begin at the top; half a cycle at the end leads to the bottom."""
    return f"repeat({count:g}, linear({top:.4g}, 0):50, linear(0, {top:.4g}):50)"


def cycles(tops: Mapping[str, float]) -> Iterator[Row]:
    """Cycles from 0 to the top, on sixteen images at batch 4: four updates an epoch. Then all images, and falling peaks."""
    for kind, top in tops.items():
        middle = f"{top / 2:.4g}"
        held = {"kind": kind, "images": SIXTEEN, "measured_on": HELD_OUT, "batch": 4}
        yield Row("cycles", f"{kind}: 10 cycles, step size 2 epochs", cycle(top, 8), updates=160, **held)
        yield Row("cycles", f"{kind}: constant at the middle, 160 updates", middle, updates=160, **held)
        yield Row("cycles", f"{kind}: 50 cycles, step size 2 epochs", cycle(top, 8), updates=800, **held)
        yield Row("cycles", f"{kind}: 10 cycles, step size 10 epochs", cycle(top, 40), updates=800, **held)
        yield Row("cycles", f"{kind}: constant at the middle, 800 updates", middle, updates=800, **held)
        every = {"kind": kind, "images": TWENTY, "measured_on": TWENTY, "batch": 4}
        yield Row("cycles", f"{kind}, all images: 5.5 cycles that end at the bottom", down_first(top, 5.5), updates=550, **every)
        falling = f"{down_first(top, 3)}, {down_first(top / 2, 2)}, {down_first(top / 4, 1.5)}"
        yield Row("cycles", f"{kind}, all images: falling peaks", falling, updates=650, **every)
        yield Row("cycles", f"{kind}, all images: constant at the middle, 600 updates", middle, updates=600, **every)


def long_cycles(tops: Mapping[str, float]) -> Iterator[Row]:
    """Fifty cycles of twenty epochs, an hour and more by themselves: not part of the command without arguments."""
    for kind, top in tops.items():
        held = {"kind": kind, "images": SIXTEEN, "measured_on": HELD_OUT, "batch": 4}
        yield Row("long cycles", f"{kind}: 50 cycles, step size 10 epochs", cycle(top, 40), updates=4000, **held)
        yield Row("long cycles", f"{kind}: constant at the middle, 4000 updates", f"{top / 2:.4g}", updates=4000, **held)


def constant_beside(row: Row, group: Iterable[Row]) -> Row:
    """The constant at the middle that has as many updates as a row of these groups, or of all images the nearest number."""
    same = [one for one in group if "constant" in one.name and (one.kind, one.images) == (row.kind, row.images)]
    return min(same, key=lambda one: abs(one.updates - row.updates))


def seeds_of(row: Row) -> Iterable[int]:
    """The seeds of a row where nobody asks for others."""
    return {"choosing": CHOOSING_SEEDS, "range tests": RANGE_SEEDS}.get(row.group, SEEDS)
