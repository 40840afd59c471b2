"""PlanLR against torch's own schedulers, through saving and loading, and with two processes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import accelerate_worker as worker  # noqa: E402  torch is optional, see importorskip
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau  # noqa: E402

from lib_lrsched import (  # noqa: E402
    PlanLR,
    RunStateError,
    ScheduleError,
    plan,
)
from lib_lrsched.optimizer import step_hook  # noqa: E402
from lib_lrsched.schedule import plateau  # noqa: E402
from lib_lrsched.schedule.ahead import CHUNK  # noqa: E402
from lib_lrsched.schedule.plan import PLANNER_VERSION  # noqa: E402

CURVED = "warmup(0.005):5, cosine(0.005, 1e-5):+7, 1e-4"


def adam(*scales: float | None) -> torch.optim.Optimizer:
    """An optimizer with a param group for each scale; None has no ``lr_scale``."""
    groups: list[dict[str, Any]] = [{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in scales or (None,)]
    for group, scale in zip(groups, scales):
        if scale is not None:
            group["lr_scale"] = scale
    return torch.optim.AdamW(groups, lr=0.1)


def momentum_of(group: dict[str, Any]) -> float:
    return group["betas"][0] if "betas" in group else group["momentum"]


def update(optimizer: torch.optim.Optimizer) -> None:
    """An update with the gradient that a sum of squares has."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = 2 * parameter.detach()
    optimizer.step()


def walk(scheduler: LRScheduler, updates: int, losses: list[float] | None = None) -> list[tuple[float, float]]:
    """Rate and momentum that the optimizer held at each update."""
    held = []
    for i in range(updates):
        group = scheduler.optimizer.param_groups[0]
        held.append((float(group["lr"]), momentum_of(group)))
        update(scheduler.optimizer)
        scheduler.step(*([] if losses is None else [losses[i]]))
    return held


def rates(scheduler: LRScheduler, updates: int, losses: list[float] | None = None) -> list[float]:
    return [rate for rate, _ in walk(scheduler, updates, losses)]


# Against torch ----------------------------------------------------------------------------


def test_rates_are_the_plan_s_from_the_constructor_on():
    made = plan(CURVED, total_steps=20)
    assert rates(PlanLR(adam(), made), 20) == made.values(range(20)).tolist()


def test_a_long_run_is_the_plan_s_beyond_the_rates_that_are_held_ready():
    made = plan("cosine(0.005, 1e-5)", total_steps=2 * CHUNK + 100)
    assert rates(PlanLR(adam(), made), made.stop) == made.values(range(made.stop)).tolist()


def test_rates_are_those_of_lambda_lr_over_the_same_curve():
    made = plan(CURVED, total_steps=20)
    scheduler = LambdaLR(adam(), lambda k: made.value(min(k, 19)) / 0.1)
    assert rates(PlanLR(adam(), made), 20) == pytest.approx(rates(scheduler, 20), rel=1e-15)


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)


@pytest.mark.parametrize("optimizer", [adam, sgd])
@pytest.mark.parametrize(("options", "given"), [
    ({}, ""), ({"three_phase": True, "anneal_strategy": "linear"}, ", anneal=linear, three_phase=yes"),
])
def test_rates_and_momenta_are_those_of_one_cycle_lr(optimizer, options, given):
    reference = OneCycleLR(optimizer(), max_lr=0.2, total_steps=40, **options)
    ours = PlanLR(optimizer(), f"onecycle(0.2{given})", total_steps=40)
    # One call of step() less: torch refuses the one after the last update.
    assert walk(ours, 39) == [pytest.approx(pair, rel=1e-12) for pair in walk(reference, 39)]


@pytest.mark.parametrize("optimizer", [adam, sgd])
@pytest.mark.parametrize(("options", "given"), [
    ({}, ""), ({"step_size_down": 3, "mode": "triangular2"}, ", step_size_down=3, mode=triangular2"),
    ({"mode": "exp_range", "gamma": 0.97}, ", mode=exp_range, gamma=0.97"),
])
def test_rates_and_momenta_are_those_of_cyclic_lr(optimizer, options, given):
    reference = CyclicLR(optimizer(), base_lr=0.01, max_lr=0.2, step_size_up=5, base_momentum=0.85, max_momentum=0.95, **options)
    ours = PlanLR(optimizer(), f"cyclic(0.01, 0.2, step_size=5{given})", total_steps=43)
    assert walk(ours, 43) == [pytest.approx(pair, rel=1e-12) for pair in walk(reference, 43)]


