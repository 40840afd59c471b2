"""The shapes in plain Python, one step at a time: the text of these functions goes into exported snippets.

Nothing in the extension evaluates a schedule with them (``plan`` does); a test holds them against the curves. Each takes
the step ``j`` of a segment, the segment's length ``n`` where the formula needs it, and the shape's parameters by name.
They use ``math`` and ``bisect`` and nothing else, so that a snippet stands alone.
"""

# No `from __future__` here: each function has to run without it as well.

import math
from bisect import bisect_right
from collections.abc import Callable


def pieces(starts: list[int], parts: list[Callable[[int], float]]) -> Callable[[int], float]:
    """Parts one after the other; each counts from its own start."""

    def value(k: int) -> float:
        i = bisect_right(starts, k) - 1
        return parts[i](k - starts[i])

    return value


def repeat(length: int, first: Callable[[int], float], again: Callable[[int], float] | None = None) -> Callable[[int], float]:
    """Passes of `length` steps; the first may differ from the later ones."""
    return lambda j: (first if again is None or j < length else again)(j % length)


def linear(j: int, n: int, a: float, b: float) -> float:
    """a + (b - a) j/n"""
    return a + (b - a) * (j / n)


def cosine(j: int, n: int, a: float, b: float) -> float:
    """b + (a - b)(1 + cos(pi j/n)) / 2"""
    return b + (a - b) * (1 + math.cos(math.pi * j / n)) / 2


def exp(j: int, n: int, a: float, b: float) -> float:
    """a (b/a)^(j/n)"""
    return math.exp(math.log(a) + (math.log(b) - math.log(a)) * (j / n))


def poly(j: int, n: int, a: float, b: float, power: float) -> float:
    """b + (a - b)(1 - j/n)^power"""
    return b + (a - b) * ((n - j) / n) ** power


def rex(j: int, n: int, a: float, b: float, d: float) -> float:
    """b + (a - b)(1 - t) / ((1 - d) + d (1 - t)), t = j/n"""
    rest = (n - j) / n
    return b + (a - b) * rest / ((1 - d) + d * rest)


def warmup(j: int, n: int, v: float, start: float, curve: str) -> float:
    """From start to v, which is reached on the last step j = n - 1."""
    if curve == "log":
        h = math.log(j + 2) / math.log(n + 1)
    else:
        h = (j + 1) / n
    if curve == "cosine":
        h = (1 - math.cos(math.pi * h)) / 2
    return start * (1 - h) + v * h


def step(j: int, v: float, every: int, gamma: float) -> float:
    """v gamma^floor(j/every)"""
    return v * gamma ** (j // every)


def decay(j: int, v: float, gamma: float) -> float:
    """v gamma^j"""
    return v * gamma**j


def inverse_sqrt(j: int, v: float, timescale: int) -> float:
    """v sqrt(timescale / (timescale + j))"""
    return v * math.sqrt(timescale / (timescale + j))


def cyclic(j: int, low: float, high: float, step_size: int, step_size_down: int, mode: str, gamma: float, wave: str) -> float:
    """Triangles from low to high in step_size steps and back in step_size_down."""
    cycle, r = divmod(j, step_size + step_size_down)
    h = r / step_size if r <= step_size else (step_size + step_size_down - r) / step_size_down
    if wave == "cosine":
        h = (1 - math.cos(math.pi * h)) / 2
    height = {"triangular": 1.0, "triangular2": 0.5 ** min(cycle, 2000), "exp_range": gamma**j if mode == "exp_range" else 1.0}
    return low + (high - low) * h * height[mode]


def restarts(j: int, peak: float, floor: float, t_0: int, t_mult: int, peak_decay: float, warmup: int) -> float:
    """Cosines from peak to floor; each cycle t_mult times as long and peak_decay times as high as the last.

    t_0 is a whole number of steps, or a Fraction where a number of cycles does not divide the steps.
    """
    cycle, length = (j // t_0, t_0) if t_mult == 1 else (0, t_0)
    j -= cycle * t_0
    while j >= length:
        j, length, cycle = j - length, length * t_mult, cycle + 1
    top = peak * peak_decay**cycle
    if j < warmup:
        return floor + (top - floor) * min((j + 1) / warmup, 1)
    return floor + (top - floor) * (1 + math.cos(math.pi * (j - warmup) / (length - warmup))) / 2


def onecycle(
    j: int, n: int, max_lr: float, pct_start: float, div_factor: float, final_div_factor: float, anneal: str, three_phase: bool
) -> float:
    """Up to max_lr and down again; the phases end at pct_start n - 1 and n - 1."""
    first = max_lr / div_factor
    lowest = first / final_div_factor
    if n == 1:
        return lowest
    ends, levels = [pct_start * n - 1, n - 1], [first, max_lr, lowest]
    if three_phase:
        ends, levels = [pct_start * n - 1, 2 * pct_start * n - 2, n - 1], [first, max_lr, first, lowest]
    i = next((i for i, end in enumerate(ends) if j <= end), len(ends) - 1)
    begin = ends[i - 1] if i else 0
    t = (j - begin) / (ends[i] - begin) if ends[i] > begin else 1.0
    if anneal == "cos":
        t = (1 - math.cos(math.pi * t)) / 2
    return levels[i] + (levels[i + 1] - levels[i]) * t


def wsd(j: int, n: int, peak: float, floor: float, warmup: int, decay: int, curve: str) -> float:
    """Warm-up, hold, and a fall over the last steps."""
    if j < warmup:
        return floor + (peak - floor) * (j + 1) / warmup
    t = (j - (n - decay)) / decay if j > n - decay else 0.0
    factor = {"linear": 1 - t, "cosine": (1 + math.cos(math.pi * t)) / 2, "sqrt": 1 - math.sqrt(t)}
    return floor + (peak - floor) * factor[curve]


def range_test(j: int, n: int, low: float, high: float, mode: str, stair: int) -> float:
    """From low to high in stairs, high on the last step."""
    last = (n - 1) // stair
    if j // stair >= last:
        return high
    t = (j // stair) / last
    if mode == "exp":
        return math.exp(math.log(low) + (math.log(high) - math.log(low)) * t)
    return low + (high - low) * t
