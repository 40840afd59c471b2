"""Is the process that wrote a file still there? Answers for Linux exactly, elsewhere by its number alone.

A process number is given out again sooner or later, in containers at once; so a process also has a mark: the
boot it belongs to and the moment it was started, as the kernel counts it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")
_START_TIME_FIELD = 19
"""Position of `starttime` after the bracketed name in /proc/PID/stat, proc(5)."""


@lru_cache(maxsize=1)
def _mark_of(pid: int) -> str:
    return mark(pid)


def own() -> tuple[int, str]:
    """Number and mark of this process."""
    return os.getpid(), _mark_of(os.getpid())


def mark(pid: int) -> str:
    """What tells the process apart from another one with its number; empty where the system does not say.

    Empty too for a process that has ended and that its parent has not yet asked after.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return ""
    # The name in brackets may itself hold blanks and brackets.
    values = stat.rpartition(")")[2].split()
    return "" if values[0] in "ZX" else f"{boot}/{values[_START_TIME_FIELD]}"


def alive(pid: int, its_mark: str) -> bool:
    """Whether the process `pid` with that mark is running now, as far as this system tells."""
    if pid == os.getpid():
        return its_mark == own()[1]
    if not _exists(pid):
        return False
    return not its_mark or its_mark == mark(pid)


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    if os.name == "nt":
        return _exists_on_windows(pid)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _exists_on_windows(pid: int) -> bool:
    """Asks for the exit code. (os.kill with signal 0 would send CTRL+C there.)"""
    import ctypes

    query_limited_information, still_active = 0x1000, 259
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(query_limited_information, 0, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    asked = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return bool(asked) and code.value == still_active
