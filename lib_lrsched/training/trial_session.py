"""A trial in the place of a training: what the hooks of host/ tell of the host's train function, in the thread that runs it.

    session.construct(text, step, frame)   -> what stands in for the host's scheduler; exceptions reach the user
    session.data_made(data)                the host has made its data set: the texts are planned
    scheduler.apply(optimizer, step)       the first one runs the trial; then the loop is over, before an update
    session.end()                          the function has returned, however: everything is put back

The host counts no update, and its final save is left out, so that nothing is written: see host/_saving_hooks.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.optimizer import step_hook
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.snapshot import find, generators
from lib_lrsched.snapshot.snapshot import Snapshot
from lib_lrsched.storage.resume import Resumption

from . import _data_faults
from . import trial as trials
from ._interrupts import Held
from ._run_start import drop_foreign_state
from .callbacks.freezing import FrozenModel
from .callbacks.norm_limit import hold, references
from .host import Checks, Host, InputError
from .options import Options
from .run import TrainingRun
from .trainee import trainee_of
from .trial import Interrupted, Loop, Track, Trial

BESIDE = ("optimizer_name", "optimizer_state_dict")
"""What the host's object carries beside its weights and its step, and a snapshot changes."""


def check_model(model: Any) -> None:
    """
    Raises:
        InputError: a trial cannot run with the model.
    """
    if getattr(getattr(model, "model", None), "conditioning_key", None) in ("hybrid", "concat"):
        raise InputError("cannot run a trial with an inpainting model: load another one for it")


