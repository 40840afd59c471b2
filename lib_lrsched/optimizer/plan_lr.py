"""A plan as a torch scheduler, for any training loop of one's own: ``lib_lrsched.optimizer.step_hook.PlanLR``.

It sets rates, and momentum where the plan drives it, and knows no run, no file and no host.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any, SupportsFloat

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lib_lrsched.language.tree import unparse
from lib_lrsched.schedule import plateau as feedback
from lib_lrsched.schedule.plan import PLANNER_VERSION, Plan, plan
from lib_lrsched.storage.checked_fields import COUNT, POSITIVE, POSITIVE_OR_NULL, TEXT, Rule, checked

CHUNK = 1024
"""Rates are asked of the plan this many steps at a time."""

MOST_TEXT = 200
"""A warning quotes a schedule's text up to this length."""

_NUMBER_OR_NULL = Rule("a number, or null", lambda value: value is None or (type(value) in (int, float) and isfinite(value)))
_OBJECT_OR_NULL = Rule("an object, or null", lambda value: value is None or isinstance(value, dict))
_START = Rule("a whole number from -1", lambda value: type(value) is int and value >= -1)
_STATE = {
    "planner": COUNT, "text": TEXT, "total_steps": POSITIVE, "steps_per_epoch": POSITIVE_OR_NULL,
    "images_per_step": POSITIVE_OR_NULL, "last_epoch": COUNT, "watch": _OBJECT_OR_NULL,
}
_WATCH = {
    "mean": _NUMBER_OR_NULL, "weight": _NUMBER_OR_NULL, "start": _START, "rate": _NUMBER_OR_NULL, "best": _NUMBER_OR_NULL,
    "bad": COUNT, "resting": COUNT, "cuts": COUNT, "looked": _START,
}


