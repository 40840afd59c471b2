"""What a history has let go of: rows from before those that are held exactly, from its file.

Steps and losses of all of them are kept, 16 bytes for each; the other columns are read for the few that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib_lrsched.errors import RunStateError
from lib_lrsched.schedule import running_average

from .history_blocks import blocks, read_lines
from .history_lines import header_of, rows_of
from .history_row import COLUMNS, Layout

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


class _Part(NamedTuple):
    """A block of the file: where it lies, the number of its first line, and the range of its steps."""

    start: int
    stop: int
    number: int
    low: int
    high: int


class OlderRows:
    """The rows of a file with steps below ``before``, as they last: where a run went back, only what was trained again.

    Attributes:
        steps, losses: int64 [n] rising, float64 [n].

    Raises:
        RunStateError, OSError: the file cannot be read.
    """

    def __init__(self, path: Path, before: int) -> None:
        self._path = path
        self._parts: list[_Part] = []
        self._layout = Layout(COLUMNS, ())
        self._averages: tuple[float, Floats, tuple[float, float]] | None = None
        self.steps, self.losses = self._read(before)

    def averages(self, smoothing: float) -> tuple[Floats, tuple[float, float]]:
        """The running average of the loss after each step, float64 [n], and its state (mean, weight) at the end."""
        if self._averages is None or self._averages[0] != smoothing:
            means, weights = running_average.means_after_each(np.nan, 0.0, self.losses, smoothing)
            end = (float(means[-1]), float(weights[-1])) if len(means) else (np.nan, 0.0)
            self._averages = smoothing, means, end
        return self._averages[1:]

    def rows(self, steps: Steps) -> Floats:
        """COLUMNS at these of the steps, which rise, float64 [k, len(COLUMNS)]; NaN for what is not known."""
        found = np.full((len(steps), len(COLUMNS)), np.nan)
        if len(steps) == 0:
            return found
        with self._path.open("rb") as stream:
            for part in self._parts:  # in the order of the file: a later row of the same step takes the place of an earlier one
                wanted = (steps >= part.low) & (steps <= part.high)
                if not wanted.any():
                    continue
                stream.seek(part.start)
                there, rows = self._values(stream.read(part.stop - part.start), part.number, steps[wanted])
                found[np.searchsorted(steps, there)] = rows
        return found

    def _read(self, before: int) -> tuple[Steps, Floats]:
        held: list[tuple[Steps, Floats]] = []
        for part, steps, losses in self._blocks():
            self._parts.append(part)
            held.append((steps, losses))
        if not held:
            return np.empty(0, np.int64), np.empty(0)
        steps, losses = (np.concatenate(columns) for columns in zip(*held, strict=True))
        least_later = np.minimum.accumulate(steps[::-1])[::-1][1:]
        lasting = np.append(np.flatnonzero(steps[:-1] < least_later), len(steps) - 1)
        lasting = lasting[steps[lasting] < before]
        return steps[lasting], losses[lasting]

    def _blocks(self) -> Iterator[tuple[_Part, Steps, Floats]]:
        number = 2
        with self._path.open("rb") as stream:
            first = stream.readline()
            if not first.endswith(b"\n"):
                return
            self._layout = header_of(first, self._path)
            start = stream.tell()
            for data, stop in blocks(stream):
                lines = read_lines(data, self._layout)
                if lines.rows is not None:
                    steps, losses = lines.rows.steps, lines.rows.losses
                else:
                    rows = [row for _, row in rows_of(lines, number, self._path, self._layout)]
                    steps = np.array([row.step for row in rows], np.int64)
                    losses = np.array([row.loss for row in rows], np.float64)
                if len(steps):
                    yield _Part(start, stop, number, int(steps.min()), int(steps.max())), steps, losses
                number, start = number + lines.total, stop

    def _values(self, data: bytes, number: int, wanted: Steps) -> tuple[Steps, Floats]:
        """Of the lines of a block the last row of each wanted step: the steps, and COLUMNS of each.

        Raises:
            RunStateError: a line that is neither a row nor an event.
        """
        lines = read_lines(data, self._layout)
        if lines.rows is None:
            last = dict(rows_of(lines, number, self._path, self._layout))
            kept = [step for step in wanted.tolist() if step in last]
            rows = [[np.nan if value is None else value for value in last[step]] for step in kept]
            return np.array(kept, np.int64), np.array(rows, np.float64).reshape(-1, len(COLUMNS))
        backwards = lines.rows.steps[::-1]
        there, places = np.unique(backwards, return_index=True)
        is_wanted = np.isin(there, wanted)
        chosen = len(backwards) - 1 - places[is_wanted]
        try:
            return there[is_wanted], lines.rows.rows(chosen)
        except ValueError as error:
            raise RunStateError(f"lines from {number} on: {error}", self._path) from error

