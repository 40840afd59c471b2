"""The trainings of this process, each in its thread: who prepares or runs one, and that nobody else trains the same."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping

from lib_lrsched.errors import ConflictError
from lib_lrsched.storage import locks
from lib_lrsched.storage.locks import Call, Claim
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.training.run import TrainingRun
from lib_lrsched.training.session import Session

from . import in_progress, input_checks
from .choices import Chosen
from .in_progress import InProgress
from .installation import Installation
from .webui import Host


class Trainings:
    """Of one host, by thread, since two can run at once through the API.

    Attributes:
        sessions: one for each thread that has trained or trains.
        chosen: the choices with which each of those was prepared; later ones are for the next training.
        arrivals: held while embeddings or hypernetworks are loaded anew: no training starts meanwhile, for it would lose its own.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.sessions: dict[int, Session] = {}
        self.chosen: dict[int, Chosen] = {}
        self.arrivals = threading.RLock()
        self._calls: dict[int, Call] = {}
        self._claims: dict[int, Claim] = {}

    # What there is -------------------------------------------------------------------------

    def session(self) -> Session | None:
        """The training of the calling thread, while the host is hooked."""
        return self.sessions.get(threading.get_ident()) if self._installation.hooked else None

    def own_run(self) -> RunState | None:
        """The training that the calling thread has made last, or makes now; None before its loop has begun."""
        session = self.sessions.get(threading.get_ident())
        return None if session is None or not session.has_begun else session.run.state()

    def active(self) -> Mapping[str, TrainingRun]:
        """The runs that are trained, by id: a copy."""
        return {s.run.id: s.run for s in list(self.sessions.values()) if s.run.is_live and s.run.id}

    def threads(self) -> set[int]:
        """The threads in which a training is prepared or running."""
        sessions = dict(self.sessions)
        live = {thread for thread, session in sessions.items() if session.run.is_live}
        ended = {thread for thread, session in sessions.items() if session.has_ended}
        return live | {thread for thread, call in list(self._calls.items()) if thread not in ended and call.is_running}

    def in_progress(self) -> list[InProgress]:
        """Those that run or are being prepared."""
        host = self._installation.host
        is_ending = isinstance(host, Host) and bool(host.shared.state.interrupted)
        threads, sessions = self.threads(), dict(self.sessions)
        there = [sessions[thread] for thread in threads if thread in sessions and not sessions[thread].has_ended]
        return [in_progress.training(session, is_ending=is_ending) for session in there]

    def runs_in_use(self) -> set[str]:
        """The ids of the runs that are trained or about to be resumed."""
        there = [self.sessions[thread].run for thread in self.threads() if thread in self.sessions]
        resumed = {run.planned.resumed.state.id for run in there if run.planned.resumed.state is not None}
        return resumed | {run.id for run in there} | set(self.active())

    # Who trains what -----------------------------------------------------------------------

    def reserve(self, kind: str, name: str) -> None:
        """From now until the calling function returns nobody else trains this; a training in this thread may.

        Raises:
            InputError: somebody trains it already.
        """
        self.claim(kind, name, Call.of(inspect.currentframe().f_back))  # type: ignore[union-attr,arg-type]

    def claim(self, kind: str, name: str, call: Call) -> Claim:
        """The same until that call returns.

        Raises:
            InputError: somebody trains it already.
        """
        try:
            claim = locks.take(self._installation.store.root, kind, name, call)
        except ConflictError as error:
            raise input_checks.InputError(str(error)) from error
        self._claims[call.thread] = claim
        return claim

    def release(self, thread: int) -> None:
        """Others may train what this thread has claimed."""
        claim = self._claims.pop(thread, None)
        if claim is not None:
            claim.release()

    def prepare(self, call: Call) -> None:
        """A training is prepared in that call of the host's train function."""
        with self.arrivals:
            self._calls[call.thread] = call

    def drop(self, thread: int) -> None:
        """Its training is over: others need not wait until the host's train function has returned."""
        self._calls.pop(thread, None)
        self.release(thread)

    def leave(self, call: Call) -> None:
        """The thread starts over: what it had pending is dropped, but for what a calling function has reserved."""
        self.sessions.pop(call.thread, None)
        self._calls.pop(call.thread, None)
        claim = self._claims.get(call.thread)
        if claim is not None and (claim.call.code is call.code or not claim.call.is_running):
            self.release(call.thread)
