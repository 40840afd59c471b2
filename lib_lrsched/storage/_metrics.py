"""The metrics of a run in bounded memory: the newest steps exactly, the whole run thinned.

Pure numpy; it takes no lock. A row of an array is the columns of a HistoryRow, then `smooth` and `weight`,
in float64: the running average of the loss and what it has gathered so far, 1 - SMOOTHING^n after n finite losses.
"""

from __future__ import annotations

from math import inf, isfinite, nan
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lib_lrsched.schedule import running_average

from .history_row import COLUMNS, HistoryRow

_STEP, _LOSS, _TIME = (COLUMNS.index(name) for name in ("step", "loss", "time_s"))
_COMPARED = [COLUMNS.index(name) for name in ("step", "loss", "baseline_loss", "progress")]
_SMOOTH, _WEIGHT, _WIDTH = len(COLUMNS), len(COLUMNS) + 1, len(COLUMNS) + 2

LOOKS = ("validation", "validation_ema")
"""The columns of validation that are given out whole."""

SHOWN = (*COLUMNS[: _LOSS + 1], "smooth", *COLUMNS[_LOSS + 1 :])
"""The columns of a chart's points: those of a row, and the average after the loss."""

PACE_STEPS = 100
"""The time per step is measured over this many of the newest steps."""

Row = tuple[float, ...]
Rows = NDArray[np.float64]
Points = dict[str, list[Any]]
"""Lists of equal length by the names in SHOWN, ready for JSON: what is not finite or not known is None."""


class Compared(NamedTuple):
    """Updates with a progress, in rising order; float64 [k] each. A baseline is NaN between two that were measured."""

    steps: Rows
    losses: Rows
    baselines: Rows
    progress: Rows


class ManyRows(Protocol):
    """Rows with rising steps; their other columns are read only where they are asked for."""

    steps: NDArray[np.int64]
    losses: Rows

    def rows(self, chosen: NDArray[np.int64] | slice) -> Rows:
        """COLUMNS of the chosen ones, float64 [k, len(COLUMNS)]; NaN for what is not known."""

    def known(self, column: str) -> tuple[NDArray[np.int64], Rows]:
        """The steps at which a column is not null, and its values there."""


