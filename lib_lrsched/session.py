"""One training in one thread: what the hooks know of the host's loop, told to a TrainingRun."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from . import optim
from .checks import InputError, check_is_left, embedding_file, file_time
from .freeze import Freeze
from .host import Host
from .run import TrainingRun
from .runstate import Known
from .scheduler import ClipScheduler, RateScheduler

T = TypeVar("T")


class Session:
    """From the check of the inputs to the end of the loop, and the host's final save after it."""

    def __init__(self, host: Host, run: TrainingRun) -> None:
        self.run = run
        self.has_begun = False
        self.has_ended = False
        self._host = host
        self._scheduler: RateScheduler | None = None
        self._clip: ClipScheduler | None = None
        self._gauge: optim.Gauge | None = None
        self._trained: Any = None
        self._initial_step = 0
        self._final_save = False
        self._freeze: Freeze | None = None
        self._waiting: tuple[int, float, float, Any] | None = None
        self._skipped = 0
        self._said: set[str] = set()

    # Before the loop: exceptions reach the user -------------------------------------------------

    def construct(self, text: Any, initial_step: int, frame: Mapping[str, Any]) -> RateScheduler | ClipScheduler | None:
        """What stands in for the host's scheduler: the rate at first, then the clip; None for a stranger's.

        Raises:
            ScheduleError: nothing is left to train.
            InputError: the log folder cannot be made.
        """
        if self.has_begun:
            return None
        if self._scheduler is None and text == self.run.asked.rate_text:
            check_is_left(self.run, initial_step)
            self._initial_step = initial_step
            self._trained = frame.get("embedding") if self.run.asked.kind == "embedding" else frame.get("hypernetwork")
            self._make_log_folder(frame.get("log_directory"))
            self._scheduler = RateScheduler(self.run, initial_step, self.attach, self.say)
            return self._scheduler
        if self._clip is None and self.run.clip_plan is not None and text == self.run.asked.clip_text:
            self._clip = ClipScheduler(self.run, initial_step)
            return self._clip
        return None

    def _make_log_folder(self, folder: Any) -> None:
        """The host makes its dated folder only for copies and pictures, and fails to save its settings into it otherwise."""
        if not isinstance(folder, str) or not folder:
            return
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the log directory {folder!r} cannot be made: {error.strerror or error}") from error

    # In the loop: nothing is raised ---------------------------------------------------------------

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

    def begin(self) -> None:
        """The loop starts."""
        self.has_begun = True
        if self._host.settings().freeze:
            self.guard(self._freeze_model)
        run = self.run
        run.begin(self._initial_step, self._known())
        self.say(self._describe())
        if run.asked.clip_mode != "disabled":
            by = f"gradient clipping by {run.asked.clip_mode}"
            run.note(f"{by}, exact: on true, unscaled gradients" if run.exact_clip
                     else f"{by}, the host's own: on gradients as they are scaled")
        self._say_troubles()

    def _freeze_model(self) -> None:
        thing = self._trained
        if thing is None:
            return
        trained = [thing.vec] if self.run.asked.kind == "embedding" else list(thing.weights())
        self._freeze = Freeze(self._host.shared.sd_model, trained)

    def attach(self, optimizer: Any) -> None:
        """The optimizer of the loop is known."""
        if self._gauge is not None:
            self._gauge.remove()
        self._gauge = optim.Gauge(optimizer, self._limit, self.guard)

    def updated(self, steps_done: int, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """One update was made; ``steps_done`` is the host's count after it. Returns what the host shall log."""
        assert self._gauge is not None, "an update was made without apply()"
        self._record_waiting()
        rate, norm = self._gauge.take()
        if rate is None:
            rate = optim.read_rate(self._gauge.optimizer)
            self._skipped += 1
            if self._skipped == 1:
                self.run.note(f"update {steps_done - 1} was skipped by GradScaler: its gradients overflowed", "skipped")
        self._waiting = (steps_done - 1, rate, float(values["loss"]), norm)
        self.run.look(steps_done - 1, float(values["loss"]))
        if norm is None or not norm.is_pinned():
            self._record_waiting()
        return {**values, "learn_rate": rate}

    def saved(self, tensors: Iterable[Any], step: int, filename: str) -> None:
        """The host has saved the trained thing."""
        if not self.has_begun:
            return
        path = Path(filename)
        if self.run.asked.kind == "embedding" and path.parent == Path(self._host.embeddings_dir()):
            self._final_save = True
        self.run.saved(Known(step, optim.digest(tensors), file_time(path)))

    def loop_ended(self, others: Iterable[Session] = ()) -> None:
        """The loop is over, in whatever way; the gauge goes off the optimizer. ``others`` still train."""
        self.has_ended = True
        if self._freeze is not None:
            self._freeze.undo()
        self._record_waiting()
        if self._gauge is not None:
            self._gauge.remove()
            self._gauge = None
        known = self._known()
        if known is not None and known.step > 0 and self.run.asked.kind == "embedding":
            self.run.saved(known)  # after an exception the host keeps the advanced embedding in memory and goes on from it
        if self.run.asked.kind == "embedding" and self._trained is not None and not any(o.trains(self._trained) for o in others):
            # The host leaves it on; a later hypernetwork training whose prompts name this embedding then fails at its second epoch.
            self._trained.vec.requires_grad_(False)
        if self._skipped > 1:
            self.run.note(f"{self._skipped} updates were skipped by GradScaler: their gradients overflowed", "skipped")
        outcome, message = self._outcome()
        self.run.end(outcome, message)
        self._say_troubles()
        self._scheduler = self._trained = None  # they hold the optimizer and the weights

    def trains(self, thing: Any) -> bool:
        return self._trained is thing

    def _record_waiting(self) -> None:
        if self._waiting is not None:
            step, rate, loss, norm = self._waiting
            self._waiting = None
            self.run.record(step, rate, loss, None if norm is None else float(norm))

    def _outcome(self) -> tuple[str, str]:
        if self.run.asked.kind == "embedding" and not self._final_save:
            return "failed", "the loop ended with an exception, and the host did not save; its traceback is on the console"
        if self._scheduler is not None and self._scheduler.finished:
            return "finished", ""
        if self._host.shared.state.interrupted:
            return "interrupted", ""
        return "failed", "the loop ended with an exception; its traceback is on the console"

    def _limit(self) -> tuple[str, float] | None:
        run = self.run
        if run.clip_plan is None or not run.exact_clip or self._scheduler is None:
            return None
        threshold = run.clip_at(self._scheduler.step_number)
        return None if threshold is None else (run.asked.clip_mode, threshold)

    def _known(self) -> Known | None:
        """The trained thing as it is now, by digest and file time."""
        thing = self._trained
        if thing is None:
            return None
        if self.run.asked.kind == "embedding":
            path = embedding_file(self._host, thing, self.run.asked.name)
            return Known(thing.step or 0, optim.digest([thing.vec]), file_time(path))
        file = self._host.hypernetwork_file(self.run.asked.name)
        return Known(thing.step or 0, optim.digest(thing.weights()), file_time(Path(file) if file else None))

    def _describe(self) -> str:
        run = self.run
        first, last = run.rate_at(self._initial_step), run.plan.value(run.plan.stop - 1)
        text = f"Training with the schedule `{run.asked.rate_text}`: "
        text += f"from step {self._initial_step} at {first:g} to {run.plan.stop} at {last:g}"
        if run.asked.clip_mode != "disabled":
            text += f"; clipping by {run.asked.clip_mode}, {'exact' if run.exact_clip else 'the host’s own'}"
        return text

    def _say_troubles(self) -> None:
        for message in [*self.run.troubles, *([self.run.history.trouble] if self.run.history.trouble else [])]:
            if message not in self._said:
                self._said.add(message)
                self.say(f"LR Schedule: {message}")

    def say(self, message: str) -> None:
        """A line on the console that does not tear the progress bar."""
        if getattr(self._host.shared.opts, "practice_quiet", False):
            return
        tqdm = sys.modules.get("tqdm")
        (tqdm.tqdm.write if tqdm is not None else print)(message)
