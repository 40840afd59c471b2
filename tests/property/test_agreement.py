"""Each shape against the torch scheduler of the same name, with random parameters.

A torch scheduler that is stepped multiplies or adds from one step to the next and gathers rounding errors:
1e-9 relative, and 1e-13 of the highest rate where a value comes close to 0. Against the closed forms in
torch's documentation, written here once more, it is 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torch_schedulers

from lib_lrsched import Plan, plan

settings_here = settings(max_examples=25)

rates = st.floats(1e-6, 1.0)
lengths = st.integers(2, 160)
spans = st.integers(1, 40)
gammas = st.floats(0.5, 1.0)


def stepped(
    make: Callable[[torch.optim.Optimizer], Any], rate: float, n: int, *, adam: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Rates and momenta that a torch scheduler gives to n updates, float64 [n] each."""
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer: torch.optim.Optimizer
    optimizer = torch.optim.Adam([parameter], lr=rate) if adam else torch.optim.SGD([parameter], lr=rate, momentum=0.9)
    scheduler = make(optimizer)
    group = optimizer.param_groups[0]
    found, momenta = [], []
    for k in range(n):
        found.append(float(group["lr"]))
        momenta.append(float(group["betas"][0] if adam else group["momentum"]))
        optimizer.step()
        if k + 1 < n:
            scheduler.step()
    return np.array(found), np.array(momenta)


def assert_same(made: Plan, expected: np.ndarray, rtol: float = 1e-9, atol: float = 1e-13) -> None:
    """``atol`` is a part of the highest rate."""
    n = len(expected)
    np.testing.assert_allclose(made.values(range(n)), expected, rtol=rtol, atol=atol * np.max(expected))


def assert_same_momentum(made: Plan, expected: np.ndarray) -> None:
    momenta = made.momenta(range(len(expected)))
    assert momenta is not None
    np.testing.assert_allclose(momenta, expected, rtol=1e-9)


