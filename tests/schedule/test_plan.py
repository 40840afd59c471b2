"""What a text means for a run: boundaries, times, arguments, and every refusal with its whole text."""

from __future__ import annotations

import pickle
from math import cos, pi
from typing import Any

import numpy as np
import pytest

from lib_lrsched import Plan, ScheduleError, plan
from lib_lrsched.schedule.segments import Piecewise


def full_text(text: str, message: str, carets: str) -> str:
    return f"{message}\n    {text}\n    {carets}"


def refusal(text: str, total_steps: int = 100, **counts: int) -> str:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=total_steps, **counts)
    assert caught.value.source == text
    return str(caught.value)


def values(text: str, total_steps: int = 100, **counts: int) -> list[float]:
    made = plan(text, total_steps=total_steps, **counts)
    return made.values(range(made.stop)).tolist()


def ends(text: str, total_steps: int = 100, **counts: int) -> list[int]:
    """Where the segments of a text stop."""
    return [segment.stop for segment in plan(text, total_steps=total_steps, **counts).segments]


# Boundaries -----------------------------------------------------------------------------------


def test_a_boundary_is_exclusive() -> None:
    assert values("0.5:2, 0.25:5, 0.125", 7) == [0.5] * 2 + [0.25] * 3 + [0.125] * 2


def test_a_text_of_the_host_keeps_its_meaning() -> None:
    made = plan("0.005:100, 1e-3:1000, 1e-5", total_steps=2000)
    assert [made.value(k) for k in (0, 99, 100, 999, 1000, 1999)] == [0.005, 0.005, 1e-3, 1e-3, 1e-5, 1e-5]
    assert made.boundaries == (100, 1000)
    assert made.warnings == ()


@pytest.mark.parametrize("text", ["0.5", "0.5:-1", "0.5:100", "0.5:101", "0.5:-01", "0.5:4000000000000000000000"])
def test_an_open_or_late_end_trains_to_the_end_of_the_run(text: str) -> None:
    assert values(text) == [0.5] * 100


def test_a_schedule_that_ends_early_ends_the_training() -> None:
    made = plan("0.5:30, 0.25:60", total_steps=100)
    assert made.stop == 60
    with pytest.raises(IndexError):
        made.value(60)


def test_items_after_an_open_one_never_run() -> None:
    assert values("0.5:30, 0.25, 0.125:10") == [0.5] * 30 + [0.25] * 70
    assert len(plan("0.5:30, 0.25:-1, 0.125:10", total_steps=100).segments) == 2


def test_segments_that_start_after_the_run_are_left_out() -> None:
    made = plan("0.5:50, 0.25:150, 0.125:200", total_steps=100)
    assert [(s.start, s.stop, s.length) for s in made.segments] == [(0, 50, 50), (50, 150, 100)]
    assert made.boundaries == (50,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:30, 1:60", [30, 60]),
        ("1:+30, 1:+60", [30, 90]),
        ("1:30, 1:+1", [30, 31]),
        ("1:20%, 1:+20%, 1:80%", [20, 40, 80]),
        ("1:2ep, 1:+1ep", [14, 21]),
        ("1:40img, 1:+20img", [10, 15]),
        ("1:+10, 1:50%, 1:8ep, 1:300img", [10, 50, 56, 75]),
        ("1:٣, 1:1_0", [3, 10]),
        ("1:150%", [150]),
    ],
)
def test_an_end_is_absolute_or_relative_in_every_unit(text: str, expected: list[int]) -> None:
    assert ends(text, steps_per_epoch=7, images_per_step=4) == expected


@pytest.mark.parametrize(
    ("end", "total", "steps"),
    [
        ("0.5%", 100, 1),
        ("1.49%", 100, 1),
        ("1.5%", 100, 2),
        ("2.5%", 100, 3),
        ("33.3333%", 3, 1),
        ("16.6666%", 3, 0),
        ("28.5%", 1000, 285),  # 28.5 / 100 * 1000 is 284.999... in floats
        ("0.7%", 1000, 7),
        ("1.15%", 10_000, 115),
        ("8.7%", 10_000, 870),
        ("1e-3%", 50_000, 1),
        ("1e2%", 77, 77),
        ("1_0%", 50, 5),
        ("0.1%", 10**15, 10**12),
        ("3.3333333333333335%", 10**18, 33_333_333_333_333_335),
    ],
)
def test_percent_is_exact_decimal_arithmetic_and_rounds_half_up(end: str, total: int, steps: int) -> None:
    if steps == 0:
        assert refusal(f"1:{end}", total) == full_text(
            f"1:{end}", f"{end} comes to 0 steps; a time is 1 step or more", "  " + "^" * len(end)
        )
    else:
        assert ends(f"1:{end}", total) == [steps]


