"""The life of one run: floats in, floats out.

A TrainingRun knows the plan of its rate and of its clip threshold, keeps the history and the state on disk, and
says what holds at a step. Session tells it what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lrsched.errors import RunStateError
from lib_lrsched.schedule import plateau
from lib_lrsched.schedule.plan import PLANNER_VERSION
from lib_lrsched.storage import disk_errors, resume
from lib_lrsched.storage.atomic_files import set_aside
from lib_lrsched.storage.history import History, HistoryRow, read_losses, read_rows, watchable
from lib_lrsched.storage.resume import Resumption
from lib_lrsched.storage.run_state import Known, Leg, RunState, Scalar, state_dict, trimmed
from lib_lrsched.storage.store import Store, stamped

from .options import Options, values
from .request import Request
from .run_plan import RunPlan

_WATCHED = {"loss": "the loss", "progress": "the progress", "validation": "validation"}

STATE_EVERY_S = 10.0
"""The step in run.json is at most this old while a run is running; the history is at most a second old."""


class TrainingRun:
    """One run, from the check of its inputs to its end. One thread trains; others read ``state`` and ``history``."""

    def __init__(self, request: Request, store: Store, *, exact_clip: bool = True, clock: Callable[[], float] = time.time,
                 resumed: Resumption = Resumption(), options: Options = Options()) -> None:  # noqa: B008 frozen values
        """Plans the texts.

        Raises:
            ScheduleError: a text that cannot be planned.
        """
        self.request = request
        self.planned = RunPlan(request, resumed)
        self.is_rehearsal = self.planned.is_rehearsal
        self.exact_clip = exact_clip
        self.options = options
        self.troubles: list[str] = []
        self.disk_trouble = ""
        self.history = History(None)
        self.initial_step = 0
        self.is_live = False
        self._store = store
        self._clock = clock
        self._saved_s = 0.0
        self._step = 0
        self._planned_now = (-1, 0.0)
        self._state = self._first_state()

    @property
    def id(self) -> str:
        return self._state.id

    @property
    def snapshots_path(self) -> Path:
        """Where the snapshots of this run go; it has begun."""
        return self._store.snapshots_path(self.id)

    @property
    def baseline_path(self) -> Path | None:
        """Where this run keeps what it started from; None where it cannot be kept."""
        return self._store.baseline_path(self.id) if self.id else None

    @property
    def inherited_baseline_path(self) -> Path | None:
        """Where the run whose average or best state this new one is trained on keeps what it started from; None for any other."""
        heir_of = self.planned.resumed.heir_of
        return None if heir_of is None else self._store.baseline_path(heir_of)

    @property
    def validation_path(self) -> Path | None:
        """Where this run keeps the set that it is validated on; None where it cannot be kept."""
        return self._store.validation_path(self.id) if self.id else None

    @property
    def images_path(self) -> Path | None:
        """Where it is recorded which images the host saved during this run; None where nothing is kept."""
        return self._store.images_path(self.id) if self.id else None

    @property
    def best_path(self) -> Path:
        """Where the best snapshot of this run goes; it has begun."""
        return self._store.best_path(self.id)

    @property
    def is_at_start(self) -> bool:
        """Whether no update of this run lies before this training."""
        legs = self._state.legs
        return not legs or legs[0].start_step == self.initial_step

    def data_path(self, run_id: str) -> Path:
        """Where a run keeps its data set's prompts and latents."""
        return self._store.data_path(run_id)

    def validation_path_of(self, run_id: str) -> Path:
        """Where a run keeps the set that it is validated on."""
        return self._store.validation_path(run_id)

    # What happened ------------------------------------------------------------------------

    def begin(self, initial_step: int, known: Known | None) -> None:
        """The loop starts: find the run that this one resumes, or make a new one. Never raises."""
        self.initial_step = self._step = initial_step
        self._planned_now = (-1, 0.0)
        self.is_live = True
        self._try(lambda: self._open(known))

    def look(self, step: int, loss: float, measured: plateau.Measured = {}) -> None:  # noqa: B006 read only
        """The loss of an update is known, and what else a plateau may watch; once per step."""
        self._planned_now = (step, self.planned.planned_at(step) if step < self.planned.stop else float("nan"))
        self._step = step + 1
        if not self.planned.plan.feedback:
            return
        before, own = self.planned.watch, step - self.planned.origin
        segment = plateau.segment_at(self.planned.plan, own)
        self.planned.watch = plateau.advance(before, segment, own, loss, measured)
        cuts_before = before.plateau.cuts if before.start == self.planned.watch.start else 0
        if self.planned.watch.plateau.cuts > cuts_before and segment is not None:
            what = _WATCHED[segment.values["watch"]]
            self.note(f"{what} no longer improves: the rate is cut to {self.planned.watch.plateau.rate:g}", "plateau")

    @property
    def expected_rate(self) -> float:
        """What the optimizer should have held at the update that was looked at last; NaN after the end of the plan."""
        return self._planned_now[1] * self.planned.multiplier

    def record(self, step: int, actual: float, loss: float, grad_norm: float | None, **measured: float | None) -> None:
        """One update was made at ``step`` (0-based) with the rate ``actual``; see HistoryRow for the rest."""
        now = self._clock()
        if self._planned_now[0] != step:
            self.look(step, loss)
        self.history.record(HistoryRow(step, self._planned_now[1], actual, loss, grad_norm, now, **measured))
        if not 0 <= now - self._saved_s < STATE_EVERY_S:
            self._save(now)

    def unreported(self, step: int, actual: float, grad_norm: float | None, **measured: float | None) -> None:
        """An update was made at ``step``, and its loss is not known."""
        if self.history.last_step != step:
            planned = self.planned.planned_at(step) if step < self.planned.stop else float("nan")
            self.history.record(HistoryRow(step, planned, actual, float("nan"), grad_norm, self._clock(), **measured))
        self.counted(step + 1)

    def described(self, step: int) -> str:
        """What is trained with from a step on."""
        request, planned = self.request, self.planned
        first, last = planned.rate_at(step), planned.plan.value(planned.plan.stop - 1) * planned.multiplier
        text = f"Training with the schedule `{request.rate_text}`: from step {step} at {first:g} to {planned.stop} at {last:g}"
        if request.clip_mode != "disabled":
            own = "exact" if self.exact_clip else "the WebUI's own"
            text += f"; clipping by {request.clip_mode}, {own}"
        return text

    def counted(self, step: int) -> None:
        """So many updates have been made: where those after it were undone, or one was not reported."""
        self._step = step

    def note(self, message: str, event: str = "note") -> None:
        """Something to be read in the run's log."""
        self._try(lambda: self.history.event(self._step, event, message))

    def learned(self, name: str, value: Scalar) -> None:
        """Something that is only known once the loop runs, to be shown with the settings."""
        self._state = replace(self._state, settings={**self._state.settings, name: value})

    def lower(self, multiplier: float) -> None:
        """From now on the planned rate is multiplied by this; the plan stays."""
        self.planned.multiplier = multiplier
        self._state = replace(self._state, multiplier=multiplier)
        self._save(self._clock())

    @property
    def watch(self) -> plateau.Watch | None:
        """The state of shapes that look at the loss, where the plan has one."""
        return self.planned.watch if self.planned.plan.feedback else None

    def saved_optimizer(self, mtime_ns: int, digest: str) -> None:
        """The host has saved its optimizer's state, with the weights of that digest."""
        self._state = replace(self._state, optim=f"{mtime_ns}:{digest}")

    def knows_optimizer(self, mtime_ns: int) -> str | None:
        """The digest of the weights that the optimizer's file of that time belongs to, if a run of this name wrote it."""
        for state in self._store.runs():
            if (state.kind, state.name) == (self.request.kind, self.request.name) and state.optim.startswith(f"{mtime_ns}:"):
                return state.optim.partition(":")[2]
        return None

    def has_written_average(self, mtime_ns: int) -> bool:
        """Whether the file NAME-ema of that time is this run's."""
        return mtime_ns != 0 and mtime_ns == self._state.average_mtime_ns

    def wrote_average(self, mtime_ns: int) -> None:
        """The file NAME-ema of that time is this run's."""
        self._state = replace(self._state, average_mtime_ns=mtime_ns)

    @property
    def file_is_untrained(self) -> bool:
        """Whether the host's own file, as it was last seen, holds no update."""
        return any((one.step, one.digest) == (0, self._state.main_digest) for one in self._state.known)

    def about_to_save(self, known: Known) -> None:
        """The host's own file is about to take this form. A kill in between leaves the old one or the new one."""
        self._state = replace(self._state, next_digest=known.digest)
        self.saved(known, is_main=False)

    def saved(self, known: Known, *, is_main: bool = True) -> None:
        """What is trained was saved in a form by which the run can be known again; ``is_main``: in the host's own file."""
        if self.is_rehearsal:
            return
        if known not in self._state.known[-1:]:
            self._state = replace(self._state, known=trimmed((*self._state.known, known), self._state.main_digest))
        if is_main:
            self._state = replace(self._state, main_digest=known.digest, next_digest="", given_up="")
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

    def stored_state(self) -> dict[str, Any] | None:
        """What run.json would say now, to be kept in a snapshot too; None where it could not be read back."""
        try:
            return state_dict(stamped(self.state()))
        except RunStateError:
            return None  # which saving the state itself says

    # ----------------------------------------------------------------------------------------

    def _first_state(self) -> RunState:
        request, now = self.request, self._clock()
        return RunState(
            id="", kind=request.kind, name=request.name, state="pending", step=0, total_steps=request.total_steps, created_s=now,
            updated_s=now, rate_text=request.rate_text, clip_text=request.clip_text, clip_mode=request.clip_mode,
            clip_exact=self.exact_clip and request.clip_mode != "disabled",
            batch=self.planned.counts.batch, accumulate=self.planned.counts.accumulate,
            pictures=self.planned.images, steps_per_epoch=self.planned.counts.steps_per_epoch, settings=dict(request.settings),
            multiplier=self.planned.multiplier, options=dict(values(self.options)),
        )

    def _open(self, known: Known | None) -> None:
        """Resume the stored run that knows what is trained in its present form, else start one with a new id."""
        now, request, resumed = self._clock(), self.request, self.planned.resumed
        found = None if self.is_rehearsal else self._found(known)
        last = found.legs[-1] if found is not None and found.legs else None
        mode = "start" if self.is_rehearsal else resume.mode_of(resumed.choice, last, request.rate_text)
        leg = Leg(self.initial_step, now, request.total_steps, request.rate_text, self.planned.counts.steps_per_epoch,
                  self.planned.counts.images_per_step, PLANNER_VERSION, self.planned.origin, resume.written_mode(mode))
        state = replace(self._first_state(), state="running", step=self.initial_step, pictures=self.planned.images)
        if found is None:
            state = replace(state, id=self._store.new_id(request.kind, request.name, now), legs=(leg,))
        else:
            legs = (*(old for old in found.legs if old.start_step < self.initial_step), leg)
            floor = self._floor(found)
            state = replace(state, id=found.id, created_s=found.created_s, legs=legs, known=found.known, floor=floor,
                            optim=found.optim, average_mtime_ns=found.average_mtime_ns, placed=found.placed,
                            given_up=found.given_up if resumed.back is None else resumed.back.given_up)
        if known is not None and not self.is_rehearsal:
            # With a snapshot, what is trained is newer than the host's file, and that is what the file will be known by.
            main, coming = (known.digest, "") if found is None or resumed.step is None else (found.main_digest, found.next_digest)
            main = main if resumed.back is None else resumed.back.given_up
            state = replace(state, known=(*state.known, known), main_digest=main, next_digest=coming)
        self._state = state
        self._store.trained_by(state.id, self)
        self._save(now)
        self.history = self._open_history()
        if self.planned.plan.feedback and found is not None and mode != "restart":
            if resumed.watch is not None and mode == "continue":
                self.planned.watch = resumed.watch
            else:
                self._try(self._replay)
        for message in [*self._store.take_messages(), *resumed.messages]:
            self._trouble(message)
        event = "leg" if found is None else "resume"
        said = f"{resume.SAID[mode]} at step {self.initial_step} of {request.total_steps} with `{request.rate_text}`"
        times = self.planned.multiplier
        self.note(said if times == 1.0 else f"{said}, times {times:g} after a rescue", event)
        for message in resumed.messages:
            self.note(message)
        tail = self.planned.tail(self.initial_step)
        if tail:
            self.note(tail)

    def _replay(self) -> None:
        """What the plan has seen of the loss and of what else it watches, from the history."""
        path, origin = self._store.history_path(self.id), self.planned.origin
        updates: list[tuple[int, float, plateau.Measured]]
        if plateau.watched(self.planned.plan) <= {"loss"}:
            updates = [(k, loss, {}) for k, loss in read_losses(path, self.initial_step)]
        else:
            updates = [(row.step, row.loss, watchable(row)) for row in read_rows(path, self.initial_step)]
        since = [(k - origin, loss, measured) for k, loss, measured in updates if k >= origin]
        self.planned.watch = plateau.replay(self.planned.plan, since)

    def _found(self, known: Known | None) -> RunState | None:
        """The stored run that this one resumes."""
        found = self.planned.resumed.state
        if resume.leaves_run(self.planned.resumed.choice) or self.planned.resumed.heir_of is not None:
            return None
        if found is None and known is not None:
            request = self.request
            found = self._store.find(request.kind, request.name, step=known.step, digest=known.digest, mtime_ns=known.mtime_ns)
        # While it is pending or running, the same is being trained by somebody else at this moment.
        return None if found is None or found.is_active else found

    def _floor(self, found: RunState) -> int:
        """The number up to which snapshots belong to a future that is given up."""
        resumed = self.planned.resumed
        if resumed.step is None:
            return self._newest_snapshot(found)
        if resumed.back is None:
            return found.floor
        try:
            return self._store.bring_forward(found.id, resumed.back.snapshot) - 1
        except OSError as error:
            self._trouble_on_disk(error)
            return self._newest_snapshot(found)

    def _newest_snapshot(self, found: RunState) -> int:
        try:
            return self._store.newest_snapshot(found.id)
        except OSError:  # said where they were looked for; should they be there again later, they are still ahead of the file
            return found.floor

    def _open_history(self) -> History:
        path = self._store.history_path(self.id)
        lost = "the earlier history is lost; the trained weights are not"
        try:
            history = History.open(path)
        except RunStateError as error:
            try:
                self._trouble(f"{error}: {lost}. The file is set aside as {set_aside(path).name}")
            except OSError as trouble:
                self._trouble_on_disk(trouble)
            return History(path)
        if history.last_step is None and self._state.legs[0].start_step < self.initial_step:
            self._trouble(f"{path} is missing or empty: {lost}")
        return history

    def _save(self, now: float) -> None:
        self._saved_s = now
        self._state = replace(self._state, step=self._step, updated_s=now)
        if self._state.id:
            self._try(lambda: self._store.save(self._state))

    def _try(self, action: Callable[[], None]) -> None:
        """Files may fail; training continues."""
        try:
            action()
        except OSError as error:
            self._trouble_on_disk(error)
        except RunStateError as error:
            self._trouble(str(error))

    def _trouble_on_disk(self, error: OSError) -> None:
        folder, why, mend = self._store.root, disk_errors.why(error), disk_errors.mend(error)
        self.disk_trouble = (f"the run cannot be saved in {folder}: {why}. Training continues, with the guard in memory only; "
                             f"to make it resumable, {mend}")
        self._trouble(self.disk_trouble)

    def _trouble(self, message: str) -> None:
        if message not in self.troubles:
            self.troubles.append(message)


