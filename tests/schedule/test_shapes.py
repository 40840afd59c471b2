"""Each shape against its formula, written here with the math module and not taken from the library."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import cos, exp, floor, log, pi, sqrt

import numpy as np
import pytest

from lib_lrsched import ScheduleError, plan
from lib_lrsched.schedule.shapes import REQUIRED, SHAPES, ShapeError


def half(t: float) -> float:
    """From 1 at t = 0 to 0 at t = 1."""
    return (1 + cos(pi * t)) / 2


def geometric(a: float, b: float, t: float) -> float:
    return exp(log(a) * (1 - t) + log(b) * t)


def sawtooth(j: int, up: int, down: int) -> tuple[int, float]:
    """The cycle of step j, from 0, and the height of its triangle."""
    cycle, r = divmod(j, up + down)
    return cycle, r / up if r <= up else (up + down - r) / down


def restarted(j: int | Fraction, t_0: int | Fraction, t_mult: int) -> tuple[int, int | Fraction, int | Fraction]:
    """The cycle of step j, the step within it and its length, by counting."""
    cycle, length = 0, t_0
    while j >= length:
        cycle, j, length = cycle + 1, j - length, length * t_mult
    return cycle, j, length


def restarts(
    j: int, peak: float, floor_: float, cycle: tuple[int | Fraction, int], peak_decay: float = 1.0, warm: int = 0,
) -> float:
    number, r, length = restarted(j, *cycle)
    top = peak * peak_decay**number
    if r < warm:
        return floor_ + (top - floor_) * min(1.0, (r + 1) / warm)
    return floor_ + (top - floor_) * half((r - warm) / (length - warm))


def phased(j: int, ends: list[float], levels: list[float], ramp: Callable[[float], float]) -> float:
    """torch's OneCycleLR: ``ramp`` falls from 1 to 0."""
    start = 0.0
    for i, end in enumerate(ends):
        if j <= end or i == len(ends) - 1:
            t = (j - start) / (end - start)
            return levels[i + 1] + (levels[i] - levels[i + 1]) * ramp(t)
        start = end
    raise AssertionError


def wsd(j: int, n: int, parts: tuple[int, int], levels: tuple[float, float], fall: Callable[[float], float]) -> float:
    (warm, decay), (peak, low) = parts, levels
    if j < warm:
        return low + (peak - low) * (j + 1) / warm
    return peak if j < n - decay else low + (peak - low) * fall((j - n + decay) / decay)


def straight(t: float) -> float:
    return 1 - t


