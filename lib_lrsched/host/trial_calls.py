"""Calls of the host's train function that are trials, each in its thread: they train nothing and write nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lib_lrsched.training.trial import Trial
from lib_lrsched.training.trial_session import TrialSession

from . import input_checks
from .installation import Installation
from .trainings import Trainings


class TrialCalls:
    """Of one host, by thread.

    Attributes:
        requested: the trials that were requested and are not over; nothing is trained meanwhile.
        sessions: of those whose call has begun.
        when_over: called when one is over, and its thread has nothing more to hook.
    """

    def __init__(self, installation: Installation, trainings: Trainings) -> None:
        self._installation = installation
        self._trainings = trainings
        self.requested: dict[int, Trial] = {}
        self.sessions: dict[int, TrialSession] = {}
        self.when_over: Callable[[], None] = lambda: None

    def session(self) -> TrialSession | None:
        """The trial of the calling thread, while the host is hooked."""
        return self.sessions.get(threading.get_ident()) if self._installation.hooked else None

    @contextmanager
    def trying(self, trial: Trial) -> Iterator[None]:
        """Within it a call of the host's train function, in this thread, is the trial.

        Raises:
            InputError: the hooks are not there, or switched off: it would be a training.
        """
        if not self._installation.info()["hooked"]:
            raise input_checks.InputError(f"cannot run a trial: {self._installation.info()['why']}")
        thread = threading.get_ident()
        self.requested[thread] = trial
        try:
            yield
        finally:
            self.requested.pop(thread, None)
            session = self.sessions.pop(thread, None)
            if session is not None:
                session.end()
                self._trainings.drop(thread)
            self.when_over()
