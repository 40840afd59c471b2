"""What happened in a run, step by step: bounded in memory, appended to a file, readable from other threads.

The file `history.jsonl` only grows. Its first line is `{"lrsched_history": 1, "columns": [...]}`; after that a
row is a JSON array in the order of these columns (see `history_row`), an event a JSON object.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np

from lib_lrsched.errors import RunStateError
from lib_lrsched.schedule import running_average
from lib_lrsched.schedule.running_average import SMOOTHING

from ._metrics import Compared, Metrics, Points, Rows, chosen, points, smoothed, thinned
from ._older_rows import OlderRows
from .atomic_files import LineFile
from .history_blocks import MOST_BREAKS, Lines, RowLines, blocks, read_lines
from .history_lines import MAX_STEP, Event, header, header_of, layout_of, line, parsed, read_losses, read_rows
from .history_row import COLUMNS, HistoryRow, Layout, watchable

__all__ = ["MAX_STEP", "Compared", "Event", "History", "HistoryRow", "Points", "read_losses", "read_rows", "watchable"]

FLUSH_S = 1.0
"""Lines wait in memory for this long at most while rows come in."""

LONG_LINE_BYTES = 400
"""A row of ours is shorter than this, so that the newest `recent` rows lie in the last `recent` times as many bytes."""

MAX_EVENTS = 1_000
"""This many of the newest events are held in memory, and as many of saved copies; the file has all."""

COPY = "copy"
"""The event of a copy that was saved. There may be hundreds: they do not push others out of memory."""


class History:
    """The numbers and events of one run. One thread adds rows, any number read.

    Writing never raises into the training: `trouble` holds the first thing that went wrong, the lines wait
    and are tried again with every flush, and what is in memory continues.

    Args:
        path: the file to append to; None keeps everything in memory. An existing file is added to, not
            read: `History.open` reads it.
        recent: this many of the newest rows are held exactly, and at most this many wait for a full disk.
        overview: the whole run in at most this many rows.
        clock: unix time in seconds.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        recent: int = 20_000,
        overview: int = 4_096,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.trouble = ""
        self._clock = clock
        self._recent = recent
        self._metrics = Metrics(recent, overview)
        self._source = path
        self._older: tuple[tuple[int, int], OlderRows] | None = None
        self._events: deque[tuple[int, Event]] = deque(maxlen=MAX_EVENTS)
        self._copies: deque[tuple[int, Event]] = deque(maxlen=MAX_EVENTS)
        self._noted = 0
        # What the training thread leaves behind, in order; sorted in by whoever reads or flushes next. Between two
        # updates of a network everything has dropped out of the processor's caches, and this append is all it pays.
        self._inbox: deque[HistoryRow | Event] = deque()
        self._waiting: list[HistoryRow | Event] = []
        self._file = None if path is None else LineFile(path, header())
        self._flushed_s = clock()
        # Memory and disk have a lock each: a reader must not wait for a slow disk.
        self._memory_lock = threading.Lock()
        self._disk_lock = threading.Lock()
        self._older_lock = threading.Lock()

    @classmethod
    def open(
        cls, path: Path, *, append: bool = True, recent: int = 20_000, clock: Callable[[], float] = time.time,
        every_value: bool = False,
    ) -> History:  # fmt: skip
        """The history in a file, to which it then appends; `append=False` never touches the file.

        A file that does not exist gives an empty history. A row at an earlier step than the one before it
        stands for a run that went back: it replaces what was there from that step on. A last line without
        its newline was cut off by a kill; it is left out, and an event "note" says so. Of old rows in a long file
        the losses are read, and the other columns of those that stay in the overview; `every_value` reads them all.

        Raises:
            RunStateError: a line that is neither a row nor an event; its number is in the message.
        """
        history = cls(path if append else None, recent=recent, clock=clock)
        history._source = path
        if history._replay(path, every_value=every_value):
            step = history.last_step
            history.event(0 if step is None else step, "note", "the last line of the history was incomplete; it is left out")
        return history

    @property
    def last_step(self) -> int | None:
        """The newest step with a row; None where there is none."""
        with self._memory_lock:
            self._sort_in()
            return self._metrics.last_step

    def record(self, row: HistoryRow) -> None:
        """Takes in one update. Reaches the file within about a second, at `flush` or at `close`."""
        self._inbox.append(row)
        # A clock set back must not hold the lines in memory for as long as it was set back.
        if not 0.0 <= self._clock() - self._flushed_s < FLUSH_S:
            self.flush()

    def event(self, step: int, event: str, message: str = "") -> None:
        """Notes an event at a step and writes it to the file at once."""
        self._inbox.append(Event(step=step, time_s=self._clock(), event=event, message=message))
        self.flush()

    def since(self, step: int, limit: int = 2000, *, until: int | None = None, smoothing: float = SMOOTHING) -> Points:
        """The points from `step` on, at most `limit` (4 or more): where there are more, the extremes of the loss stay.

        Args:
            until: the first step that is left out. With it the rows of a long run that are no longer in memory are read from its
                file, so that a stretch has all that there is; without, the thinned ones do.
            smoothing: decay of the running average in `smooth`, from 0 to below 1; over the losses of the whole run.
        """
        with self._memory_lock:
            self._sort_in()
            rows, exact_from = self._metrics.rows(step), self._metrics.exact_from
            key = (exact_from if exact_from is not None else MAX_STEP, self._metrics.times_back)
            losses = self._metrics.losses() if smoothing != SMOOTHING else None
        if until is not None:
            rows = rows[rows[:, 0] < until]
        before = min(key[0], MAX_STEP if until is None else until)
        older = self._older_rows(key) if step < before and (until is not None or losses is not None) else None
        if older is not None and until is not None:
            rows = np.concatenate([_stretch(older, step, before, limit), rows[rows[:, 0] >= key[0]]])
        rows = thinned(rows, limit)
        if losses is not None:
            rows = smoothed(rows, *_averages(older or self._older_rows(key), key[0], losses, smoothing))
        return points(rows)

    def _older_rows(self, key: tuple[int, int]) -> OlderRows | None:
        """What the file has from before the rows that are held exactly; None where those are all, or it cannot be read."""
        if self._source is None or key[0] <= 0:
            return None
        with self._older_lock:
            if self._older is None or self._older[0] != key:
                try:
                    self._older = key, OlderRows(self._source, key[0])
                except (OSError, RunStateError):  # what is in memory is shown
                    return None
            return self._older[1]

    def events(self) -> list[Event]:
        """The newest events, oldest first."""
        with self._memory_lock:
            self._sort_in()
            return [entry.copy() for _, entry in sorted([*self._events, *self._copies], key=itemgetter(0))]

    def compared(self) -> Compared:
        """What was measured of the progress: of the whole run thinned, of the newest rows exactly."""
        with self._memory_lock:
            self._sort_in()
            return self._metrics.compared()

    def validated(self, column: str = "validation") -> list[tuple[int, float]]:
        """The looks of validation, or with "validation_ema" at the average: updates made, and the share of the loss that was gone
        then; rising."""
        with self._memory_lock:
            self._sort_in()
            return self._metrics.validated(column)

    def pace(self, since: int = 0) -> float | None:
        """Seconds per step over the newest 100 steps from step `since` on; None where that is not known."""
        with self._memory_lock:
            self._sort_in()
            return self._metrics.pace(since)

    def flush(self) -> None:
        """Hands the waiting lines to the system. What cannot be written waits for the next flush."""
        self._flushed_s = self._clock()
        with self._disk_lock:
            with self._memory_lock:
                self._sort_in()
                batch, self._waiting = self._waiting, []
            if self._file is None or not batch:
                return
            try:
                layout = layout_of(self._file.path)  # the file may be another version's
                self._file.append(b"".join(line(entry, layout) for entry in batch))
            except OSError as error:
                self._keep(batch, error)
            if self._file.was_deleted and not self.trouble:
                self.trouble = f"{self.path} was deleted during the run: recording starts again, and the earlier history is lost"

    def sync(self) -> None:
        """Flushes and brings the file to the disk: what is saved after this stands on these lines. Any thread may call it."""
        self.flush()
        if self._file is None:
            return
        with self._disk_lock:
            try:
                self._file.sync()
            except OSError as error:
                self._keep([], error)

    def close(self) -> None:
        """Flushes, brings the file to the disk and closes it. What is in memory can still be read."""
        self.flush()
        if self._file is None:
            return
        with self._disk_lock:
            try:
                self._file.close()
            except OSError as error:
                self._keep([], error)

    def _sort_in(self) -> None:
        """Takes the inbox into memory and into the queue for the disk; the memory lock is held."""
        while self._inbox:
            entry = self._inbox.popleft()
            self._remember(entry)
            if self._file is not None:
                self._waiting.append(entry)

    def _remember(self, entry: HistoryRow | Event) -> None:
        if isinstance(entry, HistoryRow):
            self._metrics.add(entry)
        else:
            self._noted += 1
            (self._copies if entry["event"] == COPY else self._events).append((self._noted, entry))

    def _keep(self, batch: list[HistoryRow | Event], error: OSError) -> None:
        with self._memory_lock:
            self._waiting = (batch + self._waiting)[-self._recent :]
        if not self.trouble:
            self.trouble = f"the history cannot be written to {self.path}: {error.strerror or error}"

    def _replay(self, path: Path, *, every_value: bool) -> bool:
        """Reads the file into memory; whether its last line was cut off."""
        try:
            with path.open("rb") as stream:
                size_bytes = os.fstat(stream.fileno()).st_size
                first = stream.readline()
                if not first.endswith(b"\n"):
                    return bool(first)
                layout = header_of(first, path)
                newest_bytes = self._recent * LONG_LINE_BYTES * len(layout.columns) // len(COLUMNS)
                stop, number = len(first), 2
                for data, stop in blocks(stream):
                    is_new = size_bytes - stop < newest_bytes
                    lines = read_lines(data, layout)
                    self._take_lines(lines, number, path, layout, exactly=is_new or every_value)
                    number += lines.total
                return stop < stream.tell()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunStateError(f"cannot be read: {error.strerror or error}", path) from error

    def _take_lines(self, lines: Lines, number: int, path: Path, layout: Layout, *, exactly: bool) -> None:
        """Each stretch of rising steps at once; line by line where that is not possible."""
        rows = lines.rows
        if rows is None:
            self._take_each(lines.data, number, path, layout)
            return
        try:
            breaks = _breaks(rows)
            if len(breaks) > MOST_BREAKS:
                if exactly:
                    rows.rows(slice(None))  # to look at those too that do not last
                rows = rows.lasting()
                breaks = _breaks(rows)
            for start, stop in pairwise(breaks):
                self._metrics.add_many(rows.part(start, stop), exactly=exactly)
        except ValueError as error:
            self._take_each(lines.data, number, path, layout)  # says which line it is
            raise RunStateError(f"lines from {number} on: {error}", path) from error
        for place, text in lines.events:
            self._take_each(text, number + place, path, layout)

    def _take_each(self, data: bytes, number: int, path: Path, layout: Layout) -> None:
        for offset, text in enumerate(data.split(b"\n")[:-1]):
            try:
                entry = parsed(text + b"\n", layout)
            except (ValueError, RecursionError) as error:
                raise RunStateError(f"line {number + offset}: {error}", path) from error
            self._remember(entry)


