"""Many lines of a history at once: steps and losses of whole blocks with numpy, a row's other columns when they are asked for.

A line at a time takes Python 5 us, and a run of a million updates as many seconds. What is not a plain row of numbers in the form
in which `history_lines.line` writes it is not read here: the caller reads such lines one by one, with their errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from math import nan
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .history_row import Layout

BLOCK_BYTES = 1 << 20
"""Small enough for the processor's caches, and for other threads, which wait while numpy works on a block."""

WIDEST = 25
"""repr() of a float has 24 characters at most."""

MOST_BREAKS = 200
"""Of a block in which the run went back more often than this, only the rows that last are taken in."""

FEW = 2_000
"""So few lines are read one by one, which gives the averages that a run in memory has to the last bit."""

STEP_DIGITS = 15
"""Below 2**53, up to which float64 counts."""

_ALLOWED = b"0123456789+-.e, nul[]\n"
Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


class Block(NamedTuple):
    """Whole lines of a file, and the offset after the last."""

    data: bytes
    stop: int


def blocks(stream: IO[bytes]) -> Iterator[Block]:
    """The rest of the file in blocks of whole lines; a last line without its newline is left out."""
    rest, stop = b"", stream.tell()
    while read := stream.read(BLOCK_BYTES):
        cut = read.rfind(b"\n") + 1
        if not cut:
            rest += read
            continue
        data, rest = rest + read[:cut], read[cut:]
        stop += len(data)
        yield Block(data, stop)


class Lines(NamedTuple):
    """A block's lines: its rows at once, and by their place the lines of events among them.

    `rows` is None where all have to be read one by one.
    """

    data: bytes
    total: int
    rows: RowLines | None
    events: list[tuple[int, bytes]]


def read_lines(data: bytes, layout: Layout) -> Lines:
    """Whole lines. What an event says changes no row, so that events need not be read between the rows."""
    padded = np.frombuffer(data + bytes(WIDEST), np.uint8)
    stops = np.flatnonzero(padded[: len(data)] == ord("\n"))
    starts = np.concatenate([[0], stops[:-1] + 1])
    firsts = padded[starts]
    others = np.flatnonzero(firsts != ord("["))
    one_by_one = Lines(data, len(stops), None, [])
    if len(stops) < FEW or len(others) == len(stops) or (firsts[others] != ord("{")).any():
        return one_by_one
    ends = list(zip(starts[others].tolist(), (stops[others] + 1).tolist(), strict=True))
    rows = _rows(_without(data, ends), layout)
    if rows is None:
        return one_by_one
    return Lines(data, len(stops), rows, [(n, data[start:stop]) for n, (start, stop) in zip(others.tolist(), ends, strict=True)])


def _without(data: bytes, ends: list[tuple[int, int]]) -> bytes:
    """The data without what lies between the starts and stops, which rise."""
    edges = [0, *chain.from_iterable(ends), len(data)]
    return b"".join(data[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)) if ends else data


class RowLines:
    """Lines of rows: `steps` int64 [n] and `losses` float64 [n]; NaN where the loss is null or not in the file.

    Args:
        cuts: int64 [n, columns + 1]; a value begins two bytes after one cut and ends at the next.
    """

    def __init__(self, padded: Bytes, cuts: Places, steps: Places, losses: NDArray[np.float64], layout: Layout) -> None:
        self._padded, self._cuts, self._layout = padded, cuts, layout
        self.steps = steps
        self.losses = losses

    def __len__(self) -> int:
        return len(self.steps)

    def rows(self, chosen: Places | slice) -> NDArray[np.float64]:
        """All of COLUMNS in the chosen lines, float64 [k, len(COLUMNS)]; NaN for one that the file lacks.

        Raises:
            ValueError: a value that is not a number, in whichever column of the file.
        """
        cuts = self._cuts[chosen]
        step = self._layout.place("step")
        found: list[NDArray[np.float64]] = [
            self.steps[chosen].astype(np.float64) if n == step else _floats(self._padded, cuts[:, n] + 2, cuts[:, n + 1])
            for n in range(len(self._layout.columns))
        ]
        return np.stack([np.full(len(cuts), nan) if place is None else found[place] for place in self._layout.places], axis=1)

    def known(self, column: str) -> tuple[Places, NDArray[np.float64]]:
        """The steps of the lines in which one of COLUMNS is not null, and its values there: of a column that is mostly null.

        Raises:
            ValueError: a value that is not a number.
        """
        place = self._layout.place(column)
        if place is None:
            return self.steps[:0], self.losses[:0]
        starts, stops = self._cuts[:, place] + 2, self._cuts[:, place + 1]
        there = np.flatnonzero(self._padded[starts] != ord("n"))
        return self.steps[there], _floats(self._padded, starts[there], stops[there])

    def part(self, start: int, stop: int) -> RowLines:
        """The lines from `start` to below `stop`."""
        return self._of(slice(start, stop))

    def lasting(self) -> RowLines:
        """The lines that no later one takes the place of: where a run goes back to a step, it replaces all from there on."""
        least_later = np.minimum.accumulate(self.steps[::-1])[::-1][1:]
        return self._of(np.append(np.flatnonzero(self.steps[:-1] < least_later), len(self.steps) - 1))

    def _of(self, chosen: Places | slice) -> RowLines:
        return RowLines(self._padded, self._cuts[chosen], self.steps[chosen], self.losses[chosen], self._layout)


