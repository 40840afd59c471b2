"""The plans of a run's texts at steps of its life: rate, momentum and clip threshold, counted from where its schedule begins.

Floats out; it keeps nothing on disk. `run` adds the rest of a run's life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lib_lrsched.language.tree import names
from lib_lrsched.schedule import plateau
from lib_lrsched.schedule.counting import Counts, count_steps
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.searching import is_search
from lib_lrsched.storage import resume
from lib_lrsched.storage.remaining import part_of
from lib_lrsched.storage.resume import Resumption
from lib_lrsched.storage.run_state import Leg
from lib_lrsched.storage.stretching import find_stretch, has_same_past, planned_before

from .request import Request

CHUNK = 1024
"""Rates are asked of the plan this many steps at a time."""


class RunPlan:
    """The plans of one run's texts, at steps of the run's life."""

    def __init__(self, request: Request, resumed: Resumption) -> None:
        """Plans the texts.

        Raises:
            ScheduleError: a text that cannot be planned.
        """
        self.request = request
        self.resumed = resumed
        self.origin = 0
        self.continues = resume.mode_of(resumed.choice, self._last_leg(), request.rate_text) == "continue"
        self.multiplier = resumed.multiplier if self.continues else 1.0  # another schedule is another chance
        self.watch = plateau.Watch()
        if resumed.step is not None:
            self.origin = self._origin(resumed.step)
        self._plan_texts(request.images, request.batch, request.accumulate)

    def bind(self, images: int, batch: int, accumulate: int) -> None:
        """Plan again with the data set's own numbers; the loop has not started yet.

        Raises:
            ScheduleError: an end that these numbers make impossible.
        """
        self._plan_texts(images, batch, accumulate)

    def resume_at(self, initial_step: int) -> None:
        """The step at which the training begins is known: plan again if the schedule's own beginning lies elsewhere.

        Raises:
            ScheduleError: as bind().
        """
        origin = self._origin(initial_step)
        if origin != self.origin:
            self.origin = origin
            self._plan_texts(self.images, self.counts.batch, self.counts.accumulate)

    def adopt(self, resumed: Resumption) -> None:
        """What the run resumes from, found late.

        Raises:
            ScheduleError: as bind().
        """
        self.resumed = resumed
        self.continues = resume.mode_of(resumed.choice, self._last_leg(), self.request.rate_text) == "continue"
        self.multiplier = resumed.multiplier if self.continues else 1.0
        if resumed.step is not None:
            self.origin = self._origin(resumed.step)
            self._plan_texts(self.images, self.counts.batch, self.counts.accumulate)

    def _origin(self, initial_step: int) -> int:
        last = self._last_leg()
        origin = resume.origin_of(resume.mode_of(self.resumed.choice, last, self.request.rate_text), last, initial_step)
        return min(origin, self.request.total_steps - 1)

    def stretches(self, step: int) -> list[str]:
        """What other max steps than the stored run's, or other counts, do to rate and clip threshold where it resumes."""
        found = ((what, find_stretch(then, now, step, self.origin)) for what, then, now in self._then_and_now())
        return [one.message(what) for what, one in found if one is not None]

    def tail(self, step: int) -> str:
        """That the text begins in its middle, where nobody chose that: what of it runs and what is over; else empty.

        Nothing is said of a text that has what is over from the run's own.
        """
        mode = resume.mode_of(self.resumed.choice, self._last_leg(), self.request.rate_text)
        if self.resumed.choice != "continue" or mode == "continue":
            return ""
        part, leg = part_of(self.plan, step - self.origin), self._last_leg()
        then = None if leg is None or leg.origin != self.origin else planned_before(leg)
        if not part.loses or (then is not None and has_same_past(then, self.plan, step - self.origin)):
            return ""
        return part.message()

    def has_same_past(self, step: int) -> bool:
        """Whether the steps before ``step`` were trained as the run is planned now."""
        return all(has_same_past(then, now, step - self.origin) for _, then, now in self._then_and_now())

    def _then_and_now(self) -> Iterator[tuple[str, Plan, Plan]]:
        """The plans of rate and clip threshold that the stored run had, where the same texts continue, and those in force."""
        leg, state = self._last_leg(), self.resumed.state
        if leg is None or state is None or not self.continues or leg.origin != self.origin:
            return
        rates = ("the rate", leg, self.plan)
        is_same_clip = (state.clip_mode, state.clip_text) == (self.request.clip_mode, self.request.clip_text)
        clips = [("the clip threshold", replace(leg, rate_text=state.clip_text), self.clip_plan)] if is_same_clip else []
        for what, before, now in (rates, *clips):
            then = None if now is None else planned_before(before)
            if then is not None and now is not None:
                yield what, then, now

    def _last_leg(self) -> Leg | None:
        state = self.resumed.state
        return state.legs[-1] if state is not None and state.legs else None

    @property
    def stop(self) -> int:
        """The step of the run's life at which the plan ends."""
        return self.origin + self.plan.stop

    def rate_at(self, step: int) -> float:
        """The rate at an update; step in [origin, stop): the planned one times the guard's multiplier."""
        return self.planned_at(step) * self.multiplier

    def planned_at(self, step: int) -> float:
        """The planned rate at an update. Where the plan looks at the loss, the rate it has come to."""
        if self.plan.feedback:
            segment = plateau.segment_at(self.plan, step - self.origin)
            if segment is not None:
                return plateau.rate_at(self.watch, segment)
        return self._rates.at(step)

    def momentum_at(self, step: int) -> float | None:
        """The planned momentum at an update, or None where nothing schedules it."""
        if not self.drives_momentum:
            return None
        momentum = self._momenta.at(step)
        return None if momentum != momentum else momentum

    def clip_at(self, step: int) -> float | None:
        """The clip threshold at an update; after the end of its schedule the last one holds, as in the host."""
        return None if self._clips is None else self._clips.at(step)

    def is_over(self, step: int) -> bool:
        """Whether no update is planned at this step any more."""
        return step >= self.stop

    def is_range_test(self, step: int) -> bool:
        """Whether a range_test is in force at the step, alone or within a repeat."""
        own = step - self.origin
        return any(start <= own < stop for start, stop in self._searches)

    @property
    def is_rehearsal(self) -> bool:
        """Whether the whole text is a range test: what is trained is put back at its end, and nothing of it is saved."""
        return is_search(self.request.rate_text)

    def end_of_segment(self, step: int) -> int:
        """The step at which the segment in which ``step`` lies ends."""
        own, plan = step - self.origin, self.plan
        return self.origin + next((min(s.stop, plan.stop) for s in plan.segments if s.start <= own < s.stop), plan.stop)

    def _plan_texts(self, images: int | None, batch: int, accumulate: int) -> None:
        request = self.request
        self.counts: Counts = count_steps(images, batch, accumulate)
        self.images = images

        def planned(text: str) -> Plan:
            return plan(text, total_steps=request.total_steps - self.origin, steps_per_epoch=self.counts.steps_per_epoch,
                        images_per_step=self.counts.images_per_step)

        self.plan = planned(request.rate_text)
        self.clip_plan = None if request.clip_mode == "disabled" else planned(request.clip_text)
        if self.clip_plan is not None:
            plateau.refuse_feedback(self.clip_plan)
        self._searches = [(s.start, s.stop) for s in self.plan.segments if "range_test" in names(s.item.value)]
        self.watch = plateau.Watch()
        self.drives_momentum = self.plan.momenta([]) is not None
        self._rates = _Ahead(self.plan.values, self.origin, self.plan.stop)
        self._momenta = _Ahead(self._momenta_of, self.origin, self.plan.stop)
        self._clips = None if self.clip_plan is None else _Ahead(self.clip_plan.values, self.origin, self.clip_plan.stop)

    def _momenta_of(self, steps: range) -> NDArray[np.float64]:
        momenta = self.plan.momenta(steps)
        assert momenta is not None, "nothing schedules the momentum"
        return momenta


class _Ahead:
    """Values of a plan held ready for the next CHUNK updates, by steps of the run's life."""

    def __init__(self, values: Callable[[range], NDArray[np.float64]], origin: int, stop: int) -> None:
        self._values = values
        self._origin = origin
        self._stop = stop
        self._held: list[float] = []
        self._start = 0

    def at(self, step: int) -> float:
        """The value at a step; after the end the last one."""
        index = step - self._start
        if not 0 <= index < len(self._held):
            own = step - self._origin
            steps = range(own, min(own + CHUNK, self._stop)) if own < self._stop else range(self._stop - 1, self._stop)
            self._held, self._start, index = self._values(steps).tolist(), step, 0
        return self._held[index]
