"""What a training tells its user: lines on the console, and in the run's log. And what keeps its hooks from harming it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lib_lrsched import console
from lib_lrsched.host.webui import Host

from .run import TrainingRun

T = TypeVar("T")


class Voice:
    """Of one training."""

    def __init__(self, host: Host, run: TrainingRun) -> None:
        self.run = run
        self._host = host
        self._said: set[str] = set()

    def guard(self, action: Callable[[], T]) -> T | None:
        """Run a hook; what it raises is printed once and kept in the run's log, and training goes on."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001 the host swallows exceptions of its loop and skips its final save
            where = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            if message not in self._said:
                self._said.add(message)
                self.run.note(f"a hook failed: {message}", "error")
                self.say(f"LR Schedule: a hook failed, training goes on: {message}")
            return None

    def say_troubles(self) -> None:
        """What went wrong with the run's files, each thing once."""
        run = self.run
        # Where nothing of the run can be kept, its history cannot either: one message says it.
        history = [run.history.trouble] if run.history.trouble and not run.disk_trouble else []
        for message in [*run.troubles, *history]:
            if message not in self._said:
                self._said.add(message)
                self.say(f"LR Schedule: {message}")

    def tell_state_trouble(self, message: str) -> None:
        """What kept a state of the run from being written, unless that is what keeps all of the run's files."""
        self.say_troubles()
        if not self.run.disk_trouble:
            self.tell(message)

    def tell(self, message: str) -> None:
        """On the console and in the run's log."""
        self.run.note(message)
        self.say(f"LR Schedule: {message}")

    def tell_once(self, message: str) -> None:
        """The same, but each thing only the first time."""
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
