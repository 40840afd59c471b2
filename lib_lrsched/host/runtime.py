"""What an installation on a host knows, asked by the JSON endpoints and by the hooks: runs, files, choices.

The endpoints call from the server's threads. It replaces nothing in the host: _training_hooks.py and _saving_hooks.py do.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from lib_lrsched.errors import ConflictError, RequestError, RunStateError, ScheduleError
from lib_lrsched.schedule.counting import needs_images
from lib_lrsched.snapshot import find, recovery
from lib_lrsched.snapshot.snapshot import peek
from lib_lrsched.storage import locks
from lib_lrsched.storage.locks import Call, Claim
from lib_lrsched.storage.resume import CHOICES, KeptState, Resumption, leaves_run
from lib_lrsched.storage.run_state import Known, RunState
from lib_lrsched.storage.store import Store
from lib_lrsched.training.options import ActiveOptions, Options, with_chosen, with_stored
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import TrainingRun
from lib_lrsched.training.run_plan import RunPlan
from lib_lrsched.training.session import Session
from lib_lrsched.training.trial import Trial
from lib_lrsched.training.trial_session import TrialSession

from . import _profile_check, _run_keeping, in_progress, input_checks, preflight, run_transfer, validation_images
from .images import count_images, count_in_time
from .in_progress import InProgress
from .kinds import kind_of
from .preflight_case import ERROR, WARNING, Case, Finding
from .trial_runner import TrialRunner
from .webui import Host, NoTraining

ORDER = ("training", "preparing", "trial")
_stores: dict[Path, Store] = {}
"""Of the process, by folder: "Reload UI" makes a new runtime, and what a full disk did not take is in the store's memory."""


