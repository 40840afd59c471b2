"""What the tests of the commands compare."""

from __future__ import annotations

from typing import NamedTuple


class Ended(NamedTuple):
    """Exit code and output of one command."""

    code: int
    out: str
    err: str