@pytest.mark.parametrize(
    ("end", "steps"),
    [("0.5ep", 4), ("1.5ep", 11), ("0.4ep", 3), ("0.0715ep", 1), ("1e1ep", 70), ("6img", 2), ("5img", 1), ("2img", 1), ("7img", 2)],
)
def test_epochs_and_images_round_half_up(end: str, steps: int) -> None:
    assert ends(f"1:{end}", steps_per_epoch=7, images_per_step=4) == [steps]


def test_a_time_as_an_argument_is_of_the_segments_length() -> None:
    assert (
        values("0.5:20, step(1, every=25%, gamma=0.5):+40, 0.5")
        == [0.5] * 20 + [0.5**i for i in range(4) for _ in range(10)] + [0.5] * 40
    )
    assert values("step(1, every=2ep, gamma=0.5)", 20, steps_per_epoch=5) == [1.0] * 10 + [0.5] * 10
    assert values("step(1, every=12img, gamma=0.5)", 6, images_per_step=4) == [1.0] * 3 + [0.5] * 3
    assert values("step(1, every=+3, gamma=0.5)", 6) == [1.0] * 3 + [0.5] * 3


def test_a_shape_takes_over_from_the_segment_before() -> None:
    text = "1:20, linear(0):+20, cosine(1):+20, 0"
    expected = [1.0] * 20 + [1 - j / 20 for j in range(20)] + [1 - (1 + cos(pi * j / 20)) / 2 for j in range(20)] + [0.0] * 40
    np.testing.assert_allclose(values(text), expected, rtol=1e-12, atol=1e-16)


def test_an_item_that_starts_at_the_end_of_the_run_is_only_checked() -> None:
    assert values("0.5:100, cosine(0)") == [0.5] * 100
    assert values("0.5:200, wsd(1, warmup=60, decay=60)") == [0.5] * 100


def test_names_are_matched_in_any_order() -> None:
    assert values("linear(b=0, a=1)", 10) == values("linear(1, 0)", 10) == values("linear(1, b=0)", 10)
    assert values("step(gamma=0.5, every=3, v=1)", 10) == values("step(1, 3, 0.5)", 10)


# repeat ---------------------------------------------------------------------------------------


def test_repeat_runs_its_items_one_after_the_other() -> None:
    assert values("repeat(2, 0.5:2, 0.25:1), 0.125", 9) == [0.5, 0.5, 0.25] * 2 + [0.125] * 3


@pytest.mark.parametrize("duration", ["3", "+3", "30%", "1ep", "12img"])
def test_an_end_inside_repeat_is_a_duration(duration: str) -> None:
    text = f"0.5:5, repeat(2, 1:{duration}, 0.25:2):+10, 0"
    expected = [0.5] * 5 + [1, 1, 1, 0.25, 0.25] * 2 + [0.0] * 5
    assert values(text, 20, steps_per_epoch=3, images_per_step=4) == expected


@pytest.mark.parametrize(
    ("count", "steps"),
    [("1", 5), ("1.5", 8), ("0.1", 1), ("0.5", 3), ("0.3", 2), ("0.29", 1), ("2.0", 10), ("1e1", 50), ("1_0", 50), ("+2", 10)],
)
def test_a_count_may_be_a_fraction(count: str, steps: int) -> None:
    assert ends(f"repeat({count}, 1:2, 0.5:3)") == [steps]
    assert values(f"repeat(count={count}, 1:2, 0.5:3)") == ([1, 1, 0.5, 0.5, 0.5] * 10)[:steps]


def test_repeat_is_cut_at_its_own_end() -> None:
    assert values("repeat(3, 1:2, 0.5:3):+7, 0.25", 10) == [1, 1, 0.5, 0.5, 0.5, 1, 1] + [0.25] * 3
    assert values("repeat(3, 1:2, 0.5:3):15", 15) == [1, 1, 0.5, 0.5, 0.5] * 3


