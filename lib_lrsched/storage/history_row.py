"""One row of a history: the only place that lists its columns in order. Others name them.

To add a column, add a field with a default at the end of HistoryRow. Its values are numbers, or None; a file with anything else is
read as damaged. A file says in its header which columns its rows have, so that a file of another version is read by their names:
columns that this version does not know are skipped, and those that the file lacks are null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

FORMAT = 1
"""Rows are JSON arrays in the order of the header's columns. Another column does not make another format."""


PROGRESS_WINDOW = 50
"""Progress is measured over so many updates."""


class HistoryRow(NamedTuple):
    """One update. Every column is a number or null.

    Attributes:
        step: 0-based.
        planned, actual: the schedule's rate, and that which was applied.
        loss: of the update; NaN where it is not known.
        grad_norm: of the gradients before clipping.
        time_s: unix time in seconds.
        baseline_loss: the loss of what the run started from, with the same noise; null where it was not measured.
        progress: the share of the loss that is gone over the window of updates that ends here; null where none was measured.
        clip_share: how much of the gradient norm was cut, 0 to 1; null where we do not clip or did not look.
        vector_norm: the largest L2 norm of an embedding's vectors before the update; this and the next two null for hypernetworks.
        vector_distance: the largest L2 distance of one of them from what the run started from; null where that is not known.
        vector_mean_abs: their mean |v|.
        band: the quarter of the timesteps, 0 to 3, in which all images of the update lie; null where they lie in several.
        loss_band_0 to 3: the smoothed loss of the images in each, the update's own included; null before the first.
        progress_band_0 to 3: the share of the loss that is gone there, over the measured images; null before the first.
        rate_factor: what the rate was multiplied by for the timesteps of the update's images; null without such a factor.
    """

    step: int
    planned: float
    actual: float
    loss: float
    grad_norm: float | None
    time_s: float
    baseline_loss: float | None = None
    progress: float | None = None
    clip_share: float | None = None
    vector_norm: float | None = None
    vector_distance: float | None = None
    vector_mean_abs: float | None = None
    band: float | None = None
    loss_band_0: float | None = None
    loss_band_1: float | None = None
    loss_band_2: float | None = None
    loss_band_3: float | None = None
    progress_band_0: float | None = None
    progress_band_1: float | None = None
    progress_band_2: float | None = None
    progress_band_3: float | None = None
    rate_factor: float | None = None


COLUMNS = HistoryRow._fields


def rounded(value: float) -> float:
    """What is measured in float32, to the digits that mean something.

    >>> rounded(0.12345678901)
    0.123457
    """
    return float(f"{value:.6g}")


class Layout(NamedTuple):
    """Which columns the rows of a file have, in order; and for each of COLUMNS its place among them, or None."""

    columns: tuple[str, ...]
    places: tuple[int | None, ...]

    @classmethod
    def of(cls, columns: Sequence[str]) -> Layout:
        """The layout of a file with these columns."""
        return cls(tuple(columns), tuple(columns.index(name) if name in columns else None for name in COLUMNS))

    def place(self, column: str) -> int | None:
        """Where one of COLUMNS is in the file's rows."""
        return self.places[COLUMNS.index(column)]

    def values(self, row: HistoryRow) -> Sequence[Any]:
        """What a file of this layout says of a row; null for a column that is not ours."""
        if self.columns == COLUMNS:
            return row
        known = row._asdict()
        return [known.get(name) for name in self.columns]


OWN = Layout.of(COLUMNS)
"""Of the files that this version makes."""
