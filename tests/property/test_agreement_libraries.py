"""What transformers and diffusers say beyond torch, with random parameters; and where they differ by convention.

They compute a multiplier of the optimizer's rate in float64, so they are compared at 1e-9.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch

from lib_lrsched import plan

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers.optimization")
    transformers = pytest.importorskip("transformers.optimization")

SEEDS = range(12)


def stepped(make, base: float, steps: int) -> np.ndarray:
    """The rates that a library's scheduler gives to updates 0 .. steps - 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def agree(text: str, theirs: np.ndarray, first: int = 0) -> None:
    steps = np.arange(first, len(theirs))
    np.testing.assert_allclose(plan(text, total_steps=len(theirs)).values(steps), theirs[first:], rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("seed", SEEDS)
def test_wsd_holds_and_decays_as_transformers_does_and_warms_up_one_step_earlier(seed):
    draw = random.Random(seed)
    peak, warm, hold, fall = draw.choice([5e-3, 1e-5]), draw.randint(2, 40), draw.randint(0, 60), draw.randint(2, 50)
    steps = warm + hold + fall
    theirs = stepped(lambda o: transformers.get_wsd_schedule(o, warm, hold, fall, min_lr_ratio=0.1), peak, steps)
    text = f"wsd({peak}, {0.1 * peak}, warmup={warm}, decay={fall}, curve=cosine)"
    agree(text, theirs, first=warm)
    ours = plan(text, total_steps=steps)
    # Theirs counts k where ours counts k + 1 (and climbs from 0, or in later releases from min_lr_ratio as ours).
    assert ours.value(0) > theirs[0]
    assert ours.value(warm - 1) == pytest.approx(peak, rel=1e-12)
    assert theirs[warm - 1] < peak


@pytest.mark.parametrize("seed", SEEDS)
def test_inverse_sqrt_is_that_of_transformers_after_its_warm_up(seed):
    draw = random.Random(seed)
    peak, warm, scale = draw.choice([5e-3, 2e-5]), draw.randint(1, 30), draw.randint(1, 200)
    theirs = stepped(lambda o: transformers.get_inverse_sqrt_schedule(o, warm, timescale=scale), peak, warm + 150)
    agree(f"warmup({peak}):{warm}, inverse_sqrt({peak}, timescale={scale})", theirs, first=warm)


@pytest.mark.parametrize("seed", SEEDS)
def test_warm_up_and_cosine_are_those_of_transformers_but_for_the_time_origin(seed):
    draw = random.Random(seed)
    peak, warm, rest = draw.choice([5e-3, 2e-5]), draw.randint(1, 30), draw.randint(2, 120)
    theirs = stepped(lambda o: transformers.get_cosine_schedule_with_warmup(o, warm, warm + rest), peak, warm + rest)
    agree(f"warmup({peak}):{warm}, cosine({peak}, 0)", theirs, first=warm)
    ours = plan(f"warmup({peak}):{warm}, cosine({peak}, 0)", total_steps=warm + rest).values(range(warm))
    np.testing.assert_allclose(ours[:-1], theirs[1:warm], rtol=1e-9)  # their first update has rate 0
    assert theirs[0] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_decay_is_that_of_diffusers(seed):
    draw = random.Random(seed)
    peak, steps = draw.choice([5e-3, 2e-5]), draw.randint(2, 150)
    theirs = stepped(lambda o: diffusers.get_linear_schedule_with_warmup(o, 0, steps), peak, steps)
    agree(f"linear({peak}, 0)", theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_poly_is_that_of_diffusers(seed):
    draw = random.Random(seed)
    peak, power, steps = draw.choice([5e-3, 2e-4]), draw.choice([0.5, 1.0, 2.0, 3.3]), draw.randint(2, 150)
    end = peak / 50
    theirs = stepped(
        lambda o: diffusers.get_polynomial_decay_schedule_with_warmup(o, 0, steps, lr_end=end, power=power), peak, steps
    )
    agree(f"poly({peak}, {end}, power={power})", theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_phases_are_diffusers_piecewise_rules(seed):
    draw = random.Random(seed)
    bounds = sorted(draw.sample(range(1, 200), 3))
    factors = [draw.choice([1, 0.5, 0.1, 0.02, 3]) for _ in range(4)]
    rules = ",".join(f"{factor}:{bound}" for factor, bound in zip(factors, bounds)) + f",{factors[-1]}"
    theirs = stepped(lambda o: diffusers.get_piecewise_constant_schedule(o, rules), 0.004, 220)
    text = ", ".join(f"{0.004 * factor!r}:{bound}" for factor, bound in zip(factors, bounds)) + f", {0.004 * factors[-1]!r}"
    agree(text, theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_number_of_cycles_is_that_of_diffusers_where_its_floats_find_the_restart(seed):
    draw = random.Random(seed)
    cycles, steps = draw.randint(1, 12), draw.randint(12, 300)
    theirs = stepped(lambda o: diffusers.get_cosine_with_hard_restarts_schedule_with_warmup(o, 0, steps, cycles), 5e-3, steps)
    ours = plan(f"restarts(0.005, cycles={cycles})", total_steps=steps).values(range(steps))
    missed = (theirs < 1e-9) & (ours == 0.005)
    np.testing.assert_allclose(ours[~missed], theirs[~missed], rtol=1e-9, atol=1e-15)