def test_the_first_pass_starts_from_the_segment_before_and_later_ones_from_the_last_item() -> None:
    text = "1:2, repeat(3, linear(0.5):2, 0.25:1), 0"
    assert values(text, 12) == [1, 1, 1, 0.75, 0.25, 0.25, 0.375, 0.25, 0.25, 0.375, 0.25, 0]


def test_repeats_nest() -> None:
    assert values("repeat(2, repeat(2, 1:1, 0.5:1), 0.25:1)") == [1, 0.5, 1, 0.5, 0.25] * 2
    assert values("repeat(2, repeat(9, 1:1, 0.5:1):3, 0.25:1)") == [1, 0.5, 1, 0.25] * 2
    assert values("repeat(1, repeat(4, 1:25%):4, 0.5:50%):8", 8) == [1] * 4 + [0.5] * 4


def test_a_percent_argument_inside_repeat_is_of_its_items_duration() -> None:
    assert values("repeat(2, step(1, every=50%, gamma=0.5):4)") == [1, 1, 0.5, 0.5] * 2


def test_the_cost_of_repeat_does_not_grow_with_its_count() -> None:
    made = plan("repeat(999999999999, cosine(1, 0):7, 0.5:3), 0.25", total_steps=10**15)
    for j in range(10):
        expected = (1 + cos(pi * j / 7)) / 2 if j < 7 else 0.5
        assert made.value(10 * 123_456_789_012 + j) == pytest.approx(expected, rel=1e-12)
    assert made.value(9_999_999_999_990) == 0.25


def nested(depth: int) -> str:
    return "repeat(2, " * depth + "1:1" + ", 0.5:1)" * depth


def test_the_cost_of_nested_repeats_does_not_double_with_their_depth() -> None:
    made = plan(nested(15), total_steps=10**6)
    assert made.values(np.arange(200)).shape == (200,)
    assert made.value(made.stop - 1) == 0.5


def test_passes_that_begin_at_another_rate_than_the_first_do_not_double_the_cost_at_each_depth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Counted(Piecewise):
        def __call__(self, k: Any) -> Any:
            asked.append(k)
            return super().__call__(k)

    monkeypatch.setattr("lib_lrsched.schedule.segments.Piecewise", Counted)
    tails = "".join(f", {20 + i}:1)" for i in range(15))
    made = plan("1:1, " + "repeat(2, " * 15 + "linear(0):4" + tails, total_steps=10**6)
    asked.clear()
    found = made.values(range(made.stop))
    assert len(asked) <= 1 + 15  # the plan's own segments, and those of each depth
    assert found[:17].tolist() == [1, 1, 0.75, 0.5, 0.25, 20, 20, 15, 10, 5, 20, 21, 21, 15.75, 10.5, 5.25, 20]


def test_nested_repeats_give_what_their_passes_spell_out() -> None:
    def spelt(depth: int) -> list[float]:
        return [1.0] if depth == 0 else [*spelt(depth - 1), 0.5] * 2

    assert values(nested(5), 10**4) == spelt(5)


# Asking a plan --------------------------------------------------------------------------------


def test_values_keep_the_shape_of_the_steps() -> None:
    made = plan("0.5:10, cosine(0.5, 0)", total_steps=20)
    for steps in (
        [3, 15],
        [[3, 15], [19, 0]],
        np.array([[[19]]], dtype=np.uint8),
        range(4),
        (1,),
        [],
        np.zeros((0, 3), dtype=np.int32),
    ):
        got = made.values(steps)
        assert got.shape == np.shape(steps)
        assert got.dtype == np.float64
        assert got.ravel().tolist() == [made.value(int(k)) for k in np.ravel(steps)]
    assert made.values(15).shape == ()
    assert float(made.values(np.int16(15))) == made.value(15)


def test_values_may_be_asked_in_any_order_and_more_than_once() -> None:
    made = plan("0.5:10, cosine(0.5, 0):30, repeat(9, 0.25:2, linear(1, 0):5)", total_steps=90)
    steps = np.random.default_rng(0).integers(0, made.stop, 500)
    assert made.values(steps).tolist() == [made.value(int(k)) for k in steps]


def test_values_belong_to_the_caller() -> None:
    for text in ("0.5", "0.5:5, 0.25", "linear(1, 0)", "constant(1)"):
        made = plan(text, total_steps=10)
        before = made.values(range(10)).tolist()
        made.values(range(10))[:] = 7
        assert made.values(range(10)).tolist() == before


