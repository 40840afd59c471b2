"""The rate scheduler on an optimizer of its own: momentum where there is one, a word where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_lrsched.storage.store import Store
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import TrainingRun
from lib_lrsched.training.schedulers import RateScheduler

TEXT = "onecycle(0.01):10, 0.001"


@pytest.fixture
def run(tmp_path: Path) -> TrainingRun:
    run = TrainingRun(Request("hypernetwork", "mine", TEXT, 14), Store(tmp_path))
    run.begin(0, None)
    yield run
    run.end("finished")


def apply_all(run: TrainingRun, optimizer: torch.optim.Optimizer) -> list[str]:
    """What was said while the whole plan was applied."""
    said: list[str] = []
    scheduler = RateScheduler(run, 0, lambda _: None, said.append)
    for step in range(14):
        scheduler.apply(optimizer, step)
        assert optimizer.param_groups[0]["lr"] == run.planned.plan.value(step)
    return said


def test_an_optimizer_without_momentum_follows_the_rate_alone_and_says_so_once(run):
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    message = "Adagrad has neither betas nor momentum: only the rate follows the schedule"
    assert [line for line in apply_all(run, optimizer) if "momentum" in line] == [f"LR Schedule: {message}"]
    assert [event["message"] for event in run.history.events() if "momentum" in event["message"]] == [message]


@pytest.mark.parametrize(("optimizer_class", "key"), [(torch.optim.AdamW, "betas"), (torch.optim.SGD, "momentum")])
def test_momentum_follows_the_plan_and_comes_back_after_its_segment(run, optimizer_class, key):
    options = {"momentum": 0.7} if key == "momentum" else {"betas": (0.8, 0.99)}
    optimizer = optimizer_class([torch.nn.Parameter(torch.zeros(1))], lr=1.0, **options)
    scheduler = RateScheduler(run, 0, lambda _: None, lambda _: None)
    for step in range(14):
        scheduler.apply(optimizer, step)
        now = optimizer.param_groups[0][key]
        momentum = now if key == "momentum" else now[0]
        own = options[key] if key == "momentum" else options[key][0]
        planned = run.planned.plan.momentum(step)
        assert (planned is None) == (step >= 10)
        assert momentum == (own if planned is None else planned)
    assert apply_all(run, optimizer) == ["Step 10: the rate is 0.001; the next segment begins at step 14"]
