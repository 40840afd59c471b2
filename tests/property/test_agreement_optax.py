"""What optax says beyond torch, with random parameters: warm-ups joined to falls, staircases, cycles that are lists of
schedules; and where it differs.

jax computes in float64 here, so the formulas are compared at 1e-12.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optax_worker import STEPS

from lib_lrsched import plan
from lib_lrsched.schedule import plateau

if find_spec("optax") is None:
    pytest.skip("optax is not installed", allow_module_level=True)

SEEDS = range(10)
WORKER = Path(__file__).resolve().parents[1] / "optax_worker.py"
Optax = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def optax() -> Iterator[Optax]:
    """An optax schedule's rates by its name and arguments."""
    with subprocess.Popen([sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(name: str, **arguments: Any) -> np.ndarray:
            print(json.dumps([name, arguments]), file=process.stdin, flush=True)
            return np.array(json.loads(process.stdout.readline()))

        yield ask


def agree(text: str, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(plan(text, total_steps=STEPS).values(range(STEPS)), theirs, rtol=1e-12, atol=1e-14 * theirs.max())


@pytest.mark.parametrize("seed", SEEDS)
def test_phases_are_the_scaled_jumps_of_optax(optax: Optax, seed: int):
    draw = random.Random(seed)
    bounds = sorted(draw.sample(range(1, STEPS), 3))
    scales = [draw.choice([0.5, 0.1, 3.0, 0.0]) for _ in bounds]
    levels = [0.004, *(0.004 * float(np.prod(scales[: i + 1])) for i in range(3))]
    text = ", ".join(f"{level!r}:{bound}" for level, bound in zip(levels, bounds)) + f", {levels[-1]!r}"
    agree(text, optax("piecewise_constant_schedule", init_value=0.004, boundaries_and_scales=list(zip(bounds, scales))))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hold_and_poly_are_the_polynomial_of_optax_up_and_down(optax: Optax, seed: int):
    draw = random.Random(seed)
    a, b = draw.sample([0.0, 1e-5, 1e-3, 0.02], 2)
    begin, n, power = draw.randint(1, 60), draw.randint(1, 150), draw.choice([0.5, 1.0, 2.0, 3.3])
    text = f"{a}:{begin}, poly({a}, {b}, power={power}):+{n}, {b}"
    agree(text, optax(
        "polynomial_schedule", init_value=a, end_value=b, power=power, transition_steps=n, transition_begin=begin
    ))  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_exp_is_the_exponential_decay_of_optax_down_to_its_end_value(optax: Optax, seed: int):
    draw = random.Random(seed)
    a, b, n, begin = draw.choice([5e-3, 1e-5]), draw.choice([1e-6, 0.02]), draw.randint(2, 150), draw.randint(1, 50)
    text = f"{a}:{begin}, exp({a}, {b}):+{n}, {b}"
    agree(text, optax(
        "exponential_decay", init_value=a, transition_steps=n, decay_rate=b / a, transition_begin=begin, end_value=b
    ))  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_step_is_the_staircase_of_optax(optax: Optax, seed: int):
    draw = random.Random(seed)
    v, every, gamma, begin = draw.choice([5e-3, 1e-5]), draw.randint(1, 60), draw.choice([0.5, 0.93, 1.01]), draw.randint(1, 50)
    text = f"{v}:{begin}, step({v}, every={every}, gamma={gamma})"
    agree(text, optax(
        "exponential_decay", init_value=v, transition_steps=every, decay_rate=gamma, transition_begin=begin, staircase=True
    ))  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_a_climb_and_cosine_are_the_warm_up_and_cosine_of_optax_whose_ramp_is_one_step_later_than_warmup(optax: Optax, seed: int):
    draw = random.Random(seed)
    start, peak, end = draw.choice([0.0, 1e-6]), draw.choice([5e-3, 2e-5]), draw.choice([0.0, 1e-6])
    warm, n = draw.randint(2, 50), draw.randint(60, 200)
    theirs = optax(
        "warmup_cosine_decay_schedule", init_value=start, peak_value=peak, warmup_steps=warm, decay_steps=n, end_value=end
    )
    agree(f"linear({start}, {peak}):{warm}, cosine({peak}, {end}):{n}, {end}", theirs)
    ours = plan(f"warmup({peak}, start={start}):{warm}, cosine({peak}, {end})", total_steps=n).values(range(n))
    np.testing.assert_allclose(ours[: warm - 1], theirs[1:warm], rtol=1e-12)
    np.testing.assert_allclose(ours[warm:], theirs[warm:n], rtol=1e-12, atol=1e-14 * peak)
    assert (ours[warm - 1], theirs[0]) == pytest.approx((peak, start), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("stairs", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_climb_and_a_decay_are_the_warm_up_and_exponential_decay_of_optax(optax: Optax, seed: int, stairs: bool):
    draw = random.Random(seed)
    peak, warm, every, gamma = draw.choice([5e-3, 2e-5]), draw.randint(1, 50), draw.randint(1, 40), draw.choice([0.5, 0.95])
    theirs = optax(
        "warmup_exponential_decay_schedule", init_value=0.0, peak_value=peak, warmup_steps=warm, transition_steps=every,
        decay_rate=gamma, staircase=stairs,
    )  # fmt: skip
    fall = f"step({peak}, every={every}, gamma={gamma})" if stairs else f"decay({peak}, gamma={gamma ** (1 / every)!r})"
    agree(f"linear(0, {peak}):{warm}, {fall}", theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_repeated_climbs_and_cosines_are_the_sgdr_of_optax(optax: Optax, seed: int):
    draw = random.Random(seed)
    peak, end, warm, n = draw.choice([5e-3, 2e-5]), draw.choice([0.0, 1e-6]), draw.randint(1, 20), draw.randint(30, 90)
    cycle = {"init_value": 0.0, "peak_value": peak, "warmup_steps": warm, "decay_steps": n, "end_value": end}
    text = f"repeat({STEPS // n + 1}, linear(0, {peak}):{warm}, cosine({peak}, {end}):{n - warm})"
    agree(text, optax("sgdr_schedule", cosine_kwargs=[cycle] * (STEPS // n + 1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_restarts_with_lower_peaks_and_longer_cycles_are_the_sgdr_of_optax(optax: Optax, seed: int):
    draw = random.Random(seed)
    peak, first, longer, lower = draw.choice([5e-3, 2e-5]), draw.randint(3, 40), draw.randint(1, 3), draw.choice([1.0, 0.7])
    cycles = [
        {"init_value": 0.0, "peak_value": peak * lower**i, "warmup_steps": 0, "decay_steps": first * longer**i}
        for i in range(8 if longer > 1 else STEPS // first + 1)
    ]
    agree(f"restarts({peak}, t_0={first}, t_mult={longer}, peak_decay={lower})", optax("sgdr_schedule", cosine_kwargs=cycles))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_one_cycle_of_optax_takes_a_step_more_for_each_phase_than_onecycle(optax: Optax, seed: int):
    draw = random.Random(seed)
    peak, pct, n = draw.choice([5e-3, 2e-5]), draw.choice([0.1, 0.3, 0.45]), draw.randint(30, 250)
    theirs = optax("cosine_onecycle_schedule", transition_steps=n, peak_value=peak, pct_start=pct)
    low, lowest, top = peak / 25, peak / 25e4, int(pct * n)
    agree(f"cosine({low!r}, {peak}):{top}, cosine({peak}, {lowest!r}):{n}, {lowest!r}", theirs)
    # Its lowest rate would come at update n, which a run of n updates does not make; torch's phases end at pct n - 1 and n - 1.
    ours = plan(f"onecycle({peak}, pct_start={pct})", total_steps=n)
    assert ours.value(n - 1) == pytest.approx(lowest, rel=1e-9)
    assert theirs[n - 1] > 2 * lowest
    assert theirs[n] == pytest.approx(lowest, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plateau_of_optax_counts_one_look_less_of_patience(optax: Optax, seed: int):
    draw = random.Random(seed)
    patience, cooldown, threshold = draw.randint(1, 4), draw.randint(0, 3), draw.choice([1e-4, 0.01, 0.5])
    values = {"factor": 0.5, "patience": patience - 1, "threshold": threshold, "mode": "rel", "cooldown": cooldown, "min": 0.0}
    losses = [draw.choice([1.0, 0.9999, 0.99, 0.5, 2.0]) * 0.97 ** draw.randint(0, 30) for _ in range(60)]
    theirs = optax(
        "reduce_on_plateau", losses=losses, factor=0.5, patience=patience, rtol=threshold, atol=0.0, cooldown=cooldown
    )  # fmt: skip
    ours, found = plateau.Plateau(1.0), []
    for loss in losses:
        ours = plateau.look(ours, loss, values)
        found.append(ours.rate)
    assert found == theirs.tolist()
    assert ours.cuts > 0
