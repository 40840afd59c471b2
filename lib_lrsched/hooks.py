"""The seams of the training loops: install(host) and uninstall(host).

    validate_train_inputs   the host's own check, then ours: texts, pictures, folders      -> a pending run
    LearnRateScheduler x2   the plan takes its place, first for the rate, then for the clip
    Hypernetwork            loads the saved state of a run over its file
    PersonalizedBase        the data set's own numbers: planned again
    GroupedBatchSampler     the batches, so that a run can go on within an epoch
    checkpoint.add          the loop starts: the run is live
    apply, step pre-hook    rate and clip, see scheduler.py and optim.py
    save_*, write_loss      what was saved, what the optimizer really got; see saving_hooks.py
    checkpoint.remove       the loop is over

Pending and live runs are kept per thread, for two trainings may run at once through the API. Until the loop starts
our errors reach the user; from then on a hook never raises, for the host swallows exceptions there and skips its final save.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any

from . import checks, going_on, optim, run_files
from .host import Host, NoTraining
from .run import TrainingRun
from .runstate import Known, trimmed
from .saving_hooks import SavingHooks
from .seams import Patches, Seam
from .session import Session

_lock = threading.Lock()
_installed: dict[str, Runtime] = {}


class Runtime(SavingHooks):
    """An installation on one host: its seams, and its runs by thread."""

    def __init__(self, host: Host | NoTraining) -> None:
        super().__init__(host)
        self.key = _key(host)
        self.closing = False
        self._patches = Patches()

    # The seams -----------------------------------------------------------------------------

    def put(self) -> None:
        host = self.host
        if self.hooked or isinstance(host, NoTraining):
            return
        self._patches.put([
            Seam(host.ti, "validate_train_inputs", self._validate),
            Seam(host.ti, "LearnRateScheduler", self._scheduler),
            Seam(host.hn, "LearnRateScheduler", self._scheduler),
            Seam(host.hn, "Hypernetwork", self._hypernetwork),
            Seam(host.dataset, "PersonalizedBase", self._data_set),
            Seam(host.dataset, "GroupedBatchSampler", self._sampler),
            *self._saving_seams(host),
            Seam(host.checkpoint, "add", self._add),
            Seam(host.checkpoint, "remove", self._remove),
        ])
        self.hooked = True

    def undo(self) -> list[str]:
        """Put back what was there: at once, or when the trainings that are going on have ended. No new one is hooked."""
        self.closing = True
        return self._close_when_idle()

    def _close_when_idle(self) -> list[str]:
        if any(session.run.is_live for session in list(self._sessions.values())):
            return []
        self.hooked = False
        _installed.pop(self.key, None)
        return self._patches.undo()

    def _after_last_save(self, session: Session) -> None:
        if self.closing and not session.run.is_live:
            self._close_when_idle()

    def _validate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def validate_train_inputs(*args: Any, **kwargs: Any) -> Any:
            self._sessions.pop(threading.get_ident(), None)
            answer = original(*args, **kwargs)
            settings = self.host.settings()
            if self.hooked and not self.closing and settings.enabled:
                assert isinstance(self.host, Host)
                inputs = checks.bind_inputs(args, kwargs)
                asked, warnings = checks.check_inputs(self.host, inputs, checks.caller_locals("clip_grad_mode"))
                now = self.lookup(asked.kind, asked.name)
                known = None if now is None else Known(*now)
                way = self.chosen(asked.kind, asked.name)
                if way == "file" and asked.kind == "embedding" and not self.active():
                    self.host.reload("embedding")  # what is in memory may be a saved state that was put back
                    now = self.lookup(asked.kind, asked.name)
                    known = None if now is None else Known(*now)
                resumed, bundle = going_on.find(self.store, asked.kind, asked.name, known, way)
                run = TrainingRun(asked, self.store, exact_clip=settings.exact_clip, resumed=resumed)
                if known is not None and (asked.kind == "embedding" or known.digest):  # else a file that is not loaded yet
                    checks.check_is_left(run, known.step if resumed.step is None else resumed.step)
                session = Session(self.host, run, bundle, warnings)
                if asked.kind == "embedding" and bundle is not None:
                    self._restore_embedding(session, asked.name)
                last = known if bundle is None else Known(bundle.facts.step, bundle.facts.digest, 0)
                if last is not None and last.step >= asked.total_steps and (bundle is not None or asked.kind == "embedding"):
                    run_files.deliver(self.host, self.store, asked.name, last, resumed.state, bundle, session.say)
                self._sessions[threading.get_ident()] = session
            return answer

        return validate_train_inputs

    def _restore_embedding(self, session: Session, name: str) -> None:
        """The host reads the step of its own object next, and trains that."""
        assert isinstance(self.host, Host), "there is an embedding"
        session.restore(self.host.embedding(name))
        known = checks.known_embedding(self.host, name)
        state = session.run.resumed.state
        # The form is known from now on, also if the training does not come to begin.
        if known is not None and state is not None and known not in state.known:
            with suppress(OSError):  # the run says it when it begins, and training does not depend on it
                self.store.save(replace(state, known=trimmed((*state.known, known), state.main_digest)))

    def _restore_hypernetwork(self, session: Session, thing: Any, filename: str) -> None:
        assert isinstance(self.host, Host), "something is trained"
        asked = session.run.asked
        if asked.kind != "hypernetwork" or filename != self.host.hypernetwork_file(asked.name) or session.is_restored:
            return
        if session.run.resumed.state is None:
            # Its file time was not known: a copy, or a disk that rounds. Its weights may be.
            tensors = going_on.trained_tensors(asked.kind, thing)
            now = Known(thing.step or 0, optim.digest(tensors), 0)
            session.adopt(*going_on.find(self.store, asked.kind, asked.name, now, session.run.resumed.way))
        session.restore(thing)

    def _hypernetwork(self, original: type[Any]) -> type[Any]:
        runtime = self

        class Hypernetwork(original):  # the host's class, with its name
            """Loads the bundle's weights over the file's where a training goes on with a bundle."""

            def load(self, filename: Any) -> Any:
                answer = super().load(filename)
                session = runtime._session()
                # Only what train_hypernetwork loads to train it: pictures load hypernetworks too, in the same thread.
                if session is not None and checks.caller_locals("hypernetwork_name").get("clip_grad_mode") is not None:
                    runtime._restore_hypernetwork(session, self, str(filename))
                return answer

        Hypernetwork.__qualname__ = original.__qualname__
        Hypernetwork.__module__ = original.__module__
        return Hypernetwork

    def _sampler(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original, updated=())
        def grouped_batch_sampler(data_source: Any, *args: Any, **kwargs: Any) -> Any:
            inner = original(data_source, *args, **kwargs)
            session = self._session()
            if session is None or session.has_begun:
                return inner
            return session.guard(lambda: session.keeper.order_of(inner, data_source)) or inner

        return grouped_batch_sampler

    def _scheduler(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original, updated=())
        def learn_rate_scheduler(learn_rate: Any, max_steps: int, cur_step: int = 0, verbose: bool = True) -> Any:
            session = self._session()
            frame = checks.caller_locals("clip_grad_mode")
            ours = None if session is None else session.construct(learn_rate, cur_step, frame)
            return original(learn_rate, max_steps, cur_step, verbose) if ours is None else ours

        return learn_rate_scheduler

    def _data_set(self, original: Callable[..., Any]) -> Callable[..., Any]:
        # The data loader beside it cannot be replaced: the host's class calls super() with its own global name.
        @wraps(original, updated=())
        def personalized_base(*args: Any, **kwargs: Any) -> Any:
            dataset = original(*args, **kwargs)
            session = self._session()
            if session is not None and not session.has_begun:
                session.check_data(dataset)
                session.run.bind(len(dataset), dataset.batch_size, dataset.gradient_step)
                session.guard(lambda: session.data_made(dataset, kwargs))
            return dataset

        return personalized_base

    def _add(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @wraps(original)
        def add() -> Any:
            answer = original()
            session = self._session()
            if session is not None:
                session.guard(session.begin)
                self._forget_choice(session.run.asked.kind, session.run.asked.name)
            return answer

        return add

    def _remove(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @wraps(original)
        def remove() -> Any:
            try:
                return original()
            finally:
                session = self._session()
                if session is not None and session.has_begun and not session.has_ended:
                    if session.run.asked.kind == "embedding" and not session.saves.has_final:
                        session.guard(session.saves.rescue_final)
                    others = [other for other in list(self._sessions.values()) if other is not session and other.run.is_live]
                    session.guard(lambda: session.loop_ended(others))
                    session.guard(session.let_go)  # whatever became of the rest
                    session.run.is_live = False
                    if self.closing and session.run.asked.kind == "embedding":
                        self._close_when_idle()

        return remove


def _key(host: Host | NoTraining) -> str:
    return "none" if isinstance(host, NoTraining) else host.ti.__name__


def install(host: Host | NoTraining) -> Runtime:
    """Hook a host's training, or only serve where there is none. A second call returns the first one's runtime."""
    key = _key(host)
    with _lock:
        runtime = _installed.get(key)
        if runtime is None:
            runtime = _installed[key] = Runtime(host)
        runtime.closing = False
        runtime.host = host
        runtime.put()
        return runtime


def uninstall(host: Host | NoTraining | None = None) -> list[str]:
    """Put back what was there, on one host or on all; returns the globals that somebody else has replaced since."""
    with _lock:
        keys = list(_installed) if host is None else [_key(host)]
        return [name for key in keys if key in _installed for name in _installed[key].undo()]


__all__ = ["Runtime", "install", "uninstall"]