class TrialSession:
    """One trial in one thread.

    Args:
        run: the plan of the training's own text; nothing of it is stored.
        snapshot: what that training would resume from, or None.
        loop_of: the host's loop, from the locals of its train function.
    """

    def __init__(self, host: Host, run: TrainingRun, checks: Checks, trial: Trial, snapshot: Snapshot | None,
                 loop_of: Callable[[], Loop]) -> None:
        self.run = run
        self.is_restored = False
        self._draws = generators.take()
        random.seed(trial.spec.seed)  # the host's data set draws prompts
        torch.manual_seed(trial.spec.seed)
        self._host = host
        self._checks = checks
        self._trial = trial
        self._snapshot = snapshot
        self._loop_of = loop_of
        self._trainee = trainee_of(host, run.request.kind, run.request.name)
        self._kept: tuple[Any, list[Tensor], list[bool], dict[str, Any]] | None = None
        self._has_rate = False
        self._plans: list[Plan] = []

    # Before the loop: exceptions reach the user --------------------------------------------------

    def adopt(self, resumed: Resumption, snapshot: Snapshot | None, options: Options) -> None:
        """What the training would resume from was only found once the host had loaded it."""
        if resumed.state is not None:
            self.run.planned.adopt(resumed)
            self.run.options = options
            self._snapshot = snapshot

    def restore(self, host_object: Any) -> None:
        """Candidates begin where the training would: with the snapshot's weights, where there is one."""
        self._keep(host_object)
        if self._snapshot is not None:
            self.is_restored = True
            self._trainee.put_back(self._snapshot, host_object)

    def construct(self, text: Any, initial_step: int, frame: Mapping[str, Any]) -> Scheduler:
        """What stands in for the host's scheduler, of the rate at first and then of the clip threshold.

        Raises:
            ScheduleError: nothing is left to train.
            InputError: what is trained does not fit, or the model is one that a trial cannot run with.
        """
        if self._has_rate or text != self.run.request.rate_text:
            return Scheduler(inf, lambda _: None)
        self._has_rate = True
        self.run.planned.resume_at(initial_step)
        self._trainee.take(frame)
        self._keep(self._trainee.host_object)
        self._checks.before_start(self.run, self._trainee.host_object, initial_step)
        check_model(self._host.shared.sd_model)
        return Scheduler(self.run.planned.rate_at(initial_step), self._tried)

    def data_made(self, data: Any) -> None:
        """The host has made its data set.

        Raises:
            InputError: images that train to NaN, or nothing to compare.
            ScheduleError: a text that cannot be planned for so many images, or not be tried.
        """
        trouble = _data_faults.no_numbers(data)
        if trouble:
            raise InputError(trouble)
        mended = _data_faults.even_weights(data)
        self._trial.messages += [mended] if mended else []
        self.run.planned.bind(len(data), data.batch_size, data.gradient_step)
        self._plans = trials.plans_of(self._trial.spec, self.run.planned)

    # In the loop: nothing but an interrupt is raised ----------------------------------------------

    def _tried(self, optimizer: Any) -> None:
        """The whole trial, in the host's first ``apply``."""
        try:
            self._load_states(optimizer)
            frozen = FrozenModel(self._host.shared.sd_model, self._trainee.tensors())
            try:
                trials.run(self._trial, self.run.planned.plan, self._plans, self._track())
            finally:
                frozen.undo()
        except Interrupted:
            self._trial.was_interrupted = True
        except Exception as error:  # noqa: BLE001 the host would print it and swallow it
            self._trial.error = error

    def _track(self) -> Track:
        spec, shared = self._trial.spec, self._host.shared
        return Track(loop=self._loop_of(), model=shared.sd_model, tensors=self._trainee.tensors(), updates=spec.updates,
                     seed=spec.seed, limit=self._limit, after_step=self._norm_limit(),
                     is_stopped=lambda: self._trial.is_stopped or bool(shared.state.interrupted), told=self._told, draw=self._draw)

    def _told(self, made: int) -> None:
        state, expected = self._host.shared.state, self._trial.expected
        state.job_no, state.job_count = made, expected  # an image counts as one too
        state.textinfo = f"Trial: {made} of {expected} updates"
        self._trial.count(made)

    def _draw(self) -> bytes | None:
        """The trial continues without the image where it cannot be made."""
        sample, trainer = self._trial.spec.sample, self._host.trainer
        if sample is None or trainer is None:
            return None
        try:
            return trainer.draw(self.run.request.kind, self._trainee.host_object, sample)
        except Exception as error:  # noqa: BLE001 whatever the host's sampler raises
            self._trial.say(f"the image of a candidate could not be made, the trial continues: {type(error).__name__}: {error}")
            return None

    def _limit(self, update: int) -> tuple[str, float] | None:
        """The clip threshold, of a schedule that is compressed as the texts are."""
        planned = self.run.planned
        if planned.clip_plan is None:
            return None
        step = (2 * update + 1) * planned.clip_plan.total_steps // (2 * self._trial.spec.updates)
        return self.run.request.clip_mode, planned.clip_plan.value(min(step, planned.clip_plan.stop - 1))

    def _norm_limit(self) -> Callable[[], None]:
        times, vectors = self.run.options.max_norm, self._trainee.vectors()
        if not times > 0 or vectors is None:
            return lambda: None
        limits = times * references(vectors.detach().float())

        def limited() -> None:
            with torch.no_grad():
                hold(vectors, limits)

        return limited

    def _load_states(self, optimizer: Any) -> None:
        """What the training would resume with, beside the weights."""
        if self._snapshot is None:
            said = drop_foreign_state(self._host, self.run, self._trainee, optimizer)
            self._trial.messages += [said] if said else []
            return
        parts, scaler = self._snapshot.parts, self._checks.scaler()
        if type(optimizer).__name__ != self._snapshot.facts.optimizer:
            return
        try:
            step_hook.load_state(optimizer, parts["optimizer"])
            if scaler is not None and scaler.is_enabled() and parts["scaler"]:
                step_hook.load_scaler(scaler, parts["scaler"])
        except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
            self._trial.messages.append(f"the optimizer's saved state does not fit, and candidates begin without it: {error}")

    # The end ------------------------------------------------------------------------------------

    def end(self) -> None:
        """Everything is what it was before the host's train function was called. A second call finds nothing to do."""
        with Held():
            kept, self._kept = self._kept, None
            if kept is not None:
                _put_back(*kept)
            generators.put(self._draws)
        self._trainee.host_object = self._snapshot = None

    def _keep(self, host_object: Any) -> None:
        if self._kept is not None or host_object is None:
            return
        tensors: Sequence[Tensor] = find.trained_tensors(host_object)
        beside = {name: getattr(host_object, name) for name in ("step", *BESIDE) if hasattr(host_object, name)}
        self._kept = host_object, [one.detach().clone() for one in tensors], [one.requires_grad for one in tensors], beside


def _put_back(host_object: Any, weights: Sequence[Tensor], flags: Sequence[bool], beside: Mapping[str, Any]) -> None:
    with torch.no_grad():
        for tensor, kept, flag in zip(find.trained_tensors(host_object), weights, flags, strict=True):
            tensor.copy_(kept)
            tensor.requires_grad_(flag)
            tensor.grad = None
    for name, value in beside.items():
        setattr(host_object, name, value)


class Scheduler:
    """What the host's loop reads of a LearnRateScheduler; its first ``apply`` does everything, and then the loop is over."""

    def __init__(self, rate: float, run: Callable[[Any], None]) -> None:
        self.learn_rate = rate
        self.end_step = 0
        self.finished = False
        self.verbose = False
        self._run = run

    def step(self, step_number: int) -> bool:  # noqa: ARG002 the host's signature
        """No other segment begins."""
        return False

    def apply(self, optimizer: Any, step_number: int) -> None:  # noqa: ARG002 the host's signature
        """Called before the first update, and never again."""
        if self.finished:
            return
        self.finished = True
        self._run(optimizer)