FORMULAS: list[tuple[str, int, Callable[[int], float]]] = [
    ("0.005", 7, lambda j: 0.005),
    ("constant(0.005)", 7, lambda j: 0.005),
    ("linear(0.005, 1e-5)", 41, lambda j: 0.005 + (1e-5 - 0.005) * j / 41),
    ("linear(1e-5, 0.005)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * j / 41),
    ("cosine(0.005, 1e-5)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * half(j / 41)),
    ("cosine(0, 1e-3)", 40, lambda j: 1e-3 - 1e-3 * half(j / 40)),
    ("exp(0.005, 1e-5)", 41, lambda j: geometric(0.005, 1e-5, j / 41)),
    ("exp(1e-300, 1e300)", 41, lambda j: geometric(1e-300, 1e300, j / 41)),
    ("poly(0.005, 1e-5)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * (1 - j / 41)),
    ("poly(0.005, 1e-5, power=2)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * ((41 - j) / 41) ** 2),
    ("poly(0.005, 1e-5, 0.5)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * sqrt((41 - j) / 41)),
    ("warmup(0.005)", 41, lambda j: 0.005 * (j + 1) / 41),
    ("warmup(0.005, 1e-3)", 41, lambda j: 1e-3 + (0.005 - 1e-3) * (j + 1) / 41),
    ("warmup(0.005, 1e-3, cosine)", 41, lambda j: 1e-3 + (0.005 - 1e-3) * (1 - half((j + 1) / 41))),
    ("warmup(0.005, 1e-3, log)", 41, lambda j: 1e-3 + (0.005 - 1e-3) * log(j + 2) / log(42)),
    ("warmup(1e-3, start=0.005)", 41, lambda j: 0.005 + (1e-3 - 0.005) * (j + 1) / 41),
    ("step(0.005, 7)", 41, lambda j: 0.005 * 0.1 ** floor(j / 7)),
    ("step(0.005, every=7, gamma=0.5)", 41, lambda j: 0.005 * 0.5 ** (j // 7)),
    ("step(0.005, every=25%, gamma=0)", 40, lambda j: 0.005 if j < 10 else 0.0),
    ("step(1e-5, every=3, gamma=2)", 41, lambda j: 1e-5 * 2 ** (j // 3)),
    ("decay(0.005, 0.9)", 41, lambda j: 0.005 * 0.9**j),
    ("decay(0.005, gamma=1.1)", 41, lambda j: 0.005 * 1.1**j),
    ("inverse_sqrt(0.005, 10)", 41, lambda j: 0.005 * sqrt(10 / (10 + j))),
    ("rex(0.005, 1e-5)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * (1 - j / 41) / (0.1 + 0.9 * (1 - j / 41))),
    ("rex(0.005, 1e-5, d=0.5)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * (1 - j / 41) / (0.5 + 0.5 * (1 - j / 41))),
    ("rex(0.005, 1e-5, d=0)", 41, lambda j: 1e-5 + (0.005 - 1e-5) * (1 - j / 41)),
    ("cyclic(1e-5, 0.005, 7)", 60, lambda j: 1e-5 + (0.005 - 1e-5) * sawtooth(j, 7, 7)[1]),
    ("cyclic(1e-5, 0.005, 7, 3)", 60, lambda j: 1e-5 + (0.005 - 1e-5) * sawtooth(j, 7, 3)[1]),
    ("cyclic(0, 1, 3, 4, triangular2)", 60, lambda j: sawtooth(j, 3, 4)[1] / 2 ** sawtooth(j, 3, 4)[0]),
    ("cyclic(0.5, 1, 3, 4, exp_range, 0.9)", 60, lambda j: 0.5 + 0.5 * sawtooth(j, 3, 4)[1] * 0.9**j),
    ("cyclic(0, 1, 3, wave=cosine)", 60, lambda j: 1 - half(sawtooth(j, 3, 3)[1])),
    ("cyclic(0, 1, 1)", 10, lambda j: float(j % 2)),
    ("restarts(0.005, 1e-5, 10)", 60, lambda j: restarts(j, 0.005, 1e-5, (10, 1))),
    ("restarts(1, 0, 5, 3)", 700, lambda j: restarts(j, 1, 0, (5, 3))),
    ("restarts(1, 0.1, t_0=10, peak_decay=0.5)", 60, lambda j: restarts(j, 1, 0.1, (10, 1), 0.5)),
    ("restarts(1, 0.1, t_0=4, t_mult=2, peak_decay=1.5)", 120, lambda j: restarts(j, 1, 0.1, (4, 2), 1.5)),
    ("restarts(1, 0.1, t_0=10, t_mult=2, warmup=3, peak_decay=0.9)", 200, lambda j: restarts(j, 1, 0.1, (10, 2), 0.9, 3)),
    ("restarts(1, 0.1, cycles=7)", 60, lambda j: restarts(j, 1, 0.1, (Fraction(60, 7), 1))),
    ("restarts(1, cycles=5, t_mult=2, warmup=1, peak_decay=0.9)", 50, lambda j: restarts(j, 1, 0, (Fraction(50, 31), 2), 0.9, 1)),
    ("restarts(1, cycles=4, t_mult=2, warmup=3)", 60, lambda j: restarts(j, 1, 0, (4, 2), 1.0, 3)),
    ("restarts(1, t_0=10%, warmup=5%)", 60, lambda j: restarts(j, 1, 0, (6, 1), 1.0, 3)),
    ("onecycle(0.5)", 100, lambda j: phased(j, [29, 99], [0.02, 0.5, 2e-6], half)),
    ("onecycle(0.5, 0.25, 10, 100, linear)", 50, lambda j: phased(j, [11.5, 49], [0.05, 0.5, 5e-4], straight)),
    ("onecycle(0.5, 0.25, three_phase=yes)", 50, lambda j: phased(j, [11.5, 23, 49], [0.02, 0.5, 0.02, 2e-6], half)),
    ("wsd(1, 0.1)", 50, lambda j: wsd(j, 50, (5, 10), (1, 0.1), straight)),
    ("wsd(1, 0.1, 7, 11)", 50, lambda j: wsd(j, 50, (7, 11), (1, 0.1), straight)),
    ("wsd(1, warmup=0, decay=30, curve=cosine)", 50, lambda j: wsd(j, 50, (0, 30), (1, 0), half)),
    ("wsd(1, warmup=40%, decay=60%, curve=sqrt)", 50, lambda j: wsd(j, 50, (20, 30), (1, 0), lambda t: 1 - sqrt(t))),
    ("wsd(1, warmup=0, decay=0)", 50, lambda j: 1.0),
    ("wsd(1)", 3, lambda j: [1, 1, 1][j]),  # 10 % of 3 steps is not a step, 20 % is one, and a fall starts at the peak
    ("range_test(1e-6, 0.1)", 50, lambda j: geometric(1e-6, 0.1, j / 49)),
    ("range_test(0, 0.1, linear)", 50, lambda j: 0.1 * j / 49),
    ("range_test(1e-6, 0.1, stair=7)", 50, lambda j: geometric(1e-6, 0.1, (j // 7) / 7)),
    ("range_test(1e-6, 0.1, stair=60)", 50, lambda j: 0.1),
    ("plateau(0.005)", 50, lambda j: 0.005),
    ("repeat(3, linear(1, 0):5, 0.25:2)", 21, lambda j: 1 - (j % 7) / 5 if j % 7 < 5 else 0.25),
]


@pytest.mark.parametrize(("text", "n", "formula"), FORMULAS, ids=[row[0] for row in FORMULAS])
def test_a_shape_follows_its_formula(text: str, n: int, formula: Callable[[int], float]) -> None:
    made = plan(text, total_steps=n)
    expected = [formula(j) for j in range(n)]
    assert made.stop == n
    np.testing.assert_allclose(made.values(np.arange(n)), expected, rtol=1e-12, atol=1e-17)


def test_a_shape_counts_from_the_start_of_its_segment() -> None:
    made = plan("0.5:10, cosine(0.4, 0):+20, 0", total_steps=50)
    np.testing.assert_allclose(made.values(range(10, 30)), [0.4 * half(j / 20) for j in range(20)], rtol=1e-12)


# Where shapes begin and end -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "cosine", "exp", "poly", "rex"])
def test_a_shape_of_two_rates_starts_at_the_first_and_hands_over_the_second(name: str) -> None:
    made = plan(f"{name}(0.3, 0.007):100, 0.007", total_steps=200)
    assert made.value(0) == 0.3
    assert made.value(100) == 0.007
    assert made.value(99) > 0.007
    rising = plan(f"{name}(0.007, 0.3):100, 0.3", total_steps=200)
    assert rising.value(0) == pytest.approx(0.007, rel=1e-14)
    assert rising.value(99) < 0.3


EXITS = [
    ("0.25", 0.25),
    ("constant(0.25)", 0.25),
    ("warmup(0.25)", 0.25),
    ("linear(0.5, 0.25)", 0.25),
    ("cosine(0.5, 0.25)", 0.25),
    ("exp(0.5, 0.25)", 0.25),
    ("poly(0.5, 0.25, power=3)", 0.25),
    ("rex(0.5, 0.25)", 0.25),
    ("step(0.5, every=3)", 0.5 * 0.1**3),
    ("step(0.5, every=5, gamma=0.5)", 0.125),  # a cut falls on the boundary
    ("decay(0.5, gamma=0.9)", 0.5 * 0.9**10),
    ("inverse_sqrt(0.5, timescale=30)", 0.5 * sqrt(0.75)),
    ("cyclic(0.1, 0.5, step_size=4)", 0.1 + 0.4 * 0.5),
    ("restarts(0.5, 0.125, t_0=4)", 0.125),
    ("wsd(0.5, 0.125)", 0.125),
    ("onecycle(0.5)", 0.5 / 25 / 1e4),
    ("range_test(0.1, 0.5)", 0.5),
    ("repeat(2, 0.5:3, linear(0.1, 0.25):2)", 0.25),
    ("repeat(5, 0.5:3, linear(0.1, 0.25):2)", 0.25),  # also where its own end cuts it
]


@pytest.mark.parametrize(("text", "rate"), EXITS, ids=[row[0] for row in EXITS])
def test_a_shape_hands_over_its_exit_value(text: str, rate: float) -> None:
    made = plan(f"{text}:10, linear(0.75):+10, 0", total_steps=40)
    assert made.value(10) == pytest.approx(rate, rel=1e-14)
    assert made.value(15) == pytest.approx((rate + 0.75) / 2, rel=1e-12)


def test_b_alone_may_be_named_or_positional_and_a_alone_may_not() -> None:
    values = [
        plan(f"0.5:4, {text}", total_steps=12).values(range(12)).tolist()
        for text in ("linear(0.1)", "linear(b=0.1)", "linear(0.5, 0.1)")
    ]
    assert values[0] == values[1] == values[2]


def test_a_warmup_reaches_its_rate_on_the_last_step() -> None:
    for curve in ("linear", "cosine", "log"):
        for n in (1, 2, 3, 7, 100, 1001):
            assert plan(f"warmup(0.3, 0.1, {curve})", total_steps=n).value(n - 1) == 0.3


def test_a_one_cycle_has_its_lowest_rate_on_the_last_step() -> None:
    for n in (2, 3, 10, 101):
        values = plan("onecycle(0.5)", total_steps=n).values(range(n))
        assert values[-1] == pytest.approx(2e-6, rel=1e-12)
        assert values.argmin() == n - 1


def test_one_step_of_a_one_cycle_is_its_lowest_rate() -> None:
    made = plan("onecycle(0.5)", total_steps=1)
    assert (made.value(0), made.momentum(0)) == (0.5 / 25 / 1e4, 0.95)
    assert plan("onecycle(0.5, cycle_momentum=no)", total_steps=1).momentum(0) is None


def test_a_range_test_ends_at_high_and_one_step_of_it_is_high() -> None:
    for n in (1, 2, 3, 100):
        assert plan("range_test(1e-6, 0.1)", total_steps=n).value(n - 1) == 0.1
    assert plan("range_test(1e-6, 0.1)", total_steps=2).value(0) == pytest.approx(1e-6, rel=1e-14)


def test_restarts_pick_the_right_cycle_at_every_boundary() -> None:
    # The cases at which closed forms with floor(log()) lose a cycle.
    for t_0, t_mult, boundary in ((5, 3, 605), (100, 3, 12_100), (1, 2, 2**29 - 1), (7, 10, 777_777_777)):
        made = plan(f"restarts(1, 0, t_0={t_0}, t_mult={t_mult})", total_steps=10**9)
        assert made.value(boundary) == 1.0
        assert made.value(boundary - 1) < 0.5


@pytest.mark.parametrize(("more", "sum_of_cycles"), [("", 4), (", warmup=7", 4), (", t_mult=2, peak_decay=0.5", 15)])
def test_a_number_of_cycles_is_the_t_0_with_which_they_fill_the_segment(more: str, sum_of_cycles: int) -> None:
    n = 60 * sum_of_cycles
    counted = plan(f"restarts(0.5, 0.01, cycles=4{more}):{n}", total_steps=n)
    assert np.array_equal(counted.values(range(n)), plan(f"restarts(0.5, 0.01, t_0=60{more})", total_steps=n).values(range(n)))


@pytest.mark.parametrize(("n", "cycles", "t_mult"), [(100, 3, 1), (100, 99, 1), (101, 100, 1), (100, 5, 2), (999, 6, 3), (7, 7, 1)])
def test_the_last_of_so_many_cycles_ends_with_the_segment(n: int, cycles: int, t_mult: int) -> None:
    parts = sum(t_mult**i for i in range(cycles))
    starts = [-(-n * sum(t_mult**i for i in range(c)) // parts) for c in range(cycles)]
    v = plan(f"restarts(1, cycles={cycles}, t_mult={t_mult}):{n}, 0", total_steps=n + 1).values(range(n + 1))
    assert [0, *(k for k in range(1, n) if v[k] > v[k - 1] or v[k] == v[k - 1] == 1)] == starts
    assert v[n] == 0


def test_a_number_of_cycles_is_exact_beyond_64_bits() -> None:
    n, cycles = 2**62 - 57, 10**9 + 7
    made = plan(f"restarts(1, cycles={cycles})", total_steps=n)
    for step in (0, 12_345, n // 3, n - 1):
        rest = Fraction(step * cycles % n, n)
        assert made.value(step) == pytest.approx(half(float(rest)), abs=1e-9)
        assert made.value(step) == made.values([step, step])[0]


@pytest.mark.parametrize(("text", "message"), [
    ("restarts(1)", "restarts needs `first_cycle` or `cycles`, as in restarts(0.005, 1e-5, first_cycle=200)"),
    ("restarts(1, t_0=5, cycles=4)", "restarts takes `t_0` or `cycles`, not both: each says how long a cycle is"),
    ("restarts(1, cycles=101)", "101 cycles do not fit into 100 steps: the first one would be shorter than a step"),
    ("restarts(1, cycles=7, t_mult=2)", "7 cycles do not fit into 100 steps: the first one would be shorter than a step"),
    ("restarts(1, cycles=1000000000, t_mult=2)",
     "1000000000 cycles do not fit into 100 steps: the first one would be shorter than a step"),
    ("restarts(1, cycles=0)", "`cycles` is 1 or more, got 0"),
    ("restarts(1, cycles=1.5)", "`cycles` is a whole number, got 1.5"),
    ("restarts(1, cycles=3, warmup=34)",
     "the warm-up is shorter than a cycle: `warmup` is 34 steps, the first of 3 cycles is 33.3333"),
    ("1, restarts(1)", "restarts needs `first_cycle` or `cycles`, as in restarts(0.005, 1e-5, first_cycle=200)"),
])
def test_error_a_number_of_cycles_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=100)
    assert caught.value.message == message


def test_a_cut_segment_keeps_the_length_that_was_written() -> None:
    long = plan("cosine(0.5, 0):200", total_steps=200)
    cut = plan("cosine(0.5, 0):200", total_steps=120)
    assert cut.stop == 120
    assert cut.values(range(120)).tolist() == long.values(range(120)).tolist()


# Momentum -------------------------------------------------------------------------------------


def test_momentum_runs_opposite_to_a_cycle() -> None:
    made = plan("cyclic(0, 1, step_size=4)", total_steps=40)
    expected = [0.95 - 0.1 * sawtooth(j, 4, 4)[1] for j in range(40)]
    np.testing.assert_allclose(made.momenta(range(40)), expected, rtol=1e-13)
    assert [made.momentum(k) for k in (0, 4)] == [0.95, pytest.approx(0.85, rel=1e-15)]


def test_momentum_of_a_shrinking_cycle_shrinks_with_it() -> None:
    made = plan("cyclic(0, 1, step_size=4, mode=triangular2, base_momentum=0.5, max_momentum=0.9)", total_steps=40)
    expected = [0.9 - 0.4 * sawtooth(j, 4, 4)[1] / 2 ** sawtooth(j, 4, 4)[0] for j in range(40)]
    np.testing.assert_allclose(made.momenta(range(40)), expected, rtol=1e-13)


def test_momentum_of_a_one_cycle_is_high_at_both_ends() -> None:
    made = plan("onecycle(1, three_phase=yes, base_momentum=0.5, max_momentum=0.9)", total_steps=100)
    expected = [phased(j, [29, 58, 99], [0.9, 0.5, 0.9, 0.9], half) for j in range(100)]
    np.testing.assert_allclose(made.momenta(range(100)), expected, rtol=1e-13)


def test_momentum_is_none_where_nothing_schedules_it() -> None:
    made = plan("0.5:5, cyclic(0, 1, step_size=4):+8, repeat(2, 0.1:2, cyclic(0, 1, step_size=1):2)", total_steps=40)
    momenta = made.momenta(range(made.stop))
    assert momenta is not None
    nothing = [True] * 5 + [False] * 8 + [True, True, False, False] * 2
    assert np.isnan(momenta).tolist() == nothing
    assert [made.momentum(k) is None for k in range(made.stop)] == nothing
    assert made.momentum(15) == 0.95


def test_momentum_may_be_left_alone() -> None:
    for text in ("cyclic(0, 1, step_size=4, cycle_momentum=no)", "onecycle(1, cycle_momentum=no)", "0.5"):
        made = plan(text, total_steps=20)
        assert made.momenta(range(20)) is None
        assert made.momentum(3) is None


def test_momentum_stays_below_1_where_rounding_could_lift_it() -> None:
    momenta = plan("onecycle(1, base_momentum=0.431, max_momentum=0.9999999999999999)", total_steps=50).momenta(range(50))
    assert momenta is not None
    assert momenta.max() < 1


@pytest.mark.parametrize(
    "text",
    [
        "cyclic(0, 1, step_size=3, mode=exp_range, gamma=1.2, base_momentum=0.95, max_momentum=0.9)",
        "cyclic(0, 1, step_size=3, mode=exp_range, gamma=1.2, base_momentum=0.1, max_momentum=0.9)",
    ],
)
def test_error_momentum_that_leaves_0_to_1(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=16)
    message = "a `gamma` of 1.2 lets momentum leave 0 to 1 within 16 steps; `cycle_momentum=no` leaves it alone"
    start = text.index("1.2")
    assert str(caught.value) == f"{message}\n    {text}\n    {' ' * start}^^^"


# Great numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "onecycle(1e308, anneal=linear)",
        "onecycle(1e308)",
        "wsd(1e308, warmup=1)",
        "wsd(1e308, warmup=20%)",
        "restarts(1e308, t_0=100, warmup=1)",
        "cyclic(0, 1e308, step_size=3)",
        "linear(1e308, 0)",
        "cosine(0, 1e308)",
        "poly(1e308, 0, power=1e300)",
        "exp(5e-324, 1.7e308)",
        "exp(1.7e308, 5e-324)",
        "warmup(1e308, 1e308)",
        "rex(1e308, 0)",
        "inverse_sqrt(1e308, timescale=1)",
        "range_test(5e-324, 1.7e308)",
        "range_test(0, 1.7e308, linear)",
    ],
)
def test_the_greatest_rates_give_finite_values_and_no_warning(text: str) -> None:
    made = plan(text, total_steps=100)
    values = made.values(range(100))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert values.tolist() == [made.value(k) for k in range(100)]


@pytest.mark.parametrize("total", [2**61, 2**61 - 61])
@pytest.mark.parametrize("text", [*(shape.example for shape in SHAPES.values()), "wsd(0.005)"])
def test_the_longest_run_gives_values_that_are_rates(text: str, total: int) -> None:
    made = plan(text, total_steps=total)
    steps = np.unique(
        np.concatenate(
            [np.linspace(0, total - 1024, 2001).astype(np.int64), total - 1 - 2 ** np.arange(61), total - 1 - np.arange(3_000)]
        )
    )
    values = made.values(steps)
    assert np.isfinite(values).all()
    assert (values >= 0).all()


@pytest.mark.parametrize("parameter", ["step_size", "step_size_down"])
def test_a_cycle_longer_than_any_run_is_its_first_ramp(parameter: str) -> None:
    lengths = {"step_size": 4, "step_size_down": 4} | {parameter: 10**39}
    text = "cyclic(0, 1, {step_size}, {step_size_down})".format(**lengths)
    made = plan(text, total_steps=10)
    expected = [sawtooth(j, *lengths.values())[1] for j in range(10)]
    np.testing.assert_allclose(made.values(range(10)), expected, rtol=1e-12)


def test_a_peak_that_grows_with_few_cycles_is_planned() -> None:
    made = plan("restarts(1e-3, t_0=1, t_mult=2, peak_decay=1e6)", total_steps=100)
    assert made.value(63) == pytest.approx(1e-3 * 1e36, rel=1e-12)  # the seventh cycle starts here


GROWS = [
    ("decay(1e-3, gamma=2)", 2_000),
    ("step(1e-3, every=2, gamma=2)", 3_000),
    ("step(1, every=1, gamma=1e308)", 3),
    ("cyclic(0, 1, step_size=3, mode=exp_range, gamma=3, cycle_momentum=no)", 2_000),
    ("cyclic(0, 1, step_size=1500, mode=exp_range, gamma=3, cycle_momentum=no)", 3_001),  # its last step is back at low
    ("restarts(1, t_0=3, peak_decay=10)", 1_000),
    ("onecycle(1, div_factor=1e-310)", 100),
]


@pytest.mark.parametrize(("text", "total"), GROWS, ids=[row[0] for row in GROWS])
def test_error_rate_that_grows_beyond_every_number(text: str, total: int) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(f"0.5:5, {text}", total_steps=total + 5)
    message = "this rate overflows before its segment ends"
    assert str(caught.value) == f"{message}\n    0.5:5, {text}\n           {'^' * len(text)}"


def test_growth_beyond_the_end_of_the_run_is_no_error() -> None:
    assert plan("decay(1e-3, gamma=2):5000", total_steps=10).value(9) == 1e-3 * 2**9


# The table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_an_example_can_be_planned_and_names_its_shape(name: str) -> None:
    shape = SHAPES[name]
    assert shape.name == name
    assert shape.example.startswith(f"{name}(")
    assert plan(shape.example, total_steps=1_000).stop == 1_000
    assert shape.reference


@pytest.mark.parametrize("name", SHAPES)
def test_a_parameter_has_a_meaning_and_a_default_within_its_range(name: str) -> None:
    for p in SHAPES[name].params:
        assert p.meaning
        assert p.kind in ("rate", "number", "whole", "time", "word", "flag")
        assert (p.kind == "word") == bool(p.choices)
        if p.kind == "word":
            assert p.default in p.choices
        elif p.default is not REQUIRED and isinstance(p.default, float):
            assert p.low <= p.default <= p.high


def test_a_default_written_out_changes_nothing() -> None:
    for text, written in (
        ("poly(1, 0)", "poly(1, 0, power=1)"),
        ("warmup(1)", "warmup(1, start=0, curve=linear)"),
        ("step(1, 7)", "step(1, every=7, gamma=0.1)"),
        ("rex(1, 0)", "rex(1, 0, d=0.9)"),
        (
            "cyclic(0, 1, 7)",
            "cyclic(0, 1, 7, 7, mode=triangular, gamma=1, wave=linear, cycle_momentum=yes, base_momentum=0.85, max_momentum=0.95)",
        ),
        ("restarts(1, t_0=7)", "restarts(1, floor=0, t_0=7, t_mult=1, peak_decay=1, warmup=0)"),
        ("restarts(1, cycles=5)", "restarts(1, floor=0, t_mult=1, peak_decay=1, warmup=0, cycles=5)"),
        ("onecycle(1)", "onecycle(1, pct_start=0.3, div_factor=25, final_div_factor=1e4, anneal=cos, three_phase=no)"),
        ("wsd(1)", "wsd(1, floor=0, warmup=10%, decay=20%, curve=linear)"),
        ("plateau(1)", "plateau(1, factor=0.1, patience=10, threshold=1e-4, mode=rel, cooldown=0, min=0, every=1)"),
        ("range_test(1e-6, 1)", "range_test(1e-6, 1, mode=exp, stair=1)"),
    ):
        one, other = plan(text, total_steps=100), plan(written, total_steps=100)
        assert one.values(range(100)).tolist() == other.values(range(100)).tolist()
        assert [s.values for s in one.segments] == [s.values for s in other.segments]


def test_error_of_a_shape_names_its_parameter() -> None:
    values = {"low": 2.0, "high": 1.0}
    with pytest.raises(ShapeError) as caught:
        SHAPES["cyclic"].build(values, 10)
    assert (caught.value.param, str(caught.value)) == ("high", "`high` is `low` or more: `low` is 2, `high` is 1")