def test_rates_are_those_of_reduce_lr_on_plateau_over_the_smoothed_loss():
    losses = [1.0, 0.9, 0.8, *[0.8] * 20, 0.2, *[0.9] * 16]
    ours = PlanLR(adam(), "plateau(0.1, factor=0.5, patience=3, cooldown=2, threshold=0.01)", total_steps=40)
    optimizer = adam()
    reference = ReduceLROnPlateau(optimizer, factor=0.5, patience=3, cooldown=2, threshold=0.01, eps=0)
    expected, watch = [], plateau.Watch()
    for loss in losses:
        expected.append(optimizer.param_groups[0]["lr"])
        watch = plateau.advance(watch, None, 0, loss)
        reference.step(watch.mean / watch.weight)
    got = rates(ours, 40, losses)
    assert got == pytest.approx(expected, rel=1e-12)
    assert got[-1] < 0.03


def test_training_gives_the_bits_of_a_loop_that_writes_the_plan_s_rates():
    made = plan(CURVED, total_steps=20)
    ours, by_hand = adam(), adam()
    rates(PlanLR(ours, made), 20)
    for k in range(20):
        step_hook.write_rate(by_hand, made.value(k))
        update(by_hand)
    assert torch.equal(ours.param_groups[0]["params"][0], by_hand.param_groups[0]["params"][0])


def test_nothing_warns_in_the_usual_order():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates(PlanLR(adam(), "plateau(0.1)", total_steps=5), 5, [1.0] * 5)


def test_torch_warns_where_the_first_update_is_left_out():
    scheduler = PlanLR(adam(), CURVED, total_steps=20)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()


# Groups, tensors, momentum ------------------------------------------------------------------


def test_each_group_gets_the_rate_times_its_scale():
    optimizer = adam(1.0, 0.1, None)
    scheduler = PlanLR(optimizer, "0.5:1, 0.25", total_steps=3)
    assert scheduler.get_last_lr() == [0.5, 0.05, 0.5]
    update(optimizer)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.25, 0.025, 0.25] == [group["lr"] for group in optimizer.param_groups]
    assert all(type(group["lr"]) is float for group in optimizer.param_groups)


def test_a_rate_that_is_a_tensor_stays_that_tensor():
    held = torch.tensor(0.1)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=held, capturable=False, foreach=False)
    scheduler = PlanLR(optimizer, "0.5:1, 0.25", total_steps=3)
    update(optimizer)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is held
    assert held.item() == 0.25


def test_groups_that_share_a_tensor_as_their_rate_keep_their_scales():
    held = torch.tensor(0.1)
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(4)]
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr_scale": 0.1}, {"params": [weights[2]], "lr_scale": 0.1},
              {"params": [weights[3]], "lr_scale": 1.0}]
    optimizer = torch.optim.Adam(groups, lr=held, capturable=False, foreach=False)
    scheduler = PlanLR(optimizer, "0.5:1, 0.25", total_steps=3)
    assert scheduler.get_last_lr() == pytest.approx([0.5, 0.05, 0.05, 0.5])
    optimizer.load_state_dict(optimizer.state_dict())
    update(optimizer)
    scheduler.step()
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.25, 0.025, 0.025, 0.25])
    assert optimizer.param_groups[0]["lr"] is optimizer.param_groups[3]["lr"]


def named(*names: str) -> torch.optim.Optimizer:
    return torch.optim.AdamW([{"params": [torch.nn.Parameter(torch.ones(2))], "name": name} for name in names], lr=0.1)


def group_rates(scheduler: PlanLR, updates: int) -> list[list[float]]:
    """The rates of each group, a list for each."""
    held = []
    for _ in range(updates):
        held.append([group["lr"] for group in scheduler.optimizer.param_groups])
        update(scheduler.optimizer)
        scheduler.step()
    return [[pytest.approx(rate, rel=1e-12) for rate in rates] for rates in zip(*held)]


def test_a_list_has_a_schedule_for_each_group():
    scheduler = PlanLR(adam(None, 0.1), [CURVED, plan("linear(0.4, 0)", total_steps=4)], total_steps=20)
    first, second = group_rates(scheduler, 20)
    assert first == plan(CURVED, total_steps=20).values(range(20)).tolist()
    assert second == pytest.approx([0.04, 0.03, 0.02, *[0.01] * 17])  # the shorter plan's last rate is held
    assert [made.stop for made in scheduler.plans] == [20, 4]
    assert scheduler.finished