class Metrics:
    """Rows with rising steps. A row at an earlier step cuts off what lay from there on: training went back.

    Args:
        recent: at least this many of the newest rows are exact; up to twice as many are held.
        overview: at most this many rows for the whole run.
    """

    def __init__(self, recent: int, overview: int) -> None:
        if recent < 1 or overview < 2:
            raise ValueError(f"expected recent >= 1 and overview >= 2, got recent={recent}, overview={overview}")
        self._recent = recent
        # Twice the length: rows are moved once in `recent` new ones, and are always one rising slice.
        self._rows = np.empty((2 * recent, _WIDTH))
        self._count = 0
        self._overview = Overview(overview)
        self._smooth, self._weight = nan, 0.0
        self._looks: dict[str, list[tuple[int, float]]] = {name: [] for name in LOOKS}  # all of them, for there are few
        self.last_step: int | None = None
        self.times_back = 0  # how often training went back

    def add(self, new: HistoryRow) -> None:
        """Takes one row in; constant time on average."""
        if self.last_step is not None and new.step <= self.last_step:
            self._go_back(new.step)
        total, self._weight = running_average.add(running_average.total_of(self._smooth, self._weight), self._weight, new.loss)
        if isfinite(new.loss):  # else dividing again would round the average
            self._smooth = running_average.mean_of(total, self._weight)
        row = tuple([nan if value is None else value for value in new] + [self._smooth, self._weight])
        if self._count == len(self._rows):
            self._rows[: self._recent] = self._rows[self._recent :]
            self._count = self._recent
        self._rows[self._count] = row
        self._count += 1
        self._overview.add(row)
        for name, looks in self._looks.items():
            share = getattr(new, name)
            if share is not None and isfinite(share):
                looks.append((new.step, share))
        self.last_step = new.step

    def add_many(self, many: ManyRows, *, exactly: bool) -> None:
        """Takes in one or more rows; where `exactly` is not asked for, only those that may stay in the overview.

        Raises:
            ValueError: a value that is not a number.
        """
        if self.last_step is not None and many.steps[0] <= self.last_step:
            self._go_back(int(many.steps[0]))
        smooth, weight = running_average.means_after_each(self._smooth, self._weight, many.losses)
        self._smooth, self._weight = float(smooth[-1]), float(weight[-1])
        if exactly:
            rows = np.column_stack([many.rows(slice(None)), smooth, weight])
            held = np.concatenate([self._rows[: self._count], rows])[-len(self._rows) :]
            self._count = len(held)
            self._rows[: self._count] = held
        else:
            self._count = 0  # what is exact is always one rising slice without a gap
        for name, looks in self._looks.items():
            steps, shares = many.known(name)
            looks += zip(steps.tolist(), shares.tolist(), strict=True)
        chosen = self._overview.choose(many.steps, many.losses)
        for row in np.column_stack([many.rows(chosen), smooth[chosen], weight[chosen]]).tolist():
            self._overview.add(tuple(row))
        self.last_step = int(many.steps[-1])

    @property
    def exact_from(self) -> int | None:
        """The first of the steps that are held without a gap up to the newest; None where none is."""
        return int(self._rows[0, 0]) if self._count else None

    def losses(self) -> tuple[Rows, Rows]:
        """Steps and losses of all rows, float64 [n] each; of those before `exact_from` the thinned ones."""
        rows = self.rows(0)
        return rows[:, _STEP], rows[:, _LOSS]

    def rows(self, since: int) -> Rows:
        """A copy of all rows with step >= since, float64 [n, columns + 2]: thinned ones first, then the exact ones."""
        exact = self._rows[: self._count]
        if self._count and exact[0, 0] <= since:
            return exact[np.searchsorted(exact[:, 0], since) :].copy()
        older = self._overview.rows(since, exact[0, 0] if self._count else inf)
        return np.concatenate([older, exact])

    def compared(self) -> Compared:
        """What was measured of the progress, as far as it is held."""
        rows = self.rows(0)[:, _COMPARED]
        return Compared(*rows[np.isfinite(rows[:, -1])].T)

    def validated(self, column: str) -> list[tuple[int, float]]:
        """The looks of validation in one of LOOKS: updates made, and the share of the loss that was gone then."""
        return [(step + 1, share) for step, share in self._looks[column]]

    def pace(self, since: int) -> float | None:
        """Seconds per step over the newest steps from `since` on; None with fewer than two or a clock set back."""
        newest = self._rows[max(0, self._count - PACE_STEPS) : self._count]
        newest = newest[newest[:, 0] >= since]
        if len(newest) < 2:
            return None
        seconds = float((newest[-1, _TIME] - newest[0, _TIME]) / (newest[-1, 0] - newest[0, 0]))
        return seconds if isfinite(seconds) and seconds > 0 else None

    def _go_back(self, step: int) -> None:
        self.times_back += 1
        self._count = int(np.searchsorted(self._rows[: self._count, 0], step))
        self._overview.cut(step)
        for looks in self._looks.values():
            while looks and looks[-1][0] >= step:
                looks.pop()
        before = self._rows[: self._count] if self._count else self._overview.rows(0, inf)
        self._smooth, self._weight = (nan, 0.0) if not len(before) else before[-1, [_SMOOTH, _WEIGHT]].tolist()


