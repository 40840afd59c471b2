"""Trials that are asked for through the endpoints: each in a thread of its own, in the host's queue, kept when it has ended.

    waiting    until the host's queue is free and nobody trains            DELETE: stopped, and nothing has run
    running    inside a call of the host's train function, see training/trial_session.py
    finished, stopped (by the user), failed

The thread is a daemon's: where the process ends, nothing is left of the trial.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from math import isfinite
from typing import Any

from lib_lrsched.errors import ConflictError, ScheduleError
from lib_lrsched.storage import locks
from lib_lrsched.storage.trial_store import TrialRecord, TrialStore
from lib_lrsched.training.host import Trainer
from lib_lrsched.training.trial import Trial, Tried

from .installation import Installation
from .trainings import Trainings
from .trial_calls import TrialCalls
from .trial_request import Estimate, TrialInputs, TrialRequests, Wanted
from .webui import Host

MOST_WAITING = 20
LOOK_EVERY_S = 0.2
"""A waiting trial looks so often whether a training has ended that does not use the host's queue."""

FEWEST_TIMED = 3
"""Updates of candidates from which the time that is left is told."""

logger = logging.getLogger(__name__)


class TrialRunner:
    """The trials of one host; called from the server's threads."""

    def __init__(self, installation: Installation, trainings: Trainings, trial_calls: TrialCalls, requests: TrialRequests) -> None:
        self._installation = installation
        self._trainings = trainings
        self._trial_calls = trial_calls
        self._requests = requests
        self._lock = threading.RLock()
        self._jobs: dict[str, _Job] = {}  # waiting and running ones, the newest last
        self._called: _Job | None = None  # the one whose job is the host's

    def start(self, given: TrialInputs) -> str:
        """Start a trial in a thread of its own; its id.

        Raises:
            ConflictError, RequestError, ScheduleError: see TrialRequests.checked().
        """
        wanted = self._requests.checked(given)
        with self._lock:
            if len(self._jobs) >= MOST_WAITING:
                raise ConflictError(f"{MOST_WAITING} trials are waiting already: end one of them first")
            now_s, store = time.time(), self._installation.store.trials
            job = _Job(store.new_id(given.kind, given.name, now_s, {*self._jobs}), wanted, now_s, store)
            self._jobs[job.id] = job
        threading.Thread(target=self._work, args=(job,), name=f"lrsched-trial-{job.id}", daemon=True).start()
        return job.id

    def estimate(self, given: TrialInputs) -> Estimate:
        """How much a trial is; refused as its start would be."""
        return self._requests.estimate(self._requests.checked(given))

    def all(self) -> list[dict[str, Any]]:
        """A line for each, the newest first."""
        with self._lock:
            live = [job.record() for job in reversed(self._jobs.values())]
        known = {record.id for record in live}
        records = [*live, *(record for record in self._installation.store.trials.all() if record.id not in known)]
        return [_line(record) for record in sorted(records, key=lambda one: (one.started_s, one.id), reverse=True)]

    def get(self, trial_id: str) -> dict[str, Any] | None:
        """All of one; None where there is none."""
        job = self._jobs.get(trial_id)
        if job is not None:
            waits_for = self._waits_for(job) if job.state == "waiting" else ""
            return _answer(job.record(waits_for), job.trial.expected, job.seconds_left())
        record = self._installation.store.trials.get(trial_id)
        return None if record is None else _answer(record, record.made, None)

    def running(self) -> dict[str, Any] | None:
        """All of the one that runs; None where none does."""
        job = self._called
        return None if job is None else _answer(job.record(), job.trial.expected, job.seconds_left())

    def image(self, trial_id: str, number: int) -> bytes | None:
        """A PNG of a candidate, by its place in the answer."""
        job = self._jobs.get(trial_id)
        return job.images().get(number) if job is not None else self._installation.store.trials.image(trial_id, number)

    def end(self, trial_id: str, expected: str | None = None) -> bool:
        """End one that waits or runs, delete one that has ended; whether there is one.

        Args:
            expected: the state in which the asker has seen it; None where any will do.

        Raises:
            ConflictError: it is in another.
        """
        with self._lock:
            job = self._jobs.get(trial_id)
            record = self._installation.store.trials.get(trial_id) if job is None else None
            if job is None and record is None:
                return False
            state = record.state if job is None and record is not None else job.state  # type: ignore[union-attr]
            if expected is not None and state != expected:
                raise ConflictError(f"the trial {trial_id} is {state} by now, not {expected}: nothing was changed")
            if job is not None:
                self._stop(job)
                return True
        return self._installation.store.trials.delete(trial_id)

    def close(self) -> None:
        """The hooks are taken off: end all."""
        with self._lock:
            for job in list(self._jobs.values()):
                self._stop(job, "the page was reloaded before it had ended")

    def _stop(self, job: _Job, why: str = "") -> None:
        """A running one ends before its next pass; nobody else's job is interrupted. The lock is held."""
        job.is_wanted.clear()
        job.trial.stop()
        if job.state == "waiting":
            self._end(job, "stopped", why)
        elif job is self._called:
            self._host.shared.state.interrupt()  # the host may be preparing its data set, or drawing
            job.message = why

    # In the thread of the trial -------------------------------------------------------------------

    @property
    def _host(self) -> Host:
        host = self._installation.host
        assert isinstance(host, Host), "a trial was asked for"
        return host

    @property
    def _trainer(self) -> Trainer:
        trainer = self._host.trainer
        assert trainer is not None, "a trial was asked for"
        return trainer

    def _work(self, job: _Job) -> None:
        """Its state follows when everything is as it was before it: who sees it may train."""
        outcome: tuple[str, str] | None = None
        self._trainer.enqueue(job.task)
        try:
            while outcome is None and job.is_wanted.is_set():
                while job.is_wanted.is_set() and self._busy(job):
                    job.has_ended.wait(LOOK_EVERY_S)
                outcome = self._run(job)
        except Exception as error:  # noqa: BLE001 as the host's wrapper: whatever was raised is shown
            outcome = _failure(job, error)
        finally:
            self._trainer.leave(job.task)
            with self._lock:
                if job.ended_s is None:
                    self._end(job, *(outcome or ("failed", "it broke off")))

    def _run(self, job: _Job) -> tuple[str, str] | None:
        """Run it with the host's queue. None where it is not wanted any more, or where a training has begun that needs no queue."""
        with self._trainer.lock:
            if not job.is_wanted.is_set():
                return None
            with self._trial_calls.trying(job.trial):  # from here on no training begins
                if self._busy(job):
                    return None
                with self._trainer.job(job.task):
                    return self._called_host(job)

    def _called_host(self, job: _Job) -> tuple[str, str] | None:
        """State and message."""
        with self._lock:
            if not job.is_wanted.is_set():
                return None
            job.state, self._called = "running", job
        try:
            self._trainer.train(job.wanted.kind, {**job.wanted.arguments, "id_task": job.task})
            is_over = bool(self._host.shared.state.interrupted) or job.trial.is_stopped
        except Exception as error:
            if not self._host.shared.state.interrupted and not job.trial.is_stopped:
                raise
            logger.debug("trial %s: %s", job.id, error)  # the host's data set says that it was interrupted
            return "stopped", ""
        finally:
            with self._lock:
                self._called = None
        return _outcome(job.trial, is_over=is_over)

    def _end(self, job: _Job, state: str, message: str) -> None:
        """The lock is held."""
        job.state, job.message, job.ended_s = state, message or job.message, time.time()
        try:
            job.store.save(job.record(), job.images())
        finally:
            self._jobs.pop(job.id, None)
            job.has_ended.set()

    # What it waits for ----------------------------------------------------------------------------

    def _busy(self, job: _Job) -> str:
        """Which training does not let it run, although nobody has the host's queue; empty where none is."""
        others = self._trainings.threads() - {threading.get_ident()}
        if others:
            names = sorted({repr(run.request.name) for run in self._trainings.active().values()})
            return f"the training of {' and '.join(names)}" if names else "another training"
        wanted = job.wanted
        holder = locks.holder(self._installation.store.root, wanted.kind, wanted.name)
        if holder is None or holder.pid == os.getpid():
            return ""
        return f"the training of {wanted.name!r} in another process, {holder.pid},"

    def _waits_for(self, job: _Job) -> str:
        called = self._called
        if called is not None and called is not job:
            return f"waits until the trial of {called.wanted.name!r} has ended"
        return f"waits until {self._busy(job) or 'the job before it'} has ended"