def _stretch(older: OlderRows, step: int, before: int, limit: int) -> Rows:
    """Rows with step <= k < before from a file, with their average after them; thinned before most of their columns are read."""
    start, stop = np.searchsorted(older.steps, [step, before])
    places = start + chosen(older.losses[start:stop], limit)
    averages, _ = older.averages(SMOOTHING)
    rows = older.rows(older.steps[places])
    return np.column_stack([rows, averages[places], np.zeros(len(places))])


def _averages(older: OlderRows | None, exact_from: int, losses: tuple[Rows, Rows], smoothing: float) -> tuple[Rows, Rows]:
    """Steps and the running average after each: over what the file has of before `exact_from`, then over what is in memory."""
    steps, values = losses
    if older is None:
        return steps, running_average.means_after_each(np.nan, 0.0, values, smoothing)[0]
    averages, (mean, weight) = older.averages(smoothing)
    is_exact = steps >= exact_from
    newer, _ = running_average.means_after_each(mean, weight, values[is_exact], smoothing)
    return np.concatenate([older.steps.astype(np.float64), steps[is_exact]]), np.concatenate([averages, newer])


def _breaks(rows: RowLines) -> list[int]:
    """Where stretches of rising steps begin, and where the last one ends."""
    return [0, *(np.flatnonzero(np.diff(rows.steps) <= 0) + 1).tolist(), len(rows)]