def test_a_dict_has_a_schedule_for_each_name_and_groups_can_share_one():
    made = {"text": "0.5:1, 0.25", "unet": "linear(0.4, 0)"}
    assert group_rates(PlanLR(named("unet", "text", "unet"), made, total_steps=4), 2) == [[0.4, 0.3], [0.5, 0.25], [0.4, 0.3]]


def test_each_group_has_the_momentum_of_its_own_plan():
    scheduler = PlanLR(adam(None, None), ["onecycle(0.1)", "0.1"], total_steps=20)
    assert [momentum_of(group) for group in scheduler.optimizer.param_groups] == [0.95, 0.9]


def test_groups_that_share_a_tensor_as_their_rate_keep_their_plans():
    held = torch.tensor(0.1)
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in range(2)]
    optimizer = torch.optim.Adam(groups, lr=held, capturable=False, foreach=False)
    assert PlanLR(optimizer, ["0.5", "0.25"], total_steps=3).get_last_lr() == [0.5, 0.25]
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.5, 0.25]


def test_a_state_of_several_plans_goes_through_json_and_the_run_goes_on_exactly():
    texts = ["plateau(0.1, factor=0.5, patience=1)", CURVED]
    losses = [1.0 + 0.01 * (k % 3) for k in range(30)]
    whole, resumed = (PlanLR(adam(None, 0.5), texts, total_steps=20) for _ in range(2))
    walk(whole, 7, losses)
    resumed.load_state_dict(json.loads(json.dumps(whole.state_dict(), allow_nan=False)))
    assert resumed.get_last_lr() == whole.get_last_lr()
    assert walk(resumed, 9, losses[7:]) == walk(whole, 9, losses[7:])
    assert resumed.state_dict() == whole.state_dict()


def test_a_state_of_one_plan_takes_the_place_of_several_and_says_where():
    saved = PlanLR(named("a", "b"), "0.1:3, 0.2", total_steps=20)
    message = ("the saved plan of param group 'b' is in force now (`0.1:3, 0.2` for 20 steps), not the one that this scheduler was "
               "made with (`0.3` for 20 steps): to resume with that one, make the scheduler with keep_plan=True")
    resumed = PlanLR(named("a", "b"), ["0.1:3, 0.2", "0.3"], total_steps=20)
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        resumed.load_state_dict(saved.state_dict())
    assert resumed.get_last_lr() == [0.1, 0.1]


def test_a_state_of_0_1_0_is_read():
    state = {"planner": PLANNER_VERSION, "text": "0.5:3, 0.25", "total_steps": 9, "steps_per_epoch": None, "images_per_step": None,
             "last_epoch": 3, "watch": None}
    scheduler = PlanLR(adam(), "0.5:3, 0.25", total_steps=9)
    assert scheduler.state_dict().keys() == state.keys()
    scheduler.load_state_dict(state)
    assert scheduler.get_last_lr() == [0.25]


