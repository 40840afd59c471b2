"""Edits of a text: the new text plans, what was not touched stands as it stood, and the edit does what it says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lib_lrsched import ScheduleError, plan
from lib_lrsched.editing.chart_handles import MOST_SEGMENTS, Point, boundaries_of, handles_of, time_text
from lib_lrsched.editing.outline import describe_items
from lib_lrsched.errors import RequestError
from lib_lrsched.language.parser import parse
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.rates import rate_text
from lib_lrsched.schedule.shapes import REQUIRED, SHAPES
from lib_lrsched.web.requests import EditRequest, ItemsRequest
from lib_lrsched.web.schedule_endpoints import edit_answer, items_answer

RUN = {"total_steps": 1000, "pictures": 24, "batch": 2, "accumulate": 1}
planned = partial(plan, total_steps=1000, steps_per_epoch=12, images_per_step=2)


def edit(text: str, do: str, item: int | Sequence[int] = 0, **more: Any) -> str:
    path = [item] if isinstance(item, int) else list(item)
    return edit_answer(EditRequest(text=text, edit={"do": do, "item": path, **more}, **RUN))["text"]


# Items that are chosen ------------------------------------------------------------------------

CHOSEN = [
    # text, item, what is put behind it, the new text
    ("warmup(0.005)", 0, "cosine(0.005, 1e-5)", "warmup(0.005):5%, cosine(0.005, 1e-5)"),
    ("0.005", 0, "cosine(0.005, 1e-5)", "0.005:50%, cosine(0.005, 1e-5)"),
    ("0.005 # all of it", 0, "0.001", "0.005:50%, 0.001 # all of it"),
    ("0.005:100, 1e-3", 1, "0.004", "0.005:100, 1e-3:550, 0.004"),
    ("0.005:100, 1e-3", 0, "0.004", "0.005:100, 0.004:550, 1e-3"),
    ("warmup(0.005):5%", 0, "linear(0.005, 1e-5)", "warmup(0.005):5%, linear(0.005, 1e-5)"),
    ("0.005:100", 0, "warmup(0.005):5%", "0.005:100, warmup(0.005):+5%"),
    ("0.005:100, 0.001:120", 0, "warmup(0.005):5%", "0.005:100, warmup(0.005):110, 0.001:120"),
    ("0.005:1000", 0, "0.004", "0.005:500, 0.004:1000"),
    ("0.005:-1", 0, "0.004", "0.005:500, 0.004"),
    ("0.005, 1e-3", 0, "0.004", "0.005:50%, 0.004:750, 1e-3"),
    ("repeat(3, 0.005:10, 1e-3:20)", [0, 0], "0.004", "repeat(3, 0.005:10, 0.004:10, 1e-3:20)"),
]


@pytest.mark.parametrize(("text", "item", "value", "new"), CHOSEN, ids=[f"{row[0]} + {row[2]}" for row in CHOSEN])
def test_a_chosen_item_stands_at_a_boundary_and_runs(text: str, item: Any, value: str, new: str) -> None:
    assert edit(text, "insert", item, value=value) == new
    number = item + 1 if isinstance(item, int) else 0
    assert number < len(planned(new).segments)


def test_a_chosen_item_can_stand_before_the_first() -> None:
    assert edit("0.005", "insert", 0, value="warmup(0.005):5%", before=True) == "warmup(0.005):5%, 0.005"
    assert edit("0.005:100, 1", "insert", 0, value="0.004", before=True) == "0.004:50, 0.005:100, 1"


def test_error_what_is_no_single_item_is_not_put_in() -> None:
    with pytest.raises(RequestError, match=r"expected one segment, such as cosine\(0.005, 1e-5\), got `1, 2`"):
        edit("0.005", "insert", 0, value="1, 2")
    with pytest.raises(RequestError, match="no room for another segment between step 5 and step 6"):
        edit("1:5, 2:6, 3", "insert", 0, value="0.5")


# Texts with everything in them ----------------------------------------------------------------

VALUES = (
    "0.005", "constant(0.004)", "linear(0.005, 1e-4)", "cosine(1e-4)", "exp(0.005, 1e-5)", "poly(0.005, 1e-5, 2)", "rex(b=1e-4)",
    "warmup( 0.005 , curve = log )", "step(0.005, every=20%, gamma=0.5)", "decay(0.005, 0.999)", "inverse_sqrt(0.004, timescale=3)",
    "cyclic(1e-4, 0.005, step_size=10%)", "cyclic(1e-4, 0.005, 4, mode=exp_range, gamma=0.99)", "restarts(0.005, 1e-5, t_0=50%)",
    "restarts(0.005, t_0=50%, warmup=10%)", "restarts(0.005, 1e-5, cycles=2)",
    "onecycle(0.005)", "wsd(0.005, 1e-5)", "wsd(0.005, warmup=0, decay=0)",
    "plateau(0.005, patience=5)", "range_test(1e-5, 0.1)", "range_test(1e-5, 0.1, linear, stair=90%)",
    "repeat(2.5, 0.005:30%, cosine(1e-4):+10%)",
)  # fmt: skip
UNITS = ("{stop}", "+{n}", "{percent}%", "+{percent_n}%", "{img}img", "+{img_n} img", "{ep}ep")
JOINTS = (", ", ",", " ,\n", ", # then, slowly\n  ", "  # a, b: c\n, ")


def end(form: str, start: int, stop: int) -> str:
    n = stop - start
    numbers = {"stop": stop, "n": n, "percent": stop / 10, "percent_n": n / 10, "img": 2 * stop, "img_n": 2 * n}
    return form.format(**numbers, ep=repr(stop / 12))


@st.composite
def schedules(draw: st.DrawFn) -> str:
    stops = sorted(draw(st.sets(st.integers(40, 990), min_size=1, max_size=4)))
    text, start = "", 0
    for stop in stops:
        form = draw(st.sampled_from(UNITS))
        text += f"{draw(st.sampled_from(VALUES))}:{end(form, start, stop)}{draw(st.sampled_from(JOINTS))}"
        start = stop
    text += draw(st.sampled_from([*VALUES[:4], "cosine(0.005, 1e-5):100%", "0.001:-1"]))
    try:
        planned(text)
    except ScheduleError:
        assume(False)
    return text


def texts_of(text: str) -> list[str]:
    return [text[slice(*item.span)] for item in parse(text).items]


def comments(text: str) -> int:
    return text.count("#")


def assert_only_changed(before: str, after: str, touched: set[int]) -> None:
    """The other items stand as they stood, and so does all that is between the items."""
    old, new = texts_of(before), texts_of(after)
    assert [one for i, one in enumerate(new) if i not in touched] == [one for i, one in enumerate(old) if i not in touched]
    assert comments(before) == comments(after)


def rate_at(made: Plan, point: Point) -> float:
    """The rate at a point: that of its step, or the one that is reached there, at a segment's or a cycle's end."""
    segment = made.segments[point.item[0]]
    stop = segment.stop
    if len(point.item) == 2:
        assert segment.passes is not None
        start, segment = segment.start, segment.passes.first[point.item[1]]
        stop = start + segment.stop
    if segment.shape == "restarts" and point.param == "floor":
        return point.rate
    if point.step < stop:
        return made.value(point.step)
    assert segment.built is not None
    return float(segment.built.curve(np.int64(segment.length)))


# Boundaries -----------------------------------------------------------------------------------


@given(schedules(), st.data())
def test_a_moved_boundary_is_at_its_step_and_nothing_else_is_touched(text: str, data: st.DataObject):
    found = boundaries_of(planned(text))
    assume(found)
    boundary = data.draw(st.sampled_from(found))
    step = data.draw(st.integers(boundary.low, boundary.high))
    try:
        after = edit(text, "boundary", boundary.item, step=step)
    except ScheduleError as error:
        message = error.message  # a repeat that is too short, a time that comes to no step: said, and left as it was
        assert any(word in message for word in ("steps", "warm-up", "momentum"))
        return
    assert planned(after).segments[boundary.item[0]].stop == step
    assert_only_changed(text, after, set(boundary.item))


@given(schedules(), st.data())
def test_a_boundary_can_lie_behind_the_run_up_to_the_next_written_one(text: str, data: st.DataObject):
    found = [one for one in boundaries_of(planned(text)) if one.most is None or one.most > 1000]
    assume(found)
    boundary = data.draw(st.sampled_from(found))
    step = data.draw(st.integers(1001, 3000 if boundary.most is None else boundary.most))
    try:
        after = edit(text, "boundary", boundary.item, step=step)
    except ScheduleError as error:
        assert any(word in error.message for word in ("steps", "warm-up", "momentum"))  # noqa: PT017
        return
    assert planned(after).segments[boundary.item[0]].stop == step
    (moved,) = [one for one in boundaries_of(planned(after)) if one.item == boundary.item]
    assert (moved.step, moved.low) == (step, boundary.low)


def test_how_far_a_boundary_can_go():
    ends = [boundaries_of(planned(text)) for text in ("1:100, 2:500, 3:+200, 4", "1:100, 2:3000")]
    assert [(one.high, one.most) for one in ends[0]] == [(499, 499), (999, None), (999, None)]
    assert [(one.high, one.most) for one in ends[1]] == [(999, 2999), (1000, None)]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("1:100, 2:2200, 3:2500, 4", [2199, 2499]),
        ("1:100, 2:2200, 3:+100, 4:2500, 5", [2199, 2399]),
        ("1:2200, 2:+100, 3", [None]),
        ("1:2200, 2:-1, 3:2500", [None]),
        ("1:2200, 2, 3:2500", [None]),
        ("1:100, 2, 3:2500", [None]),
        ("1:2200, 2:150%", [2999]),
    ],
)
def test_a_boundary_behind_the_run_stops_at_a_written_end_that_never_runs(text: str, most: list[int | None]):
    run = {"text": text, "total_steps": 2000}
    found = boundaries_of(plan(**run))
    assert [one.most for one in found] == most
    for one in found:
        move = {"do": "boundary", "item": list(one.item)}
        after = edit_answer(EditRequest(**run, edit={**move, "step": one.most or 10**6}))["text"]
        assert plan(after, total_steps=10**7).segments[one.item[0]].stop == (one.most or 10**6)
        if one.most is not None:
            with pytest.raises(ScheduleError, match="boundaries must rise"):
                edit_answer(EditRequest(**run, edit={**move, "step": one.most + 1}))


@given(schedules(), st.data())
def test_another_unit_says_the_same_step(text: str, data: st.DataObject):
    made = planned(text)
    number = data.draw(st.integers(0, len(made.segments) - 1))
    unit, relative = data.draw(st.sampled_from(["", "%", "ep", "img"])), data.draw(st.booleans())
    try:
        after = edit(text, "unit", number, unit=unit, relative=relative)
    except ScheduleError as error:
        assert "the passes take" in error.message or "momentum" in error.message  # noqa: PT017
        return
    assert planned(after).segments[number].stop == made.segments[number].stop
    end = parse(after).items[number].end
    assert end is not None
    assert (end.unit, end.relative) == (unit, relative)
    assert_only_changed(text, after, {number})


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from(["%", "ep", "img"]))
def test_a_time_in_a_unit_comes_back_to_its_steps(steps: int, total: int, unit: str):
    run = plan("1", total_steps=total, steps_per_epoch=37, images_per_step=3)
    text = time_text(steps, unit, run)
    if text is not None:
        again = plan(f"1:{text}", total_steps=total, steps_per_epoch=37, images_per_step=3)
        assert again.segments[0].stop == steps
    assert unit == "%" or text is not None


@pytest.mark.parametrize(
    ("text", "step", "after"),
    [
        ("0.1:5%, 0.2", 60, "0.1:6%, 0.2"),
        ("0.1:5%, 0.2", 61, "0.1:6.1%, 0.2"),
        ("0.1:3ep, 0.2", 60, "0.1:5ep, 0.2"),
        ("0.1:3 ep, 0.2", 61, "0.1:5.1ep, 0.2"),
        ("0.1:+500img, 0.2", 61, "0.1:+122img, 0.2"),
        ("0.1:100 # here\n, 0.2", 61, "0.1:61 # here\n, 0.2"),
        ("0.1:5%", 1250, "0.1:1250"),  # not 125%: of the max steps that this needs it would be more
        ("0.1:3ep", 1200, "0.1:100ep"),
    ],
)
def test_a_boundary_keeps_its_unit_in_few_digits(text: str, step: int, after: str):
    assert edit(text, "boundary", step=step) == after


# Rates ----------------------------------------------------------------------------------------


@given(schedules())
def test_at_a_point_the_rate_is_its_parameter(text: str):
    made = planned(text)
    for handle in handles_of(made):
        point = handle.point
        if point.param == "max_lr":  # its top lies between two steps
            assert rate_at(made, point) == pytest.approx(point.rate, rel=0.2)
        else:
            assert rate_at(made, point) == pytest.approx(point.rate, rel=1e-9, abs=1e-18)


@settings(max_examples=200)
@given(schedules(), st.floats(1e-4, 0.0049), st.data())
def test_a_dragged_rate_is_the_rate_at_its_point(text: str, rate: float, data: st.DataObject):
    handles = handles_of(planned(text))
    assume(handles)
    handle = data.draw(st.sampled_from(handles))
    point = handle.point
    assume(point.param != "high" or rate > 1e-4)
    after = edit(text, "rate", point.item, param=point.param, value=rate)
    made = planned(after)
    written = float(f"{rate:.3g}")
    assert {h.point.rate for h in handles_of(made) if (point.item, point.param) in h.moves} == {written}
    assert rate_at(made, point._replace(rate=written)) == pytest.approx(rate, rel=0.2 if point.param == "max_lr" else 6e-3)
    assert_only_changed(text, after, {item[0] for item, _ in handle.moves})


def test_a_point_that_two_items_share_moves_both():
    text = "warmup(0.005):5%, 0.005:200, cosine(0.005, 1e-5):300, 1e-5"
    handles = handles_of(planned(text))
    assert handles[0].moves == (((0,), "v"), ((1,), "v"), ((2,), "a"))
    assert edit(text, "rate", 1, param="v", value=0.003) == "warmup(0.003):5%, 0.003:200, cosine(0.003, 1e-5):300, 1e-5"
    assert [(h.point.item, h.point.step) for h in handles] == [((1,), 50), ((2,), 200), ((3,), 300), ((3,), 999)]


def test_items_inside_a_repeat_have_their_points_in_the_first_pass():
    text = "0.1:100, repeat(3, linear(1e-3, 0.005):30, # up\n 0.005:20, repeat(2, cosine(0.002):5)), exp(1e-5)"
    found = [(h.point.item, h.point.param, h.point.step, h.point.rate) for h in handles_of(planned(text))]
    assert found == [
        ((0,), "v", 0, 0.1), ((0,), "v", 99, 0.1), ((1, 0), "a", 100, 0.001), ((1, 1), "v", 130, 0.005), ((1, 1), "v", 149, 0.005),
        ((1, 2, 0), "b", 155, 0.002), ((2,), "b", 1000, 1e-5),
    ]  # fmt: skip
    up = "0.1:100, repeat(3, linear(1e-3, {}):30, # up\n {}:20, repeat(2, cosine({}):5)), exp(1e-5)"
    assert edit(text, "rate", [1, 1], param="v", value=0.004) == up.format("0.004", "0.004", "0.002")
    assert edit(text, "rate", [1, 2, 0], param="b", value=0.001) == up.format("0.005", "0.005", "0.001")


def test_a_rate_inside_a_repeat_moves_in_every_pass():
    after = edit("repeat(4, cosine(0.005, 1e-4):50)", "rate", [0, 0], param="a", value=0.003)
    assert planned(after).values([0, 50, 100, 150]).tolist() == [0.003] * 4


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("repeat(3, cosine(0.005, 1e-4):50):30, 1e-4", [0, 30, 999]),
        ("repeat(3, 0.1:50%, 0.2:10):13, 1e-4", [0, 6, 7, 12, 13, 999]),
        ("repeat(0.5, 0.1:5, 0.2:9), 1e-4", [0, 4, 5, 6, 7, 999]),
        ("0.1:990, repeat(3, 0.2:5, linear(0.3, 0.4):20)", [0, 989, 990, 994, 995]),
        ("repeat(1, linear(0.1, 0.2):5), linear(0.2, 0.3)", [0, 5, 1000]),
    ],
)
def test_what_a_cut_leaves_out_has_no_point(text: str, steps: list[int]):
    assert [h.point.step for h in handles_of(planned(text))] == steps


def test_the_points_of_a_long_repeat_make_way_for_those_of_the_others():
    inner = ", ".join(["0.1:1"] * MOST_SEGMENTS)
    assert {h.point.item for h in handles_of(planned(f"0.1:9, repeat(1, {inner}), 0.2"))} == {(0,), (2,)}


def test_phases_of_one_rate_move_alone():
    assert edit("0.005:10, 0.005", "rate", 1, param="v", value=0.001) == "0.005:10, 0.001"


def test_many_segments_have_no_points():
    text = ", ".join(f"0.1:{step}" for step in range(1, MOST_SEGMENTS + 2))
    made = planned(text)
    assert handles_of(made) == boundaries_of(made) == []


@given(st.floats(0, 1e6, allow_subnormal=False))
def test_a_rate_is_written_with_three_digits(rate: float):
    assert float(rate_text(rate)) == float(f"{rate:.3g}")
    assert "e-0" not in rate_text(rate)


# Parameters, ends, shapes, items --------------------------------------------------------------


def values_of(text: str, number: int) -> dict[str, str | None]:
    return {param["name"]: param["text"] for param in describe_items(text)[number]["params"]}


@settings(max_examples=200)
@given(schedules(), st.data())
def test_a_set_parameter_says_its_value_and_goes_back_to_its_default(text: str, data: st.DataObject):
    items = describe_items(text)
    item = data.draw(st.sampled_from([i for i in items if i["shape"] != "repeat"]))
    param = data.draw(st.sampled_from(item["params"]))
    known = next(p for p in SHAPES[item["shape"]].params if p.name == param["name"])
    usual = {"flag": "yes", "rate": "0.002", "time": "1"}.get(known.kind, "1")
    value = param["text"] or (known.choices[0] if known.choices else usual)
    number = item["path"][0]
    try:
        after = edit(text, "set", number, param=param["name"], value=f" {value} ")
    except ScheduleError:
        assume(False)
    assert values_of(after, number)[param["name"]] == value
    assert_only_changed(text, after, {number})
    if known.name in SHAPES[item["shape"]].either:
        with pytest.raises(RequestError, match="needs `first_cycle` or `cycles`"):
            edit(after, "unset", number, param=param["name"])
    elif known.default is not REQUIRED and not (known.name == "a" and number == 0):
        try:
            back = edit(after, "unset", number, param=param["name"])
        except ScheduleError as error:
            assert "provides a rate" in error.message or "exp" in texts_of(text)[number]  # noqa: PT017
            return
        assert values_of(back, number) == values_of(after, number) | {param["name"]: None}
        assert_only_changed(text, back, {number})


@settings(max_examples=200)
@given(schedules(), st.sampled_from([*SHAPES, "repeat"]), st.data())
def test_another_shape_plans_and_leaves_the_rest(text: str, shape: str, data: st.DataObject):
    number = data.draw(st.integers(0, len(parse(text).items) - 1))
    try:
        after = edit(text, "shape", number, shape=shape)
    except ScheduleError as error:
        assert "plateau" in text or shape == "plateau" or "provides a rate" in error.message  # noqa: PT017
        return
    assert describe_items(after)[number]["shape"] == shape
    assert_only_changed(text, after, {number})


@pytest.mark.parametrize(
    ("text", "shape", "after"),
    [
        ("linear(0.005, 1e-5):100, 1", "cosine", "cosine(0.005, 1e-5):100, 1"),
        ("poly(0.005, 1e-5, 2):100, 1", "wsd", "wsd(0.005, 1e-5):100, 1"),
        ("0.005:100, 1", "cosine", "cosine(0.005, 5e-5):100, 1"),
        ("cyclic(1e-5, 0.005, 7)", "range_test", "range_test(1e-5, 0.005)"),
        ("step(0.005, every=7, gamma=0.5)", "plateau", "plateau(0.005, every=7)"),
        ("wsd(0.005, 1e-5, curve=sqrt)", "warmup", "warmup(0.005)"),
        ("wsd(0.005, 1e-5, curve=cosine)", "warmup", "warmup(0.005, curve=cosine)"),
        ("linear(0.005, 0)", "exp", "exp(0.005, 1e-5)"),
        ("cosine(0.005, 1e-5):-1", "repeat", "repeat(2, cosine(0.005, 1e-5):500)"),
        ("repeat(2, cosine(0.005, 1e-5):50), 1", "rex", "rex(0.005, 1e-5):100, 1"),
        ("cosine(0.005, # slow\n 1e-5):9, 1", "constant", "0.005 # slow\n:9, 1"),
    ],
)
def test_a_new_shape_keeps_what_both_know(text: str, shape: str, after: str):
    assert edit(text, "shape", shape=shape) == after


def test_a_shape_that_starts_where_the_one_before_ends_goes_on_doing_so():
    assert edit("0.005:9, cosine(1e-5)", "shape", 1, shape="poly") == "0.005:9, poly(1e-5)"


@given(schedules(), st.data())
def test_an_item_is_put_in_and_taken_out_again(text: str, data: st.DataObject):
    made = planned(text)
    number = data.draw(st.integers(0, len(made.segments) - 1))
    try:
        more = edit(text, "insert", number)
    except RequestError as error:
        assert "room" in error.message or "end of the run" in error.message  # noqa: PT017
        return
    except ScheduleError as error:
        assert any(word in error.message for word in ("the passes take", "to 0 steps", "must rise"))  # noqa: PT017
        return
    assert len(parse(more).items) == len(parse(text).items) + 1
    assert_only_changed(text, edit_items(more, number + 1), {number, number + 1})


def edit_items(text: str, number: int) -> str:
    return edit(text, "delete", number)


@pytest.mark.parametrize(
    ("text", "number", "after"),
    [
        ("1:9, 2", 0, "2"),
        ("1:9, 2", 1, "1:9"),
        ("1:5, # a, b\n2:7, # c\n3 # d", 1, "1:5, # a, b\n# c\n3 # d"),
        ("1:5,\n2:7,\n3", 1, "1:5,\n3"),
        ("1:5 # a\n, 2", 0, "# a\n2"),
        ("1:5 # a\n, 2", 1, "1:5 # a\n"),
    ],
)
def test_a_deleted_item_leaves_its_comments(text: str, number: int, after: str):
    assert edit(text, "delete", number).strip() == after.strip()


def test_ends_are_set_and_taken_away():
    assert edit("0.1, 0.2", "end", value="+3 ep") == "0.1:+3 ep, 0.2"
    assert edit("0.1:100, 0.2", "end", value="-1") == "0.1:-1, 0.2"
    assert edit("0.1:100, 0.2", "end") == "0.1, 0.2"
    assert edit("0.1 # a: b\n :100, 0.2", "end") == "0.1 # a: b\n , 0.2"


def test_items_of_a_repeat_have_a_place_and_can_be_edited():
    text = "1:5, repeat(3, 0.1:2, cosine(0.01):+4)"
    (_, outer) = describe_items(text)
    assert (outer["params"], [inner["path"] for inner in outer["items"]]) == (
        [{"name": "count", "text": "3", "span": [12, 13]}], [[1, 0], [1, 1]],
    )
    assert outer["items"][1]["end"] == {"text": "+4", "span": [35, 37], "number": "4", "unit": "", "relative": True, "open": False}
    assert edit(text, "set", [1], param="count", value="1.5") == "1:5, repeat(1.5, 0.1:2, cosine(0.01):+4)"
    assert edit(text, "set", [1, 1], param="b", value="0.02") == "1:5, repeat(3, 0.1:2, cosine(0.02):+4)"
    assert edit(text, "end", [1, 0], value="7") == "1:5, repeat(3, 0.1:7, cosine(0.01):+4)"
    assert edit(text, "shape", [1, 0], shape="linear") == "1:5, repeat(3, linear(0.1, 0.001):2, cosine(0.01):+4)"
    assert edit(text, "insert", [1, 0]) == "1:5, repeat(3, 0.1:2, 0.1:2, cosine(0.01):+4)"
    assert edit(text, "delete", [1, 0]) == "1:5, repeat(3, cosine(0.01):+4)"


def test_items_need_no_run():
    assert items_answer(ItemsRequest(text="0.1:3ep")) == {
        "items": [
            {
                "path": [0], "span": [0, 7], "text": "0.1:3ep", "shape": "constant",
                "params": [{"name": "v", "text": "0.1", "span": [0, 3]}],
                "end": {"text": "3ep", "span": [4, 7], "number": "3", "unit": "ep", "relative": False, "open": False}, "items": [],
            }
        ],
        "boundaries": [], "handles": [],
    }  # fmt: skip


def test_the_run_gives_items_their_points():
    answer = items_answer(ItemsRequest(text="0.1:100, linear(0.01)", **RUN))
    assert answer["boundaries"] == [{"item": (0,), "step": 100, "low": 1, "high": 999, "most": None}]
    assert [(h["item"], h["param"], h["step"], h["rate"]) for h in answer["handles"]] == [
        ((0,), "v", 0, 0.1), ((0,), "v", 99, 0.1), ((1,), "b", 1000, 0.01),
    ]


# Refusals -------------------------------------------------------------------------------------


SET_V = {"do": "set", "item": [0], "param": "v"}
END = {"do": "end", "item": [0]}
ONE_VALUE = "`value` is one value, such as 0.005 or 20%, got"
ONE_END = "an end is one time, such as 100, 20%, 3ep or +50, got"
NOT_RUN = "this segment does not run: it starts after the end, or after a segment without one"


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        ("0.1", {"do": "delete", "item": [1]}, "there is no segment [1] in the text"),
        ("0.1", {"do": "delete", "item": [0, 0]}, "there is no segment [0, 0] in the text"),
        ("0.1", {"do": "delete", "item": [0]}, "a schedule has at least one segment, and a repeat too"),
        ("0.1", SET_V | {"param": "a", "value": "1"}, "constant has no `a` to change"),
        ("cosine(1, 0)", SET_V | {"param": "c", "value": "1"}, "cosine has no `c` to change"),
        ("cosine(1, 0)", {"do": "unset", "item": [0], "param": "b"}, "cosine needs `to`"),
        ("0.1", SET_V | {"value": ""}, "`value` has no value"),
        ("0.1", SET_V | {"value": "1, 2"}, f"{ONE_VALUE} `1, 2`"),
        ("0.1", SET_V | {"value": "1), 2, x(3"}, f"{ONE_VALUE} `1), 2, x(3`"),
        ("0.1", SET_V | {"value": "v=1"}, f"{ONE_VALUE} `v=1`"),
        ("0.1", SET_V | {"value": "+"}, "`value`: expected a number, got `+`"),
        ("0.1", END | {"value": "5, 2"}, f"{ONE_END} `5, 2`"),
        ("0.1", END | {"value": "5 # all"}, f"{ONE_END} `5 # all`"),
        ("0.1", END | {"value": "x"}, "the end: expected a number, got `x`"),
        ("0.1", {"do": "shape", "item": [0], "shape": "cos"}, "there is no shape `cos`"),
        ("0.1", {"do": "boundary", "item": [0], "step": 5}, "this segment has no written end to move"),
        ("0.1, 1", {"do": "boundary", "item": [1], "step": 5}, NOT_RUN),
        ("decay(1, 0.9)", {"do": "rate", "item": [0], "param": "gamma", "value": 1}, "segment [0] has no point for `gamma`"),
        ("1:1, 2:2, 3:3", {"do": "insert", "item": [0]}, "there is no room for another segment between step 1 and step 2"),
    ],
)
def test_error_an_edit_that_cannot_be_made_says_why(text: str, change: dict[str, Any], message: str):
    with pytest.raises(RequestError) as caught:
        edit_answer(EditRequest(text=text, edit=change, **RUN))
    assert caught.value.message == message


def test_error_an_edit_whose_text_cannot_be_planned_is_refused():
    with pytest.raises(ScheduleError) as caught:
        edit("1:100, 2:200", "end", value="300")
    assert str(caught.value) == (
        "boundaries must rise: this one is at 200, the one before it at 300\n    1:300, 2:200\n             ^^^"
    )


def test_error_a_unit_that_the_run_does_not_know():
    with pytest.raises(RequestError) as caught:
        edit_answer(EditRequest(text="1:50", edit={"do": "unit", "item": [0], "unit": "ep"}, total_steps=100))
    assert caught.value.message == "50 steps cannot be written in ep: the data set's size is not known"


@pytest.mark.parametrize(("text", "param", "value", "after"), [
    ("restarts(0.005, 1e-5, t_0=25%, warmup=2)", "cycles", "4", "restarts(0.005, 1e-5, cycles=4, warmup=2)"),
    ("restarts(0.005, 1e-5, cycles=4)", "t_0", "50%", "restarts(0.005, 1e-5, first_cycle=50%)"),
    ("restarts(0.005, 0, 20, 2)", "cycles", "4", "restarts(0.005, 0, cycles=4, growth=2)"),
    ("restarts(0.005, t_0=20)", "t_0", "30", "restarts(0.005, t_0=30)"),
])
def test_of_two_parameters_that_say_the_same_the_one_that_is_set_takes_the_others_place(text, param, value, after):
    assert edit(text, "set", 0, param=param, value=value) == after


def test_another_shape_with_such_parameters_gets_one_of_them():
    assert edit("cosine(0.005, 1e-5)", "shape", 0, shape="restarts") == "restarts(0.005, 1e-5, first_cycle=25%)"
