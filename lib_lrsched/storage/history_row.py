"""One row of a history: the only place that lists its columns in order. Others name them.

To add a column, add a field with a default at the end of HistoryRow. Its values are numbers, or None; a file with anything else is
read as damaged. A file says in its header which columns its rows have, so that a file of another version is read by their names:
columns that this version does not know are skipped, and those that the file lacks are null.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
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
        validation: the share of the loss on the fixed set that is gone after the update; null where there was no look at it.
        validation_band_0 to 3: the same in each quarter of the timesteps.
        validation_ema: the same of the average of the weights; null where there is none.
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
    validation: float | None = None
    validation_band_0: float | None = None
    validation_band_1: float | None = None
    validation_band_2: float | None = None
    validation_band_3: float | None = None
    validation_ema: float | None = None
    rate_factor: float | None = None


COLUMNS = HistoryRow._fields


def left(progress: float | None, baseline_loss: float | None, validation: float | None) -> dict[str, float | None]:
    """What of the loss is left, by what a plateau may watch; None where nothing new was measured.

    >>> left(0.25, 0.1, None)
    {'progress': 0.75, 'validation': None}
    """
    is_measured = progress is not None and baseline_loss is not None and isfinite(baseline_loss) and isfinite(progress)
    return {
        "progress": 1.0 - progress if is_measured and progress is not None else None,
        "validation": 1.0 - validation if validation is not None and isfinite(validation) else None,
    }


def watchable(row: HistoryRow) -> dict[str, float | None]:
    """The same of a row."""
    return left(row.progress, row.baseline_loss, row.validation)


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