class PlanLR(LRScheduler):
    """Sets the rate of every param group to the plan's value, times the group's ``lr_scale`` where it has one.

    The order is torch's own. What is constructed has set value(0); the first ``step()`` after the first update sets value(1):

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> scheduler = PlanLR(optimizer, "warmup(0.4):4, cosine(0.4, 0)", total_steps=8)
    >>> rates = []
    >>> while not scheduler.finished:
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> [round(rate, 4) for rate in rates]
    [0.1, 0.2, 0.3, 0.4, 0.4, 0.3414, 0.2, 0.0586]

    Rates are absolute: the optimizer's own ``lr`` is not looked at. One step of the plan is one update of the optimizer; with
    gradient accumulation or a GradScaler call ``step()`` only after updates that were made. Behind ``plan.stop`` the last
    value is held and ``finished`` is True.

    A plan with a plateau looks at the loss: call ``step(loss=loss)``, or ``step(metrics)`` as with ReduceLROnPlateau, after
    every update. With ``watch=progress`` or ``watch=validation`` it looks at what it is given as it is, lower being better, and
    an update without anything new needs nothing. A tensor is read with ``float()``, which on CUDA waits for it. Where several
    processes train, give all of them the same loss, the mean over processes, or their rates drift apart. Other plans leave the
    loss unread.

    With ``accelerate``, a prepared scheduler is stepped once per process at every update, so that two processes run
    through a plan twice as fast and skip every other value; a warning says so at the first update. One of these keeps a
    step an update:

    * ``Accelerator(split_batches=True)``: the prepared scheduler is then stepped once, and only after updates that were made;
    * ``Accelerator(step_scheduler_with_optimizer=False)``, and in the loop
      ``if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped: scheduler.step()``;
    * leave the scheduler out of ``prepare``, step it as in the line before, and give it to
      ``accelerator.register_for_checkpointing`` so that it is saved and loaded.

    ``total_steps`` are updates in each case, however many processes share the work.

    Args:
        optimizer: any torch optimizer.
        plan_or_text: a Plan, or a schedule text.
        total_steps, steps_per_epoch, images_per_step: of a text, as for ``lib_lrsched.plan``; a Plan has its own.
        last_epoch: the last update that was made, as in torch: -1 for none, 99 to continue with value(100). For a plan with a
            plateau use ``load_state_dict`` instead, which knows what the plateau has seen.

    Attributes:
        plan: the plan in force.
        last_epoch: the step whose value the optimizer holds.

    Raises:
        ScheduleError: a text that cannot be planned.
        ValueError: numbers missing, or given for a Plan; momentum planned for an optimizer without any.
    """

    # Not to be called total_steps: where a scheduler has that attribute, accelerate stops stepping it after so many micro-batches.
    plan: Plan

    def __init__(self, optimizer: Optimizer, plan_or_text: Plan | str, *, total_steps: int | None = None,
                 steps_per_epoch: int | None = None, images_per_step: int | None = None, last_epoch: int = -1) -> None:
        made = _planned(plan_or_text, total_steps, steps_per_epoch, images_per_step)
        if last_epoch < -1 or (last_epoch >= 0 and made.feedback):
            raise ValueError(
                f"last_epoch is -1 or more, got {last_epoch}" if last_epoch < -1 else
                "a plan with a plateau cannot start in its middle, for the plateau has to know the losses before; "
                "make it without last_epoch and use load_state_dict"
            )
        if isinstance(optimizer, Optimizer):  # else the base class says so
            _check_momentum(made, optimizer)
            if last_epoch >= 0:
                for group in optimizer.param_groups:
                    group.setdefault("initial_lr", group["lr"])  # the base class asks for it; absolute rates need none
        self._has_warned = False
        self._take(made, feedback.Watch())
        super().__init__(optimizer, last_epoch)

    @property
    def finished(self) -> bool:
        """Whether no update is planned any more."""
        return self.last_epoch >= self.plan.stop

    def step(self, metrics: SupportsFloat | None = None, *, loss: SupportsFloat | None = None) -> None:  # type: ignore[override]
        """Set the value of the next update; to be called after each one that was made.

        Args:
            metrics, loss: the loss of that update, or what the plateau watches, by either name. Needed where there is a plateau.

        Raises:
            ValueError: the plan has a plateau and there is no loss.
            TypeError: both names are given.
        """
        if metrics is not None and loss is not None:
            raise TypeError("step takes the loss once: as step(loss=loss) or step(loss)")
        if not self._has_warned and "accelerate.scheduler" in sys.modules:
            self._warn_of_accelerate()
        _part_shared_rates(self.optimizer.param_groups)
        if self._step_count:  # 0 while the base class makes its first call, before any update
            self._look(metrics if loss is None else loss)
        super().step()
        self._write_momentum()

    def get_lr(self) -> list[Any]:
        """The rates of the step ``last_epoch``, one float for each param group."""
        rate = self._rate()
        return [rate * group["lr_scale"] if "lr_scale" in group else rate for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs, as plain JSON: texts, whole numbers, finite numbers and None."""
        made, watch = self.plan, self._watch
        return {
            "planner": PLANNER_VERSION, "text": made.text, "total_steps": made.total_steps,
            "steps_per_epoch": made.steps_per_epoch, "images_per_step": made.images_per_step, "last_epoch": self.last_epoch,
            "watch": _watch_to_json(watch) if made.feedback else None,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken: with its plan, and with its step's rates, which are written at once.

        A warning says so where this scheduler was made with another plan. To continue with another text or longer, make a new
        PlanLR with ``last_epoch`` instead.

        Raises:
            RunStateError: a field is missing or wrong; nothing is changed then.
            ScheduleError: the text cannot be planned any more.
        """
        state = checked(dict(state_dict), _STATE, None)
        watch = feedback.Watch() if state["watch"] is None else _watch_from_json(state["watch"])
        numbers = {name: state[name] for name in ("total_steps", "steps_per_epoch", "images_per_step")}
        made = plan(state["text"], **numbers)
        _check_momentum(made, self.optimizer)
        if state["planner"] != PLANNER_VERSION:
            warnings.warn(f"this state was saved with version {state['planner']} of the planner and is read with version "
                          f"{PLANNER_VERSION}: the same text may give other rates from here on", stacklevel=2)
        if _rules(made) != _rules(self.plan):
            warnings.warn(f"the saved plan is in force now ({_named(made)}), not the one that this scheduler was made with "
                          f"({_named(self.plan)}){_way_out(self.plan, state['last_epoch'])}", stacklevel=2)
        self._take(made, watch)
        # The base class's own way to write a step's rates; with a count of 0 it expects no update before it.
        self.last_epoch, self._step_count = state["last_epoch"] - 1, 0
        self.step()
        self._step_count = self.last_epoch + 1

    def _warn_of_accelerate(self) -> None:
        """Say that a prepared scheduler runs ahead. Nothing but the caller of step() knows that it is prepared."""
        frame = sys._getframe(2)  # noqa: SLF001  its public form makes a list of all frames
        if frame.f_code is not sys.modules["accelerate.scheduler"].AcceleratedScheduler.step.__code__:
            return
        caller = frame.f_locals["self"]
        count = sys.modules["accelerate.state"].AcceleratorState().num_processes
        if count < 2 or caller.split_batches or not caller.step_with_optimizer:
            return
        self._has_warned = True
        warnings.warn(f"accelerate steps this scheduler {count} times at every update, once for each process: the plan of "
                      f"{self.plan.stop} steps is over after {-(-self.plan.stop // count)} updates, and values between are "
                      "skipped. Make the Accelerator with split_batches=True or with step_scheduler_with_optimizer=False, or leave "
                      "the scheduler out of prepare(); the docstring of PlanLR has the loops", stacklevel=4)

    def _take(self, made: Plan, watch: feedback.Watch) -> None:
        self.plan = made
        self._watch = watch
        self._has_momentum = made.momenta([]) is not None
        self._chunk: list[float] = []
        self._chunk_start = 0

    def _look(self, loss: SupportsFloat | None) -> None:
        """Take in the loss of the update at ``last_epoch``; behind the last one nothing looks any more."""
        step = self.last_epoch
        if not self.plan.feedback or step + 1 >= self.plan.stop:
            return
        segment = feedback.segment_at(self.plan, step)
        watched = "loss" if segment is None else segment.values["watch"]
        if watched != "loss":
            metric = None if loss is None else float(loss)
            self._watch = feedback.advance(self._watch, segment, step, nan, {watched: metric})
            return
        if loss is None and "loss" not in feedback.watched(self.plan):
            return
        if loss is None:
            raise ValueError("this plan has a plateau, which looks at the loss of every update: call step(loss=loss)")
        self._watch = feedback.advance(self._watch, segment, step, float(loss))

    def _rate(self) -> float:
        step = min(self.last_epoch, self.plan.stop - 1)
        if self.plan.feedback:
            segment = feedback.segment_at(self.plan, step)
            if segment is not None:
                return feedback.rate_at(self._watch, segment)
        index = step - self._chunk_start
        if not 0 <= index < len(self._chunk):
            self._chunk_start, index = step, 0
            self._chunk = self.plan.values(range(step, min(step + CHUNK, self.plan.stop))).tolist()
        return self._chunk[index]

    def _write_momentum(self) -> None:
        momentum = self.plan.momentum(min(self.last_epoch, self.plan.stop - 1)) if self._has_momentum else None
        if momentum is None:
            return
        write_momentum(self.optimizer, momentum)


def _part_shared_rates(groups: list[dict[str, Any]]) -> None:
    """Give groups that share a tensor as their rate, and have different scales, a tensor each.

    torch writes a rate into the tensor, so that all who share it would train with the last group's.
    """
    scales: dict[int, float] = {}
    for group in groups:
        if isinstance(group["lr"], torch.Tensor):
            scale = group.get("lr_scale", 1.0)
            if scales.setdefault(id(group["lr"]), scale) != scale:
                group["lr"] = group["lr"].clone()


def write_momentum(optimizer: Optimizer, momentum: float) -> bool:
    """Set Adam's beta1 or SGD's momentum in every group that has one; whether any had."""
    found = False
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
            found = True
        elif "momentum" in group:
            if momentum and not group["momentum"]:
                _add_buffers(optimizer, group)
            group["momentum"] = momentum
            found = True
    return found


def _add_buffers(optimizer: Optimizer, group: dict[str, Any]) -> None:
    """RMSprop makes the buffer of its momentum with its first update, and only where there is momentum then."""
    for parameter in group["params"]:
        state = optimizer.state.get(parameter, {})
        if "square_avg" in state and "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)


def _planned(plan_or_text: Plan | str, total_steps: int | None, steps_per_epoch: int | None, images_per_step: int | None) -> Plan:
    if isinstance(plan_or_text, Plan):
        if (total_steps, steps_per_epoch, images_per_step) != (None, None, None):
            raise ValueError("a Plan has its own total_steps, steps_per_epoch and images_per_step; give them with a text only")
        return plan_or_text
    if total_steps is None:
        raise ValueError("a schedule text needs total_steps, the number of updates of the run")
    return plan(plan_or_text, total_steps=total_steps, steps_per_epoch=steps_per_epoch, images_per_step=images_per_step)


def _rules(made: Plan) -> tuple[Any, ...]:
    """What makes two plans the same, however their texts are spaced."""
    return unparse(made.tree), made.total_steps, made.steps_per_epoch, made.images_per_step


def _way_out(wanted: Plan, last_epoch: int) -> str:
    if wanted.feedback:
        return ""  # a plan with a plateau cannot start in its middle
    return f": to resume with that one, make the scheduler with last_epoch={last_epoch - 1} and do not load its state"


def _named(made: Plan) -> str:
    text = unparse(made.tree)
    return f"`{text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + '...'}` for {made.total_steps} steps"


def _check_momentum(made: Plan, optimizer: Optimizer) -> None:
    if made.momenta([]) is None or any("betas" in group or "momentum" in group for group in optimizer.param_groups):
        return
    name = type(optimizer).__name__
    raise ValueError(f"the plan drives momentum and {name} has none; cycle_momentum=no in the text leaves it alone")


def _watch_to_json(watch: feedback.Watch) -> dict[str, Any]:
    """JSON has no infinity and no NaN: the best loss before the first one, and the rate before the plateau, are None."""
    plateau = watch.plateau
    values = {"mean": watch.mean, "weight": watch.weight, "start": watch.start, "looked": watch.looked, **plateau._asdict()}
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in values.items()}


def _watch_from_json(value: Any) -> feedback.Watch:
    values = checked({"looked": -1} | value, _WATCH, None, "watch.")  # which states of an earlier version lack
    mean, weight = (values[name] if values[name] is not None else nan for name in ("mean", "weight"))
    plateau = feedback.Plateau(
        rate=nan if values["rate"] is None else values["rate"], best=inf if values["best"] is None else values["best"],
        bad=values["bad"], resting=values["resting"], cuts=values["cuts"],
    )
    return feedback.Watch(mean, weight, values["start"], plateau, values["looked"])