@settings_here
@given(rates, spans, gammas, lengths)
def test_step_is_torch_step_lr(v: float, every: int, gamma: float, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.StepLR(o, every, gamma), v, n)
    made = plan(f"step({v!r}, every={every}, gamma={gamma!r})", total_steps=n)
    assert_same(made, expected)
    assert_same(made, np.array([v * gamma ** (k // every) for k in range(n)]), 1e-12, 0.0)


@settings_here
@given(rates, gammas, lengths)
def test_decay_is_torch_exponential_lr(v: float, gamma: float, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.ExponentialLR(o, gamma), v, n)
    made = plan(f"decay({v!r}, gamma={gamma!r})", total_steps=n)
    assert_same(made, expected)
    assert_same(made, np.array([v * gamma**k for k in range(n)]), 1e-12, 0.0)


@settings_here
@given(rates, st.floats(0.01, 1.0), st.floats(0.0, 1.0), lengths)
def test_linear_is_torch_linear_lr(rate: float, start: float, end: float, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.LinearLR(o, start, end, n), rate, n + 1)
    a, b = rate * start, rate * end
    made = plan(f"linear({a!r}, {b!r}):{n}, {b!r}", total_steps=n + 1)
    assert_same(made, expected)
    assert_same(made, np.array([a + (b - a) * k / n for k in range(n + 1)]), 1e-12)


@settings_here
@given(rates, st.floats(0.3, 4.0), lengths)
def test_poly_to_0_is_torch_polynomial_lr(a: float, power: float, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.PolynomialLR(o, n, power), a, n + 1)
    made = plan(f"poly({a!r}, 0, power={power!r}):{n}, 0", total_steps=n + 1)
    assert_same(made, expected)
    assert_same(made, np.array([a * (1 - k / n) ** power for k in range(n + 1)]), 1e-12, 0.0)


@settings_here
@given(rates, st.floats(0.0, 1e-3), lengths)
def test_cosine_is_torch_cosine_annealing_lr(a: float, b: float, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.CosineAnnealingLR(o, n, b), a, n + 1)
    made = plan(f"cosine({a!r}, {b!r}):{n}, {b!r}", total_steps=n + 1)
    assert_same(made, expected)
    assert_same(made, np.array([b + (a - b) * (1 + math.cos(math.pi * k / n)) / 2 for k in range(n + 1)]), 1e-12)


@settings_here
@given(rates, st.floats(0.0, 1e-3), st.integers(1, 20), st.integers(1, 4), st.integers(2, 300))
def test_restarts_are_torch_warm_restarts(peak: float, floor: float, t_0: int, t_mult: int, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, t_0, t_mult, floor), peak, n)
    assert_same(plan(f"restarts({peak!r}, {floor!r}, t_0={t_0}, t_mult={t_mult})", total_steps=n), expected)


@pytest.mark.parametrize("adam", [False, True], ids=["SGD", "Adam"])
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@settings_here
@given(st.floats(0.0, 0.1), st.floats(0.1, 1.0), spans, spans, st.floats(0.9, 1.0), st.floats(0.1, 0.8), lengths)
def test_cyclic_is_torch_cyclic_lr(
    adam: bool, mode: str, low: float, high: float, up: int, down: int, gamma: float, base: float, n: int
) -> None:
    def make(optimizer: torch.optim.Optimizer) -> Any:
        return torch_schedulers.CyclicLR(
            optimizer, low, high, up, down, mode=mode, gamma=gamma, cycle_momentum=True, base_momentum=base, max_momentum=0.9
        )

    expected, momenta = stepped(make, low, n, adam=adam)
    words = f"mode={mode}, gamma={gamma!r}, base_momentum={base!r}, max_momentum=0.9"
    made = plan(f"cyclic({low!r}, {high!r}, {up}, {down}, {words})", total_steps=n)
    assert_same(made, expected, 1e-9)
    assert_same_momentum(made, momenta)


@pytest.mark.parametrize("adam", [False, True], ids=["SGD", "Adam"])
@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("phases", [2, 3])
@settings_here
@given(rates, st.floats(0.05, 0.95), st.floats(1.0, 50.0), st.floats(1.0, 1e5), st.floats(0.1, 0.8), st.integers(3, 160))
def test_onecycle_is_torch_one_cycle_lr(
    adam: bool, anneal: str, phases: int, top: float, part: float, div: float, final: float, base: float, n: int
) -> None:
    pct = part if phases == 2 else part / 2.2
    if abs(pct * n - 1) < 1e-6:
        return  # torch divides by zero where the first phase has no length

    def make(optimizer: torch.optim.Optimizer) -> Any:
        return torch_schedulers.OneCycleLR(
            optimizer,
            top,
            n,
            pct_start=pct,
            anneal_strategy=anneal,
            cycle_momentum=True,
            base_momentum=base,
            max_momentum=0.9,
            div_factor=div,
            final_div_factor=final,
            three_phase=phases == 3,
        )

    expected, momenta = stepped(make, top, n, adam=adam)
    words = f"anneal={anneal}, three_phase={'yes' if phases == 3 else 'no'}, base_momentum={base!r}, max_momentum=0.9"
    made = plan(f"onecycle({top!r}, {pct!r}, {div!r}, {final!r}, {words})", total_steps=n)
    assert_same(made, expected)
    assert_same_momentum(made, momenta)


@settings_here
@given(rates, lengths)
def test_a_plateau_without_reductions_is_torch_reduce_on_plateau(v: float, n: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=v)
    scheduler = torch_schedulers.ReduceLROnPlateau(optimizer)
    for k in range(n):
        scheduler.step(1.0 / (k + 1))
    assert set(plan(f"plateau({v!r})", total_steps=n).values(range(n)).tolist()) == {optimizer.param_groups[0]["lr"]}


@settings_here
@given(rates, st.integers(1, 50), lengths)
def test_a_warmup_and_what_follows_are_a_torch_lambda_lr(peak: float, warm: int, n: int) -> None:
    """The usual manual formula: peak (k + 1) / warm-up steps, then down along a cosine over the rest."""

    def factor(k: int) -> float:
        return (k + 1) / warm if k < warm else (1 + math.cos(math.pi * (k - warm) / n)) / 2

    expected, _ = stepped(lambda o: torch_schedulers.LambdaLR(o, factor), peak, warm + n)
    assert_same(plan(f"warmup({peak!r}):{warm}, cosine(0)", total_steps=warm + n), expected, 1e-12)


@settings_here
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True), rates, gammas, lengths)
def test_constant_phases_are_torch_multi_step_lr(milestones: list[int], v: float, gamma: float, n: int) -> None:
    expected, _ = stepped(lambda o: torch_schedulers.MultiStepLR(o, sorted(milestones), gamma), v, n)
    levels = [v]
    for _ in milestones:
        levels.append(levels[-1] * gamma)
    items = [f"{level!r}:{boundary}" for level, boundary in zip(levels, sorted(milestones), strict=False)]
    assert_same(plan(", ".join([*items, repr(levels[-1])]), total_steps=n), expected)
