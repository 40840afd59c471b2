"""Many lines of a history at once: steps and losses of whole blocks with numpy, a row's other columns when they are asked for.

A line at a time takes Python 5 us, and a run of a million updates as many seconds. What is not a plain record in the form
in which `records.line` writes it is not read here: the caller reads such lines one by one, with their errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .series import COLUMNS

BLOCK_BYTES = 1 << 20
"""Small enough for the processor's caches, and for other threads, which wait while numpy works on a block."""

WIDEST = 25
"""repr() of a float has 24 characters at most."""

MOST_BREAKS = 200
"""Of a block in which the run went back more often than this, only what lasted is taken in."""

FEW = 2_000
"""So few lines are read one by one, which gives the averages that a run in memory has to the last bit."""

STEP_DIGITS = 15
"""Below 2**53, up to which float64 counts."""

_ALLOWED = b"0123456789+-.e, nul[]\n"
_LOSS = COLUMNS.index("loss")
Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


class Block(NamedTuple):
    """Whole lines of a file, and the offset behind the last."""

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
    """A block's lines: its records at once, and by their place the lines of events among them.

    `records` is None where all have to be read one by one.
    """

    data: bytes
    total: int
    records: RecordLines | None
    events: list[tuple[int, bytes]]


def read_lines(data: bytes) -> Lines:
    """Whole lines. What an event says changes no record, so that events need not be read between the records."""
    padded = np.frombuffer(data + bytes(WIDEST), np.uint8)
    stops = np.flatnonzero(padded[: len(data)] == ord("\n"))
    starts = np.concatenate([[0], stops[:-1] + 1])
    firsts = padded[starts]
    others = np.flatnonzero(firsts != ord("["))
    one_by_one = Lines(data, len(stops), None, [])
    if len(stops) < FEW or len(others) == len(stops) or (firsts[others] != ord("{")).any():
        return one_by_one
    ends = list(zip(starts[others].tolist(), (stops[others] + 1).tolist(), strict=True))
    records = _records(_without(data, ends))
    if records is None:
        return one_by_one
    return Lines(data, len(stops), records, [(n, data[start:stop]) for n, (start, stop) in zip(others.tolist(), ends, strict=True)])


def _without(data: bytes, ends: list[tuple[int, int]]) -> bytes:
    """The data without what lies between the starts and stops, which rise."""
    edges = [0, *chain.from_iterable(ends), len(data)]
    return b"".join(data[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)) if ends else data


class RecordLines:
    """Lines of records: `steps` int64 [n] and `losses` float64 [n]; NaN where the loss is null."""

    def __init__(self, padded: Bytes, commas: Places, stops: Places, steps: Places, losses: NDArray[np.float64]) -> None:
        self._padded, self._commas, self._stops = padded, commas, stops
        self.steps = steps
        self.losses = losses

    def __len__(self) -> int:
        return len(self.steps)

    def rows(self, chosen: Places | slice) -> NDArray[np.float64]:
        """All columns of the chosen lines, float64 [k, 6].

        Raises:
            ValueError: a value that is no number.
        """
        places = np.concatenate([self._commas[chosen], self._stops[chosen, None] - 1], axis=1)
        columns = [_floats(self._padded, places[:, n] + 2, places[:, n + 1]) for n in range(len(COLUMNS) - 1)]
        return np.stack([self.steps[chosen].astype(np.float64), *columns], axis=1)

    def lasting(self) -> RecordLines:
        """The lines that no later one takes the place of: where a run goes back to a step, it replaces all from there on."""
        least_later = np.minimum.accumulate(self.steps[::-1])[::-1][1:]
        return self._of(np.append(np.flatnonzero(self.steps[:-1] < least_later), len(self.steps) - 1))

    def part(self, start: int, stop: int) -> RecordLines:
        """The lines from `start` to below `stop`."""
        return self._of(slice(start, stop))

    def _of(self, chosen: Places | slice) -> RecordLines:
        return RecordLines(self._padded, self._commas[chosen], self._stops[chosen], self.steps[chosen], self.losses[chosen])


def _records(text: bytes) -> RecordLines | None:
    """The records in whole lines; None where a line is none in the form in which we write it."""
    padded = np.frombuffer(text + bytes(WIDEST), np.uint8)
    stops = np.flatnonzero(padded == ord("\n"))
    starts = np.concatenate([[0], stops[:-1] + 1])
    commas = np.flatnonzero(padded == ord(","))
    if len(commas) != len(stops) * (len(COLUMNS) - 1) or text.translate(None, _ALLOWED):
        return None
    inside = padded[starts[0] : stops[-1]]
    if np.count_nonzero(inside == ord(" ")) != len(commas) or np.count_nonzero(inside == ord("[")) != len(stops):
        return None
    if (padded[stops - 1] != ord("]")).any() or (padded[commas + 1] != ord(" ")).any():
        return None
    commas = commas.reshape(len(stops), -1)
    widths = np.diff(commas, axis=1, append=stops[:, None] - 1) - 2
    steps = _steps(padded, starts + 1, commas[:, 0])
    if steps is None or widths.min() < 1 or widths.max() > WIDEST:
        return None
    try:
        losses = _floats(padded, commas[:, _LOSS - 1] + 2, commas[:, _LOSS])
    except ValueError:
        return None
    return RecordLines(padded, commas, stops, steps, losses)


def _windows(padded: Bytes, starts: Places, stops: Places, width: int) -> Bytes:
    """A copy of the bytes from each start to its stop, with zeros behind them, uint8 [n, width]."""
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