def test_texts_come_from_files(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("0.5:1,  # a comment\n0.25", encoding="utf-8-sig")
    second.write_text("linear(0.4, 0)")
    assert rates(PlanLR(adam(), path=str(first), total_steps=2), 2) == [0.5, 0.25]
    assert group_rates(PlanLR(adam(None, None), path=[first, second], total_steps=4), 2) == [[0.5, 0.25], [0.4, 0.3]]
    assert PlanLR(named("x", "y"), path={"y": first, "x": second}, total_steps=4).get_last_lr() == [0.4, 0.5]


def test_momentum_stays_where_it_is_in_segments_that_do_not_drive_it():
    held = walk(PlanLR(adam(), "0.1:2, cyclic(0.01, 0.1, step_size=2):6, 0.1", total_steps=9), 9)
    assert [round(beta, 4) for _, beta in held] == [0.9, 0.9, 0.95, 0.9, 0.85, 0.9, 0.9, 0.9, 0.9]


# The end ------------------------------------------------------------------------------------


def test_after_the_end_the_last_value_is_held():
    scheduler = PlanLR(adam(), "linear(0.4, 0):4", total_steps=10)
    assert not scheduler.finished
    assert rates(scheduler, 4) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert scheduler.finished
    assert rates(scheduler, 3) == pytest.approx([0.1] * 3)


def test_after_the_end_no_loss_is_needed_and_a_plateau_holds_its_rate():
    scheduler = PlanLR(adam(), "plateau(0.4, patience=0, factor=0.5)", total_steps=4)
    rates(scheduler, 4, [1.0] * 4)
    last = scheduler.get_last_lr()
    update(scheduler.optimizer)
    scheduler.step()
    assert scheduler.get_last_lr() == last == [0.1]


# Resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("updates", [0, 1, 2, 7, 15, 25])
@pytest.mark.parametrize("text", [
    CURVED, "1e-3:4, plateau(0.1, factor=0.5, patience=1, cooldown=1)", "onecycle(0.1)", "0.1:2, decay(gamma=0.9, v=1):15",
])
def test_a_state_goes_through_json_and_the_run_goes_on_exactly(text, updates):
    losses = [1.0 + 0.01 * (k % 3) for k in range(30)]
    whole = PlanLR(adam(1.0, 0.5), text, total_steps=20)
    walk(whole, updates, losses)
    state = json.loads(json.dumps(whole.state_dict(), allow_nan=False))
    resumed = PlanLR(adam(1.0, 0.5), text.replace(", ", " , "), total_steps=20)
    resumed.load_state_dict(state)
    assert resumed.plan == whole.plan
    assert resumed.get_last_lr() == whole.get_last_lr()
    assert resumed.state_dict() == whole.state_dict()
    assert walk(resumed, 5, losses[updates:]) == walk(whole, 5, losses[updates:])


def test_loading_writes_the_rate_whatever_the_optimizer_held():
    scheduler = PlanLR(adam(), CURVED, total_steps=20)
    walk(scheduler, 8)
    fresh = adam()
    resumed = PlanLR(fresh, CURVED, total_steps=20)
    assert fresh.param_groups[0]["lr"] == scheduler.plan.value(0)
    resumed.load_state_dict(scheduler.state_dict())
    assert fresh.param_groups[0]["lr"] == scheduler.plan.value(8)


@pytest.mark.parametrize(("text", "total", "named"), [
    ("0.001", 20, "`0.001` for 20 steps"), (CURVED, 30, f"`{CURVED}` for 30 steps"),
    (", ".join(["0.001:+1"] * 50), 50, f"`{', '.join(['0.001:+1'] * 50)[:200]}...` for 50 steps"),
])
def test_a_saved_plan_that_takes_the_place_of_another_says_so(text, total, named):
    saved = PlanLR(adam(), CURVED, total_steps=20)
    walk(saved, 7)
    resumed = PlanLR(adam(), text, total_steps=total)
    message = (f"the saved plan is in force now (`{CURVED}` for 20 steps), not the one that this scheduler was made with "
               f"({named}): to resume with that one, make the scheduler with keep_plan=True")
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        resumed.load_state_dict(saved.state_dict())
    assert resumed.get_last_lr() == saved.get_last_lr()
    assert PlanLR(adam(), CURVED, total_steps=30, last_epoch=6).get_last_lr() == saved.get_last_lr()


def test_a_plan_that_is_kept_goes_on_at_the_saved_step():
    saved = PlanLR(adam(), CURVED, total_steps=20)
    walk(saved, 7)
    resumed = PlanLR(adam(), "linear(0.4, 0)", total_steps=40, keep_plan=True)
    resumed.load_state_dict(saved.state_dict())
    assert rates(resumed, 3) == resumed.plan.values(range(7, 10)).tolist() == pytest.approx([0.33, 0.32, 0.31])


def test_error_a_plateau_that_is_kept_in_place_of_another_plan():
    saved = PlanLR(adam(), CURVED, total_steps=20)
    first, resumed = (PlanLR(adam(), "plateau(1e-3)", total_steps=9, keep_plan=True) for _ in range(2))
    walk(saved, 7)
    walk(first, 3, [1.0] * 3)
    resumed.load_state_dict(first.state_dict())  # the same plan continues with what it has seen
    message = ("the saved plan is another one, and a plan with a plateau cannot start in its middle; leave keep_plan out to "
               "continue with the saved plan")
    assert raised(ValueError, lambda: resumed.load_state_dict(saved.state_dict())) == message
    assert resumed.state_dict() == first.state_dict()


def test_last_epoch_goes_on_without_a_state():
    made = plan(CURVED, total_steps=20)
    scheduler = PlanLR(adam(), made, last_epoch=6)
    assert rates(scheduler, 13) == made.values(range(7, 20)).tolist()


def test_a_state_can_be_saved_with_torch_and_read_with_weights_only(tmp_path):
    scheduler = PlanLR(adam(), "plateau(0.1)", total_steps=20)
    torch.save(scheduler.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True) == scheduler.state_dict()


def test_a_state_of_another_planner_is_read_with_a_warning():
    scheduler = PlanLR(adam(), CURVED, total_steps=20)
    state = scheduler.state_dict() | {"planner": PLANNER_VERSION + 1}
    message = (f"this state was saved with version {PLANNER_VERSION + 1} of the planner and is read with version "
               f"{PLANNER_VERSION}: the same text may give other rates from here on")
    with pytest.warns(UserWarning, match=re.escape(message)):
        scheduler.load_state_dict(state)


def test_accelerate_finds_no_total_steps():
    assert not hasattr(PlanLR(adam(), CURVED, total_steps=20), "total_steps")


# Errors -------------------------------------------------------------------------------------


def raised(error: type[Exception], action: Callable[[], Any]) -> str:
    with pytest.raises(error) as info:
        action()
    return str(info.value)


def test_error_a_text_without_total_steps():
    message = "a schedule text needs total_steps, the number of updates of the run"
    assert raised(ValueError, lambda: PlanLR(adam(), CURVED)) == message


def test_error_a_plan_with_numbers():
    made = plan(CURVED, total_steps=20)
    message = "a Plan has its own total_steps, steps_per_epoch and images_per_step; give them with a text only"
    assert raised(ValueError, lambda: PlanLR(adam(), made, total_steps=20)) == message


@pytest.mark.parametrize(("given", "message"), [
    (["0.1"], "expected a schedule for each of the optimizer's 2 param groups ('a', 'b'), got 1"),
    ({"a": "0.1", "x": "0.2", "b": "0.3"}, "no param group is called 'x'; {has}, schedules were given for 'a', 'x', 'b'"),
    ({"a": "0.1"}, "no schedule for param group 'b'; {has}, schedules were given for 'a'"),
])
def test_error_other_groups_than_schedules(given, message):
    assert raised(ValueError, lambda: PlanLR(named("a", "b"), given, total_steps=9)) == message.replace(
        "{has}", "the optimizer has 2 param groups ('a', 'b')")


def test_error_schedules_by_name_for_groups_without_names():
    message = ("schedules by name need param groups with names, and param group 0 has none; give a list of schedules, or put a "
               "name into each group")
    assert raised(ValueError, lambda: PlanLR(adam(), {"a": "0.1"}, total_steps=9)) == message


def test_error_a_group_that_came_later_has_no_schedule():
    scheduler = PlanLR(adam(None, None), ["0.1", "0.2"], total_steps=9)
    scheduler.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    message = ("the optimizer has 3 param groups now, and schedules were given for 2; add groups before the scheduler is made, or "
               "give one schedule for all")
    assert raised(ValueError, lambda: (update(scheduler.optimizer), scheduler.step())) == message


def test_error_text_and_path(tmp_path):
    message = "expected a plan or a text, or the path of a file with the text, got "
    (tmp_path / "a").write_text("0.1")
    assert raised(ValueError, lambda: PlanLR(adam(), total_steps=9)) == message + "neither"
    assert raised(ValueError, lambda: PlanLR(adam(), "0.1", path=tmp_path / "a", total_steps=9)) == message + "both"


def test_error_a_file_that_is_not_in_utf_8(tmp_path):
    path = tmp_path / "a"
    path.write_text("0.1", encoding="utf-16")
    message = f"{path}: expected a schedule text in UTF-8, got other bytes; save the file as UTF-8"
    assert raised(ValueError, lambda: PlanLR(adam(), path=path, total_steps=9)) == message


@pytest.mark.parametrize(("change", "message"), [
    ({"groups": [0, 1, 1]}, "groups: expected a plan for each of 2 param groups, got 3"),
    ({"groups": [0, 2]}, "groups: expected whole numbers from 0, below 2, got [0, 2]"),
    ({"plans": [{}, {}]}, "plans[0].text: expected a text, but the field is missing"),
])
def test_error_a_damaged_state_of_several_plans_changes_nothing(change, message):
    scheduler = PlanLR(adam(None, None), ["0.1", CURVED], total_steps=20)
    before = scheduler.state_dict()
    assert raised(RunStateError, lambda: scheduler.load_state_dict(before | change)) == message
    assert scheduler.state_dict() == before


def test_error_a_text_that_cannot_be_planned():
    message = "no shape `cosin`; did you mean `cosine`?\n    cosin(1e-3, 0)\n    ^^^^^"
    assert raised(ScheduleError, lambda: PlanLR(adam(), "cosin(1e-3, 0)", total_steps=20)) == message


def test_error_no_optimizer():
    assert raised(TypeError, lambda: PlanLR(None, CURVED, total_steps=20)) == "NoneType is not an Optimizer"


def test_error_a_plateau_without_a_loss():
    scheduler = PlanLR(adam(), "1e-3:5, plateau(1e-3)", total_steps=20)
    update(scheduler.optimizer)
    message = "this plan has a plateau, which looks at the loss of every update: call step(loss=loss)"
    assert raised(ValueError, scheduler.step) == message
    assert scheduler.last_epoch == 0


def test_a_plateau_that_watches_something_else_takes_what_it_is_given_and_keeps_it_in_its_state():
    text = "plateau(0.4, factor=0.5, patience=0, watch=validation)"
    whole, first = (PlanLR(adam(), text, total_steps=20) for _ in range(2))
    metrics = [None, 0.9, None, 0.95, 0.8, None, 0.85, None]
    expected = rates_given(whole, metrics)
    assert expected == [0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]
    found = rates_given(first, metrics[:3])
    second = PlanLR(adam(), text, total_steps=20)
    state = json.loads(json.dumps(first.state_dict()))
    second.load_state_dict(state)
    assert found + rates_given(second, metrics[3:]) == expected
    del state["watch"]["looked"]  # as of an earlier version
    second.load_state_dict(state)


def rates_given(scheduler: Any, metrics: list[float | None]) -> list[float]:
    found = []
    for metric in metrics:
        found.append(scheduler.get_last_lr()[0])
        update(scheduler.optimizer)
        scheduler.step(metric)
    return found


def test_error_two_losses():
    scheduler = PlanLR(adam(), CURVED, total_steps=20)
    assert raised(TypeError, lambda: scheduler.step(1.0, loss=1.0)) == "step takes the loss once: as step(loss=loss) or step(loss)"


def test_error_a_plateau_from_its_middle():
    message = ("a plan with a plateau cannot start in its middle, for the plateau has to know the losses before; "
               "make it without last_epoch and use load_state_dict")
    assert raised(ValueError, lambda: PlanLR(adam(), "plateau(1e-3)", total_steps=20, last_epoch=4)) == message


def test_error_a_last_epoch_below_minus_one():
    message = "last_epoch is -1 or more, got -2"
    assert raised(ValueError, lambda: PlanLR(adam(), CURVED, total_steps=20, last_epoch=-2)) == message


def test_error_momentum_for_an_optimizer_without_any():
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.ones(2))])
    message = "the plan drives momentum and Adagrad has none; `cycle_momentum=no` in the text leaves it alone"
    assert raised(ValueError, lambda: PlanLR(optimizer, "onecycle(0.1)", total_steps=20)) == message
    assert PlanLR(optimizer, "onecycle(0.1, cycle_momentum=no)", total_steps=20).get_last_lr() == pytest.approx([0.004])