class Overview:
    """The whole run in at most `capacity` rows: of every `stride` steps the row of least and of greatest loss.

    When it is full the stride is doubled and neighbours are merged, so that no extreme is ever lost.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.stride = 1
        self._buckets: list[tuple[int, Row, Row]] = []

    def add(self, row: Row) -> None:
        """Takes in a row whose step is greater than all before it."""
        self._put(int(row[0]) // self.stride, row, row)
        while 2 * len(self._buckets) > self._capacity:
            self._coarsen()

    def choose(self, steps: NDArray[np.int64], losses: Rows) -> NDArray[np.int64]:
        """Of rows about to be added, the indices of those that can be an extreme: each bucket's least and greatest."""
        while 2 * self._buckets_with(steps) > self._capacity:
            self._coarsen()
        heights = np.where(np.isfinite(losses), losses, inf)
        starts = np.flatnonzero(np.diff(steps // self.stride, prepend=-1))
        ends = (np.minimum.reduceat(heights, starts), np.maximum.reduceat(heights, starts))
        lengths = np.diff(starts, append=len(steps))
        chosen = [_firsts(heights == np.repeat(end, lengths), starts, lengths) for end in ends]
        return np.union1d(*chosen)

    def _buckets_with(self, steps: NDArray[np.int64]) -> int:
        """How many there are when rows with these steps are added."""
        indices = steps // self.stride
        is_shared = bool(self._buckets) and self._buckets[-1][0] == indices[0]
        return len(self._buckets) + 1 + int(np.count_nonzero(np.diff(indices))) - is_shared

    def cut(self, step: int) -> None:
        """Leaves out the rows from `step` on."""
        held, self._buckets = self._buckets, []
        for _, low, high in held:
            for row in (low, high):
                if row[0] < step:
                    self._put(int(row[0]) // self.stride, row, row)

    def rows(self, since: int, before: float) -> Rows:
        """Rows with since <= step < before in rising order, float64 [n, columns + 2]."""
        kept = {row[0]: row for _, low, high in self._buckets for row in (low, high) if since <= row[0] < before}
        return np.array([kept[step] for step in sorted(kept)]).reshape(-1, _WIDTH)

    def _coarsen(self) -> None:
        held, self._buckets = self._buckets, []
        self.stride *= 2
        for index, low, high in held:
            self._put(index // 2, low, high)

    def _put(self, index: int, low: Row, high: Row) -> None:
        if not self._buckets or self._buckets[-1][0] != index:
            self._buckets.append((index, low, high))
            return
        _, least, greatest = self._buckets[-1]
        if _height(low) < _height(least):
            least = low
        if _height(high) > _height(greatest):
            greatest = high
        self._buckets[-1] = (index, least, greatest)


def _firsts(holds: NDArray[np.bool_], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """In each stretch the index of the first that holds; one holds in each."""
    found = np.flatnonzero(holds)
    stretch = np.repeat(np.arange(len(starts)), lengths)[found]
    return found[np.flatnonzero(np.diff(stretch, prepend=-1))]


def smoothed(rows: Rows, steps: Rows, averages: Rows) -> Rows:
    """The rows with these averages of the loss, of which there is one for each of the steps; a row's own is that after its step."""
    changed = rows.copy()
    if len(rows):
        changed[:, _SMOOTH] = averages[np.searchsorted(steps[:-1], rows[:, _STEP])]
    return changed


def chosen(losses: Rows, limit: int) -> NDArray[np.int64]:
    """Indices of at most `limit` rows with these losses: the first, the last, and each stretch's rows of least and greatest loss.

    Raises:
        ValueError: limit is below 4.
    """
    if limit < 4:
        raise ValueError(f"expected a limit of 4 or more, got {limit}")
    if len(losses) <= limit:
        return np.arange(len(losses))
    loss = np.where(np.isfinite(losses), losses, inf)[1:-1]
    width = -(-len(loss) // ((limit - 2) // 2))
    stretches = np.arange(0, len(loss), width)
    padding = np.zeros(len(stretches) * width - len(loss))
    least = np.concatenate([loss, padding + inf]).reshape(-1, width).argmin(axis=1)
    greatest = np.concatenate([loss, padding - inf]).reshape(-1, width).argmax(axis=1)
    inner = 1 + np.concatenate([stretches + least, stretches + greatest])
    return np.unique(np.concatenate([[0], inner, [len(losses) - 1]]))


def thinned(rows: Rows, limit: int) -> Rows:
    """At most `limit` of the rows, as chosen() chooses them.

    Raises:
        ValueError: limit is below 4.
    """
    return rows[chosen(rows[:, _LOSS], limit)]


def points(rows: Rows) -> Points:
    """Rows as lists for JSON."""
    found = dict(zip((*COLUMNS, "smooth"), rows.T, strict=False))
    return {name: found[name].astype(np.int64).tolist() if name == "step" else _plain(found[name]) for name in SHOWN}


def _plain(column: Rows) -> list[float | None]:
    finite = np.isfinite(column)
    if finite.all():
        return column.tolist()
    return [value if good else None for value, good in zip(column.tolist(), finite.tolist(), strict=True)]


def _height(row: Row) -> float:
    """A NaN or infinite loss counts as the greatest, so that it is kept and shows as a gap."""
    return row[_LOSS] if isfinite(row[_LOSS]) else inf