class _Job:
    """One trial on its way."""

    def __init__(self, trial_id: str, wanted: Wanted, started_s: float, store: TrialStore) -> None:
        self.id = trial_id
        self.wanted = wanted
        self.store = store
        self.trial = Trial(wanted.spec, self._count)
        self.state = "waiting"
        self.message = ""
        self.started_s = started_s
        self.ended_s: float | None = None
        self.is_wanted = threading.Event()
        self.is_wanted.set()
        self.has_ended = threading.Event()
        self._first: tuple[int, float] | None = None
        self._newest: tuple[int, float] = (0, 0.0)

    @property
    def task(self) -> str:
        """As the host writes the ids of its tasks."""
        return f"task(lrsched-{self.id})"

    def _count(self, made: int) -> None:
        """When the first candidate's first update is made, and the newest, images left out: the baseline's are quicker."""
        self._newest = made, time.monotonic() - self.trial.drawing_s
        if self._first is None and made > self.wanted.spec.updates:
            self._first = self._newest

    def _pace(self) -> float | None:
        """Seconds for an update of a candidate."""
        if self._first is None or self._newest[0] - self._first[0] < FEWEST_TIMED:
            return None
        pace = (self._newest[1] - self._first[1]) / (self._newest[0] - self._first[0])
        return pace if pace > 0 else None

    def seconds_left(self) -> float | None:
        pace, trial = self._pace(), self.trial
        if pace is None or self.ended_s is not None:
            return None
        left = trial.expected - trial.made
        return pace * left + (trial.s_per_image or 0.0) * left / self.wanted.spec.updates

    def images(self) -> dict[int, bytes]:
        return {n: one.image for n, one in enumerate(self.trial.tried) if one.image is not None}

    def record(self, waits_for: str = "") -> TrialRecord:
        """As it is now."""
        trial, wanted, answer = self.trial, self.wanted, self.trial.answer
        arguments = wanted.arguments
        return TrialRecord(
            id=self.id, kind=wanted.kind, name=wanted.name, text=arguments["learn_rate"], steps=arguments["steps"],
            state=self.state, message=waits_for or self.message, messages=list(trial.messages),
            started_s=self.started_s, ended_s=self.ended_s,
            updates=wanted.spec.updates, seed=wanted.spec.seed, made=trial.made, what="texts" if wanted.spec.texts else "rates",
            candidates=[_candidate(one, trial.baseline, is_running=self.ended_s is None) for one in trial.tried],
            suggested=None if answer is None else answer.suggested, why="" if answer is None else answer.why,
            inputs=wanted.inputs, s_per_update=self._pace(), s_per_image=trial.s_per_image,
        )


