"""What holds for every text: written down as properties and tried on random ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from random_schedules import (
    STRETCHING,
    STRETCHING_PARAMS,
    letters,
    mutated,
    planned,
    rates,
    repeats,
    schedules,
    shapes,
    soup,
    totals,
)

from lib_lrsched import Plan, ScheduleError, parse, plan
from lib_lrsched.language.tree import unparse
from lib_lrsched.schedule.shapes import SHAPES


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other, equal_nan=True)


# Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SHAPES, "repeat"])
@settings(max_examples=30)
@given(st.data())
def test_a_value_is_values_to_the_last_bit_for_every_shape(name: str, data: st.DataObject) -> None:
    text = data.draw(repeats() if name == "repeat" else shapes((name,)))
    made = planned(text, data.draw(totals))
    every = made.values(range(made.stop))
    assert every.tolist() == [made.value(k) for k in range(made.stop)]
    momenta = made.momenta(range(made.stop))
    if momenta is None:
        assert {made.momentum(k) for k in range(made.stop)} == {None}
    else:
        assert [None if m != m else m for m in momenta.tolist()] == [made.momentum(k) for k in range(made.stop)]


@given(schedules(), totals, st.randoms(use_true_random=False))
def test_a_value_does_not_depend_on_what_else_is_asked(text: str, total: int, random: Any) -> None:
    made = planned(text, total)
    every = made.values(range(made.stop))
    steps = [random.randrange(made.stop) for _ in range(50)]
    assert made.values(steps).tolist() == [every[k] for k in steps] == [made.value(k) for k in steps]


@given(schedules(), totals)
def test_values_are_finite_and_0_or_more_and_momentum_is_below_1(text: str, total: int) -> None:
    made = planned(text, total)
    values = made.values(range(made.stop))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    momenta = made.momenta(range(made.stop))
    if momenta is not None:
        scheduled = momenta[~np.isnan(momenta)]
        assert ((scheduled >= 0) & (scheduled < 1)).all()


# Time -----------------------------------------------------------------------------------------


@given(schedules(fixed=True), totals, st.integers(1, 400))
def test_raising_max_steps_changes_nothing_that_was_trained(text: str, total: int, more: int) -> None:
    short, long = planned(text, total), planned(text, total + more)
    assert long.stop >= short.stop
    assert same(long.values(range(short.stop)), short.values(range(short.stop)))
    before, after = short.momenta(range(short.stop)), long.momenta(range(short.stop))
    assert before is None or (after is not None and same(before, after))


def test_cycles_that_fill_an_open_item_stretch_with_max_steps_as_the_shapes_that_are_known_to() -> None:
    """So that random texts of which nothing depends on max steps leave them out."""
    for name, param in STRETCHING_PARAMS:
        assert name not in STRETCHING
        text = f"{name}(0.005, {param}=2)"
        assert not same(plan(text, total_steps=200).values(range(100)), plan(text, total_steps=100).values(range(100)))


@given(st.lists(st.tuples(rates, st.integers(1, 50)), min_size=1, max_size=8), totals)
def test_a_boundary_belongs_to_the_segment_that_starts_there(items: list[tuple[str, int]], total: int) -> None:
    """Numbers with absolute ends, spelt out step by step."""
    expected: list[float] = []
    text = []
    for rate, length in items:
        expected += [float(rate)] * length
        text.append(f"{rate}:{len(expected)}")
    made = plan(", ".join(text), total_steps=total)
    assert made.stop == min(total, len(expected))
    assert made.values(range(made.stop)).tolist() == expected[:total]
    relative = plan(", ".join(f"{rate}:+{length}" for rate, length in items), total_steps=total)
    assert relative.values(range(made.stop)).tolist() == expected[:total]


@given(shapes(), st.integers(1, 60), st.integers(1, 60))
def test_a_segment_is_the_same_wherever_it_starts(text: str, start: int, length: int) -> None:
    alone = planned(f"{text}:{length}, 0", start + length + 5)
    later = planned(f"1:{start}, {text}:+{length}, 0", start + length + 5)
    assert same(later.values(range(start, start + length)), alone.values(range(length)))


@given(st.lists(st.tuples(rates, st.integers(1, 9)), min_size=1, max_size=4), st.integers(1, 30), totals)
def test_a_repeat_is_its_passes_spelt_out(items: list[tuple[str, int]], count: int, total: int) -> None:
    inner = ", ".join(f"{rate}:{length}" for rate, length in items)
    spelt = ", ".join(f"{rate}:+{length}" for _ in range(count) for rate, length in items)
    made, expected = plan(f"repeat({count}, {inner})", total_steps=total), plan(spelt, total_steps=total)
    assert made.stop == expected.stop
    assert same(made.values(range(made.stop)), expected.values(range(made.stop)))


@settings(max_examples=50)
@given(repeats(percent=False), st.integers(1, 5), totals)
def test_a_repeat_in_a_repeat_is_the_passes_of_both(text: str, count: int, total: int) -> None:
    assume(text.startswith(("repeat(1,", "repeat(2,", "repeat(40,")))  # a fraction is cut before the next pass
    once = planned(f"{text}, 0.5", 10**5)
    length = once.segments[0].stop
    made = planned(f"repeat({count}, {text})", total)
    assert made.segments[0].stop == count * length
    expected = np.concatenate([once.values(range(length))] * count)
    assert same(made.values(range(made.stop)), expected[: made.stop])


Tree = tuple[str, int] | tuple[int, list[Any]]
"""A value and its duration, or a count and what is repeated."""

inner_values = st.sampled_from(["0.5", "cosine(0.25)", "linear(1)", "poly(0.5, power=2)", "step(2, every=2)"])
leaves = st.tuples(inner_values, st.integers(1, 6))
trees: st.SearchStrategy[Tree] = st.recursive(
    leaves, lambda inner: st.tuples(st.integers(1, 3), st.lists(inner, min_size=1, max_size=3)), max_leaves=8
)


def nested_text(tree: Tree) -> str:
    head, rest = tree
    return f"{head}:{rest}" if isinstance(rest, int) else f"repeat({head}, {', '.join(map(nested_text, rest))})"


def spelt_out(tree: Tree) -> list[str]:
    head, rest = tree
    if isinstance(head, str):
        return [f"{head}:+{rest}"]
    assert isinstance(rest, list)
    return [item for inner in rest for item in spelt_out(inner)] * head


@given(trees, st.integers(1, 400))
def test_items_that_take_over_a_rate_do_so_in_every_pass_however_deep(tree: Tree, total: int) -> None:
    items = spelt_out(tree)
    spelt, made = (plan(f"4:2, {text}", total_steps=total) for text in (", ".join(items), nested_text(tree).replace(":", ":+")))
    assert made.stop == spelt.stop
    assert same(made.values(range(made.stop)), spelt.values(range(made.stop)))


# Texts ----------------------------------------------------------------------------------------


@given(schedules(), totals)
def test_a_text_in_normal_form_plans_the_same(text: str, total: int) -> None:
    made = planned(text, total)
    normal = unparse(parse(text))
    again = planned(normal, total)
    assert unparse(parse(normal)) == normal
    assert again.stop == made.stop
    assert same(again.values(range(made.stop)), made.values(range(made.stop)))


@given(schedules(), totals)
def test_blank_space_and_comments_change_nothing(text: str, total: int) -> None:
    made = planned(text, total)
    spread = text.replace("(", " ( # a comment, with marks :)\n").replace(",", "\t, ").replace("=", " =\n") + " # end"
    again = planned(spread, total)
    assert same(again.values(range(made.stop)), made.values(range(made.stop)))
    assert again.stop == made.stop


@given(schedules(), totals)
def test_warnings_point_into_the_text_and_their_corrections_can_be_planned(text: str, total: int) -> None:
    made = planned(text, total)
    for warning in made.warnings:
        assert 0 <= warning.span[0] < warning.span[1] <= len(text)
        if warning.fix is not None:
            mended = plan(warning.fix, total_steps=total, steps_per_epoch=7, images_per_step=4)
            assert warning.message not in [other.message for other in mended.warnings]
            if mended.stop == made.stop:
                assert same(mended.values(range(made.stop)), made.values(range(made.stop)))


# Anything at all ------------------------------------------------------------------------------

any_text = given(st.one_of(soup, letters, mutated()), st.sampled_from([1, 2, 100, 10**6, 2**61]), st.sampled_from([None, 1, 8]))


@settings(max_examples=500)
@any_text
@example("1e308:45, 1e308", 100, None)
@example("1:150, 0.5, 0.25:50", 100, None)
@example("f(1,\n 2):10:20", 100, None)
@example("repeat(2, yes:5)", 100, None)
@example("1:+", 100, None)
def test_any_text_is_planned_or_refused_with_a_place(text: str, total: int, counts: int | None) -> None:
    check_planned_or_refused(text, total, counts)


@pytest.mark.long
@settings(max_examples=10_000)
@any_text
def test_any_text_is_planned_or_refused_with_a_place_long(text: str, total: int, counts: int | None) -> None:
    check_planned_or_refused(text, total, counts)


def check_planned_or_refused(text: str, total: int, counts: int | None) -> None:
    try:
        made = plan(text, total_steps=total, steps_per_epoch=counts, images_per_step=counts)
    except ScheduleError as refused:
        check_refusal(refused, text)
        return
    check_plan(made)


def check_refusal(error: ScheduleError, text: str) -> None:
    start, stop = error.span
    assert 0 <= start <= stop <= len(text)
    assert start < stop or start == len(text)
    assert error.source == text
    assert error.message.isprintable()
    assert "``" not in error.message
    assert str(error).startswith(error.message + "\n    ")


def check_plan(made: Plan) -> None:
    steps = np.unique(np.linspace(0, made.stop - 1, 60).astype(np.int64).clip(0, made.stop - 1))
    values = made.values(steps)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert values.tolist() == [made.value(int(k)) for k in steps]
    counts = {"steps_per_epoch": made.steps_per_epoch, "images_per_step": made.images_per_step}
    assert plan(unparse(made.tree), total_steps=made.total_steps, **counts).stop == made.stop


# Cost -----------------------------------------------------------------------------------------


def cost(work: Callable[[], object]) -> float:
    """The least of three times, in seconds of this process: other work on the machine does not count."""

    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize("item", ["0.5:+3", "cosine(0.5, 0.1):+3", "repeat(2, 0.5:3, 0.25:1)", "0.5:+3,", "1e-6:+1, 1:+1"])
def test_planning_takes_time_in_proportion_to_the_text(item: str) -> None:
    def work(count: int) -> Callable[[], object]:
        return lambda: plan(", ".join([item] * count), total_steps=10**6)

    work(10)()
    assert cost(work(1_600)) < 40 * max(cost(work(200)), 1e-3)


@pytest.mark.parametrize("text", [
    "0.5", "cosine(0.5, 0)", "restarts(1, t_0=10, t_mult=2)", "restarts(1, cycles=3)", "repeat(1e9, cosine(1, 0):7, 0.5:3)"])
def test_a_value_costs_the_same_anywhere_in_any_run(text: str) -> None:
    def work(total: int) -> Callable[[], object]:
        made = plan(text, total_steps=total)
        steps = [made.stop - 1 - i for i in range(300)]
        return lambda: [made.value(k) for k in steps]

    assert cost(work(10**9)) < 10 * max(cost(work(1_000)), 1e-4)


@pytest.mark.parametrize("count", [100, 10_000])
def test_a_value_of_a_text_of_many_items_is_a_look_up(count: int) -> None:
    made = plan(", ".join(["0.5:+3", "cosine(0.5, 0.1):+3"] * (count // 2)), total_steps=10**6)
    steps = np.random.default_rng(0).integers(0, made.stop, 300).tolist()
    assert cost(lambda: [made.value(k) for k in steps]) < 0.1