@pytest.mark.parametrize(("change", "message"), [
    ({"text": 5}, "text: expected a text, got 5"),
    ({"total_steps": 0}, "total_steps: expected a whole number from 1, got 0"),
    ({"last_epoch": None}, "last_epoch: expected a whole number from 0, got None"),
    ({"watch": {"mean": 1.0}}, "watch.weight: expected a number, or null, but the field is missing"),
    ({"watch": 3}, "watch: expected an object, or null, got 3"),
])
def test_error_a_damaged_state_changes_nothing(change, message):
    scheduler = PlanLR(adam(), CURVED, total_steps=20)
    walk(scheduler, 3)
    before = scheduler.state_dict()
    assert raised(RunStateError, lambda: scheduler.load_state_dict(before | change)) == message
    assert scheduler.state_dict() == before


def test_error_a_state_of_another_scheduler():
    scheduler = PlanLR(adam(), CURVED, total_steps=20)
    state = LambdaLR(adam(), lambda k: 1.0).state_dict()
    message = "planner: expected a whole number from 0, but the field is missing"
    assert raised(RunStateError, lambda: scheduler.load_state_dict(state)) == message


# Several processes ----------------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch) -> type[Any]:
    """What accelerate makes of a scheduler in the first of three processes; the long tests below have the real one."""

    class AcceleratedScheduler:
        split_batches, step_with_optimizer = False, True

        def __init__(self, scheduler: PlanLR) -> None:
            self.scheduler, self.optimizer = scheduler, scheduler.optimizer

        def step(self, *loss: float) -> None:
            for _ in range(3):
                self.scheduler.step(*loss)

    state = SimpleNamespace(num_processes=3, is_local_main_process=True)
    monkeypatch.setitem(sys.modules, "accelerate.state", SimpleNamespace(AcceleratorState=lambda: state))
    monkeypatch.setitem(sys.modules, "accelerate.scheduler", SimpleNamespace(AcceleratedScheduler=AcceleratedScheduler))
    return AcceleratedScheduler