def _outcome(trial: Trial, *, is_over: bool) -> tuple[str, str]:
    """State and message of one whose call has returned. ``is_over``: it was to end, if only before the host's first update."""
    if trial.was_interrupted:
        return "stopped", ""
    if trial.error is not None:
        return "failed", f"{type(trial.error).__name__}: {trial.error}"
    if trial.answer is None and is_over:
        return "stopped", ""
    if trial.answer is None:
        return "failed", "nothing is left to train: raise max steps"
    return "finished", ""


def _failure(job: _Job, error: Exception) -> tuple[str, str]:
    """Of one that could not run. What a user has done is said in a sentence, all else with its traceback on the console."""
    message = error.message if isinstance(error, ScheduleError) else str(error)
    if message and isinstance(error, (ValueError, AssertionError)):
        return "failed", message
    logger.warning("LR Schedule: the trial %s failed", job.id, exc_info=error)
    return "failed", f"{type(error).__name__}: {message}"


def _candidate(one: Tried, baseline: tuple[float, ...], *, is_running: bool) -> dict[str, Any]:
    candidate, row = one.candidate, one.row
    numbers = (None, None, None, None) if row is None else (row.progress, row.low, row.high, row.stopped_at)
    progress, low, high, stopped_at = (value if value is None or isfinite(value) else None for value in numbers)
    return {
        "text": candidate.text, "factor": candidate.factor, "rate": candidate.rate,
        "progress": progress, "low": low, "high": high, "stopped_at": stopped_at,
        "curve": [[*point] for point in one.curve(baseline)], "image": one.image is not None, "running": is_running and row is None,
    }  # fmt: skip


def _line(record: TrialRecord) -> dict[str, Any]:
    names = ("id", "kind", "name", "text", "state", "started_s", "ended_s", "suggested", "why")
    return {**{name: getattr(record, name) for name in names}, "candidates": len(record.candidates)}


SHOWN = ("id", "kind", "name", "text", "steps", "state", "message", "messages", "started_s", "ended_s", "updates", "seed", "made",
         "what", "candidates", "suggested", "why", "inputs")
"""Of a record, what an answer has."""


def _answer(record: TrialRecord, expected: int, seconds_left: float | None) -> dict[str, Any]:
    return {**{name: getattr(record, name) for name in SHOWN}, "expected": expected, "seconds_left": seconds_left}
