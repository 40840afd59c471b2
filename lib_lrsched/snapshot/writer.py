"""A thread that writes what it is given, one item at a time; of what waits, only the newest is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from lib_lrsched.storage import disk_errors

T = TypeVar("T")


class Writer(Generic[T]):
    """The thread starts with the first submission. What ``write`` raises becomes a message; training continues.

    Args:
        write: called in the thread.
    """

    def __init__(self, write: Callable[[T], None]) -> None:
        self._write = write
        self._waiting: T | None = None
        self._is_closed = False
        self._is_writing = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._troubles: list[str] = []
        self._told: set[str] = set()

    def submit(self, item: T) -> None:
        """Has it written when the thread gets to it; what was waiting is given up for it."""
        with self._changed:
            self._waiting = item
            if self._thread is None:
                # A daemon: a process that ends does not wait for a disk that does not answer. close() does.
                self._thread = threading.Thread(target=self._run, name="lrsched-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def write_now(self, item: T) -> None:
        """Writes it in the calling thread; it is on the disk when this returns, or has failed."""
        try:
            self._write(item)
        except Exception as error:  # noqa: BLE001 whatever a disk or a library does, training continues
            self._trouble(error)

    @property
    def is_busy(self) -> bool:
        """Whether something waits or is being written."""
        with self._changed:
            return self._waiting is not None or self._is_writing

    def wait(self) -> None:
        """Waits until everything that was submitted is written or has failed."""
        with self._changed:
            while self._waiting is not None or self._is_writing:
                self._changed.wait()

    def close(self) -> None:
        """Waits until everything that was submitted is written or has failed, and ends the thread."""
        with self._changed:
            thread, self._is_closed = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def take_troubles(self) -> list[str]:
        """What went wrong, each message once."""
        with self._changed:
            troubles, self._troubles = self._troubles, []
        return troubles

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._is_closed:
                    self._changed.wait()
                item, self._waiting = self._waiting, None
                self._is_writing = item is not None
            if item is None:
                return
            self.write_now(item)
            item = None
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()

    def _trouble(self, error: Exception) -> None:
        message = f"the snapshot cannot be saved; training continues: {disk_errors.why(error)}"
        with self._changed:
            if message not in self._told:
                self._told.add(message)
                self._troubles.append(message)
