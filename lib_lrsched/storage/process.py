"""Is the process that wrote a file still there? Answered with psutil; where that is missing, by the process number alone.

A process number is given out again sooner or later, in containers at once; so a process also has a mark: when it was started,
in unix seconds. That moment moves with the clock, so marks are compared within two seconds.

Version 0.1.0 wrote another mark: the boot's id and the start in clock ticks since that boot, as "ID/TICKS".
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

TOLERANCE_S = 2.0


def _psutil() -> Any:
    """The module; None where the host does not ship it."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil


@lru_cache(maxsize=1)
def _mark_of(pid: int) -> str:
    return mark(pid)


def own() -> tuple[int, str]:
    """Number and mark of this process."""
    return os.getpid(), _mark_of(os.getpid())


def is_own(pid: int, its_mark: str) -> bool:
    """Whether number and mark are those of this process."""
    number, own_mark = own()
    return pid == number and (its_mark == own_mark or _is_same(_seconds(its_mark), _seconds(own_mark)))


def mark(pid: int) -> str:
    """What tells the process apart from another one with its number; empty where that cannot be known.

    Empty too for a process that has ended and that its parent has not yet asked after.
    """
    psutil = _psutil()
    if psutil is None:
        return ""
    try:
        found = psutil.Process(pid)
        return "" if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.2f}"
    except psutil.Error:
        return ""


def alive(pid: int, its_mark: str, written_s: float) -> bool:
    """Whether the process `pid` with that mark is running now. `written_s`: when the mark was written, in unix seconds."""
    if pid == os.getpid():
        return is_own(pid, its_mark)
    psutil = _psutil()
    if not _exists(pid, psutil):
        return False
    if psutil is None or not its_mark:
        return True
    try:
        found = psutil.Process(pid)
        if found.status() == psutil.STATUS_ZOMBIE:
            return False
        started_s = found.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it is there, and nothing speaks against it
    if "/" in its_mark:
        return _fits_old_mark(its_mark, started_s, psutil.boot_time(), written_s)
    expected_s = _seconds(its_mark)
    # A mark in a form that a later version writes says nothing to this one.
    return expected_s is None or _is_same(started_s, expected_s)


def _fits_old_mark(its_mark: str, started_s: float, boot_s: float, written_s: float) -> bool:
    """Whether it is the process that wrote a mark of 0.1.0: of a boot before that moment, started so long after the boot."""
    ticks = its_mark.rpartition("/")[2]
    if not ticks.isdecimal() or not hasattr(os, "sysconf"):
        return False  # only Linux has written such marks
    since_boot_s = int(ticks) / os.sysconf("SC_CLK_TCK")
    return boot_s <= written_s + TOLERANCE_S and _is_same(started_s - boot_s, since_boot_s)


def _seconds(its_mark: str) -> float | None:
    try:
        return float(its_mark)
    except ValueError:
        return None


def _is_same(one_s: float | None, other_s: float | None) -> bool:
    return one_s is not None and other_s is not None and abs(one_s - other_s) <= TOLERANCE_S


def _exists(pid: int, psutil: Any) -> bool:
    if pid <= 0:
        return False
    try:
        if psutil is not None:
            return bool(psutil.pid_exists(pid))
        if os.name == "nt":
            return False  # os.kill would send CTRL+C; the system's lock keeps two from training the same
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
