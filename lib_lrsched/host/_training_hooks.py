"""The seams of the training loops, but for those that write; see _saving_hooks.py.

    validate_train_inputs   the host's own check, then ours: texts, images, folders        -> a pending run
    LearnRateScheduler x2   the plan takes its place, first for the rate, then for the clip
    Hypernetwork            loads the snapshot of a run over its file
    PersonalizedBase        the data set's own numbers: planned again
    GroupedBatchSampler     the batches, so that a run can be resumed within an epoch
    checkpoint.add          the loop starts: the run is live
    apply, step pre-hook    rate and clip, see training/schedulers.py and optimizer/step_hook.py
    checkpoint.remove       the loop is over

Pending and live runs are kept per thread, for two trainings may run at once through the API. Until the loop starts
our errors reach the user; from then on a hook never raises, for the host swallows exceptions there and skips its final save.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from typing import Any

from lib_lrsched.optimizer import step_hook
from lib_lrsched.schedule.searching import is_search
from lib_lrsched.snapshot import find
from lib_lrsched.snapshot.snapshot import Snapshot
from lib_lrsched.storage.locks import Call
from lib_lrsched.storage.resume import leaves_run
from lib_lrsched.storage.run_state import Known, trimmed
from lib_lrsched.training.host import InputError
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import TrainingRun
from lib_lrsched.training.session import Session
from lib_lrsched.training.trial import Trial
from lib_lrsched.training.trial_session import TrialSession

from . import input_checks
from ._saving_hooks import SavingHooks
from ._training_checks import TrainingChecks
from ._trial_loop import HostLoop
from ._unsaved_file import write_unsaved
from .checkpointing import LeaveOutCheckpointing
from .fast_attention import UseFastAttention
from .images import left_out
from .kinds import kind_of
from .runtime import Runtime
from .seams import Patches, Seam
from .webui import Host, NoTraining


class TrainingHooks:
    """The seams of one host's training loops."""

    def __init__(self, runtime: Runtime, forget: Callable[[], None]) -> None:
        """``forget`` is called when everything is put back."""
        self.runtime = runtime
        self.closing = False
        self._installation = runtime.installation
        self._trainings = runtime.trainings
        self._trial_calls = runtime.trial_calls
        self._next = runtime.next_training
        self._forget = forget
        self._patches = Patches()
        self._saving = SavingHooks(self._trainings, self._trial_calls, self._after_last_save)
        self._trial_calls.when_over = self._after_trial

    # The seams -----------------------------------------------------------------------------

    def put(self) -> None:
        host = self._installation.host
        if self._installation.hooked or isinstance(host, NoTraining):
            return
        self._patches.put([
            Seam(host.ti, "validate_train_inputs", self._validate),
            Seam(host.ti, "LearnRateScheduler", self._scheduler),
            Seam(host.hn, "LearnRateScheduler", self._scheduler),
            Seam(host.hn, "Hypernetwork", self._hypernetwork),
            Seam(host.dataset, "PersonalizedBase", self._data_set),
            Seam(host.dataset, "GroupedBatchSampler", self._sampler),
            *self._saving.seams(host),
            Seam(host.checkpoint, "add", self._add),
            Seam(host.checkpoint, "remove", self._remove),
        ])
        self._installation.hooked = True

    def undo(self) -> list[str]:
        """Put back what was there: at once, or when the running trainings have ended. No new one is hooked."""
        self.closing = True
        self.runtime.trial_runner.close()
        return self._close_when_idle()

    def _close_when_idle(self) -> list[str]:
        if self._trainings.threads():
            return []
        self._installation.hooked = False
        self._forget()
        return self._patches.undo()

    def _after_trial(self) -> None:
        if self.closing:
            self._close_when_idle()

    def _after_last_save(self, session: Session) -> None:
        if session.has_ended:
            self._trainings.release(threading.get_ident())
        if self.closing and not session.run.is_live:
            self._close_when_idle()

    def _validate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def validate_train_inputs(*args: Any, **kwargs: Any) -> Any:
            self._end_left_over(self._trainings.sessions.get(threading.get_ident()))
            call = Call.of(input_checks.caller("clip_grad_mode") or sys._getframe(1))  # noqa: SLF001 else it is whoever calls
            self._trainings.leave(call)
            answer = original(*args, **kwargs)
            if self._installation.hooked and self.closing:
                self._close_when_idle()  # the one that it waited for may have ended before its loop
            if self._installation.hooked and not self.closing and self._installation.host.settings().enabled:
                self._trainings.prepare(call)
                trial = self._trial_calls.requested.get(call.thread)
                with self._preparing():
                    if trial is None:
                        self._trainings.sessions[call.thread] = self._prepare(call, args, kwargs)
                    else:
                        self._prepare_trial(trial, call, args, kwargs)
            elif call.thread in self._trial_calls.requested:
                raise InputError("cannot run a trial: the hooks were just removed or switched off")
            return answer

        return validate_train_inputs

    @contextmanager
    def _preparing(self) -> Iterator[None]:
        """What raises here ends the training before its loop: others need not wait until its function has returned."""
        try:
            yield
        except BaseException:
            self._trainings.drop(threading.get_ident())
            raise

    def _prepare(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Session:
        """A pending run, from the host's own inputs."""
        host = self._installation.host
        assert isinstance(host, Host), "something is trained"
        if self._trial_calls.requested:  # a trial moves the generators that all trainings share
            raise InputError("a trial is running, and no training can start beside it: try again when it has ended")
        run, known, snapshot, warnings = self._planned(call, args, kwargs)
        input_checks.check_options(host, run)  # a trial measures none of it
        request, resumed = run.request, run.planned.resumed
        own = [UseFastAttention(host), LeaveOutCheckpointing(host)]
        session = Session(host, run, TrainingChecks(host), snapshot, warnings, own)
        is_in_memory = kind_of(request.kind).is_in_memory
        if is_in_memory and snapshot is not None:
            self._restore_embedding(session, request.name)
        last = known if snapshot is None else Known(snapshot.facts.step, snapshot.facts.digest, 0)
        if last is not None and last.step >= request.total_steps and (snapshot is not None or is_in_memory):
            say = session.reporter.say
            write_unsaved(host, self._installation.store, request.name, last, resumed.state, snapshot, say)
            self._trainings.release(call.thread)  # the host returns at once, and no hook of ours learns of it
        return session

    def _prepare_trial(self, trial: Trial, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """As a training is prepared, but that nothing of it is stored."""
        host = self._installation.host
        assert isinstance(host, Host), "something is trained"
        if self._trainings.threads() - {call.thread} or self._trial_calls.sessions:
            raise InputError("another training is running, and a trial would disturb it: try again when it has ended")
        run, _, snapshot, warnings = self._planned(call, args, kwargs, reloads=False)
        trial.messages += [*warnings, *run.planned.resumed.messages]

        def loop() -> HostLoop:
            return HostLoop(host, run.request.kind, input_checks.caller_locals("clip_grad_mode"))

        session = self._trial_calls.sessions[call.thread] = TrialSession(host, run, TrainingChecks(host), trial, snapshot, loop)
        if kind_of(run.request.kind).is_in_memory:
            session.restore(host.embedding(run.request.name))

    def _planned(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any], *,
                 reloads: bool = True) -> tuple[TrainingRun, Known | None, Snapshot | None, list[str]]:
        """The run of the host's inputs, what it trains as it is now, what it resumes from, and what to warn of.

        Args:
            reloads: have the host read its files again where they are what is to be trained.
        """
        host = self._installation.host
        assert isinstance(host, Host), "something is trained"
        inputs = input_checks.bind_inputs(args, kwargs)
        request, warnings = input_checks.check_inputs(host, inputs, input_checks.caller_locals("clip_grad_mode"))
        claim = self._trainings.claim(request.kind, request.name, call)
        chosen = self.runtime.choices.of(request.kind, request.name)
        known, messages = self._known(request, chosen.choice, call) if reloads else self._known_in_memory(request, chosen.choice)
        resumed, snapshot = find.find(self._installation.store, request.kind, request.name, known, chosen.choice, kept=chosen.kept)
        if resumed.back is not None and is_search(request.rate_text):
            raise InputError("a range test puts back what it trains and cannot go back in a run: choose to continue from the "
                             "newest snapshot, or give a schedule to train with")
        if resumed.state is not None:
            claim.resumes(resumed.state.id)
        resumed = replace(resumed, messages=(*resumed.messages, *messages, *([claim.trouble] if claim.trouble else [])))
        self._trainings.chosen[call.thread] = chosen
        options = self._next.options_for(chosen, resumed)
        run = TrainingRun(request, self._installation.store, options=options, resumed=resumed,
                          exact_clip=self._installation.host.settings().exact_clip)
        if known is not None and (kind_of(request.kind).is_in_memory or known.digest):  # else a file that is not loaded yet
            input_checks.check_is_left(run.planned, known.step if resumed.step is None else resumed.step)
        return run, known, snapshot, warnings

    def _known(self, request: Request, choice: str, call: Call) -> tuple[Known | None, list[str]]:
        """The form of what is to be trained, reloaded where the user wants the file; and what to say of that.

        Raises:
            InputError: another process has trained the embedding further, and its file cannot be reloaded now.
        """
        messages, name = [], request.name
        is_in_memory = kind_of(request.kind).is_in_memory
        if is_in_memory and leaves_run(choice) and not self._reload(call):
            messages = [f"{name} is trained as it is in memory: its file is not reloaded while another training runs"]
        elif is_in_memory and not leaves_run(choice) and (ahead := self._file_ahead(request)) is not None:
            if not self._reload(call):
                raise InputError(f"another process has trained {name} to step {ahead}, and its file is not "
                                 "reloaded while another training runs; try again afterwards")
            messages = [f"{name} was reloaded: another process has trained it to step {ahead}"]
        now = self._next.lookup(request.kind, request.name)
        return now, messages

    def _known_in_memory(self, request: Request, choice: str) -> tuple[Known | None, list[str]]:
        """The same for a trial, which leaves everything as it is."""
        now, name = self._next.lookup(request.kind, request.name), request.name
        is_older = kind_of(request.kind).is_in_memory and (leaves_run(choice) or self._file_ahead(request) is not None)
        messages = [f"the trial has {name} as it is in memory, and training reloads its file"] if is_older else []
        return now, messages

    def _reload(self, call: Call) -> bool:
        """Have the host read its embeddings; not while others train: theirs would not be those in their prompts any more."""
        assert isinstance(self._installation.host, Host), "something is trained"
        with self._trainings.arrivals:
            alone = self._trainings.threads() <= {call.thread}
            if alone:
                self._installation.host.reload_embeddings()  # what is in memory may be a snapshot that was put back
            return alone

    def _file_ahead(self, request: Request) -> int | None:
        """The step of an embedding's file where a run of another process has saved it after the host read it; else None.

        Memory may be ahead of the file too, after a snapshot or where the disk is full, and stays then.
        """
        if (now := self._next.lookup(request.kind, request.name)) is None or not now.mtime_ns:
            return None
        runs = (run for run in self._installation.store.runs() if (run.kind, run.name) == (request.kind, request.name))
        saved = (known for run in runs for known in run.known if known.mtime_ns == now.mtime_ns and known.digest != now.digest)
        return next((known.step for known in saved if known.step > now.step), None)

    def _end_left_over(self, session: Session | None) -> None:
        """A Ctrl-C between the loop's end and ``remove`` skips that: the loop was this thread's, and is over."""
        if session is not None and session.pid == os.getpid() and session.has_begun and not session.has_ended:
            with session.held:
                session.reporter.protect(lambda: session.loop_ended(self._others(session), KeyboardInterrupt()))
                session.forget()
            session.held.release()

    def _others(self, session: Session) -> list[Session]:
        return [other for other in list(self._trainings.sessions.values()) if other is not session and other.run.is_live]

    def _restore_embedding(self, session: Session, name: str) -> None:
        """The host reads the step of its own object next, and trains that."""
        assert isinstance(self._installation.host, Host), "there is an embedding"
        session.restore(self._installation.host.embedding(name))
        known = kind_of(session.run.request.kind).known(self._installation.host, self._installation.store, name)
        state = session.run.planned.resumed.state
        # The form is known from now on, also if the training does not come to begin.
        if known is not None and state is not None and known not in state.known:
            with suppress(OSError):  # the run says it when it begins, and training does not depend on it
                self._installation.store.save(replace(state, known=trimmed((*state.known, known), state.main_digest)))

    def _restore_hypernetwork(self, session: Session | TrialSession, host_object: Any, filename: str) -> None:
        host, store, request = self._installation.host, self._installation.store, session.run.request
        assert isinstance(host, Host), "something is trained"
        if request.kind != "hypernetwork" or filename != host.hypernetwork_file(request.name) or session.is_restored:
            return
        if session.run.planned.resumed.state is None:
            # Its file time was not known: a copy, or a disk that rounds. Its weights may be.
            now = Known(host_object.step or 0, step_hook.digest(find.trained_tensors(host_object)), 0)
            resumed, snapshot = find.find(store, request.kind, request.name, now, session.run.planned.resumed.choice)
            session.adopt(resumed, snapshot, self._next.options_for(self._trainings.chosen[threading.get_ident()], resumed))
        session.restore(host_object)

    def _hypernetwork(self, original: type[Any]) -> type[Any]:
        hooks = self

        class Hypernetwork(original):  # the host's class, with its name
            """Loads the snapshot's weights over the file's where a training resumes from a snapshot."""

            def load(self, filename: Any) -> Any:
                answer = super().load(filename)
                session = hooks._trainings.session() or hooks._trial_calls.session()
                # Only what train_hypernetwork loads to train it: images load hypernetworks too, in the same thread.
                if session is not None and input_checks.caller_locals("hypernetwork_name").get("clip_grad_mode") is not None:
                    hooks._restore_hypernetwork(session, self, str(filename))
                return answer

        Hypernetwork.__qualname__ = original.__qualname__
        Hypernetwork.__module__ = original.__module__
        return Hypernetwork

    def _sampler(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original, updated=())
        def grouped_batch_sampler(data_source: Any, *args: Any, **kwargs: Any) -> Any:
            inner = original(data_source, *args, **kwargs)
            session = self._trainings.session()
            if session is None or session.has_begun:
                return inner
            return session.reporter.protect(lambda: session.snapshots.order_of(inner, data_source)) or inner

        return grouped_batch_sampler

    def _scheduler(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original, updated=())
        def learn_rate_scheduler(learn_rate: Any, max_steps: int, cur_step: int = 0, verbose: bool = True) -> Any:
            session = self._trainings.session() or self._trial_calls.session()
            frame = input_checks.caller_locals("clip_grad_mode")
            with self._preparing():
                ours = None if session is None else session.construct(learn_rate, cur_step, frame)
            return original(learn_rate, max_steps, cur_step, verbose) if ours is None else ours

        return learn_rate_scheduler

    def _data_set(self, original: Callable[..., Any]) -> Callable[..., Any]:
        # The data loader beside it cannot be replaced: the host's class calls super() with its own global name.
        @wraps(original, updated=())
        def personalized_base(*args: Any, **kwargs: Any) -> Any:
            session, trial = self._trainings.session(), self._trial_calls.session()
            if trial is not None:
                with self._preparing():
                    dataset = original(*args, **kwargs)
                    trial.data_made(dataset)
                return dataset
            if session is None or session.has_begun:
                return original(*args, **kwargs)
            with self._preparing():
                dataset = original(*args, **kwargs)
                session.check_data(dataset)
                session.run.planned.bind(len(dataset), dataset.batch_size, dataset.gradient_step)
                self._say_left_out(session, dataset)
                session.reporter.protect(lambda: session.data_made(dataset, kwargs))
            return dataset

        return personalized_base

    def _say_left_out(self, session: Session, dataset: Any) -> None:
        """Files that the host has left out of its data set are named when the loop starts."""
        said = session.reporter.protect(
            lambda: left_out(getattr(dataset, "image_paths", ()), (entry.filename for entry in dataset.dataset)))
        if said:
            session.warn(said)

    def _add(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @wraps(original)
        def add() -> Any:
            answer = original()
            session = self._trainings.session()
            if session is not None:
                session.held.keep()
                with session.held:
                    session.reporter.protect(session.begin)
                    request = session.run.request
                    self.runtime.choices.forget(request.kind, request.name, self._trainings.chosen[threading.get_ident()])
            return answer

        return add

    def _remove(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @wraps(original)
        def remove() -> Any:
            session = self._trainings.session()
            if session is None:
                return original()
            try:
                with session.held:
                    try:
                        return original()
                    finally:
                        if session.has_begun and not session.has_ended:
                            self._end(session, input_checks.raised_through("clip_grad_mode"))
            finally:
                session.held.release()

        return remove

    def _end(self, session: Session, broken_by: BaseException | None) -> None:
        """The loop is over. A hypernetwork the host saves after this, unless something is raised that it does not swallow."""
        is_saved = session.trainee.is_saved_in_loop
        if is_saved and not session.file_saving.has_final:
            session.reporter.protect(session.file_saving.rescue_final)
        session.reporter.protect(lambda: session.loop_ended(self._others(session), broken_by))
        session.run.is_live = False
        if not is_saved and broken_by is not None:
            session.reporter.protect(session.file_saving.rescue_final)
        if is_saved:  # a hypernetwork is saved for the last time after this
            self._trainings.release(threading.get_ident())
            if self.closing:
                self._close_when_idle()
