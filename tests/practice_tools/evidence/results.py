"""What was measured so far, a line of JSON for each training, and the figures that follow."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from .rows import Row

T_975 = {2: 12.7062, 3: 4.3027, 4: 3.1824, 5: 2.7764, 6: 2.5706, 8: 2.3646, 10: 2.2622, 12: 2.2010, 15: 2.1448, 20: 2.0930,
         30: 2.0452, 60: 2.0010}  # fmt: skip
"""Quantiles of Student's t for so many values; between two of them the one for fewer, which is wider."""


class Summary(NamedTuple):
    """Of a row, or of the differences of two.

    Attributes:
        error: half the 95 % interval of the mean.
        worst: the lowest; of differences likewise.
        above: how many are above 0.
    """

    count: int
    mean: float
    error: float
    worst: float
    above: int


class Results:
    """The lines of a file, to which new ones are appended; a last line that a kill cut off is measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            self._known[found["definition"]][found["seed"]] = found
        if text and not text.endswith("\n"):
            path.write_text("".join(f"{line}\n" for line in text.splitlines()[:-1]), encoding="utf-8")

    def has(self, row: Row, seed: int) -> bool:
        return seed in self._known[row.definition]

    def add(self, row: Row, seed: int, found: dict[str, Any]) -> None:
        line = {"definition": row.definition, "seed": seed, **found}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._known[row.definition][seed] = line

    def values(self, row: Row, seeds: Iterable[int], name: str = "closed") -> list[float]:
        """In percent but for a rate, in the order of the seeds; those that were measured. A result that is NaN counts as
        all that there was to lose, -100 %.
        """
        known = self._known[row.definition]
        found = [known[seed].get(name) for seed in seeds if seed in known]
        if name == "top":
            return [one for one in found if one is not None]
        return [-100.0 if one is None else max(-100.0, 100.0 * one) for one in found]

    def texts(self, row: Row, seeds: Iterable[int]) -> list[str]:
        """What was trained."""
        return [self._known[row.definition][seed]["text"] for seed in seeds if self.has(row, seed)]

    def seconds(self) -> float:
        return sum(one["seconds"] for seeds in self._known.values() for one in seeds.values())


def summary(values: Sequence[float]) -> Summary:
    """Mean, 95 % interval and so on; the interval of a single value is not known (NaN).

    >>> summary([1.0, 2.0, 3.0])._replace(error=0.0)
    Summary(count=3, mean=2.0, error=0.0, worst=1.0, above=3)
    """
    count = len(values)
    t = next(T_975[n] for n in sorted(T_975, reverse=True) if n <= count) if count > 1 else 0.0
    error = t * stdev(values) / sqrt(count) if count > 1 else float("nan")
    return Summary(count, mean(values), error, min(values), sum(value > 0 for value in values))


def difference(new: Sequence[float], old: Sequence[float]) -> Summary:
    """Of pairs with the same seed."""
    return summary([a - b for a, b in zip(new, old, strict=True)])
