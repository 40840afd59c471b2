"""What would go wrong with the next training of a name: preflight.py looks at its inputs, this file also at stored runs and
at trainings in progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_lrsched.errors import ScheduleError
from lib_lrsched.schedule.counting import needs_images
from lib_lrsched.training.request import Request
from lib_lrsched.training.run_plan import RunPlan

from . import input_checks, preflight
from .data_folders import DataFolders
from .installation import Installation
from .next_training import NextTraining
from .preflight_case import ERROR, WARNING, Case, Finding
from .trainings import Trainings
from .trial_calls import TrialCalls
from .webui import NoTraining


class Preflight:
    """Looked up by kind, name and inputs, as they are typed now. What is wrong with the inputs is a finding, not an exception."""

    def __init__(self, installation: Installation, trainings: Trainings, trial_calls: TrialCalls, next_training: NextTraining,
                 data_folders: DataFolders) -> None:
        self._installation = installation
        self._trainings = trainings
        self._trial_calls = trial_calls
        self._next = next_training
        self._data_folders = data_folders

    def findings(self, kind: str, name: str, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
        """What would stop or spoil it, errors first: severity, subject, message. Nothing where we are switched off."""
        host = self._installation.host
        if not host.settings().enabled:
            return []
        options = self._next.likely_options(kind, name)
        found = preflight.findings(host, kind, name, inputs, self._saved_step(kind, name), options)
        more = [*self._waits_for(kind, name), *self._of_resuming(kind, name, inputs)]
        is_said = {one["subject"] for one in found if one["severity"] == ERROR}
        found += [one._asdict() for one in more if not (one.severity == ERROR and one.subject in is_said)]
        return sorted(found, key=lambda one: one["severity"] != ERROR)

    def stretches(self, kind: str, name: str, inputs: Mapping[str, Any]) -> list[str]:
        """What the inputs do to the rate of the stored run that is resumed; nothing where the training cannot start."""
        try:
            planned = self._planned_run(kind, name, inputs)
        except (ValueError, ArithmeticError):  # a ScheduleError too: the field shows what is wrong with the text
            return []
        return [] if planned is None else planned[0].stretches(planned[1])

    def _waits_for(self, kind: str, name: str) -> Iterator[Finding]:
        """What is running and has to end before the host begins with this training."""
        active = self._trainings.active().values()
        others = [run for run in active if (run.request.kind, run.request.name) != (kind, name)]
        for state in (run.state() for run in others):
            yield Finding(WARNING, "queue", f"the {state.kind} {state.name!r} is being trained, step {state.step:,} of "
                                            f"{state.total_steps:,}: this training waits in the queue until it ends")
        if self._trial_calls.requested or self._trial_calls.sessions:
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

    def _planned_run(self, kind: str, name: str, inputs: Mapping[str, Any]) -> tuple[RunPlan, int] | None:
        """The plan of the next training with these inputs, and the step at which it begins; None where there is nothing to plan.

        Raises:
            ScheduleError: a text that cannot be planned.
            ValueError: a number with which nothing can.
        """
        host = self._installation.host
        if isinstance(host, NoTraining):
            return None
        now, resumed = self._next.resumption_of(kind, name)
        case = Case(host, kind, name, inputs)
        if now is None or not case.whole("steps") or not case.text("learn_rate"):
            return None
        text, clip, mode = (case.text(field) for field in ("learn_rate", "clip_grad_value", "clip_grad_mode"))
        clip, mode = (clip, mode) if mode in input_checks.CLIPPING else ("", "disabled")
        known = self._data_folders.count_images(case.text("data_root")) if needs_images(f"{text} {clip}") else None
        request = Request(kind, name, text, case.whole("steps"), case.whole("batch_size") or 1, case.whole("gradient_step") or 1,
                      mode, clip, images=known or None)
        step = now.step if resumed.step is None else resumed.step
        run = RunPlan(request, resumed)
        run.resume_at(step)
        return run, step

    def _saved_step(self, kind: str, name: str) -> int:
        """Updates in the host's file; 0 where there is something newer, which training with the same max steps saves."""
        now, resumed = self._next.resumption_of(kind, name)
        if now is not None and resumed.step is not None and resumed.step < now.step:
            return resumed.step  # the run goes back
        if now is None or (resumed.state is not None and resumed.state.main_digest != now.digest):
            return 0
        return now.step if (resumed.step or 0) <= now.step else 0
