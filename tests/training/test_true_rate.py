"""The rate that the optimizer held against the planned one: a difference is told once, where it is not the guard's."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import both_kinds  # noqa: E402  # torch is optional, see importorskip
from torch.optim import optimizer as torch_optimizer  # noqa: E402
from training_steps import losses_that  # noqa: E402


def lowered(updates: int) -> Any:
    """Another extension: it halves the rate of the updates from this number on, behind everybody's back."""
    calls: list[int] = []

    def halve(optimizer: Any, *_: Any) -> None:
        calls.append(1)
        if len(calls) > updates:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5

    return torch_optimizer.register_optimizer_step_pre_hook(halve)


@both_kinds
def test_a_rate_that_something_else_changes_is_told_once_and_recorded(ground, kind):
    ground.install()
    hook = lowered(3)
    try:
        ground.train(kind, "0.005", 8)
    finally:
        hook.remove()
    assert [record.actual for record in ground.records()] == [0.005] * 3 + [0.0025] * 5
    told = [message for _, message in ground.events() if "used rate" in message]
    (only,) = told
    assert only == ("update 3 used rate 0.0025, but the schedule has 0.005. Something else, such as another extension, changed it; "
                    "the history has both")


def test_a_rate_that_the_guard_lowers_is_the_planned_one_times_its_factor_and_nothing_is_told(ground, monkeypatch):
    losses_that(monkeypatch, lambda n, loss: loss * float("nan") if n == 5 else loss)
    ground.install()
    ground.train("embedding", "warmup(0.005):4, plateau(0.005, patience=0, every=1)", 12)
    assert {record.actual / record.planned for record in ground.records()} == {1.0, 0.5}
    assert not [message for _, message in ground.events() if "used rate" in message]
