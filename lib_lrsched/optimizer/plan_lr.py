"""A plan as a torch scheduler, for any training loop of one's own: ``from lib_lrsched import PlanLR``.

It sets rates, and momentum where the plan drives it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lib_lrsched.language.tree import unparse
from lib_lrsched.schedule.plan import PLANNER_VERSION, Plan
from lib_lrsched.storage.checked_fields import COUNT, checked

from ._group_plans import GroupPlans, Numbers, Paths, Schedules, Track, from_json, planned, read_texts, to_json

MOST_TEXT = 200
"""A warning quotes a schedule's text up to this length."""


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
    gradient accumulation or a GradScaler call ``step()`` only after updates that were made. After ``plan.stop`` the last
    value is held and ``finished`` is True.

    Param groups can have schedules of their own: a list has one for each group in their order, a dict one for each group's
    ``name``. Each plan's rates are then those of its groups, times their ``lr_scale``:

    >>> groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "name": name} for name in ("text", "unet")]
    >>> both = PlanLR(torch.optim.SGD(groups, lr=1.0), {"unet": "0.4", "text": "linear(0.2, 0)"}, total_steps=8)
    >>> both.get_last_lr()
    [0.2, 0.4]

    A plan with a plateau looks at the loss: call ``step(loss=loss)``, or ``step(metrics)`` as with ReduceLROnPlateau, after
    every update. With ``watch=progress`` or ``watch=validation`` it looks at what it is given as it is, lower being better, and
    an update without anything new needs nothing. A tensor is read with ``float()``, which on CUDA waits for it. Where several
    processes train, give all of them the same loss, the mean over processes, or their rates drift apart. Other plans leave the
    loss unread.

    ``total_steps`` are updates, however many processes share the work. ``accelerate`` steps a prepared scheduler once per
    process at every update; one of these calls counts, and a warning says so, for scripts that multiply the length of their
    schedules by the number of processes give a length that is too large here.

    Args:
        optimizer: any torch optimizer.
        plan_or_text: a Plan or a schedule text; a list or a dict of them, for each param group.
        path: a file with the text in UTF-8, instead of it; a list or a dict of files, for each param group.
        total_steps, steps_per_epoch, images_per_step: of a text, as for ``lib_lrsched.plan``; a Plan has its own.
        last_epoch: the last update that was made, as in torch: -1 for none, 99 to continue with value(100). For a plan with a
            plateau use ``load_state_dict`` instead, which knows what the plateau has seen.
        keep_plan: ``load_state_dict`` takes the step alone, and training continues with the plans given here: for trainers that
            load the state by themselves, and a text or a length that has changed.

    Attributes:
        plans: the plan in force for each param group.
        last_epoch: the step whose value the optimizer holds.

    Raises:
        ScheduleError: a text that cannot be planned.
        ValueError: numbers missing, or given for a Plan; other groups than schedules; momentum planned for an optimizer without
            any; a file that is not in UTF-8.
        OSError: a file that cannot be read.
    """

    # No attribute may be called total_steps: where a scheduler has it, accelerate stops stepping after so many micro-batches.
    _plans: GroupPlans
    _calls: int  # how many of accelerate's calls for the update at hand were seen; 0 where each update has one

    def __init__(self, optimizer: Optimizer, plan_or_text: Schedules | None = None, *, path: Paths | None = None,
                 total_steps: int | None = None, steps_per_epoch: int | None = None, images_per_step: int | None = None,
                 last_epoch: int = -1, keep_plan: bool = False) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        given = plan_or_text if path is None else read_texts(path)
        if given is None or (plan_or_text is not None and path is not None):
            raise ValueError("expected a plan or a text, or the path of a file with the text, got "
                             f"{'neither' if given is None else 'both'}")
        plans = planned(given, optimizer.param_groups, Numbers(total_steps, steps_per_epoch, images_per_step))
        _check_momentum(plans, optimizer)
        if last_epoch < -1:
            raise ValueError(f"last_epoch is -1 or more, got {last_epoch}")
        if last_epoch >= 0:
            if any(track.has_feedback for track in plans.tracks):
                raise ValueError("a plan with a plateau cannot start in its middle, for the plateau has to know the losses before; "
                                 "make it without last_epoch and use load_state_dict")
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])  # the base class asks for it; absolute rates need none
        self._has_warned = False
        self._keeps_plan = keep_plan
        self._take(plans)
        super().__init__(optimizer, last_epoch)

    @property
    def plan(self) -> Plan:
        """The plan in force; where param groups have plans of their own, that of the first group."""
        return self._plans.track_of(0).plan

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(self._plans.track_of(group).plan for group in range(len(self.optimizer.param_groups)))

    @property
    def finished(self) -> bool:
        """Whether no update is planned any more."""
        return all(self.last_epoch >= track.plan.stop for track in self._plans.tracks)

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
        calls = _calls_of_accelerate() if "accelerate.scheduler" in sys.modules else 1
        if calls > 1 and self._calls:
            self._calls = (self._calls + 1) % calls
            return
        self._part_shared_rates()
        if self._has_feedback and self._step_count:  # 0 while the base class makes its first call, before any update
            self._look(metrics if loss is None else loss)
        super().step()
        if self._has_momentum:
            self._write_momentum()
        if calls > 1:
            self._calls = 1
            self._say_what_counts(calls)

    def get_lr(self) -> list[Any]:
        """The rates of the step ``last_epoch``, one float for each param group."""
        groups, (tracks, of_group) = self.optimizer.param_groups, self._plans
        if of_group is None:
            rate = tracks[0].rate(self.last_epoch)
            return [rate * group["lr_scale"] if "lr_scale" in group else rate for group in groups]
        if len(groups) != len(of_group):
            raise ValueError(f"the optimizer has {len(groups)} param groups now, and schedules were given for {len(of_group)}; "
                             "add groups before the scheduler is made, or give one schedule for all")
        rates = [track.rate(self.last_epoch) for track in tracks]
        return [rates[track] * group.get("lr_scale", 1.0) for track, group in zip(of_group, groups)]

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs, as plain JSON: texts, whole numbers, finite numbers and None."""
        return {"planner": PLANNER_VERSION, "last_epoch": self.last_epoch, **to_json(self._plans)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken: with its plans, and with its step's rates, which are written at once.

        A warning says so where this scheduler was made with other plans. To continue with another text or longer, make it with
        ``keep_plan=True``, or with ``last_epoch`` and without this.

        Raises:
            RunStateError: a field is missing or wrong, or the param groups are others; nothing is changed then.
            ScheduleError: a text cannot be planned any more.
            ValueError: another plan is kept and has a plateau, which cannot start in its middle.
        """
        state = dict(state_dict)
        head = checked(state, {"planner": COUNT, "last_epoch": COUNT}, None)
        plans = from_json(state, len(self.optimizer.param_groups))
        _check_momentum(plans, self.optimizer)
        if head["planner"] != PLANNER_VERSION:
            warnings.warn(f"this state was saved with version {head['planner']} of the planner and is read with version "
                          f"{PLANNER_VERSION}: the same text may give other rates from here on", stacklevel=2)
        difference = self._difference(plans)
        if difference is not None and self._keeps_plan:
            if self._has_feedback and head["last_epoch"]:
                raise ValueError("the saved plan is another one, and a plan with a plateau cannot start in its middle; leave "
                                 "keep_plan out to continue with the saved plan")
            plans = self._plans
        elif difference is not None:
            warnings.warn(difference, stacklevel=2)
        self._take(plans)
        # The base class's own way to write a step's rates; with a count of 0 it expects no update before it.
        self.last_epoch, self._step_count = head["last_epoch"] - 1, 0
        self.step()
        self._step_count = self.last_epoch + 1

    def _difference(self, saved: GroupPlans) -> str | None:
        """The first param group whose saved plan is another one than it has here, in words."""
        for index, group in enumerate(self.optimizer.param_groups):
            theirs, ours = saved.track_of(index), self._plans.track_of(index)
            if theirs.rules() == ours.rules():
                continue
            is_one = saved.of_group is None and self._plans.of_group is None
            where = "" if is_one else f" of param group {repr(group['name']) if 'name' in group else index}"
            is_bound = any(track.has_feedback for track in self._plans.tracks)  # a plateau cannot start in its middle
            way_out = "" if is_bound else ": to resume with that one, make the scheduler with keep_plan=True"
            return (f"the saved plan{where} is in force now ({_named(theirs.plan)}), not the one that this scheduler was made with "
                    f"({_named(ours.plan)}){way_out}")
        return None

    def _say_what_counts(self, calls: int) -> None:
        if self._has_warned or not sys.modules["accelerate.state"].AcceleratorState().is_local_main_process:
            return
        self._has_warned = True
        warnings.warn(f"accelerate steps this scheduler {calls} times at every update, once for each process, and one of these "
                      f"counts: the plan's {self.plan.stop} steps are {self.plan.stop} updates. If that number was multiplied by "
                      "the number of processes, leave that out", stacklevel=4)

    def _take(self, plans: GroupPlans) -> None:
        self._plans = plans
        self._has_feedback = any(track.has_feedback for track in plans.tracks)
        self._has_momentum = any(track.has_momentum for track in plans.tracks)
        self._calls = 0

    def _look(self, loss: SupportsFloat | None) -> None:
        """Take in the loss of the update at ``last_epoch``."""
        looking = [track for track in self._plans.tracks if track.needs_loss(self.last_epoch)]
        if not looking:
            return
        number = None if loss is None else float(loss)
        if number is None and any(track.must_have_loss(self.last_epoch) for track in looking):
            raise ValueError("this plan has a plateau, which looks at the loss of every update: call step(loss=loss)")
        for track in looking:
            track.look(self.last_epoch, number)

    def _write_momentum(self) -> None:
        for index, track in enumerate(self._plans.tracks):
            momentum = track.momentum(self.last_epoch)
            if momentum is not None:
                write_momentum(self.optimizer, momentum, self._plans.groups_of(index, self.optimizer.param_groups))

    def _part_shared_rates(self) -> None:
        """Give groups that share a tensor as their rate, and have different plans or scales, a tensor each.

        torch writes a rate into the tensor, so that all who share it would train with the last group's.
        """
        first: dict[int, tuple[Track, float]] = {}
        for index, group in enumerate(self.optimizer.param_groups):
            if isinstance(group["lr"], torch.Tensor):
                own = self._plans.track_of(index), group.get("lr_scale", 1.0)
                if first.setdefault(id(group["lr"]), own) != own:
                    group["lr"] = group["lr"].clone()


def _calls_of_accelerate() -> int:
    """How often accelerate calls step() for one update: once for each process, unless it is told not to."""
    frame = sys._getframe(2)  # noqa: SLF001  nothing but the caller of step() knows; the public form makes a list of all frames
    if frame.f_code is not sys.modules["accelerate.scheduler"].AcceleratedScheduler.step.__code__:
        return 1
    caller = frame.f_locals["self"]
    if caller.split_batches or not caller.step_with_optimizer:
        return 1
    count: int = sys.modules["accelerate.state"].AcceleratorState().num_processes
    return count


def write_momentum(optimizer: Optimizer, momentum: float, groups: Sequence[dict[str, Any]] | None = None) -> bool:
    """Set Adam's beta1 or SGD's momentum in every group that has one; whether any had.

    Args:
        groups: of the optimizer's param groups; all of them by default.
    """
    found = False
    for group in optimizer.param_groups if groups is None else groups:
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


def _named(made: Plan) -> str:
    text = unparse(made.tree)
    return f"`{text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + '...'}` for {made.total_steps} steps"


def _check_momentum(plans: GroupPlans, optimizer: Optimizer) -> None:
    for index, track in enumerate(plans.tracks):
        groups = plans.groups_of(index, optimizer.param_groups)
        if track.has_momentum and not any("betas" in group or "momentum" in group for group in groups):
            raise ValueError(f"the plan drives momentum and {type(optimizer).__name__} has none; `cycle_momentum=no` in the text "
                             "leaves it alone")
