"""What could not be read below the state folder: each message once, for the tab and the console."""

from __future__ import annotations

import threading
from pathlib import Path

from lib_lrsched.errors import RunStateError

from .atomic_files import set_aside

MAX_MESSAGES = 100


class Messages:
    """The newest messages, each once. Safe to use from several threads."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def say(self, message: str) -> None:
        """Adds a message that is not there yet."""
        with self._lock:
            if message not in self.all:
                self.all = [*self.all, message][-MAX_MESSAGES:]

    def set_aside(self, path: Path, damage: RunStateError) -> None:
        """Renames a damaged file, so that nothing overwrites it, and says so."""
        try:
            target = set_aside(path)
        except OSError as error:
            self.say(f"{damage}; it cannot be renamed: {error.strerror or error}")
        else:
            self.say(f"{damage}; it is set aside as {target.name}")

    def take(self) -> list[str]:
        """The messages that nobody has taken yet."""
        with self._lock:
            new = [message for message in self.all if message not in self._taken]
            self._taken.update(new)
        return new
