"""The life of one run: floats in, floats out.

A TrainingRun knows the plan of its rate and of its clip threshold, keeps the history and the state on disk, and
says what is in force at a step. It knows no tensor and nothing of the host: hooks.py tells it what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from . import feedback
from .counting import Counts, count_steps
from .errors import RunStateError
from .files import set_aside
from .history import History, Record, read_losses
from .plan import PLANNER_VERSION, Plan, plan
from .runstate import KNOWN_KEPT, Known, Leg, RunState, Scalar
from .store import Store

STATE_EVERY_S = 10.0
"""The step in run.json is at most this old while a run goes on; the history is at most a second old."""

CHUNK = 1024


@dataclass(frozen=True)
class Asked:
    """What a training was started with, as the host's train functions got it."""

    kind: str
    name: str
    rate_text: str
    total_steps: int
    batch: int = 1
    accumulate: int = 1
    clip_mode: str = "disabled"
    clip_text: str = ""
    data_root: str = ""
    pictures: int | None = None
    settings: Mapping[str, Scalar] = field(default_factory=dict)


class TrainingRun:
    """One run, from the check of its inputs to its end. One thread trains; others read ``state`` and ``history``."""

    def __init__(self, asked: Asked, store: Store, *, exact_clip: bool = True, clock: Callable[[], float] = time.time) -> None:
        """Plans the texts.

        Raises:
            ScheduleError: a text that cannot be planned.
        """
        self.asked = asked
        self.exact_clip = exact_clip
        self.troubles: list[str] = []
        self.history = History(None)
        self.initial_step = 0
        self.is_live = False
        self._store = store
        self._clock = clock
        self._saved_s = 0.0
        self._step = 0
        self._chunk: list[float] = []
        self._momenta: list[float] = []
        self._chunk_start = 0
        self._watch = feedback.Watch()
        self._planned = (-1, 0.0)
        self._plan_texts(asked.pictures, asked.batch, asked.accumulate)
        self._state = self._first_state()

    # What is in force ---------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self._state.id

    def bind(self, pictures: int, batch: int, accumulate: int) -> None:
        """Plan again with the data set's own numbers; the loop has not started yet.

        Raises:
            ScheduleError: an end that these numbers make impossible.
        """
        self._plan_texts(pictures, batch, accumulate)

    def rate_at(self, step: int) -> float:
        """The planned rate at an update; step in [0, plan.stop). Where the plan looks at the loss, the rate it has come to."""
        if self.plan.feedback:
            segment = feedback.segment_at(self.plan, step)
            if segment is not None:
                return feedback.rate_at(self._watch, segment)
        index = self._index(step)  # which may fill the list anew
        return self._chunk[index]

    def momentum_at(self, step: int) -> float | None:
        """The planned momentum at an update, or None where nothing schedules it."""
        if not self.drives_momentum:
            return None
        index = self._index(step)
        momentum = self._momenta[index]
        return None if momentum != momentum else momentum

    def _index(self, step: int) -> int:
        """Where the step stands in the values that are held ready."""
        index = step - self._chunk_start
        if 0 <= index < len(self._chunk):
            return index
        steps = range(step, min(step + CHUNK, self.plan.stop))
        self._chunk_start = step
        self._chunk = self.plan.values(steps).tolist()
        momenta = self.plan.momenta(steps)
        self._momenta = [] if momenta is None else momenta.tolist()
        return 0

    def clip_at(self, step: int) -> float | None:
        """The clip threshold at an update; after the end of its schedule the last one holds, as in the host."""
        return None if self.clip_plan is None else self.clip_plan.value(min(step, self.clip_plan.stop - 1))

    def is_over(self, step: int) -> bool:
        """Whether no update is planned at this step any more."""
        return step >= self.plan.stop

    # What happened ------------------------------------------------------------------------

    def begin(self, initial_step: int, known: Known | None) -> None:
        """The loop starts: find the run that this one goes on with, or make a new one. Never raises."""
        self.initial_step = self._step = initial_step
        self._planned = (-1, 0.0)
        self.is_live = True
        self._try(lambda: self._open(known))

    def look(self, step: int, loss: float) -> None:
        """The loss of an update is known; once per step."""
        self._planned = (step, self.rate_at(step) if step < self.plan.stop else float("nan"))
        self._step = step + 1
        if not self.plan.feedback:
            return
        before = self._watch
        self._watch = feedback.advance(before, feedback.segment_at(self.plan, step), step, loss)
        cuts_before = before.plateau.cuts if before.start == self._watch.start else 0
        if self._watch.plateau.cuts > cuts_before:
            self.note(f"the loss stands still: the rate is cut to {self._watch.plateau.rate:g}", "plateau")

    def record(self, step: int, actual: float, loss: float, grad_norm: float | None) -> None:
        """One update was made at ``step`` (0-based) with the rate ``actual``."""
        now = self._clock()
        if self._planned[0] != step:
            self.look(step, loss)
        self.history.record(Record(step, self._planned[1], actual, loss, grad_norm, now))
        if not 0 <= now - self._saved_s < STATE_EVERY_S:
            self._save(now)

    def note(self, message: str, event: str = "note") -> None:
        """Something to be read in the run's log."""
        self._try(lambda: self.history.event(self._step, event, message))

    def saved(self, known: Known) -> None:
        """The trained thing was saved in a form by which the run can be known again."""
        if known not in self._state.known[-1:]:
            self._state = replace(self._state, known=(*self._state.known, known)[-KNOWN_KEPT:])
        self._save(self._clock())

    def end(self, outcome: str, message: str = "") -> None:
        """The loop is over: "finished", "interrupted" or "failed"."""
        self._state = replace(self._state, state=outcome, message=message)
        self.note(message or f"{outcome} after {self._step} updates", outcome)
        self._save(self._clock())
        self._try(self.history.close)
        self.is_live = False

    def state(self) -> RunState:
        """A snapshot for other threads."""
        return replace(self._state, step=self._step)

    # ----------------------------------------------------------------------------------------

    def _plan_texts(self, pictures: int | None, batch: int, accumulate: int) -> None:
        asked = self.asked
        self.counts: Counts = count_steps(pictures, batch, accumulate)
        self.pictures = pictures

        def planned(text: str) -> Plan:
            return plan(text, total_steps=asked.total_steps, steps_per_epoch=self.counts.steps_per_epoch,
                        images_per_step=self.counts.images_per_step)

        self.plan = planned(asked.rate_text)
        self.clip_plan = None if asked.clip_mode == "disabled" else planned(asked.clip_text)
        if self.clip_plan is not None:
            feedback.refuse_feedback(self.clip_plan)
        self._watch = feedback.Watch()
        self.drives_momentum = self.plan.momenta([]) is not None
        self._chunk = []

    def _first_state(self) -> RunState:
        asked, now = self.asked, self._clock()
        return RunState(
            id="", kind=asked.kind, name=asked.name, state="pending", step=0, total_steps=asked.total_steps, created_s=now,
            updated_s=now, rate_text=asked.rate_text, clip_text=asked.clip_text, clip_mode=asked.clip_mode,
            clip_exact=self.exact_clip and asked.clip_mode != "disabled",
            batch=self.counts.batch, accumulate=self.counts.accumulate,
            pictures=self.pictures, steps_per_epoch=self.counts.steps_per_epoch, settings=dict(asked.settings),
        )

    def _open(self, known: Known | None) -> None:
        """Take up the stored run that knows the trained thing in its present form, else a new id."""
        now, asked = self._clock(), self.asked
        found = None
        if known is not None:
            found = self._store.find(asked.kind, asked.name, step=known.step, digest=known.digest, mtime_ns=known.mtime_ns)
        if found is not None and found.state in ("pending", "running"):
            found = None  # the same thing is being trained by somebody else at this moment
        leg = Leg(self.initial_step, now, asked.total_steps, asked.rate_text, self.counts.steps_per_epoch,
                  self.counts.images_per_step, PLANNER_VERSION)
        state = replace(self._first_state(), state="running", step=self.initial_step, pictures=self.pictures)
        if found is None:
            state = replace(state, id=self._store.new_id(asked.kind, asked.name, now), legs=(leg,))
        else:
            legs = (*(old for old in found.legs if old.start_step < self.initial_step), leg)
            state = replace(state, id=found.id, created_s=found.created_s, legs=legs, known=found.known)
        self._state = state if known is None else replace(state, known=(*state.known, known))
        self._save(now)
        self.history = self._open_history()
        if self.plan.feedback and found is not None:
            self._watch = feedback.replay(self.plan, read_losses(self._store.history_path(self.id), self.initial_step))
        for message in self._store.take_messages():
            self._trouble(message)
        word, event = ("starts", "leg") if found is None else ("goes on", "resume")
        self.note(f"{word} at step {self.initial_step} of {asked.total_steps} with `{asked.rate_text}`", event)

    def _open_history(self) -> History:
        path = self._store.history_path(self.id)
        try:
            return History.open(path)
        except RunStateError as error:
            aside = set_aside(path)
            self._trouble(f"{error}; it is set aside as {aside.name}")
            return History(path)

    def _save(self, now: float) -> None:
        self._saved_s = now
        self._state = replace(self._state, step=self._step, updated_s=now)
        if self._state.id:
            self._try(lambda: self._store.save(self._state))

    def _try(self, action: Callable[[], None]) -> None:
        """Files may fail; training goes on."""
        try:
            action()
        except (OSError, RunStateError) as error:
            self._trouble(str(error))

    def _trouble(self, message: str) -> None:
        if message not in self.troubles:
            self.troubles.append(message)