def test_a_value_is_a_python_float() -> None:
    for text in ("0.5", "cosine(1, 0)", "1:5, onecycle(1)", "repeat(9, 1:2)"):
        made = plan(text, total_steps=10)
        assert {type(made.value(k)) for k in range(10)} == {float}
        assert {type(made.momentum(k)) for k in range(10)} <= {float, type(None)}


@pytest.mark.parametrize("step", [-1, 10, 2**63, 2**70, -(2**70)])
def test_error_step_outside_the_plan(step: int) -> None:
    made = plan("onecycle(1)", total_steps=10)
    for ask in (made.value, made.momentum, lambda k: made.values([k]), lambda k: made.momenta([k])):
        with pytest.raises(IndexError, match=rf"^step {step} is outside \[0, 10\)$"):
            ask(step)


@pytest.mark.parametrize("step", [1.0, "1", None, np.float64(1), 1 + 0j])
def test_error_step_that_is_no_integer(step: Any) -> None:
    made = plan("onecycle(1)", total_steps=10)
    for ask in (made.value, made.momentum, lambda k: made.values([k]), lambda k: made.momenta([k])):
        with pytest.raises(TypeError):
            ask(step)


def test_error_steps_that_are_no_integers() -> None:
    with pytest.raises(TypeError, match=r"^steps are integers, these are float64$"):
        plan("1", total_steps=10).values([1.0])
    with pytest.raises(TypeError, match=r"^steps are integers, these are bool$"):
        plan("1", total_steps=10).values([True])


