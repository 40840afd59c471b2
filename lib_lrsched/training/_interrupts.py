"""Ctrl-C, held back while something must not be left half done."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Held:
    """Inside its blocks a signal that would raise an exception waits for the end of the outermost; a second one does not wait.

    Python runs handlers in the main thread, and lets only that one exchange them: in other threads this does nothing.
    A signal without a handler of Python's is left alone; what it does to the process is as good as a power cut.
    Exchanging handlers takes some 20 us: between ``keep`` and ``release`` they stay, and a block costs next to nothing.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._waiting: list[int] = []
        self._depth = 0
        self._is_kept = False

    def keep(self) -> None:
        """Have the handlers ready for many blocks."""
        self._exchange()
        self._is_kept = True

    def release(self) -> None:
        """Put back what was there."""
        self._is_kept = False
        self._put_back()

    def __enter__(self) -> Held:
        if self._depth == 0 and not self._is_kept:
            self._exchange()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._depth == 1 and not self._is_kept:
                self._put_back()
        finally:
            self._depth -= 1
        if self._waiting and not self._depth:
            number = self._waiting[0]
            self._waiting.clear()
            signal.raise_signal(number)

    def _exchange(self) -> None:
        if self._handlers or threading.get_ident() != threading.main_thread().ident:
            return
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._handle)

    def _put_back(self) -> None:
        for number, handler in list(self._handlers.items()):
            if signal.getsignal(number) == self._handle:  # else somebody has put theirs over it, and passes on to ours
                signal.signal(number, handler)
                del self._handlers[number]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._depth and not self._waiting:
            self._waiting.append(number)
            return
        self._handlers[number](number, frame)