class Runtime:
    """Of one host: its trainings by thread, and its store."""

    def __init__(self, host: Host | NoTraining) -> None:
        self.host = host
        self.hooked = False
        self.sessions: dict[int, Session] = {}
        self.trial_requests: dict[int, Trial] = {}  # by thread, until they are over; none is trained meanwhile
        self.trials: dict[int, TrialSession] = {}
        self.trial_runner = TrialRunner(self)
        self.when_tried: Callable[[], None] = lambda: None  # a trial is over, and its thread has nothing more to hook
        self._choices: dict[tuple[str, str], str] = {}
        self._kept: dict[tuple[str, str], KeptState] = {}
        self._options: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.calls: dict[int, Call] = {}
        self._claims: dict[int, Claim] = {}
        # Held while embeddings or hypernetworks are loaded anew: no training starts meanwhile, for it would lose its own.
        self.arrivals = threading.RLock()

    @property
    def store(self) -> Store:
        """The store in the folder that is set now."""
        root = Path(self.host.settings().state_dir or self.host.data_dir)
        return _stores.setdefault(root, Store(root, recovery.rebuilt))

    def host_info(self) -> Mapping[str, Any]:
        why = self.host.why if isinstance(self.host, NoTraining) else ""
        if not why and not self.hooked:
            why = "the hooks are not installed"
        elif not why and not self.host.settings().enabled:
            why = "switched off in the settings: the WebUI's own schedules are in force"
        return {"name": self.host.name, "hooked": not why, "why": why}

    def active(self) -> Mapping[str, TrainingRun]:
        return {s.run.id: s.run for s in list(self.sessions.values()) if s.run.is_live and s.run.id}

    def in_progress(self) -> list[InProgress]:
        """The trainings that run or are being prepared, those that run first, and the trial that runs."""
        is_ending = isinstance(self.host, Host) and bool(self.host.shared.state.interrupted)
        threads, sessions = self.training_threads(), dict(self.sessions)
        there = [sessions[thread] for thread in threads if thread in sessions and not sessions[thread].has_ended]
        found = [in_progress.training(session, is_ending=is_ending) for session in there]
        trial = self.trial_runner.running()
        return sorted([*found, *([] if trial is None else [in_progress.trial(trial)])], key=lambda one: ORDER.index(one.what))

    def interrupt(self, kind: str, name: str, run_id: str | None) -> None:
        """End a training as the host's own button does: before its next update, and saved.

        Raises:
            ConflictError: it is not in progress, or not it alone.
        """
        in_progress.check_can_be_interrupted(self.in_progress(), kind, name, run_id)
        assert isinstance(self.host, Host), "something is trained"
        self.host.shared.state.interrupt()

    def training_threads(self) -> set[int]:
        """The threads in which a training is prepared or running."""
        sessions = dict(self.sessions)
        live = {thread for thread, session in sessions.items() if session.run.is_live}
        ended = {thread for thread, session in sessions.items() if session.has_ended}
        return live | {thread for thread, call in list(self.calls.items()) if thread not in ended and call.is_running}

    def reserve(self, kind: str, name: str) -> None:
        """From now until the calling function returns nobody else trains this; a training in this thread may.

        Raises:
            InputError: somebody trains it already.
        """
        self.claim(kind, name, Call.of(inspect.currentframe().f_back))  # type: ignore[union-attr,arg-type]

    def claim(self, kind: str, name: str, call: Call) -> Claim:
        try:
            claim = locks.take(self.store.root, kind, name, call)
        except ConflictError as error:
            raise input_checks.InputError(str(error)) from error
        self._claims[call.thread] = claim
        return claim

    def leave(self, call: Call) -> None:
        """The thread starts over: what it had pending is dropped, but for what a calling function has reserved."""
        self.sessions.pop(call.thread, None)
        self.calls.pop(call.thread, None)
        claim = self._claims.get(call.thread)
        if claim is not None and (claim.call.code is call.code or not claim.call.is_running):
            self.release(call.thread)

    def release(self, thread: int) -> None:
        claim = self._claims.pop(thread, None)
        if claim is not None:
            claim.release()

    def _in_use(self) -> set[str]:
        """The ids of the runs that are trained or about to be resumed."""
        there = [self.sessions[thread].run for thread in self.training_threads() if thread in self.sessions]
        resumed = {run.planned.resumed.state.id for run in there if run.planned.resumed.state is not None}
        return resumed | {run.id for run in there} | set(self.active())

    def session(self) -> Session | None:
        """The training of the calling thread, while the host is hooked."""
        return self.sessions.get(threading.get_ident()) if self.hooked else None

    def trial(self) -> TrialSession | None:
        """The trial of the calling thread, while the host is hooked."""
        return self.trials.get(threading.get_ident()) if self.hooked else None

    @contextmanager
    def trying(self, trial: Trial) -> Iterator[None]:
        """Within it a call of the host's train function, in this thread, is the trial: it trains nothing and writes nothing.

        Raises:
            InputError: the hooks are not there, or switched off: it would be a training.
        """
        if not self.host_info()["hooked"]:
            raise input_checks.InputError(f"cannot run a trial: {self.host_info()['why']}")
        thread = threading.get_ident()
        self.trial_requests[thread] = trial
        try:
            yield
        finally:
            self.trial_requests.pop(thread, None)
            session = self.trials.pop(thread, None)
            if session is not None:
                session.end()
                self.calls.pop(thread, None)
                self.release(thread)
            self.when_tried()

    def own_run(self) -> RunState | None:
        """The training that the calling thread has made last, or makes now; None before its loop has begun."""
        session = self.sessions.get(threading.get_ident())
        return None if session is None or not session.has_begun else session.run.state()

    def lookup(self, kind: str, name: str) -> Known | None:
        """The form of what the host has under a name now; None where there is nothing."""
        if isinstance(self.host, NoTraining):
            return None
        return kind_of(kind).known(self.host, self.store, name)

    def unfillable(self, kind: str | None, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As _profile_check.unfillable()."""
        return _profile_check.unfillable(self.host, kind, inputs, options)

    def count_images(self, folder: str, within_s: float | None = None) -> int | None:
        read = None if isinstance(self.host, NoTraining) else self.host.read_image
        try:
            return count_images(folder, read) if within_s is None else count_in_time(folder, read, within_s)
        except OSError:
            return None

    def data_trouble(self, folder: str) -> str:
        """As preflight.data_trouble(), which stops at the first image."""
        return preflight.data_trouble(self.host, folder)

    def validation_folder(self, data_root: str, within_s: float) -> dict[str, Any] | None:
        """How many images the folder `validation` of a data set has, as count_images(); None where there is no such folder."""
        path = validation_images.folder(data_root)
        return None if path is None else {"images": self.count_images(str(path), within_s)}

    def findings(self, kind: str, name: str, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
        """As preflight.findings(); nothing where we are switched off."""
        if not self.host.settings().enabled:
            return []
        options = with_stored(self._base_options(kind, name)[0], self.chosen_options(kind, name))
        found = preflight.findings(self.host, kind, name, inputs, self._saved_step(kind, name), options)
        more = [*self._waits_for(kind, name), *self._of_resuming(kind, name, inputs)]
        is_said = {one["subject"] for one in found if one["severity"] == ERROR}
        found += [one._asdict() for one in more if not (one.severity == ERROR and one.subject in is_said)]
        return sorted(found, key=lambda one: one["severity"] != ERROR)

    def _waits_for(self, kind: str, name: str) -> Iterator[Finding]:
        """What is running and has to end before the host begins with this training."""
        others = [run for run in self.active().values() if (run.request.kind, run.request.name) != (kind, name)]
        for state in (run.state() for run in others):
            yield Finding(WARNING, "queue", f"the {state.kind} {state.name!r} is being trained, step {state.step:,} of "
                                            f"{state.total_steps:,}: this training waits in the queue until it ends")
        if self.trial_requests or self.trials:
            yield Finding(WARNING, "queue", "a trial is running: this training waits in the queue until it ends")

    def _of_resuming(self, kind: str, name: str, inputs: Mapping[str, Any]) -> Iterator[Finding]:
        """What comes of the place at which the text begins: a rate that jumps, a beginning that is over, no room for it."""
        try:
            planned = self._planned_run(kind, name, inputs)
        except ScheduleError as error:
            is_clip = error.source != inputs.get("learn_rate")
            what, subject = ("gradient clip value", "clip_grad_value") if is_clip else ("learning rate", "learn_rate")
            yield Finding(ERROR, subject, preflight.cannot_be_planned(what, error))
            return
        except (ValueError, ArithmeticError):  # a number that no plan can have; its field says so
            return
        if planned is None:
            return
        run, step = planned
        for message in run.stretches(step):
            yield Finding(WARNING, "learn_rate", message)
        tail = run.tail(step)
        if tail:
            yield Finding(WARNING, "resume", f"training resumes at step {step:,}: {tail}. To play the text from its beginning, "
                                             "choose that as the resume mode")

    def stretches(self, kind: str, name: str, inputs: Mapping[str, Any]) -> list[str]:
        """What the inputs of the next training do to the rate of the stored run that it resumes; nothing where it cannot start."""
        try:
            planned = self._planned_run(kind, name, inputs)
        except (ValueError, ArithmeticError):  # a ScheduleError too: the field shows what is wrong with the text
            return []
        return [] if planned is None else planned[0].stretches(planned[1])

    def _planned_run(self, kind: str, name: str, inputs: Mapping[str, Any]) -> tuple[RunPlan, int] | None:
        """The plan of the next training with these inputs, and the step at which it begins; None where there is nothing to plan.

        Raises:
            ScheduleError: a text that cannot be planned.
            ValueError: a number with which nothing can.
        """
        if isinstance(self.host, NoTraining):
            return None
        now, resumed = self.resumption_of(kind, name)
        case = Case(self.host, kind, name, inputs)
        if now is None or not case.whole("steps") or not case.text("learn_rate"):
            return None
        text, clip, mode = (case.text(field) for field in ("learn_rate", "clip_grad_value", "clip_grad_mode"))
        clip, mode = (clip, mode) if mode in input_checks.CLIPPING else ("", "disabled")
        known = self.count_images(case.text("data_root")) if needs_images(f"{text} {clip}") else None
        request = Request(kind, name, text, case.whole("steps"), case.whole("batch_size") or 1, case.whole("gradient_step") or 1,
                      mode, clip, images=known or None)
        step = now.step if resumed.step is None else resumed.step
        run = RunPlan(request, resumed)
        run.resume_at(step)
        return run, step

    def _saved_step(self, kind: str, name: str) -> int:
        """Updates in the host's file; 0 where there is something newer, which training with the same max steps saves."""
        now, resumed = self.resumption_of(kind, name)
        if now is not None and resumed.step is not None and resumed.step < now.step:
            return resumed.step  # the run goes back
        if now is None or (resumed.state is not None and resumed.state.main_digest != now.digest):
            return 0
        return now.step if (resumed.step or 0) <= now.step else 0

    def resumption_of(self, kind: str, name: str) -> tuple[Known | None, Resumption]:
        """What the host has under a name, and with which stored run and from which step its next training resumes."""
        now, choice = self.lookup(kind, name), self.chosen(kind, name)
        try:
            return now, find.find(self.store, kind, name, now, choice, peek, self.kept(kind, name))[0]
        except (RequestError, RunStateError) as error:  # what was chosen is gone, and a training would be refused
            return now, Resumption(choice, messages=(str(error),))

    def snapshots(self, run_id: str) -> dict[str, Any]:
        """The snapshots of a run and its best state, each looked at."""
        return run_transfer.snapshots_json(self.store, run_id)

    def check(self, run_id: str) -> dict[str, Any]:
        """As _run_keeping.check()."""
        return _run_keeping.check(self.store, run_id)

    def keep_last(self, run_id: str) -> dict[str, Any]:
        """As _run_keeping.keep_last(): `{"freed_bytes", "deleted", "step"}`."""
        return _run_keeping.keep_last(self.store, self._in_use(), run_id)._asdict()

    def delete_run(self, run_id: str) -> None:
        """As run_transfer.delete()."""
        run_transfer.delete(self.store, self._in_use(), run_id)

    def export_run(self, run_id: str, target: BinaryIO) -> None:
        """As run_transfer.export()."""
        run_transfer.export(self.store, run_id, target)

    def import_run(self, source: Path, name: str) -> str:
        """As run_transfer.import_run()."""
        with self.arrivals:
            return run_transfer.import_run(self.host, self.store, self.training_threads(), source, name)

    def usable(self, state: RunState) -> list[str]:
        return run_transfer.usable(self.store, state)

    def use(self, run_id: str, what: str) -> dict[str, Any]:
        """As run_transfer.use(): `{"file", "step", "message"}`."""
        with self.arrivals:
            return run_transfer.use(self.host, self.store, self.training_threads(), run_id, what)._asdict()

    def choose(self, kind: str, name: str, choice: str) -> None:
        """How the next training of this name resumes its stored run: for that one training.

        Raises:
            ValueError: no such choice.
        """
        if choice not in CHOICES:
            raise ValueError(f"expected one of {', '.join(CHOICES)}, got {choice!r}")
        with self._lock:
            self._choices[kind, name] = choice
            self._kept.pop((kind, name), None)

    def choose_kept(self, run_id: str, step: int, choice: str) -> None:
        """That the next training of what a run trained resumes from its snapshot after so many updates.

        Raises:
            RequestError: it cannot; what was chosen before stays.
        """
        state = self.store.load(run_id)
        kept, now = KeptState(run_id, step), self.lookup(state.kind, state.name)
        if now is None:
            raise RequestError(f"there is no {state.kind} {state.name!r} that could go back")
        if leaves_run(choice):
            raise RequestError("way: expected continue, new or restart, for a snapshot is resumed from and not the file")
        find.find(self.store, state.kind, state.name, now, choice, kept=kept)
        self.choose(state.kind, state.name, choice)
        with self._lock:
            self._kept[state.kind, state.name] = kept

    def kept(self, kind: str, name: str) -> KeptState | None:
        """The snapshot that was chosen for the next training of this name; None for the newest."""
        with self._lock:
            return self._kept.get((kind, name))

    def chosen(self, kind: str, name: str) -> str:
        """What was chosen for the next training of this name; the plan continues where nobody chose."""
        with self._lock:
            return self._choices.get((kind, name), "continue")

    def forget_choice(self, kind: str, name: str) -> None:
        with self._lock:
            self._choices.pop((kind, name), None)
            self._kept.pop((kind, name), None)
            self._options.pop((kind, name), None)

    def choose_options(self, kind: str, name: str, given: Mapping[str, Any]) -> None:
        """Options of the next training of this name, for that one training; they take the place of those chosen before.

        Raises:
            RequestError: a name or a value that is wrong; what was chosen before stays.
        """
        with_chosen(self._base_options(kind, name)[0], given)
        with self._lock:
            self._options[kind, name] = dict(given)

    def chosen_options(self, kind: str, name: str) -> dict[str, Any]:
        with self._lock:
            return dict(self._options.get((kind, name), {}))

    def options_for(self, kind: str, name: str, resumed: Resumption) -> Options:
        """The options in force for a training that resumes so.

        Raises:
            RequestError: what was chosen cannot be, with settings that have changed since.
        """
        base = self.host.settings().run
        base = base if resumed.state is None else with_stored(base, resumed.state.options)
        return with_chosen(base, self.chosen_options(kind, name))

    def options(self, kind: str, name: str) -> ActiveOptions:
        """The options in force for the next training of this name."""
        base, run_id = self._base_options(kind, name)
        chosen = self.chosen_options(kind, name)
        return ActiveOptions(with_chosen(base, chosen), self.host.settings().run, chosen, run_id)

    def _base_options(self, kind: str, name: str) -> tuple[Options, str | None]:
        """Where nobody chooses others: those of the run that is resumed, and its id, else those of the settings."""
        live = next((run.state() for run in self.active().values() if (run.request.kind, run.request.name) == (kind, name)), None)
        state = self.resumption_of(kind, name)[1].state if live is None and not leaves_run(self.chosen(kind, name)) else live
        default = self.host.settings().run
        return (default, None) if state is None else (with_stored(default, state.options), state.id)
