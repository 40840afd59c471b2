"""What every importer gives back, and how it refuses."""

from __future__ import annotations

from typing import NamedTuple


class Imported(NamedTuple):
    """A schedule text, the run's steps where the format has them, and what was left out or has to be known."""

    text: str
    total_steps: int | None
    note: str


class ImportFormatError(ValueError):
    """A text that is not of its format, or that says what no schedule text says exactly."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
