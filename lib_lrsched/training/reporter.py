"""What a training tells its user: lines on the console, and in the run's log. And what keeps our code from harming the loop."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lib_lrsched import console

from .host import Host
from .run import TrainingRun

T = TypeVar("T")


class Reporter:
    """Of one training."""

    def __init__(self, host: Host, run: TrainingRun) -> None:
        self._run = run
        self._host = host
        self._said: set[str] = set()

    def protect(self, action: Callable[[], T]) -> T | None:
        """Do something in the host's loop; what it raises is reported once, and training continues."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001 the host swallows exceptions of its loop and skips its final save
            self.failed(error)
            return None

    def failed(self, error: Exception) -> None:
        """Something of ours has raised: once in the run's log, and on the console with its whole traceback."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        if message in self._said:
            return
        self._said.add(message)
        self._run.note(f"a hook failed: {message}", "error")
        whole = "".join(traceback.format_tb(error.__traceback__)).rstrip()
        self.say(f"LR Schedule: a hook failed, training continues: {message}\n{whole}")

    def say_troubles(self) -> None:
        """What went wrong with the run's files, each message once."""
        run = self._run
        # Where nothing of the run can be kept, its history cannot either: one message says it.
        history = [run.history.trouble] if run.history.trouble and not run.disk_trouble else []
        for message in [*run.troubles, *history]:
            if message not in self._said:
                self._said.add(message)
                self.say(f"LR Schedule: {message}")

    def tell_state_trouble(self, message: str) -> None:
        """What kept a state of the run from being written, unless that is what keeps all of the run's files."""
        self.say_troubles()
        if not self._run.disk_trouble:
            self.tell(message)

    def tell(self, message: str, event: str = "note") -> None:
        """On the console and in the run's log."""
        self._run.note(message, event)
        self.say(f"LR Schedule: {message}")

    def tell_once(self, message: str) -> None:
        """The same, but each message only the first time."""
        if message not in self._said:
            self._said.add(message)
            self.tell(message)

    def say(self, message: str) -> None:
        """A line on the console. A host of ours may take it instead."""
        opts = self._host.shared.opts
        say = getattr(opts, "practice_say", None)
        if say is not None:
            say(message)
        elif not getattr(opts, "practice_quiet", False):
            console.line(message)