def _rows(text: bytes, layout: Layout) -> RowLines | None:
    """The rows in whole lines; None where a line is none in the form in which we write it."""
    padded = np.frombuffer(text + bytes(WIDEST), np.uint8)
    stops = np.flatnonzero(padded == ord("\n"))
    starts = np.concatenate([[0], stops[:-1] + 1])
    commas = np.flatnonzero(padded == ord(","))
    count, width = len(stops), len(layout.columns)
    if len(commas) != count * (width - 1) or text.translate(None, _ALLOWED):
        return None
    inside = padded[starts[0] : stops[-1]]
    if np.count_nonzero(inside == ord(" ")) != len(commas) or np.count_nonzero(inside == ord("[")) != count:
        return None
    if (padded[stops - 1] != ord("]")).any() or (padded[commas + 1] != ord(" ")).any():
        return None
    # As if the bracket in front were a comma and a blank of which the line has the second half.
    cuts = np.concatenate([starts[:, None] - 1, commas.reshape(count, width - 1), stops[:, None] - 1], axis=1)
    widths = np.diff(cuts, axis=1) - 2
    step, loss = layout.place("step"), layout.place("loss")
    assert step is not None
    if widths.min() < 1 or widths.max() > WIDEST:
        return None
    steps = _steps(padded, cuts[:, step] + 2, cuts[:, step + 1])
    if steps is None:
        return None
    try:
        losses = np.full(count, nan) if loss is None else _floats(padded, cuts[:, loss] + 2, cuts[:, loss + 1])
    except ValueError:
        return None
    return RowLines(padded, cuts, steps, losses, layout)


def _windows(padded: Bytes, starts: Places, stops: Places, width: int) -> Bytes:
    """A copy of the bytes from each start to its stop, with zeros after them, uint8 [n, width]."""
    every = np.lib.stride_tricks.as_strided(padded, (len(padded) - width + 1, width), (1, 1), writeable=False)
    window = every[starts]
    window[np.arange(width) >= (stops - starts)[:, None]] = 0
    return window


def _floats(padded: Bytes, starts: Places, stops: Places) -> NDArray[np.float64]:
    """The numbers between starts and stops, as float() reads them; NaN for null."""
    window = _windows(padded, starts, stops, WIDEST)
    words = window.view(f"S{WIDEST}").ravel()
    nulls = window[:, 0] == ord("n")
    if not nulls.any():
        return words.astype(np.float64)
    if (words[nulls] != b"null").any():
        raise ValueError("expected a number or null")
    return np.where(nulls, b"nan", words).astype(np.float64)


def _steps(padded: Bytes, starts: Places, stops: Places) -> Places | None:
    """Whole numbers of up to 15 digits; None where one is none."""
    widths = stops - starts
    width = int(widths.max())
    if width > STEP_DIGITS or widths.min() < 1:
        return None
    digits = _windows(padded, starts, stops, width) - np.uint8(ord("0"))
    digits[np.arange(width) >= widths[:, None]] = 0
    if digits.max() > 9:
        return None
    powers = 10.0 ** np.arange(width)
    # Exact in float64, and there BLAS does it.
    return (digits.astype(np.float64) @ powers[::-1] / powers[width - widths]).astype(np.int64)
