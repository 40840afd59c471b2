"""Folders that may not be looked into, also where the tests run as root, whom no permission stops."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 0x20080522  # of Linux's capget and capset
_OVERRIDE = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextmanager
def locked(folder: Path, mode: int = 0) -> Iterator[None]:
    """The folder has this mode, and it counts for the calling thread and for those that it starts."""
    before = folder.stat().st_mode
    folder.chmod(mode)
    try:
        if os.geteuid() != 0:
            yield
            return
        with _as_anybody():
            yield
    finally:
        folder.chmod(before)


@contextmanager
def _as_anybody() -> Iterator[None]:
    library = ctypes.CDLL(None, use_errno=True)
    head, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    assert library.capget(head, sets) == 0
    effective = sets[0]
    sets[0] = effective & ~_OVERRIDE
    assert library.capset(head, sets) == 0
    try:
        yield
    finally:
        sets[0] = effective
        assert library.capset(head, sets) == 0
