"""Lines and progress bars on a console that may be closed, missing or unable to show a character: writing them never raises.

A console that cannot print must not end a training. A character that its encoding lacks is written as an escape, such as
\\u65e5; a line for a closed pipe, or for the missing console of pythonw, is dropped.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


class Guarded:
    """A text stream that never raises; None stands for the console that pythonw does not have."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.encoding = getattr(stream, "encoding", None) or "ascii"
        self.writes = 0

    def write(self, text: str) -> int:
        """Write ``text``, characters that the stream cannot encode as escapes."""
        self.writes += 1
        try:
            try:
                self.stream.write(text)
            except UnicodeEncodeError:
                self.stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        except Exception:  # noqa: BLE001, S110 whoever started this process chose the stream, and it may be any object
            pass
        return len(text)

    def flush(self) -> None:
        """Pass on what is held back, if the stream can."""
        with contextlib.suppress(Exception):  # as in write()
            self.stream.flush()

    def isatty(self) -> bool:
        """Whether somebody may be looking."""
        try:
            return bool(self.stream.isatty())
        except Exception:  # noqa: BLE001 as in write()
            return False

    def fileno(self) -> int:
        """The stream's own, which tqdm asks for the width of the terminal; it expects OSError where there is none."""
        try:
            return int(self.stream.fileno())
        except Exception as error:
            raise OSError("no console") from error

    # tqdm compares streams to find the bars that a line would tear.
    def __eq__(self, other: object) -> bool:
        return self.stream is getattr(other, "stream", other)

    def __hash__(self) -> int:
        return id(self.stream)


def stdout() -> Guarded:
    """Standard output as it is now."""
    return Guarded(sys.stdout)


def stderr() -> Guarded:
    """Standard error as it is now."""
    return Guarded(sys.stderr)


def line(text: str, stream: Guarded | None = None) -> None:
    """Write a line, on standard output by default, that leaves tqdm's bars whole."""
    target = stdout() if stream is None else Guarded(stream.stream)
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        target.write(f"{text}\n")
        target.flush()
        return
    try:
        tqdm.tqdm.write(text, file=target)
    except Exception:  # noqa: BLE001 a bar of somebody else's is on a stream that is closed: the line may still get through
        if not target.writes:
            target.write(f"{text}\n")
    target.flush()


def bar(*args: Any, stream: Guarded | None = None, disable: bool = False, **kwargs: Any) -> Any:
    """A bar of tqdm's, on standard error by default; a disabled one where the console cannot take it."""
    import tqdm

    try:
        return tqdm.tqdm(*args, file=stderr() if stream is None else stream, disable=disable, **kwargs)
    except (OSError, ValueError):  # it flushes sys.stdout and sys.stderr themselves
        return tqdm.tqdm(*args, disable=True, **kwargs)


def close_quietly() -> None:
    """Before the process ends: what a closed pipe did not take is dropped, where Python would complain of it at exit."""
    for stream in (sys.stdout, sys.stderr):
        _close_quietly(stream)


def _close_quietly(stream: Any) -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no console, or no file behind it
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
