"""The seams of the training loops: install(host) and uninstall(host).

    validate_train_inputs   the host's own check, then ours: texts, pictures, folders      -> a pending run
    LearnRateScheduler x2   the plan takes its place, first for the rate, then for the clip
    PersonalizedBase        the data set's own numbers: planned again
    checkpoint.add          the loop starts: the run is live
    apply, step pre-hook    rate and clip, see scheduler.py and optim.py
    save_*, write_loss      what was saved, what the optimizer really got
    checkpoint.remove       the loop is over

Pending and live runs are kept per thread, for two trainings may run at once through the API. Until the loop starts
our errors reach the user; from then on a hook never raises, for the host swallows exceptions there and skips its final save.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from . import checks
from .host import Host, NoTraining
from .pictures import count_pictures
from .run import TrainingRun
from .seams import Patches, Seam
from .session import Session
from .store import Store

_lock = threading.Lock()
_installed: dict[str, Runtime] = {}


class Runtime:
    """An installation on one host: its runs by thread, its store, and what the JSON endpoints ask."""

    def __init__(self, host: Host | NoTraining) -> None:
        self.host = host
        self.key = _key(host)
        self.hooked = False
        self.closing = False
        self._patches = Patches()
        self._sessions: dict[int, Session] = {}
        self._stores: dict[Path, Store] = {}

    @property
    def store(self) -> Store:
        """The store in the folder that is set now."""
        root = Path(self.host.settings().state_dir or self.host.data_dir)
        return self._stores.setdefault(root, Store(root))

    def host_info(self) -> Mapping[str, Any]:
        why = self.host.why if isinstance(self.host, NoTraining) else ""
        if not why and not self.hooked:
            why = "the hooks are not installed"
        elif not why and not self.host.settings().enabled:
            why = "switched off in the settings: the WebUI's own schedules are in force"
        return {"name": self.host.name, "hooked": not why, "why": why}

    def active(self) -> Mapping[str, TrainingRun]:
        return {s.run.id: s.run for s in list(self._sessions.values()) if s.run.is_live and s.run.id}

    def lookup(self, kind: str, name: str) -> tuple[int, str, int] | None:
        """Step, digest and file time of what the host has under a name now."""
        if isinstance(self.host, NoTraining):
            return None
        if kind == "embedding":
            known = checks.known_embedding(self.host, name)
            return None if known is None else (known.step, known.digest, known.mtime_ns)
        file = self.host.hypernetwork_file(name)
        return None if file is None else self._known_file(kind, name, Path(file))

    def count_pictures(self, folder: str) -> int | None:
        read = None if isinstance(self.host, NoTraining) else self.host.read_picture
        try:
            return count_pictures(folder, read)
        except OSError:
            return None

    def _known_file(self, kind: str, name: str, file: Path) -> tuple[int, str, int] | None:
        """A hypernetwork is too large to be read for an answer: its file time says which saved form it is."""
        try:
            mtime_ns = file.stat().st_mtime_ns
        except OSError:
            return None
        for state in self.store.runs():
            for known in reversed(state.known):
                if (state.kind, state.name, known.mtime_ns) == (kind, name, mtime_ns):
                    return known.step, known.digest, mtime_ns
        return 0, "", mtime_ns

    # The seams -----------------------------------------------------------------------------

    def put(self) -> None:
        host = self.host
        if self.hooked or isinstance(host, NoTraining):
            return
        self._patches.put([
            Seam(host.ti, "validate_train_inputs", self._validate),
            Seam(host.ti, "LearnRateScheduler", self._scheduler),
            Seam(host.hn, "LearnRateScheduler", self._scheduler),
            Seam(host.dataset, "PersonalizedBase", self._data_set),
            Seam(host.ti, "write_loss", self._write_loss),
            Seam(host.ti, "save_embedding", self._save_embedding),
            Seam(host.hn, "save_hypernetwork", self._save_hypernetwork),
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

    def _session(self) -> Session | None:
        return self._sessions.get(threading.get_ident()) if self.hooked else None

    def _validate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def validate_train_inputs(*args: Any, **kwargs: Any) -> Any:
            self._sessions.pop(threading.get_ident(), None)
            answer = original(*args, **kwargs)
            settings = self.host.settings()
            if self.hooked and not self.closing and settings.enabled:
                assert isinstance(self.host, Host)
                inputs = checks.bind_inputs(args, kwargs)
                asked = checks.check_inputs(self.host, inputs, checks.caller_locals("clip_grad_mode"))
                run = TrainingRun(asked, self.store, exact_clip=settings.exact_clip)
                checks.check_plan(self.host, run)
                found = self.lookup(asked.kind, asked.name)
                if found is not None and found[1]:  # a hypernetwork whose file is known; it is not loaded yet
                    checks.check_is_left(run, found[0])
                self._sessions[threading.get_ident()] = Session(self.host, run)
            return answer

        return validate_train_inputs

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
                session.run.bind(len(dataset), dataset.batch_size, dataset.gradient_step)
            return dataset

        return personalized_base

    def _add(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @wraps(original)
        def add() -> Any:
            answer = original()
            session = self._session()
            if session is not None:
                session.guard(session.begin)
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
                    others = [other for other in list(self._sessions.values()) if other is not session and other.run.is_live]
                    session.guard(lambda: session.loop_ended(others))
                    session.run.is_live = False
                    if self.closing and session.run.asked.kind == "embedding":
                        self._close_when_idle()

        return remove

    def _write_loss(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
            session = self._session()
            if session is not None and session.run.is_live:
                values = session.guard(lambda: session.updated(step, values)) or values
            return original(log_directory, filename, step, epoch_len, values)

        return write_loss

    def _save_embedding(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def save_embedding(embedding: Any, optimizer: Any, checkpoint: Any, embedding_name: str, filename: str,
                           *args: Any, **kwargs: Any) -> Any:
            answer = original(embedding, optimizer, checkpoint, embedding_name, filename, *args, **kwargs)
            session = self._session()
            if session is not None:
                session.guard(lambda: session.saved([embedding.vec], embedding.step, filename))
            return answer

        return save_embedding

    def _save_hypernetwork(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def save_hypernetwork(hypernetwork: Any, checkpoint: Any, hypernetwork_name: str, filename: str) -> Any:
            answer = original(hypernetwork, checkpoint, hypernetwork_name, filename)
            session = self._session()
            if session is not None:
                session.guard(lambda: session.saved(hypernetwork.weights(), hypernetwork.step, filename))
                if self.closing and not session.run.is_live:
                    self._close_when_idle()
            return answer

        return save_hypernetwork


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