def test_a_plan_is_a_value() -> None:
    one, same = (plan("cosine(1, 0)", total_steps=10) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != plan("cosine(1, 0)", total_steps=11)
    assert one != plan("cosine(1, 0 )", total_steps=10)
    with pytest.raises(AttributeError):
        one.stop = 5  # type: ignore[misc]


def test_a_plan_survives_pickling() -> None:
    made = plan("0.5:3ep, cosine(0.5, 0):50img, plateau(0.1)", total_steps=100, steps_per_epoch=7, images_per_step=2)
    again: Plan = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.values(range(100)).tolist() == made.values(range(100)).tolist()


def test_feedback_lists_the_plateaus_that_run() -> None:
    made = plan("0.5:5, plateau(0.25, patience=3, min=1e-4, every=10%):+20, plateau(0.1, mode=abs)", total_steps=50)
    first, second = made.feedback
    assert (first.start, first.stop, second.start) == (5, 25, 25)
    assert first.values == {
        "v": 0.25,
        "factor": 0.1,
        "patience": 3,
        "threshold": 1e-4,
        "mode": "rel",
        "cooldown": 0,
        "watch": "loss",
        "min": 1e-4,
        "every": 2,
    }
    assert second.values["mode"] == "abs"
    assert values("plateau(0.25)", 5) == [0.25] * 5
    assert plan("0.5:100, plateau(0.25)", total_steps=100).feedback == ()


@pytest.mark.parametrize("name", ["total_steps", "steps_per_epoch", "images_per_step"])
@pytest.mark.parametrize("number", [0, -1])
def test_error_run_without_steps(name: str, number: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is 1 or more, got {number}$"):
        plan("1", **({"total_steps": 5} | {name: number}))


@pytest.mark.parametrize("name", ["total_steps", "steps_per_epoch", "images_per_step"])
def test_error_run_with_more_steps_than_can_be_counted(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is below 2\*\*62, got {2**62}$"):
        plan("1", **({"total_steps": 5} | {name: 2**62}))


def test_error_run_whose_steps_are_no_integer() -> None:
    with pytest.raises(TypeError):
        plan("1", total_steps=5.0)  # type: ignore[arg-type]


# What is refused ------------------------------------------------------------------------------

_OPEN_END = "or -1 for the end of the run, got"
_RATE = "a rate is a finite number, 0 or more, got"
_NO_UNIT = "a rate has no unit, got {0}; how long a segment is stands after its brackets, as in linear(0.005, 1e-5):{0}"
_REPEAT = "as in repeat(3, cosine(0.005, 1e-5):100)"
_WHOLE = "steps are counted in whole numbers, got"
_HANDS = "no previous segment provides a rate; give both,"

REFUSED = [
    # the error table of the language
    ("nan", f"{_RATE} nan", "^^^"),
    ("inf", f"{_RATE} inf", "^^^"),
    ("-1e-3", f"{_RATE} -1e-3", "^^^^^"),
    ("1e-3:10:20", "one end per segment; did you mean `1e-3:10, ...:20`?", "       ^^^"),
    ("1e-3:500, 1e-4:100", "boundaries must rise: this one is at 100, the one before it at 500", "               ^^^"),
    ("1e-3:0", f"an end is 1 or more, {_OPEN_END} 0", "     ^"),
    ("1e-3:-2", f"an end is 1 or more, {_OPEN_END} -2", "     ^^"),
    ("cosin(1e-3, 0)", "no shape `cosin`; did you mean `cosine`?", "^^^^^"),
    ("linear(0, 1e-3, 5)", "linear takes 2 values", "                ^"),
    ("1e-3:3ep", "epochs need the data set's size: say how many images there are", "     ^^^"),
    # rates
    ("1e400", f"{_RATE} 1e400", "^^^^^"),
    ("0.5:5, -infinity", f"{_RATE} -infinity", "       ^^^^^^^^^"),
    ("linear(-1, 0)", f"{_RATE} -1", "       ^^"),
    ("linear(1, 5%)", _NO_UNIT.format("5%"), "          ^^"),
    ("linear(1, +5ep)", _NO_UNIT.format("5ep"), "          ^^^^"),
    ("warmup(nan)", f"{_RATE} nan", "       ^^^"),
    ("repeat(2, -1:5)", f"{_RATE} -1", "          ^^"),
    ("repeat(2, 5%:5)", f"{_RATE} 5%", "          ^^"),
    # ends
    ("1:50, 1:50", "boundaries must rise: this one is at 50, the one before it at 50", "        ^^"),
    ("1:50, 1:20%", "boundaries must rise: this one is at 20, the one before it at 50", "        ^^^"),
    ("repeat(2, 1:30), 1:50", "boundaries must rise: this one is at 50, the one before it at 60", "                   ^^"),
    ("1:-0", f"an end is 1 or more, {_OPEN_END} -0", "  ^^"),
    ("1:+0", f"an end is 1 or more, {_OPEN_END} 0", "  ^^"),
    ("1, 1:0", f"an end is 1 or more, {_OPEN_END} 0", "     ^"),
    ("1:1e3", f"{_WHOLE} 1e3; did you mean 1000?", "  ^^^"),
    ("1:100.0", f"{_WHOLE} 100.0; did you mean 100?", "  ^^^^^"),
    ("1:10.5", f"{_WHOLE} 10.5", "  ^^^^"),
    ("1:nan", f"{_WHOLE} nan", "  ^^^"),
    ("1:inf", f"{_WHOLE} inf", "  ^^^"),
    ("1:1e16", f"{_WHOLE} 1e16", "  ^^^^"),
    ("1:-1e308", f"{_WHOLE} -1e308", "  ^^^^^^"),
    ("1:0%", "a time is a finite number above 0, got 0%", "  ^^"),
    ("1:-5%", "a time is a finite number above 0, got -5%", "  ^^^"),
    ("1:-1%", "a time is a finite number above 0, got -1%", "  ^^^"),
    ("1:nan ep", "a time is a finite number above 0, got nanep", "  ^^^^^^"),
    ("1:1e400img", "a time is a finite number above 0, got 1e400img", "  ^^^^^^^^"),
    ("1:0.4%", "0.4% comes to 0 steps; a time is 1 step or more", "  ^^^^"),
    ("1:1e300%", "1e300% exceeds the longest possible run", "  ^^^^^^"),
    ("1:5img", "img needs the number of images per step: batch size times accumulation", "  ^^^^"),
    ("step(1, every=1ep)", "epochs need the data set's size: say how many images there are", "              ^^^"),
    # arguments
    ("foo(1)", "no shape `foo`", "^^^"),
    ("REPEET(1)", "no shape `REPEET`; did you mean `repeat`?", "^^^^^^"),
    ("Cosine(1, 0)", "no shape `Cosine`; did you mean `cosine`?", "^^^^^^"),
    ("1e-3(5)", "no shape `1e-3`", "^^^^"),
    ("constant(1, 2)", "constant takes 1 value", "            ^"),
    ("poly(1, 2, 3, 4)", "poly takes at most 3 values", "              ^"),
    ("decay(1, 2, 3)", "decay takes at most 2 values", "            ^"),
    ("linear(c=1)", "linear has no `c`; it has `from`, `to`", "       ^^^"),
    ("step(1, evry=5)", "step has no `evry`; did you mean `every`?; it has `from`, `every`, `factor`", "        ^^^^^^"),
    ("linear(b=1, 2)", "values without a name come before those with one", "            ^"),
    ("linear(b=1, b=2)", "`b` is given twice", "            ^^^"),
    ("step(1, 5, v=2)", "`v` is given twice", "           ^^^"),
    ("linear(1, 2, a=3)", "`a` is given twice", "             ^^^"),
    ("constant()", "constant needs `value`, as in constant(0.005)", "^^^^^^^^^^"),
    ("linear(a=1)", "linear needs `to`, as in linear(0.005, 1e-5)", "^^^^^^^^^^^"),
    ("step(1)", "step needs `every`, as in step(0.005, every=500, factor=0.5)", "^^^^^^^"),
    ("decay(1)", "decay needs `factor`, as in decay(0.005, factor=0.999)", "^^^^^^^^"),
    ("linear(1)", f"{_HANDS} as in linear(0.005, 1e-5)", "^^^^^^^^^"),
    ("plateau(1):5, rex(0)", f"{_HANDS} as in rex(0.005, 1e-5)", "              ^^^^^^"),
    ("repeat(2, cosine(1):5)", f"{_HANDS} as in cosine(0.005, 1e-5)", "          ^^^^^^^^^"),
    (
        "linear(cosine(1, 0), 1)",
        "linear takes numbers and words, no other shapes; only repeat takes segments",
        "       ^^^^^^^^^^^^",
    ),
    ("linear(1:5, 1)", "linear takes numbers and words, no other shapes; only repeat takes segments", "       ^^^"),
    (
        "linear(a=repeat(2, 1:5), b=1)",
        "linear takes numbers and words, no other shapes; only repeat takes segments",
        "         ^^^^^^^^^^^^^^",
    ),
    ("linear(fast, 1)", "`from` is a rate, got `fast`", "       ^^^^"),
    ("decay(1, fast)", "`factor` is a number, got `fast`", "         ^^^^"),
    ("step(1, every=yes)", "`every` is a number of steps, got `yes`", "              ^^^"),
    ("plateau(1, patience=ten)", "`patience` is a whole number, got `ten`", "                    ^^^"),
    ("plateau(1, patience=1.5)", "`patience` is a whole number, got 1.5", "                    ^^^"),
    ("restarts(1, t_0=5, t_mult=1.5)", "`t_mult` is a whole number, got 1.5", "                          ^^^"),
    ("plateau(1, patience=-1)", "`patience` is 0 or more, got -1", "                    ^^"),
    ("plateau(1, patience=3ep)", "`patience` is a whole number without a unit, got 3ep", "                    ^^^"),
    ("decay(1, 5%)", "`factor` is a number without a unit, got 5%", "         ^^"),
    ("decay(1, nan)", "`factor` is a finite number, got nan", "         ^^^"),
    ("decay(1, -1)", "`factor` is 0 or more, got -1", "         ^^"),
    ("poly(1, 0, power=0)", "`power` is above 0, got 0", "                 ^"),
    ("rex(1, 0, d=1)", "`d` is 0 or more and below 1, got 1", "            ^"),
    ("step(1, every=0)", "`every` is 1 or more, got 0", "              ^"),
    ("step(1, every=-3)", "`every` is 1 or more, got -3", "              ^^"),
    ("step(1, every=1.5)", f"{_WHOLE} 1.5", "              ^^^"),
    ("step(1, every=1e2)", f"{_WHOLE} 1e2; did you mean 100?", "              ^^^"),
    ("step(1, every=0%)", "a time is a finite number above 0, got 0%", "              ^^"),
    ("inverse_sqrt(1, 0)", "`timescale` is 1 or more, got 0", "                ^"),
    ("exp(0, 1)", "`from` is above 0, got 0", "    ^"),
    ("exp(1, 0)", "`to` is above 0, got 0", "       ^"),
    ("0:5, exp(1)", "`from` is above 0, got 0", "     ^^^^^^"),
    ("warmup(1, curve=cos)", "`curve` is one of linear, cosine, log; did you mean `cosine`?", "                ^^^"),
    ("warmup(1, curve=5)", "`curve` is one of linear, cosine, log", "                ^"),
    ("onecycle(1, cycle_momentum=1)", "`cycle_momentum` is one of yes, no", "                           ^"),
    ("onecycle(1, pct_start=0)", "`pct_start` is above 0 and below 1, got 0", "                      ^"),
    ("onecycle(1, pct_start=1)", "`pct_start` is above 0 and below 1, got 1", "                      ^"),
    ("onecycle(1, 0.5, three_phase=yes)", "with `three_phase` the `pct_start` is below 0.5, got 0.5", "            ^^^"),
    ("onecycle(1, div_factor=0)", "`div_factor` is above 0, got 0", "                       ^"),
    ("onecycle(1, base_momentum=1)", "`base_momentum` is 0 or more and below 1, got 1", "                          ^"),
    ("cyclic(2, 1, 5)", "`high` is `low` or more: `low` is 2, `high` is 1", "          ^"),
    (
        "restarts(1, t_0=5, warmup=5)",
        "the warm-up is shorter than a cycle: `warmup` is 5 steps, `t_0` is 5",
        "                          ^",
    ),
    ("restarts(1, t_0=5, t_mult=0)", "`t_mult` is 1 or more, got 0", "                          ^"),
    (
        "wsd(1, warmup=50, decay=51)",
        "warm-up and decay fit into the segment: 50 + 51 steps are more than its 100",
        "                        ^^",
    ),
    ("wsd(1, warmup=90)", "warm-up and decay fit into the segment: 90 + 20 steps are more than its 100", "^^^^^^^^^^^^^^^^^"),
    ("wsd(1, warmup=0%)", "a time is a finite number above 0, got 0%", "              ^^"),
    ("range_test(0, 1)", "an exponential range test needs rates above 0; `from` is 0", "           ^"),
    ("range_test(1, 0)", "an exponential range test needs rates above 0; `to` is 0", "              ^"),
    ("plateau(1, factor=1)", "`factor` is 0 or more and below 1, got 1", "                  ^"),
    # repeat
    ("repeat(2)", f"repeat takes a count and at least one segment, {_REPEAT}", "^^^^^^^^^"),
    ("repeat()", f"repeat takes a count and at least one segment, {_REPEAT}", "^^^^^^^^"),
    ("repeat(n=2, 1:5)", f"repeat takes a count and at least one segment, {_REPEAT}", "^^^^^^^^^^^^^^^^"),
    ("repeat(2, times=3)", f"repeat has no `times`; it takes a count and segments, {_REPEAT}", "          ^^^^^^^"),
    ("repeat(2, word)", "expected a segment such as 1e-3:50, got `word`", "          ^^^^"),
    ("repeat(word, 1:5)", f"repeat starts with a count, {_REPEAT}", "       ^^^^"),
    ("repeat(1:5, 1:5)", f"repeat starts with a count, {_REPEAT}", "       ^^^"),
    ("repeat(2ep, 1:5)", f"repeat starts with a count, {_REPEAT}", "       ^^^"),
    ("repeat(cosine(1, 0), 1:5)", f"repeat starts with a count, {_REPEAT}", "       ^^^^^^^^^^^^"),
    ("repeat(0, 1:5)", "a count is above 0 and below 1e15, got 0", "       ^"),
    ("repeat(-1, 1:5)", "a count is above 0 and below 1e15, got -1", "       ^^"),
    ("repeat(nan, 1:5)", "a count is above 0 and below 1e15, got nan", "       ^^^"),
    ("repeat(1e15, 1:5)", "a count is above 0 and below 1e15, got 1e15", "       ^^^^"),
    ("repeat(0.05, 1:5)", "this repeat comes to 0 steps", "^^^^^^^^^^^^^^^^^"),
    ("repeat(2, 1)", "inside repeat every segment has an end, its duration, such as 1e-3:50", "          ^"),
    ("repeat(2, cosine(1, 0))", "inside repeat every segment has an end, its duration, such as 1e-3:50", "          ^^^^^^^^^^^^"),
    ("repeat(2, 1:-1)", "inside repeat every segment has an end of its own; -1 has no meaning here", "            ^^"),
    ("repeat(2, 1:0)", f"an end is 1 or more, {_OPEN_END} 0", "            ^"),
    ("repeat(2, 1:50%)", "percent is of the repeat's own segment here; give the repeat an end", "            ^^^"),
    (
        "repeat(2, repeat(2, 1:50%)):50",
        "percent is of the repeat's own segment here; give the repeat an end",
        "                      ^^^",
    ),
    ("repeat(2, 1:5):-1", "repeat ends after its passes; leave out the :-1", "               ^^"),
    (
        "repeat(2, 1:5):20",
        "the passes take 10 steps and its segment has 20; raise the count or leave out the end",
        "^^^^^^^^^^^^^^",
    ),
    (
        "repeat(2, repeat(1, 1:5):6)",
        "the passes take 5 steps and its segment has 6; raise the count or leave out the end",
        "          ^^^^^^^^^^^^^^",
    ),
    ("repeat(2, plateau(1):5)", "plateau looks at the run and cannot stand inside repeat", "          ^^^^^^^"),
    ("repeat(2, foo(1):5)", "no shape `foo`", "          ^^^"),
    ("1:5, repeat(2, exp(1):2, 0:1)", "`from` is above 0, got 0", "               ^^^^^^"),
    (
        "repeat(2, decay(1, gamma=2):2000)",
        "this rate overflows within its segment",
        "          ^^^^^^^^^^^^^^^^^^^^^^",
    ),
    # items that never run are checked as far as that needs no length
    ("1, nan", f"{_RATE} nan", "   ^^^"),
    ("1, foo(1)", "no shape `foo`", "   ^^^"),
    ("1, cosine(nan)", f"{_RATE} nan", "          ^^^"),
    ("1, step(1)", "step needs `every`, as in step(0.005, every=500, factor=0.5)", "   ^^^^^^^"),
    ("1, warmup(1, curve=bend)", "`curve` is one of linear, cosine, log", "                   ^^^^"),
    ("1, 1:3ep", "epochs need the data set's size: say how many images there are", "     ^^^"),
    ("1, step(1, every=yes)", "`every` is a number of steps, got `yes`", "                 ^^^"),
    ("1, step(1, every=1.5)", f"{_WHOLE} 1.5", "                 ^^^"),
    ("1, repeat()", f"repeat takes a count and at least one segment, {_REPEAT}", "   ^^^^^^^^"),
    ("1, repeat(0, 1:5)", "a count is above 0 and below 1e15, got 0", "          ^"),
    ("1, repeat(2, foo(1):5)", "no shape `foo`", "             ^^^"),
    ("1:200, 1, foo(1)", "no shape `foo`", "          ^^^"),
]


@pytest.mark.parametrize(("text", "message", "carets"), REFUSED, ids=[row[0][:40] for row in REFUSED])
def test_error_text_that_cannot_be_planned(text: str, message: str, carets: str) -> None:
    assert refusal(text) == full_text(text, message, carets)


def test_error_epochs_and_images_beyond_any_run() -> None:
    long = "9" * 38
    for unit in ("ep", "img"):
        text = f"1:{long}{unit}"
        message = f"{long}{unit} exceeds the longest possible run"
        expected = full_text(text, message, "  " + "^" * (38 + len(unit)))
        if unit == "ep":
            assert refusal(text, steps_per_epoch=1_000) == expected
        else:
            assert ends(text, images_per_step=1) == [int(long)]


@pytest.mark.parametrize(("text", "carets"), [("1:3img", "  ^^^^"), ("1:+0.04ep", "  ^^^^^^^")])
def test_error_time_of_no_step(text: str, carets: str) -> None:
    written = text[2:].lstrip("+")
    message = f"{written} comes to 0 steps; a time is 1 step or more"
    assert refusal(text, steps_per_epoch=10, images_per_step=8) == full_text(text, message, carets)


def test_error_images_are_whole() -> None:
    assert refusal("1:1.5img", images_per_step=1) == full_text("1:1.5img", f"{_WHOLE} 1.5", "  ^^^^^^")


@pytest.mark.parametrize(
    "text", ["x" * 500 + "(1)", "linear(" + "x" * 500 + "=1)", "linear(" + "x" * 500 + ", 1)", "repeat(2, " + "x" * 500 + ")"]
)
def test_error_message_quotes_a_long_name_in_part(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=100)
    assert len(caught.value.message) < 150
    assert "xxx..." in caught.value.message


@pytest.mark.parametrize("text", ["\x1b[31m(1)", "linear(\x1b[31m=1)", "linear(a\x1b[31m, 1)", "repeat(2, a\x00)"])
def test_error_message_has_no_control_characters(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=100)
    assert caught.value.message.isprintable()