def test_one_of_accelerates_calls_for_all_processes_counts(prepared):
    made = PlanLR(adam(), CURVED, total_steps=20)
    with pytest.warns(UserWarning, match="3 times at every update.* 20 steps are 20 updates") as said:
        assert rates(prepared(made), 20) == made.plan.values(range(20)).tolist()
    assert len(said) == 1


def test_an_update_whose_loss_is_missing_does_not_count_and_the_next_one_does(prepared):
    made = PlanLR(adam(), "plateau(0.4, factor=0.5, patience=0)", total_steps=9)
    scheduler = prepared(made)
    update(scheduler.optimizer)
    raised(ValueError, scheduler.step)
    with pytest.warns(UserWarning, match="one of these counts"):
        rates(scheduler, 3, [1.0] * 3)
    assert made.last_epoch == 3
    assert made.get_last_lr() == [0.1]


def test_every_call_counts_where_accelerate_makes_one_for_each_update(prepared):
    prepared.split_batches = True
    made = PlanLR(adam(), CURVED, total_steps=20)
    update(made.optimizer)
    prepared(made).step()  # this stand-in steps three times in any case
    assert made.last_epoch == 3


# Two processes --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, list[float]]]]:
    """What two gloo processes on this machine saw."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("accelerate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    files = [folder / f"{rank}.json" for rank in range(2)]
    processes = [_start(file, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank, file in enumerate(files)]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return [json.loads(file.read_text()) for file in files]


def _start(file: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = os.environ | variables | {"PYTHONPATH": paths}
    command = [sys.executable, worker.__file__, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def alone(text: str) -> dict[str, list[float]]:
    """One process without accelerate, on the same effective batches."""
    model, optimizer, scheduler = worker.made(text)
    batches = torch.stack(worker.data()).split(worker.EFFECTIVE_BATCH)
    return worker.train(model, optimizer, batches, lambda loss: loss.backward(), lambda loss: scheduler.step(loss=loss))


@pytest.mark.long
@pytest.mark.parametrize(("set_up", "text"), [
    ("split", worker.TEXT), ("by hand", worker.TEXT), ("left out", worker.TEXT), ("default", worker.TEXT),
    ("plateau", worker.PLATEAU),
])
def test_two_processes_have_the_rates_and_weights_of_one(two_processes, set_up, text):
    expected = alone(text)
    assert len(expected["rates"]) == worker.UPDATES
    assert len(set(expected["rates"])) > 3
    for seen in two_processes:
        assert seen[set_up]["rates"] == expected["rates"]
        assert seen[set_up]["weights"] == pytest.approx(expected["weights"], rel=1e-9)


@pytest.mark.long
def test_one_of_accelerates_calls_counts_and_one_process_says_so_once(two_processes):
    message = (
        "accelerate steps this scheduler 2 times at every update, once for each process, and one of these counts: the plan's 12 "
        "steps are 12 updates. If that number was multiplied by the number of processes, leave that out"
    )
    assert [seen["default"]["warnings"] for seen in two_processes] == [[message], []]
    assert [seen[one]["warnings"] for seen in two_processes for one in ("split", "by hand", "left out")] == [[]] * 6
